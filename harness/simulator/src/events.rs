//! Simulated operations as events of a history.

use std::collections::BTreeMap;

use ordeal_core::{Event, EventKind, Key, Operation, Process};
use serde_json::{Map, Value, json};

use crate::objects::Object;
use crate::operation::{Answer, Ended, Function, Simulated, Step, What};

/// An operation as its two events; the second is missing if it stays open. Their indices are its places
/// among all beginnings and ends.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    /// The beginning.
    pub invoke: Event,
    /// The end.
    pub complete: Option<Event>,
}

impl Pair {
    /// The two events of an operation on such an object.
    pub fn new(object: Object, op: &Simulated) -> Self {
        let complete = op.ret.map(|ret| Event { index: ret, ..completion(object, op) });
        Pair { invoke: Event { index: op.call, ..invocation(object, op) }, complete }
    }

    /// The operation, as judges take it.
    pub fn operation(&self) -> Operation<'_> {
        Operation {
            invoke: &self.invoke,
            complete: self.complete.as_ref(),
            call: self.invoke.index,
            ret: self.complete.as_ref().map_or(Operation::OPEN, |event| event.index),
        }
    }
}

/// Nanoseconds in a tick.
const TICK: u64 = 1_000;

/// The events of a history, in order of time; no two have the same. An operation that stays open gets its
/// `info` when its client gives up.
pub struct Events<I: Iterator> {
    object: Object,
    operations: std::iter::Peekable<I>,
    /// What will complete, by tick and place. A client that gives up has no place: it comes first in its
    /// tick, for it may go on in the same one.
    pending: BTreeMap<(u64, Option<u64>, u64), Event>,
    index: u64,
    time: u64,
}

impl<I: Iterator<Item = Simulated>> Events<I> {
    /// The events of operations that come in order of their beginning.
    pub fn new(object: Object, operations: impl IntoIterator<IntoIter = I>) -> Self {
        let operations = operations.into_iter().peekable();
        Events { object, operations, pending: BTreeMap::new(), index: 0, time: 0 }
    }
}

impl<I: Iterator<Item = Simulated>> Iterator for Events<I> {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        let begins = self.operations.peek().map(|op| (op.called_at, Some(op.call), 0));
        let ends = self.pending.first_key_value().map(|(key, _)| *key);
        let begin = match (begins, ends) {
            (None, None) => return None,
            (Some(begins), Some(ends)) => begins < ends,
            (begins, _) => begins.is_some(),
        };
        let (at, mut event) = if begin {
            let op = self.operations.next()?;
            self.pending.insert((op.returned_at, op.ret, op.number), completion(self.object, &op));
            (op.called_at, invocation(self.object, &op))
        } else {
            let ((at, ..), event) = self.pending.pop_first()?;
            (at, event)
        };
        self.time = (at * TICK).max(self.time + 1);
        (event.index, event.time) = (self.index, self.time);
        self.index += 1;
        Some(event)
    }
}

fn invocation(object: Object, op: &Simulated) -> Event {
    let key = object.is_keyed().then_some(Key::Int(op.key as i64));
    let event = |value| Event {
        index: 0,
        time: op.called_at * TICK,
        process: Process::Client(op.process),
        kind: EventKind::Invoke,
        f: op.function.name().into(),
        value,
        key,
        node: None,
        error: None,
    };
    event(argument(object, op))
}

fn completion(object: Object, op: &Simulated) -> Event {
    let event = Event { time: op.returned_at * TICK, ..invocation(object, op) };
    match op.ended {
        Ended::Ok => Event { kind: EventKind::Ok, value: result(object, op), ..event },
        Ended::Fail => Event { kind: EventKind::Fail, error: Some("refused".to_owned()), ..event },
        Ended::Open => Event { kind: EventKind::Info, error: Some("no answer".to_owned()), ..event },
    }
}

/// What an invocation says.
fn argument(object: Object, op: &Simulated) -> Value {
    let [a, b, c] = op.args;
    match op.function {
        Function::Cas => json!([nothing_if_0(a), b]),
        Function::Put | Function::AppendText => text(&[a]).into(),
        Function::Transfer => json!({"from": a, "to": b, "amount": c}),
        Function::Transaction => op.steps.iter().map(|s| step(s, false)).collect(),
        Function::Release if object == Object::FencedLock => a.into(),
        Function::Write | Function::Increment | Function::Remove | Function::Contains => a.into(),
        function if function.gives() => a.into(),
        _ => Value::Null,
    }
}

/// What a completion says.
fn result(object: Object, op: &Simulated) -> Value {
    match &op.answer {
        _ if op.function == Function::Transaction => op.steps.iter().map(|s| step(s, true)).collect(),
        // A plain lock says nothing about tokens.
        Answer::Silent => Value::Null,
        Answer::Number(_) if object == Object::Lock => Value::Null,
        Answer::Number(value) => match op.function {
            Function::Count => (*value).into(),
            function if function.answers_yes_or_no() => (*value != 0).into(),
            _ => nothing_if_0(*value),
        },
        Answer::Versioned(version, value) => json!([version, nothing_if_0(*value)]),
        Answer::List(elements) => elements.as_slice().into(),
        Answer::Text(parts) => parts.as_deref().map(text).into(),
        Answer::Accounts(balances) => {
            let accounts = balances.iter().enumerate();
            accounts.map(|(i, held)| (i.to_string(), (*held).into())).collect::<Map<_, _>>().into()
        }
    }
}

fn nothing_if_0(value: i64) -> Value {
    if value == 0 { Value::Null } else { value.into() }
}

/// A text of which each part can be told.
fn text(parts: &[i64]) -> String {
    parts.iter().map(|part| format!("{part}.")).collect()
}

fn step(step: &Step, answered: bool) -> Value {
    let seen = |value: Value| json!(["r", step.key, if answered { value } else { Value::Null }]);
    match &step.what {
        What::Append(value) => json!(["append", step.key, value]),
        What::Write(value) => json!(["w", step.key, value]),
        What::List(elements) => seen(elements.as_slice().into()),
        What::Value(value) => seen(nothing_if_0(*value)),
    }
}
