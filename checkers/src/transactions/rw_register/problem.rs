//! What there is to put in order, and what is known of the order beforehand.

use super::super::Level;
use super::super::graph::{Edge, Graph, Kind};
use super::super::order::{imposed, real_time};
use super::super::versions::{NONE, Raw, Rows, Versions};

/// Transactions, the instants between them, and what must come before what whatever else is so.
pub(super) struct Problem<'a> {
    pub(super) raw: &'a Raw,
    versions: &'a Versions,
    /// Reads-from, and what the level imposes.
    pub(super) after: Graph,
    /// The same edges, backwards: they lead from the later to the earlier.
    pub(super) before: Graph,
    /// The versions that each transaction reads of others, and the transactions that read each version.
    reads: Rows,
    readers: Rows,
}

impl<'a> Problem<'a> {
    /// With `late`, transactions moreover keep to real time but for so much, whether or not they must.
    pub(super) fn new(raw: &'a Raw, versions: &'a Versions, level: Level, late: Option<u64>) -> Self {
        let took_effect = |t: usize| versions.took_effect[t];
        let mut imposed = imposed(level, &raw.txns, took_effect);
        if let Some(late) = late {
            let time = real_time(&raw.txns, late, took_effect);
            imposed.instants = time.instants;
            imposed.edges.extend(time.edges);
        }
        let imposed_as = if level == Level::Strict { Kind::RealTime } else { Kind::Process };
        let nodes = raw.txns.len() + imposed.instants;
        let reads = versions.reads.distinct();
        let each = |emit: &mut dyn FnMut(Edge)| {
            for &(from, to) in &imposed.edges {
                emit(Edge { from, to, kind: imposed_as, label: 0 });
            }
            for txn in 0..raw.txns.len() as u32 {
                for &version in reads.of(txn) {
                    let writer = versions.writer[version as usize];
                    if writer != NONE {
                        emit(Edge { from: writer, to: txn, kind: Kind::Wr, label: version });
                    }
                }
            }
        };
        let after = Graph::build(nodes, each);
        let before = Graph::build(nodes, |emit| {
            each(&mut |edge| emit(Edge { from: edge.to, to: edge.from, ..edge }));
        });
        let pairs = (0..raw.txns.len() as u32)
            .flat_map(|txn| reads.of(txn).iter().map(move |&version| (version, txn)));
        let readers = Rows::grouped(versions.key.len(), pairs);
        Problem { raw, versions, after, before, reads, readers }
    }

    pub(super) fn txns(&self) -> usize {
        self.raw.txns.len()
    }

    /// Every node that must be placed: transactions that took effect, and instants.
    pub(super) fn nodes(&self) -> impl Iterator<Item = u32> {
        (0..self.after.nodes() as u32).filter(|&node| self.must_be_placed(node))
    }

    pub(super) fn must_be_placed(&self, node: u32) -> bool {
        self.versions.took_effect.get(node as usize).copied().unwrap_or(true)
    }

    pub(super) fn is_txn(&self, node: u32) -> bool {
        (node as usize) < self.txns()
    }

    /// What a node reads of others; an instant reads nothing.
    pub(super) fn reads(&self, node: u32) -> &[u32] {
        if self.is_txn(node) { self.reads.of(node) } else { &[] }
    }

    pub(super) fn writes(&self, node: u32) -> &[u32] {
        if self.is_txn(node) { self.versions.writes.of(node) } else { &[] }
    }

    pub(super) fn readers(&self, version: u32) -> &[u32] {
        self.readers.of(version)
    }

    pub(super) fn key(&self, version: u32) -> u32 {
        self.versions.key[version as usize]
    }

    /// Who wrote a version; `NONE` if it was there from the beginning.
    pub(super) fn writer(&self, version: u32) -> u32 {
        self.versions.writer[version as usize]
    }

    pub(super) fn keys(&self) -> usize {
        self.raw.keys.len()
    }

    pub(super) fn versions(&self) -> usize {
        self.versions.key.len()
    }

    /// What is placed first among what can be: whatever writes nothing, for it can only help; then what
    /// ended first.
    pub(super) fn urgency(&self, node: u32) -> u64 {
        match self.raw.txns.get(node as usize) {
            Some(txn) if !self.writes(node).is_empty() => txn.end.saturating_add(1),
            _ => 0,
        }
    }
}
