//! Statistics of each kind of operation and each phase, and whether enough succeeded to judge by.
//!
//! Failures are no violation. But where nothing succeeded nothing was tested, and that is said: a
//! function that never succeeded, or a phase of load or reads in which nothing did, makes the run vacuous.

use std::collections::BTreeMap;

use ordeal_core::{Checker, EventKind, Finding, History, Operation, Verdict, judge_operations};
use serde_json::{Value, json};

use crate::About;
use crate::phases::{FINAL_READS, LOAD, Phases, WARM_UP};
use crate::words::{count, ms};

/// How lists show it.
pub(crate) const ABOUT: About = About {
    name: "stats",
    about: "how much succeeded, how fast, and what went wrong most; vacuous where nothing succeeded",
};

/// How many different errors are listed.
const ERRORS: usize = 10;
/// A phase shorter than this, in which nothing was asked, was not meant to take place.
const SKIPPED_NS: u64 = 1_000_000;

/// The judge.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stats;

/// What one kind of operation, or one phase, came to.
#[derive(Default)]
struct Tally {
    invoked: u64,
    ok: u64,
    fail: u64,
    info: u64,
    latencies_ns: Vec<u64>,
}

impl Tally {
    fn add(&mut self, op: &Operation<'_>) {
        self.invoked += 1;
        match (op.kind(), op.complete) {
            (EventKind::Ok, Some(end)) => {
                self.ok += 1;
                self.latencies_ns.push(end.time.saturating_sub(op.invoke.time));
            }
            (EventKind::Fail, _) => self.fail += 1,
            _ => self.info += 1,
        }
    }

    /// The share of operations that succeeded; `None` if there were none.
    fn availability(&self) -> Option<f64> {
        (self.invoked > 0).then(|| self.ok as f64 / self.invoked as f64)
    }

    fn into_value(mut self) -> Value {
        self.latencies_ns.sort_unstable();
        let availability = self.availability();
        let latency = |percent| percentile(&self.latencies_ns, percent).map(ms);
        json!({
            "invoked": self.invoked,
            "ok": self.ok,
            "fail": self.fail,
            "info": self.info,
            "availability": availability,
            "latency_ms_p50": latency(50),
            "latency_ms_p95": latency(95),
            "latency_ms_p99": latency(99),
            "latency_ms_max": latency(100),
        })
    }
}

/// The smallest value that at least `percent` of all do not exceed (nearest rank); `None` of nothing.
pub(crate) fn percentile(sorted: &[u64], percent: usize) -> Option<u64> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied()
}

impl Checker for Stats {
    fn name(&self) -> String {
        ABOUT.name.to_owned()
    }

    fn check(&self, history: &History) -> Finding {
        judge_operations(ABOUT.name, history, |operations| judge_all(&operations, &Phases::of(history)))
    }
}

fn judge_all(operations: &[Operation<'_>], phases: &Phases<'_>) -> Finding {
    let mut all = Tally::default();
    let mut by_function: BTreeMap<&str, Tally> = BTreeMap::new();
    let mut by_phase: BTreeMap<&str, Tally> = BTreeMap::new();
    let mut by_both: BTreeMap<(&str, &str), Tally> = BTreeMap::new();
    let mut errors: BTreeMap<&str, u64> = BTreeMap::new();
    for op in operations {
        all.add(op);
        by_function.entry(op.f()).or_default().add(op);
        if let Some(phase) = phases.at(op.invoke) {
            by_phase.entry(phase).or_default().add(op);
            by_both.entry((phase, op.f())).or_default().add(op);
        }
        if op.kind() != EventKind::Ok {
            *errors.entry(error_of(op)).or_default() += 1;
        }
    }
    let silent = silent(phases, &all, &by_function, &by_phase);
    let load = if phases.has(LOAD) { by_phase.get(LOAD) } else { Some(&all) };
    let availability = load.and_then(Tally::availability);
    let figures = format!(
        "{}: {} ok, {} fail, {} info",
        count(operations.len(), "operation"),
        all.ok,
        all.fail,
        all.info
    );
    let (verdict, summary) = if silent.is_empty() {
        (Verdict::Valid, figures)
    } else {
        (Verdict::Vacuous, format!("{} ({figures})", silent.join("; ")))
    };
    let mut nested: BTreeMap<&str, BTreeMap<&str, Value>> = BTreeMap::new();
    for ((phase, f), tally) in by_both {
        nested.entry(phase).or_default().insert(f, tally.into_value());
    }
    Finding::new(ABOUT.name, verdict, summary)
        .with("availability", availability)
        .with("by_function", values(by_function))
        .with("by_phase", values(by_phase))
        .with("by_phase_and_function", json!(nested))
        .with("errors", top(errors))
        .with("operations", all.into_value())
}

fn values(tallies: BTreeMap<&str, Tally>) -> Value {
    let pairs = tallies.into_iter().map(|(k, t)| (k.to_owned(), t.into_value()));
    Value::Object(pairs.collect())
}

fn error_of<'h>(op: &Operation<'h>) -> &'h str {
    match op.complete {
        Some(end) => end.error.as_deref().unwrap_or("no reason given"),
        None => "no answer before the history ended",
    }
}

/// The most frequent errors.
fn top(errors: BTreeMap<&str, u64>) -> Value {
    let mut errors: Vec<_> = errors.into_iter().collect();
    errors.sort_by_key(|e| std::cmp::Reverse(e.1));
    errors.into_iter().take(ERRORS).map(|(error, count)| json!({"error": error, "count": count})).collect()
}

/// Everything that should have succeeded at least once and never did.
fn silent(
    phases: &Phases<'_>,
    all: &Tally,
    by_function: &BTreeMap<&str, Tally>,
    by_phase: &BTreeMap<&str, Tally>,
) -> Vec<String> {
    if all.ok == 0 {
        return vec!["no operation succeeded".to_owned()];
    }
    let never = by_function.iter().filter(|(_, tally)| tally.ok == 0);
    let mut silent: Vec<String> = never.map(|(f, _)| format!("no `{f}` succeeded")).collect();
    for (phase, lasted_ns) in phases.lasted() {
        if ![WARM_UP, LOAD, FINAL_READS].contains(&phase) {
            continue;
        }
        let tally = by_phase.get(phase);
        let skipped = tally.is_none() && lasted_ns.is_some_and(|ns| ns < SKIPPED_NS);
        if !skipped && tally.is_none_or(|t| t.ok == 0) {
            silent.push(format!("nothing succeeded in the phase `{phase}`"));
        }
    }
    silent
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let hundred: Vec<u64> = (1..=100).collect();
        assert_eq!(percentile(&hundred, 50), Some(50));
        assert_eq!(percentile(&hundred, 99), Some(99));
        assert_eq!(percentile(&hundred, 100), Some(100));
        assert_eq!(percentile(&[7], 50), Some(7));
        assert_eq!(percentile(&[1, 2], 95), Some(2));
        assert_eq!(percentile(&[], 50), None);
    }
}
