//! A lock: `acquire` is possible only when it is free, `release` only when it is held.
//!
//! Who releases does not matter, as with the mutex of Knossos. Where every process releases only what it
//! acquired before, that makes no difference: the first acquisition in an order must be followed by a
//! release, and only the process that acquired can have begun one; so it goes on with the next.

use ordeal_core::{Answer, Model, Open, Operation, Timed};

use crate::About;
use crate::monitors::switch::{self, Deed};

/// How lists show it.
pub const ABOUT: About = About { name: "lock", about: "a lock that one at a time holds: acquire, release" };

/// The model. The state is whether the lock is held.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lock;

/// A call on a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockCall {
    /// Gets it.
    Acquire,
    /// Gives it back.
    Release,
}

impl Model for Lock {
    type State = bool;
    type Call = LockCall;
    type Next = Option<bool>;

    fn name(&self) -> &'static str {
        ABOUT.name
    }

    fn init(&self) -> bool {
        false
    }

    fn call(&self, op: &Operation<'_>) -> Result<Option<LockCall>, String> {
        Ok(match op.f() {
            "acquire" => Some(LockCall::Acquire),
            "release" => Some(LockCall::Release),
            _ => None,
        })
    }

    fn step(&self, held: &bool, call: &LockCall) -> Option<bool> {
        let acquires = *call == LockCall::Acquire;
        (*held != acquires).then_some(acquires)
    }

    fn describe(&self, call: &LockCall) -> String {
        match call {
            LockCall::Acquire => "acquire".to_owned(),
            LockCall::Release => "release".to_owned(),
        }
    }

    fn open_calls(&self, calls: &[LockCall], open: &[usize]) -> Vec<Open> {
        open.iter().map(|&i| Open::Class(u32::from(calls[i] == LockCall::Acquire))).collect()
    }

    fn monitor(&self, calls: &[Timed<LockCall>]) -> Option<Answer> {
        let deeds = calls.iter().map(|call| Timed {
            call: Deed::Turn(call.call == LockCall::Acquire),
            start: call.start,
            end: call.end,
        });
        switch::judge(&deeds.collect::<Vec<_>>())
    }
}
