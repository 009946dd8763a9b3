//! Reads and writes of single values: which version each read saw, and who wrote it.
//!
//! A value that is written once to a key names a version of it. The first versions are those before
//! anything happened, one a key; `NONE` is their writer.

mod explain;
mod raw;

use std::collections::HashMap;

use crate::models::Atom;
pub(crate) use explain::anomaly;
pub(crate) use raw::{Raw, RawStep};

/// No transaction, or no version.
pub(crate) const NONE: u32 = u32::MAX;
/// A version that cannot be told, since its value was written more than once.
const UNCLEAR: u32 = u32::MAX - 1;

/// Something that cannot be so in any order of the transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Internal,
    Intermediate,
    Unwritten,
}

/// Items by transaction.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    ends: Vec<u32>,
    items: Vec<u32>,
}

impl Rows {
    /// Groups the second parts of pairs by the first.
    pub(crate) fn grouped(rows: usize, pairs: impl Iterator<Item = (u32, u32)> + Clone) -> Rows {
        let mut ends = vec![0_u32; rows + 1];
        pairs.clone().for_each(|(row, _)| ends[row as usize + 1] += 1);
        for i in 1..=rows {
            ends[i] += ends[i - 1];
        }
        let mut items = vec![0; ends[rows] as usize];
        for (row, item) in pairs {
            let at = &mut ends[row as usize];
            items[*at as usize] = item;
            *at += 1;
        }
        ends.pop();
        Rows { ends, items }
    }

    pub(crate) fn of(&self, row: u32) -> &[u32] {
        let row = row as usize;
        let begin = if row == 0 { 0 } else { self.ends[row - 1] as usize };
        &self.items[begin..self.ends[row] as usize]
    }

    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    /// The same, each item once a row.
    pub(crate) fn distinct(&self) -> Rows {
        let mut rows =
            Rows { ends: Vec::with_capacity(self.ends.len()), items: Vec::with_capacity(self.len()) };
        for row in 0..self.ends.len() as u32 {
            let begin = rows.items.len();
            rows.items.extend_from_slice(self.of(row));
            rows.items[begin..].sort_unstable();
            let mut kept = begin;
            for i in begin..rows.items.len() {
                if i == begin || rows.items[i] != rows.items[kept - 1] {
                    rows.items[kept] = rows.items[i];
                    kept += 1;
                }
            }
            rows.items.truncate(kept);
            rows.ends.push(kept as u32);
        }
        rows
    }
}

/// Who read and wrote which version.
#[derive(Debug)]
pub(crate) struct Versions {
    /// The key of each version. The first versions are those before anything happened.
    pub(crate) key: Vec<u32>,
    /// Who wrote it.
    pub(crate) writer: Vec<u32>,
    pub(crate) value: Vec<Atom>,
    /// Whether a transaction took effect: it completed, or somebody saw what it wrote.
    pub(crate) took_effect: Vec<bool>,
    /// What each transaction read from others, in order, without immediate repetitions.
    pub(crate) reads: Rows,
    /// What each transaction last wrote to each key, by key.
    pub(crate) writes: Rows,
    /// The version of each step.
    pub(crate) of_step: Vec<u32>,
    /// Reads of one key by one transaction that saw two versions: who, and the later read.
    pub(crate) unrepeatable: Vec<(u32, usize)>,
    faults: Vec<(u32, usize, Fault)>,
    /// Values that were read and written more than once: key, value, two writers (`NONE`: nobody).
    pub(crate) ambiguous: Vec<(u32, Atom, u32, u32)>,
}

impl Versions {
    /// `initial` is the value before anything happened. If `guess_initial`, a value that nobody wrote is
    /// taken for it where nothing speaks against that.
    pub(crate) fn of(raw: &Raw, initial: Atom, guess_initial: bool) -> Versions {
        let keys = raw.keys.len();
        let mut versions = Versions {
            key: (0..keys as u32).collect(),
            writer: vec![NONE; keys],
            value: vec![initial; keys],
            took_effect: raw.txns.iter().map(|t| !t.is_open()).collect(),
            reads: Rows::default(),
            writes: Rows::default(),
            of_step: vec![NONE; raw.steps.len()],
            unrepeatable: Vec::new(),
            faults: Vec::new(),
            ambiguous: Vec::new(),
        };
        versions.name(raw, guess_initial);
        versions.see_what_took_effect(raw);
        versions.walk(raw);
        versions
    }

    /// Gives every step its version.
    fn name(&mut self, raw: &Raw, guess_initial: bool) {
        let mut named: HashMap<(u32, Atom), u32> = HashMap::with_capacity(raw.steps.len() / 2);
        let mut twice: HashMap<(u32, Atom), (u32, u32)> = HashMap::new();
        for txn in 0..raw.txns.len() as u32 {
            for step in raw.steps_of(txn) {
                let RawStep { key, writes: true, value } = raw.steps[step] else {
                    continue;
                };
                if value == self.value[key as usize] {
                    twice.entry((key, value)).or_insert((NONE, txn));
                }
                let fresh = self.key.len() as u32;
                let mut version = *named.entry((key, value)).or_insert(fresh);
                if version != fresh && self.writer[version as usize] != txn {
                    twice.entry((key, value)).or_insert((self.writer[version as usize], txn));
                    version = fresh;
                }
                if version == fresh {
                    self.key.push(key);
                    self.writer.push(txn);
                    self.value.push(value);
                }
                self.of_step[step] = version;
            }
        }
        if guess_initial {
            self.guess_initial(raw, &named);
        }
        for (step, &RawStep { key, writes, value }) in raw.steps.iter().enumerate() {
            if writes {
                continue;
            }
            self.of_step[step] = match twice.get(&(key, value)) {
                Some(_) => UNCLEAR,
                None if value == self.value[key as usize] => key,
                None => named.get(&(key, value)).copied().unwrap_or(NONE),
            };
            if let Some((one, other)) = twice.get_mut(&(key, value))
                && *other != NONE
            {
                self.ambiguous.push((key, value, *one, *other));
                *other = NONE;
            }
        }
    }

    /// Where one value was read that nobody wrote or tried to write, and the initial one was not, it is
    /// the initial one.
    fn guess_initial(&mut self, raw: &Raw, named: &HashMap<(u32, Atom), u32>) {
        let mut guess: HashMap<u32, Option<Atom>> = HashMap::new();
        for &RawStep { key, writes, value } in &raw.steps {
            let initial = value == self.value[key as usize];
            if writes || (!initial && named.contains_key(&(key, value))) {
                continue;
            }
            let good = !initial && !raw.failed.contains_key(&(key, value));
            let guess = guess.entry(key).or_insert(good.then_some(value));
            *guess = guess.filter(|&guess| guess == value && good);
        }
        for (key, guess) in guess {
            if let Some(value) = guess {
                self.value[key as usize] = value;
            }
        }
    }

    /// A transaction of unknown outcome took effect if one that took effect saw what it wrote.
    fn see_what_took_effect(&mut self, raw: &Raw) {
        let mut work: Vec<u32> =
            (0..raw.txns.len() as u32).filter(|&t| self.took_effect[t as usize]).collect();
        while let Some(txn) = work.pop() {
            for step in raw.steps_of(txn).filter(|&step| !raw.steps[step].writes) {
                let Some(&writer) = self.writer.get(self.of_step[step] as usize) else {
                    continue;
                };
                if writer != NONE && !self.took_effect[writer as usize] {
                    self.took_effect[writer as usize] = true;
                    work.push(writer);
                }
            }
        }
    }

    /// Walks through every transaction that took effect.
    fn walk(&mut self, raw: &Raw) {
        // Of each key: for which transaction the rest is (one more), what it last wrote, what it last read.
        let mut own = vec![(0_u32, NONE, NONE); raw.keys.len()];
        let mut last: Vec<u32> = vec![NONE; self.key.len()];
        for txn in 0..raw.txns.len() as u32 {
            if self.took_effect[txn as usize] {
                for step in raw.steps_of(txn) {
                    let RawStep { key, writes, .. } = raw.steps[step];
                    let own = &mut own[key as usize];
                    if own.0 != txn + 1 {
                        *own = (txn + 1, NONE, NONE);
                    }
                    if writes {
                        own.1 = self.of_step[step];
                    }
                }
                let begin = self.writes.items.len();
                for step in raw.steps_of(txn) {
                    let RawStep { key, writes, .. } = raw.steps[step];
                    let written = &mut own[key as usize].1;
                    if writes && *written != NONE {
                        last[*written as usize] = txn;
                        self.writes.items.push(*written);
                        *written = NONE;
                    }
                }
                let key = &self.key;
                self.writes.items[begin..].sort_unstable_by_key(|&v| key[v as usize]);
            }
            self.writes.ends.push(self.writes.items.len() as u32);
        }
        own.fill((0, NONE, NONE));
        for txn in 0..raw.txns.len() as u32 {
            if self.took_effect[txn as usize] {
                for step in raw.steps_of(txn) {
                    let own = &mut own[raw.steps[step].key as usize];
                    if own.0 != txn + 1 {
                        *own = (txn + 1, NONE, NONE);
                    }
                    if raw.steps[step].writes {
                        own.1 = self.of_step[step];
                    } else {
                        self.read(txn, step, own, &last);
                    }
                }
            }
            self.reads.ends.push(self.reads.items.len() as u32);
        }
    }

    fn read(&mut self, txn: u32, step: usize, own: &mut (u32, u32, u32), last: &[u32]) {
        let version = self.of_step[step];
        let (written, read) = (own.1, own.2);
        let fault = match version {
            UNCLEAR => return,
            NONE => Fault::Unwritten,
            _ if written == version => return,
            _ if written != NONE || self.writer[version as usize] == txn => Fault::Internal,
            _ if self.writer[version as usize] != last[version as usize] => Fault::Intermediate,
            _ => {
                let begin = self.reads.ends.last().map_or(0, |&end| end as usize);
                if self.reads.items[begin..].last() == Some(&version) {
                    return;
                }
                if read != NONE && read != version {
                    self.unrepeatable.push((txn, step));
                }
                own.2 = version;
                self.reads.items.push(version);
                return;
            }
        };
        self.faults.push((txn, step, fault));
    }

    /// Whether nobody can say what a step read, since the value was written more than once.
    pub(crate) fn is_unclear(&self, step: usize) -> bool {
        self.of_step[step] == UNCLEAR
    }
}
