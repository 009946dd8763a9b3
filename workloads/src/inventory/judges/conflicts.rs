//! Conflicts: at the end, every warehouse reports two stock-takes of a SKU if and only if neither had seen the other.
//!
//! What a stock-take had seen is the vector that its client was answered. Of those of unknown outcome no client
//! knows the vector, so pairs with them are neither demanded nor held against anybody, as long as there are any.

use std::collections::{BTreeMap, BTreeSet};

use ordeal_checkers::Phases;
use ordeal_core::{Checker, Finding, History, Key, Operation, judge_operations};
use serde::Deserialize;

use super::updates::{Gathered, Update};
use crate::inventory::answers::{Done, Dot, contains};
use crate::report::{Report, node, told};

const NAME: &str = "conflicts";

/// The judge.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Conflicts;

/// Two stock-takes, the lower one first.
type Pair = [Dot; 2];

/// What a node reports, by SKU.
type Conflicting = BTreeMap<String, Vec<Pair>>;

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
        judge_operations(NAME, history, |operations| judge_all(&operations, &Phases::of(history)))
    }
}

fn judge_all(operations: &[Operation<'_>], phases: &Phases<'_>) -> Finding {
    // What was done twice is another judge's to tell.
    let gathered = Gathered::of(operations, &mut Report::default());
    let mut answers: BTreeMap<&str, (Operation<'_>, Conflicting)> = BTreeMap::new();
    for op in operations.iter().filter(|op| op.f() == "conflicts" && phases.is_final(op.invoke)) {
        if let Some(answer) = op.output().and_then(|output| Conflicting::deserialize(output).ok()) {
            answers.insert(node(op), (*op, answer));
        }
    }
    let mut report = Report::default();
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
        for (op, answer) in answers.values() {
            sku.judge(op, answer.get(&key.to_string()).map_or(&[][..], Vec::as_slice), &mut report);
        }
    }
    let nodes: BTreeSet<&str> = operations.iter().map(node).collect();
    if takes > 0 && (1..nodes.len()).contains(&answers.len()) {
        report.undecided(format!("{} of {} nodes reported conflicts", answers.len(), nodes.len()));
    }
    let judged = format!("{} reports of the {due} conflicts of {takes} stock-takes", answers.len());
    report
        .finding(NAME, judged, takes == 0 || answers.is_empty())
        .with("stock_takes", takes)
        .with("conflicts", due)
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

impl<'h> Sku<'_, 'h> {
    fn judge(&self, op: &Operation<'h>, reported: &[Pair], report: &mut Report) {
        let reported: BTreeSet<Pair> = reported.iter().cloned().map(pair).collect();
        for missing in self.pairs.difference(&reported) {
            report.note("conflict-missed", Some(self.key), &self.shown_by(op, missing), || {
                format!("{} does not report {}.", told(op), self.words(missing))
            });
        }
        for beyond in reported.difference(&self.pairs) {
            let unacknowledged = |dot: &&Dot| !self.counts.contains_key(*dot);
            match beyond.iter().find(unacknowledged) {
                None => {
                    report.note("false-conflict", Some(self.key), &self.shown_by(op, beyond), || {
                        format!(
                            "{} reports {}, but one of them had seen the other.",
                            told(op),
                            self.words(beyond)
                        )
                    });
                }
                Some((warehouse, _)) if self.unknown.contains(warehouse.as_str()) => {}
                Some((warehouse, number)) => {
                    report.note("invented-conflict", Some(self.key), &[op], || { format!(
                        "{} reports a conflict with update {number} of {warehouse}, which is no stock-take of anybody.",
                        told(op)
                    ) });
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

    fn shown_by<'o>(&'o self, op: &'o Operation<'h>, pair: &Pair) -> Vec<&'o Operation<'h>> {
        let takes = pair.iter().filter_map(|dot| self.counts.get(dot)).map(|(update, _)| &update.op);
        takes.chain([op]).collect()
    }
}
