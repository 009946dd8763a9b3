//! A trade is decided once, and nobody is told otherwise later.
//!
//! - Nobody is told that a trade is confirmed and anybody that it is rejected (`confirmed-and-rejected`), or that it is
//!   confirmed with two different details (`two-details-confirmed`), or with some that nobody can have asked for by then
//!   (`confirmed-unasked`).
//! - After somebody was told that a trade is decided no read answers that it is not, and after somebody was told that
//!   it is settled none answers less (`went-back`). What a submission or a settlement answers with `pending` only says
//!   that it was accepted.

use ordeal_core::{Anomaly, Checker, Finding, History, Operation, Verdict, judge_operations};

use super::super::answers::{Answer, Status};
use super::{Life, conclude, lives};
use crate::report::{anomaly_of, which};

/// The judge.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::trades) struct Decisions;

const NAME: &str = "decisions";

impl Checker for Decisions {
    fn name(&self) -> String {
        NAME.to_owned()
    }

    fn check(&self, history: &History) -> Finding {
        judge_operations(NAME, history, |operations| judge(&operations))
    }
}

fn judge(operations: &[Operation<'_>]) -> Finding {
    let (lives, unread) = lives(operations);
    let mut anomalies = Vec::new();
    for (trade, life) in &lives {
        anomalies.extend(contradiction(trade, life));
        anomalies.extend(unasked(trade, life));
        anomalies.extend(went_back(trade, life));
    }
    let count =
        |status| lives.values().filter(|life| life.said.iter().any(|(a, _)| a.status == status)).count();
    let [confirmed, rejected, settled] = [Status::Confirmed, Status::Rejected, Status::Settled].map(count);
    let otherwise = match (confirmed, settled) {
        (0, _) => (Verdict::Vacuous, "no trade was confirmed".to_owned()),
        (_, 0) => (Verdict::Vacuous, "no trade was settled".to_owned()),
        _ => {
            let told = format!("{confirmed} trades confirmed, {settled} settled, {rejected} rejected");
            (Verdict::Valid, format!("{told}, nobody was told otherwise"))
        }
    };
    let mut finding = conclude(NAME, anomalies, &unread, otherwise);
    for (name, count) in [("confirmed", confirmed), ("rejected", rejected), ("settled", settled)] {
        finding = finding.with(name, count);
    }
    finding
}

fn contradiction(trade: &str, life: &Life<'_>) -> Option<Anomaly> {
    let (details, confirmed) = life.confirmed()?;
    if let Some((_, rejected)) = life.said.iter().find(|(answer, _)| answer.status == Status::Rejected) {
        let message =
            format!("{trade} is confirmed in {} and rejected in {}.", which(confirmed), which(rejected));
        return Some(anomaly_of("confirmed-and-rejected", Some(trade), message, &[confirmed, *rejected]));
    }
    let (other, op) = life.said_at_least(Status::Confirmed).find(|(other, _)| *other != details)?;
    let both = format!("{details:?} in {} and {other:?} in {}", which(confirmed), which(op));
    let message = format!("{trade} is confirmed with two different details: {both}.");
    Some(anomaly_of("two-details-confirmed", Some(trade), message, &[confirmed, op]))
}

fn unasked(trade: &str, life: &Life<'_>) -> Option<Anomaly> {
    let asked = |details: &_, op: &Operation<'_>| {
        life.asked.iter().any(|(asked, submit)| asked == details && submit.call < op.ret)
    };
    let (details, op) = life.said_at_least(Status::Confirmed).find(|(details, op)| !asked(details, op))?;
    let message =
        format!("{} says that {trade} is confirmed with {details:?}, which nobody asked for.", which(op));
    Some(anomaly_of("confirmed-unasked", Some(trade), message, &[op]))
}

/// How much an answer says for good: nothing, that it is decided, that it is settled.
fn level(answer: &Answer) -> u8 {
    match answer.status {
        Status::None | Status::Pending => 0,
        Status::Rejected | Status::Confirmed => 1,
        Status::Settled => 2,
    }
}

fn went_back(trade: &str, life: &Life<'_>) -> Option<Anomaly> {
    let first = |least| life.said.iter().filter(move |(a, _)| level(a) >= least).min_by_key(|(_, op)| op.ret);
    let reads = life.said.iter().filter(|(_, op)| op.f() == "read");
    let mut back = reads.filter_map(|(answer, op)| {
        let (before, told) = first(level(answer) + 1).filter(|(_, told)| told.ret < op.call)?;
        Some((before, *told, answer, *op))
    });
    let (before, told, answer, op) = back.next()?;
    let message = format!(
        "{trade} is {:?} in {}, but {:?} in {}, which began after that had ended.",
        before.status,
        which(told),
        answer.status,
        which(op)
    );
    Some(anomaly_of("went-back", Some(trade), message, &[told, op]))
}
