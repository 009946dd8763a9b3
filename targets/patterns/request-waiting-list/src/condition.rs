//! What must be heard from other nodes before a request can be answered. No I/O.
//!
//! A trade is decided by one vote. Each node confirms the details that it is asked about first, durably, and ever
//! after answers with those: its vote. Hence:
//! - *confirmed* is what more than half of all nodes voted for; two details cannot both have that;
//! - *rejected* is a trade on which all nodes have voted and no details have a majority;
//! - both follow from votes that never change, so whoever counts them, and whenever, finds the same.
//!
//! A read counts votes without asking for any ([`look`]). What it takes for undecided is certainly so: some node has
//! not voted, so the trade is not rejected, and no details have a majority even if all that are not heard voted for them.

use std::collections::BTreeSet;

use crate::bugs::Bug;
use crate::trade::{Decision, Details, TradeCopy};

/// More than half.
pub(crate) fn majority(nodes: usize) -> usize {
    nodes / 2 + 1
}

/// What a node answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Confirmation {
    /// Asked to confirm a trade: what it has on disk now, its vote with it.
    Held(TradeCopy),
    /// Asked to keep something durably: it does.
    Kept,
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The votes decide.
    Decided(Decision),
    /// As many nodes as it takes have kept it.
    Reached,
    /// The time is up, and nobody knows yet.
    Expired,
}

/// What a request in the waiting list waits for.
#[derive(Clone, Debug)]
pub(crate) enum Condition {
    /// Votes that decide a trade.
    Votes(Tally),
    /// So many nodes that have kept something.
    Kept(Mark),
}

impl Condition {
    /// Counts a node's confirmation; the outcome, if that is enough.
    pub(crate) fn take(&mut self, node: usize, confirmation: Confirmation) -> Option<Outcome> {
        match (self, confirmation) {
            (Condition::Votes(tally), Confirmation::Held(copy)) => {
                tally.take(node, copy).map(Outcome::Decided)
            }
            (Condition::Kept(mark), Confirmation::Kept) => mark.take(node).then_some(Outcome::Reached),
            _ => None,
        }
    }

    /// The nodes that have been heard, and how many it may take.
    pub(crate) fn heard(&self) -> (usize, usize) {
        match self {
            Condition::Votes(tally) => (tally.votes.len(), tally.needed),
            Condition::Kept(mark) => (mark.heard.len(), mark.needed),
        }
    }
}

/// Counts votes on one trade.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    nodes: usize,
    needed: usize,
    /// The details that the request is about.
    asked: Details,
    votes: Vec<(usize, Details)>,
    bug: Option<Bug>,
}

impl Tally {
    pub(crate) fn new(nodes: usize, asked: Details, bug: Option<Bug>) -> Self {
        let needed = if bug == Some(Bug::FirstConfirmation) { 1 } else { majority(nodes) };
        Tally { nodes, needed, asked, votes: Vec::new(), bug }
    }

    /// Counts what a node has; the decision, if that is enough.
    fn take(&mut self, node: usize, copy: TradeCopy) -> Option<Decision> {
        if copy.decision.is_some() {
            return copy.decision;
        }
        let vote = copy.vote?;
        let vote = if self.bug == Some(Bug::MismatchCounted) { self.asked.clone() } else { vote };
        if vote != self.asked && self.bug == Some(Bug::MismatchRejects) {
            return Some(Decision::Rejected);
        }
        let heard = self.votes.iter().any(|(voter, _)| *voter == node);
        if !heard || self.bug == Some(Bug::CountedTwice) {
            self.votes.push((node, vote));
        }
        let votes: Vec<&Details> = self.votes.iter().map(|(_, vote)| vote).collect();
        decided(self.nodes, self.needed, &votes)
    }
}

/// The decision that these votes make, if so many for the same are needed.
fn decided(nodes: usize, needed: usize, votes: &[&Details]) -> Option<Decision> {
    match leading(votes) {
        Some((details, count)) if count >= needed => Some(Decision::Confirmed(details.clone())),
        _ if votes.len() == nodes => Some(Decision::Rejected),
        _ => None,
    }
}

/// The details with most votes, and how many these are.
fn leading<'a>(votes: &[&'a Details]) -> Option<(&'a Details, usize)> {
    let count = |details| votes.iter().filter(|vote| **vote == details).count();
    votes.iter().map(|details| (*details, count(*details))).max_by_key(|(details, count)| (*count, *details))
}

/// Counts nodes up to a high-water mark.
#[derive(Clone, Debug)]
pub(crate) struct Mark {
    needed: usize,
    heard: BTreeSet<usize>,
}

impl Mark {
    /// Reached when so many nodes were heard.
    pub(crate) fn of(needed: usize) -> Self {
        Mark { needed, heard: BTreeSet::new() }
    }

    /// The high-water mark of a settlement: every one of so many settlement nodes.
    pub(crate) fn high_water(settlement_nodes: usize, bug: Option<Bug>) -> Self {
        let needed =
            if bug == Some(Bug::BelowHighWaterMark) { settlement_nodes - 1 } else { settlement_nodes };
        Mark::of(needed.max(1))
    }

    fn take(&mut self, node: usize) -> bool {
        self.heard.insert(node);
        self.heard.len() >= self.needed
    }
}

/// What the copies of some nodes say about a trade.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// Too few nodes were heard to say anything.
    TooFew,
    /// It is decided.
    Decided(Decision),
    /// It is certainly not decided; whether anybody has heard of it.
    Undecided { known: bool },
    /// It may be decided by votes of nodes that were not heard; if it is confirmed, then with these details unless
    /// the votes are split.
    Unclear(Details),
}

/// Looks at the copies of the nodes that were heard, each there once.
pub(crate) fn look(nodes: usize, copies: &[(usize, TradeCopy)]) -> Look {
    if copies.len() < majority(nodes) {
        return Look::TooFew;
    }
    if let Some(decision) = copies.iter().find_map(|(_, copy)| copy.decision.clone()) {
        return Look::Decided(decision);
    }
    let votes: Vec<&Details> = copies.iter().filter_map(|(_, copy)| copy.vote.as_ref()).collect();
    if let Some(decision) = decided(nodes, majority(nodes), &votes) {
        return Look::Decided(decision);
    }
    let Some((details, most)) = leading(&votes) else { return Look::Undecided { known: false } };
    let not_heard = nodes - copies.len();
    let somebody_has_not_voted = votes.len() < copies.len();
    if somebody_has_not_voted && most + not_heard < majority(nodes) {
        return Look::Undecided { known: true };
    }
    Look::Unclear(details.clone())
}

#[cfg(test)]
mod tests;
