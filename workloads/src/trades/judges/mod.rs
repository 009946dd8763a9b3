//! The judges of `trades`, and what they share.

mod answers;
mod copies;
mod decisions;
mod ledgers;
mod waiting_lists;

use std::collections::BTreeMap;

pub(super) use answers::Answers;
pub(super) use copies::Copies;
pub(super) use decisions::Decisions;
pub(super) use ledgers::Ledgers;
use ordeal_checkers::Phases;
use ordeal_core::{Anomaly, EventKind, Finding, History, Key, Operation, Verdict};
use serde::Deserialize;
pub(super) use waiting_lists::WaitingLists;

use super::Details;
use super::answers::{Answer, Status};
use crate::report::{Report, node, result};

/// What was asked and said of one trade.
#[derive(Default)]
struct Life<'a> {
    /// Submissions that may have had an effect.
    asked: Vec<(Details, &'a Operation<'a>)>,
    /// Answers that are about this trade.
    said: Vec<(Answer, &'a Operation<'a>)>,
}

impl<'a> Life<'a> {
    /// The first answer with a status that is confirmed or more, with its details.
    fn confirmed(&self) -> Option<(&Details, &'a Operation<'a>)> {
        self.said_at_least(Status::Confirmed).next()
    }

    /// Answers with this status or a later one, with the details that they name.
    fn said_at_least(&self, status: Status) -> impl Iterator<Item = (&Details, &'a Operation<'a>)> {
        let those = self.said.iter().filter(move |(answer, _)| answer.status >= status);
        those.filter_map(|(answer, op)| Some((answer.details.as_ref()?, *op)))
    }
}

/// All trades by name, and what could not be read.
fn lives<'a>(operations: &'a [Operation<'a>]) -> (BTreeMap<&'a str, Life<'a>>, Vec<String>) {
    let mut lives: BTreeMap<&str, Life<'_>> = BTreeMap::new();
    let mut unread = Vec::new();
    for op in operations {
        let Some(trade) = trade_of(op) else { continue };
        let life = lives.entry(trade).or_default();
        if op.f() == "submit" && op.kind() != EventKind::Fail {
            match Details::deserialize(op.input()) {
                Ok(details) => life.asked.push((details, op)),
                Err(e) => unread.push(format!("#{}: no details: {e}", op.index())),
            }
        }
        match result::<Answer>(op) {
            // What is about another trade is for [`Answers`].
            Ok(answer) => life.said.extend(answer.filter(|a| a.correlation_id == trade).map(|a| (a, op))),
            Err(why) => unread.push(why),
        }
    }
    (lives, unread)
}

/// The trade that the operation is about.
fn trade_of<'a>(op: &Operation<'a>) -> Option<&'a str> {
    match op.key() {
        Some(Key::Text(trade)) if matches!(op.f(), "submit" | "settle" | "read") => Some(trade),
        _ => None,
    }
}

/// What each node answered to `f` in the final reads, first answers only, and what could not be read.
fn finals<'a, T: Deserialize<'a>>(
    history: &'a History,
    operations: &'a [Operation<'a>],
    f: &str,
) -> (BTreeMap<&'a str, (T, &'a Operation<'a>)>, Vec<String>) {
    let (mut found, mut unread) = (BTreeMap::new(), Vec::new());
    let phases = Phases::of(history);
    for op in operations.iter().filter(|op| op.f() == f && phases.is_final(op.invoke)) {
        match result(op) {
            Ok(Some(answer)) => drop(found.entry(node(op)).or_insert((answer, op))),
            Ok(None) => {}
            Err(why) => unread.push(why),
        }
    }
    (found, unread)
}

/// What a judge found; else `otherwise`, unless something could not be read.
fn conclude(name: &str, anomalies: Vec<Anomaly>, unread: &[String], otherwise: (Verdict, String)) -> Finding {
    let mut report = Report::of(anomalies, unread);
    match otherwise {
        (Verdict::Unknown, why) => {
            report.undecided(why);
            report.finding(name, "not all could be judged".to_owned(), false)
        }
        (verdict, judged) => report.finding(name, judged, verdict == Verdict::Vacuous),
    }
}

#[cfg(test)]
mod tests;
