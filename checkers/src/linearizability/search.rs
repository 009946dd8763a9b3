//! The search for an order: an event-ordered frontier with just-in-time linearization.
//!
//! Going through invocations and completions in order of time, the search keeps every *configuration*
//! that explains what it has seen: a state, and which of the operations that run or are open have taken
//! effect. Nothing happens at an invocation; when an operation ends, it must have taken effect, so each
//! configuration is extended by every sequence of running operations that ends with it (Lowe 2017,
//! "Testing for linearizability", just-in-time linearization; the memo on configurations is that of
//! Wing & Gong 1993 as improved there). Slots are used again when an operation has ended, so memory
//! follows how many operations run at once, not how many there are. Three reductions, each sound:
//!
//! - a read takes effect as soon as a state answers it, for that uses up nothing;
//! - open operations of one class are counted, and the earliest is placed first;
//! - a dominated configuration ([`Seen`]) is dropped. What every configuration has used of a class is
//!   forgotten, so that counts stay short.
//!
//! Horn & Kroening 2015 (P-compositionality) is why the caller may search each key on its own.

use std::collections::VecDeque;
use std::time::Instant;

use ordeal_core::{Model, Operation};

use super::config::{Config, FastMap, Recent, Slots, States, Used};
use super::entries::Entry;
use super::seen::{Seen, Waiting};

/// What a search may use.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) deadline: Option<Instant>,
    pub(super) memory_bytes: usize,
    pub(super) configurations: u64,
}

/// Why there is no order.
#[derive(Debug)]
pub(super) struct Refutation<S> {
    /// The operation that ended without having been able to take effect.
    pub(super) op: usize,
    /// The states in which it was tried, at most [`STATES_KEPT`].
    pub(super) states: Vec<S>,
    /// How many such states there were.
    pub(super) states_total: usize,
    /// The last operations of the longest order found, oldest first.
    pub(super) prefix: Vec<usize>,
    /// How many operations that order has in all.
    pub(super) prefix_total: usize,
}

/// How a search ended.
#[derive(Debug)]
pub(super) enum Outcome<S> {
    Legal,
    Illegal(Refutation<S>),
    /// Out of budget, for this reason, after so many of the operations that ended.
    Undecided {
        why: &'static str,
        ended: usize,
        of: usize,
    },
}

/// How many possible states a refutation names.
pub(super) const STATES_KEPT: usize = 8;

/// How many configurations are expanded between two looks at the clock.
const CLOCK_EVERY: u64 = 256;

/// Looks for an order of `entries`. Also returns how many configurations were explored.
pub(super) fn search<M: Model>(
    model: &M,
    entries: &[Entry<M::Call>],
    limits: Limits,
) -> (Outcome<M::State>, u64) {
    let mut events: Vec<(u64, bool, u32)> = Vec::with_capacity(entries.len() * 2);
    for (i, entry) in (0_u32..).zip(entries) {
        events.push((entry.start, false, i));
        if entry.end != Operation::OPEN {
            events.push((entry.end, true, i));
        }
    }
    events.sort_unstable();
    let of = events.iter().filter(|e| e.1).count();
    let mut search = Search::new(model, entries, limits);
    let mut ended = 0;
    for &(_, is_end, entry) in &events {
        if !is_end {
            search.begin(entry);
            continue;
        }
        let outcome = match search.end(entry) {
            Ok(None) => {
                ended += 1;
                continue;
            }
            Ok(Some(refutation)) => Outcome::Illegal(refutation),
            Err(why) => Outcome::Undecided { why, ended, of },
        };
        return (outcome, search.explored);
    }
    (Outcome::Legal, search.explored)
}

struct Search<'a, M: Model> {
    model: &'a M,
    entries: &'a [Entry<M::Call>],
    limits: Limits,
    states: States<M::State>,
    /// The entry in each slot, and each running entry's slot.
    slots: Vec<Option<u32>>,
    slot_of: FastMap<u32, u32>,
    free: Vec<u32>,
    /// Slots of running operations that change the state, and of reads.
    writers: Slots,
    readers: Slots,
    /// The open operations of each class that not all configurations have used, earliest first.
    classes: Vec<VecDeque<u32>>,
    frontier: Vec<Config>,
    seen: Seen,
    explored: u64,
    /// How many operations every configuration of the frontier has in its order but no longer shows.
    settled: usize,
}

/// What one closure collects besides configurations.
struct Closure {
    slot: u32,
    waiting: Waiting,
    done: Vec<Config>,
    /// The reads that each state answers.
    answers: FastMap<u32, Slots>,
    longest: (usize, Recent),
}

impl<'a, M: Model> Search<'a, M> {
    fn new(model: &'a M, entries: &'a [Entry<M::Call>], limits: Limits) -> Self {
        let classes = entries.iter().filter_map(|e| e.class).max().map_or(0, |c| c + 1);
        let mut states = States::new();
        let init = model.init();
        let bytes = model.state_bytes(&init);
        let state = states.number(init, bytes);
        Search {
            model,
            entries,
            limits,
            states,
            slots: Vec::new(),
            slot_of: FastMap::default(),
            free: Vec::new(),
            writers: Slots::default(),
            readers: Slots::default(),
            classes: vec![VecDeque::new(); classes as usize],
            frontier: vec![Config {
                state,
                placed: Slots::default(),
                served: Slots::default(),
                used: Used::default(),
                recent: Recent::default(),
            }],
            seen: Seen::default(),
            explored: 0,
            settled: 0,
        }
    }

    fn step(&mut self, state: u32, entry: u32) -> Option<u32> {
        if let Some(known) = self.states.known_step(state, entry) {
            return known;
        }
        let call = &self.entries[entry as usize].call;
        let after = self.model.step(self.states.get(state), call).into_iter().next().map(|after| {
            let bytes = self.model.state_bytes(&after);
            self.states.number(after, bytes)
        });
        self.states.note_step(state, entry, after);
        after
    }

    fn begin(&mut self, entry: u32) {
        let Entry { class, reads, .. } = self.entries[entry as usize];
        if let Some(class) = class {
            self.classes[class as usize].push_back(entry);
            return;
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() as u32 - 1
        });
        self.slots[slot as usize] = Some(entry);
        self.slot_of.insert(entry, slot);
        if !reads {
            self.writers.insert(slot);
            return;
        }
        self.readers.insert(slot);
        let mut frontier = std::mem::take(&mut self.frontier);
        for config in &mut frontier {
            if self.step(config.state, entry).is_some() {
                config.served.insert(slot);
                config.recent.push(entry);
            }
        }
        self.frontier = frontier;
    }

    /// Makes sure that the entry has taken effect in every configuration. `Ok(Some)` if it cannot have.
    fn end(&mut self, entry: u32) -> Result<Option<Refutation<M::State>>, &'static str> {
        let Some(slot) = self.slot_of.remove(&entry) else {
            return Ok(None);
        };
        let is_in = |c: &Config| c.placed.has(slot) || c.served.has(slot);
        if !self.frontier.iter().all(is_in) {
            let closure = self.close(slot)?;
            if closure.done.is_empty() {
                return Ok(Some(self.refute(entry, &closure)));
            }
            self.frontier = closure.done;
        }
        for config in &mut self.frontier {
            config.placed.remove(slot);
            config.served.remove(slot);
        }
        self.settled += 1;
        self.slots[slot as usize] = None;
        self.writers.remove(slot);
        self.readers.remove(slot);
        self.free.push(slot);
        self.tidy();
        Ok(None)
    }

    /// Extends the frontier by every sequence of operations that ends with the one in `slot`.
    fn close(&mut self, slot: u32) -> Result<Closure, &'static str> {
        let mut closure = Closure {
            slot,
            waiting: Waiting::default(),
            done: Vec::new(),
            answers: FastMap::default(),
            longest: (0, Recent::default()),
        };
        self.seen.clear();
        for config in std::mem::take(&mut self.frontier) {
            self.offer(config, &mut closure);
        }
        let writers: Vec<(u32, u32)> =
            self.writers.iter().filter_map(|s| Some((s, self.slots[s as usize]?))).collect();
        while let Some(config) = closure.waiting.pop() {
            if !self.seen.holds(&config) {
                continue;
            }
            self.spend()?;
            self.expand(&config, &writers, &mut closure);
        }
        let seen = &self.seen;
        closure.done.retain(|config| seen.holds(config));
        Ok(closure)
    }

    fn expand(&mut self, config: &Config, writers: &[(u32, u32)], closure: &mut Closure) {
        for &(slot, entry) in writers {
            if config.placed.has(slot) {
                continue;
            }
            if let Some(state) = self.step(config.state, entry) {
                let mut next = config.clone();
                next.placed.insert(slot);
                self.reach(next, state, entry, closure);
            }
        }
        for class in 0..self.classes.len() {
            let used = config.used.of(class as u32) as usize;
            let Some(&entry) = self.classes[class].get(used) else {
                continue;
            };
            match self.step(config.state, entry) {
                // An open operation that changes nothing is better not placed.
                Some(state) if state != config.state => {
                    let mut next = config.clone();
                    next.used = config.used.with_one_more(class as u32);
                    self.reach(next, state, entry, closure);
                }
                _ => {}
            }
        }
    }

    /// The running reads that the state answers.
    fn answered_in(&mut self, state: u32) -> Slots {
        let mut answered = Slots::default();
        for slot in self.readers.clone().iter() {
            let reader = self.slots[slot as usize];
            if reader.is_some_and(|reader| self.step(state, reader).is_some()) {
                answered.insert(slot);
            }
        }
        answered
    }

    /// Moves `config` to `state` by `entry`, and answers every running read that this state answers.
    fn reach(&mut self, mut config: Config, state: u32, entry: u32, closure: &mut Closure) {
        config.state = state;
        config.recent.push(entry);
        let answered = closure.answers.entry(state);
        let answered = answered.or_insert_with(|| self.answered_in(state)).clone();
        for slot in answered.iter() {
            if !config.served.has(slot) {
                config.served.insert(slot);
                config.recent.extend(self.slots[slot as usize]);
            }
        }
        self.offer(config, closure);
    }

    fn offer(&mut self, config: Config, closure: &mut Closure) {
        if !self.seen.offer(&config) {
            return;
        }
        let linearized = config.linearized();
        if linearized >= closure.longest.0 {
            closure.longest = (linearized, config.recent);
        }
        if config.placed.has(closure.slot) || config.served.has(closure.slot) {
            closure.done.push(config);
        } else {
            closure.waiting.push(config);
        }
    }

    /// Counts one configuration; an error once the budget is spent.
    fn spend(&mut self) -> Result<(), &'static str> {
        self.explored += 1;
        if self.explored > self.limits.configurations {
            return Err("out of configurations");
        }
        if self.seen.bytes() + self.states.bytes() > self.limits.memory_bytes {
            return Err("out of memory budget");
        }
        let look = self.explored % CLOCK_EVERY == 1;
        if look && self.limits.deadline.is_some_and(|d| Instant::now() >= d) {
            return Err("out of time");
        }
        Ok(())
    }

    /// Forgets what no configuration needs any more.
    fn tidy(&mut self) {
        if self.states.len() > 1024 && self.states.len() > 8 * self.frontier.len() {
            let model = self.model;
            self.states.keep_only(&mut self.frontier, |s| model.state_bytes(s));
        }
        let Some((first, rest)) = self.frontier.split_first() else {
            return;
        };
        let mut common = first.used.clone();
        for config in rest {
            if common.is_empty() {
                return;
            }
            common = common.common(&config.used);
        }
        for config in &mut self.frontier {
            config.used.subtract(&common);
        }
        for (class, n) in common.iter() {
            self.classes[class as usize].drain(..n as usize);
        }
        self.settled += common.total();
    }

    fn refute(&self, entry: u32, closure: &Closure) -> Refutation<M::State> {
        let op_of = |&e: &u32| self.entries[e as usize].op;
        let mut tried: Vec<u32> = self.seen.states().collect();
        tried.sort_unstable();
        tried.dedup();
        Refutation {
            op: op_of(&entry),
            states: tried.iter().take(STATES_KEPT).map(|&s| self.states.get(s).clone()).collect(),
            states_total: tried.len(),
            prefix: closure.longest.1.as_slice().iter().map(op_of).collect(),
            prefix_total: self.settled + closure.longest.0,
        }
    }
}
