//! What was learned, what it rests on, and how it is forgotten.

use std::collections::HashMap;

use super::super::super::graph::Kind;
use super::{Link, NOWHERE, Search, Why};

/// An order that was learned or tried.
#[derive(Clone, Debug)]
pub(in super::super) struct Learned {
    pub(in super::super) from: u32,
    pub(in super::super) to: u32,
    pub(in super::super) reason: Reason,
    /// The choices that it rests on, by number, in order.
    pub(super) rests_on: Vec<u32>,
    /// The next such edge that leaves `from`, and that enters `to`.
    pub(super) next_out: u32,
    pub(super) next_in: u32,
}

/// Why it is so.
#[derive(Clone, Debug)]
pub(in super::super) enum Reason {
    /// `from` comes before a reader of the version that `to` wrote, and writes the same key.
    Between { version: u32, way: Vec<Link> },
    /// It was tried, or its contrary was tried and was impossible.
    Chosen { version: u32 },
}

impl Reason {
    /// The learned edges that it follows from directly.
    pub(super) fn learned(&self) -> impl Iterator<Item = u32> {
        let way: &[Link] = if let Reason::Between { way, .. } = self { way } else { &[] };
        way.iter().filter_map(|link| link.learned())
    }
}

/// A way that was tried.
pub(super) struct Choice {
    number: u32,
    /// How many edges there were before.
    learned: usize,
    /// Who was assumed to come before the writer of the version.
    txn: u32,
    version: u32,
}

impl Search<'_> {
    /// From now on `from` comes before `to`.
    pub(super) fn learn(&mut self, from: u32, to: u32, reason: Reason, rests_on: Vec<u32>) {
        if self.is_placed(to) {
            self.take_back(self.place[to as usize] as usize);
        }
        let (next_out, next_in) = (self.first_out[from as usize], self.first_in[to as usize]);
        let number = self.learned.len() as u32;
        self.learned.push(Learned { from, to, reason, rests_on, next_out, next_in });
        self.first_out[from as usize] = number;
        self.first_in[to as usize] = number;
        if !self.is_placed(from) {
            self.unmet[to as usize] += 1;
            self.waits[to as usize] = NOWHERE;
        }
    }

    /// The choices that some links rest on.
    pub(super) fn foundation(&self, links: impl Iterator<Item = u32>) -> Vec<u32> {
        let learned = links.filter_map(|number| self.learned.get(number as usize));
        let mut rests_on: Vec<u32> = learned.flat_map(|l| l.rests_on.iter().copied()).collect();
        rests_on.sort_unstable();
        rests_on.dedup();
        rests_on
    }

    /// Forgets all but the first so many learned edges; those forgotten, the first of them first.
    fn forget(&mut self, but: usize) -> Vec<Learned> {
        let mut forgotten = Vec::new();
        while self.learned.len() > but {
            let Some(edge) = self.learned.pop() else {
                break;
            };
            self.first_out[edge.from as usize] = edge.next_out;
            self.first_in[edge.to as usize] = edge.next_in;
            if !self.is_placed(edge.from) {
                self.met(edge.to);
            }
            forgotten.push(edge);
        }
        forgotten.reverse();
        forgotten
    }

    /// What rests on these choices is impossible, so the contrary of the last one follows from the others.
    /// Choices made since are forgotten with all that rests on them; the rest stays known. `false` if there
    /// were no choices.
    pub(super) fn contrary(&mut self, mut choices: Vec<u32>) -> bool {
        let Some(wrong) = choices.pop() else {
            return false;
        };
        let Some(at) = self.choices.iter().position(|choice| choice.number == wrong) else {
            return false;
        };
        let Choice { learned, txn, version, .. } = self.choices[at];
        self.choices.truncate(at);
        let mut moved: HashMap<u32, u32> = HashMap::new();
        for (old, mut edge) in (learned as u32..).zip(self.forget(learned)) {
            if edge.rests_on.last().is_some_and(|&last| last >= wrong) {
                continue;
            }
            // What it follows from rests on no more than it does, and so has stayed as well.
            if let Reason::Between { way, .. } = &mut edge.reason {
                way.iter_mut().for_each(|link| link.renumber(&moved));
            }
            moved.insert(old, self.learned.len() as u32);
            self.learn(edge.from, edge.to, edge.reason, edge.rests_on);
        }
        let writer = self.problem.writer(version);
        self.learn(writer, txn, Reason::Chosen { version }, choices.clone());
        for &reader in self.problem.readers(version) {
            if reader != txn {
                self.learn(reader, txn, Reason::Chosen { version }, choices.clone());
            }
        }
        true
    }

    pub(super) fn choose(&mut self, txn: u32, version: u32) {
        self.choices_made += 1;
        let number = self.choices_made as u32;
        self.choices.push(Choice { number, learned: self.learned.len(), txn, version });
        self.learn(txn, self.problem.writer(version), Reason::Chosen { version }, vec![number]);
    }
}

/// How an edge of the problem is told.
fn kind_of(why: &Why) -> Kind {
    match why {
        Why::Known(kind, _) => *kind,
        Why::Overwrites(_) => Kind::Rw,
        Why::Learned(_) => Kind::Ww,
    }
}

impl Link {
    /// The number of the learned edge that it is, if it is one.
    pub(super) fn learned(&self) -> Option<u32> {
        if let Why::Learned(number) = self.why { Some(number) } else { None }
    }

    fn renumber(&mut self, moved: &HashMap<u32, u32>) {
        if let Why::Learned(number) = &mut self.why {
            *number = moved.get(number).copied().unwrap_or(*number);
        }
    }

    /// What kind of dependency it is.
    pub(in super::super) fn kind(&self) -> Kind {
        kind_of(&self.why)
    }
}
