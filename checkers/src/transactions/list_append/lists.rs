//! What is kept of a history of appends and list reads: of each key the longest list read, of each read
//! how much of it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use ordeal_core::{EventKind, Operation};
use serde_json::Value;

use crate::models::Atom;
use crate::transactions::steps::{Step, Txn, steps};

/// No transaction, or no place.
pub(super) const NONE: u32 = u32::MAX;
/// A place that cannot be told: the same element was appended more than once.
pub(super) const UNCLEAR: u32 = u32::MAX - 1;
/// How many reads that contradict the longest list are kept.
const ODD_MAX: usize = 100;

/// A step of a transaction.
#[derive(Clone, Copy, Debug)]
pub(super) struct ListStep {
    pub(super) key: u32,
    pub(super) what: What,
}

/// What a step does.
#[derive(Clone, Copy, Debug)]
pub(super) enum What {
    Append(Atom),
    /// Reads so many elements of the longest list.
    Read(u32),
    /// Reads what is no beginning of the longest list, nor the other way round.
    Odd,
}

/// A read that contradicts the longest list read so far.
#[derive(Debug)]
pub(super) struct OddRead {
    pub(super) txn: u32,
    /// Who had read the longest list.
    pub(super) other: u32,
    pub(super) key: u32,
    pub(super) list: Vec<Atom>,
    /// Where the two first differ.
    pub(super) at: usize,
}

/// The longest list read of one key, and who read it.
#[derive(Debug)]
pub(super) struct Longest {
    pub(super) key: Atom,
    pub(super) list: Vec<Atom>,
    pub(super) reader: u32,
}

/// A history, as it is taken in.
#[derive(Debug, Default)]
pub(super) struct Lists {
    pub(super) txns: Vec<Txn>,
    /// Where the steps of each transaction end.
    step_ends: Vec<u32>,
    pub(super) steps: Vec<ListStep>,
    pub(super) keys: Vec<Longest>,
    key_numbers: HashMap<Atom, u32>,
    pub(super) odd: Vec<OddRead>,
    pub(super) odd_reads: usize,
    pub(super) reads: usize,
    /// Who failed to append an element.
    pub(super) failed: HashMap<(u32, Atom), Txn>,
    /// The first thing that could not be read.
    pub(super) error: Option<String>,
}

impl Lists {
    pub(super) fn take(&mut self, op: &Operation<'_>) {
        if self.error.is_some() {
            return;
        }
        let (kind, txn) = (op.kind(), Txn::of(op));
        let number = self.txns.len() as u32;
        let result = steps(op, |step, key, value| {
            let key = self.key(key);
            match (step, kind) {
                (Step::Append, EventKind::Fail) => {
                    self.failed.insert((key, Atom::from(value)), txn);
                }
                (Step::Append, _) => {
                    self.steps.push(ListStep { key, what: What::Append(Atom::from(value)) });
                }
                (Step::Read, EventKind::Ok) => {
                    let what = self.read(number, key, value)?;
                    self.reads += 1;
                    self.steps.push(ListStep { key, what });
                }
                (Step::Read, _) => {}
                (Step::Write, _) => return Err("a list is appended to and read, not written".to_owned()),
            }
            if self.steps.len() >= UNCLEAR as usize {
                return Err("more than four thousand million steps".to_owned());
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

    fn key(&mut self, key: Atom) -> u32 {
        match self.key_numbers.entry(key) {
            Entry::Occupied(entry) => *entry.get(),
            Entry::Vacant(entry) => {
                let number = self.keys.len() as u32;
                self.keys.push(Longest { key, list: Vec::new(), reader: NONE });
                *entry.insert(number)
            }
        }
    }

    /// Compares a list with the longest one of its key; of the two the longer one is kept.
    fn read(&mut self, txn: u32, key: u32, value: &Value) -> Result<What, String> {
        let list = match value {
            Value::Array(list) => list.as_slice(),
            Value::Null => &[],
            other => return Err(format!("a list is read as an array, not as {other}")),
        };
        let longest = &mut self.keys[key as usize];
        let differs = list.iter().zip(&longest.list).position(|(a, &b)| Atom::from(a) != b);
        if let Some(at) = differs {
            self.odd_reads += 1;
            if self.odd.len() < ODD_MAX {
                let list = list.iter().map(Atom::from).collect();
                self.odd.push(OddRead { txn, other: longest.reader, key, list, at });
            }
            return Ok(What::Odd);
        }
        if list.len() > longest.list.len() {
            longest.list.extend(list[longest.list.len()..].iter().map(Atom::from));
            longest.reader = txn;
        }
        Ok(What::Read(list.len() as u32))
    }

    /// The numbers of the steps of a transaction.
    pub(super) fn steps_of(&self, txn: u32) -> std::ops::Range<usize> {
        let txn = txn as usize;
        let begin = if txn == 0 { 0 } else { self.step_ends[txn - 1] as usize };
        begin..self.step_ends[txn] as usize
    }
}

/// Where every element of every longest list comes from. A *place* is a position in all longest lists laid
/// end to end, each with one place more for its end.
#[derive(Debug)]
pub(super) struct Places {
    /// The first place of each key, and the end of all.
    pub(super) base: Vec<u32>,
    /// Who appended the element at a place; `NONE` for ends, and where that cannot be told.
    pub(super) writer: Vec<u32>,
    /// The place of what a step appends: `NONE` if nobody read it, or `UNCLEAR`.
    pub(super) of_step: Vec<u32>,
    /// Whether a transaction took effect: it completed, or somebody read what it appended.
    pub(super) took_effect: Vec<bool>,
    /// Elements that somebody read, with two transactions that both appended them.
    pub(super) ambiguous: Vec<(u32, Atom, u32, u32)>,
    /// Places of elements that nobody appended.
    pub(super) unwritten: Vec<(u32, u32)>,
    /// Places of elements that occur earlier in the same list.
    pub(super) repeated: Vec<(u32, u32)>,
}

impl Places {
    /// `None` if there are more elements than can be numbered.
    pub(super) fn of(lists: &Lists) -> Option<Places> {
        let mut base = Vec::with_capacity(lists.keys.len() + 1);
        let mut total = 0_usize;
        for longest in &lists.keys {
            base.push(total as u32);
            total += longest.list.len() + 1;
        }
        if total >= super::super::graph::LABEL_MAX as usize {
            return None;
        }
        base.push(total as u32);
        let mut places = Places {
            base,
            writer: vec![NONE; total],
            of_step: vec![NONE; lists.steps.len()],
            took_effect: lists.txns.iter().map(|t| !t.is_open()).collect(),
            ambiguous: Vec::new(),
            unwritten: Vec::new(),
            repeated: Vec::new(),
        };
        places.find_writers(lists);
        Some(places)
    }

    fn find_writers(&mut self, lists: &Lists) {
        let mut appended: HashMap<(u32, Atom), (u32, u32)> = HashMap::new();
        let mut twice: HashMap<(u32, Atom), Vec<(u32, u32)>> = HashMap::new();
        for txn in 0..lists.txns.len() as u32 {
            for step in lists.steps_of(txn) {
                let ListStep { key, what: What::Append(element) } = lists.steps[step] else {
                    continue;
                };
                match appended.entry((key, element)) {
                    Entry::Vacant(entry) => {
                        entry.insert((txn, step as u32));
                    }
                    Entry::Occupied(first) => {
                        let all = twice.entry((key, element)).or_insert_with(|| vec![*first.get()]);
                        all.push((txn, step as u32));
                    }
                }
            }
        }
        for (key, longest) in (0_u32..).zip(&lists.keys) {
            for (place, &element) in (self.base[key as usize]..).zip(&longest.list) {
                if let Some(all) = twice.get(&(key, element)) {
                    self.ambiguous.push((key, element, all[0].0, all[1].0));
                    for &(_, step) in all {
                        self.of_step[step as usize] = UNCLEAR;
                    }
                } else if let Some(&(txn, step)) = appended.get(&(key, element)) {
                    if self.of_step[step as usize] == NONE {
                        self.writer[place as usize] = txn;
                        self.of_step[step as usize] = place;
                        self.took_effect[txn as usize] = true;
                    } else {
                        self.repeated.push((key, place));
                    }
                } else {
                    self.unwritten.push((key, place));
                }
            }
        }
    }

    /// The key that a place belongs to.
    pub(super) fn key(&self, place: u32) -> u32 {
        self.base.partition_point(|&base| base <= place) as u32 - 1
    }

    /// The place at the end of a key's longest list.
    pub(super) fn end(&self, key: u32) -> u32 {
        self.base[key as usize + 1] - 1
    }
}
