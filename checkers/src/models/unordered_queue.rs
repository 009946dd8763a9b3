//! An unordered queue, or bag: `enqueue` adds its argument, `dequeue` answers with any value that is there
//! and takes it out, or `null` if nothing is.
//!
//! A dequeue of unknown result may have taken any value. Which one is left open: the state counts such
//! dequeues, and knows of each value how many there had been when it was added. Only where nothing may be
//! left is it asked whether each remaining value can have been taken by a dequeue of its own that came
//! after it was added (Hall's condition; the dequeues that can take a value are the last so many). Of equal
//! values the last one is taken out first, as it is the hardest to explain otherwise. So every step has one
//! outcome.

use std::fmt;
use std::hash::Hash;

use ordeal_core::{Answer, Model, Open, Operation, Timed};

use super::Atom;
use super::container::{self, ContainerCall, ContainerNames};
use super::persistent::Multiset;
use crate::About;
use crate::monitors;

/// How lists show it.
pub const ABOUT: About =
    About { name: "unordered-queue", about: "values in any order: enqueue, dequeue (a bag)" };

const NAMES: ContainerNames = ContainerNames { put: "enqueue", take: "dequeue", peek: None };

/// The model.
#[derive(Clone, Copy, Debug, Default)]
pub struct UnorderedQueue;

/// The values in a bag.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Bagged {
    /// Each with the number of dequeues of unknown result before it was added.
    values: Multiset<(Atom, u32)>,
    /// How many dequeues of unknown result there were since the bag was last known to be empty.
    unknown: u32,
}

impl Bagged {
    /// Whether nothing may be left.
    fn may_be_empty(&self) -> bool {
        if self.values.len() > self.unknown as usize {
            return false;
        }
        let mut added: Vec<u32> = self.values.keys().iter().map(|&(_, before)| before).collect();
        added.sort_unstable();
        let last_first = (1_u32..).zip(added.iter().rev());
        last_first.into_iter().all(|(values, &before)| values <= self.unknown - before)
    }
}

impl fmt::Debug for Bagged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        container::show(f, &self.values.keys().iter().map(|(value, _)| *value).collect::<Vec<_>>())?;
        match self.unknown {
            0 => Ok(()),
            n => write!(f, " less at most {n}"),
        }
    }
}

impl Model for UnorderedQueue {
    type State = Bagged;
    type Call = ContainerCall;
    type Next = Option<Bagged>;

    fn name(&self) -> &'static str {
        ABOUT.name
    }

    fn init(&self) -> Bagged {
        Bagged::default()
    }

    fn call(&self, op: &Operation<'_>) -> Result<Option<ContainerCall>, String> {
        NAMES.call(op)
    }

    fn step(&self, state: &Bagged, call: &ContainerCall) -> Option<Bagged> {
        let Bagged { values, unknown } = state;
        let after = |values, unknown| Some(Bagged { values, unknown });
        match *call {
            ContainerCall::Put(value) => after(values.with((value, *unknown)), *unknown),
            ContainerCall::Take(value) => {
                let last = values.at_most((value, u32::MAX)).filter(|(v, _)| *v == value)?;
                let left = values.without(last);
                let unknown = if left.len() == 0 { 0 } else { *unknown };
                after(left, unknown)
            }
            ContainerCall::TakeUnknown if values.len() == 0 => Some(state.clone()),
            ContainerCall::TakeUnknown => after(values.clone(), unknown.saturating_add(1)),
            ContainerCall::TakeNothing => state.may_be_empty().then(Bagged::default),
            // Nobody looks into a bag.
            ContainerCall::Peek(_) | ContainerCall::PeekNothing => None,
        }
    }

    fn describe(&self, call: &ContainerCall) -> String {
        NAMES.describe(call)
    }

    fn state_bytes(&self, state: &Bagged) -> usize {
        size_of_val(state) + container::path_bytes(state.values.len())
    }

    fn open_calls(&self, calls: &[ContainerCall], open: &[usize]) -> Vec<Open> {
        container::assume(calls, open)
    }

    fn monitor(&self, calls: &[Timed<ContainerCall>]) -> Option<Answer> {
        monitors::unordered_queue::judge(calls)
    }
}
