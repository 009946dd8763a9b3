//! How long customers could not be served while they changed their node: measured, and judges nothing.
//!
//! For each customer and each change: from when a client first asked after the last answer of the old node, to the first
//! answer of the new one. With a fault in force meanwhile it is counted apart.

use std::collections::BTreeMap;

use ordeal_core::{Checker, Finding, History, Operation, Verdict, judge_operations};
use serde_json::json;

use super::{Answers, customer_of};
use crate::windows::{Window, windows};

/// The judge.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::telecom) struct Handovers;

const NAME: &str = "handovers";

impl Checker for Handovers {
    fn name(&self) -> String {
        NAME.to_owned()
    }

    fn check(&self, history: &History) -> Finding {
        judge_operations(NAME, history, |operations| judge(history, &operations))
    }
}

/// A change of a customer's node: from when to when somebody waited.
struct Handover<'a> {
    customer: &'a str,
    from_ns: u64,
    to_ns: u64,
}

impl Handover<'_> {
    fn ms(&self) -> f64 {
        self.to_ns.saturating_sub(self.from_ns) as f64 / 1e6
    }
}

fn judge(history: &History, operations: &[Operation<'_>]) -> Finding {
    let faults = windows(&history.events);
    let handovers = handovers(operations);
    let disturbed = |handover: &&Handover<'_>| {
        let during = |fault: &&Window| fault.from_ns < handover.to_ns && handover.from_ns < fault.to_ns;
        faults.iter().any(|fault| during(&fault))
    };
    let longest = |of: Vec<&Handover<'_>>| -> (f64, Option<String>) {
        let most = of.into_iter().max_by(|a, b| a.ms().total_cmp(&b.ms()));
        most.map_or((0.0, None), |most| (most.ms(), Some(most.customer.to_owned())))
    };
    let (during, quiet): (Vec<_>, Vec<_>) = handovers.iter().partition(disturbed);
    let count = handovers.len();
    let ((quiet_ms, quiet_key), (during_ms, during_key)) = (longest(quiet), longest(during));
    let said = format!(
        "{count} changes of a customer's node; one could not be served for {quiet_ms:.0} ms at most, \
         {during_ms:.0} ms while a fault was in force"
    );
    let verdict = if count == 0 { Verdict::Vacuous } else { Verdict::Valid };
    Finding::new(NAME, verdict, said)
        .with("changes", count)
        .with("unavailable_ms_max", json!(quiet_ms))
        .with("unavailable_ms_max_customer", json!(quiet_key))
        .with("unavailable_ms_max_with_faults", json!(during_ms))
        .with("unavailable_ms_max_with_faults_customer", json!(during_key))
}

fn handovers<'a>(operations: &'a [Operation<'a>]) -> Vec<Handover<'a>> {
    let answers = Answers::of(operations);
    let mut asked: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for op in operations {
        asked.entry(customer_of(op).unwrap_or_default()).or_default().push(op.invoke.time);
    }
    asked.values_mut().for_each(|times| times.sort_unstable());
    let mut served: BTreeMap<&str, Vec<(u64, &str)>> = BTreeMap::new();
    for (customer, by, op) in answers.served() {
        let ended = op.complete.map_or(op.invoke.time, |event| event.time);
        served.entry(customer).or_default().push((ended, &by.node));
    }
    let mut handovers = Vec::new();
    for (customer, served) in &mut served {
        served.sort_unstable();
        for pair in served.windows(2).filter(|pair| pair[0].1 != pair[1].1) {
            let (last, to_ns) = (pair[0].0, pair[1].0);
            let times = asked.get(customer).map_or(&[][..], Vec::as_slice);
            let first = times[times.partition_point(|time| *time <= last)..].first();
            // Whoever was answered first may have asked before the last answer of the old node.
            let from_ns = first.copied().unwrap_or(last).min(to_ns);
            handovers.push(Handover { customer, from_ns, to_ns });
        }
    }
    handovers
}
