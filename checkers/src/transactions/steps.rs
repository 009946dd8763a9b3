//! Reading transactions: the steps of an operation, and who ran it when.

use ordeal_core::{EventKind, Key, Operation};
use serde_json::Value;

use crate::models::Atom;

/// A transaction, without its steps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Txn {
    /// The client.
    pub(crate) process: u64,
    /// A part of what the process does, where parts are ordered each for itself; usually there is one.
    pub(crate) lane: u8,
    /// When it began.
    pub(crate) start: u64,
    /// When it ended; [`Operation::OPEN`] if nobody knows whether or when it took effect.
    pub(crate) end: u64,
    /// The index of its invocation.
    pub(crate) index: u64,
    /// The index of its completion, if there is one.
    pub(crate) completed: Option<u64>,
}

impl Txn {
    pub(crate) fn of(op: &Operation<'_>) -> Txn {
        // Without a result there is no knowing when, or whether, even if somebody wrote an end down.
        let end = if op.kind() == EventKind::Ok { op.ret } else { Operation::OPEN };
        Txn {
            process: op.process(),
            lane: 0,
            start: op.call,
            end,
            index: op.index(),
            completed: op.complete.map(|e| e.index),
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.end == Operation::OPEN
    }

    /// `T12`: by the index of the invocation.
    pub(crate) fn name(&self) -> String {
        format!("T{}", self.index)
    }

    /// The indices of its events.
    pub(crate) fn events(&self) -> impl Iterator<Item = u64> {
        [Some(self.index), self.completed].into_iter().flatten()
    }
}

/// What a step of a transaction does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Adds an element to the end of a list.
    Append,
    /// Writes a value.
    Write,
    /// Reads a value or a list.
    Read,
}

/// Shows each step of an operation to `visit`, in order. Reads are shown only where their result is known,
/// which in an operation of unknown outcome means: known if it took effect (the comparison of a
/// compare-and-set). Returns whether it was an operation on data at all.
///
/// # Errors
/// What is wrong with its form.
pub(crate) fn steps<'h>(
    op: &Operation<'h>,
    mut visit: impl FnMut(Step, Atom, &'h Value) -> Result<(), String>,
) -> Result<bool, String> {
    let wrong = |why: String| format!("event {}: {why}", op.index());
    let ok = op.kind() == EventKind::Ok;
    let one = key_of(op.key());
    match op.f() {
        "write" | "w" | "put" => visit(Step::Write, one, op.input()).map_err(wrong)?,
        "append" => visit(Step::Append, one, op.input()).map_err(wrong)?,
        "read" | "r" | "get" if !is_list_of_steps(op.input()) => match op.output() {
            Some(output) => visit(Step::Read, one, output).map_err(wrong)?,
            None => return Ok(true),
        },
        "cas" => {
            let Some([from, to]) = op.input().as_array().map(Vec::as_slice) else {
                return Err(wrong(format!("a cas is of [from, to], not of {}", op.input())));
            };
            visit(Step::Read, one, from).map_err(wrong)?;
            visit(Step::Write, one, to).map_err(wrong)?;
        }
        _ => {
            let output = op.output().filter(|value| !value.is_null());
            let Some(list) = output.unwrap_or(op.input()).as_array() else {
                return match op.f() {
                    "txn" => Err(wrong("a transaction is a list of steps".to_owned())),
                    _ => Ok(false),
                };
            };
            if op.f() != "txn" && !list.iter().all(is_step) {
                return Ok(false);
            }
            for step in list {
                let (step, key, value) = step_of(step).map_err(wrong)?;
                if step == Step::Read && output.is_none() {
                    if ok {
                        return Err(wrong("a transaction that took effect lacks its results".to_owned()));
                    }
                    continue;
                }
                visit(step, key, value).map_err(wrong)?;
            }
        }
    }
    Ok(true)
}

/// The object of a plain operation.
fn key_of(key: Option<&Key>) -> Atom {
    match key {
        None => Atom::NULL,
        Some(Key::Int(n)) => Atom::int(*n),
        Some(Key::Text(text)) => Atom::from(&Value::String(text.clone())),
    }
}

fn is_step(value: &Value) -> bool {
    step_of(value).is_ok()
}

fn is_list_of_steps(value: &Value) -> bool {
    value.as_array().is_some_and(|list| list.iter().all(is_step))
}

fn step_of(step: &Value) -> Result<(Step, Atom, &Value), String> {
    let Some([f, key, value]) = step.as_array().map(Vec::as_slice) else {
        return Err(format!("a step is [function, key, value], not {step}"));
    };
    let f = match f.as_str().map(|f| f.strip_prefix(':').unwrap_or(f)) {
        Some("append") => Step::Append,
        Some("w" | "write") => Step::Write,
        Some("r" | "read") => Step::Read,
        _ => return Err(format!("a step appends, writes or reads; it does not {f}")),
    };
    Ok((f, Atom::from(key), value))
}
