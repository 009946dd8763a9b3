//! A queue: `enqueue` adds its argument at the end, `dequeue` answers with what it took from the front,
//! or `null` if nothing was there.

use std::fmt;
use std::hash::{Hash, Hasher};

use ordeal_core::{Answer, Model, Open, Operation, Timed};

use super::Atom;
use super::container::{self, ContainerCall, ContainerNames};
use super::persistent::{Chain, mix};
use crate::About;
use crate::monitors;

/// How lists show it.
pub const ABOUT: About = About { name: "queue", about: "first in, first out: enqueue, dequeue" };

const NAMES: ContainerNames = ContainerNames { put: "enqueue", take: "dequeue", peek: None };

/// The model.
#[derive(Clone, Copy, Debug, Default)]
pub struct Queue;

/// The values in a queue: a list of the foremost, and a list of the others with the last one first.
#[derive(Clone)]
pub struct Queued {
    front: Chain<Atom>,
    back: Chain<Atom>,
    len: usize,
    /// The hash is a polynomial in [`BASE`] over the values' hashes, the foremost having the highest power,
    /// which is `power` times [`INVERSE`].
    hash: u64,
    power: u64,
}

const BASE: u64 = 0x9E37_79B9_7F4A_7C15;
/// Its inverse modulo 2⁶⁴.
const INVERSE: u64 = inverse(BASE);

/// Newton's iteration, which doubles the number of right bits each time (the first three are).
const fn inverse(odd: u64) -> u64 {
    let (mut x, mut round) = (odd, 0);
    while round < 5 {
        x = x.wrapping_mul(2_u64.wrapping_sub(odd.wrapping_mul(x)));
        round += 1;
    }
    x
}

impl Queued {
    fn enqueue(&self, value: Atom) -> Queued {
        let mut next = self.clone();
        // An empty front means an empty queue, so that the next value is always at hand.
        match self.front.is_empty() {
            true => next.front = self.front.push(value),
            false => next.back = self.back.push(value),
        }
        next.len += 1;
        next.hash = self.hash.wrapping_mul(BASE).wrapping_add(mix(&value));
        next.power = self.power.wrapping_mul(BASE);
        next
    }

    fn dequeue(&self) -> Option<(Atom, Queued)> {
        let (value, rest) = self.front.split()?;
        let power = self.power.wrapping_mul(INVERSE);
        let (front, back) = match rest.is_empty() {
            true => (self.back.reversed(), Chain::default()),
            false => (rest.clone(), self.back.clone()),
        };
        let hash = self.hash.wrapping_sub(mix(&value).wrapping_mul(power));
        Some((value, Queued { front, back, len: self.len - 1, hash, power }))
    }

    fn values(&self) -> Vec<Atom> {
        let mut values: Vec<Atom> = self.back.iter().collect();
        values.reverse();
        self.front.iter().chain(values).collect()
    }
}

impl Default for Queued {
    fn default() -> Self {
        Queued { front: Chain::default(), back: Chain::default(), len: 0, hash: 0, power: 1 }
    }
}

impl PartialEq for Queued {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len
            && self.hash == other.hash
            && (self.front == other.front && self.back == other.back || self.values() == other.values())
    }
}

impl Eq for Queued {}

impl Hash for Queued {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl fmt::Debug for Queued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        container::show(f, &self.values())
    }
}

impl Model for Queue {
    type State = Queued;
    type Call = ContainerCall;
    type Next = Option<Queued>;

    fn name(&self) -> &'static str {
        ABOUT.name
    }

    fn init(&self) -> Queued {
        Queued::default()
    }

    fn call(&self, op: &Operation<'_>) -> Result<Option<ContainerCall>, String> {
        NAMES.call(op)
    }

    fn step(&self, state: &Queued, call: &ContainerCall) -> Option<Queued> {
        match *call {
            ContainerCall::Put(value) => Some(state.enqueue(value)),
            ContainerCall::Take(value) => state.dequeue().filter(|(v, _)| *v == value).map(|(_, rest)| rest),
            ContainerCall::TakeUnknown => {
                Some(state.dequeue().map_or_else(|| state.clone(), |(_, rest)| rest))
            }
            ContainerCall::Peek(value) => {
                state.front.split().is_some_and(|(v, _)| v == value).then(|| state.clone())
            }
            ContainerCall::TakeNothing | ContainerCall::PeekNothing => {
                (state.len == 0).then(|| state.clone())
            }
        }
    }

    fn describe(&self, call: &ContainerCall) -> String {
        NAMES.describe(call)
    }

    fn reads_only(&self, call: &ContainerCall) -> bool {
        call.reads_only()
    }

    fn state_bytes(&self, state: &Queued) -> usize {
        size_of_val(state) + container::LINK_BYTES
    }

    fn open_calls(&self, calls: &[ContainerCall], open: &[usize]) -> Vec<Open> {
        container::assume(calls, open)
    }

    fn monitor(&self, calls: &[Timed<ContainerCall>]) -> Option<Answer> {
        monitors::queue::judge(calls)
    }
}
