//! A document that was acknowledged is found, as it was added, by every question that is asked after that: also while
//! one of its homes is down, and whichever node is asked.
//!
//! Questions that failed say nothing. That nothing is there that nobody added is judged in the final reads by
//! set durability.

use std::collections::BTreeMap;

use ordeal_core::{Anomaly, Checker, EventKind, Finding, History, Operation, judge_operations};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{argument, conclude, name_of};
use crate::claims::Document;
use crate::report::{anomaly_of, result, which};

/// The judge.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::claims) struct Documents;

const NAME: &str = "documents";

/// A document that was acknowledged.
struct Added<'a> {
    document: Document,
    op: &'a Operation<'a>,
}

/// Policy, then the documents that were acknowledged.
type Acknowledged<'a> = BTreeMap<String, Vec<Added<'a>>>;

impl Checker for Documents {
    fn name(&self) -> String {
        NAME.to_owned()
    }

    fn check(&self, history: &History) -> Finding {
        judge_operations(NAME, history, |operations| judge_all(&operations))
    }
}

fn judge_all(operations: &[Operation<'_>]) -> Finding {
    let mut added = Acknowledged::new();
    let mut unread = Vec::new();
    for op in operations.iter().filter(|op| op.f() == "add-document" && op.kind() == EventKind::Ok) {
        match argument(op) {
            Ok(document) => added.entry(name_of(op)).or_default().push(Added { document, op }),
            Err(why) => unread.push(why),
        }
    }
    let mut anomalies = Vec::new();
    let mut found = 0;
    for op in operations {
        let judged = match op.f() {
            "read-document" => one(&added, op, &mut anomalies),
            "read-documents" => list(&added, op, &mut anomalies),
            _ => Ok(0),
        };
        match judged {
            Ok(expected) => found += expected,
            Err(why) => unread.push(why),
        }
    }
    let documents: usize = added.values().map(Vec::len).sum();
    let fine = format!("{documents} documents were acknowledged and found {found} times, as they were added");
    conclude(NAME, anomalies, &unread, fine, found)
}

/// Judges a question for one document; how many were to be found.
fn one(added: &Acknowledged<'_>, op: &Operation<'_>, anomalies: &mut Vec<Anomaly>) -> Result<usize, String> {
    let Some(seen) = result::<Value>(op)? else { return Ok(0) };
    let wanted: String = argument(op)?;
    let expected = expected(added, op).filter(|added| added.document.document == wanted);
    Ok(expected.inspect(|added| anomalies.extend(compare(added, Some(&seen), op))).count())
}

/// Judges a question for all documents of a policy; how many were to be found.
fn list(added: &Acknowledged<'_>, op: &Operation<'_>, anomalies: &mut Vec<Anomaly>) -> Result<usize, String> {
    #[derive(Deserialize)]
    struct List {
        documents: Vec<Value>,
    }
    let Some(List { documents }) = result(op)? else { return Ok(0) };
    let by_name: BTreeMap<&str, &Value> =
        documents.iter().filter_map(|seen| Some((seen["document"].as_str()?, seen))).collect();
    let look = |added: &Added<'_>| by_name.get(added.document.document.as_str()).copied();
    Ok(expected(added, op).inspect(|added| anomalies.extend(compare(added, look(added), op))).count())
}

/// The documents of the policy that were acknowledged before this was asked.
fn expected<'h>(added: &'h Acknowledged<'h>, op: &Operation<'_>) -> impl Iterator<Item = &'h Added<'h>> {
    let asked = op.call;
    added.get(&name_of(op)).into_iter().flatten().filter(move |added| added.op.ret < asked)
}

/// What is wrong with what was seen of a document.
fn compare(added: &Added<'_>, seen: Option<&Value>, op: &Operation<'_>) -> Option<Anomaly> {
    let Document { document, version } = &added.document;
    let (name, what) = match seen {
        None | Some(Value::Null) => ("lost-document", "does not find it".to_owned()),
        Some(seen) if seen["version"] != json!(version) => {
            ("changed-document", format!("says version {}", seen["version"]))
        }
        Some(seen) if seen.get("other_text").is_some() => {
            ("changed-document", "shows another text".to_owned())
        }
        Some(_) => return None,
    };
    let message = format!(
        "Document {document} of version {version} was acknowledged in {}, but {}, which began later, {what}.",
        which(added.op),
        which(op)
    );
    Some(anomaly_of(name, Some(&name_of(op)), message, &[added.op, op]))
}
