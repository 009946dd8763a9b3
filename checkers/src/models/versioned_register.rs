//! A register that counts its writes: every answer is `[version, value]`.
//!
//! The version is the number of writes and compare-and-sets that took effect so far; 0 means never
//! written, value `null`. A `null` version, or a `null` answer to a write, is not checked: then this is
//! the plain register.

use std::collections::HashMap;
use std::fmt;

use ordeal_core::{Answer, Model, Open, Operation, Timed};
use serde_json::Value;

use super::register_calls::{self, RegisterAction, RegisterCall, RegisterNames};
use super::value::Atom;
use crate::{About, monitors};

/// How lists show it.
pub const ABOUT: About = About {
    name: "versioned-register",
    about: "one value with a count of its writes: read, write, compare-and-set",
};

/// The model.
#[derive(Clone, Debug, Default)]
pub struct VersionedRegister {
    /// The functions it judges.
    pub names: RegisterNames,
}

/// How often the register was written, and what it holds.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Versioned {
    /// The number of writes so far.
    pub version: u64,
    /// The newest value.
    pub value: Atom,
}

impl fmt::Debug for Versioned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (version {})", self.value, self.version)
    }
}

/// Reads `[version, value]`.
fn answer(value: &Value) -> Result<(Option<u64>, &Value), String> {
    let wrong = || format!("an answer is [version, value], not {value}");
    let Some([version, held]) = value.as_array().map(Vec::as_slice) else {
        return Err(wrong());
    };
    match version {
        Value::Null => Ok((None, held)),
        version => Ok((Some(version.as_u64().ok_or_else(wrong)?), held)),
    }
}

impl Model for VersionedRegister {
    type State = Versioned;
    type Call = RegisterCall;
    type Next = Option<Versioned>;

    fn name(&self) -> &'static str {
        ABOUT.name
    }

    fn init(&self) -> Versioned {
        Versioned { version: 0, value: Atom::NULL }
    }

    fn call(&self, op: &Operation<'_>) -> Result<Option<RegisterCall>, String> {
        let action = register_calls::action(&self.names, op, |value| Ok(answer(value)?.1.into()))?;
        let Some(action) = action else {
            return Ok(None);
        };
        let (version, held) = match op.output() {
            None | Some(Value::Null) => (None, &Value::Null),
            Some(value) => answer(value)?,
        };
        let silent = held.is_null() || matches!(action, RegisterAction::Read(_));
        let echo = (!silent).then(|| held.into());
        Ok(Some(RegisterCall { action, version, echo }))
    }

    fn step(&self, state: &Versioned, call: &RegisterCall) -> Option<Versioned> {
        let wrote = !self.reads_only(call);
        let version = state.version + u64::from(wrote);
        if call.version.is_some_and(|v| v != version) {
            return None;
        }
        let value = call.apply(state.value)?;
        Some(Versioned { version, value })
    }

    fn describe(&self, call: &RegisterCall) -> String {
        call.describe()
    }

    fn reads_only(&self, call: &RegisterCall) -> bool {
        matches!(call.action, RegisterAction::Read(_) | RegisterAction::NotCas(_))
    }

    fn contradict(&self, earlier: &RegisterCall, later: &RegisterCall) -> bool {
        let (Some(before), Some(after)) = (earlier.version, later.version) else {
            return false;
        };
        let left_other = |value| earlier.action.after().is_some_and(|left| left != value);
        match later.action {
            RegisterAction::Read(seen) => after < before || (after == before && left_other(seen)),
            RegisterAction::Write(_) => after <= before,
            RegisterAction::NotCas(_) => after < before,
            RegisterAction::Cas(from, _) => after <= before || (after == before + 1 && left_other(from)),
        }
    }

    fn open_calls(&self, calls: &[RegisterCall], open: &[usize]) -> Vec<Open> {
        let versions = calls.iter().any(|c| c.version.is_some());
        let actions: Vec<RegisterAction> = calls.iter().map(|c| c.action).collect();
        let hints = register_calls::assume(&actions, open, versions);
        // A call whose answer is known can only be exchanged for one with the same answer.
        let mut classes: HashMap<(u32, Option<u64>, Option<Atom>), u32> = HashMap::new();
        let refined = open.iter().zip(hints).map(|(&at, hint)| match hint {
            Open::Class(class) => {
                let next = classes.len() as u32;
                let answer = (class, calls[at].version, calls[at].echo);
                Open::Class(*classes.entry(answer).or_insert(next))
            }
            other => other,
        });
        refined.collect()
    }

    fn monitor(&self, calls: &[Timed<RegisterCall>]) -> Option<Answer> {
        monitors::versioned_register::judge(Atom::NULL, calls)
    }
}
