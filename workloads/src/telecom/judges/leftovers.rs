//! Once everything is healed, nothing is left of splits and moves that were interrupted.
//!
//! - Every customer is served, in one of the two rounds of final reads at least (`customer-unreachable`).
//! - What nodes say at the end that they hold is what the routing says: no shard stays without its owner (`orphan-shard`),
//!   and no node keeps what is another's (`leftover-copy`). A split or move under way looks so too, for a moment; so only
//!   what is seen for [`LASTING_NS`], in every answer meanwhile, counts, and only from [`GRACE_NS`] after the healing on.

use std::collections::{BTreeMap, BTreeSet};

use ordeal_checkers::Phases;
use ordeal_core::{Anomaly, Checker, EventKind, Finding, History, Operation, judge_operations};

use super::super::answers::{Load, Routing};
use super::{Answers, customer_of};
use crate::report::{Report, anomaly_of, which};

/// The judge.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::telecom) struct Leftovers;

const NAME: &str = "leftovers";
/// How long something must have been seen to count as left, in nanoseconds.
const LASTING_NS: u64 = 5_000_000_000;
/// How long what was interrupted may take to be brought to an end, in nanoseconds.
const GRACE_NS: u64 = 5_000_000_000;
/// What a node said longer ago is not looked at.
const AGE_MS_MAX: u64 = 1_000;

impl Checker for Leftovers {
    fn name(&self) -> String {
        NAME.to_owned()
    }

    fn check(&self, history: &History) -> Finding {
        judge_operations(NAME, history, |operations| judge(history, &operations))
    }
}

fn judge(history: &History, operations: &[Operation<'_>]) -> Finding {
    let phases = Phases::of(history);
    let answers = Answers::of(operations);
    let mut report = Report::of(Vec::new(), &answers.unread);
    if let Some(customer) = unasked(operations) {
        report.undecided(format!("nobody asked for {customer} in the end"));
    }
    unreachable(operations).into_iter().for_each(|anomaly| report.add(anomaly));
    let healed_ns = phases.began("settle").map_or(u64::MAX, |(time, _)| time.saturating_add(GRACE_NS));
    let pictures = pictures(&answers, healed_ns);
    let span_ns = match (pictures.first(), pictures.last()) {
        (Some((_, first)), Some((_, last))) => last.invoke.time - first.invoke.time,
        _ => 0,
    };
    if span_ns < LASTING_NS {
        report.undecided(format!(
            "the nodes' shards were seen for {} ms at the end, which is not enough",
            span_ns / 1_000_000
        ));
    } else {
        lasting(&pictures).into_iter().for_each(|anomaly| report.add(anomaly));
    }
    let judged = format!("{} looks at what nodes hold", pictures.len());
    report.finding(NAME, judged, false)
}

/// Something that does not belong: the shard, the anomaly's name, the node.
type Left = (u64, &'static str, String);
/// Everything in one picture that does not belong, and what there is of it.
type Picture = BTreeMap<Left, String>;

/// What does not belong in consecutive pictures for too long, once each.
fn lasting(pictures: &[(Picture, &Operation<'_>)]) -> Vec<Anomaly> {
    let mut since: BTreeMap<&Left, &Operation<'_>> = BTreeMap::new();
    let mut found: BTreeMap<&Left, Anomaly> = BTreeMap::new();
    for (picture, op) in pictures {
        since.retain(|left, _| picture.contains_key(*left));
        for (left, what) in picture {
            let first = *since.entry(left).or_insert(op);
            let lasted_ns = op.invoke.time - first.invoke.time;
            if lasted_ns >= LASTING_NS {
                let (shard, name, _) = left;
                let ms = lasted_ns / 1_000_000;
                let message = format!("Shard {shard}: {what}, in all answers in {ms} ms.");
                found.insert(left, anomaly_of(name, None, message, &[first, op]));
            }
        }
    }
    found.into_values().collect()
}

/// What does not belong, in each answer after the healing that knows of all nodes, by time.
fn pictures<'a>(answers: &Answers<'a>, healed_ns: u64) -> Vec<(Picture, &'a Operation<'a>)> {
    let mut routings: Vec<_> = answers.routings.iter().filter(|(_, op)| op.invoke.time > healed_ns).collect();
    routings.sort_by_key(|(_, op)| op.ret);
    let loads = answers.loads.iter().filter(|(_, op)| op.invoke.time > healed_ns);
    let mut pictures: Vec<_> = loads
        .filter_map(|(load, op)| {
            let (routing, _) = routings.iter().rev().find(|(_, before)| before.ret < op.call)?;
            Some((left(routing, load)?, *op))
        })
        .collect();
    pictures.sort_by_key(|(_, op)| op.invoke.time);
    pictures
}

/// What does not belong; none if not everybody was heard lately.
fn left(routing: &Routing, load: &Load) -> Option<Picture> {
    let heard = |name: &String| {
        load.nodes.iter().any(|node| node.node == *name && node.age_ms.is_some_and(|age| age <= AGE_MS_MAX))
    };
    if !routing.nodes.iter().all(heard) {
        return None;
    }
    let mut left = Picture::new();
    let mut owned = BTreeSet::new();
    let owners: BTreeMap<u64, &str> = routing.shards.iter().map(|s| (s.shard, s.node.as_str())).collect();
    for node in &load.nodes {
        for held in &node.shards {
            if owners.get(&held.shard) == Some(&node.node.as_str()) && held.state == "owned" {
                owned.insert(held.shard);
            } else {
                let what = format!("{} holds it, {}, of epoch {}", node.node, held.state, held.epoch);
                left.insert((held.shard, "leftover-copy", node.node.clone()), what);
            }
        }
    }
    for (shard, node) in owners {
        if !owned.contains(&shard) {
            let what = format!("{node} is to own it, and does not");
            left.insert((shard, "orphan-shard", node.to_owned()), what);
        }
    }
    Some(left)
}

/// A customer who is not asked for in the end; any, if nobody is.
fn unasked<'a>(operations: &'a [Operation<'a>]) -> Option<&'a str> {
    let finals: BTreeSet<&str> =
        operations.iter().filter(|op| op.f() == "final-read").filter_map(customer_of).collect();
    if finals.is_empty() {
        return Some("anybody");
    }
    operations.iter().filter_map(customer_of).find(|customer| !finals.contains(customer))
}

/// Customers whom nobody serves at the end.
fn unreachable(operations: &[Operation<'_>]) -> Vec<Anomaly> {
    let mut asked: BTreeMap<&str, (bool, &Operation<'_>)> = BTreeMap::new();
    for op in operations.iter().filter(|op| op.f() == "final-read") {
        let Some(customer) = customer_of(op) else { continue };
        let served = op.kind() == EventKind::Ok && op.output().is_some_and(|value| !value.is_null());
        let (any, last) = asked.entry(customer).or_insert((false, op));
        *any |= served;
        *last = op;
    }
    let unserved = asked.into_iter().filter(|(_, (any, _))| !any);
    let tell = |(customer, (_, op)): (&str, (bool, &Operation<'_>))| {
        let message = format!("nobody serves the customer, after everything was healed: {}.", which(op));
        anomaly_of("customer-unreachable", Some(customer), message, &[op])
    };
    unserved.map(tell).collect()
}
