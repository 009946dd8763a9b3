//! What must commit before what, for read committed and read atomic.

use std::collections::HashMap;

use super::super::versions::NONE;
use super::Case;

/// `from` must commit before `to`, for `reader` read `version`, which `to` wrote, and depended on `from`,
/// which wrote the same key. Without `to`, it was there from the beginning: a contradiction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Derived {
    pub(in super::super) from: u32,
    pub(in super::super) to: u32,
    pub(in super::super) reader: u32,
    pub(in super::super) version: u32,
}

impl Case<'_> {
    /// The edge, unless it would say that a transaction comes before itself.
    pub(in super::super) fn derive(&self, derived: &mut Vec<Derived>, from: u32, reader: u32, version: u32) {
        let to = self.versions.writer[version as usize];
        if from != to {
            derived.push(Derived { from, to, reader, version });
        }
    }

    fn writes(&self, txn: u32, key: u32) -> bool {
        let of = |&version: &u32| self.versions.key[version as usize];
        self.versions.writes.of(txn).binary_search_by_key(&key, of).is_ok()
    }

    /// The keys that both the transaction writes and `slots` holds, with their slots: the shorter list is
    /// looked up in the longer one, which is what bounds the whole at O(n^1.5).
    fn common(&self, txn: u32, slots: &Slots, mut visit: impl FnMut(usize)) {
        let writes = self.versions.writes.of(txn);
        if writes.len() <= slots.keys.len() {
            for &version in writes {
                if let Some(slot) = slots.slot(self.versions.key[version as usize]) {
                    visit(slot);
                }
            }
        } else {
            (0..slots.keys.len()).filter(|&slot| self.writes(txn, slots.keys[slot])).for_each(visit);
        }
    }
}

/// The keys that one transaction reads, numbered.
#[derive(Default)]
struct Slots {
    keys: Vec<u32>,
    /// Of each key: one more than the transaction its slot is of, and the slot.
    of_key: Vec<(u32, u32)>,
    now: u32,
}

impl Slots {
    fn of(&mut self, txn: u32, case: &Case<'_>) {
        self.of_key.resize(case.raw.keys.len(), (0, 0));
        self.now = txn + 1;
        self.keys.clear();
        for &version in case.versions.reads.of(txn) {
            let key = case.versions.key[version as usize];
            let slot = &mut self.of_key[key as usize];
            if slot.0 != self.now {
                *slot = (self.now, self.keys.len() as u32);
                self.keys.push(key);
            }
        }
    }

    fn slot(&self, key: u32) -> Option<usize> {
        let (of, slot) = self.of_key[key as usize];
        (of == self.now).then_some(slot as usize)
    }
}

/// For each read of a key, the transactions that write the key and of which something was read since the
/// last read of the key, and the one that the last read was of: those read of before lead to that one.
pub(super) fn read_committed(case: &Case<'_>) -> Vec<Derived> {
    let mut derived = Vec::new();
    let mut slots = Slots::default();
    let mut waiting: Vec<Vec<u32>> = Vec::new();
    let mut seen = vec![0_u32; case.raw.txns.len()];
    for &txn in &case.sessions {
        let reads = case.versions.reads.of(txn);
        if reads.len() < 2 {
            continue;
        }
        slots.of(txn, case);
        if waiting.len() < slots.keys.len() {
            waiting.resize(slots.keys.len(), Vec::new());
        }
        waiting.iter_mut().take(slots.keys.len()).for_each(Vec::clear);
        for &version in reads {
            let Some(slot) = slots.slot(case.versions.key[version as usize]) else {
                continue;
            };
            let writer = case.versions.writer[version as usize];
            for from in waiting[slot].drain(..) {
                case.derive(&mut derived, from, txn, version);
            }
            if writer == NONE {
                continue;
            }
            if seen[writer as usize] == txn + 1 {
                waiting[slot].push(writer);
            } else {
                seen[writer as usize] = txn + 1;
                case.common(writer, &slots, |slot| waiting[slot].push(writer));
            }
        }
    }
    derived
}

/// For each read of a key, the transactions that write the key among all that were read of and the last one
/// in the session before.
pub(super) fn read_atomic(case: &Case<'_>) -> Vec<Derived> {
    let mut derived = Vec::new();
    let mut slots = Slots::default();
    let mut seen = vec![0_u32; case.raw.txns.len()];
    let mut of_slot: Vec<u32> = Vec::new();
    let mut last: HashMap<u32, u32> = HashMap::new();
    let mut process = None;
    for &txn in &case.sessions {
        if process != Some(case.raw.txns[txn as usize].process) {
            process = Some(case.raw.txns[txn as usize].process);
            last.clear();
        }
        slots.of(txn, case);
        of_slot.clear();
        of_slot.resize(slots.keys.len(), NONE);
        let reads = case.versions.reads.of(txn);
        for &version in reads {
            let key = case.versions.key[version as usize];
            if let Some(slot) = slots.slot(key) {
                of_slot[slot] = version;
            }
            if let Some(&from) = last.get(&key) {
                case.derive(&mut derived, from, txn, version);
            }
        }
        for &version in reads {
            let from = case.versions.writer[version as usize];
            if from != NONE && seen[from as usize] != txn + 1 {
                seen[from as usize] = txn + 1;
                case.common(from, &slots, |slot| case.derive(&mut derived, from, txn, of_slot[slot]));
            }
        }
        if !case.raw.txns[txn as usize].is_open() {
            for &version in case.versions.writes.of(txn) {
                last.insert(case.versions.key[version as usize], txn);
            }
        }
    }
    derived
}
