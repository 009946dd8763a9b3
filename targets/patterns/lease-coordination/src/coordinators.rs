//! How price nodes talk to the coordinators.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use ordeal_kit::{ApiError, Id, Peer, PeerClient, PeerError, PeerOptions, encode};
use serde::{Deserialize, Serialize};

use crate::leases::{Answer, Command, Leases};

/// Where a coordinator takes a command.
pub(crate) const ASK: &str = "/coordinators/ask";
/// Where a coordinator shows all leases.
pub(crate) const TABLE: &str = "/coordinators/table";
/// The longest answer of a coordinator.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// A command under a name of its own: sent to several coordinators, it has one effect.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Asked {
    pub(crate) request: String,
    pub(crate) command: Command,
}

/// What a coordinator says.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Told {
    Done(Answer),
    /// It certainly had no effect.
    NotDone(String),
    MaybeDone(String),
}

impl Told {
    pub(crate) fn done(self) -> Result<Answer, ApiError> {
        match self {
            Told::Done(answer) => Ok(answer),
            Told::NotDone(why) => Err(ApiError::unavailable(why)),
            Told::MaybeDone(why) => Err(ApiError::maybe_done(why)),
        }
    }
}

/// The coordinators, as a price node sees them.
pub(crate) struct Coordinators {
    peers: PeerClient,
    count: usize,
    /// The one that answered last.
    favourite: AtomicUsize,
    names: Names,
}

/// Makes names for commands that no other command has, of this or any other life of any node.
pub(crate) struct Names {
    prefix: String,
    next: AtomicU64,
}

impl Names {
    pub(crate) fn new(node: &Id) -> Self {
        // The standard library seeds it from the operating system. A clock would not do: it can be set back.
        let life = RandomState::new().hash_one(node.as_str());
        Names { prefix: format!("{node}-{life:016x}"), next: AtomicU64::new(0) }
    }

    pub(crate) fn next(&self) -> String {
        format!("{}-{}", self.prefix, self.next.fetch_add(1, Ordering::Relaxed))
    }
}

impl Coordinators {
    /// `patience`: how long one of them may take to answer.
    pub(crate) fn new(peers: &[Peer], node: &Id, patience: Duration) -> anyhow::Result<Self> {
        Ok(Coordinators {
            peers: PeerClient::new(peers, PeerOptions::usual(patience, ANSWER_BYTES_MAX))?,
            count: peers.len(),
            favourite: AtomicUsize::new(0),
            names: Names::new(node),
        })
    }

    /// Has a command decided. Each coordinator is asked once at most, and all are asked for the same thing.
    pub(crate) async fn ask(&self, command: Command) -> Told {
        let asked = Asked { request: self.names.next(), command };
        let Ok(body) = encode(&asked) else {
            return Told::NotDone("the command has no JSON form".to_owned());
        };
        let mut maybe = false;
        for at in self.in_turn() {
            match self.peers.post(at, ASK, body.clone()).await {
                Ok(Told::Done(answer)) => {
                    self.favourite.store(at, Ordering::Relaxed);
                    return Told::Done(answer);
                }
                Ok(Told::NotDone(_)) | Err(PeerError::Busy | PeerError::Unreachable) => {}
                Ok(Told::MaybeDone(_)) | Err(PeerError::NoAnswer(_) | PeerError::Refused(_)) => maybe = true,
            }
        }
        let why = "no coordinator could decide in time".to_owned();
        if maybe { Told::MaybeDone(why) } else { Told::NotDone(why) }
    }

    /// All leases, as they were at some moment of this call.
    pub(crate) async fn table(&self) -> Option<Leases> {
        let body = encode(&()).ok()?;
        for at in self.in_turn() {
            if let Ok(Some(leases)) = self.peers.post::<Option<Leases>>(at, TABLE, body.clone()).await {
                self.favourite.store(at, Ordering::Relaxed);
                return Some(leases);
            }
        }
        None
    }

    fn in_turn(&self) -> impl Iterator<Item = usize> + use<> {
        let (first, count) = (self.favourite.load(Ordering::Relaxed), self.count);
        (0..count).map(move |n| (first + n) % count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_differ_between_commands_and_between_lives() {
        let node: Id = "n4".parse().unwrap();
        let (one, other) = (Names::new(&node), Names::new(&node));
        let names = [one.next(), one.next(), other.next()];
        assert!(names[0] != names[1] && names[0] != names[2] && names[1] != names[2], "{names:?}");
    }
}
