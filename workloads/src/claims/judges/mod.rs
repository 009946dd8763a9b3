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
use ordeal_core::{Anomaly, Finding, History, Key, Operation};
pub(super) use premiums::Premiums;
use serde::Deserialize;
pub(super) use versions::CoreVersions;

use crate::report::Report;

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

/// What a judge found; what it could not read makes it `Unknown`, if nothing worse.
fn conclude(name: &str, anomalies: Vec<Anomaly>, unread: &[String], fine: String, judged: usize) -> Finding {
    Report::of(anomalies, unread).finding(name, fine, judged == 0)
}

/// The time at which the final reads began; `None` if they never did.
fn final_reads_begin(history: &History) -> Option<u64> {
    Phases::of(history).began(FINAL_READS).map(|(time_ns, _)| time_ns)
}

#[cfg(test)]
mod tests;
