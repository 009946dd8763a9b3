//! The quorum protocol, without I/O: what a replica keeps, what a coordinator concludes from answers.
//!
//! Every patient has two objects, each replicated on all N nodes: a *summary* (a register) and *entries*
//! (a set that only grows). R replicas answer a read, W hold a write durably before it is acknowledged.
//! [`Quorums::check`] demands R + W > N (a read meets every write before it) and 2W > N (any two write
//! quorums meet). What a replica answered with is durable, and what it holds never goes back: its cell's
//! version and its set only grow, across restarts too.
//!
//! # Summary: a multi-writer ABD register
//! (Attiya, Bar-Noy, Dolev 1995; several writers: Lynch, Shvartsman 1997.)
//!
//! Write: ask all for their version, wait for R; take the counter after the largest seen, with the own
//! node's id to make it unique; store that durably, first here, then everywhere, until W have it. A
//! coordinator's store is in its own first quorum and holds every version it issued, so no counter is
//! issued twice. Read: wait for R cells and take the newest; unless W of these replicas have it
//! already, store it on W before answering.
//!
//! Why it is linearizable: order the writes by version and put each read behind the write it answers.
//! When a write of v ends, or a read that answers v ends, W replicas hold v or newer. A later operation
//! hears R of them, so at least one of these (R + W > N): it reads v or newer, or writes something newer
//! than v. Hence the order of versions never contradicts real time.
//!
//! # Entries: a grow-only set by lattice agreement
//! (Faleiro, Rajamani, Rajan, Ramalingam, Vaswani 2012, "Generalized lattice agreement".)
//!
//! ABD's union is not enough here: of two concurrent reads one may answer {a}, the other {b}. So a read
//! answers X only if W replicas each held *exactly* X at some moment during the read. Otherwise it
//! proposes the union of what it heard; a replica merges the proposal durably and answers with all it
//! has then. An append ends when W replicas hold the entry.
//!
//! Why it is linearizable: let reads A and B answer X and Y. Their W-quorums share a replica p (2W > N),
//! which held exactly X at one moment and exactly Y at another; as its set only grows, X ⊆ Y or Y ⊆ X,
//! and if A ended before B began, X ⊆ Y. An append that ended before A began left its entry on a replica
//! of A's quorum, so it is in X. If the append of e ended before that of f began and f is in X, then p in
//! both e's and A's quorum held exactly X, with f, at a moment after f began, when it already had e: e is
//! in X. So reads ordered by inclusion, with each append in front of the first read that has its entry,
//! is a legal order that respects real time.
//!
//! A round fails only if an entry arrived during it; how many rounds a read may take is bounded.
//!
//! # Request ids
//! An entry is named by its request id, so a retry adds nothing. A replica remembers with each request
//! id of a summary the version it led to; a retry, at any node whose read quorum hears of it, goes on with
//! that version instead of issuing another.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use ordeal_kit::Id;
use serde::{Deserialize, Serialize};

/// How many nodes there are, and how many of them make a quorum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quorums {
    /// N.
    pub(crate) nodes: usize,
    /// R.
    pub(crate) read: usize,
    /// W.
    pub(crate) write: usize,
}

/// Quorums that do not keep the promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum QuorumError {
    /// A quorum that no cluster of this size can muster, or of nobody.
    #[error("quorums have 1 to {} nodes; R is {}, W is {}", .0.nodes, .0.read, .0.write)]
    Size(Quorums),
    /// A read could miss a write.
    #[error("R + W must be more than N: {} + {} is not more than {}", .0.read, .0.write, .0.nodes)]
    ReadMissesWrite(Quorums),
    /// Two writes could miss each other.
    #[error("2W must be more than N: 2 * {} is not more than {}", .0.write, .0.nodes)]
    WritesMiss(Quorums),
}

impl Quorums {
    /// Whether every read quorum meets every write quorum, and any two write quorums meet.
    pub(crate) fn check(self) -> Result<(), QuorumError> {
        let size = 1..=self.nodes;
        if !size.contains(&self.read) || !size.contains(&self.write) {
            return Err(QuorumError::Size(self));
        }
        if self.read + self.write <= self.nodes {
            return Err(QuorumError::ReadMissesWrite(self));
        }
        if 2 * self.write <= self.nodes {
            return Err(QuorumError::WritesMiss(self));
        }
        Ok(())
    }
}

/// When a summary was written, relative to others. The derived order is the protocol's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Version {
    pub(crate) counter: u64,
    /// Who issued it: makes versions unique.
    pub(crate) node: String,
}

/// How replicas compare versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum VersionOrder {
    /// By counter, then by node: total.
    Total,
    /// By counter alone (bug `version-ties`).
    CounterOnly,
}

impl VersionOrder {
    pub(crate) fn compare(self, a: &Version, b: &Version) -> Ordering {
        match self {
            VersionOrder::Total => a.cmp(b),
            VersionOrder::CounterOnly => a.counter.cmp(&b.counter),
        }
    }

    /// Whether a replica replaces what it holds by what it is offered.
    pub(crate) fn replaces(self, offered: &Cell, held: Option<&Cell>) -> bool {
        held.is_none_or(|held| self.compare(&offered.version, &held.version).is_gt())
    }
}

/// A summary and where it came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cell {
    pub(crate) version: Version,
    pub(crate) request_id: Id,
    pub(crate) text: String,
}

/// What a replica holds of a patient's summary.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Register {
    /// The newest summary.
    pub(crate) cell: Option<Cell>,
    /// The summary that the request id asked about led to, if this replica ever held it.
    pub(crate) known: Option<Cell>,
}

/// What an entry is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    History,
    Lab,
    Prescription,
}

/// One entry of a patient's record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) kind: Kind,
    pub(crate) text: String,
}

/// A patient's entries by request id.
pub(crate) type Entries = BTreeMap<Id, Entry>;

/// Whether a replica takes the entry it is offered. One request id with two contents is a client's
/// mistake; all replicas then settle on the lesser, so that merging stays a join.
pub(crate) fn takes(held: Option<&Entry>, offered: &Entry) -> bool {
    held.is_none_or(|held| offered < held)
}

/// Merges into `held`; says whether that changed it.
pub(crate) fn merge(held: &mut Entries, offered: &Entries) -> bool {
    let mut changed = false;
    for (id, entry) in offered {
        if takes(held.get(id), entry) {
            held.insert(id.clone(), entry.clone());
            changed = true;
        }
    }
    changed
}

/// What of `full` a replica that holds `held` would take.
pub(crate) fn missing(full: &Entries, held: &Entries) -> Entries {
    let lacking = full.iter().filter(|(id, entry)| takes(held.get(*id), entry));
    lacking.map(|(id, entry)| (id.clone(), entry.clone())).collect()
}

/// Something to be stored by every replica.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Update {
    /// A version of the patient's summary.
    Summary { patient: Id, cell: Cell },
    /// Some of the patient's entries.
    Entries { patient: Id, entries: Entries },
}

/// Answers as they come in, one a node.
#[derive(Debug)]
pub(crate) struct Round<T> {
    need: usize,
    open: Vec<bool>,
    answers: Vec<(usize, T)>,
}

/// Where a round stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// More answers are needed and may come.
    Wait,
    /// Enough nodes have answered.
    Enough,
    /// Too many have failed.
    Hopeless,
}

impl<T> Round<T> {
    /// A round that needs `need` of `nodes` answers.
    pub(crate) fn new(nodes: usize, need: usize) -> Self {
        Round { need, open: vec![true; nodes], answers: Vec::with_capacity(nodes) }
    }

    /// An answer. A second one of the same node is not counted.
    pub(crate) fn answer(&mut self, node: usize, answer: T) -> Step {
        if std::mem::take(&mut self.open[node]) {
            self.answers.push((node, answer));
        }
        self.step()
    }

    /// This node will not answer.
    pub(crate) fn fail(&mut self, node: usize) -> Step {
        self.open[node] = false;
        self.step()
    }

    /// Where the round stands.
    pub(crate) fn step(&self) -> Step {
        let open = self.open.iter().filter(|open| **open).count();
        if self.answers.len() >= self.need {
            Step::Enough
        } else if self.answers.len() + open < self.need {
            Step::Hopeless
        } else {
            Step::Wait
        }
    }

    /// Whether the node neither answered nor failed yet.
    pub(crate) fn is_open(&self, node: usize) -> bool {
        self.open[node]
    }

    /// The answers, and the nodes they came from.
    pub(crate) fn into_answers(self) -> Vec<(usize, T)> {
        self.answers
    }
}

/// What to do after the first round of a summary's write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PutPlan {
    /// Issue a version with a counter larger than this.
    Issue { floor: u64 },
    /// The request has a version already: bring that to a quorum.
    Resume(Cell),
    /// The request id was used for another text.
    Conflict,
}

/// Decides on a write from the first round's answers.
pub(crate) fn plan_put(answers: &[(usize, Register)], text: &str) -> PutPlan {
    let known = answers.iter().filter_map(|(_, register)| register.known.as_ref());
    if let Some(cell) = known.max_by(|a, b| a.version.cmp(&b.version)) {
        if cell.text != text {
            return PutPlan::Conflict;
        }
        return PutPlan::Resume(cell.clone());
    }
    let cells = answers.iter().filter_map(|(_, register)| register.cell.as_ref());
    PutPlan::Issue { floor: cells.map(|cell| cell.version.counter).max().unwrap_or(0) }
}

/// What to do after the first round of a summary's read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RegisterRead {
    /// Answer this.
    Settled(Option<Cell>),
    /// Bring this to a write quorum before answering it; these nodes have it.
    WriteBack { cell: Cell, holders: Vec<usize> },
}

/// The newest cell among the answers; of equals, the first heard.
pub(crate) fn newest(order: VersionOrder, answers: &[(usize, Register)]) -> Option<&Cell> {
    let cells = answers.iter().filter_map(|(_, register)| register.cell.as_ref());
    cells.reduce(|best, cell| if order.replaces(cell, Some(best)) { cell } else { best })
}

/// Decides on a read from the answers of a read quorum.
pub(crate) fn read_register(
    order: VersionOrder,
    answers: &[(usize, Register)],
    write_quorum: usize,
) -> RegisterRead {
    let Some(cell) = newest(order, answers) else {
        return RegisterRead::Settled(None);
    };
    let holders: Vec<usize> = answers
        .iter()
        .filter(|(_, register)| register.cell.as_ref().is_some_and(|held| !order.replaces(cell, Some(held))))
        .map(|(node, _)| *node)
        .collect();
    if holders.len() >= write_quorum {
        return RegisterRead::Settled(Some(cell.clone()));
    }
    RegisterRead::WriteBack { cell: cell.clone(), holders }
}

/// What to do after a round of a read of the entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SetRead {
    /// Answer this.
    Settled(Arc<Entries>),
    /// Propose this to all.
    Propose(Arc<Entries>),
}

/// The union of the answers.
pub(crate) fn union(answers: &[(usize, Arc<Entries>)]) -> Arc<Entries> {
    let mut union: Arc<Entries> = Arc::default();
    for (_, set) in answers {
        if union.is_empty() {
            union = Arc::clone(set);
        } else if union != *set {
            merge(Arc::make_mut(&mut union), set);
        }
    }
    union
}

/// Decides on a read from a round's answers, each a replica's whole set at one moment of the read.
pub(crate) fn read_set(answers: &[(usize, Arc<Entries>)], write_quorum: usize) -> SetRead {
    let union = union(answers);
    let agreed = answers.iter().filter(|(_, set)| *set == union).count();
    if agreed >= write_quorum { SetRead::Settled(union) } else { SetRead::Propose(union) }
}

#[cfg(test)]
mod tests;
