//! A claim is approved if and only if two departments said yes, rejected if and only if two said no, and never both.
//!
//! Of a status that was seen: at least two departments may have said what it takes by then (their confirmation
//! began before, and did not certainly fail). And once two departments were acknowledged with the same
//! verdict, no later answer has another status. Linearizability against the model says the same and more; this judge
//! says it in the words of the use case, and needs no search.

use std::collections::{BTreeMap, BTreeSet};

use ordeal_core::{Anomaly, Checker, EventKind, Finding, History, Operation, judge_operations};
use serde::Deserialize;

use super::{argument, conclude, name_of};
use crate::claims::Confirmation;
use crate::report::{anomaly_of, result, which};

/// The judge.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::claims) struct Decisions;

const NAME: &str = "decisions";
/// What two departments say, and what comes of it.
const DECISIONS: [(&str, &str); 2] = [("approve", "approved"), ("reject", "rejected")];

/// What was said and seen of one claim.
#[derive(Default)]
struct Life<'a> {
    confirmations: Vec<(Confirmation, &'a Operation<'a>)>,
    /// Answers with a status.
    seen: Vec<(String, &'a Operation<'a>)>,
}

impl Checker for Decisions {
    fn name(&self) -> String {
        NAME.to_owned()
    }

    fn check(&self, history: &History) -> Finding {
        judge_operations(NAME, history, |operations| judge_all(&operations))
    }
}

fn judge_all(operations: &[Operation<'_>]) -> Finding {
    let mut lives: BTreeMap<String, Life<'_>> = BTreeMap::new();
    let mut unread = Vec::new();
    for op in operations.iter().filter(|op| matches!(op.f(), "submit" | "confirm" | "read")) {
        if let Err(why) = take(lives.entry(name_of(op)).or_default(), op) {
            unread.push(why);
        }
    }
    let decided = lives.values().filter(|life| life.seen.iter().any(|(s, _)| s != "submitted")).count();
    let anomalies = lives.iter().flat_map(|(claim, life)| judge(claim, life)).collect();
    let fine = format!("{decided} of {} claims were decided, as the departments said", lives.len());
    conclude(NAME, anomalies, &unread, fine, decided)
}

fn take<'a>(life: &mut Life<'a>, op: &'a Operation<'a>) -> Result<(), String> {
    #[derive(Deserialize)]
    struct Seen {
        status: String,
    }
    if op.f() == "confirm" {
        life.confirmations.push((argument(op)?, op));
    }
    if let Some(Some(Seen { status })) = result::<Option<Seen>>(op)? {
        life.seen.push((status, op));
    }
    Ok(())
}

fn judge(claim: &str, life: &Life<'_>) -> Vec<Anomaly> {
    let mut anomalies = Vec::new();
    for (verdict, decision) in DECISIONS {
        let said: Vec<_> = life.confirmations.iter().filter(|(c, _)| c.verdict == verdict).collect();
        let departments = |counts: &dyn Fn(&Operation<'_>) -> bool| -> BTreeSet<&str> {
            said.iter().filter(|(_, op)| counts(op)).map(|(c, _)| c.department.as_str()).collect()
        };
        let first = |wrong: &dyn Fn(&str, &Operation<'_>) -> bool| {
            life.seen.iter().find(|(status, op)| wrong(status, op)).map(|(_, op)| *op)
        };
        let without = first(&|status, op| {
            status == decision && departments(&|c| c.kind() != EventKind::Fail && c.call < op.ret).len() < 2
        });
        if let Some(op) = without {
            let who_said = departments(&|c| c.kind() != EventKind::Fail && c.call < op.ret);
            let message = format!(
                "Claim {claim} was {decision} in {}, but by then no two departments can have said `{verdict}`, only {who_said:?}.",
                which(op)
            );
            anomalies.push(cite(&format!("{decision}-without-two"), claim, message, &said, op));
        }
        let forgotten = first(&|status, op| {
            status != decision && departments(&|c| c.kind() == EventKind::Ok && c.ret < op.call).len() >= 2
        });
        if let Some(op) = forgotten {
            let message = format!(
                "Two departments were acknowledged with `{verdict}` on claim {claim} before {}, which says that \
                 it is something other than {decision}.",
                which(op)
            );
            anomalies.push(cite("decision-forgotten", claim, message, &said, op));
        }
    }
    let with = |decision: &str| life.seen.iter().find(|(status, _)| status == decision).map(|(_, op)| *op);
    if let (Some(approved), Some(rejected)) = (with("approved"), with("rejected")) {
        let message =
            format!("Claim {claim} was approved in {} and rejected in {}.", which(approved), which(rejected));
        anomalies.push(anomaly_of("approved-and-rejected", Some(claim), message, &[approved, rejected]));
    }
    anomalies
}

fn cite(
    name: &str,
    claim: &str,
    message: String,
    said: &[&(Confirmation, &Operation<'_>)],
    at: &Operation<'_>,
) -> Anomaly {
    let ops: Vec<&Operation<'_>> = said.iter().map(|(_, op)| *op).chain([at]).collect();
    anomaly_of(name, Some(claim), message, &ops)
}
