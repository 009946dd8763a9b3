//! The replicated state machine: every machine of the factory, the log of what was applied, and the events.
//!
//! Invariants:
//! - every command that is applied is one transition in the log, also one that changes no state;
//! - every transition that changes a state is one event; events are numbered from 1 without a hole, in the
//!   order of the log;
//! - both lists are part of the state, so snapshots hold them; the oldest are dropped after [`KEPT`], on every
//!   node the same ones.

use std::collections::{BTreeMap, VecDeque};

use ordeal_raft::{Machine, Position};
use serde::{Deserialize, Serialize};

use crate::rules::{Kind, State};

/// Transitions, and events, that are kept. A consumer further behind is told so.
pub(crate) const KEPT: usize = 100_000;

/// What is asked of a machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Command {
    /// The client's name for the request.
    pub(crate) request_id: String,
    /// The machine.
    pub(crate) machine: String,
    /// What is done.
    pub(crate) action: Action,
}

/// What is done to a machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "lowercase")]
pub(crate) enum Action {
    /// A sensor measured something.
    Reading {
        /// The sensor.
        sensor: String,
        /// What it measures.
        kind: Kind,
        /// Thousandths; outside, the value in its unit.
        #[serde(with = "unit")]
        value: i64,
    },
    /// An operator makes the machine run again.
    Reset,
}

/// Thousandths as the value in its unit.
mod unit {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    use crate::rules;

    #[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature serde asks for")]
    pub(super) fn serialize<S: Serializer>(thousandths: &i64, out: S) -> Result<S::Ok, S::Error> {
        rules::value(*thousandths).serialize(out)
    }

    pub(super) fn deserialize<'d, D: Deserializer<'d>>(input: D) -> Result<i64, D::Error> {
        rules::thousandths(f64::deserialize(input)?).map_err(D::Error::custom)
    }
}

/// A command that was applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Transition {
    /// Where in the log.
    pub(crate) index: u64,
    /// The term in which it was proposed.
    pub(crate) term: u64,
    /// The client's name for the request.
    pub(crate) request_id: String,
    /// The machine.
    pub(crate) machine: String,
    /// What was done.
    #[serde(flatten)]
    pub(crate) action: Action,
    /// The machine's state before.
    pub(crate) before: State,
    /// The machine's state afterwards.
    pub(crate) after: State,
}

/// A change of a machine's state, as downstream consumers see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Event {
    /// From 1, without a hole.
    pub(crate) number: u64,
    /// The transition that made it.
    pub(crate) index: u64,
    /// Its term.
    pub(crate) term: u64,
    /// The machine.
    pub(crate) machine: String,
    /// The machine's state before.
    pub(crate) before: State,
    /// The machine's state afterwards.
    pub(crate) after: State,
}

/// How a machine stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Standing {
    /// What it does.
    pub(crate) state: State,
    /// The last transition of this machine; 0 if there never was one.
    pub(crate) index: u64,
}

/// A part of a list that only grows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Page<T> {
    /// Where it begins.
    pub(crate) from: u64,
    /// Where the next one begins: everything before that and not before `from` is here.
    pub(crate) next: u64,
    /// The last transition that the node had applied.
    pub(crate) applied: u64,
    /// What is on it.
    pub(crate) items: Vec<T>,
}

/// What comes first is kept no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trimmed {
    /// The oldest that is kept.
    pub(crate) oldest: u64,
}

/// All machines.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Factory {
    machines: BTreeMap<String, Standing>,
    log: VecDeque<Transition>,
    /// The first index from which on the log is whole.
    log_from: u64,
    events: VecDeque<Event>,
    /// Events there ever were.
    event_count: u64,
    /// The last transition.
    applied: u64,
}

impl Machine for Factory {
    type Command = Command;
    type Answer = Transition;

    fn apply(&mut self, at: Position, command: Command) -> Transition {
        let Command { request_id, machine, action } = command;
        let standing = self.machines.entry(machine.clone()).or_default();
        let before = standing.state;
        let after = match &action {
            Action::Reading { kind, value, .. } => before.after_reading(*kind, *value),
            Action::Reset => State::Running,
        };
        *standing = Standing { state: after, index: at.index };
        let transition =
            Transition { index: at.index, term: at.term, request_id, machine, action, before, after };
        self.record(transition.clone());
        transition
    }
}

impl Factory {
    fn record(&mut self, transition: Transition) {
        let Transition { index, term, ref machine, before, after, .. } = transition;
        if before != after {
            self.event_count += 1;
            let machine = machine.clone();
            self.events.push_back(Event { number: self.event_count, index, term, machine, before, after });
            if self.events.len() > KEPT {
                self.events.pop_front();
            }
        }
        self.applied = index;
        self.log.push_back(transition);
        if self.log.len() > KEPT
            && let Some(oldest) = self.log.pop_front()
        {
            self.log_from = oldest.index + 1;
        }
    }

    /// How the machine stands; one that nobody wrote to is running.
    pub(crate) fn machine(&self, id: &str) -> Standing {
        self.machines.get(id).copied().unwrap_or_default()
    }

    /// Whether there is a place for this machine among so many.
    pub(crate) fn has_room(&self, id: &str, machines_max: usize) -> bool {
        self.machines.len() < machines_max || self.machines.contains_key(id)
    }

    /// Events so far.
    pub(crate) fn event_count(&self) -> u64 {
        self.event_count
    }

    /// At most `limit` transitions from this index on; from the oldest that is kept, if none is given.
    pub(crate) fn log(&self, from: Option<u64>, limit: usize) -> Result<Page<Transition>, Trimmed> {
        let from = from.unwrap_or(self.log_from);
        if from < self.log_from {
            return Err(Trimmed { oldest: self.log_from });
        }
        let first = self.log.partition_point(|transition| transition.index < from);
        let items: Vec<Transition> = self.log.iter().skip(first).take(limit).cloned().collect();
        let whole = first + items.len() >= self.log.len();
        let end = if whole { self.applied } else { items.last().map_or(self.applied, |last| last.index) };
        Ok(Page { from, next: from.max(end + 1), applied: self.applied, items })
    }

    /// At most `limit` events from this number on; from the oldest that is kept, if none is given.
    pub(crate) fn events(&self, from: Option<u64>, limit: usize) -> Result<Page<Event>, Trimmed> {
        let oldest = self.event_count - self.events.len() as u64 + 1;
        let from = from.unwrap_or(oldest);
        if from < oldest {
            return Err(Trimmed { oldest });
        }
        let items: Vec<Event> =
            self.events.iter().skip((from - oldest) as usize).take(limit).cloned().collect();
        Ok(Page { from, next: from + items.len() as u64, applied: self.applied, items })
    }
}

#[cfg(test)]
mod tests;
