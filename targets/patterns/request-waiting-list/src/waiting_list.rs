//! The request waiting list. No I/O, no clock.
//!
//! Every request that waits for other nodes is an entry: the trade it is about, the condition that must be met, and
//! the callback that then runs. Confirmations name the entry by its correlation number, in whatever order they come.
//! Invariants:
//! - a callback runs once: when the condition is met, or when the time is up, whichever is first;
//! - with that the entry leaves the list; a confirmation for an entry that is gone is ignored;
//! - the list is bounded, and no entry is older than its time allows when the list is looked at.

use std::collections::BTreeMap;
use std::time::Duration;

use ordeal_kit::Id;
use serde::Serialize;

use crate::bugs::Bug;
use crate::condition::{Condition, Confirmation, Outcome};
use crate::trade::Details;

/// Entries at a time.
pub(crate) const ENTRIES_MAX: usize = 4096;

/// By what a confirmation finds its entry. Never used twice in the life of a process.
pub(crate) type Correlation = u64;

/// What a callback is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) trade: Id,
    /// The details that the request named.
    pub(crate) asked: Details,
    pub(crate) outcome: Outcome,
}

/// What is to be done when an entry is through.
pub(crate) type Callback = Box<dyn FnOnce(Reply) + Send>;

/// What a request waits for, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Purpose {
    /// A majority that has confirmed the trade.
    Confirmation,
    /// All settlement nodes.
    Settlement,
    /// A majority that knows that the trade is settled.
    SettledKnown,
}

/// A request that is to wait. Moments are durations since the process began.
pub(crate) struct Waiting {
    pub(crate) trade: Id,
    /// The details that the request named.
    pub(crate) asked: Details,
    pub(crate) purpose: Purpose,
    pub(crate) condition: Condition,
    pub(crate) since: Duration,
    pub(crate) until: Duration,
}

impl Waiting {
    pub(crate) fn reply(&self, outcome: Outcome) -> Reply {
        Reply { trade: self.trade.clone(), asked: self.asked.clone(), outcome }
    }
}

struct Entry {
    waiting: Waiting,
    /// None once it has run.
    callback: Option<Callback>,
}

/// An entry as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Pending {
    pub(crate) correlation_id: Id,
    pub(crate) waits_for: Purpose,
    pub(crate) age_ms: u64,
    pub(crate) heard: usize,
    pub(crate) needed: usize,
}

/// A callback, and what to tell it. To be run when the list is no longer locked.
#[must_use]
pub(crate) struct Ready {
    callback: Callback,
    reply: Reply,
}

impl Ready {
    pub(crate) fn run(self) {
        (self.callback)(self.reply);
    }
}

/// The list.
pub(crate) struct WaitingList {
    entries: BTreeMap<Correlation, Entry>,
    next: Correlation,
    bug: Option<Bug>,
}

impl WaitingList {
    pub(crate) fn new(bug: Option<Bug>) -> Self {
        WaitingList { entries: BTreeMap::new(), next: 0, bug }
    }

    /// Adds a request; `None` if the list is full.
    pub(crate) fn add(&mut self, waiting: Waiting, callback: Callback) -> Option<Correlation> {
        if self.entries.len() >= ENTRIES_MAX {
            return None;
        }
        let correlation = self.next;
        self.next += 1;
        self.entries.insert(correlation, Entry { waiting, callback: Some(callback) });
        Some(correlation)
    }

    /// Counts a node's confirmation for an entry.
    pub(crate) fn confirm(
        &mut self,
        correlation: Correlation,
        node: usize,
        confirmation: Confirmation,
    ) -> Option<Ready> {
        let waiting = &mut self.entries.get_mut(&correlation)?.waiting;
        let outcome = waiting.condition.take(node, confirmation)?;
        let (reply, purpose) = (waiting.reply(outcome), waiting.purpose);
        let mut alike = self.entries.iter().filter(|(_, entry)| entry.waiting.purpose == purpose);
        let answered = match alike.next() {
            Some((oldest, _)) if self.bug == Some(Bug::RepliesSwapped) => *oldest,
            _ => correlation,
        };
        let callback = self.entries.remove(&answered)?.callback?;
        Some(Ready { callback, reply })
    }

    /// Takes out all entries whose time is up.
    pub(crate) fn expire(&mut self, now: Duration) -> Vec<Ready> {
        let late = self.entries.values_mut().filter(|entry| entry.waiting.until <= now);
        let ready = late.filter_map(|entry| {
            Some(Ready { callback: entry.callback.take()?, reply: entry.waiting.reply(Outcome::Expired) })
        });
        let ready = ready.collect();
        if self.bug != Some(Bug::EntryLeaks) {
            self.entries.retain(|_, entry| entry.waiting.until > now);
        }
        ready
    }

    /// Whether the entry still waits.
    pub(crate) fn has(&self, correlation: Correlation) -> bool {
        self.entries.contains_key(&correlation)
    }

    /// Whether an entry is about this trade.
    pub(crate) fn waits_for(&self, trade: &Id) -> bool {
        self.entries.values().any(|entry| entry.waiting.trade == *trade)
    }

    /// All entries, oldest first. Those whose time is up should have been taken out.
    pub(crate) fn pending(&self, now: Duration) -> Vec<Pending> {
        let shown = self.entries.values().map(|Entry { waiting, .. }| {
            let (heard, needed) = waiting.condition.heard();
            let age_ms = now.saturating_sub(waiting.since).as_millis() as u64;
            let correlation_id = waiting.trade.clone();
            Pending { correlation_id, waits_for: waiting.purpose, age_ms, heard, needed }
        });
        shown.collect()
    }
}

#[cfg(test)]
mod tests;
