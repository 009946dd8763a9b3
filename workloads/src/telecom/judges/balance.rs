//! The load is even at the end, because something was moved.
//!
//! What is judged are the visits of the final reads: a steady load, without faults, by clients that count who serves them.
//! In the second half of them no data node serves more than [`MAX_TO_MEAN`] times the mean (`uneven-load`). A run in which
//! no customer changed its node has shown nothing.

use std::collections::{BTreeMap, BTreeSet};

use ordeal_checkers::Phases;
use ordeal_core::{Checker, Finding, History, Operation, judge_operations};

use super::super::answers::Visited;
use super::Answers;
use crate::report::{Report, anomaly_of, result};

/// The judge.
#[derive(Clone, Copy, Debug)]
pub(in crate::telecom) struct Balance {
    /// How many parts the visits of one client have.
    pub(in crate::telecom) parts: u64,
}

const NAME: &str = "balance";
/// How much more than the mean a data node may serve.
const MAX_TO_MEAN: f64 = 1.25;
/// If a greater share of the visits was not served, they say nothing.
const UNSERVED_MAX: f64 = 0.05;

impl Checker for Balance {
    fn name(&self) -> String {
        NAME.to_owned()
    }

    fn check(&self, history: &History) -> Finding {
        judge_operations(NAME, history, |operations| self.judge(history, &operations))
    }
}

impl Balance {
    fn judge(self, history: &History, operations: &[Operation<'_>]) -> Finding {
        let phases = Phases::of(history);
        let answers = Answers::of(operations);
        let mut report = Report::of(Vec::new(), &answers.unread);
        let moved = moved(&answers);
        let nodes = answers.routings.iter().max_by_key(|(_, op)| op.ret).map(|(routing, _)| &routing.nodes);
        let mut served: BTreeMap<&str, u64> =
            nodes.into_iter().flatten().map(|node| (node.as_str(), 0)).collect();
        let (mut visits, mut unserved) = (Vec::new(), 0);
        for op in operations.iter().filter(|op| op.f() == "visit" && phases.is_final(op.invoke)) {
            if op.input()[0].as_u64().is_none_or(|part| part < self.parts / 2) {
                continue;
            }
            match result::<Visited>(op) {
                Ok(Some(visited)) => visits.push((visited, op)),
                Ok(None) => {}
                Err(why) => report.undecided(why),
            }
        }
        for (visited, _) in &visits {
            unserved += visited.unserved;
            for (node, count) in &visited.served {
                *served.entry(node).or_default() += count;
            }
        }
        let total: u64 = served.values().sum();
        let mean = total as f64 / served.len().max(1) as f64;
        let (hot, most) = served.iter().max_by_key(|(_, count)| **count).map_or(("?", 0), |(n, c)| (*n, *c));
        let ratio = if total == 0 { 0.0 } else { most as f64 / mean };
        let listed: Vec<String> = served.iter().map(|(node, count)| format!("{node} {count}")).collect();
        let judged = format!("{moved} customers moved; visits at the end: {}", listed.join(", "));
        if total == 0 || unserved as f64 > UNSERVED_MAX * (total + unserved) as f64 {
            report.undecided(format!("{unserved} of {} visits at the end were not served", total + unserved));
        } else if ratio > MAX_TO_MEAN {
            let shown: Vec<&Operation<'_>> = visits.last().map(|(_, op)| *op).into_iter().collect();
            let message = format!("{hot} serves {ratio:.2} times the mean: {}.", listed.join(", "));
            report.add(anomaly_of("uneven-load", None, message, &shown));
        }
        report.finding(NAME, judged, moved == 0).with("max_to_mean", ratio).with("customers_moved", moved)
    }
}

/// How many customers were served by more than one node.
fn moved(answers: &Answers<'_>) -> usize {
    let mut nodes: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (customer, by, _) in answers.served() {
        nodes.entry(customer).or_default().insert(&by.node);
    }
    nodes.values().filter(|nodes| nodes.len() > 1).count()
}
