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
use ordeal_checkers::{FINAL_READS, Phases};
use ordeal_core::{Anomaly, EventKind, Finding, History, Key, Operation, Verdict};
use serde::Deserialize;
use serde_json::Value;
pub(super) use waiting_lists::WaitingLists;

use super::Details;
use super::answers::{Answer, Status};

/// How many anomalies of one name are told; the rest are counted.
const TOLD: usize = 20;

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

/// The result of an operation that succeeded.
///
/// # Errors
/// Why it cannot be read.
fn result<'h, T: Deserialize<'h>>(op: &Operation<'h>) -> Result<Option<T>, String> {
    let Some(value) = op.output() else { return Ok(None) };
    T::deserialize(value)
        .map(Some)
        .map_err(|e| format!("#{}: `{}` answers otherwise: {e}", op.index(), op.f()))
}

/// What each node answered to `f` in the final reads, first answers only, and what could not be read.
fn finals<'a, T: Deserialize<'a>>(
    history: &'a History,
    operations: &'a [Operation<'a>],
    f: &str,
) -> (BTreeMap<&'a str, (T, &'a Operation<'a>)>, Vec<String>) {
    let (mut found, mut unread) = (BTreeMap::new(), Vec::new());
    let began = Phases::of(history).began(FINAL_READS);
    let is_final = |op: &&Operation<'_>| began.is_some_and(|began| (op.invoke.time, op.index()) > began);
    for op in operations.iter().filter(|op| op.f() == f).filter(is_final) {
        match result(op) {
            Ok(Some(answer)) => drop(found.entry(node(op)).or_insert((answer, op))),
            Ok(None) => {}
            Err(why) => unread.push(why),
        }
    }
    (found, unread)
}

/// The node that was asked.
fn node<'a>(op: &Operation<'a>) -> &'a str {
    op.invoke.node.as_deref().unwrap_or("?")
}

/// `` `read` #12 by client 3 at n2 ``.
fn who(op: &Operation<'_>) -> String {
    format!("`{}` #{} by client {} at {}", op.f(), op.index(), op.process(), node(op))
}

/// An anomaly that these operations show.
fn anomaly(name: &str, trade: Option<&str>, message: String, ops: &[&Operation<'_>]) -> Anomaly {
    let mut events: Vec<u64> = ops.iter().flat_map(|op| op.events()).collect();
    events.dedup();
    let key = trade.map(|trade| Key::Text(trade.to_owned()));
    Anomaly { name: name.to_owned(), message, key, events, details: Value::Null }
}

/// What a judge found, at most [`TOLD`] of each name; else `otherwise`, unless something could not be read.
fn conclude(name: &str, anomalies: Vec<Anomaly>, unread: &[String], otherwise: (Verdict, String)) -> Finding {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut told = Vec::new();
    for anomaly in anomalies {
        let count = counts.entry(anomaly.name.clone()).or_default();
        *count += 1;
        if *count <= TOLD {
            told.push(anomaly);
        }
    }
    let (verdict, summary) = if !counts.is_empty() {
        let counts: Vec<String> = counts.iter().map(|(name, count)| format!("{count} × {name}")).collect();
        (Verdict::Invalid, counts.join(", "))
    } else if let Some(first) = unread.first() {
        (Verdict::Unknown, format!("{} answers could not be read; {first}", unread.len()))
    } else {
        otherwise
    };
    Finding { anomalies: told, ..Finding::new(name, verdict, summary) }
}

#[cfg(test)]
mod tests;
