//! Takes operations one by one and sorts their calls by object: by key, then by the model's partition.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use ordeal_core::{EventKind, Finding, Intake, Key, Model, Operation, Timed};

use super::Linearizable;
use super::cite::{Calls, Citations};
use super::hash::FastMap;
use crate::words::of_key;

/// One independent part of the history.
#[derive(Debug)]
pub(super) struct Object<C> {
    /// The number of its key.
    pub(super) key: u32,
    pub(super) part: u64,
    pub(super) calls: Calls<C>,
}

/// All that was taken.
#[derive(Debug)]
pub(super) struct Taken<C> {
    pub(super) keys: Vec<Option<Key>>,
    pub(super) objects: Vec<Object<C>>,
    pub(super) citations: Citations,
    /// Operations that the model could not read, one reason for each key.
    pub(super) unread: FastMap<u32, String>,
    /// How many operations certainly took effect.
    pub(super) ok: usize,
    /// The functions of successful operations, each with whether the model ever judged one, and how many it
    /// did not.
    pub(super) functions: Vec<(String, bool, usize)>,
}

/// A key as it is looked up.
#[derive(Debug, Default)]
struct Keys {
    ints: FastMap<i64, u32>,
    texts: HashMap<String, u32>,
    without: Option<u32>,
    /// For each key its first part, and the object that this is; most keys have but one.
    first: Vec<(u64, u32)>,
    /// All other parts.
    rest: FastMap<(u32, u64), u32>,
}

/// The judge at work.
pub(super) struct Taking<'j, M: Model> {
    judge: &'j Linearizable<M>,
    keys: Keys,
    taken: Taken<M::Call>,
}

/// No object yet.
const NO_OBJECT: u32 = u32::MAX;

impl<'j, M: Model> Taking<'j, M> {
    pub(super) fn new(judge: &'j Linearizable<M>) -> Self {
        let taken = Taken {
            keys: Vec::new(),
            objects: Vec::new(),
            citations: Citations::default(),
            unread: FastMap::default(),
            ok: 0,
            functions: Vec::new(),
        };
        Taking { judge, keys: Keys::default(), taken }
    }

    /// The number of a key.
    fn key(&mut self, key: Option<&Key>) -> u32 {
        let known = match key {
            Some(Key::Int(n)) => self.keys.ints.get(n).copied(),
            Some(Key::Text(text)) => self.keys.texts.get(text).copied(),
            None => self.keys.without,
        };
        known.unwrap_or_else(|| {
            let number = self.taken.keys.len() as u32;
            match key {
                Some(Key::Int(n)) => drop(self.keys.ints.insert(*n, number)),
                Some(Key::Text(text)) => drop(self.keys.texts.insert(text.clone(), number)),
                None => self.keys.without = Some(number),
            }
            self.taken.keys.push(key.cloned());
            self.keys.first.push((0, NO_OBJECT));
            number
        })
    }

    /// The object that a part of a key is.
    fn object(&mut self, key: u32, part: u64) -> &mut Object<M::Call> {
        let next = self.taken.objects.len() as u32;
        let first = &mut self.keys.first[key as usize];
        if first.1 == NO_OBJECT {
            *first = (part, next);
        }
        let number = match *first {
            (first_part, object) if first_part == part => object,
            _ => *self.keys.rest.entry((key, part)).or_insert(next),
        };
        if number == next {
            self.taken.objects.push(Object { key, part, calls: Calls::default() });
        }
        &mut self.taken.objects[number as usize]
    }

    /// What is known of a function; there are few.
    fn function(&mut self, f: &str) -> &mut (String, bool, usize) {
        let functions = &mut self.taken.functions;
        let at = functions.iter().position(|known| known.0 == f).unwrap_or_else(|| {
            functions.push((f.to_owned(), false, 0));
            functions.len() - 1
        });
        &mut functions[at]
    }

    fn read(&self, op: &Operation<'_>) -> Result<Option<(M::Call, u64)>, String> {
        let model = &self.judge.model;
        let read = || {
            let call = match op.kind() {
                EventKind::Fail => model.refusal(op),
                _ => model.call(op),
            }?;
            Ok(call.map(|call| {
                let part = model.partition(&call);
                (call, part)
            }))
        };
        let panicked = |_| Err(format!("the model {} panicked", model.name()));
        let read = catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(panicked);
        if op.ret < op.call {
            return Err("the operation ends before it begins".to_owned());
        }
        read
    }
}

impl<M: Model> Intake for Taking<'_, M> {
    fn take(&mut self, op: &Operation<'_>) {
        if self.judge.only.as_ref().is_some_and(|passes| !passes(op.f())) {
            return;
        }
        let key = self.key(op.key());
        match self.read(op) {
            Ok(None) => {
                if op.kind() == EventKind::Ok {
                    self.function(op.f()).2 += 1;
                }
            }
            Ok(Some((call, part))) => {
                self.function(op.f()).1 = true;
                let cite = self.taken.citations.cite(op);
                self.taken.ok += usize::from(op.kind() == EventKind::Ok);
                let call = Timed { call, start: op.call, end: op.ret };
                self.object(key, part).calls.push(call, cite);
            }
            Err(why) => {
                let why = || format!("{}event {}: {why}", of_key(op.key()), op.index());
                self.taken.unread.entry(key).or_insert_with(why);
            }
        }
    }

    fn finish(self: Box<Self>) -> Finding {
        let Taking { judge, mut taken, .. } = *self;
        // In an order that does not depend on which operation came first.
        let keys = &taken.keys;
        taken.objects.sort_by(|a, b| (&keys[a.key as usize], a.part).cmp(&(&keys[b.key as usize], b.part)));
        // Part 0, which comes first, is the whole object: then its parts are not judged apart.
        taken.objects.dedup_by(|part, whole| {
            let joins = whole.part == 0 && whole.key == part.key;
            if joins {
                whole.calls.append(&mut part.calls);
            }
            joins
        });
        for object in &mut taken.objects {
            object.calls.sort();
        }
        judge.judge(&taken)
    }
}
