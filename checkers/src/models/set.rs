//! A set: `add`, `remove`, `contains` of one element, and `read` of all elements, in any order.
//!
//! `add` may answer whether the element was not there before, `remove` whether it was; any other answer says
//! nothing. Elements are independent of one another and judged apart, unless somebody reads the whole set.

use std::collections::HashMap;
use std::sync::Arc;

use ordeal_core::{Answer, Model, Open, Operation, Timed};
use serde_json::Value;

use super::grow_set::{describe_read, elements};
use super::members::Members;
use super::value::Atom;
use crate::About;
use crate::monitors::grow_set;
use crate::monitors::switch::{self, Deed};

/// How lists show it.
pub const ABOUT: About =
    About { name: "set", about: "a set: add, remove, contains of one element, read of all" };

/// The model.
#[derive(Clone, Copy, Debug, Default)]
pub struct Set;

/// A call on a set.
#[derive(Clone, Debug)]
pub enum SetCall {
    /// Adds an element; whether it was not there, where that was said.
    Add(Atom, Option<bool>),
    /// Removes an element; whether it was there, where that was said.
    Remove(Atom, Option<bool>),
    /// Whether an element is there.
    Contains(Atom, bool),
    /// Returns exactly these, which are all different.
    Read(Arc<[Atom]>),
}

impl SetCall {
    fn element(&self) -> Option<Atom> {
        match *self {
            SetCall::Add(element, _) | SetCall::Remove(element, _) | SetCall::Contains(element, _) => {
                Some(element)
            }
            SetCall::Read(_) => None,
        }
    }

    /// What it does with its element; a read of all does nothing with any.
    pub(crate) fn deed(&self) -> Option<Deed> {
        match *self {
            SetCall::Add(_, None) => Some(Deed::Put(true)),
            SetCall::Remove(_, None) => Some(Deed::Put(false)),
            SetCall::Add(_, Some(true)) => Some(Deed::Turn(true)),
            SetCall::Remove(_, Some(true)) => Some(Deed::Turn(false)),
            SetCall::Add(_, Some(false)) => Some(Deed::See(true)),
            SetCall::Remove(_, Some(false)) => Some(Deed::See(false)),
            SetCall::Contains(_, there) => Some(Deed::See(there)),
            SetCall::Read(_) => None,
        }
    }
}

impl Model for Set {
    type State = Members;
    type Call = SetCall;
    type Next = Option<Members>;

    fn name(&self) -> &'static str {
        ABOUT.name
    }

    fn init(&self) -> Members {
        Members::default()
    }

    fn call(&self, op: &Operation<'_>) -> Result<Option<SetCall>, String> {
        let element = Atom::from(op.input());
        let said = op.output().and_then(Value::as_bool);
        match (op.f(), op.output()) {
            ("add", _) => Ok(Some(SetCall::Add(element, said))),
            ("remove", _) => Ok(Some(SetCall::Remove(element, said))),
            ("contains", Some(answer)) => match said {
                Some(there) => Ok(Some(SetCall::Contains(element, there))),
                None => Err(format!("`contains` answers with true or false, not {answer}")),
            },
            ("read", Some(answer)) => Ok(Some(SetCall::Read(elements("read", answer)?))),
            _ => Ok(None),
        }
    }

    fn step(&self, state: &Members, call: &SetCall) -> Option<Members> {
        match call {
            SetCall::Read(seen) => state.are(seen).then(|| state.clone()),
            SetCall::Contains(element, there) => (state.contains(*element) == *there).then(|| state.clone()),
            SetCall::Add(element, said) => {
                let fits = said.is_none_or(|new| new != state.contains(*element));
                fits.then(|| state.with(*element))
            }
            SetCall::Remove(element, said) => {
                let fits = said.is_none_or(|old| old == state.contains(*element));
                fits.then(|| state.without(*element))
            }
        }
    }

    fn describe(&self, call: &SetCall) -> String {
        let (f, element, answer) = match call {
            SetCall::Add(element, said) => ("add", element, *said),
            SetCall::Remove(element, said) => ("remove", element, *said),
            SetCall::Contains(element, there) => ("contains", element, Some(*there)),
            SetCall::Read(seen) => return describe_read("read", seen),
        };
        match answer {
            Some(answer) => format!("{f} {element}, which answered {answer}"),
            None => format!("{f} {element}"),
        }
    }

    /// Reads of all concern every part.
    fn partition(&self, call: &SetCall) -> u64 {
        call.element().map_or(0, |element| element.word().wrapping_add(1))
    }

    fn reads_only(&self, call: &SetCall) -> bool {
        matches!(call.deed(), None | Some(Deed::See(_)))
    }

    fn state_bytes(&self, state: &Members) -> usize {
        state.bytes()
    }

    fn open_calls(&self, calls: &[SetCall], open: &[usize]) -> Vec<Open> {
        // The same change of the same element.
        let mut classes: HashMap<(Atom, bool, bool), u32> = HashMap::new();
        let hint = |&i: &usize| {
            let (Some(element), Some(deed)) = (calls[i].element(), calls[i].deed()) else {
                return Open::Irrelevant;
            };
            let (to, certain) = match deed {
                Deed::Turn(to) => (to, true),
                Deed::Put(to) => (to, false),
                Deed::See(_) => return Open::Irrelevant,
            };
            let next = classes.len() as u32;
            Open::Class(*classes.entry((element, to, certain)).or_insert(next))
        };
        open.iter().map(hint).collect()
    }

    fn monitor(&self, calls: &[Timed<SetCall>]) -> Option<Answer> {
        if calls.iter().any(|call| matches!(call.call, SetCall::Read(_))) {
            return growing(calls);
        }
        let element = calls.first()?.call.element();
        if calls.iter().any(|call| call.call.element() != element) {
            return None;
        }
        let deeds = calls.iter().filter_map(|call| {
            let deed = call.call.deed()?;
            Some(Timed { call: deed, start: call.start, end: call.end })
        });
        switch::judge(&deeds.collect::<Vec<_>>())
    }
}

/// Judges a set of which nothing is removed, and no element is asked for alone.
fn growing(calls: &[Timed<SetCall>]) -> Option<Answer> {
    let mut parts = grow_set::Calls { adds: Vec::new(), reads: Vec::new() };
    for (at, call) in (0_u32..).zip(calls) {
        match &call.call {
            // Whoever adds an element that nobody else adds finds it new.
            SetCall::Add(element, None | Some(true)) => parts.adds.push((*element, at)),
            SetCall::Read(seen) => parts.reads.push((seen, at)),
            _ => return None,
        }
    }
    grow_set::judge(calls, parts)
}
