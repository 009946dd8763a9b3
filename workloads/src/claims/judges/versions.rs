//! Every answer names a core version. Versions are in one order, each changes a known set of things, and all answers
//! of all nodes must fit into that one order:
//!
//! - what the core had of a policy at a version is the same in every answer (`contradicts-core`): the same change
//!   has the same content, and an answer at a version misses no change up to it;
//! - the core's versions follow real time (`stale-core`): an answer names no version older than one that was named
//!   before it was asked for;
//! - no two changes make the same version (`version-reused`);
//! - a data node asked for a version has it, and shows a document only with a version it belongs to or a later one
//!   (`version-not-reached`);
//! - a data node's versions never go back (`version-went-back`), and in the end it has all (`never-caught-up`).
//!
//! Together the first three say that the core is linearizable: versions are the order. Time O(n log n).

use std::collections::{BTreeMap, HashMap};

use ordeal_core::{Anomaly, Checker, Finding, History, Operation, judge_operations};
use serde::Deserialize;

use super::{Adjusted, Policy, PolicyAt, argument, conclude, final_reads_begin, name_of};
use crate::claims::{Adjustment, Document};
use crate::report::{anomaly_of, result, which};

/// The judge.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::claims) struct CoreVersions;

const NAME: &str = "core-versions";

/// What an answer says of a policy.
struct Said<'a> {
    at: PolicyAt,
    policy: String,
    op: &'a Operation<'a>,
}

/// A change of a policy: what is known of it, and from where.
struct Known<'a> {
    holder: Option<String>,
    premium: i64,
    op: &'a Operation<'a>,
}

/// What the history says of versions.
#[derive(Default)]
struct Facts<'a> {
    said: Vec<Said<'a>>,
    /// Policy, then the version that changed it.
    changes: BTreeMap<String, BTreeMap<u64, Known<'a>>>,
    /// The core's own answers, each with its version; whether it may be the answer to an earlier attempt.
    core: Vec<(u64, bool, &'a Operation<'a>)>,
    /// Data nodes' answers: node, version.
    copies: Vec<(String, u64, &'a Operation<'a>)>,
    /// Which mutation made a version, by its own name.
    made: HashMap<u64, (String, &'a Operation<'a>)>,
    anomalies: Vec<Anomaly>,
}

impl Checker for CoreVersions {
    fn name(&self) -> String {
        NAME.to_owned()
    }

    fn check(&self, history: &History) -> Finding {
        judge_operations(NAME, history, |operations| judge_all(&operations, final_reads_begin(history)))
    }
}

fn judge_all(operations: &[Operation<'_>], final_reads_ns: Option<u64>) -> Finding {
    let mut facts = Facts::default();
    let mut unread = Vec::new();
    for op in operations {
        if let Err(why) = facts.take(op) {
            unread.push(why);
        }
    }
    facts.misses();
    facts.real_time();
    facts.backwards();
    if let Some(began) = final_reads_ns {
        facts.caught_up(began);
    }
    let (core, copies) = (facts.core.len(), facts.copies.len());
    let changes: usize = facts.changes.values().map(BTreeMap::len).sum();
    let fine = format!(
        "{core} answers of the core and {copies} of data nodes agree on {changes} changes of policies"
    );
    conclude(NAME, facts.anomalies, &unread, fine, core.min(copies))
        .with("core_answers", core)
        .with("copy_answers", copies)
}

impl<'a> Facts<'a> {
    fn take(&mut self, op: &'a Operation<'a>) -> Result<(), String> {
        #[derive(Deserialize)]
        struct Version {
            version: u64,
        }
        #[derive(Deserialize)]
        struct WithTerms {
            version: u64,
            terms: PolicyAt,
        }
        match op.f() {
            "put-policy" => {
                if let Some(at) = result::<PolicyAt>(op)? {
                    self.made_by(at.version, &format!("{} #{}", op.f(), op.index()), op);
                    self.core.push((at.version, false, op));
                    self.policy(at, name_of(op), op);
                }
            }
            "read-policy" => {
                if let Some(at) = result::<PolicyAt>(op)? {
                    self.core.push((at.version, false, op));
                    self.policy(at, name_of(op), op);
                }
            }
            "adjust" => {
                if let Some(Adjusted { version, premiums }) = result(op)? {
                    let Adjustment { id, .. } = argument(op)?;
                    self.made_by(version, &id, op);
                    self.core.push((version, true, op));
                    for (policy, premium) in premiums {
                        self.change(&policy, version, None, premium, op);
                    }
                }
            }
            "submit" | "confirm" | "read" => {
                if let Some(Some(Version { version })) = result::<Option<Version>>(op)? {
                    self.core.push((version, false, op));
                }
            }
            "read-copy" => {
                if let Some(at) = result::<PolicyAt>(op)? {
                    self.copy(at, argument(op)?, op);
                }
            }
            "add-document" => {
                if let Some(WithTerms { terms, .. }) = result(op)? {
                    let Document { version, .. } = argument(op)?;
                    self.copy(terms, version, op);
                }
            }
            "read-documents" => {
                #[derive(Deserialize)]
                struct List {
                    documents: Vec<Version>,
                    terms: PolicyAt,
                }
                if let Some(List { documents, terms }) = result(op)? {
                    let newest = documents.iter().map(|document| document.version).max();
                    self.copy(terms, newest.unwrap_or(0), op);
                }
            }
            "read-document" => {
                if let Some(Some(WithTerms { version, terms })) = result::<Option<WithTerms>>(op)? {
                    self.copy(terms, version, op);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// A data node's answer to a question for at least this version.
    fn copy(&mut self, at: PolicyAt, wanted: u64, op: &'a Operation<'a>) {
        let node = at.node.clone().unwrap_or_default();
        if at.version < wanted {
            let message = format!(
                "{} was answered by {node} with core version {}, though it is about version {wanted}, which {node} \
                 therefore had not reached.",
                which(op),
                at.version
            );
            self.anomalies.push(anomaly_of("version-not-reached", Some(&name_of(op)), message, &[op]));
        }
        self.copies.push((node, at.version, op));
        self.policy(at, name_of(op), op);
    }

    fn policy(&mut self, at: PolicyAt, policy: String, op: &'a Operation<'a>) {
        if let Some(Policy { holder, premium, changed }) = &at.policy {
            self.change(&policy, *changed, Some(holder), *premium, op);
        }
        self.said.push(Said { at, policy, op });
    }

    /// The core changed the policy at this version, says this operation.
    fn change(
        &mut self,
        policy: &str,
        version: u64,
        holder: Option<&String>,
        premium: i64,
        op: &'a Operation<'a>,
    ) {
        let new = || Known { holder: holder.cloned(), premium, op };
        let changes = self.changes.entry(policy.to_owned()).or_default();
        let known = changes.entry(version).or_insert_with(new);
        let other_holder = matches!((&known.holder, holder), (Some(a), Some(b)) if a != b);
        if known.premium != premium || other_holder {
            let message = format!(
                "Policy {policy} as changed by core version {version} is told in two ways: premium {} of {:?} in {}, \
                 premium {premium} of {holder:?} in {}.",
                known.premium,
                known.holder,
                which(known.op),
                which(op)
            );
            self.anomalies.push(anomaly_of("contradicts-core", Some(policy), message, &[known.op, op]));
        }
        known.holder = known.holder.take().or_else(|| holder.cloned());
    }

    fn made_by(&mut self, version: u64, name: &str, op: &'a Operation<'a>) {
        let (first, by) = self.made.entry(version).or_insert_with(|| (name.to_owned(), op));
        if first != name {
            let message =
                format!("Two changes made core version {version}: {} and {}.", which(by), which(op));
            self.anomalies.push(anomaly_of("version-reused", None, message, &[by, op]));
        }
    }

    /// An answer at a version misses a change up to that version, or shows one after it.
    fn misses(&mut self) {
        for Said { at, policy, op } in &self.said {
            let shown = at.policy.as_ref().map_or(0, |policy| policy.changed);
            let last = self.changes.get(policy).and_then(|changes| changes.range(..=at.version).next_back());
            let later = last.filter(|(version, _)| **version > shown);
            if let Some((version, known)) = later {
                let message = format!(
                    "{} names core version {} and shows policy {policy} as of version {shown}, but it changed at \
                     version {version}: premium {} of {:?}, says {}.",
                    which(op),
                    at.version,
                    known.premium,
                    known.holder,
                    which(known.op)
                );
                self.anomalies.push(anomaly_of("contradicts-core", Some(policy), message, &[known.op, op]));
            } else if shown > at.version {
                let message =
                    format!("{} names core version {} and shows version {shown}.", which(op), at.version);
                self.anomalies.push(anomaly_of("contradicts-core", Some(policy), message, &[op]));
            }
        }
    }

    /// The core's versions never go back in real time.
    fn real_time(&mut self) {
        let answers: Vec<_> = self.core.iter().map(|(version, late, op)| (*version, *late, *op)).collect();
        for (newest, version, op) in older_than_before(&answers) {
            let message = format!(
                "{} was answered at core version {version}, though {} had named version {} before it began.",
                which(op),
                which(newest.1),
                newest.0
            );
            self.anomalies.push(anomaly_of("stale-core", None, message, &[newest.1, op]));
        }
    }

    /// A data node's versions never go back in real time.
    fn backwards(&mut self) {
        let mut nodes: BTreeMap<&str, Vec<(u64, bool, &'a Operation<'a>)>> = BTreeMap::new();
        for (node, version, op) in &self.copies {
            nodes.entry(node).or_default().push((*version, false, op));
        }
        for (node, answers) in nodes {
            for (newest, version, op) in older_than_before(&answers) {
                let message = format!(
                    "{node} answered {} at core version {version}, though it had answered {} at version {} before.",
                    which(op),
                    which(newest.1),
                    newest.0
                );
                self.anomalies.push(anomaly_of("version-went-back", None, message, &[newest.1, op]));
            }
        }
    }

    /// After everything was healed, each data node that answers has every version of before.
    fn caught_up(&mut self, began_ns: u64) {
        let before = self.core.iter().filter(|(_, _, op)| op.complete.is_some_and(|e| e.time < began_ns));
        let Some((newest, _, core)) = before.max_by_key(|(version, _, _)| *version) else { return };
        let mut last: BTreeMap<&str, (u64, &Operation<'_>)> = BTreeMap::new();
        for (node, version, op) in self.copies.iter().filter(|(_, _, op)| op.invoke.time >= began_ns) {
            let known = last.entry(node).or_insert((*version, op));
            if *version > known.0 {
                *known = (*version, op);
            }
        }
        for (node, (version, op)) in last.into_iter().filter(|(_, (version, _))| version < newest) {
            let message = format!(
                "{node} never got beyond core version {version} in the final reads, though version {newest} was \
                 there before they began."
            );
            self.anomalies.push(anomaly_of("never-caught-up", None, message, &[core, op]));
        }
    }
}

type Answer<'a> = (u64, &'a Operation<'a>);

/// The answers that name an older version than one that had ended before they began, each with that one. Answers
/// marked `true` may be those of an earlier attempt, and are not judged.
fn older_than_before<'a>(
    answers: &[(u64, bool, &'a Operation<'a>)],
) -> Vec<(Answer<'a>, u64, &'a Operation<'a>)> {
    let mut by_call: Vec<_> = answers.iter().collect();
    by_call.sort_by_key(|(_, _, op)| op.call);
    let mut by_ret = by_call.clone();
    by_ret.sort_by_key(|(_, _, op)| op.ret);
    let mut ended = by_ret.into_iter().peekable();
    let mut newest: Option<Answer<'a>> = None;
    let mut older = Vec::new();
    for &(version, late, op) in by_call {
        while let Some(&(version, _, before)) = ended.next_if(|(_, _, before)| before.ret < op.call) {
            if newest.is_none_or(|(newest, _)| newest < version) {
                newest = Some((version, before));
            }
        }
        if let Some(newest) = newest.filter(|(newest, _)| *newest > version && !late) {
            older.push((newest, version, op));
        }
    }
    older
}
