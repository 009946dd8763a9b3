//! What each node has of each trade agrees with what clients were told, and with what the others have.
//!
//! - A confirmed trade was confirmed, with the same details, by a majority of the nodes (`confirmed-without-majority`).
//! - Every settlement node has confirmed a settled trade (`settled-below-high-water-mark`).
//! - No two nodes have different decisions (`copies-disagree`).
//!
//! All this holds from the moment at which somebody was told, so that copies read at any later time count. Of those read at
//! the end:
//!
//! - Every node knows a confirmed trade (`confirmed-trade-missing`).
//! - What was accepted is decided, or settled (`accepted-then-forgotten`).

use std::collections::{BTreeMap, BTreeSet};

use ordeal_core::{Anomaly, Checker, Finding, History, Key, Operation, Verdict, judge_operations};

use super::super::Details;
use super::super::answers::{Copies as OfNode, Copy, OwnCopy, Status};
use super::{Life, conclude, finals, lives};
use crate::report::{anomaly_of, node, result, which};

/// The judge.
#[derive(Clone, Copy, Debug)]
pub(in crate::trades) struct Copies {
    /// All nodes there are.
    pub(in crate::trades) nodes: usize,
}

const NAME: &str = "copies";
/// The role whose nodes must all confirm a settlement.
const SETTLEMENT: &str = "settlement";

impl Checker for Copies {
    fn name(&self) -> String {
        NAME.to_owned()
    }

    fn check(&self, history: &History) -> Finding {
        judge_operations(NAME, history, |operations| self.judge(history, &operations))
    }
}

/// One trade at all nodes that were heard.
struct Trade<'a> {
    name: &'a str,
    told: &'a Life<'a>,
    /// Read at the end: one of each node.
    finals: Vec<Seen<'a>>,
    /// Read before that.
    early: Vec<Seen<'a>>,
    nodes: usize,
}

/// What a node has of a trade, and where that was read.
#[derive(Clone, Copy)]
struct Seen<'a> {
    node: &'a str,
    role: &'a str,
    /// None if it has nothing.
    copy: Option<&'a Copy>,
    op: &'a Operation<'a>,
}

impl Copies {
    fn judge(self, history: &History, operations: &[Operation<'_>]) -> Finding {
        let (lives, mut unread) = lives(operations);
        let (nodes, also_unread) = finals::<OfNode>(history, operations, "copies");
        unread.extend(also_unread);
        let names: BTreeSet<&str> = nodes
            .values()
            .flat_map(|(of, _)| of.copies.keys().map(String::as_str))
            .chain(lives.keys().copied())
            .collect();
        let (owned, also_unread) = own_copies(operations);
        unread.extend(also_unread);
        let mut early: BTreeMap<&str, Vec<Seen<'_>>> = BTreeMap::new();
        for (trade, op, own) in &owned {
            early.entry(*trade).or_default().push(Seen {
                node: node(op),
                role: &own.role,
                copy: Some(&own.copy),
                op,
            });
        }
        let (nothing, mut anomalies, mut settled) = (Life::default(), Vec::new(), 0);
        for name in names {
            let finals = nodes
                .iter()
                .map(|(node, (of, op))| Seen { node, role: &of.role, copy: of.copies.get(name), op })
                .collect();
            let told = lives.get(name).unwrap_or(&nothing);
            let early = early.remove(name).unwrap_or_default();
            let trade = Trade { name, told, finals, early, nodes: self.nodes };
            settled += usize::from(trade.settled().is_some());
            anomalies.extend(trade.judge());
        }
        let otherwise = if nodes.len() < self.nodes {
            let heard: Vec<&str> = nodes.keys().copied().collect();
            (Verdict::Unknown, format!("of {} nodes only these told what they have: {heard:?}", self.nodes))
        } else if !nodes.values().any(|(of, _)| of.role == SETTLEMENT) {
            (Verdict::Unknown, "no node is a settlement node".to_owned())
        } else if settled == 0 {
            (Verdict::Vacuous, "no trade was settled".to_owned())
        } else {
            (Verdict::Valid, format!("what {} nodes have agrees; {settled} trades are settled", self.nodes))
        };
        conclude(NAME, anomalies, &unread, otherwise)
    }
}

/// The answers to questions for what one node has of one trade, and what could not be read.
fn own_copies<'a>(
    operations: &'a [Operation<'a>],
) -> (Vec<(&'a str, &'a Operation<'a>, OwnCopy)>, Vec<String>) {
    let (mut owned, mut unread) = (Vec::new(), Vec::new());
    for op in operations.iter().filter(|op| op.f() == "copy") {
        let Some(Key::Text(trade)) = op.key() else { continue };
        match result::<OwnCopy>(op) {
            Ok(answer) => owned.extend(answer.map(|own| (trade.as_str(), op, own))),
            Err(why) => unread.push(why),
        }
    }
    (owned, unread)
}

impl<'a> Trade<'a> {
    fn judge(&self) -> Vec<Anomaly> {
        let checks =
            [self.disagreement(), self.minority(), self.missing(), self.below_mark(), self.forgotten()];
        checks.into_iter().flatten().collect()
    }

    /// All that was seen of it, early and late.
    fn seen(&self) -> impl Iterator<Item = Seen<'a>> {
        self.early.iter().chain(&self.finals).copied()
    }

    /// Copies with this status or a later one.
    fn at_least(&self, status: Status) -> impl Iterator<Item = (&'a Copy, &'a Operation<'a>)> {
        let those = self.seen().filter_map(|seen| Some((seen.copy?, seen.op)));
        those.filter(move |(copy, _)| copy.status >= status)
    }

    /// The details with which the trade is confirmed, and where that is said.
    fn confirmed(&self) -> Option<(&Details, &'a Operation<'a>)> {
        let by_copy =
            || self.at_least(Status::Confirmed).find_map(|(copy, op)| Some((copy.details.as_ref()?, op)));
        self.told.confirmed().or_else(by_copy)
    }

    /// Where it is said that the trade is settled.
    fn settled(&self) -> Option<&'a Operation<'a>> {
        let told = self.told.said_at_least(Status::Settled).map(|(_, op)| op).next();
        told.or_else(|| self.at_least(Status::Settled).map(|(_, op)| op).next())
    }

    fn disagreement(&self) -> Option<Anomaly> {
        let mut decided = self.at_least(Status::Rejected).map(|(copy, op)| {
            (if copy.status == Status::Rejected { None } else { copy.details.as_ref() }, op)
        });
        let (one, at) = decided.next()?;
        let (other, op) = decided.find(|(other, _)| *other != one)?;
        let message = format!("Of {} {} has {one:?} and {} has {other:?}.", self.name, which(at), which(op));
        Some(anomaly_of("copies-disagree", Some(self.name), message, &[at, op]))
    }

    fn minority(&self) -> Option<Anomaly> {
        let (details, op) = self.confirmed()?;
        let confirms = |copy: &Option<&Copy>| copy.is_some_and(|copy| copy.vote.as_ref() == Some(details));
        // Those that were seen not to have confirmed it after somebody was told.
        let against: BTreeSet<&str> = self
            .seen()
            .filter(|seen| !confirms(&seen.copy) && op.ret < seen.op.call)
            .map(|seen| seen.node)
            .collect();
        if against.len() < self.nodes.div_ceil(2) {
            return None;
        }
        let message = format!(
            "{} is confirmed in {}, but {against:?} had not confirmed it then.",
            self.name,
            which(op)
        );
        Some(anomaly_of("confirmed-without-majority", Some(self.name), message, &[op]))
    }

    fn missing(&self) -> Option<Anomaly> {
        let (details, op) = self.confirmed()?;
        let has = |copy: &Option<&Copy>| {
            copy.is_some_and(|c| c.status >= Status::Confirmed && c.details.as_ref() == Some(details))
        };
        let since = self.finals.iter().filter(|seen| op.ret < seen.op.call);
        let Seen { node, copy, op: read, .. } = *since.into_iter().find(|seen| !has(&seen.copy))?;
        let held = copy.map_or(Status::None, |copy| copy.status);
        let message =
            format!("{} is confirmed in {}, but {held:?} at {node} in the end.", self.name, which(op));
        Some(anomaly_of("confirmed-trade-missing", Some(self.name), message, &[op, read]))
    }

    fn below_mark(&self) -> Option<Anomaly> {
        let op = self.settled()?;
        let lacks = |copy: &Option<&Copy>| !copy.is_some_and(|copy| copy.settlement_confirmed);
        let since = |seen: &Seen<'_>| seen.role == SETTLEMENT && op.ret < seen.op.call;
        let Seen { node, op: read, .. } = self.seen().find(|seen| since(seen) && lacks(&seen.copy))?;
        let message =
            format!("{} is settled in {}, but {node} has not confirmed that.", self.name, which(op));
        Some(anomaly_of("settled-below-high-water-mark", Some(self.name), message, &[op, read]))
    }

    fn forgotten(&self) -> Option<Anomaly> {
        if self.finals.is_empty() {
            return None;
        }
        let reached = |status| self.at_least(status).next().is_some();
        let promised = [("submit", reached(Status::Rejected)), ("settle", reached(Status::Settled))];
        let mut broken =
            self.told.said.iter().filter(|(answer, op)| {
                answer.status == Status::Pending && promised.contains(&(op.f(), false))
            });
        let (_, op) = broken.next()?;
        let message = format!("{} about {} was accepted, but nothing came of it.", which(op), self.name);
        let reads: Vec<&Operation<'_>> =
            std::iter::once(*op).chain(self.finals.iter().map(|seen| seen.op)).collect();
        Some(anomaly_of("accepted-then-forgotten", Some(self.name), message, &reads))
    }
}
