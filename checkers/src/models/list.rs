//! An append-only list: `append` adds its argument at the end, `read` answers with the whole list.
//!
//! An `append` may answer with the position it took, counted from 0; `null` says nothing.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use ordeal_core::{Answer, Model, Open, Operation, Timed};
use serde_json::Value;

use super::sequence::{Sequence, bracketed};
use super::value::Atom;
use crate::About;
use crate::monitors::log;
use crate::words::count;

/// How lists show it.
pub const ABOUT: About =
    About { name: "list", about: "an append-only list or log: append one value, read all" };

/// The model.
#[derive(Clone, Copy, Debug, Default)]
pub struct AppendList;

/// A call on an append-only list.
#[derive(Clone, Debug)]
pub enum ListCall {
    /// Adds this value at the end; the position it took, where that was said.
    Append(Atom, Option<u64>),
    /// Returns exactly these.
    Read(Arc<[Atom]>),
}

impl Model for AppendList {
    type State = Sequence;
    type Call = ListCall;
    type Next = Option<Sequence>;

    fn name(&self) -> &'static str {
        ABOUT.name
    }

    fn init(&self) -> Sequence {
        Sequence::default()
    }

    fn call(&self, op: &Operation<'_>) -> Result<Option<ListCall>, String> {
        match (op.f(), op.output()) {
            ("append", None | Some(Value::Null)) => Ok(Some(ListCall::Append(op.input().into(), None))),
            ("append", Some(answer)) => match answer.as_u64() {
                Some(position) => Ok(Some(ListCall::Append(op.input().into(), Some(position)))),
                None => Err(format!("`append` answers with a position or null, not {answer}")),
            },
            ("read", Some(Value::Array(values))) => {
                Ok(Some(ListCall::Read(values.iter().map(Atom::from).collect())))
            }
            ("read", Some(answer)) => Err(format!("`read` answers with an array, not {answer}")),
            _ => Ok(None),
        }
    }

    fn step(&self, state: &Sequence, call: &ListCall) -> Option<Sequence> {
        match call {
            ListCall::Append(value, position) => {
                let fits = position.is_none_or(|position| position == state.len() as u64);
                fits.then(|| state.with(*value))
            }
            ListCall::Read(values) => state.is(values).then(|| state.clone()),
        }
    }

    fn describe(&self, call: &ListCall) -> String {
        match call {
            ListCall::Append(value, None) => format!("append {value}"),
            ListCall::Append(value, Some(position)) => format!("append {value}, at position {position}"),
            ListCall::Read(values) => {
                format!("read {}, {}", bracketed(values), count(values.len(), "value"))
            }
        }
    }

    fn reads_only(&self, call: &ListCall) -> bool {
        matches!(call, ListCall::Read(_))
    }

    fn contradict(&self, earlier: &ListCall, later: &ListCall) -> bool {
        match (earlier, later) {
            (ListCall::Read(earlier), ListCall::Read(later)) => !later.starts_with(earlier),
            (ListCall::Append(value, _), ListCall::Read(later)) => !later.contains(value),
            (ListCall::Append(_, Some(earlier)), ListCall::Append(_, Some(later))) => later <= earlier,
            _ => false,
        }
    }

    fn state_bytes(&self, state: &Sequence) -> usize {
        state.bytes()
    }

    fn open_calls(&self, calls: &[ListCall], open: &[usize]) -> Vec<Open> {
        let mut seen: HashSet<Atom> = HashSet::new();
        let mut positions = false;
        for call in calls {
            match call {
                ListCall::Read(values) => seen.extend(values.iter()),
                ListCall::Append(_, position) => positions |= position.is_some(),
            }
        }
        // A value that nobody saw only moves the positions of others: one is as good as another. Without
        // positions it makes no difference.
        let mut classes: HashMap<Option<Atom>, u32> = HashMap::new();
        let hint = |&i: &usize| match calls[i] {
            ListCall::Append(value, None) if seen.contains(&value) || positions => {
                let next = classes.len() as u32;
                let class = Some(value).filter(|value| seen.contains(value));
                Open::Class(*classes.entry(class).or_insert(next))
            }
            ListCall::Append(_, Some(_)) => Open::Unique,
            ListCall::Append(_, None) | ListCall::Read(_) => Open::Irrelevant,
        };
        open.iter().map(hint).collect()
    }

    fn monitor(&self, calls: &[Timed<ListCall>]) -> Option<Answer> {
        let mut parts = log::Calls { appends: Vec::new(), reads: Vec::new() };
        for (at, call) in (0_u32..).zip(calls) {
            match &call.call {
                ListCall::Append(value, position) => {
                    parts.appends.push(log::Append { value: *value, position: *position, at });
                }
                ListCall::Read(values) => parts.reads.push((values, at)),
            }
        }
        log::judge(calls, parts)
    }
}
