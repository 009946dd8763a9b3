//! Putting transactions in order, by executing them one after another and learning from dead ends.
//!
//! A node can be placed when everything known to come before it has been, and when no transaction still has
//! to read a value that it would overwrite. So every read of a placed transaction is right, always. A
//! transaction that writes nothing is placed as soon as it can be: that never hinders anything.
//!
//! In a dead end every transaction left waits for others: for some because they are known to come before it,
//! or for a reader R of a version by W that it would overwrite. T waits for such an R only since W was
//! placed before T. If R is itself known to come after T, then T cannot stand between W and R, nor after R:
//! so T comes before W. That is learned, and everything since W is taken back. If transactions wait for one
//! another in a circle by what is known alone, there is no order. If several in a circle wait in the
//! other way, then one of them must come before its W, but it is open which: one is tried. Whatever is
//! learned remembers the choices it rests on. A contradiction rests on some, and the contrary of the last of
//! those follows from the others; choices that it does not rest on are not blamed for it. A contradiction
//! that rests on none proves that there is no order. So the search is complete, and what it learns are
//! necessary conditions.
//!
//! Where W is known to come before T anyway (T read W's value itself, or it was there from the beginning),
//! T is known to come after R.

mod dead_end;
mod learned;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

use super::super::versions::NONE;
use super::problem::Problem;
pub(super) use dead_end::{Link, Why};
use learned::Choice;
pub(super) use learned::{Learned, Reason};

/// How many placements pass between looks at the clock.
const CLOCK_EVERY: u64 = 1 << 12;

/// Where a node waits, if not for something known to come before it; other numbers are keys it would write,
/// plus the number of special places.
const NOWHERE: u32 = 0;
const READY: u32 = 1;
const KEYS: u32 = 2;

/// Why there is no order.
#[derive(Clone, Debug)]
pub(super) struct Refutation {
    /// Nodes that come before one another in a circle.
    pub(super) cycle: Vec<Link>,
    /// What had been learned by then.
    pub(super) learned: Vec<Learned>,
}

/// How a search ended.
pub(super) enum Outcome {
    Order(Vec<u32>),
    Impossible(Box<Refutation>),
    GaveUp,
}

/// What a search may use.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) deadline: Option<Instant>,
    pub(super) dead_ends: u64,
    pub(super) learned: usize,
}

/// A search at work.
pub(super) struct Search<'a> {
    problem: &'a Problem<'a>,
    limits: Limits,
    /// How many nodes known to come before each one have not been placed.
    unmet: Vec<u32>,
    /// Where in the trail each node is, if it has been placed.
    place: Vec<u32>,
    trail: Vec<u32>,
    total: usize,
    /// The version of each key now, and those that were overwritten, the last one last.
    current: Vec<u32>,
    overwritten: Vec<u32>,
    /// Of each version: how many transactions still have to read it, and their numbers combined by
    /// exclusive or, which is the number of the last one.
    pending: Vec<u32>,
    pending_xor: Vec<u32>,
    ready: BinaryHeap<Reverse<(u64, u32)>>,
    /// Of each key: who waits to write it. Entries may be out of date; `waits` is what counts.
    blocked: Vec<BinaryHeap<Reverse<(u64, u32)>>>,
    waits: Vec<u32>,
    learned: Vec<Learned>,
    first_out: Vec<u32>,
    first_in: Vec<u32>,
    choices: Vec<Choice>,
    /// All transactions to be placed, by their beginning, and how many of those first are placed for sure.
    by_start: Vec<u32>,
    rank: Vec<u32>,
    cursor: usize,
    pub(super) dead_ends: u64,
    pub(super) choices_made: u64,
}

impl<'a> Search<'a> {
    pub(super) fn new(problem: &'a Problem<'a>, limits: Limits) -> Self {
        let nodes = problem.after.nodes();
        let mut unmet = vec![0; nodes];
        let mut by_start: Vec<u32> = Vec::new();
        for node in problem.nodes() {
            problem.after.out(node).for_each(|edge| unmet[edge.to as usize] += 1);
            if problem.is_txn(node) {
                by_start.push(node);
            }
        }
        by_start.sort_by_key(|&t| problem.raw.txns[t as usize].start);
        let mut rank = vec![0; problem.txns()];
        for (i, &t) in (0_u32..).zip(&by_start) {
            rank[t as usize] = i;
        }
        let mut search = Search {
            problem,
            limits,
            unmet,
            place: vec![NONE; nodes],
            trail: Vec::with_capacity(nodes),
            total: problem.nodes().count(),
            current: (0..problem.keys() as u32).collect(),
            overwritten: Vec::new(),
            pending: vec![0; problem.versions()],
            pending_xor: vec![0; problem.versions()],
            ready: BinaryHeap::new(),
            blocked: vec![BinaryHeap::new(); problem.keys()],
            waits: vec![NOWHERE; nodes],
            learned: Vec::new(),
            first_out: vec![NONE; nodes],
            first_in: vec![NONE; nodes],
            choices: Vec::new(),
            by_start,
            rank,
            cursor: 0,
            dead_ends: 0,
            choices_made: 0,
        };
        for node in problem.nodes() {
            for &version in problem.reads(node) {
                search.pending[version as usize] += 1;
                search.pending_xor[version as usize] ^= node;
            }
        }
        problem.nodes().for_each(|node| search.wait(node));
        search
    }

    /// Searches to the end.
    pub(super) fn run(&mut self) -> Outcome {
        let mut steps = 0_u64;
        let limits = self.limits;
        let late = || limits.deadline.is_some_and(|deadline| Instant::now() >= deadline);
        loop {
            steps += 1;
            if steps.is_multiple_of(CLOCK_EVERY) && late() {
                return Outcome::GaveUp;
            }
            if let Some(node) = self.next() {
                self.put(node);
            } else if self.trail.len() == self.total {
                let txns = self.trail.iter().copied().filter(|&node| self.problem.is_txn(node));
                return Outcome::Order(txns.collect());
            } else {
                self.dead_ends += 1;
                let full = self.dead_ends > limits.dead_ends || self.learned.len() > limits.learned;
                if full || late() {
                    return Outcome::GaveUp;
                }
                if let Some(refutation) = self.resolve() {
                    return Outcome::Impossible(refutation);
                }
            }
        }
    }

    fn is_placed(&self, node: u32) -> bool {
        self.place[node as usize] != NONE
    }

    /// Whether the transaction reads this version.
    fn reads(&self, node: u32, version: u32) -> bool {
        self.problem.reads(node).contains(&version)
    }

    /// A key that the node would write while others still have to read its present version.
    fn obstacle(&self, node: u32) -> Option<u32> {
        self.problem.writes(node).iter().map(|&v| self.problem.key(v)).find(|&key| {
            let version = self.current[key as usize];
            match self.pending[version as usize] {
                0 => false,
                1 => !self.reads(node, version),
                _ => true,
            }
        })
    }

    /// Puts a node where it waits from now on.
    fn wait(&mut self, node: u32) {
        if self.unmet[node as usize] > 0 || self.is_placed(node) {
            self.waits[node as usize] = NOWHERE;
            return;
        }
        let entry = Reverse((self.problem.urgency(node), node));
        match self.obstacle(node) {
            None => {
                self.waits[node as usize] = READY;
                self.ready.push(entry);
            }
            Some(key) => {
                self.waits[node as usize] = KEYS + key;
                self.blocked[key as usize].push(entry);
            }
        }
    }

    /// A node that can be placed.
    fn next(&mut self) -> Option<u32> {
        while let Some(Reverse((_, node))) = self.ready.pop() {
            if self.is_placed(node) || self.waits[node as usize] != READY {
                continue;
            }
            if self.obstacle(node).is_none() {
                return Some(node);
            }
            self.wait(node);
            // Others may have waited for this one to write first.
            for i in 0..self.problem.writes(node).len() {
                self.wake(self.problem.key(self.problem.writes(node)[i]));
            }
        }
        None
    }

    /// Looks whether somebody who waits to write a key need wait no longer.
    fn wake(&mut self, key: u32) {
        let version = self.current[key as usize] as usize;
        match self.pending[version] {
            0 => {
                while let Some(Reverse((_, node))) = self.blocked[key as usize].pop() {
                    if self.waits[node as usize] == KEYS + key && !self.is_placed(node) {
                        self.wait(node);
                        if self.waits[node as usize] == READY {
                            return;
                        }
                    }
                }
            }
            1 => {
                let last = self.pending_xor[version];
                if self.waits[last as usize] == KEYS + key {
                    self.wait(last);
                }
            }
            _ => {}
        }
    }

    fn put(&mut self, node: u32) {
        self.place[node as usize] = self.trail.len() as u32;
        self.waits[node as usize] = NOWHERE;
        self.trail.push(node);
        let problem = self.problem;
        for &version in problem.reads(node) {
            self.pending[version as usize] -= 1;
            self.pending_xor[version as usize] ^= node;
        }
        for &version in problem.writes(node) {
            let current = &mut self.current[problem.key(version) as usize];
            self.overwritten.push(std::mem::replace(current, version));
        }
        for edge in problem.after.out(node) {
            self.met(edge.to);
        }
        let mut at = self.first_out[node as usize];
        while let Some(edge) = self.learned.get(at as usize) {
            let to = edge.to;
            at = edge.next_out;
            self.met(to);
        }
        for &version in problem.reads(node).iter().chain(problem.writes(node)) {
            self.wake(problem.key(version));
        }
    }

    fn met(&mut self, node: u32) {
        self.unmet[node as usize] -= 1;
        if self.unmet[node as usize] == 0 {
            self.wait(node);
        }
    }

    /// Takes back everything from this place in the trail on.
    fn take_back(&mut self, to: usize) {
        let problem = self.problem;
        let taken = self.trail.split_off(to);
        for &node in taken.iter().rev() {
            self.place[node as usize] = NONE;
            for edge in problem.after.out(node) {
                self.unmet[edge.to as usize] += 1;
                self.waits[edge.to as usize] = NOWHERE;
            }
            let mut at = self.first_out[node as usize];
            while let Some(edge) = self.learned.get(at as usize) {
                self.unmet[edge.to as usize] += 1;
                self.waits[edge.to as usize] = NOWHERE;
                at = edge.next_out;
            }
            for &version in problem.writes(node).iter().rev() {
                if let Some(before) = self.overwritten.pop() {
                    self.current[problem.key(version) as usize] = before;
                }
            }
            for &version in problem.reads(node) {
                self.pending[version as usize] += 1;
                self.pending_xor[version as usize] ^= node;
            }
            if let Some(&rank) = self.rank.get(node as usize) {
                self.cursor = self.cursor.min(rank as usize);
            }
        }
        for &node in &taken {
            self.wait(node);
            for &version in problem.reads(node).iter().chain(problem.writes(node)) {
                self.wake(problem.key(version));
            }
        }
    }
}
