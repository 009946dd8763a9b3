//! The delay buffer: what waits for its turn, and what is next.
//!
//! An event's turn comes when the watermark has passed its timestamp, in the order of (timestamp, source, id). If not all
//! that it depends on has been processed by then, it is held back: it is next as soon as the last of that has been
//! processed (of several, the least), and has failed when the watermark has passed its timestamp by a whole
//! window, in its place among all turns. So the sequence follows from the events alone, not from
//! when they came or how the watermark moved.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::LazyLock;

use ordeal_kit::Id;
use serde::{Deserialize, Serialize};

use crate::bugs::Bug;
use crate::event::{Event, Place};
use crate::machine::Rules;

/// What waits, each list in the order of places.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(from = "Saved", into = "Saved")]
pub(crate) struct Buffer {
    waiting: Vec<Event>,
    held: Vec<Event>,
    /// A planted defect: snapshots leave the buffer out.
    volatile: bool,
}

/// The buffer in a snapshot.
#[derive(Serialize, Deserialize)]
struct Saved {
    waiting: Vec<Event>,
    held: Vec<Event>,
}

impl From<Buffer> for Saved {
    fn from(buffer: Buffer) -> Saved {
        if buffer.volatile {
            return Saved { waiting: Vec::new(), held: Vec::new() };
        }
        Saved { waiting: buffer.waiting, held: buffer.held }
    }
}

impl From<Saved> for Buffer {
    fn from(Saved { waiting, held }: Saved) -> Buffer {
        Buffer { waiting, held, volatile: false }
    }
}

/// An event whose turn it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Due {
    pub(crate) event: Event,
    /// Whether all that it depends on has been processed.
    pub(crate) complete: bool,
}

impl Buffer {
    /// Events that wait or are held back.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len() + self.held.len()
    }

    /// Takes an event in.
    pub(crate) fn insert(&mut self, event: Event, rules: &Rules) {
        self.volatile = rules.has(Bug::BufferLostOnCrash);
        let before = |other: &Event| {
            if rules.has(Bug::TiesByHash) {
                return (other.timestamp, drawn(&other.id)) <= (event.timestamp, drawn(&event.id));
            }
            other.place() <= event.place()
        };
        let place = self.waiting.partition_point(before);
        self.waiting.insert(place, event);
    }

    /// Gives up the event that would be next; the planted defect of a buffer that overflows.
    pub(crate) fn drop_oldest(&mut self) {
        if !self.waiting.is_empty() {
            self.waiting.remove(0);
        }
    }

    /// What comes first, and whether it is an event's turn; else, that one has failed.
    fn first(&self, rules: &Rules) -> Option<(Place<'_>, bool)> {
        let turn = self.waiting.first().map(|event| (event.place(), true));
        let failing = self.held.first().map(|event| {
            let (timestamp, source, id) = event.place();
            ((timestamp + rules.window_ms, source, id), false)
        });
        turn.into_iter().chain(failing).min()
    }

    /// To which moment event time must come for anything to be done.
    pub(crate) fn next_moment(&self, rules: &Rules) -> Option<u64> {
        self.first(rules).map(|(place, _)| place.0)
    }

    /// Takes out what is to be processed next, if anything is as far as event time has come. `done`: whether an event
    /// has been processed.
    pub(crate) fn next(&mut self, until: u64, rules: &Rules, done: impl Fn(&Id) -> bool) -> Option<Due> {
        let complete = |event: &Event| event.depends_on.iter().all(&done);
        loop {
            if let Some(place) = self.held.iter().position(complete) {
                return Some(Due { event: self.held.remove(place), complete: true });
            }
            let (_, is_turn) = self.first(rules).filter(|(moment, _)| moment.0 <= until)?;
            if !is_turn {
                return Some(Due { event: self.held.remove(0), complete: false });
            }
            let event = self.waiting.remove(0);
            if complete(&event) || rules.has(Bug::DependencyIgnored) {
                return Some(Due { event, complete: true });
            }
            let place = self.held.partition_point(|other| other.place() <= event.place());
            self.held.insert(place, event);
        }
    }
}

/// A hash that is another one in every process.
fn drawn(id: &Id) -> u64 {
    static STATE: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    STATE.hash_one(id)
}

#[cfg(test)]
mod tests;
