//! How far event time has come: what the sources' own timestamps say, never a node's clock.
//!
//! The *mark* of a source is the latest timestamp that was accepted from it. The *agreed* time is the second
//! latest of the marks: one source whose clock is ahead does not move it. The *watermark* is the window behind
//! that; it never goes back. While nothing is accepted it goes on with the time that passes, as a leader measured it
//! by its monotonic clock, so that the buffer drains.

use std::collections::BTreeMap;

use ordeal_kit::Id;
use serde::{Deserialize, Serialize};

/// Sources that must have come to a moment before it counts.
pub(crate) const SOURCES_NEEDED: usize = 2;
/// Sources that are known, at most.
const SOURCES_MAX: usize = 1_000;

/// The marks of all sources, and what follows from them.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Watermark {
    marks: BTreeMap<Id, u64>,
    at: u64,
}

impl Watermark {
    /// Events up to this timestamp, inclusive, are processed; who sends one now is late.
    pub(crate) fn at(&self) -> u64 {
        self.at
    }

    /// Whether there is a place for this source.
    pub(crate) fn has_room(&self, source: &Id) -> bool {
        self.marks.len() < SOURCES_MAX || self.marks.contains_key(source)
    }

    /// The moment to which so many sources have come; `None` before there are so many.
    fn agreed(&self, sources: usize) -> Option<u64> {
        let mut marks: Vec<u64> = self.marks.values().copied().collect();
        marks.sort_unstable();
        marks.len().checked_sub(sources).map(|place| marks[place])
    }

    /// An event of this source was accepted.
    pub(crate) fn saw(&mut self, source: &Id, timestamp: u64, window_ms: u64, sources: usize) {
        let mark = self.marks.entry(source.clone()).or_default();
        *mark = timestamp.max(*mark);
        self.passed(0, window_ms, sources);
    }

    /// So much time has passed since the last event was accepted.
    pub(crate) fn passed(&mut self, quiet_ms: u64, window_ms: u64, sources: usize) {
        if let Some(agreed) = self.agreed(sources) {
            self.reached(agreed.saturating_add(quiet_ms), window_ms);
        }
    }

    /// Event time has come to this moment.
    pub(crate) fn reached(&mut self, now: u64, window_ms: u64) {
        self.at = self.at.max(now.saturating_sub(window_ms));
    }
}

#[cfg(test)]
mod tests;
