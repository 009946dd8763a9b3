//! A set that only grows: `add` adds its argument, `read` answers with all elements, in any order.
//!
//! Open additions: an element that no read contains makes no difference. Elements that the same reads
//! contain, and that are added only once, cannot be told apart by any read, so their additions are
//! interchangeable; of an element added several times only the open additions of that same element are.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use ordeal_core::{Model, Open, Operation};
use serde_json::Value;

use super::value::Atom;
use crate::About;
use crate::words::{count, listed};

/// How lists show it.
pub const ABOUT: About =
    About { name: "grow-set", about: "a set that only grows: add one element, read all" };

/// The model. Elements are numbered in the order in which they are first seen.
#[derive(Clone, Debug)]
pub struct GrowSet {
    add: Cow<'static, str>,
    read: Cow<'static, str>,
    elements: Arc<Mutex<Elements>>,
}

#[derive(Debug, Default)]
struct Elements {
    numbers: HashMap<Atom, u32>,
    names: Vec<Atom>,
}

impl Elements {
    fn number(&mut self, element: Atom) -> u32 {
        let next = self.names.len() as u32;
        *self.numbers.entry(element).or_insert_with_key(|element| {
            self.names.push(element.clone());
            next
        })
    }
}

/// The elements of a set.
#[derive(Clone)]
pub struct Members {
    /// Their numbers, rising.
    numbers: Arc<[u32]>,
    /// What the numbers stand for; plays no part in equality.
    elements: Arc<Mutex<Elements>>,
}

impl PartialEq for Members {
    fn eq(&self, other: &Self) -> bool {
        self.numbers == other.numbers
    }
}

impl Eq for Members {}

impl Hash for Members {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.numbers.hash(state);
    }
}

/// How many elements a message shows before it counts the rest.
const SHOWN: usize = 12;

impl fmt::Debug for Members {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let elements = self.elements.lock().unwrap_or_else(PoisonError::into_inner);
        let names = self.numbers.iter().filter_map(|&n| elements.names.get(n as usize));
        let mut names: Vec<&Atom> = names.collect();
        names.sort_unstable();
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        write!(f, "{{{}}}", listed(&names, SHOWN, ", "))
    }
}

/// A call on a grow-only set.
#[derive(Clone, Debug)]
pub enum SetCall {
    /// Adds this element.
    Add(Members),
    /// Returns exactly these.
    Read(Members),
}

impl GrowSet {
    /// A set whose functions have these names.
    pub fn new(add: impl Into<Cow<'static, str>>, read: impl Into<Cow<'static, str>>) -> Self {
        GrowSet { add: add.into(), read: read.into(), elements: Arc::default() }
    }

    fn members(&self, values: &[Value]) -> Members {
        let mut elements = self.elements.lock().unwrap_or_else(PoisonError::into_inner);
        let mut numbers: Vec<u32> = values.iter().map(|v| elements.number(v.into())).collect();
        numbers.sort_unstable();
        numbers.dedup();
        Members { numbers: numbers.into(), elements: Arc::clone(&self.elements) }
    }
}

impl Default for GrowSet {
    fn default() -> Self {
        GrowSet::new("add", "read")
    }
}

impl Model for GrowSet {
    type State = Members;
    type Call = SetCall;
    type Next = Option<Members>;

    fn name(&self) -> &'static str {
        ABOUT.name
    }

    fn init(&self) -> Members {
        self.members(&[])
    }

    fn call(&self, op: &Operation<'_>) -> Result<Option<SetCall>, String> {
        if op.f() == self.add {
            let element = std::slice::from_ref(op.input());
            return Ok(Some(SetCall::Add(self.members(element))));
        }
        match op.output() {
            Some(Value::Array(values)) if op.f() == self.read => {
                Ok(Some(SetCall::Read(self.members(values))))
            }
            Some(other) if op.f() == self.read => {
                Err(format!("`{}` answers with an array, not {other}", self.read))
            }
            _ => Ok(None),
        }
    }

    fn step(&self, state: &Members, call: &SetCall) -> Option<Members> {
        let added = match call {
            SetCall::Read(seen) => return (seen == state).then(|| state.clone()),
            SetCall::Add(added) => &added.numbers,
        };
        let mut numbers = Vec::with_capacity(state.numbers.len() + 1);
        numbers.extend_from_slice(&state.numbers);
        for element in added.iter() {
            if let Err(place) = numbers.binary_search(element) {
                numbers.insert(place, *element);
            }
        }
        Some(Members { numbers: numbers.into(), elements: Arc::clone(&state.elements) })
    }

    fn describe(&self, call: &SetCall) -> String {
        match call {
            SetCall::Add(added) => {
                let text = format!("{added:?}");
                format!("{} {}", self.add, text.trim_matches(['{', '}']))
            }
            SetCall::Read(seen) => {
                format!("{} {seen:?}, {}", self.read, count(seen.numbers.len(), "element"))
            }
        }
    }

    fn reads_only(&self, call: &SetCall) -> bool {
        matches!(call, SetCall::Read(_))
    }

    fn state_bytes(&self, state: &Members) -> usize {
        size_of_val(state) + size_of_val(&*state.numbers) + 16
    }

    fn open_calls(&self, calls: &[SetCall], open: &[usize]) -> Vec<Open> {
        let mut added: HashMap<u32, u32> = HashMap::new();
        let reads = calls.iter().filter_map(|call| match call {
            SetCall::Read(seen) => Some(&*seen.numbers),
            SetCall::Add(element) => {
                element.numbers.iter().for_each(|&e| *added.entry(e).or_default() += 1);
                None
            }
        });
        let blocks = blocks(reads);
        let mut classes: HashMap<(u32, Option<u32>), u32> = HashMap::new();
        let class_of = |&i: &usize| {
            let SetCall::Add(element) = &calls[i] else {
                return Open::Irrelevant;
            };
            let Some(&element) = element.numbers.first() else {
                return Open::Irrelevant;
            };
            let Some(&block) = blocks.get(&element) else {
                return Open::Irrelevant;
            };
            let once = added.get(&element) == Some(&1);
            let next = classes.len() as u32;
            Open::Class(*classes.entry((block, (!once).then_some(element))).or_insert(next))
        };
        open.iter().map(class_of).collect()
    }
}

/// Numbers the blocks of elements that are contained in the same reads, by refining the partition with
/// one read after another. Elements that no read contains are left out.
fn blocks<'c>(reads: impl Iterator<Item = &'c [u32]>) -> HashMap<u32, u32> {
    let mut block_of: HashMap<u32, u32> = HashMap::new();
    let mut blocks: u32 = 1; // Block 0: in none of the reads so far.
    for read in reads {
        let mut split: HashMap<u32, u32> = HashMap::new();
        for &element in read {
            let block = block_of.entry(element).or_default();
            *block = *split.entry(*block).or_insert_with(|| {
                blocks += 1;
                blocks - 1
            });
        }
    }
    block_of
}
