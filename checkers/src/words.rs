//! How findings speak of operations: who, where and when, always in the same words.

use ordeal_core::Key;

/// A time stamp in milliseconds.
pub(crate) fn ms(time_ns: u64) -> f64 {
    time_ns as f64 / 1e6
}

/// `key 7: `, or nothing where operations have no key.
pub(crate) fn of_key(key: Option<&Key>) -> String {
    key.map_or_else(String::new, |k| format!("key {k}: "))
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
