//! Conflicts: at the end, every warehouse reports two stock-takes of a SKU if and only if neither had seen the other.
//!
//! What a stock-take had seen is the vector that its client was answered. Of those of unknown outcome no client
//! knows the vector, so pairs with them are neither demanded nor held against anybody, as long as there are any.

use std::collections::{BTreeMap, BTreeSet};

use ordeal_core::{Checker, Finding, History, Key, Operation, Verdict};
use serde::Deserialize;

use super::updates::{Gathered, Update};
use super::{Found, began_after, cite, final_reads, node, operations, told};
use crate::inventory::answers::{Done, Dot, contains};

const NAME: &str = "conflicts";

/// The judge.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Conflicts;

/// Two stock-takes, the lower one first.
type Pair = [Dot; 2];

/// What a node reports, by SKU.
type Report = BTreeMap<String, Vec<Pair>>;

fn pair(mut dots: Pair) -> Pair {
    dots.sort();
    dots
}

/// A stock-take that was acknowledged.
type Take<'g, 'h> = (&'g Update<'h>, &'g Done);

fn concurrent(one: &Done, other: &Done) -> bool {
    !contains(&one.vector, &other.dot()) && !contains(&other.vector, &one.dot())
}

impl Checker for Conflicts {
    fn name(&self) -> String {
        NAME.to_owned()
    }

    fn check(&self, history: &History) -> Finding {
        let operations = match operations(history, NAME) {
            Ok(operations) => operations,
            Err(finding) => return finding,
        };
        // What was done twice is another judge's to tell.
        let gathered = Gathered::of(&operations, &mut Found::default());
        let end = final_reads(&history.events);
        let mut reports: BTreeMap<&str, (Operation<'_>, Report)> = BTreeMap::new();
        for op in operations.iter().filter(|op| op.f() == "conflicts" && began_after(op, end)) {
            if let Some(report) = op.output().and_then(|output| Report::deserialize(output).ok()) {
                reports.insert(node(op), (*op, report));
            }
        }
        let mut found = Found::default();
        let (mut takes, mut due) = (0, 0);
        for (key, updates) in &gathered.skus {
            let counts = updates.counts();
            takes += counts.len();
            let all = pairs(&counts);
            due += all.len();
            let unknown: BTreeSet<&str> = updates
                .unknown()
                .filter(|update| update.counted.is_some())
                .map(|update| gathered.warehouse(update))
                .collect();
            let sku = Sku { key, counts, pairs: all, unknown };
            for (op, report) in reports.values() {
                sku.judge(op, report.get(&key.to_string()).map_or(&[][..], Vec::as_slice), &mut found);
            }
        }
        let nodes: BTreeSet<&str> = operations.iter().map(node).collect();
        let otherwise = if takes == 0 || reports.is_empty() {
            (Verdict::Vacuous, "no acknowledged stock-take, or no report of conflicts".to_owned())
        } else if reports.len() < nodes.len() {
            (Verdict::Unknown, format!("{} of {} nodes reported conflicts", reports.len(), nodes.len()))
        } else {
            let nodes = reports.len();
            (Verdict::Valid, format!("{nodes} nodes report the {due} conflicts of {takes} stock-takes"))
        };
        found.conclude(NAME, otherwise).with("stock_takes", takes).with("conflicts", due)
    }
}

/// The conflicts among the stock-takes that were acknowledged.
fn pairs(counts: &BTreeMap<Dot, Take<'_, '_>>) -> BTreeSet<Pair> {
    let mut pairs = BTreeSet::new();
    for (dot, (_, done)) in counts {
        for (other_dot, (_, other)) in counts.range(..dot.clone()) {
            if concurrent(done, other) {
                pairs.insert([other_dot.clone(), dot.clone()]);
            }
        }
    }
    pairs
}

/// What is known of a SKU.
struct Sku<'g, 'h> {
    key: &'h Key,
    counts: BTreeMap<Dot, Take<'g, 'h>>,
    /// What must be reported.
    pairs: BTreeSet<Pair>,
    /// The warehouses with stock-takes of unknown outcome.
    unknown: BTreeSet<&'g str>,
}

impl Sku<'_, '_> {
    fn judge(&self, op: &Operation<'_>, reported: &[Pair], found: &mut Found) {
        let reported: BTreeSet<Pair> = reported.iter().cloned().map(pair).collect();
        for missing in self.pairs.difference(&reported) {
            let said = format!("{} does not report {}", told(op), self.words(missing));
            found.note("conflict-missed", Some(self.key), &said, self.events(op, missing));
        }
        for beyond in reported.difference(&self.pairs) {
            let unacknowledged = |dot: &&Dot| !self.counts.contains_key(*dot);
            match beyond.iter().find(unacknowledged) {
                None => {
                    let said = format!(
                        "{} reports {}, but one of them had seen the other",
                        told(op),
                        self.words(beyond)
                    );
                    found.note("false-conflict", Some(self.key), &said, self.events(op, beyond));
                }
                Some((warehouse, _)) if self.unknown.contains(warehouse.as_str()) => {}
                Some((warehouse, number)) => {
                    let said = format!(
                        "{} reports a conflict with update {number} of {warehouse}, which is no stock-take of anybody",
                        told(op)
                    );
                    found.note("invented-conflict", Some(self.key), &said, cite(op));
                }
            }
        }
    }

    fn words(&self, pair: &Pair) -> String {
        let takes = pair.iter().map(|dot| match self.counts.get(dot) {
            Some((update, done)) => format!("{} (vector {:?})", told(&update.op), done.vector),
            None => format!("{dot:?}"),
        });
        takes.collect::<Vec<_>>().join(" with ")
    }

    fn events(&self, op: &Operation<'_>, pair: &Pair) -> Vec<u64> {
        let takes = pair.iter().filter_map(|dot| self.counts.get(dot));
        takes.flat_map(|(update, _)| cite(&update.op)).chain(cite(op)).collect()
    }
}
