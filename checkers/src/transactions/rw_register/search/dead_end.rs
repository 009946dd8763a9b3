//! What a dead end teaches.

use std::collections::HashMap;

use super::super::super::graph::Kind;
use super::super::super::versions::NONE;
use super::{Reason, Refutation, Search};

/// How many circles by one open question are looked for before a question with several is taken.
const SOURCES: usize = 64;
const READERS: usize = 8;

/// One node is known to come before another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Link {
    pub(in super::super) from: u32,
    pub(in super::super) to: u32,
    pub(in super::super) why: Why,
}

/// Why it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Why {
    /// It was known from the beginning; with the version, if `to` read what `from` wrote.
    Known(Kind, u32),
    /// `from` reads this version, and `to` overwrites it, as it is known to come later.
    Overwrites(u32),
    /// By what was learned under this number.
    Learned(u32),
}

/// All unplaced nodes that are known to come before one of them.
struct Ancestors {
    /// How each leads on to that one.
    via: HashMap<u32, Link>,
    /// Those that wait for nothing that is known to come before them.
    sources: Vec<u32>,
}

/// A transaction waits for a reader of a version that it would overwrite.
#[derive(Clone, Copy)]
struct Waiting {
    txn: u32,
    version: u32,
    reader: u32,
}

impl Search<'_> {
    /// Learns from a dead end. A refutation, if nothing is left to try.
    pub(super) fn resolve(&mut self) -> Option<Box<Refutation>> {
        while self.by_start.get(self.cursor).is_some_and(|&t| self.is_placed(t)) {
            self.cursor += 1;
        }
        let unplaced = self.by_start.get(self.cursor).copied();
        let mut at = unplaced.or_else(|| self.problem.nodes().find(|&node| !self.is_placed(node)))?;
        let mut chain: Vec<Waiting> = Vec::new();
        loop {
            let ancestors = self.ancestors(at, None);
            if ancestors.sources.is_empty() {
                return self.refute(at);
            }
            // What need not wait any longer was only overlooked.
            if let Some(&node) = ancestors.sources.iter().find(|&&node| self.obstacle(node).is_none()) {
                self.wait(node);
                return None;
            }
            for &source in ancestors.sources.iter().take(SOURCES) {
                if let Some((waiting, way)) = self.caught(source) {
                    let version = waiting.version;
                    let writer = self.problem.writer(version);
                    let reason = Reason::Between { version, way };
                    let rests_on = self.foundation(reason.learned());
                    self.learn(source, writer, reason, rests_on);
                    return None;
                }
            }
            let waiting = ancestors.sources.iter().find_map(|&source| self.waiting(source).next())?;
            if let Some(begin) = chain.iter().position(|before| before.txn == waiting.txn) {
                // The one whose writer was placed last costs least to try.
                let since = |w: &&Waiting| self.place[self.problem.writer(w.version) as usize];
                let tried = *chain[begin..].iter().max_by_key(since)?;
                self.choose(tried.txn, tried.version);
                return None;
            }
            chain.push(waiting);
            at = waiting.reader;
        }
    }

    /// Why a transaction that nothing known keeps back waits.
    fn waiting(&self, txn: u32) -> impl Iterator<Item = Waiting> + '_ {
        self.problem.writes(txn).iter().flat_map(move |&written| {
            let version = self.current[self.problem.key(written) as usize];
            self.pending_readers(version, txn).map(move |reader| Waiting { txn, version, reader })
        })
    }

    fn pending_readers(&self, version: u32, but: u32) -> impl Iterator<Item = u32> + '_ {
        let some = self.pending[version as usize] > 0;
        let readers = if some { self.problem.readers(version) } else { &[] };
        readers.iter().copied().filter(move |&reader| reader != but && !self.is_placed(reader))
    }

    /// A reader that the transaction waits for, though it is known to come after it; and how.
    fn caught(&self, txn: u32) -> Option<(Waiting, Vec<Link>)> {
        self.waiting(txn).take(READERS).find_map(|waiting| {
            let ancestors = self.ancestors(waiting.reader, Some(txn));
            let mut way = Vec::new();
            let mut at = txn;
            while at != waiting.reader {
                let link = ancestors.via.get(&at)?;
                way.push(*link);
                at = link.to;
            }
            Some((waiting, way))
        })
    }

    /// All unplaced nodes known to come before this one, itself among the sources if there are none; or
    /// enough of them to tell how `until` is.
    fn ancestors(&self, of: u32, until: Option<u32>) -> Ancestors {
        let mut found = Ancestors { via: HashMap::new(), sources: Vec::new() };
        let mut work = vec![of];
        while let Some(node) = work.pop() {
            let mut source = true;
            self.known_before(node, |link| {
                source = false;
                if link.from != of && !found.via.contains_key(&link.from) {
                    found.via.insert(link.from, link);
                    work.push(link.from);
                }
            });
            if source {
                found.sources.push(node);
            }
            if until.is_some_and(|until| found.via.contains_key(&until)) {
                break;
            }
        }
        found
    }

    /// Shows each unplaced node that is known to come before this one.
    fn known_before(&self, node: u32, mut visit: impl FnMut(Link)) {
        let problem = self.problem;
        for edge in problem.before.out(node).filter(|e| !self.is_placed(e.to)) {
            visit(Link { from: edge.to, to: node, why: Why::Known(edge.kind, edge.label) });
        }
        let mut at = self.first_in[node as usize];
        while let Some(edge) = self.learned.get(at as usize) {
            if !self.is_placed(edge.from) {
                visit(Link { from: edge.from, to: node, why: Why::Learned(at) });
            }
            at = edge.next_in;
        }
        for &written in problem.writes(node) {
            let key = problem.key(written);
            // Whoever reads what was there from the beginning.
            for reader in self.pending_readers(key, node) {
                visit(Link { from: reader, to: node, why: Why::Overwrites(key) });
            }
            // Whoever reads what the transaction itself read and overwrites.
            for &read in problem.reads(node) {
                if problem.key(read) == key && problem.writer(read) != NONE {
                    for reader in self.pending_readers(read, node) {
                        visit(Link { from: reader, to: node, why: Why::Overwrites(read) });
                    }
                }
            }
        }
    }

    /// Everything before this node waits for what is known to come before it: so some do in a circle.
    fn refute(&mut self, node: u32) -> Option<Box<Refutation>> {
        let mut path: Vec<Link> = Vec::new();
        let mut step: HashMap<u32, usize> = HashMap::new();
        let mut at = node;
        while !step.contains_key(&at) {
            step.insert(at, path.len());
            let mut before = None;
            self.known_before(at, |link| {
                before.get_or_insert(link);
            });
            let link = before?;
            path.push(link);
            at = link.from;
        }
        let begin = step.get(&at).copied().unwrap_or(0);
        let mut cycle = path.split_off(begin);
        cycle.reverse();
        let choices = self.foundation(cycle.iter().filter_map(Link::learned));
        if choices.is_empty() {
            return Some(Box::new(Refutation { cycle, learned: std::mem::take(&mut self.learned) }));
        }
        self.contrary(choices);
        None
    }
}
