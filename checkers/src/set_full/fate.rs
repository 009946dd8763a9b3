//! One set: what its reads say of each element.
//!
//! Elements are numbered as they turn up and reads kept as runs of numbers, few where reads show almost
//! everything there is. The last read to miss an element and the first and last to show it come from three
//! sweeps over all runs, in which every element is settled once; those settled are skipped by union-find.

use std::collections::BTreeMap;

use ordeal_core::EventKind;
use serde_json::Value;

use crate::models::Atom;
use crate::recall::{AtomMap, Attempts, Seen};

/// No read.
const NONE: u32 = u32::MAX;

/// One set.
#[derive(Default)]
pub(super) struct Set {
    numbers: AtomMap<u32>,
    /// The elements, in order of their numbers.
    pub(super) names: Vec<Atom>,
    /// Who added each of them.
    pub(super) adds: Vec<Option<Attempts>>,
    pub(super) reads: Vec<Read>,
    /// Of elements that one read showed several times: how often at most, and which read.
    pub(super) duplicated: BTreeMap<u32, (usize, u32)>,
}

pub(super) struct Read {
    op: Seen,
    /// The numbers of the elements it showed, as rising ranges `start..end`.
    runs: Box<[(u32, u32)]>,
}

impl Set {
    fn number(&mut self, name: Atom) -> u32 {
        let next = self.names.len() as u32;
        let number = *self.numbers.entry(name).or_insert(next);
        if number == next {
            self.names.push(name);
            self.adds.push(None);
        }
        number
    }

    pub(super) fn take_add(&mut self, name: Atom, op: Seen, kind: EventKind) {
        let number = self.number(name);
        match &mut self.adds[number as usize] {
            Some(adds) => adds.add(op, kind),
            none => *none = Some(Attempts::new(op, kind)),
        }
    }

    pub(super) fn take_read(&mut self, op: Seen, elements: &[Value], numbers: &mut Vec<u32>) {
        numbers.clear();
        for name in elements.iter().map(Atom::from) {
            // Sets are mostly shown in the order in which they grew: a guess saves looking it up.
            let guess = numbers.last().map_or(0, |last| last + 1);
            let right = self.names.get(guess as usize).is_some_and(|next| *next == name);
            numbers.push(if right { guess } else { self.number(name) });
        }
        if !numbers.is_sorted() {
            numbers.sort_unstable();
        }
        let read = self.reads.len() as u32;
        let mut runs: Vec<(u32, u32)> = Vec::new();
        for same in numbers.chunk_by(|a, b| a == b) {
            let number = same[0];
            match runs.last_mut() {
                Some(run) if run.1 == number => run.1 += 1,
                _ => runs.push((number, number + 1)),
            }
            if same.len() > 1 {
                let most = self.duplicated.entry(number).or_insert((same.len(), read));
                if most.0 < same.len() {
                    *most = (same.len(), read);
                }
            }
        }
        self.reads.push(Read { op, runs: runs.into() });
    }
}

/// For each element the first read, in this order, whose ranges hold it; [`NONE`] if there is none.
fn first_to_hold<'s>(
    elements: usize,
    reads: impl Iterator<Item = (u32, &'s [(u32, u32)])>,
    gaps: bool,
) -> Vec<u32> {
    let mut found = vec![NONE; elements];
    // The next element at or after this one that has no read yet.
    let mut next: Vec<u32> = (0..=elements as u32).collect();
    let mut settle = |read: u32, start: u32, end: u32| {
        let mut at = find(&mut next, start);
        while at < end {
            found[at as usize] = read;
            next[at as usize] = at + 1;
            at = find(&mut next, at + 1);
        }
    };
    for (read, runs) in reads {
        if gaps {
            let mut from = 0;
            for &(start, end) in runs {
                settle(read, from, start);
                from = end;
            }
            settle(read, from, elements as u32);
        } else {
            runs.iter().for_each(|&(start, end)| settle(read, start, end));
        }
    }
    found
}

fn find(next: &mut [u32], mut at: u32) -> u32 {
    while next[at as usize] != at {
        let after = next[next[at as usize] as usize];
        next[at as usize] = after;
        at = after;
    }
    at
}

/// What the reads say of each element.
pub(super) struct Sight<'s> {
    pub(super) set: &'s Set,
    first_shown: Vec<u32>,
    last_shown: Vec<u32>,
    last_missed: Vec<u32>,
}

impl<'s> Sight<'s> {
    pub(super) fn of(set: &'s Set) -> Self {
        let reads = &set.reads;
        let runs = |i: &u32| (*i, &*reads[*i as usize].runs);
        let op = |i: &u32| &reads[*i as usize].op;
        let n = set.names.len();
        let mut order: Vec<u32> = (0..reads.len() as u32).collect();
        order.sort_unstable_by_key(|i| (op(i).ret, op(i).index()));
        let first_shown = first_to_hold(n, order.iter().map(runs), false);
        let last_shown = first_to_hold(n, order.iter().rev().map(runs), false);
        order.sort_unstable_by_key(|i| (op(i).call, op(i).index()));
        let last_missed = first_to_hold(n, order.iter().rev().map(runs), true);
        Sight { set, first_shown, last_shown, last_missed }
    }

    pub(super) fn read(&self, number: u32) -> Option<&'s Seen> {
        self.set.reads.get(number as usize).map(|read| &read.op)
    }

    pub(super) fn fate(&self, at: usize) -> Fate<'s> {
        let shown = self.read(self.first_shown[at]);
        let adds = self.set.adds[at].as_ref();
        if let Some(shown) = shown {
            match adds {
                Some(adds) if adds.first_live_call < shown.ret => {}
                Some(adds) if adds.first_call < shown.ret => return Fate::Resurrected(shown),
                _ => return Fate::Unexpected(shown),
            }
        }
        let added = adds.and_then(Attempts::first_acknowledged);
        let Some(known) = [added, shown].into_iter().flatten().min_by_key(|op| op.ret) else {
            return Fate::Unknown;
        };
        let missed = self.read(self.last_missed[at]).filter(|missed| known.precedes(missed));
        match (self.read(self.last_shown[at]), missed) {
            (last, Some(missed)) if last.is_none_or(|last| last.precedes(missed)) => {
                Fate::Lost { known, last, missed }
            }
            (_, Some(missed)) => Fate::Stale { known, missed },
            (Some(_), None) => Fate::Stable,
            (None, None) => Fate::NeverRead,
        }
    }
}

/// What became of an element.
pub(super) enum Fate<'s> {
    /// Nobody knows whether it was ever added, and no read shows it.
    Unknown,
    NeverRead,
    Stable,
    Stale {
        known: &'s Seen,
        missed: &'s Seen,
    },
    Lost {
        known: &'s Seen,
        last: Option<&'s Seen>,
        missed: &'s Seen,
    },
    Unexpected(&'s Seen),
    Resurrected(&'s Seen),
}
