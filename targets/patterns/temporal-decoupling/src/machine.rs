//! What the nodes agree on: the buffer, how far event time has come, and the sequence of what was processed.
//!
//! An event is accepted by a command that a majority holds, so buffer and sequence are the same on every node and survive
//! crashes. An event that was answered, accepted or late, gets the same answer whenever it is sent again; one that
//! found the buffer full is not remembered. Events are kept for good, [`EVENTS_MAX`] of them.

use std::collections::BTreeMap;

use ordeal_kit::Id;
use ordeal_raft::{Machine, Position};
use serde::{Deserialize, Serialize};

use crate::buffer::{Buffer, Due};
use crate::bugs::Bug;
use crate::event::{Event, Outcome, Reason, Status, What};
use crate::shop::Shop;
use crate::watermark::Watermark;

/// Events that are kept.
const EVENTS_MAX: usize = 200_000;

/// By what rules a command is carried out. They travel with it, so that every node goes by the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rules {
    /// How late events may come.
    pub(crate) window_ms: u64,
    /// Events that may wait.
    pub(crate) capacity: usize,
    /// Sources that must have come to a moment before it counts.
    pub(crate) sources: usize,
    pub(crate) bug: Option<Bug>,
}

impl Rules {
    pub(crate) fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }
}

/// What can be asked of the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Command {
    /// Takes an event in. `clock`: the moment it is by the node's own clock, if that is to count; a planted defect.
    Submit { event: Event, clock: Option<u64>, rules: Rules },
    /// Nothing was accepted for so long after the event of this number.
    Idle { accepted: u64, quiet_ms: u64, rules: Rules },
}

/// What the machine answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Answer {
    /// It will be processed.
    Accepted { watermark: u64 },
    /// It will not: the watermark has passed its timestamp.
    Late { watermark: u64 },
    /// The buffer is full.
    Full,
    /// The id is that of another event.
    OtherEvent,
    /// No more events, or no more sources, are kept.
    TooMany,
    /// The answer to [`Command::Idle`].
    Noted,
}

/// An event that was answered.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Known {
    event: Event,
    answer: Answer,
    /// Where it is in the sequence.
    position: Option<u64>,
}

/// A step of the sequence.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Step {
    event: Id,
    outcome: Outcome,
}

/// An event that was processed, as clients see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Processed {
    pub(crate) position: u64,
    pub(crate) event: Event,
    pub(crate) outcome: Outcome,
}

/// How far an order has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Progress {
    None,
    Late,
    Buffered,
    Confirmed,
    Rejected,
}

/// An order as clients see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Order {
    pub(crate) order: Id,
    pub(crate) status: Progress,
    pub(crate) price: Option<u64>,
    pub(crate) promotion: Option<Id>,
    pub(crate) reason: Option<Reason>,
    pub(crate) position: Option<u64>,
}

/// The state.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Sale {
    watermark: Watermark,
    buffer: Buffer,
    known: BTreeMap<Id, Known>,
    sequence: Vec<Step>,
    shop: Shop,
    /// Events accepted so far.
    accepted: u64,
}

impl Machine for Sale {
    type Command = Command;
    type Answer = Answer;

    fn apply(&mut self, _at: Position, command: Command) -> Answer {
        match command {
            Command::Submit { event, clock, rules } => {
                if let Some(now) = clock {
                    self.watermark.reached(now, rules.window_ms);
                }
                let answer = self.submit(event, &rules);
                self.process(&rules);
                answer
            }
            Command::Idle { accepted, quiet_ms, rules } => {
                if accepted == self.accepted || rules.has(Bug::IdleUnchecked) {
                    self.watermark.passed(quiet_ms, rules.window_ms, rules.sources);
                    self.process(&rules);
                }
                Answer::Noted
            }
        }
    }
}

impl Sale {
    fn submit(&mut self, event: Event, rules: &Rules) -> Answer {
        if let Some(known) = self.known.get(&event.id).filter(|_| !rules.has(Bug::NoDedupe)) {
            return if known.event == event { known.answer } else { Answer::OtherEvent };
        }
        if self.known.len() >= EVENTS_MAX || !self.watermark.has_room(&event.source) {
            return Answer::TooMany;
        }
        let watermark = self.watermark.at();
        if event.timestamp <= watermark && !rules.has(Bug::LateAccepted) {
            let answer = match rules.has(Bug::LateDroppedSilently) {
                true => Answer::Accepted { watermark },
                false => Answer::Late { watermark },
            };
            self.remember(event, answer);
            return answer;
        }
        let full = self.buffer.len() >= rules.capacity;
        if full && rules.has(Bug::OverflowDropsOldest) {
            self.buffer.drop_oldest();
        } else if full && !rules.has(Bug::RefusedYetKept) {
            return Answer::Full;
        }
        self.accepted += 1;
        self.watermark.saw(&event.source, event.timestamp, rules.window_ms, rules.sources);
        self.buffer.insert(event.clone(), rules);
        let answer = Answer::Accepted { watermark };
        self.remember(event, answer);
        if full && rules.has(Bug::RefusedYetKept) { Answer::Full } else { answer }
    }

    fn remember(&mut self, event: Event, answer: Answer) {
        self.known.insert(event.id.clone(), Known { event, answer, position: None });
    }

    /// Processes what the watermark has passed.
    fn process(&mut self, rules: &Rules) {
        let until = if rules.has(Bug::ProcessedOnArrival) { u64::MAX } else { self.watermark.at() };
        let done = |known: &BTreeMap<Id, Known>, id: &Id| known.get(id).is_some_and(|k| k.position.is_some());
        while let Some(Due { event, complete }) = self.buffer.next(until, rules, |id| done(&self.known, id)) {
            let outcome = match complete {
                true => self.shop.take(&event, rules),
                false => Outcome::rejected(Reason::MissingDependency),
            };
            if let Some(known) = self.known.get_mut(&event.id) {
                known.position = Some(self.sequence.len() as u64);
            }
            self.sequence.push(Step { event: event.id, outcome });
        }
    }

    /// Whether anything would be processed if it were known that nothing was accepted for so long.
    pub(crate) fn would_go_on(&self, quiet_ms: u64, rules: &Rules) -> bool {
        let mut watermark = self.watermark.clone();
        watermark.passed(quiet_ms, rules.window_ms, rules.sources);
        self.buffer.next_moment(rules).is_some_and(|moment| moment <= watermark.at())
    }

    /// Event time.
    pub(crate) fn watermark(&self) -> u64 {
        self.watermark.at()
    }

    /// Events that wait.
    pub(crate) fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// Events accepted so far.
    pub(crate) fn accepted(&self) -> u64 {
        self.accepted
    }

    /// Events processed so far.
    pub(crate) fn processed(&self) -> u64 {
        self.sequence.len() as u64
    }

    /// Pieces in stock.
    pub(crate) fn level(&self, sku: &Id) -> i64 {
        self.shop.level(sku)
    }

    /// At most so many steps of the sequence, from this one on.
    pub(crate) fn page(&self, from: u64, limit: usize) -> Vec<Processed> {
        let steps = self.sequence.iter().enumerate().skip(from as usize).take(limit);
        let shown = steps.filter_map(|(position, step)| {
            let event = self.known.get(&step.event)?.event.clone();
            Some(Processed { position: position as u64, event, outcome: step.outcome.clone() })
        });
        shown.collect()
    }

    /// How far an order has come.
    pub(crate) fn order(&self, id: &Id) -> Order {
        let known = self.known.get(id).filter(|known| matches!(known.event.what, What::Order { .. }));
        let position = known.and_then(|known| known.position);
        let outcome = position.and_then(|at| self.sequence.get(at as usize)).map(|step| &step.outcome);
        let status = match (known, outcome.map(|outcome| outcome.status)) {
            (None, _) => Progress::None,
            (Some(_), Some(Status::Rejected)) => Progress::Rejected,
            (Some(_), Some(_)) => Progress::Confirmed,
            (Some(Known { answer: Answer::Late { .. }, .. }), None) => Progress::Late,
            (Some(_), None) => Progress::Buffered,
        };
        Order {
            order: id.clone(),
            status,
            price: outcome.and_then(|outcome| outcome.price),
            promotion: outcome.and_then(|outcome| outcome.promotion.clone()),
            reason: outcome.and_then(|outcome| outcome.reason),
            position,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
