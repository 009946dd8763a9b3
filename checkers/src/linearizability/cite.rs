//! What is kept of an operation to speak of it: compact, for there may be millions.

use std::collections::HashMap;

use ordeal_core::{Operation, Timed};
use serde_json::{Value, json};

use super::hash::FastMap;
use crate::words::ms;

/// Where an operation stands in the history.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cite {
    /// The index of the invocation.
    invoked: u64,
    /// When it began, in nanoseconds.
    from: u64,
    /// When it ended; [`Operation::OPEN`] if nobody knows.
    to: u64,
    /// How much greater the index of the completion is, or one of the two below.
    completed: u32,
    /// Who, by number.
    client: u32,
}

/// There is no completion.
const NEVER: u32 = u32::MAX;
/// The index of the completion does not fit; it is kept elsewhere.
const FAR: u32 = u32::MAX - 1;

/// What citations refer to.
#[derive(Debug, Default)]
pub(super) struct Citations {
    /// The process and the node of each client.
    clients: Vec<(u64, u32)>,
    numbers: FastMap<(u64, u32), u32>,
    /// Number 0 stands for no node.
    nodes: Vec<String>,
    node_numbers: HashMap<String, u32>,
    far: FastMap<u64, u64>,
}

impl Citations {
    pub(super) fn cite(&mut self, op: &Operation<'_>) -> Cite {
        let node = op.invoke.node.as_deref().map_or(0, |node| self.node(node));
        let process = op.process();
        let next = self.clients.len() as u32;
        let client = *self.numbers.entry((process, node)).or_insert(next);
        if client == next {
            self.clients.push((process, node));
        }
        let invoked = op.index();
        let completed = match op.complete.map(|e| e.index) {
            None => NEVER,
            Some(index) => match index.checked_sub(invoked).and_then(|d| u32::try_from(d).ok()) {
                Some(distance) if distance < FAR => distance,
                _ => {
                    self.far.insert(invoked, index);
                    FAR
                }
            },
        };
        let end = op.complete.filter(|_| op.ret != Operation::OPEN);
        let to = end.map_or(Operation::OPEN, |e| e.time);
        Cite { invoked, from: op.invoke.time, to, completed, client }
    }

    fn node(&mut self, name: &str) -> u32 {
        if let Some(&number) = self.node_numbers.get(name) {
            return number;
        }
        self.nodes.push(name.to_owned());
        let number = self.nodes.len() as u32;
        self.node_numbers.insert(name.to_owned(), number);
        number
    }

    /// The indices of an operation's events.
    pub(super) fn events(&self, cite: &Cite) -> impl Iterator<Item = u64> + use<> {
        [Some(cite.invoked), self.completed(cite)].into_iter().flatten()
    }

    fn completed(&self, cite: &Cite) -> Option<u64> {
        match cite.completed {
            NEVER => None,
            FAR => self.far.get(&cite.invoked).copied(),
            distance => Some(cite.invoked + u64::from(distance)),
        }
    }

    fn who(&self, cite: &Cite) -> (u64, Option<&str>) {
        let (process, node) = self.clients[cite.client as usize];
        let node = (node as usize).checked_sub(1).map(|at| self.nodes[at].as_str());
        (process, node)
    }

    /// `process 4 on n2, 1203.112 to 1210.400 ms`.
    pub(super) fn who_when(&self, cite: &Cite) -> String {
        let (process, node) = self.who(cite);
        let node = node.map_or_else(String::new, |n| format!(" on {n}"));
        let from = ms(cite.from);
        let when = match cite.to {
            Operation::OPEN => format!("from {from:.3} ms, end unknown"),
            to => format!("{from:.3} to {:.3} ms", ms(to)),
        };
        format!("process {process}{node}, {when}")
    }

    /// An operation as data, described by `text`.
    pub(super) fn as_data(&self, cite: &Cite, text: &str) -> Value {
        let (process, node) = self.who(cite);
        json!({
            "op": text,
            "process": process,
            "node": node,
            "from_ms": ms(cite.from),
            "to_ms": (cite.to != Operation::OPEN).then(|| ms(cite.to)),
            "invoked": cite.invoked,
            "completed": self.completed(cite),
        })
    }
}

impl Cite {
    /// The index of the invocation, by which verdicts cite the operation.
    pub(super) fn index(&self) -> u64 {
        self.invoked
    }
}

/// The calls of one object, each with where it stands.
#[derive(Debug)]
pub(super) struct Calls<C> {
    pub(super) timed: Vec<Timed<C>>,
    pub(super) cites: Vec<Cite>,
}

impl<C> Default for Calls<C> {
    fn default() -> Self {
        Calls { timed: Vec::new(), cites: Vec::new() }
    }
}

impl<C> Calls<C> {
    pub(super) fn push(&mut self, call: Timed<C>, cite: Cite) {
        self.timed.push(call);
        self.cites.push(cite);
    }

    pub(super) fn append(&mut self, others: &mut Calls<C>) {
        self.timed.append(&mut others.timed);
        self.cites.append(&mut others.cites);
    }

    /// Brings them in the order of their beginning, without a second copy of them.
    pub(super) fn sort(&mut self) {
        if self.timed.is_sorted_by_key(|call| call.start) {
            return;
        }
        let mut order: Vec<u32> = (0..self.timed.len() as u32).collect();
        order.sort_by_key(|&at| self.timed[at as usize].start);
        // Each cycle of the permutation in turn; a place that has been dealt with points to itself.
        for first in 0..order.len() {
            let mut at = first;
            while order[at] as usize != first {
                let from = order[at] as usize;
                self.timed.swap(at, from);
                self.cites.swap(at, from);
                order[at] = at as u32;
                at = from;
            }
            order[at] = at as u32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorting_keeps_calls_and_citations_together() {
        for starts in [vec![], vec![3], vec![1, 2, 3], vec![3, 1, 2, 0], vec![5, 5, 1, 9, 5, 0, 2, 2]] {
            let mut calls = Calls::default();
            for (at, &start) in (0..).zip(&starts) {
                let cite = Cite { invoked: at, from: start, to: start, completed: NEVER, client: 0 };
                calls.push(Timed { call: at, start, end: start }, cite);
            }
            calls.sort();
            assert!(calls.timed.is_sorted_by_key(|call| (call.start, call.call)), "stable");
            let together = calls.timed.iter().zip(&calls.cites);
            assert!(
                together.clone().all(|(call, cite)| call.call == cite.invoked && call.start == cite.from)
            );
            assert_eq!(together.count(), starts.len());
        }
    }

    #[test]
    fn a_completion_far_away_or_before_its_invocation_is_still_cited() {
        use ordeal_core::{Event, EventKind, Process};
        let event = |index| Event {
            index,
            time: 5,
            process: Process::Client(u64::MAX),
            kind: EventKind::Ok,
            f: "f".into(),
            value: Value::Null,
            key: None,
            node: Some("n".into()),
            error: None,
        };
        let mut citations = Citations::default();
        for (invoked, completed) in [(7, 8), (3, 3 + (1 << 40)), (9, 2), (0, u64::from(FAR))] {
            let (invoke, complete) = (event(invoked), event(completed));
            let op = Operation { invoke: &invoke, complete: Some(&complete), call: 0, ret: 1 };
            let cite = citations.cite(&op);
            assert_eq!(citations.events(&cite).collect::<Vec<_>>(), [invoked, completed]);
            assert_eq!(citations.who_when(&cite), format!("process {} on n, 0.000 to 0.000 ms", u64::MAX));
        }
        assert_eq!(size_of::<Cite>(), 32);
    }
}
