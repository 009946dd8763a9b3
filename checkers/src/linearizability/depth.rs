//! The search in depth: one way on at a time, back where it ends (Wing & Gong 1993), with just-in-time
//! linearization and a memo of configurations (Lowe 2017).
//!
//! The memo knows the moment, the state, and what is placed of what runs at that moment; so what it needs
//! for each configuration follows how many operations run at once, though it keeps all it has met.

use std::collections::BTreeSet;

use ordeal_core::Model;

use super::bits::Bits;
use super::budget::{Meter, Stop};
use super::engine::{Child, Config, Engine, Mood, Placed};
use super::hash::NONE;
use super::order::order;
use super::problem::{Kind, Problem};
use super::search::{Outcome, Refutation, STATES_KEPT};
use super::seen::{Node, Seen};

/// What is to be tried.
enum Ahead<B> {
    /// To go on from a node.
    Expand(u32),
    /// To go past the event before which `from` was met, which this configuration allows.
    Pass { from: u32, config: Config<B>, placed: Placed },
}

/// The search.
pub(super) struct Depth<'a, M: Model, B> {
    engine: Engine<'a, M, B>,
    seen: Seen<B>,
    ahead: Vec<Ahead<B>>,
    meter: Meter<'a>,
    children: Vec<Child<B>>,
    /// The farthest event that could not be passed so far.
    farthest: usize,
    begun: bool,
}

impl<'a, M: Model, B: Bits> Depth<'a, M, B> {
    pub(super) fn new(problem: &'a Problem<'a, M>, meter: Meter<'a>) -> Self {
        let engine = Engine::new(problem);
        Depth {
            engine,
            seen: Seen::new(),
            ahead: Vec::new(),
            meter,
            children: Vec::new(),
            farthest: 0,
            begun: false,
        }
    }

    pub(super) fn explored(&self) -> u64 {
        self.meter.explored
    }

    /// Goes on until there is an answer, or until so many configurations have been explored in all: then
    /// `None`, and it can be called again.
    pub(super) fn run(&mut self, patience: u64) -> Option<Outcome<M::State>> {
        let bytes = self.bytes();
        let outcome = self.meter.look(bytes).and_then(|()| self.search(patience));
        outcome.unwrap_or_else(|why| {
            let events = &self.engine.problem.events[..self.farthest];
            let ended = events.iter().filter(|e| e.is_end).count();
            Some(Outcome::Undecided { why, ended, of: self.engine.problem.ends })
        })
    }

    fn search(&mut self, patience: u64) -> Result<Option<Outcome<M::State>>, Stop> {
        if !std::mem::replace(&mut self.begun, true) {
            let first = self.engine.first();
            if let Some(legal) = self.pass(NONE, first, Placed::NOTHING) {
                return Ok(Some(legal));
            }
        }
        while self.meter.explored < patience {
            match self.ahead.pop() {
                None => return Ok(Some(Outcome::Illegal(self.refute()))),
                Some(Ahead::Expand(at)) if self.seen.nodes[at as usize].dead => {}
                Some(Ahead::Expand(at)) => {
                    let bytes = self.bytes();
                    self.meter.spend(bytes)?;
                    self.expand(at);
                }
                Some(Ahead::Pass { from, config, placed }) => {
                    if let Some(legal) = self.pass(from, config, placed) {
                        return Ok(Some(legal));
                    }
                }
            }
        }
        Ok(None)
    }

    /// Lists every way to go on from a node, so that the nearest is tried first.
    fn expand(&mut self, at: u32) {
        let node = &self.seen.nodes[at as usize];
        let position = node.event as usize;
        self.engine.board.seek(self.engine.problem, position);
        self.engine.prepare(node.config.state);
        let event = self.engine.problem.events[position];
        let is_read = self.engine.board.readers.has(event.slot);
        let mut children = std::mem::take(&mut self.children);
        self.engine.expand(&node.config, node.mood, event.slot, &mut children);
        let hidden = (!is_read && node.mood == Mood::Free && node.config.good.has(event.slot)).then(|| {
            let config = node.config.clone();
            Ahead::Pass { from: at, config, placed: Placed::hidden(event.entry) }
        });
        for child in children.drain(..).rev() {
            if child.done || is_read && child.config.good.has(event.slot) {
                self.ahead.push(Ahead::Pass { from: at, config: child.config, placed: child.placed });
            } else {
                let node = Node::new(child.config, position, at, child.placed, child.mood);
                let number = self.seen.offer(node, &self.engine.uses);
                self.ahead.extend(number.map(Ahead::Expand));
            }
        }
        self.ahead.extend(hidden);
        self.children = children;
    }

    /// Goes on from a configuration in which the next end is explained to the first that is not; an answer
    /// if there is none.
    fn pass(&mut self, from: u32, mut config: Config<B>, placed: Placed) -> Option<Outcome<M::State>> {
        let problem = self.engine.problem;
        let mut position = 0;
        if from != NONE {
            position = self.seen.nodes[from as usize].event as usize;
            self.engine.board.seek(problem, position + 1);
            let slot = problem.events[position].slot;
            config.placed.remove(slot);
            config.good.remove(slot);
            position += 1;
        }
        while let Some(&event) = problem.events.get(position) {
            let reads = matches!(problem.entries[event.entry as usize].kind, Kind::Reads(_));
            if event.is_end {
                let answered = reads && config.good.has(event.slot);
                if !(answered || config.placed.has(event.slot)) {
                    break;
                }
                config.placed.remove(event.slot);
                config.good.remove(event.slot);
            } else if reads && event.slot != NONE && self.engine.is_answered(config.state, event.entry) {
                config.good.insert(event.slot);
            }
            position += 1;
            self.engine.board.seek(problem, position);
        }
        self.farthest = self.farthest.max(position);
        if position == problem.events.len() {
            let mut way = if from == NONE { Vec::new() } else { self.seen.way(from).1 };
            way.extend(Some(placed).filter(|&placed| placed != Placed::NOTHING));
            return Some(Outcome::Legal(order::<M, B>(problem, &way)));
        }
        let node = Node::new(config, position, from, placed, Mood::Free);
        let number = self.seen.offer(node, &self.engine.uses);
        self.ahead.extend(number.map(Ahead::Expand));
        None
    }

    fn bytes(&self) -> usize {
        self.seen.bytes()
            + self.engine.bytes()
            + self.ahead.capacity() * size_of::<Ahead<B>>()
            + self.children.capacity() * size_of::<Child<B>>()
    }

    /// The farthest event could not be passed by any configuration.
    fn refute(&self) -> Refutation<M::State> {
        let problem = self.engine.problem;
        let there = || (0_u32..).zip(&self.seen.nodes).filter(|n| n.1.event as usize == self.farthest);
        let states: BTreeSet<u32> = there().map(|n| n.1.config.state).collect();
        let way = |(at, _)| order::<M, B>(problem, &self.seen.way(at).1);
        Refutation {
            at: problem.entries[problem.events[self.farthest].entry as usize].at,
            states: states.iter().take(STATES_KEPT).map(|&s| self.engine.states.get(s).clone()).collect(),
            states_total: states.len(),
            prefix: there().last().and_then(way),
        }
    }
}
