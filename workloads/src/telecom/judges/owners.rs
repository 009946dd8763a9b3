//! At any time one node owns a customer.
//!
//! - At one epoch of a shard all answers come from one node (`two-owners`).
//! - After a customer was served at an epoch, nobody is served at an earlier one (`old-epoch-served`).

use std::collections::{BTreeMap, HashMap};

use ordeal_core::{Checker, Finding, History, Operation, judge_operations};

use super::super::answers::By;
use super::{Answers, went_back};
use crate::report::{Report, anomaly_of, which};

/// The judge.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::telecom) struct Owners;

const NAME: &str = "owners";

impl Checker for Owners {
    fn name(&self) -> String {
        NAME.to_owned()
    }

    fn check(&self, history: &History) -> Finding {
        judge_operations(NAME, history, |operations| judge(&operations))
    }
}

fn judge(operations: &[Operation<'_>]) -> Finding {
    let answers = Answers::of(operations);
    let mut by_customer: BTreeMap<&str, Vec<(&By, &Operation<'_>)>> = BTreeMap::new();
    let mut owners: HashMap<(u64, u64), (&By, &Operation<'_>)> = HashMap::new();
    let mut anomalies = Vec::new();
    for (customer, by, op) in answers.served() {
        by_customer.entry(customer).or_default().push((by, op));
        let (first, earlier) = *owners.entry((by.shard, by.epoch)).or_insert((by, op));
        if first.node != by.node {
            let both = format!("{} in {}, and {} in {}", first.node, which(earlier), by.node, which(op));
            let message = format!("Shard {} at epoch {} is served by {both}.", by.shard, by.epoch);
            anomalies.push(anomaly_of("two-owners", Some(customer), message, &[earlier, op]));
        }
    }
    let answered: usize = by_customer.values().map(Vec::len).sum();
    for (customer, served) in by_customer {
        let served = served.into_iter().map(|(by, op)| (by.epoch, by, op)).collect();
        // The first one of a customer is enough.
        if let Some(((_, newer, earlier), (_, by, op))) = went_back(served).into_iter().next() {
            let message = format!(
                "{} is served at epoch {} by {}, after {} was at epoch {} by {}.",
                which(op),
                by.epoch,
                by.node,
                which(earlier),
                newer.epoch,
                newer.node
            );
            anomalies.push(anomaly_of("old-epoch-served", Some(customer), message, &[earlier, op]));
        }
    }
    let judged = format!("{answered} answers, of {} shards and epochs", owners.len());
    Report::of(anomalies, &answers.unread).finding(NAME, judged, answered == 0)
}
