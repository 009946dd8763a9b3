//! The judges of `inventory` that no other workload has use for, and what they share.

mod availability;
mod conflicts;
mod levels;
mod sessions;
mod updates;

use std::borrow::Cow;
use std::collections::BTreeMap;

use ordeal_core::{Anomaly, Event, EventKind, Finding, History, Key, Operation, Process, Verdict};
use serde_json::Value;

pub(super) use availability::Availability;
pub(super) use conflicts::Conflicts;
pub(super) use levels::Levels;
pub(super) use sessions::Sessions;

/// How many anomalies of one name are told; the rest are counted.
const REPORTED: usize = 10;

/// Anomalies as they are found.
#[derive(Default)]
struct Found {
    told: Vec<Anomaly>,
    by_name: BTreeMap<&'static str, usize>,
}

impl Found {
    fn note(&mut self, name: &'static str, key: Option<&Key>, said: &str, events: Vec<u64>) {
        let count = self.by_name.entry(name).or_default();
        *count += 1;
        if *count <= REPORTED {
            let key_is = key.map_or_else(String::new, |key| format!("key {key}: "));
            let message = format!("{key_is}{said}.");
            self.told.push(Anomaly {
                name: name.to_owned(),
                message,
                key: key.cloned(),
                events,
                details: Value::Null,
            });
        }
    }

    /// Invalid if anything was found, else what the judge says.
    fn conclude(self, judge: &str, otherwise: (Verdict, String)) -> Finding {
        let (verdict, summary) = match self.by_name.is_empty() {
            true => otherwise,
            false => {
                let kinds: Vec<String> =
                    self.by_name.iter().map(|(name, count)| format!("{count} × {name}")).collect();
                (Verdict::Invalid, kinds.join(", "))
            }
        };
        let mut finding =
            Finding::new(judge, verdict, summary).with("violations", self.by_name.values().sum::<usize>());
        finding.anomalies = self.told;
        finding
    }
}

/// The operations of a history, or the finding that it cannot be judged.
fn operations<'h>(history: &'h History, judge: &str) -> Result<Vec<Operation<'h>>, Finding> {
    history.operations().map_err(|e| Finding::new(judge, Verdict::Unknown, e.to_string()))
}

/// When the reads at the end began, after everything was healed and had settled: time and index.
fn final_reads(events: &[Event]) -> Option<(u64, u64)> {
    let marks =
        |e: &&Event| matches!(e.process, Process::Named(_)) && e.kind == EventKind::Info && e.f == "phase";
    let mark = events.iter().filter(marks).find(|e| e.value == "final-reads");
    mark.map(|e| (e.time, e.index))
}

/// Whether the operation began after this moment.
fn began_after(op: &Operation<'_>, moment: Option<(u64, u64)>) -> bool {
    moment.is_some_and(|moment| (op.invoke.time, op.index()) > moment)
}

/// The node that was asked.
fn node<'h>(op: &Operation<'h>) -> &'h str {
    op.invoke.node.as_deref().unwrap_or("?")
}

/// The events of an operation, to cite.
fn cite(op: &Operation<'_>) -> Vec<u64> {
    [Some(op.index()), op.complete.map(|e| e.index)].into_iter().flatten().collect()
}

/// An operation in words.
fn told(op: &Operation<'_>) -> String {
    let ms = |ns: u64| ns as f64 / 1e6;
    let ended = op.complete.map_or(Cow::Borrowed("?"), |e| Cow::Owned(format!("{:.3}", ms(e.time))));
    let value = if op.input().is_null() { String::new() } else { format!(" {}", op.input()) };
    format!("`{}{value}` at {}, {:.3} to {ended} ms", op.f(), node(op), ms(op.invoke.time))
}

#[cfg(test)]
mod tests;
