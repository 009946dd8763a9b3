//! A cache's copies, and the lease under which it serves them.
//!
//! Invariants:
//! - a copy is served only while the lease certainly lasts;
//! - a copy is never older than an invalidation that came before: each names the number of the event that is about to
//!   be written, and what is older than that is dropped, and refused when it arrives late;
//! - copies and invalidations belong to one session. What was asked under another one is not taken, and with a new
//!   session all begins empty: what happened in between is not known.
//!
//! A hit looks at the lease at one moment, under the lock, and is answered some time later; the node may even be paused
//! in between. That is sound: at that moment no newer score was written, and it lies between the reader's question
//! and its answer.

use std::collections::HashMap;
use std::time::Duration;

use ordeal_kit::Id;

use crate::bugs::Bug;
use crate::clock::Terms;
use crate::score::Standing;

/// Matches that a cache keeps in mind; with more of them it begins anew.
const MATCHES_MAX: usize = 10_000;

/// What a cache knows of a match.
#[derive(Debug, Default)]
struct Known {
    /// Nothing older is taken.
    newest: u64,
    copy: Option<Standing>,
}

#[derive(Clone, Copy, Debug)]
struct Session {
    number: u64,
    until: Duration,
}

/// The copies.
#[derive(Debug)]
pub(crate) struct Copies {
    terms: Terms,
    bug: Option<Bug>,
    session: Option<Session>,
    matches: HashMap<Id, Known>,
}

impl Copies {
    pub(crate) fn new(terms: Terms, bug: Option<Bug>) -> Self {
        Copies { terms, bug, session: None, matches: HashMap::new() }
    }

    /// The session, whether its lease lasts or not.
    pub(crate) fn session(&self) -> Option<u64> {
        self.session.map(|session| session.number)
    }

    /// The database granted this session, when it was asked at this time or later by a cache under that session. If that
    /// has ended in the meantime, what was forgotten with it is not brought back by the answer.
    pub(crate) fn granted(&mut self, number: u64, under: Option<u64>, asked: Duration) {
        if self.session() != under {
            return;
        }
        let is_new = self.session() != Some(number);
        if is_new && self.bug != Some(Bug::MissedInvalidationsKept) {
            self.matches.clear();
        }
        self.session = Some(Session { number, until: asked + self.terms.relied_on() });
    }

    /// The session is over.
    pub(crate) fn end(&mut self) {
        self.session = None;
    }

    /// The copy of this match, if there is one and it may be served now.
    pub(crate) fn hit(&self, of: &Id, now: Duration) -> Option<Standing> {
        let session = self.session?;
        let lasts = now < session.until || self.bug == Some(Bug::ServesPastLease);
        self.matches.get(of).filter(|_| lasts)?.copy.clone()
    }

    /// Drops what is older than the event of this number, and takes nothing older from now on.
    pub(crate) fn invalidate(&mut self, of: &Id, sequence: u64) {
        self.make_room(of);
        let known = self.matches.entry(of.clone()).or_default();
        known.newest = known.newest.max(sequence);
        known.copy = known.copy.take().filter(|copy| copy.sequence >= sequence);
    }

    /// Takes a copy that was asked for under this session.
    pub(crate) fn fill(&mut self, of: &Id, standing: Standing, session: u64) {
        if self.session() != Some(session) {
            return;
        }
        self.make_room(of);
        let overtaken = self.matches.get(of).is_some_and(|known| standing.sequence < known.newest);
        if overtaken && self.bug != Some(Bug::FillRacesInvalidation) {
            return;
        }
        self.matches.insert(of.clone(), Known { newest: standing.sequence, copy: Some(standing) });
    }

    /// To forget a single invalidation would be to take what it forbids: if there is no room, the session is over.
    fn make_room(&mut self, of: &Id) {
        if self.matches.len() >= MATCHES_MAX && !self.matches.contains_key(of) {
            self.matches.clear();
            self.end();
        }
    }
}

#[cfg(test)]
mod tests;
