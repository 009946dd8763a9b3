//! A register without versions: `read` answers with the value, `write` sets it, `cas` compares and sets.

use ordeal_core::{Model, Open, Operation};

use super::register_calls::{self, RegisterAction, RegisterCall, RegisterNames};
use super::value::Atom;
use crate::About;

/// How lists show it.
pub const ABOUT: About = About { name: "register", about: "one value: read, write, compare-and-set" };

/// The model. Never written reads as `null`; what a write or a compare-and-set answers is not looked at.
#[derive(Clone, Debug, Default)]
pub struct Register {
    /// The functions it judges.
    pub names: RegisterNames,
}

impl Model for Register {
    type State = Atom;
    type Call = RegisterCall;

    fn name(&self) -> &'static str {
        ABOUT.name
    }

    fn init(&self) -> Atom {
        Atom::Null
    }

    fn call(&self, op: &Operation<'_>) -> Result<Option<RegisterCall>, String> {
        let action = register_calls::action(&self.names, op, |value| Ok(value.into()))?;
        Ok(action.map(|action| RegisterCall { action, version: None, echo: None }))
    }

    fn step(&self, state: &Atom, call: &RegisterCall) -> Option<Atom> {
        call.apply(state).cloned()
    }

    fn describe(&self, call: &RegisterCall) -> String {
        call.describe()
    }

    fn reads_only(&self, call: &RegisterCall) -> bool {
        matches!(call.action, RegisterAction::Read(_))
    }

    fn open_calls(&self, calls: &[RegisterCall], open: &[usize]) -> Vec<Open> {
        register_calls::assume(calls, open)
    }
}
