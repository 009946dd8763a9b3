//! A stack: `push` puts its argument on top, `pop` answers with what it took from the top, or `null` if
//! nothing was there.

use std::fmt;
use std::hash::{Hash, Hasher};

use ordeal_core::{Answer, Model, Open, Operation, Timed};

use super::Atom;
use super::container::{self, ContainerCall, ContainerNames};
use super::persistent::{Chain, mix};
use crate::About;
use crate::monitors;

/// How lists show it.
pub const ABOUT: About = About { name: "stack", about: "last in, first out: push, pop" };

const NAMES: ContainerNames = ContainerNames { put: "push", take: "pop", peek: None };

/// The model.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stack;

/// The values on a stack, the top one first, each with the hash of itself and all below it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Stacked(Chain<(Atom, u64)>);

impl Stacked {
    fn hash_value(&self) -> u64 {
        self.0.split().map_or(0, |((_, hash), _)| hash)
    }
}

impl Hash for Stacked {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash_value());
    }
}

impl fmt::Debug for Stacked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        container::show(f, &self.0.iter().map(|(value, _)| value).collect::<Vec<_>>())
    }
}

impl Model for Stack {
    type State = Stacked;
    type Call = ContainerCall;
    type Next = Option<Stacked>;

    fn name(&self) -> &'static str {
        ABOUT.name
    }

    fn init(&self) -> Stacked {
        Stacked::default()
    }

    fn call(&self, op: &Operation<'_>) -> Result<Option<ContainerCall>, String> {
        NAMES.call(op)
    }

    fn step(&self, state: &Stacked, call: &ContainerCall) -> Option<Stacked> {
        let top = state.0.split();
        match *call {
            ContainerCall::Put(value) => {
                Some(Stacked(state.0.push((value, mix(&(value, state.hash_value()))))))
            }
            ContainerCall::Take(value) => {
                top.filter(|((v, _), _)| *v == value).map(|(_, rest)| Stacked(rest.clone()))
            }
            ContainerCall::TakeUnknown => {
                Some(top.map_or_else(|| state.clone(), |(_, rest)| Stacked(rest.clone())))
            }
            ContainerCall::Peek(value) => top.filter(|((v, _), _)| *v == value).map(|_| state.clone()),
            ContainerCall::TakeNothing | ContainerCall::PeekNothing => top.is_none().then(|| state.clone()),
        }
    }

    fn describe(&self, call: &ContainerCall) -> String {
        NAMES.describe(call)
    }

    fn reads_only(&self, call: &ContainerCall) -> bool {
        call.reads_only()
    }

    fn state_bytes(&self, state: &Stacked) -> usize {
        size_of_val(state) + container::LINK_BYTES
    }

    fn open_calls(&self, calls: &[ContainerCall], open: &[usize]) -> Vec<Open> {
        container::assume(calls, open)
    }

    fn monitor(&self, calls: &[Timed<ContainerCall>]) -> Option<Answer> {
        monitors::stack::judge(calls)
    }
}
