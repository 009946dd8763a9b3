//! From what was found about each object to one finding.

use std::time::{Duration, Instant};

use ordeal_core::{Finding, Model, Timed, Verdict};
use serde_json::{Value, json};

use super::Linearizable;
use super::budget::Limits;
use super::explain::Case;
use super::intake::{Object, Taken};
use super::judge::{Found, Gap, Monitor, Ruling, Violation, explain};
use super::work::{Plan, judge_all};
use crate::words::{count, listed, of_key};

/// How many violating objects are shrunk and explained in full.
const EXPLAINED: usize = 5;
/// How many violating objects get an anomaly at all; the rest are counted.
const REPORTED: usize = 50;

/// The objects that have no order, and why others could not be judged.
#[derive(Default)]
struct Verdicts {
    violating: Vec<usize>,
    undecided: Vec<String>,
    unjudged: usize,
}

impl<M: Model> Linearizable<M> {
    /// Judges what was taken.
    pub(super) fn judge(&self, taken: &Taken<M::Call>) -> Finding {
        let timed = |object: &Object<M::Call>| !taken.unread.contains_key(&object.key);
        let objects: Vec<Option<&[Timed<M::Call>]>> =
            taken.objects.iter().map(|o| timed(o).then_some(&*o.calls.timed)).collect();
        let plan = Plan {
            deadline: Instant::now().checked_add(Duration::from_millis(self.budget.time_ms)),
            memory_bytes: self.budget.memory_bytes,
            all: self.all,
        };
        let found = judge_all(&self.model, &objects, plan);
        self.conclude(taken, &found)
    }

    fn conclude(&self, taken: &Taken<M::Call>, found: &[Option<Found<M::State>>]) -> Finding {
        let verdicts = verdicts(taken, found);
        let operations: usize = taken.objects.iter().map(|o| o.calls.timed.len()).sum();
        let (verdict, mut summary) = self.verdict(taken, &verdicts, operations);
        let strange: Vec<String> =
            taken.functions.iter().filter(|f| !f.1).map(|(f, _, n)| format!("{n} `{f}`")).collect();
        if !strange.is_empty() {
            summary +=
                &format!("; not judged, which mean nothing to this model: {}", listed(&strange, 5, ", "));
        }
        let found_by = |fared| found.iter().flatten().filter(|f| f.monitor == fared).count();
        let rejected = found_by(Monitor::Rejected);
        let mut finding = Finding::new(format!("linearizable({})", self.model.name()), verdict, summary)
            .with("operations", operations)
            .with("operations_ok", taken.ok)
            .with("keys", taken.keys.len())
            .with("objects", taken.objects.len())
            .with("keys_violating", keys_of(taken, &verdicts.violating).len())
            .with("keys_undecided", verdicts.undecided.len())
            .with("objects_unjudged", verdicts.unjudged)
            .with("objects_judged_without_search", found_by(Monitor::Proven) + found_by(Monitor::Trusted))
            .with("configurations_explored", found.iter().flatten().map(|f| f.explored).sum::<u64>())
            .with("budget_time_ms", self.budget.time_ms)
            .with("budget_memory_bytes", self.budget.memory_bytes);
        if rejected > 0 {
            finding = finding.with("monitor_rejected", rejected);
        }
        if self.all && verdict == Verdict::Invalid {
            finding = finding.with("violating", keys_of(taken, &verdicts.violating));
        }
        if self.order && verdict == Verdict::Valid {
            finding = finding.with("linearization", orders(taken, found));
        }
        self.add_anomalies(&mut finding, taken, found, &verdicts.violating);
        finding
    }

    fn verdict(&self, taken: &Taken<M::Call>, verdicts: &Verdicts, operations: usize) -> (Verdict, String) {
        let judged = format!("{} on {}", count(operations, "operation"), count(taken.keys.len(), "key"));
        if !verdicts.violating.is_empty() {
            let keys = listed(&keys_of(taken, &verdicts.violating), 5, ", ");
            let left = match verdicts.unjudged {
                0 => String::new(),
                n => format!("; {} left unjudged", count(n, "other object")),
            };
            return (Verdict::Invalid, format!("not linearizable ({judged}): {keys}{left}"));
        }
        if !verdicts.undecided.is_empty() {
            let why = listed(&verdicts.undecided, 3, "; ");
            return (Verdict::Unknown, format!("undecided ({judged}): {why}"));
        }
        if taken.ok == 0 {
            return (Verdict::Vacuous, "no operation that this model judges succeeded".to_owned());
        }
        (Verdict::Valid, format!("linearizable: {judged}"))
    }

    fn add_anomalies(
        &self,
        finding: &mut Finding,
        taken: &Taken<M::Call>,
        found: &[Option<Found<M::State>>],
        violating: &[usize],
    ) {
        let unwanted = || false;
        let limits = Limits {
            deadline: Instant::now().checked_add(Duration::from_millis(self.budget.shrink_ms)),
            memory_bytes: self.budget.memory_bytes,
            configurations: u64::MAX,
            unwanted: &unwanted,
        };
        for (nth, &at) in violating.iter().take(REPORTED).enumerate() {
            let object = &taken.objects[at];
            let Some(Ok(Ruling::Illegal { core, refutation })) = found[at].as_ref().map(|f| &f.result) else {
                continue;
            };
            // Without time only what is known already is told.
            let none = Limits { deadline: Some(Instant::now()), configurations: 0, ..limits };
            let limits = if nth < EXPLAINED { &limits } else { &none };
            let calls = &object.calls.timed;
            let violation: Violation<M::State> =
                explain(&self.model, calls, core.as_deref(), refutation.as_ref(), limits);
            let case = Case {
                model: &self.model,
                key: taken.keys[object.key as usize].as_ref(),
                calls: &object.calls,
                citations: &taken.citations,
                violation: &violation,
            };
            finding.anomalies.push(case.anomaly());
        }
    }
}

fn verdicts<C, S>(taken: &Taken<C>, found: &[Option<Found<S>>]) -> Verdicts {
    let mut verdicts = Verdicts::default();
    let mut unread: Vec<(&u32, &String)> = taken.unread.iter().collect();
    unread.sort_unstable();
    verdicts.undecided.extend(unread.into_iter().map(|(_, why)| why.clone()));
    for (at, (object, found)) in taken.objects.iter().zip(found).enumerate() {
        match found.as_ref().map(|found| &found.result) {
            None if taken.unread.contains_key(&object.key) => {}
            None => verdicts.unjudged += 1,
            Some(Ok(Ruling::Legal(_))) => {}
            Some(Ok(Ruling::Illegal { .. })) => verdicts.violating.push(at),
            Some(Err(Gap { why, after, .. })) => {
                let key = of_key(taken.keys[object.key as usize].as_ref());
                let after = after.map_or_else(String::new, |(ended, of)| {
                    format!(" after {ended} of {of} completed operations")
                });
                verdicts.undecided.push(format!("{key}{why}{after}"));
            }
        }
    }
    verdicts
}

/// The keys of these objects in words, each once.
fn keys_of<C>(taken: &Taken<C>, objects: &[usize]) -> Vec<String> {
    let mut numbers: Vec<u32> = objects.iter().map(|&at| taken.objects[at].key).collect();
    numbers.dedup();
    let name = |number: u32| match &taken.keys[number as usize] {
        Some(key) => format!("key {key}"),
        None => "the object".to_owned(),
    };
    numbers.into_iter().map(name).collect()
}

/// The orders found, each operation by the index of its invocation.
fn orders<C, S>(taken: &Taken<C>, found: &[Option<Found<S>>]) -> Value {
    let order = |(object, found): (&Object<C>, &Option<Found<S>>)| {
        let Some(Ok(Ruling::Legal(order))) = found.as_ref().map(|found| &found.result) else {
            return None;
        };
        let cites = &object.calls.cites;
        let order = order.as_ref().map(|order| {
            let index = |&at: &u32| cites.get(at as usize).map(super::cite::Cite::index);
            order.iter().filter_map(index).collect::<Vec<u64>>()
        });
        let key = &taken.keys[object.key as usize];
        Some(json!({ "key": key, "part": object.part, "order": order }))
    };
    taken.objects.iter().zip(found).filter_map(order).collect()
}
