//! The routing that anybody is told has every customer in one shard (`customers-without-owner`, `customers-with-two-owners`),
//! and never goes back: who asks after somebody was told an epoch is told that one or a later one (`routing-went-back`).

use ordeal_core::{Anomaly, Checker, Finding, History, Operation, judge_operations};

use super::super::answers::{Routing, in_order};
use super::{Answers, went_back};
use crate::report::{Report, anomaly_of, which};

/// The judge.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::telecom) struct Routings;

const NAME: &str = "routing";

impl Checker for Routings {
    fn name(&self) -> String {
        NAME.to_owned()
    }

    fn check(&self, history: &History) -> Finding {
        judge_operations(NAME, history, |operations| judge(&operations))
    }
}

fn judge(operations: &[Operation<'_>]) -> Finding {
    let answers = Answers::of(operations);
    let mut anomalies: Vec<Anomaly> =
        answers.routings.iter().filter_map(|(routing, op)| uncovered(routing, op)).collect();
    let told = answers.routings.iter().map(|(routing, op)| (routing.epoch, (), *op)).collect();
    for ((newer, (), earlier), (epoch, (), op)) in went_back(told) {
        let message =
            format!("{} is told epoch {epoch}, after {} was told {newer}.", which(op), which(earlier));
        anomalies.push(anomaly_of("routing-went-back", None, message, &[earlier, op]));
    }
    let epochs = answers.routings.iter().map(|(routing, _)| routing.epoch);
    let last = epochs.max().unwrap_or(0);
    let judged = format!("{} tables, the last one of epoch {last}", answers.routings.len());
    let report = Report::of(anomalies, &answers.unread);
    report.finding(NAME, judged, answers.routings.is_empty()).with("epoch", last)
}

/// A customer that is in no shard, or in two.
fn uncovered(routing: &Routing, op: &Operation<'_>) -> Option<Anomaly> {
    let mut shards: Vec<_> = routing.shards.iter().collect();
    shards.sort_by_key(|shard| shard.from.as_deref().map(in_order));
    let tell = |name, what: String| {
        let message = format!("{}: {what} at epoch {}.", which(op), routing.epoch);
        Some(anomaly_of(name, None, message, &[op]))
    };
    let (Some(first), Some(last)) = (shards.first(), shards.last()) else {
        return tell("customers-without-owner", "there are no shards".to_owned());
    };
    if first.from.is_some() || last.to.is_some() {
        return tell("customers-without-owner", "the shards do not reach both ends".to_owned());
    }
    let mut pairs = shards.windows(2).filter(|pair| pair[0].to != pair[1].from);
    let pair = pairs.next()?;
    let between = format!(
        "shard {} goes up to {:?}, the next one, {}, begins at {:?},",
        pair[0].shard, pair[0].to, pair[1].shard, pair[1].from
    );
    let gap = match (&pair[0].to, &pair[1].from) {
        (Some(to), Some(from)) => in_order(to) < in_order(from),
        _ => false,
    };
    tell(if gap { "customers-without-owner" } else { "customers-with-two-owners" }, between)
}
