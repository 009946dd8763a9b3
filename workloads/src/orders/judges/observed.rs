//! What a history says of events and sequences.

use std::collections::BTreeMap;

use ordeal_checkers::Phases;
use ordeal_core::{EventKind, History, Key, Operation};
use serde::Deserialize;

use super::super::Event;
use super::super::event::{Answer, NodeStatus, Order, Step, Steps, Stock, Taken};
use crate::report::{node, result};

/// One time that an event was sent.
pub(super) struct Attempt<'a> {
    pub(super) answer: Option<Answer>,
    pub(super) op: &'a Operation<'a>,
}

/// An event, and all the times that it was sent.
pub(super) struct Sent<'a> {
    pub(super) event: Event,
    pub(super) attempts: Vec<Attempt<'a>>,
}

/// The sequence of a node in the end.
pub(super) struct Final<'a> {
    pub(super) node: &'a str,
    pub(super) steps: Vec<Step>,
    pub(super) op: &'a Operation<'a>,
}

/// All of it.
#[derive(Default)]
pub(super) struct Observed<'a> {
    /// By id.
    pub(super) sent: BTreeMap<String, Sent<'a>>,
    /// What was seen of sequences, whole or in part.
    pub(super) pages: Vec<(Steps, &'a Operation<'a>)>,
    pub(super) orders: Vec<(Order, &'a Operation<'a>)>,
    pub(super) stocks: Vec<(Stock, &'a Operation<'a>)>,
    /// Reads of an order or a stock whose answer is about another one, named here.
    pub(super) foreign: Vec<(String, &'a Operation<'a>)>,
    /// With whether it was in the final reads.
    pub(super) statuses: Vec<(NodeStatus, &'a Operation<'a>, bool)>,
    /// By node, the longest first.
    pub(super) finals: Vec<Final<'a>>,
    /// What could not be read.
    pub(super) unread: Vec<String>,
    /// When all faults had been healed, in nanoseconds.
    settled_ns: u64,
}

impl<'a> Sent<'a> {
    /// The first answer to end that says this.
    pub(super) fn answered(&self, taken: Taken) -> Option<&Attempt<'a>> {
        let said = |attempt: &&Attempt<'_>| attempt.answer.as_ref().is_some_and(|a| a.status == taken);
        self.attempts.iter().filter(said).min_by_key(|attempt| attempt.op.ret)
    }

    /// Whether every attempt was certainly refused.
    pub(super) fn refused(&self) -> bool {
        self.attempts.iter().all(|attempt| attempt.op.kind() == EventKind::Fail)
    }

    /// When the first attempt began that was not refused, in nanoseconds.
    pub(super) fn began_ns(&self) -> Option<u64> {
        let open = self.attempts.iter().filter(|attempt| attempt.op.kind() != EventKind::Fail);
        open.map(|attempt| attempt.op.invoke.time).min()
    }

    /// When the first attempt began that may have been accepted, in nanoseconds.
    pub(super) fn possible_ns(&self) -> Option<u64> {
        let late = self.answered(Taken::Late).is_some() && self.answered(Taken::Accepted).is_none();
        self.began_ns().filter(|_| !late)
    }

    /// By when it was accepted, if that was ever answered, in nanoseconds.
    pub(super) fn accepted_ns(&self) -> Option<u64> {
        self.answered(Taken::Accepted).map(|attempt| ended_ns(attempt.op))
    }
}

/// When an operation ended, in nanoseconds.
pub(super) fn ended_ns(op: &Operation<'_>) -> u64 {
    op.complete.map_or(u64::MAX, |event| event.time)
}

impl<'a> Observed<'a> {
    pub(super) fn of(history: &History, operations: &'a [Operation<'a>]) -> Self {
        let phases = Phases::of(history);
        let settled_ns = phases.began("settle").map_or(0, |(ns, _)| ns);
        let mut observed = Observed { settled_ns, ..Observed::default() };
        for op in operations {
            let is_final = phases.is_final(op.invoke);
            if let Err(why) = observed.take(op, is_final) {
                observed.unread.push(why);
            }
        }
        observed.finals.sort_by_key(|of| std::cmp::Reverse(of.steps.len()));
        observed
    }

    fn take(&mut self, op: &'a Operation<'a>, is_final: bool) -> Result<(), String> {
        match op.f() {
            "send" => {
                let event = Event::deserialize(op.input())
                    .map_err(|e| format!("#{}: this is no event: {e}", op.index()))?;
                let answer = result(op);
                let sent = self.sent.entry(event.id.clone());
                let sent = sent.or_insert(Sent { event, attempts: Vec::new() });
                let readable = answer.as_ref().ok().cloned().flatten();
                sent.attempts.push(Attempt { answer: readable, op });
                answer?;
            }
            "order" => match result::<Order>(op)? {
                Some(other) if op.input() != &*other.order => self.foreign.push((other.order, op)),
                order => self.orders.extend(order.map(|order| (order, op))),
            },
            "stock" => match result::<Stock>(op)? {
                Some(other) if op.key() != Some(&Key::Text(other.sku.clone())) => {
                    self.foreign.push((other.sku, op));
                }
                stock => self.stocks.extend(stock.map(|stock| (stock, op))),
            },
            "status" => self.statuses.extend(result(op)?.map(|status| (status, op, is_final))),
            "processed" => self.pages.extend(result(op)?.map(|steps| (steps, op))),
            "sequence" => {
                let Some(steps) = result::<Steps>(op)? else { return Ok(()) };
                if is_final && !self.finals.iter().any(|of| of.node == node(op)) {
                    self.finals.push(Final { node: node(op), steps: steps.events, op });
                } else {
                    self.pages.push((steps, op));
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The longest sequence in the end: what all the others must begin.
    pub(super) fn reference(&self) -> Option<&Final<'a>> {
        self.finals.first()
    }

    /// All the times that the event of this id was sent, and then this operation: what shows that it was dealt with wrongly.
    pub(super) fn shown<'b>(&self, id: &str, by: &'b Operation<'b>) -> Vec<&'b Operation<'b>>
    where
        'a: 'b,
    {
        let attempts = self.sent.get(id).into_iter().flat_map(|sent| &sent.attempts);
        attempts.map(|attempt| attempt.op).chain([by]).collect()
    }

    /// From when on nodes had reached each other, and no event was sent that may have been accepted, in nanoseconds.
    pub(super) fn quiet_from_ns(&self) -> u64 {
        let attempts = self.sent.values().flat_map(|sent| &sent.attempts);
        let open = attempts.filter(|attempt| attempt.op.kind() != EventKind::Fail);
        open.map(|attempt| ended_ns(attempt.op)).max().unwrap_or(0).max(self.settled_ns)
    }

    /// The window that nodes declare, in milliseconds.
    pub(super) fn window_ms(&self) -> Option<u64> {
        self.statuses.first().map(|(status, ..)| status.window_ms)
    }
}
