//! The load is even at the end, because something was moved.
//!
//! What is judged are the visits of the final reads: a steady load, without faults, by clients that count who serves them.
//! In the second half of them no data node serves more than [`MAX_TO_MEAN`] times the mean (`uneven-load`). Uneven load says
//! nothing if one customer alone is more than that, or if an owner still changed meanwhile. A run in which no customer
//! changed its node has shown nothing.

use std::collections::{BTreeMap, BTreeSet};

use ordeal_checkers::Phases;
use ordeal_core::{Checker, Finding, History, Operation, judge_operations};

use super::super::answers::{Routing, Visited, in_order};
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
        let wanted = most_wanted(&visits);
        let total: u64 = served.values().sum();
        let mean = total as f64 / served.len().max(1) as f64;
        let (hot, most) = served.iter().max_by_key(|(_, count)| **count).map_or(("?", 0), |(n, c)| (*n, *c));
        let ratio = if total == 0 { 0.0 } else { most as f64 / mean };
        let listed: Vec<String> = served.iter().map(|(node, count)| format!("{node} {count}")).collect();
        let judged = format!("{moved} customers moved; visits at the end: {}", listed.join(", "));
        if total == 0 || unserved as f64 > UNSERVED_MAX * (total + unserved) as f64 {
            report.undecided(format!("{unserved} of {} visits at the end were not served", total + unserved));
        } else if ratio > MAX_TO_MEAN && wanted * served.len() as f64 > MAX_TO_MEAN {
            report.undecided(format!("one customer alone is {wanted:.2} of the load, which cannot be even"));
        } else if ratio > MAX_TO_MEAN && still_moving(&answers, &visits) {
            report.undecided(format!("{hot} serves {ratio:.2} times the mean, and something still moved"));
        } else if ratio > MAX_TO_MEAN {
            let shown: Vec<&Operation<'_>> = visits.last().map(|(_, op)| *op).into_iter().collect();
            let message = format!("{hot} serves {ratio:.2} times the mean: {}.", listed.join(", "));
            report.add(anomaly_of("uneven-load", None, message, &shown));
        }
        report.finding(NAME, judged, moved == 0).with("max_to_mean", ratio).with("customers_moved", moved)
    }
}

/// The share of the visits that are of one customer, the one with the most.
fn most_wanted(visits: &[(Visited, &Operation<'_>)]) -> f64 {
    let mut asked: BTreeMap<&str, usize> = BTreeMap::new();
    for customer in visits.iter().filter_map(|(_, op)| op.input()[1].as_array()).flatten() {
        *asked.entry(customer.as_str().unwrap_or_default()).or_default() += 1;
    }
    let all: usize = asked.values().sum();
    asked.values().max().map_or(0.0, |most| *most as f64 / all as f64)
}

/// Whether a customer's owner changed between the routings that were told during these visits.
fn still_moving(answers: &Answers<'_>, visits: &[(Visited, &Operation<'_>)]) -> bool {
    let Some(begin) = visits.iter().map(|(_, op)| op.call).min() else { return false };
    let end = visits.iter().map(|(_, op)| op.ret).max().unwrap_or(begin);
    let during = |op: &Operation<'_>| begin <= op.call && op.call <= end;
    let mut told: Vec<_> = answers.routings.iter().filter(|(_, op)| during(op)).collect();
    told.sort_by_key(|(_, op)| op.ret);
    let changed = |before: &Routing, after: &Routing| {
        after.shards.iter().any(|shard| owner(before, shard.from.as_deref()) != Some(&*shard.node))
    };
    told.windows(2).any(|pair| changed(&pair[0].0, &pair[1].0))
}

/// Who owns the customers from this one on.
fn owner<'r>(routing: &'r Routing, from: Option<&str>) -> Option<&'r str> {
    let begun =
        routing.shards.iter().filter(|shard| shard.from.as_deref().map(in_order) <= from.map(in_order));
    begun.max_by_key(|shard| shard.from.as_deref().map(in_order)).map(|shard| &*shard.node)
}

/// How many customers were served by more than one node.
fn moved(answers: &Answers<'_>) -> usize {
    let mut nodes: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (customer, by, _) in answers.served() {
        nodes.entry(customer).or_default().insert(&by.node);
    }
    nodes.values().filter(|nodes| nodes.len() > 1).count()
}
