//! The search in breadth: all configurations at once, event by event.
//!
//! Slots are used again when an operation has ended, so memory follows how many operations run at once,
//! not how many there are. The order itself is kept in chains that are cut down to what the present
//! configurations have placed; if memory runs short, the order is given up and the search goes on.

use std::collections::BTreeSet;

use ordeal_core::Model;

use super::bits::Bits;
use super::budget::{Meter, Stop};
use super::engine::{Child, Config, Engine, Mood, Placed};
use super::hash::NONE;
use super::order::{Links, order};
use super::problem::{Kind, Problem};
use super::search::{Outcome, Refutation, STATES_KEPT};
use super::seen::{Node, Seen};

/// Of how many nodes the order is told to find the longest.
const TOLD: usize = 4;

/// A configuration of the frontier, and what it has placed.
#[derive(Clone)]
struct Front<B> {
    config: Config<B>,
    chain: u32,
}

/// The search at one event.
pub(super) struct Frontier<'a, M: Model, B> {
    engine: Engine<'a, M, B>,
    front: Vec<Front<B>>,
    /// Emptied at every event.
    seen: Seen<B>,
    /// From which configuration of the frontier each of the first nodes comes.
    roots: Vec<u32>,
    /// `None` once given up.
    links: Option<Links>,
    meter: Meter<'a>,
    /// Nodes that wait to be expanded: those that used fewer open calls first, since they can dominate.
    waiting: Vec<Vec<u32>>,
    children: Vec<Child<B>>,
    pub(super) ended: usize,
}

impl<'a, M: Model, B: Bits> Frontier<'a, M, B> {
    pub(super) fn new(problem: &'a Problem<'a, M>, meter: Meter<'a>) -> Self {
        let mut engine = Engine::new(problem);
        let config = engine.first();
        Frontier {
            engine,
            front: vec![Front { config, chain: NONE }],
            seen: Seen::new(),
            roots: Vec::new(),
            links: Some(Links::new()),
            meter,
            waiting: Vec::new(),
            children: Vec::new(),
            ended: 0,
        }
    }

    pub(super) fn explored(&self) -> u64 {
        self.meter.explored
    }

    /// Goes on until there is an answer, or until so many configurations have been explored in all: then
    /// `None`, and it can be called again.
    pub(super) fn run(&mut self, patience: u64) -> Option<Outcome<M::State>> {
        let problem = self.engine.problem;
        // Tiny histories are judged against the limits too.
        if let Err(stop) = self.look() {
            return Some(self.undecided(stop));
        }
        while let Some(&event) = problem.events.get(self.engine.board.next) {
            if !event.is_end {
                self.engine.board.forward(problem);
                if event.slot != NONE && matches!(problem.entries[event.entry as usize].kind, Kind::Reads(_))
                {
                    for front in &mut self.front {
                        if self.engine.is_answered(front.config.state, event.entry) {
                            front.config.good.insert(event.slot);
                        }
                    }
                }
                continue;
            }
            match self.end(event.entry, event.slot, patience) {
                Ok(None) => {}
                Ok(Some(refutation)) => return Some(Outcome::Illegal(refutation)),
                Err(None) => return None,
                Err(Some(stop)) => return Some(self.undecided(stop)),
            }
        }
        Some(Outcome::Legal(self.order()))
    }

    fn undecided(&self, why: Stop) -> Outcome<M::State> {
        Outcome::Undecided { why, ended: self.ended, of: self.engine.problem.ends }
    }

    fn order(&self) -> Option<Vec<u32>> {
        let chain = self.links.as_ref()?.chain(self.front.first()?.chain);
        order::<M, B>(self.engine.problem, &chain)
    }

    /// Makes sure that the entry has taken effect in every configuration. `Ok(Some)` if it cannot have;
    /// `Err(None)` if the search ran out of patience.
    fn end(
        &mut self,
        entry: u32,
        slot: u32,
        patience: u64,
    ) -> Result<Option<Refutation<M::State>>, Option<Stop>> {
        let is_read = self.engine.board.readers.has(slot);
        let is_done = |c: &Config<B>| c.placed.has(slot) || is_read && c.good.has(slot);
        if !self.front.iter().all(|front| is_done(&front.config)) {
            self.close(entry, slot, patience)?;
            let done = |n: &&Node<B>| !n.dead && is_done(&n.config);
            if !self.seen.nodes.iter().any(|n| done(&n)) {
                if !self.engine.climbs {
                    return Ok(Some(self.refute(entry)));
                }
                // Some other operation may be to blame that has not ended yet: look without that rule.
                self.engine.climbs = false;
                return self.end(entry, slot, patience);
            }
            self.advance(slot, is_read);
        }
        for front in &mut self.front {
            front.config.placed.remove(slot);
            front.config.good.remove(slot);
        }
        self.ended += 1;
        self.engine.board.forward(self.engine.problem);
        self.tidy();
        Ok(None)
    }

    /// Extends the frontier by every sequence of calls that ends with the one in `slot`.
    fn close(&mut self, entry: u32, slot: u32, patience: u64) -> Result<(), Option<Stop>> {
        self.seen.clear();
        self.waiting.iter_mut().for_each(Vec::clear);
        let some_state = self.front.first().map_or(0, |f| f.config.state);
        self.engine.prepare(some_state);
        let is_read = self.engine.board.readers.has(slot);
        self.roots.clear();
        for at in 0..self.front.len() {
            let config = self.front[at].config.clone();
            let done = config.placed.has(slot) || is_read && config.good.has(slot);
            let covered = !is_read && config.good.has(slot);
            if covered {
                let mut hidden = config.clone();
                hidden.placed.insert(slot);
                hidden.good.remove(slot);
                self.offer(Node::new(hidden, 0, NONE, Placed::hidden(entry), Mood::Free), true);
            }
            self.offer(Node::new(config, 0, NONE, Placed::NOTHING, Mood::Free), done);
            self.roots.resize(self.seen.nodes.len(), at as u32);
        }
        let mut lowest = 0;
        while let Some(level) = self.waiting.get_mut(lowest) {
            let Some(at) = level.pop() else {
                lowest += 1;
                continue;
            };
            if self.seen.nodes[at as usize].dead {
                continue;
            }
            if self.meter.explored >= patience {
                return Err(None);
            }
            let bytes = self.bytes();
            if let Err(stop) = self.meter.spend(bytes) {
                self.make_room(stop).map_err(Some)?;
            }
            let node = &self.seen.nodes[at as usize];
            let mut children = std::mem::take(&mut self.children);
            self.engine.expand(&node.config, node.mood, slot, &mut children);
            for child in children.drain(..) {
                let reads_done = is_read && child.config.good.has(slot);
                let node = Node::new(child.config, 0, at, child.placed, child.mood);
                self.offer(node, child.done || reads_done);
            }
            self.children = children;
        }
        Ok(())
    }

    fn offer(&mut self, node: Node<B>, done: bool) {
        let used = self.engine.uses.total(node.config.used);
        let Some(number) = self.seen.offer(node, &self.engine.uses) else {
            return;
        };
        if !done {
            if self.waiting.len() <= used {
                self.waiting.resize_with(used + 1, Vec::new);
            }
            self.waiting[used].push(number);
        }
    }

    /// Takes those nodes of the closure for the frontier in which the operation in `slot` has taken effect.
    fn advance(&mut self, slot: u32, is_read: bool) {
        let mut front = Vec::with_capacity(self.front.len());
        for (at, node) in (0_u32..).zip(&self.seen.nodes) {
            let done = node.config.placed.has(slot) || is_read && node.config.good.has(slot);
            if node.dead || !done {
                continue;
            }
            let mut chain = NONE;
            if let Some(links) = &mut self.links {
                let (root, way) = self.seen.way(at);
                let from = self.front[self.roots[root as usize] as usize].chain;
                chain = way.into_iter().fold(from, |chain, placed| links.longer(chain, placed));
            }
            front.push(Front { config: node.config.clone(), chain });
        }
        self.front = front;
    }

    fn bytes(&self) -> usize {
        self.seen.bytes()
            + self.engine.bytes()
            + self.links.as_ref().map_or(0, Links::bytes)
            + self.front.capacity() * size_of::<Front<B>>()
            + self.children.capacity() * size_of::<Child<B>>()
            + self.waiting.iter().map(|w| w.capacity() * 4).sum::<usize>()
    }

    fn look(&mut self) -> Result<(), Stop> {
        let bytes = self.bytes();
        self.meter.look(bytes).or_else(|stop| self.make_room(stop))
    }

    /// Gives up the order if memory is short.
    fn make_room(&mut self, stop: Stop) -> Result<(), Stop> {
        if stop != Stop::Memory || self.links.take().is_none() {
            return Err(stop);
        }
        let bytes = self.bytes();
        self.meter.look(bytes)
    }

    /// Forgets what no configuration needs any more.
    fn tidy(&mut self) {
        let engine = &mut self.engine;
        if engine.states.len() > 1024 && engine.states.len() > 8 * self.front.len() {
            let renamed = engine.states.keep_only(self.front.iter().map(|f| f.config.state));
            self.front.iter_mut().for_each(|f| f.config.state = renamed[f.config.state as usize]);
            engine.renumbered();
        }
        if engine.uses.len() > 64 && engine.uses.len() > 4 * self.front.len() {
            let (common, renamed) = engine.uses.keep_only(self.front.iter().map(|f| f.config.used));
            self.front.iter_mut().for_each(|f| f.config.used = renamed[f.config.used as usize]);
            common.into_iter().for_each(|(class, n)| engine.settled[class as usize] += n);
            engine.renumbered();
        }
        if let Some(links) = self.links.as_mut().filter(|links| links.is_worth_tidying()) {
            links.tidy(self.front.iter_mut().map(|front| &mut front.chain));
        }
    }

    /// Why the entry cannot have taken effect: the nodes of the closure tell.
    fn refute(&self, entry: u32) -> Refutation<M::State> {
        let states: BTreeSet<u32> = self.seen.nodes.iter().map(|n| n.config.state).collect();
        let longest = self.links.as_ref().and_then(|links| {
            let order_of = |at: u32| {
                let (root, way) = self.seen.way(at);
                let mut placed = links.chain(self.front[self.roots[root as usize] as usize].chain);
                placed.extend(way);
                order::<M, B>(self.engine.problem, &placed)
            };
            let nodes = 0..self.seen.nodes.len() as u32;
            // The newest nodes have placed the most; telling the order of each would take too long.
            nodes.rev().take(TOLD).filter_map(order_of).max_by_key(Vec::len)
        });
        Refutation {
            at: self.engine.problem.entries[entry as usize].at,
            states: states.iter().take(STATES_KEPT).map(|&s| self.engine.states.get(s).clone()).collect(),
            states_total: states.len(),
            prefix: longest,
        }
    }
}
