//! A history of reads and writes, as it is taken in.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use ordeal_core::{EventKind, Operation};

use super::UNCLEAR;
use crate::models::Atom;
use crate::transactions::steps::{Step, Txn, steps};

/// A step of a transaction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawStep {
    pub(crate) key: u32,
    pub(crate) writes: bool,
    pub(crate) value: Atom,
}

/// A history, as it is taken in.
#[derive(Debug, Default)]
pub(crate) struct Raw {
    pub(crate) txns: Vec<Txn>,
    step_ends: Vec<u32>,
    pub(crate) steps: Vec<RawStep>,
    pub(crate) keys: Vec<Atom>,
    key_numbers: HashMap<Atom, u32>,
    pub(crate) reads: usize,
    /// Who failed to write a value.
    pub(super) failed: HashMap<(u32, Atom), Txn>,
    /// The first thing that could not be read.
    pub(crate) error: Option<String>,
}

impl Raw {
    pub(crate) fn take(&mut self, op: &Operation<'_>) {
        if self.error.is_some() {
            return;
        }
        let (kind, txn) = (op.kind(), Txn::of(op));
        let result = steps(op, |step, key, value| {
            let (key, value) = (self.key(key), Atom::from(value));
            match (step, kind) {
                (Step::Append, _) => return Err("a register is written, not appended to".to_owned()),
                (Step::Write, EventKind::Fail) => {
                    self.failed.insert((key, value), txn);
                }
                (Step::Read, EventKind::Fail) => {}
                _ => {
                    let writes = step == Step::Write;
                    self.reads += usize::from(!writes && kind == EventKind::Ok);
                    self.steps.push(RawStep { key, writes, value });
                }
            }
            if self.steps.len() >= UNCLEAR as usize / 4 {
                return Err("more than a thousand million steps".to_owned());
            }
            Ok(())
        });
        match result {
            Ok(true) if kind != EventKind::Fail => {
                self.txns.push(txn);
                self.step_ends.push(self.steps.len() as u32);
            }
            Ok(_) => {}
            Err(why) => self.error = Some(why),
        }
    }

    /// The same history with each step as a transaction of its own, in the lane that is said.
    pub(crate) fn apart(self, lane: impl Fn(bool) -> u8) -> Raw {
        let mut txns = Vec::with_capacity(self.steps.len());
        for (t, txn) in (0_u32..).zip(&self.txns) {
            txns.extend(self.steps_of(t).map(|step| Txn { lane: lane(self.steps[step].writes), ..*txn }));
        }
        let step_ends = (1..=self.steps.len() as u32).collect();
        Raw { txns, step_ends, ..self }
    }

    fn key(&mut self, key: Atom) -> u32 {
        match self.key_numbers.entry(key) {
            Entry::Occupied(entry) => *entry.get(),
            Entry::Vacant(entry) => {
                self.keys.push(key);
                *entry.insert(self.keys.len() as u32 - 1)
            }
        }
    }

    pub(crate) fn steps_of(&self, txn: u32) -> std::ops::Range<usize> {
        let txn = txn as usize;
        let begin = if txn == 0 { 0 } else { self.step_ends[txn - 1] as usize };
        begin..self.step_ends[txn] as usize
    }

    /// A transaction with its steps.
    pub(crate) fn did(&self, txn: u32) -> String {
        let steps = self.steps_of(txn).map(|step| {
            let RawStep { key, writes, value } = self.steps[step];
            format!("{} {} {value}", if writes { "w" } else { "r" }, self.keys[key as usize])
        });
        let of = &self.txns[txn as usize];
        format!("{} (process {}): {}", of.name(), of.process, steps.collect::<Vec<_>>().join(", "))
    }
}
