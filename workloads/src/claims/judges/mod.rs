//! Judges of `claims` alone: whether decisions follow the votes, whether answers agree with the core version that
//! they name, whether each premium adjustment had its effect once and whole, and whether documents are found.

mod decisions;
mod documents;
mod premiums;
mod versions;

use std::collections::BTreeMap;

pub(super) use decisions::Decisions;
pub(super) use documents::Documents;
use ordeal_checkers::{FINAL_READS, Phases};
use ordeal_core::{Anomaly, Finding, History, Key, Operation, Verdict};
pub(super) use premiums::Premiums;
use serde::Deserialize;
pub(super) use versions::CoreVersions;

/// How many anomalies of one name are told; the rest are counted.
const TOLD: usize = 20;

/// A policy as an answer has it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Policy {
    holder: String,
    premium: i64,
    changed: u64,
}

/// A policy at a version, and the data node that says so.
#[derive(Clone, Debug, Deserialize)]
struct PolicyAt {
    version: u64,
    policy: Option<Policy>,
    node: Option<String>,
}

/// What an adjustment answers.
#[derive(Clone, Debug, Deserialize)]
struct Adjusted {
    version: u64,
    premiums: BTreeMap<String, i64>,
}

/// The result of an operation that succeeded.
///
/// # Errors
/// Why it cannot be read.
fn result<'h, T: Deserialize<'h>>(op: &Operation<'h>) -> Result<Option<T>, String> {
    let Some(value) = op.output() else { return Ok(None) };
    T::deserialize(value)
        .map(Some)
        .map_err(|e| format!("#{}: `{}` answers otherwise: {e}", op.index(), op.f()))
}

/// The argument of an operation.
///
/// # Errors
/// Why it cannot be read.
fn argument<'h, T: Deserialize<'h>>(op: &Operation<'h>) -> Result<T, String> {
    T::deserialize(op.input()).map_err(|e| format!("#{}: `{}` is asked otherwise: {e}", op.index(), op.f()))
}

/// The name of what the operation is about.
fn name_of(op: &Operation<'_>) -> String {
    op.key().map(Key::to_string).unwrap_or_default()
}

/// `#12 by client 3 at n2`.
fn who(op: &Operation<'_>) -> String {
    let node = op.invoke.node.as_deref().map_or_else(String::new, |node| format!(" at {node}"));
    format!("`{}` #{} by client {}{node}", op.f(), op.index(), op.process())
}

/// An anomaly that these operations show.
fn anomaly(name: &str, key: Option<&str>, message: String, ops: &[&Operation<'_>]) -> Anomaly {
    let mut cited: Vec<u64> = ops.iter().flat_map(|op| op.events()).collect();
    cited.dedup();
    Anomaly {
        name: name.to_owned(),
        message,
        key: key.map(|key| Key::Text(key.to_owned())),
        events: cited,
        details: serde_json::Value::Null,
    }
}

/// What a judge found, at most [`TOLD`] of each name; what it could not read makes it `Unknown`, if nothing worse.
fn conclude(name: &str, anomalies: Vec<Anomaly>, unread: &[String], fine: String, judged: usize) -> Finding {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut told = Vec::new();
    for anomaly in anomalies {
        let count = counts.entry(anomaly.name.clone()).or_default();
        *count += 1;
        if *count <= TOLD {
            told.push(anomaly);
        }
    }
    let (verdict, summary) = if !counts.is_empty() {
        let counts: Vec<String> = counts.iter().map(|(name, count)| format!("{count} {name}")).collect();
        (Verdict::Invalid, counts.join(", "))
    } else if let Some(first) = unread.first() {
        (Verdict::Unknown, format!("{} answers could not be read; {first}", unread.len()))
    } else if judged == 0 {
        (Verdict::Vacuous, "there was nothing to judge".to_owned())
    } else {
        (Verdict::Valid, fine)
    };
    Finding { anomalies: told, ..Finding::new(name, verdict, summary) }
}

/// The time at which the final reads began; `None` if they never did.
fn final_reads_begin(history: &History) -> Option<u64> {
    Phases::of(history).began(FINAL_READS).map(|(time_ns, _)| time_ns)
}

#[cfg(test)]
mod tests;
