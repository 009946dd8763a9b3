//! Contradictions that need no graph: within one transaction, or between a read and whoever appended what
//! it read.

use super::lists::{Lists, NONE, Places, UNCLEAR, What};

/// Something that cannot be so in any order of the transactions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Direct {
    /// A read of a transaction contradicts what it itself did before or did only later.
    Internal { txn: u32, step: usize },
    /// A transaction's appends to a key are in the list in another order than it made them.
    OutOfOrder { txn: u32, step: usize },
    /// An append is missing from a list that has a later one of the same transaction.
    Lost { txn: u32, step: usize },
    /// A list ends with an append that another transaction followed by further ones.
    Intermediate { txn: u32, place: u32 },
}

/// What a walk through every transaction yields.
#[derive(Debug, Default)]
pub(super) struct Walk {
    pub(super) found: Vec<Direct>,
    /// The first read of each key in each transaction that did not append to it before: who, and the place
    /// behind what was read.
    pub(super) reads: Vec<(u32, u32)>,
    /// Who appended to which key what nobody read.
    pub(super) unread: Vec<(u32, u32)>,
}

/// What a transaction did to one key so far.
#[derive(Clone, Copy, Default)]
struct Own {
    /// One more than the transaction that this is about.
    of: u32,
    /// How many elements it should read now, if it has read.
    expected: Option<u32>,
    /// The step of its last append.
    last: Option<usize>,
}

/// Walks through all transactions that took effect.
pub(super) fn walk(lists: &Lists, places: &Places) -> Walk {
    let mut walk = Walk::default();
    let mut own = vec![Own::default(); lists.keys.len()];
    let mut first_later = vec![(0_u32, NONE); lists.keys.len()];
    for txn in (0..lists.txns.len() as u32).filter(|&t| places.took_effect[t as usize]) {
        for step in lists.steps_of(txn) {
            let key = lists.steps[step].key;
            let own = &mut own[key as usize];
            if own.of != txn + 1 {
                *own = Own { of: txn + 1, expected: None, last: None };
            }
            match lists.steps[step].what {
                What::Append(_) => walk.append(places, txn, key, step, own),
                What::Read(len) => walk.read(places, txn, key, (step, len), own),
                What::Odd => {}
            }
        }
        // A read that has what the transaction appends only afterwards.
        for step in lists.steps_of(txn).rev() {
            let key = lists.steps[step].key;
            let later = &mut first_later[key as usize];
            if later.0 != txn + 1 {
                *later = (txn + 1, NONE);
            }
            match lists.steps[step].what {
                What::Append(_) => later.1 = later.1.min(places.of_step[step]),
                What::Read(len) if later.1 < places.base[key as usize] + len => {
                    walk.found.push(Direct::Internal { txn, step });
                }
                What::Read(_) | What::Odd => {}
            }
        }
    }
    walk.unread.sort_unstable();
    walk.unread.dedup();
    walk.intermediate(places);
    walk
}

impl Walk {
    fn append(&mut self, places: &Places, txn: u32, key: u32, step: usize, own: &mut Own) {
        let place = places.of_step[step];
        if place == NONE {
            self.unread.push((key, txn));
        }
        if let Some(last) = own.last {
            match (places.of_step[last], place) {
                (UNCLEAR, _) | (_, UNCLEAR | NONE) => {}
                (NONE, _) => self.found.push(Direct::Lost { txn, step: last }),
                (before, place) if place < before => self.found.push(Direct::OutOfOrder { txn, step }),
                _ => {}
            }
        }
        own.last = Some(step);
        own.expected = own.expected.map(|n| n.saturating_add(1));
    }

    fn read(&mut self, places: &Places, txn: u32, key: u32, (step, len): (usize, u32), own: &mut Own) {
        let behind = places.base[key as usize] + len;
        let right = own.expected.is_none_or(|expected| expected == len)
            && own.last.is_none_or(|last| match places.of_step[last] {
                UNCLEAR => true,
                place => place != NONE && place + 1 == behind,
            });
        if !right {
            self.found.push(Direct::Internal { txn, step });
        }
        if own.expected.is_none() && own.last.is_none() {
            self.reads.push((txn, behind));
        }
        own.expected = Some(len);
    }

    /// Reads that end between two appends of another transaction.
    fn intermediate(&mut self, places: &Places) {
        for &(txn, behind) in &self.reads {
            let Some(place) = behind.checked_sub(1) else {
                continue;
            };
            let writer = places.writer[place as usize];
            if writer == NONE || writer == txn {
                continue;
            }
            let next = places.writer[behind as usize];
            // The place behind the last element belongs to nobody: the rest may be unread.
            let cut = next == writer || {
                let key = places.key(place);
                behind == places.end(key) && self.unread.binary_search(&(key, writer)).is_ok()
            };
            if cut {
                self.found.push(Direct::Intermediate { txn, place });
            }
        }
    }
}
