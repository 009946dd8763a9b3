//! Long forks: two reads of the same keys that disagree on which of two writes came first.
//!
//! Each key is written at most once. Transactions that only read are grouped by the set of keys they read.
//! Seen as the set of keys that had been written, the reads of a group must form a chain by inclusion, in
//! snapshot isolation and anything stronger: if one saw the write to `a` and not that to `b`, and another
//! the reverse, there is a long fork (parallel snapshot isolation allows it). Sorted by size, a chain is
//! one if and only if each read contains the one before it: O(n log n). If a key is read with two
//! values, it was written more than once, and the verdict is unknown.

use std::collections::HashMap;

use ordeal_core::{
    Anomaly, Checker, EventKind, Finding, History, Intake, Operation, Verdict, check_operations,
};
use serde_json::json;

use super::steps::{Step, Txn, steps};
use crate::About;
use crate::models::Atom;
use crate::words::count;

/// How lists show it.
pub(crate) const ABOUT: About =
    About { name: "long-fork", about: "reads of several keys agree on the order in which they were written" };

/// How many forks are told.
const TOLD: usize = 8;

/// The judge.
#[derive(Clone, Copy, Debug, Default)]
pub struct LongFork;

impl Checker for LongFork {
    fn name(&self) -> String {
        ABOUT.name.to_owned()
    }

    fn check(&self, history: &History) -> Finding {
        check_operations(self.name(), Box::new(AtWork::default()), history)
    }

    fn intake(&self) -> Option<Box<dyn Intake + '_>> {
        Some(Box::new(AtWork::default()))
    }
}

/// A read of a whole group: who, and which of its keys, in order, had been written.
struct GroupRead {
    txn: Txn,
    seen: Vec<bool>,
}

impl GroupRead {
    fn size(&self) -> usize {
        self.seen.iter().filter(|&&seen| seen).count()
    }

    /// The first key that this one saw written and the other did not.
    fn beyond(&self, other: &GroupRead) -> Option<usize> {
        self.seen.iter().zip(&other.seen).position(|(&own, &other)| own && !other)
    }
}

#[derive(Default)]
struct AtWork {
    groups: HashMap<Vec<Atom>, Vec<GroupRead>>,
    /// The value of each key that was read.
    values: HashMap<Atom, Atom>,
    problem: Option<String>,
}

impl Intake for AtWork {
    fn take(&mut self, op: &Operation<'_>) {
        if op.kind() != EventKind::Ok || self.problem.is_some() {
            return;
        }
        let mut writes = false;
        let mut read: Vec<(Atom, Atom)> = Vec::new();
        let result = steps(op, |step, key, value| {
            writes |= step != Step::Read;
            read.push((key, Atom::from(value)));
            Ok(())
        });
        if let Err(why) = result {
            self.problem = Some(why);
        }
        read.sort_unstable();
        read.dedup();
        if writes || read.len() < 2 {
            return;
        }
        for &(key, value) in read.iter().filter(|(_, value)| !value.is_null()) {
            let known = *self.values.entry(key).or_insert(value);
            if known != value {
                self.problem = Some(format!(
                    "key {key} was read as {known} and as {value}: this judge needs keys that are written once"
                ));
                return;
            }
        }
        if let Some(pair) = read.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            let index = op.index();
            self.problem = Some(format!("event {index}: key {} was read twice, with two results", pair[0].0));
            return;
        }
        let (keys, seen) = read.into_iter().map(|(key, value)| (key, !value.is_null())).unzip();
        self.groups.entry(keys).or_default().push(GroupRead { txn: Txn::of(op), seen });
    }

    fn finish(self: Box<Self>) -> Finding {
        if let Some(why) = self.problem {
            return Finding::new(ABOUT.name, Verdict::Unknown, why);
        }
        let mut groups: Vec<(Vec<Atom>, Vec<GroupRead>)> = self.groups.into_iter().collect();
        groups.sort_by(|a, b| a.0.cmp(&b.0));
        let reads: usize = groups.iter().map(|g| g.1.len()).sum();
        let (mut forks, mut anomalies) = (0, Vec::new());
        for (keys, reads) in &mut groups {
            reads.sort_by_key(|read| (read.size(), read.txn.index));
            for pair in reads.windows(2) {
                if let (Some(only_first), Some(only_second)) =
                    (pair[0].beyond(&pair[1]), pair[1].beyond(&pair[0]))
                {
                    forks += 1;
                    if anomalies.len() < TOLD {
                        anomalies.push(fork(keys, &pair[0], &pair[1], only_first, only_second));
                    }
                }
            }
        }
        let what = format!("{} of {}", count(reads, "read"), count(groups.len(), "group"));
        let early = groups.iter().flat_map(|g| &g.1).filter(|r| r.size() == 0).count();
        let late = groups.iter().flat_map(|g| &g.1).filter(|r| r.size() == r.seen.len()).count();
        let (verdict, summary) = match (reads, forks) {
            (0, _) => (Verdict::Vacuous, "no read of several keys succeeded".to_owned()),
            (_, 0) => (Verdict::Valid, format!("no long fork ({what})")),
            _ => (Verdict::Invalid, format!("{} ({what})", count(forks, "long fork"))),
        };
        let mut finding = Finding::new(ABOUT.name, verdict, summary)
            .with("groups", groups.len())
            .with("reads", reads)
            .with("reads_before_all_writes", early)
            .with("reads_after_all_writes", late);
        finding.anomalies = anomalies;
        finding
    }
}

fn fork(keys: &[Atom], first: &GroupRead, second: &GroupRead, a: usize, b: usize) -> Anomaly {
    let (one, other) = (first.txn.name(), second.txn.name());
    let (a, b) = (keys[a], keys[b]);
    Anomaly {
        name: ABOUT.name.to_owned(),
        message: format!(
            "{one} saw the write to key {a} and not that to key {b}; {other} saw that to {b} and not that \
             to {a}: they disagree on which came first."
        ),
        key: None,
        events: first.txn.events().chain(second.txn.events()).collect(),
        details: json!({ "keys": keys.iter().map(Atom::to_string).collect::<Vec<_>>() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transactions::testing::{names, script};
    use serde_json::json;

    #[test]
    fn reads_that_disagree_are_a_fork() {
        let read = |a, b, c| json!([["r", 0, a], ["r", 1, b], ["r", 2, c]]);
        let null = || json!(null);
        let agreeing = [
            (0, "-", json!([["w", 0, 1]])),
            (1, "-", read(json!(1), null(), null())),
            (1, "-", read(json!(1), json!(1), null())),
            (2, "-", read(null(), null(), null())),
            (3, "-", json!([["r", 1, 1], ["r", 7, 1]])),
        ];
        let finding = LongFork.check(&script(&agreeing));
        assert_eq!(finding.verdict, Verdict::Valid);
        assert_eq!(finding.measurements["groups"], 2);
        let mut forked = agreeing.to_vec();
        forked.push((4, "-", json!([["r", 2, 1], ["r", 0, 1], ["r", 1, null]])));
        let finding = LongFork.check(&script(&forked));
        assert_eq!((finding.verdict, names(&finding)), (Verdict::Invalid, vec!["long-fork"]));
        assert_eq!(finding.anomalies[0].events, [4, 5, 10, 11]);
    }

    #[test]
    fn keys_written_twice_are_not_judged() {
        let lines =
            [(1, "-", json!([["r", 0, 1], ["r", 1, null]])), (1, "-", json!([["r", 0, 2], ["r", 1, 5]]))];
        assert_eq!(LongFork.check(&script(&lines)).verdict, Verdict::Unknown);
    }
}
