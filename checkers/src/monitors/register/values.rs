//! Small numbers for the values of a register.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use ordeal_core::Timed;

use crate::models::{Atom, RegisterAction};

/// No number, no call.
pub(super) const NONE: u32 = u32::MAX;

/// The number of the value before anything happened.
pub(super) const INITIAL: u32 = 0;

/// The calls' values by number, in order of appearance; [`INITIAL`] is the first.
#[derive(Debug)]
pub(super) struct Values {
    /// For each call the value it returned, left behind or, if it was refused, did not find.
    pub(super) to: Vec<u32>,
    /// For each call what a compare-and-set expects; empty if there is none.
    from: Vec<u32>,
    /// How many values there are.
    pub(super) count: usize,
}

impl Values {
    pub(super) fn of(initial: Atom, calls: &[Timed<RegisterAction>]) -> Values {
        let words = || calls.iter().flat_map(|c| both(c.call)).flatten();
        let range = words().fold((i64::MAX, i64::MIN), |(low, high), word| (low.min(word), high.max(word)));
        let span = i128::from(range.1) - i128::from(range.0);
        if span < 8 * calls.len() as i128 + 64 {
            let mut table = vec![NONE; usize::try_from(span + 1).unwrap_or(0)];
            number(initial, calls, |word, next| {
                let entry = &mut table[(word - range.0) as usize];
                if *entry == NONE {
                    *entry = next;
                }
                *entry
            })
        } else {
            let mut table: HashMap<i64, u32, BuildHasherDefault<Mix>> = HashMap::default();
            number(initial, calls, |word, next| *table.entry(word).or_insert(next))
        }
    }

    /// What the call expects, if it is a compare-and-set.
    pub(super) fn from(&self, call: usize) -> u32 {
        self.from.get(call).copied().unwrap_or(NONE)
    }
}

/// The values of a call: what is there after it, and what it expects.
fn both(call: RegisterAction) -> [Option<i64>; 2] {
    match call {
        RegisterAction::Read(v) | RegisterAction::Write(v) | RegisterAction::NotCas(v) => {
            [Some(v.rank()), None]
        }
        RegisterAction::Cas(from, to) => [Some(to.rank()), Some(from.rank())],
    }
}

/// Numbers all values. `look_up` returns the number of a word, or gives it the next.
fn number(
    initial: Atom,
    calls: &[Timed<RegisterAction>],
    mut look_up: impl FnMut(i64, u32) -> u32,
) -> Values {
    let mut count = 1;
    let mut number = |word| {
        if word == initial.rank() {
            return INITIAL;
        }
        let number = look_up(word, count);
        count += u32::from(number == count);
        number
    };
    let some_cas = calls.iter().any(|c| matches!(c.call, RegisterAction::Cas(..)));
    let mut to = Vec::with_capacity(calls.len());
    let mut from = Vec::with_capacity(if some_cas { calls.len() } else { 0 });
    for call in calls {
        let [after, before] = both(call.call);
        to.push(after.map_or(NONE, &mut number));
        if some_cas {
            from.push(before.map_or(NONE, &mut number));
        }
    }
    Values { to, from, count: count as usize }
}

/// One multiplication and a shift: the words are not chosen by anyone who gains from collisions.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mix(u64);

impl Hasher for Mix {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&b| self.write_u64(u64::from(b)));
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }

    fn write_u32(&mut self, word: u32) {
        self.write_u64(u64::from(word));
    }

    fn write_i64(&mut self, word: i64) {
        self.write_u64(word as u64);
    }

    fn write_usize(&mut self, word: usize) {
        self.write_u64(word as u64);
    }

    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }
}
