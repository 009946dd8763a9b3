//! A set that only grows: `add` adds its argument, `read` answers with all elements, in any order.
//!
//! Open additions: an element that no read contains makes no difference. Elements that the same reads
//! contain, and that are added only once, cannot be told apart by any read, so their additions are
//! interchangeable; of an element added several times only the open additions of that same element are.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use ordeal_core::{Answer, Model, Open, Operation, Timed};
use serde_json::Value;

use super::members::{Members, braced};
use super::value::Atom;
use crate::About;
use crate::monitors::grow_set;
use crate::words::count;

/// How lists show it.
pub const ABOUT: About =
    About { name: "grow-set", about: "a set that only grows: add one element, read all" };

/// The model.
#[derive(Clone, Debug)]
pub struct GrowSet {
    add: Cow<'static, str>,
    read: Cow<'static, str>,
}

/// A call on a grow-only set.
#[derive(Clone, Debug)]
pub enum GrowSetCall {
    /// Adds this element.
    Add(Atom),
    /// Returns exactly these, which are all different.
    Read(Arc<[Atom]>),
}

impl GrowSet {
    /// A set whose functions have these names.
    pub fn new(add: impl Into<Cow<'static, str>>, read: impl Into<Cow<'static, str>>) -> Self {
        GrowSet { add: add.into(), read: read.into() }
    }
}

impl Default for GrowSet {
    fn default() -> Self {
        GrowSet::new("add", "read")
    }
}

/// The different elements that a read of a whole set returned, sorted by word.
pub(super) fn elements(f: &str, answer: &Value) -> Result<Arc<[Atom]>, String> {
    let Value::Array(values) = answer else {
        return Err(format!("`{f}` answers with an array, not {answer}"));
    };
    let mut elements: Vec<Atom> = values.iter().map(Atom::from).collect();
    elements.sort_unstable_by_key(|element| element.word());
    elements.dedup();
    Ok(elements.into())
}

/// A read of a whole set in words.
pub(super) fn describe_read(f: &str, seen: &[Atom]) -> String {
    let mut natural = seen.to_vec();
    natural.sort_unstable();
    format!("{f} {}, {}", braced(&natural), count(seen.len(), "element"))
}

impl Model for GrowSet {
    type State = Members;
    type Call = GrowSetCall;
    type Next = Option<Members>;

    fn name(&self) -> &'static str {
        ABOUT.name
    }

    fn init(&self) -> Members {
        Members::default()
    }

    fn call(&self, op: &Operation<'_>) -> Result<Option<GrowSetCall>, String> {
        if op.f() == self.add {
            return Ok(Some(GrowSetCall::Add(op.input().into())));
        }
        match op.output() {
            Some(answer) if op.f() == self.read => Ok(Some(GrowSetCall::Read(elements(&self.read, answer)?))),
            _ => Ok(None),
        }
    }

    fn step(&self, state: &Members, call: &GrowSetCall) -> Option<Members> {
        match call {
            GrowSetCall::Add(element) => Some(state.with(*element)),
            GrowSetCall::Read(seen) => state.are(seen).then(|| state.clone()),
        }
    }

    fn describe(&self, call: &GrowSetCall) -> String {
        match call {
            GrowSetCall::Add(element) => format!("{} {element}", self.add),
            GrowSetCall::Read(seen) => describe_read(&self.read, seen),
        }
    }

    fn reads_only(&self, call: &GrowSetCall) -> bool {
        matches!(call, GrowSetCall::Read(_))
    }

    fn contradict(&self, earlier: &GrowSetCall, later: &GrowSetCall) -> bool {
        let GrowSetCall::Read(later) = later else {
            return false;
        };
        let lacks = |element: &Atom| later.binary_search_by_key(&element.word(), |seen| seen.word()).is_err();
        match earlier {
            GrowSetCall::Add(element) => lacks(element),
            GrowSetCall::Read(seen) => seen.len() > later.len() || seen.iter().any(lacks),
        }
    }

    fn state_bytes(&self, state: &Members) -> usize {
        state.bytes()
    }

    fn open_calls(&self, calls: &[GrowSetCall], open: &[usize]) -> Vec<Open> {
        if open.is_empty() {
            return Vec::new();
        }
        let mut added: HashMap<Atom, u32> = HashMap::new();
        for call in calls {
            if let GrowSetCall::Add(element) = call {
                *added.entry(*element).or_default() += 1;
            }
        }
        let blocks = blocks(calls.iter().filter_map(|call| match call {
            GrowSetCall::Read(seen) => Some(&**seen),
            GrowSetCall::Add(_) => None,
        }));
        let mut classes: HashMap<(u32, Option<Atom>), u32> = HashMap::new();
        let class_of = |&i: &usize| {
            let GrowSetCall::Add(element) = calls[i] else {
                return Open::Irrelevant;
            };
            let block = blocks.binary_search_by_key(&element.word(), |block| block.0.word());
            let Some(&(_, block)) = block.ok().and_then(|at| blocks.get(at)) else {
                return Open::Irrelevant;
            };
            let once = added.get(&element) == Some(&1);
            let next = classes.len() as u32;
            Open::Class(*classes.entry((block, (!once).then_some(element))).or_insert(next))
        };
        open.iter().map(class_of).collect()
    }

    fn monitor(&self, calls: &[Timed<GrowSetCall>]) -> Option<Answer> {
        let mut parts = grow_set::Calls { adds: Vec::new(), reads: Vec::new() };
        for (at, call) in (0_u32..).zip(calls) {
            match &call.call {
                GrowSetCall::Add(element) => parts.adds.push((*element, at)),
                GrowSetCall::Read(seen) => parts.reads.push((seen, at)),
            }
        }
        grow_set::judge(calls, parts)
    }
}

/// The elements that are contained in some read, sorted by word, each with the number of its block: elements
/// contained in the same reads. Refines the partition with one read after another.
fn blocks<'c>(reads: impl Iterator<Item = &'c [Atom]> + Clone) -> Vec<(Atom, u32)> {
    let mut all: Vec<Atom> = reads.clone().flatten().copied().collect();
    all.sort_by_key(|element| element.word());
    all.dedup();
    let mut blocks: Vec<(Atom, u32)> = all.into_iter().map(|element| (element, 0)).collect();
    // What this read made of each block so far: its number, and by which read it was given.
    let mut split: Vec<(u32, usize)> = vec![(0, 0)];
    for (round, read) in (1..).zip(reads) {
        let mut rest = read.iter().peekable();
        for (element, block) in &mut blocks {
            if rest.next_if_eq(&&*element).is_none() {
                continue;
            }
            if split[*block as usize].1 != round {
                split[*block as usize] = (split.len() as u32, round);
                split.push((0, 0));
            }
            *block = split[*block as usize].0;
        }
    }
    blocks
}
