//! What the two registers have in common: their calls, and what may be assumed about open ones.
//!
//! Invariant behind [`assume`]: a value is *observed* if a read returned it, if a compare-and-set that
//! certainly took effect started from it, or if an open compare-and-set starts from it whose own new value
//! is observed (the least fixed point). Take any legal order and remove every open operation that leaves
//! an unobserved value: whatever came between it and the next plain write must itself have been such an
//! operation, so the rest is still legal. Without versions these operations are therefore irrelevant.
//! With versions they count; so every open compare-and-set observes the value it starts from, and only
//! writes of values that nothing at all starts from or returns cannot be told apart. The same holds where
//! a call was refused because it did not find a value: any other value then explains it.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use ordeal_core::{Open, Operation};
use serde_json::Value;

use super::Atom;

/// The functions of a register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisterNames {
    /// Reads.
    pub read: Cow<'static, str>,
    /// Writes its argument.
    pub write: Cow<'static, str>,
    /// Compares and sets: its argument is `[from, to]`. `None` if there is none.
    pub cas: Option<Cow<'static, str>>,
}

impl Default for RegisterNames {
    fn default() -> Self {
        RegisterNames { read: "read".into(), write: "write".into(), cas: Some("cas".into()) }
    }
}

/// What a call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegisterAction {
    /// Returns the value.
    Read(Atom),
    /// Sets the value.
    Write(Atom),
    /// Sets the second value if it finds the first.
    Cas(Atom, Atom),
    /// A compare-and-set that did not find this value, and so changed nothing.
    NotCas(Atom),
}

impl RegisterAction {
    /// The value this call leaves behind, if it changes anything.
    pub(super) fn leaves(self) -> Option<Atom> {
        match self {
            RegisterAction::Read(_) | RegisterAction::NotCas(_) => None,
            RegisterAction::Write(v) | RegisterAction::Cas(_, v) => Some(v),
        }
    }

    /// The value that is there right after this call, if that is known.
    pub(super) fn after(self) -> Option<Atom> {
        match self {
            RegisterAction::Read(v) | RegisterAction::Write(v) | RegisterAction::Cas(_, v) => Some(v),
            RegisterAction::NotCas(_) => None,
        }
    }

    /// The value after this call on a register that holds `value`; `None` if it is impossible there.
    pub(crate) fn apply(self, value: Atom) -> Option<Atom> {
        match self {
            RegisterAction::Read(seen) => (seen == value).then_some(value),
            RegisterAction::Write(new) => Some(new),
            RegisterAction::Cas(from, to) => (from == value).then_some(to),
            RegisterAction::NotCas(from) => (from != value).then_some(value),
        }
    }

    /// In words.
    pub(super) fn describe(self) -> String {
        match self {
            RegisterAction::Read(v) => format!("read {v}"),
            RegisterAction::Write(v) => format!("write {v}"),
            RegisterAction::Cas(from, to) => format!("cas from {from} to {to}"),
            RegisterAction::NotCas(from) => format!("cas that did not find {from}"),
        }
    }
}

/// A call on a register that counts its writes, with its result where that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisterCall {
    /// What it does.
    pub action: RegisterAction,
    /// The version it answered with.
    pub version: Option<u64>,
    /// The value that a write or a compare-and-set reported to have left.
    pub echo: Option<Atom>,
}

impl RegisterCall {
    /// The value after this call on a register that holds `value`; `None` if it is impossible there.
    pub(super) fn apply(&self, value: Atom) -> Option<Atom> {
        let after = self.action.apply(value)?;
        self.echo.is_none_or(|echo| echo == after).then_some(after)
    }

    /// In words.
    pub(super) fn describe(&self) -> String {
        let head = self.action.describe();
        let echo = match self.echo {
            Some(echo) if Some(echo) != self.action.leaves() => format!(", which reported {echo}"),
            _ => String::new(),
        };
        let version = match self.version {
            Some(version) => format!(" (version {version})"),
            None => String::new(),
        };
        format!("{head}{version}{echo}")
    }
}

/// Reads the action of an operation, given what a read of it returned; `None` leaves the operation out.
pub(super) fn action(
    names: &RegisterNames,
    op: &Operation<'_>,
    returned: impl FnOnce(&Value) -> Result<Atom, String>,
) -> Result<Option<RegisterAction>, String> {
    let f = op.f();
    if f == names.read {
        return match op.output() {
            Some(value) => Ok(Some(RegisterAction::Read(returned(value)?))),
            None => Ok(None),
        };
    }
    if f == names.write {
        return Ok(Some(RegisterAction::Write(op.input().into())));
    }
    if names.cas.as_ref().is_none_or(|cas| f != *cas) {
        return Ok(None);
    }
    match op.input().as_array().map(Vec::as_slice) {
        Some([from, to]) => Ok(Some(RegisterAction::Cas(from.into(), to.into()))),
        _ => Err(format!("`{f}` needs [from, to], not {}", op.input())),
    }
}

/// What may be assumed about the open calls of one register. See the module header for why.
/// With `versions`, every operation that takes effect is counted.
pub(super) fn assume(calls: &[RegisterAction], open: &[usize], versions: bool) -> Vec<Open> {
    let is_open: HashSet<usize> = open.iter().copied().collect();
    let refused = |(i, call): (usize, &RegisterAction)| {
        matches!(call, RegisterAction::NotCas(_)) && !is_open.contains(&i)
    };
    let counted = versions || calls.iter().enumerate().any(refused);
    let mut observed: HashSet<Atom> = HashSet::new();
    let mut chains: HashMap<Atom, Vec<Atom>> = HashMap::new();
    for (i, call) in calls.iter().enumerate() {
        match *call {
            // A released read need not take place.
            RegisterAction::Read(_) | RegisterAction::NotCas(_) if is_open.contains(&i) => {}
            RegisterAction::Read(v) | RegisterAction::NotCas(v) => drop(observed.insert(v)),
            // If they count, an open compare-and-set does so even if nobody sees what it left, and so it can
            // tell apart the open writes of what it expects.
            RegisterAction::Cas(from, to) if !counted && is_open.contains(&i) => {
                chains.entry(to).or_default().push(from);
            }
            RegisterAction::Cas(from, _) => drop(observed.insert(from)),
            RegisterAction::Write(_) => {}
        }
    }
    let mut fresh: Vec<Atom> = observed.iter().copied().collect();
    while let Some(value) = fresh.pop() {
        let starts = chains.get(&value).into_iter().flatten();
        fresh.extend(starts.copied().filter(|&from| observed.insert(from)));
    }
    // Equal operations are interchangeable, and so are all whose new value nobody can see.
    let mut classes: HashMap<(Option<Atom>, Option<Atom>), u32> = HashMap::new();
    open.iter()
        .map(|&i| {
            let (from, to) = match calls[i] {
                RegisterAction::Read(_) | RegisterAction::NotCas(_) => return Open::Irrelevant,
                RegisterAction::Write(to) => (None, to),
                RegisterAction::Cas(from, to) => (Some(from), to),
            };
            let visible = observed.contains(&to);
            if !visible && !counted {
                return Open::Irrelevant;
            }
            let next = classes.len() as u32;
            Open::Class(*classes.entry((from, visible.then_some(to))).or_insert(next))
        })
        .collect()
}
