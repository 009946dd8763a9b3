//! A counter: `add` adds a number, `read` answers with the sum.

use std::collections::HashMap;

use ordeal_core::{Answer, Model, Open, Operation, Timed};
use serde_json::Value;

use crate::About;
use crate::monitors::sums::{self, Deed};

/// How lists show it.
pub const ABOUT: About = About { name: "counter", about: "a sum: add a number, read" };

/// The model.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counter {
    /// The sum before anything happened.
    pub initial: i64,
}

/// A call on a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CounterCall {
    /// Adds this.
    Add(i64),
    /// Returns this.
    Read(i64),
}

impl Counter {
    /// A counter that starts as a person says.
    ///
    /// # Errors
    /// If that is no whole number.
    pub fn from_options(initial: &Value) -> Result<Self, String> {
        let wrong = || format!("a counter starts with a whole number, not {initial}");
        Ok(Counter { initial: initial.as_i64().ok_or_else(wrong)? })
    }
}

impl Model for Counter {
    type State = i64;
    type Call = CounterCall;
    type Next = Option<i64>;

    fn name(&self) -> &'static str {
        ABOUT.name
    }

    fn init(&self) -> i64 {
        self.initial
    }

    fn call(&self, op: &Operation<'_>) -> Result<Option<CounterCall>, String> {
        let (value, make): (_, fn(i64) -> CounterCall) = match (op.f(), op.output()) {
            ("add", _) => (op.input(), CounterCall::Add),
            ("read", Some(answer)) => (answer, CounterCall::Read),
            _ => return Ok(None),
        };
        match value.as_i64() {
            Some(n) => Ok(Some(make(n))),
            None => Err(format!("`{}` goes with a whole number, not {value}", op.f())),
        }
    }

    /// A sum that does not fit is no state: no such counter exists.
    fn step(&self, state: &i64, call: &CounterCall) -> Option<i64> {
        match call {
            CounterCall::Add(n) => state.checked_add(*n),
            CounterCall::Read(seen) => (seen == state).then_some(*state),
        }
    }

    fn describe(&self, call: &CounterCall) -> String {
        match call {
            CounterCall::Add(n) => format!("add {n}"),
            CounterCall::Read(n) => format!("read {n}"),
        }
    }

    fn reads_only(&self, call: &CounterCall) -> bool {
        matches!(call, CounterCall::Read(_) | CounterCall::Add(0))
    }

    fn open_calls(&self, calls: &[CounterCall], open: &[usize]) -> Vec<Open> {
        let mut classes: HashMap<i64, u32> = HashMap::new();
        let hint = |&i: &usize| match calls[i] {
            CounterCall::Add(0) | CounterCall::Read(_) => Open::Irrelevant,
            CounterCall::Add(n) => {
                let next = classes.len() as u32;
                Open::Class(*classes.entry(n).or_insert(next))
            }
        };
        open.iter().map(hint).collect()
    }

    fn monitor(&self, calls: &[Timed<CounterCall>]) -> Option<Answer> {
        let deeds = calls.iter().map(|call| Timed {
            call: match call.call {
                CounterCall::Add(n) => Deed::Add(n),
                CounterCall::Read(n) => Deed::Read(n),
            },
            start: call.start,
            end: call.end,
        });
        sums::judge(&deeds.collect::<Vec<_>>(), self.initial)
    }
}
