//! One log: the longest that its reads agree on, and where they do not.

use std::collections::BTreeMap;

use ordeal_core::{EventKind, Operation};
use serde_json::Value;

use crate::models::Atom;
use crate::recall::{AtomMap, Seen, Witnesses};

/// One log.
#[derive(Default)]
pub(super) struct Log {
    /// The longest log that agrees with all reads before it.
    pub(super) entries: Vec<Atom>,
    /// Reads that lengthened it, and to how much.
    pub(super) shown: Vec<(usize, Seen)>,
    pub(super) reads: Vec<(Seen, usize)>,
    pub(super) forks: BTreeMap<(usize, Atom), Fork>,
    /// Appends that were acknowledged with a position.
    pub(super) placed: Vec<(i64, Atom, Seen)>,
    /// Time and index of the last event of an append that may have taken effect.
    pub(super) changed: Option<(u64, u64)>,
    /// What appends of unknown outcome would append.
    pub(super) open: AtomMap<()>,
}

/// Reads that all have the same other entry at a position.
pub(super) struct Fork {
    pub(super) reads: usize,
    /// The first of them, and the read that showed the entry it differs from.
    pub(super) first: Seen,
    pub(super) from: Seen,
    pub(super) instead_of: Option<Atom>,
}

impl Log {
    pub(super) fn take_append(&mut self, op: &Operation<'_>, who: &mut Witnesses) {
        let value = Atom::from(op.input());
        let last = op.complete.unwrap_or(op.invoke);
        self.changed = self.changed.max(Some((last.time, last.index)));
        if op.kind() == EventKind::Info {
            self.open.insert(value, ());
        } else if let Some(position) = op.output().and_then(Value::as_i64) {
            self.placed.push((position, value, who.remember(op)));
        }
    }

    pub(super) fn take_read(&mut self, entries: &[Value], op: Seen) {
        self.reads.push((op, entries.len()));
        let known = self.entries.len();
        for (at, entry) in entries.iter().map(Atom::from).enumerate() {
            match self.entries.get(at).filter(|_| at < known) {
                Some(there) if *there == entry => {}
                Some(there) => return self.fork(at, Some(*there), entry, op),
                None => self.entries.push(entry),
            }
        }
        if known < entries.len() {
            self.shown.push((entries.len(), op));
        }
    }

    fn fork(&mut self, at: usize, instead_of: Option<Atom>, entry: Atom, op: Seen) {
        let from = self.shown_by(at).unwrap_or(op);
        let fork = self.forks.entry((at, entry)).or_insert(Fork { reads: 0, first: op, from, instead_of });
        fork.reads += 1;
    }

    /// The first read that showed the entry at this position.
    pub(super) fn shown_by(&self, at: usize) -> Option<Seen> {
        let first = self.shown.partition_point(|(length, _)| *length <= at);
        self.shown.get(first).map(|(_, op)| *op)
    }
}
