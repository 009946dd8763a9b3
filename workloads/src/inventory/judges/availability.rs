//! Availability: during a partition every warehouse keeps accepting updates, on whichever side it is.
//!
//! A warehouse has stopped accepting if for a second, in which it was asked several times, it accepted nothing. A
//! system may take its time to notice that it is cut off, so that need not be the whole partition. Nobody is accused
//! who was hit by anything else meanwhile (a warehouse that is dead or stands still accepts nothing), or who was cut
//! off from its clients; and what never reached it says nothing.

use std::collections::BTreeMap;

use ordeal_core::{Checker, Finding, History, Operation, judge_operations};
use serde_json::{Value, json};

use crate::report::{Report, node, told};
use crate::windows::{Window, node_name, windows};

const NAME: &str = "availability";
/// A warehouse that was asked at least so often in a row, and never accepted, has stopped accepting.
const ASKED_MIN: usize = 4;
/// If that took at least so long: a node may wait for its disk.
const REFUSED_NS_MIN: u64 = 1_000_000_000;

/// The judge.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Availability;

/// Whether the fault kept this node from being asked or from answering, or may have.
fn hampers(window: &Window, node: &str) -> bool {
    if window.fault != "partition" || window.installed.is_null() {
        return window.nodes.is_empty() || window.nodes.iter().any(|hit| hit == node);
    }
    let links = window.installed["cut"].as_array().into_iter().flatten().filter_map(Value::as_array);
    let named = |end: &Value| end.as_u64().map(node_name).is_some_and(|name| name == node);
    let mut cut_off = links.filter(|ends| ends.contains(&json!("clients")));
    cut_off.any(|ends| ends.iter().any(named))
}

impl Checker for Availability {
    fn name(&self) -> String {
        NAME.to_owned()
    }

    fn check(&self, history: &History) -> Finding {
        judge_operations(NAME, history, |operations| judge_all(operations, &windows(&history.events)))
    }
}

fn judge_all(operations: Vec<Operation<'_>>, windows: &[Window]) -> Finding {
    let mut updates: BTreeMap<&str, Vec<Operation<'_>>> = BTreeMap::new();
    for op in operations.into_iter().filter(|op| matches!(op.f(), "move" | "count")) {
        updates.entry(node(&op)).or_default().push(op);
    }
    let (mut partitions, mut judged, mut accepted) = (0, 0, 0);
    let mut report = Report::default();
    for (at, window) in windows.iter().enumerate() {
        let proved = !window.installed.is_null();
        if window.fault != "partition" || !proved {
            continue;
        }
        partitions += 1;
        for (node, updates) in &updates {
            let others = windows.iter().enumerate().filter(|(other, _)| *other != at);
            let hampered = others.map(|(_, other)| other).any(|w| w.overlaps(window) && hampers(w, node));
            let during: Vec<&Operation<'_>> = updates.iter().filter(|op| within(op, window)).collect();
            if hampered || hampers(window, node) || during.len() < ASKED_MIN {
                continue;
            }
            judged += 1;
            accepted += during.iter().filter(|op| op.output().is_some()).count();
            if let Some(refused) = refused(&during) {
                let (first, last) = (refused[0], refused[refused.len() - 1]);
                report.note("stopped-accepting", None, &[first, last], || {
                    format!(
                        "{node}, in a partition, accepted none of {} updates from {} to {}.",
                        refused.len(),
                        told(first),
                        told(last)
                    )
                });
            }
        }
    }
    let judged_what = match partitions {
        0 => "there was no partition".to_owned(),
        _ => format!(
            "in {partitions} partitions {judged} times a warehouse was asked, and accepted {accepted}"
        ),
    };
    report
        .finding(NAME, judged_what, false)
        .with("partitions", partitions)
        .with("warehouses_judged", judged)
        .with("accepted_during_partitions", accepted)
}

/// Whether the operation reached the node, and began and ended while the partition was in force.
fn within(op: &Operation<'_>, window: &Window) -> bool {
    let Some(complete) = op.complete else { return false };
    let not_sent = complete.error.as_ref().is_some_and(|why| why.starts_with("not sent"));
    !not_sent && op.invoke.time >= window.in_force_ns && complete.time <= window.healing_ns
}

/// The first updates in a row, enough of them and for long enough, of which none was accepted.
fn refused<'o, 'h>(during: &'o [&'h Operation<'h>]) -> Option<&'o [&'h Operation<'h>]> {
    let mut rows = during.split(|op| op.output().is_some());
    rows.find(|row| match row {
        [first, .., last] => {
            let ended_ns = last.complete.map_or(last.invoke.time, |e| e.time);
            row.len() >= ASKED_MIN && ended_ns.saturating_sub(first.invoke.time) >= REFUSED_NS_MIN
        }
        _ => false,
    })
}
