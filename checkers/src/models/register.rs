//! A register without versions: `read` answers with the value, `write` sets it, `cas` compares and sets.

use ordeal_core::{Model, Open, Operation};

use super::register_calls::{self, RegisterAction, RegisterNames};
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
    type Call = RegisterAction;
    type Next = Option<Atom>;

    fn name(&self) -> &'static str {
        ABOUT.name
    }

    fn init(&self) -> Atom {
        Atom::NULL
    }

    fn call(&self, op: &Operation<'_>) -> Result<Option<RegisterAction>, String> {
        register_calls::action(&self.names, op, |value| Ok(value.into()))
    }

    fn step(&self, state: &Atom, call: &RegisterAction) -> Option<Atom> {
        call.apply(*state)
    }

    fn describe(&self, call: &RegisterAction) -> String {
        call.describe()
    }

    fn reads_only(&self, call: &RegisterAction) -> bool {
        matches!(call, RegisterAction::Read(_))
    }

    fn open_calls(&self, calls: &[RegisterAction], open: &[usize]) -> Vec<Open> {
        register_calls::assume(calls, open, false)
    }
}
