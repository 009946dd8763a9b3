//! How findings speak of operations: who, where and when, always in the same words.

use ordeal_core::{Key, Operation};
use serde_json::{Value, json};

/// A time stamp in milliseconds.
pub(crate) fn ms(time_ns: u64) -> f64 {
    time_ns as f64 / 1e6
}

/// `key 7: `, or nothing where operations have no key.
pub(crate) fn of_key(key: Option<&Key>) -> String {
    key.map_or_else(String::new, |k| format!("key {k}: "))
}

/// `process 4 on n2, 1203.112 to 1210.400 ms`.
pub(crate) fn who_when(op: &Operation<'_>) -> String {
    let node = op.invoke.node.as_ref().map_or_else(String::new, |n| format!(" on {n}"));
    let began = ms(op.invoke.time);
    let when = match op.complete {
        Some(end) if op.ret != Operation::OPEN => format!("{began:.3} to {:.3} ms", ms(end.time)),
        _ => format!("from {began:.3} ms, end unknown"),
    };
    format!("process {}{node}, {when}", op.process())
}

/// An operation as data, described by `text`.
pub(crate) fn as_data(op: &Operation<'_>, text: &str) -> Value {
    let end = op.complete.filter(|_| op.ret != Operation::OPEN);
    json!({
        "op": text,
        "process": op.process(),
        "node": op.invoke.node,
        "from_ms": ms(op.invoke.time),
        "to_ms": end.map(|e| ms(e.time)),
        "invoked": op.index(),
        "completed": op.complete.map(|e| e.index),
    })
}

/// The indices of an operation's events.
pub(crate) fn cite(op: &Operation<'_>) -> impl Iterator<Item = u64> {
    [Some(op.index()), op.complete.map(|e| e.index)].into_iter().flatten()
}

/// At most `limit` items, and how many more there are.
pub(crate) fn listed<T: AsRef<str>>(items: &[T], limit: usize, separator: &str) -> String {
    let shown: Vec<&str> = items.iter().take(limit).map(AsRef::as_ref).collect();
    let more = items.len().saturating_sub(limit);
    let tail = if more == 0 { String::new() } else { format!(" and {more} more") };
    shown.join(separator) + &tail
}

/// `1 operation`, `2 operations`.
pub(crate) fn count(n: usize, noun: &str) -> String {
    let s = if n == 1 { "" } else { "s" };
    format!("{n} {noun}{s}")
}
