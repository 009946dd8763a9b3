//! The calls of a register, made ready for the searches.

use ordeal_core::{Operation, Timed};

use super::values::{INITIAL, NONE, Values};
use crate::models::RegisterAction;

/// What a call does, by the numbers of its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Act {
    /// Finds this value.
    Read(u32),
    /// Finds any value but this.
    Not(u32),
    /// Sets this value.
    Write(u32),
    /// Sets the second value where it finds the first, another one.
    Swap(u32, u32),
}

impl Act {
    /// Whether it is possible where the register holds `value`.
    pub(super) fn accepts(self, value: u32) -> bool {
        match self {
            Act::Read(v) | Act::Swap(v, _) => v == value,
            Act::Not(v) => v != value,
            Act::Write(_) => true,
        }
    }

    /// The value after it on a register that holds `value`.
    pub(super) fn after(self, value: u32) -> u32 {
        match self {
            Act::Read(_) | Act::Not(_) => value,
            Act::Write(to) | Act::Swap(_, to) => to,
        }
    }

    pub(super) fn reads_only(self) -> bool {
        matches!(self, Act::Read(_) | Act::Not(_))
    }
}

/// A call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    pub(super) act: Act,
    pub(super) start: u64,
    pub(super) end: u64,
    /// Its position in the history.
    pub(super) at: u32,
}

impl Call {
    pub(super) fn is_open(&self) -> bool {
        self.end == Operation::OPEN
    }
}

/// All calls, in order of their start, but for open ones that can make no difference (see
/// [`crate::models`], `assume`). Values that nobody looks for have one number, [`Calls::other`].
#[derive(Clone, Debug)]
pub(super) struct Calls {
    pub(super) calls: Vec<Call>,
    /// How many numbers of values there are.
    pub(super) values: usize,
}

impl Calls {
    pub(super) fn of(calls: &[Timed<RegisterAction>], values: &Values) -> Calls {
        let act = |at: usize| {
            let value = values.to[at];
            match calls[at].call {
                RegisterAction::Read(_) => Act::Read(value),
                RegisterAction::NotCas(_) => Act::Not(value),
                RegisterAction::Write(_) => Act::Write(value),
                RegisterAction::Cas(..) if values.from(at) == value => Act::Read(value),
                RegisterAction::Cas(..) => Act::Swap(values.from(at), value),
            }
        };
        let all = calls.iter().enumerate().map(|(i, c)| Call {
            act: act(i),
            start: c.start,
            end: c.end,
            at: i as u32,
        });
        let calls = all.filter(|c| !c.is_open() || !c.act.reads_only()).collect();
        let mut calls = Calls { calls, values: values.count };
        calls.drop_what_nobody_sees();
        calls
    }

    /// Releases the calls for which `keep` does not hold: they may take effect at any time, or never.
    pub(super) fn releasing(&self, keep: impl Fn(&Call) -> bool) -> Calls {
        let mut released: Vec<Call> = Vec::new();
        let mut kept: Vec<Call> = Vec::new();
        for call in &self.calls {
            if keep(call) {
                kept.push(*call);
            } else if !call.act.reads_only() {
                released.push(Call { start: 0, end: Operation::OPEN, ..*call });
            }
        }
        released.extend(kept);
        let mut calls = Calls { calls: released, values: self.values };
        calls.drop_what_nobody_sees();
        calls
    }

    /// Without a refused call, an open call whose value nobody sees can be left out of every legal order;
    /// and all values that nobody looks for are alike.
    fn drop_what_nobody_sees(&mut self) {
        let refused = self.calls.iter().any(|c| matches!(c.act, Act::Not(_)));
        let mut seen = vec![false; self.values];
        for call in &self.calls {
            match call.act {
                Act::Read(v) | Act::Not(v) => seen[v as usize] = true,
                Act::Swap(from, _) if refused || !call.is_open() => seen[from as usize] = true,
                _ => {}
            }
        }
        let open = self.calls.iter().filter(|c| c.is_open());
        let mut chains: Vec<(u32, u32)> = open
            .filter_map(|c| match c.act {
                Act::Swap(from, to) => Some((to, from)),
                _ => None,
            })
            .collect();
        chains.sort_unstable();
        let mut fresh: Vec<u32> = (0..self.values as u32).filter(|&v| seen[v as usize]).collect();
        while let Some(value) = fresh.pop() {
            let at = chains.partition_point(|&(to, _)| to < value);
            for &(_, from) in chains[at..].iter().take_while(|&&(to, _)| to == value) {
                if !std::mem::replace(&mut seen[from as usize], true) {
                    fresh.push(from);
                }
            }
        }
        let leaves_seen = |c: &Call| match c.act {
            Act::Write(to) | Act::Swap(_, to) => seen[to as usize],
            _ => true,
        };
        if !refused {
            self.calls.retain(|c| !c.is_open() || leaves_seen(c));
        }
        self.renumber(&seen);
    }

    /// Gives new numbers to the values that are seen, and one to all others.
    fn renumber(&mut self, seen: &[bool]) {
        let mut numbers = vec![NONE; self.values];
        let mut next = INITIAL + 1;
        numbers[INITIAL as usize] = INITIAL;
        for (number, _) in numbers.iter_mut().zip(seen).skip(1).filter(|(_, seen)| **seen) {
            *number = next;
            next += 1;
        }
        let new = |v: u32| numbers[v as usize].min(next);
        for call in &mut self.calls {
            call.act = match call.act {
                Act::Read(v) => Act::Read(new(v)),
                Act::Not(v) => Act::Not(new(v)),
                Act::Write(v) => Act::Write(new(v)),
                Act::Swap(from, to) => Act::Swap(new(from), new(to)),
            };
        }
        self.values = next as usize + 1;
    }
}
