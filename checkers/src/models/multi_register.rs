//! Several registers, read and written together: `txn` with a list of `["read", register, value]` and
//! `["write", register, value]` (or `"r"` and `"w"`), all at one moment, in this order.
//!
//! As in Knossos, a read of `null` says nothing.

use ordeal_core::{Model, Open, Operation};
use serde_json::Value;

use super::value::Atom;
use crate::About;

/// How lists show it.
pub const ABOUT: About =
    About { name: "multi-register", about: "several registers, read and written by transactions" };

/// The model.
#[derive(Clone, Debug, Default)]
pub struct MultiRegister {
    /// The registers before anything happened, in order; all others are `null`.
    initial: Registers,
}

/// Names and values, in the order of names.
type Registers = Vec<(Atom, Atom)>;

/// What a transaction does with one register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RegisterStep {
    /// Returns this value; `None` if it is not known.
    Read(Atom, Option<Atom>),
    /// Sets this value.
    Write(Atom, Atom),
}

impl MultiRegister {
    /// Registers that start with these values, `{register: value}`.
    ///
    /// # Errors
    /// If that is no object.
    pub fn from_options(initial: &Value) -> Result<Self, String> {
        let Value::Object(map) = initial else {
            return Err(format!("registers start with {{register: value}}, not {initial}"));
        };
        let named = |(name, value): (&String, &Value)| (super::named(name), Atom::from(value));
        let mut initial: Registers = map.iter().map(named).collect();
        initial.sort_unstable();
        Ok(MultiRegister { initial })
    }
}

fn step_of(value: &Value) -> Result<RegisterStep, String> {
    match value.as_array().map(Vec::as_slice) {
        Some([Value::String(f), name, held]) => {
            let name = name.as_str().map_or_else(|| Atom::from(name), super::named);
            match f.as_str() {
                "read" | "r" => Ok(RegisterStep::Read(name, (!held.is_null()).then(|| held.into()))),
                "write" | "w" => Ok(RegisterStep::Write(name, held.into())),
                _ => Err(format!("a transaction reads and writes, it does not `{f}`")),
            }
        }
        _ => Err(format!("a step is [\"read\" or \"write\", register, value], not {value}")),
    }
}

impl Model for MultiRegister {
    type State = Registers;
    type Call = Vec<RegisterStep>;
    type Next = Option<Registers>;

    fn name(&self) -> &'static str {
        ABOUT.name
    }

    fn init(&self) -> Registers {
        self.initial.clone()
    }

    fn call(&self, op: &Operation<'_>) -> Result<Option<Vec<RegisterStep>>, String> {
        if op.f() != "txn" {
            return Ok(None);
        }
        let value = op.output().unwrap_or(op.input());
        let Value::Array(steps) = value else {
            return Err(format!("`txn` goes with a list, not {value}"));
        };
        let steps: Vec<RegisterStep> = steps.iter().map(step_of).collect::<Result<_, _>>()?;
        // One that only reads what is not known makes no difference.
        let silent = steps.iter().all(|step| matches!(step, RegisterStep::Read(_, None)));
        Ok(if silent && op.output().is_none() { None } else { Some(steps) })
    }

    fn step(&self, state: &Registers, call: &Vec<RegisterStep>) -> Option<Registers> {
        let mut state = state.clone();
        for step in call {
            match *step {
                RegisterStep::Read(_, None) => {}
                RegisterStep::Read(name, Some(seen)) => {
                    let held = state.binary_search_by_key(&name, |register| register.0);
                    let held = held.map_or(Atom::NULL, |at| state[at].1);
                    if held != seen {
                        return None;
                    }
                }
                RegisterStep::Write(name, value) => {
                    match state.binary_search_by_key(&name, |register| register.0) {
                        Ok(at) => state[at].1 = value,
                        Err(at) => state.insert(at, (name, value)),
                    }
                }
            }
        }
        Some(state)
    }

    fn describe(&self, call: &Vec<RegisterStep>) -> String {
        let step = |step: &RegisterStep| match step {
            RegisterStep::Read(name, Some(seen)) => format!("read {name} = {seen}"),
            RegisterStep::Read(name, None) => format!("read {name}"),
            RegisterStep::Write(name, value) => format!("write {name} = {value}"),
        };
        format!("[{}]", call.iter().map(step).collect::<Vec<_>>().join(", "))
    }

    fn reads_only(&self, call: &Vec<RegisterStep>) -> bool {
        call.iter().all(|step| matches!(step, RegisterStep::Read(..)))
    }

    fn state_bytes(&self, state: &Registers) -> usize {
        size_of_val(state) + size_of_val(state.as_slice())
    }

    fn open_calls(&self, calls: &[Vec<RegisterStep>], open: &[usize]) -> Vec<Open> {
        super::alike(calls, open)
    }
}
