//! How a configuration goes on: the rules that both searches share.
//!
//! A *configuration* is one way to explain everything seen up to some moment: a state, and which of the
//! operations that run or are open have taken effect. Nothing happens at an invocation; when an operation
//! ends it must have taken effect, so each configuration is extended by every sequence of running and open
//! operations that ends with it (Lowe 2017, "Testing for linearizability": just-in-time linearization).
//! These rules leave sequences out, and none that is needed. For take any sequence that explains the whole
//! history from here on; each rule names another that does so too and that is tried:
//!
//! - A read takes effect as soon as a state answers it: that uses up nothing.
//! - Blind calls (possible in every state) that come right before an overwrite cannot be seen. They are
//!   left out; and once an overwrite is placed, every blind call that runs is *covered*: it may be taken to
//!   have happened right before that overwrite, or may still be placed. So an overwrite is only tried
//!   after something that it does not hide, and the ending operation itself needs nothing else before it.
//! - Where only additions change the state: those that come right before an ending addition can come right after it, for they commute and
//!   still run. So an ending addition is tried at once, or after something that is no addition.
//! - An open call right before an overwrite can be left out.
//! - Of running calls that do the same the one that ends first is placed first, open ones last: two that
//!   are in another order can change places.
//! - Where only additions change the state, a state above the level that a running read needs is of no use.
//! - Open calls of one class are counted, and the earliest is placed first. Between two calls that must take
//!   effect no state need come up twice, so a class that always leaves the same state is used at most once
//!   there; if more of it are left than there are calls that must take effect, they are not counted.
//! - Where an open call that is possible in some states only and an open overwrite leave the same, and there
//!   is nothing to cover, the overwrite is spared: it can do later what the other could.

use ordeal_core::Model;

use super::bits::Bits;
use super::board::Board;
use super::candidates::{Candidate, OpenClass};
use super::hash::NONE;
use super::problem::{Kind, Problem};
use super::states::{After, States};
use super::uses::Uses;

/// One way to explain everything seen so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Config<B> {
    /// The running calls that have taken effect, but for reads.
    pub(super) placed: B,
    /// What can only help: the running reads that have been answered, and the running calls that are
    /// covered.
    pub(super) good: B,
    /// The state, by number.
    pub(super) state: u32,
    /// The open calls that have taken effect.
    pub(super) used: u32,
}

/// What the call placed last leaves to be tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mood {
    /// Anything.
    Free,
    /// Nothing that hides it.
    Unseen,
    /// Nothing that hides it, and not the addition that ends.
    Adding,
}

/// One way to go on by placing one call.
pub(super) struct Child<B> {
    pub(super) config: Config<B>,
    pub(super) mood: Mood,
    /// What was placed.
    pub(super) placed: Placed,
    /// The ending operation has taken effect.
    pub(super) done: bool,
}

/// A call placed, and how: which of several states follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Placed {
    pub(super) entry: u32,
    choice: u32,
}

impl Placed {
    /// Nothing.
    pub(super) const NOTHING: Placed = Placed { entry: NONE, choice: 0 };

    /// Right before the latest overwrite.
    pub(super) fn hidden(entry: u32) -> Placed {
        Placed { entry, choice: NONE }
    }
}

/// The problem, the moment, and what was met so far.
pub(super) struct Engine<'a, M: Model, B> {
    pub(super) problem: &'a Problem<'a, M>,
    pub(super) board: Board<B>,
    pub(super) states: States<'a, M>,
    pub(super) uses: Uses,
    /// How many open entries of each class are known to have taken effect in every configuration.
    pub(super) settled: Vec<u32>,
    /// Whether states above what a running read needs are dropped.
    pub(super) climbs: bool,
    /// For each state the running reads that it answers, and for which reads that was found.
    answers: Vec<(u32, B)>,
    pub(super) candidates: Vec<Candidate<B>>,
    pub(super) open: Vec<OpenClass<B>>,
    /// The position for which the candidates were found.
    pub(super) prepared: usize,
}

impl<'a, M: Model, B: Bits> Engine<'a, M, B> {
    pub(super) fn new(problem: &'a Problem<'a, M>) -> Self {
        Engine {
            problem,
            board: Board::new(problem),
            states: States::new(problem.model, problem.entries.len()),
            uses: Uses::new(),
            settled: vec![0; problem.classes.len()],
            climbs: problem.climbs,
            answers: Vec::new(),
            candidates: Vec::new(),
            open: Vec::new(),
            prepared: usize::MAX,
        }
    }

    /// The configuration before anything happened.
    pub(super) fn first(&mut self) -> Config<B> {
        let state = self.states.number(self.problem.model.init());
        Config { placed: B::default(), good: B::default(), state, used: Uses::NOTHING }
    }

    pub(super) fn step(&mut self, state: u32, entry: u32) -> After {
        self.states.step(self.problem, state, entry)
    }

    /// Whether the state answers a read.
    pub(super) fn is_answered(&mut self, state: u32, entry: u32) -> bool {
        self.step(state, entry).is_possible()
    }

    /// The running reads that the state answers.
    fn answered(&mut self, state: u32) -> B {
        if self.board.readers.is_empty() {
            return B::default();
        }
        let at = state as usize;
        if self.answers.len() <= at {
            self.answers.resize(at + 1, (NONE, B::default()));
        }
        if self.answers[at].0 != self.board.reads_changed {
            let mut answered = B::default();
            for slot in self.board.readers.slots() {
                if self.is_answered(state, self.board.entry(slot)) {
                    answered.insert(slot);
                }
            }
            self.answers[at] = (self.board.reads_changed, answered);
        }
        self.answers[at].1.clone()
    }

    /// States have new numbers.
    pub(super) fn renumbered(&mut self) {
        self.answers.clear();
        self.prepared = usize::MAX;
    }

    /// What it holds.
    pub(super) fn bytes(&self) -> usize {
        self.problem.bytes()
            + self.states.bytes()
            + self.uses.bytes()
            + self.answers.capacity() * size_of::<(u32, B)>()
    }

    /// Every way to go on from `config` by one call, at the end of the operation in slot `ending`.
    pub(super) fn expand(&mut self, config: &Config<B>, mood: Mood, ending: u32, out: &mut Vec<Child<B>>) {
        let unanswered = self.board.readers.without(&config.good);
        let others = !self.board.others.without(&config.placed).is_empty()
            || self.open.iter().any(|o| o.kind == Kind::Other);
        let seen = others || !unanswered.is_empty();
        // An addition sees what was written before it, though it shows that to nobody yet.
        let adding = is_add(self.problem.entries[self.board.entry(ending) as usize].kind);
        // After an overwrite only these can come before the next one.
        let seen_later = others || !self.board.adds.is_empty() || self.open.iter().any(|o| is_add(o.kind));
        for i in 0..self.candidates.len() {
            let Candidate { slot, entry, kind, ref first } = self.candidates[i];
            let done = slot == ending;
            let tried = match kind {
                Kind::Overwrites => mood == Mood::Free && (done || seen || adding),
                Kind::Adds(_) if done => mood != Mood::Adding,
                Kind::Adds(_) => seen,
                _ => true,
            };
            if !tried || config.placed.has(slot) || !is_next(config, kind, first) {
                continue;
            }
            let after = self.step(config.state, entry);
            let mut choice = 0;
            while let Some(state) = self.states.choice(after, choice) {
                let mut next = config.clone();
                next.placed.insert(slot);
                next.good.remove(slot);
                let placed = Placed { entry, choice: choice as u32 };
                choice += 1;
                self.reach(next, state, kind, false, placed, done, seen_later, out);
            }
        }
        for i in 0..self.open.len() {
            let OpenClass { class, kind, ref first, leaves } = self.open[i];
            let tried = match kind {
                Kind::Overwrites => mood == Mood::Free && (seen || adding),
                _ => seen,
            };
            if !tried || !is_next(config, kind, first) {
                continue;
            }
            let Some((entry, left)) = self.next_open(config, class) else {
                continue;
            };
            if kind == Kind::Overwrites && self.is_spared(config, leaves) {
                continue;
            }
            let plenty = leaves.is_some() && left as usize >= self.problem.ends - self.board.ended;
            let after = self.step(config.state, entry);
            let mut choice = 0;
            while let Some(state) = self.states.choice(after, choice) {
                let placed = Placed { entry, choice: choice as u32 };
                choice += 1;
                // One that changes nothing and covers nothing is better not placed.
                if state != config.state || kind == Kind::Overwrites && self.covers_more(config) {
                    let used = if plenty { config.used } else { self.uses.with_one_more(config.used, class) };
                    let next = Config { used, ..config.clone() };
                    self.reach(next, state, kind, true, placed, false, seen_later, out);
                }
            }
        }
    }

    /// The earliest open call of a class that has not taken effect, and how many there are.
    fn next_open(&self, config: &Config<B>, class: u32) -> Option<(u32, u32)> {
        let used = self.settled[class as usize] + self.uses.of(config.used, class);
        let left = self.board.begun[class as usize].checked_sub(used).filter(|&left| left > 0)?;
        Some((self.problem.classes[class as usize][used as usize], left))
    }

    /// Whether an overwrite would cover anything that is neither placed nor covered.
    fn covers_more(&self, config: &Config<B>) -> bool {
        let blind = self.board.overwrites.or(&self.board.adds);
        !config.placed.or(&config.good).includes(&blind)
    }

    /// Whether an open call that is not possible everywhere can do here what an overwrite would.
    fn is_spared(&mut self, config: &Config<B>, leaves: Option<u32>) -> bool {
        let blind = self.board.overwrites.or(&self.board.adds);
        let covers = !config.placed.or(&config.good).includes(&blind);
        !covers
            && (0..self.open.len()).any(|i| {
                let OpenClass { class, kind, leaves: also, .. } = self.open[i];
                let instead = kind == Kind::Other && leaves.is_some() && also == leaves;
                let next = self.next_open(config, class).filter(|_| instead);
                next.is_some_and(|(entry, _)| self.step(config.state, entry).is_possible())
            })
    }

    /// Moves `config`, in which a call was just placed, to `state`, and answers every running read there.
    #[allow(clippy::too_many_arguments, reason = "the inner loop's one place")]
    fn reach(
        &mut self,
        mut config: Config<B>,
        state: u32,
        kind: Kind,
        open: bool,
        placed: Placed,
        done: bool,
        seen_later: bool,
        out: &mut Vec<Child<B>>,
    ) {
        config.state = state;
        let answered = self.arrive(&mut config, kind);
        let mood = match kind {
            _ if answered || done => Mood::Free,
            Kind::Adds(_) => Mood::Adding,
            Kind::Overwrites if !seen_later => return,
            Kind::Overwrites => Mood::Unseen,
            _ if open => Mood::Unseen,
            _ => Mood::Free,
        };
        if self.climbs && self.is_passed(&config) {
            return;
        }
        out.push(Child { config, mood, placed, done });
    }

    /// What follows at once from having placed a call of this kind: what it covers, and which reads the
    /// state answers. Says whether there are any.
    fn arrive(&mut self, config: &mut Config<B>, kind: Kind) -> bool {
        if kind == Kind::Overwrites {
            let blind = self.board.overwrites.or(&self.board.adds).without(&config.placed);
            config.good = config.good.and(&self.board.readers).or(&blind);
        }
        let answered = self.answered(config.state);
        if config.good.includes(&answered) {
            return false;
        }
        config.good = config.good.or(&answered);
        true
    }

    /// Whether a running read can no longer be answered, all additions being upward.
    fn is_passed(&self, config: &Config<B>) -> bool {
        let level = self.states.level(config.state);
        let missed = |slot| match self.problem.entries[self.board.entry(slot) as usize].kind {
            Kind::Reads(Some(needs)) => needs < level,
            _ => false,
        };
        self.board.readers.without(&config.good).slots().any(missed)
    }

    /// Places a call as a search did before, for telling its order: `None` if that is impossible. Also says
    /// which reads that answered.
    pub(super) fn replay(&mut self, config: &mut Config<B>, slot: Option<u32>, placed: Placed) -> Option<B> {
        let kind = self.problem.entries[placed.entry as usize].kind;
        let after = self.step(config.state, placed.entry);
        config.state = self.states.choice(after, placed.choice as usize)?;
        if let Some(slot) = slot {
            config.placed.insert(slot);
            config.good.remove(slot);
        }
        let before = config.good.and(&self.board.readers);
        self.arrive(config, kind);
        Some(config.good.and(&self.board.readers).without(&before))
    }
}

impl Placed {
    /// Whether it is right before the latest overwrite.
    pub(super) fn is_hidden(self) -> bool {
        self.choice == NONE
    }
}

fn is_add(kind: Kind) -> bool {
    matches!(kind, Kind::Adds(_))
}

/// Whether those calls that do the same as one, and end before it, are out of its way. One that is covered
/// need not take effect: where it might not, another that must may have to.
fn is_next<B: Bits>(config: &Config<B>, kind: Kind, first: &B) -> bool {
    match kind {
        Kind::Adds(_) => config.placed.or(&config.good).includes(first),
        _ => config.placed.includes(first),
    }
}
