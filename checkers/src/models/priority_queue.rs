//! A priority queue of whole numbers, the greatest first: `insert` adds its argument, `poll` answers with
//! the greatest number and takes it out, `peek` only looks; both answer `null` if nothing is there.

use std::fmt;

use ordeal_core::{Answer, Model, Open, Operation, Timed};

use super::Atom;
use super::container::{self, ContainerCall, ContainerNames};
use super::persistent::Multiset;
use crate::About;
use crate::monitors;

/// How lists show it.
pub const ABOUT: About =
    About { name: "priority-queue", about: "whole numbers, the greatest first: insert, poll, peek" };

const NAMES: ContainerNames = ContainerNames { put: "insert", take: "poll", peek: Some("peek") };

/// The model.
#[derive(Clone, Copy, Debug, Default)]
pub struct PriorityQueue;

/// The numbers in a priority queue.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Prioritized(Multiset<i64>);

impl fmt::Debug for Prioritized {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut keys = self.0.keys();
        keys.reverse();
        container::show(f, &keys)
    }
}

impl Model for PriorityQueue {
    type State = Prioritized;
    type Call = ContainerCall;
    type Next = Option<Prioritized>;

    fn name(&self) -> &'static str {
        ABOUT.name
    }

    fn init(&self) -> Prioritized {
        Prioritized::default()
    }

    fn call(&self, op: &Operation<'_>) -> Result<Option<ContainerCall>, String> {
        let call = NAMES.call(op)?;
        match call.and_then(ContainerCall::value).filter(|value| value.as_int().is_none()) {
            Some(value) => Err(format!("a priority queue holds whole numbers, not {value}")),
            None => Ok(call),
        }
    }

    fn step(&self, state: &Prioritized, call: &ContainerCall) -> Option<Prioritized> {
        let max = state.0.max();
        let found = |value: Atom| max.filter(|&m| Some(m) == value.as_int());
        let without = |key| Prioritized(state.0.without(key));
        match *call {
            ContainerCall::Put(value) => Some(Prioritized(state.0.with(value.as_int()?))),
            ContainerCall::Take(value) => found(value).map(without),
            ContainerCall::TakeUnknown => Some(max.map_or_else(|| state.clone(), without)),
            ContainerCall::Peek(value) => found(value).map(|_| state.clone()),
            ContainerCall::TakeNothing | ContainerCall::PeekNothing => max.is_none().then(|| state.clone()),
        }
    }

    fn describe(&self, call: &ContainerCall) -> String {
        NAMES.describe(call)
    }

    fn reads_only(&self, call: &ContainerCall) -> bool {
        call.reads_only()
    }

    fn state_bytes(&self, state: &Prioritized) -> usize {
        size_of_val(state) + container::path_bytes(state.0.len())
    }

    fn open_calls(&self, calls: &[ContainerCall], open: &[usize]) -> Vec<Open> {
        container::assume(calls, open)
    }

    fn monitor(&self, calls: &[Timed<ContainerCall>]) -> Option<Answer> {
        monitors::priority_queue::judge(calls)
    }
}
