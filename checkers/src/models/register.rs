//! A register without versions: `read` answers with the value, `write` sets it, `cas` compares and sets.

use ordeal_core::{Answer, Blind, Model, Open, Operation, Timed};
use serde_json::Value;

use super::register_calls::{self, RegisterAction, RegisterNames};
use super::value::Atom;
use crate::{About, monitors};

/// How lists show it.
pub const ABOUT: About = About { name: "register", about: "one value: read, write, compare-and-set" };

/// The model. What a write or a compare-and-set answers is not looked at.
#[derive(Clone, Debug)]
pub struct Register {
    /// The functions it judges.
    pub names: RegisterNames,
    /// The value before anything was written.
    pub initial: Atom,
    /// A read that returned `null` says nothing, as in some histories of others.
    pub null_is_unknown: bool,
    /// A compare-and-set that failed proves that the value was not what it expected. Without this a
    /// failure proves nothing, for it can have other reasons.
    pub failed_cas_proves: bool,
}

impl Default for Register {
    fn default() -> Self {
        Register {
            names: RegisterNames::default(),
            initial: Atom::NULL,
            null_is_unknown: false,
            failed_cas_proves: false,
        }
    }
}

impl Model for Register {
    type State = Atom;
    type Call = RegisterAction;
    type Next = Option<Atom>;

    fn name(&self) -> &'static str {
        ABOUT.name
    }

    fn init(&self) -> Atom {
        self.initial
    }

    fn call(&self, op: &Operation<'_>) -> Result<Option<RegisterAction>, String> {
        if self.null_is_unknown && op.f() == self.names.read && op.output().is_none_or(Value::is_null) {
            return Ok(None);
        }
        register_calls::action(&self.names, op, |value| Ok(value.into()))
    }

    fn refusal(&self, op: &Operation<'_>) -> Result<Option<RegisterAction>, String> {
        if !self.failed_cas_proves {
            return Ok(None);
        }
        Ok(match register_calls::action(&self.names, op, |value| Ok(value.into()))? {
            Some(RegisterAction::Cas(from, _)) => Some(RegisterAction::NotCas(from)),
            _ => None,
        })
    }

    fn step(&self, state: &Atom, call: &RegisterAction) -> Option<Atom> {
        call.apply(*state)
    }

    fn describe(&self, call: &RegisterAction) -> String {
        call.describe()
    }

    fn reads_only(&self, call: &RegisterAction) -> bool {
        matches!(call, RegisterAction::Read(_) | RegisterAction::NotCas(_))
    }

    fn blind(&self, call: &RegisterAction) -> Option<Blind> {
        matches!(call, RegisterAction::Write(_)).then_some(Blind::Overwrites)
    }

    fn needs(&self, call: &RegisterAction) -> Option<Atom> {
        match *call {
            RegisterAction::Read(seen) | RegisterAction::Cas(seen, _) => Some(seen),
            RegisterAction::Write(_) | RegisterAction::NotCas(_) => None,
        }
    }

    fn leaves(&self, call: &RegisterAction) -> Option<Atom> {
        call.leaves()
    }

    fn open_calls(&self, calls: &[RegisterAction], open: &[usize]) -> Vec<Open> {
        register_calls::assume(calls, open, false)
    }

    fn monitor(&self, calls: &[Timed<RegisterAction>]) -> Option<Answer> {
        monitors::register::judge(self.initial, calls)
    }
}
