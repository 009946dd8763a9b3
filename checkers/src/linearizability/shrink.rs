//! From calls without an order to the few that contradict one another.
//!
//! Calls are not removed but *released* (see [`Problem::of`]): a released call may take effect at any time,
//! or never. So what is kept contradicts itself whatever the others did, and the core is a counterexample
//! of the whole history for every model. Releasing more only ever allows more orders, which makes one pass
//! over single calls enough for a core from which no call can be spared (delta debugging, Zeller &
//! Hildebrandt 2002, on a monotone property).
//!
//! Of a long history only a *pool* is looked at: what is kept at first, and what the model does not call
//! irrelevant to that. An order of the pool is one of the whole history, so no call of the core can be
//! spared; that the core contradicts itself with the whole history around it is checked at the end.

use std::collections::HashSet;

use ordeal_core::{Model, Timed};

use super::budget::Limits;
use super::problem::Problem;
use super::search::{Outcome, Runners, search};
use crate::verify::{Proof, contradiction};

/// Calls that contradict one another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Core {
    /// Their positions, rising.
    pub(super) ops: Vec<u32>,
    /// Whether it is certain that none of them can be spared.
    pub(super) minimal: bool,
    /// Whether every order of them was tried.
    pub(super) proven: bool,
}

/// How many configurations one attempt may explore.
const CONFIGURATIONS: u64 = 50_000;
/// How many calls before the failing one the first guess at a core has, and the last.
const GUESSES: (usize, usize) = (16, 4096);
/// What all attempts together may cost, each the size of its pool and the configurations it explored: so
/// much, and so much for each call.
const EFFORT: (u64, u64) = (400_000, 8);
/// How many ways of ordering a core may be looked at to prove it.
const PROOF_WAYS: usize = 1 << 16;

/// A longer core than this that is proven without trying orders is left as it is.
const LONG: usize = 40;
/// Of more calls than this, it is not found out whether one of a pair can be spared.
const MANY: usize = 200;

struct Shrink<'a, M: Model> {
    model: &'a M,
    calls: &'a [Timed<M::Call>],
    limits: Limits<'a>,
    pool: Vec<u32>,
    /// What may still be spent.
    effort: u64,
    /// An attempt ended without an answer.
    undecided: bool,
}

/// Shrinks calls that have no order: from a core that is known, or from the call that could not be placed.
/// `None` if nothing smaller than everything was found.
pub(super) fn shrink<M: Model>(
    model: &M,
    calls: &[Timed<M::Call>],
    core: Option<&[u32]>,
    failing: Option<u32>,
    limits: &Limits<'_>,
) -> Option<Core> {
    if let Some(core) = core
        && (core.len() > LONG || core.len() <= 2 && calls.len() > MANY)
        && contradiction(model, calls, core, 0) == Proof::Holds
    {
        return Some(Core { ops: core.to_vec(), minimal: core.len() == 1, proven: true });
    }
    let limits = Limits { configurations: CONFIGURATIONS, ..*limits };
    let everything: Vec<u32> = (0..calls.len() as u32).collect();
    let effort = EFFORT.0 + EFFORT.1 * calls.len() as u64;
    let mut shrink = Shrink { model, calls, limits, pool: everything, effort, undecided: false };
    let mut first: Vec<u32> = match (core, failing) {
        (Some(core), _) => core.to_vec(),
        (None, Some(failing)) => pair(model, calls, failing).or_else(|| shrink.guess(failing))?,
        (None, None) => return None,
    };
    first.sort_unstable();
    first.dedup();
    shrink.pool = Problem::of(model, calls, kept(&shrink.pool, &first)).members();
    let ops = shrink.reduce(first.clone());
    match contradiction(model, calls, &ops, PROOF_WAYS) {
        Proof::Holds => Some(Core { minimal: !shrink.undecided, ops, proven: true }),
        Proof::TooLarge => Some(Core { minimal: !shrink.undecided, ops, proven: false }),
        Proof::Fails(_) => {
            // The pool lacked something after all.
            shrink.pool = (0..calls.len() as u32).collect();
            let ops = shrink.reduce(first);
            let proven = contradiction(model, calls, &ops, PROOF_WAYS) == Proof::Holds;
            proven.then_some(Core { minimal: !shrink.undecided, ops, proven })
        }
    }
}

/// The members of a pool, each with whether it keeps its times.
fn kept<'p>(pool: &'p [u32], kept: &[u32]) -> impl Iterator<Item = (u32, bool)> + use<'p> {
    let kept: HashSet<u32> = kept.iter().copied().collect();
    pool.iter().map(move |&at| (at, kept.contains(&at)))
}

/// The failing call and the nearest other one that it contradicts by itself, in every order that real time
/// allows for the two.
fn pair<M: Model>(model: &M, calls: &[Timed<M::Call>], failing: u32) -> Option<Vec<u32>> {
    let this = &calls[failing as usize];
    let conflicts = |&(at, other): &(u32, &Timed<M::Call>)| {
        let first = this.end < other.start || model.contradict(&other.call, &this.call);
        let last = other.end < this.start || model.contradict(&this.call, &other.call);
        at != failing && !other.is_open() && first && last
    };
    let distance = |&(_, other): &(u32, &Timed<M::Call>)| other.start.abs_diff(this.start);
    let (at, _) = (0..).zip(calls).filter(conflicts).min_by_key(distance)?;
    Some(vec![failing, at])
}

impl<M: Model> Shrink<'_, M> {
    /// The failing call, those that could have led to it, and so many before it that they contradict one
    /// another. Most contradictions are close by, so this tries ever more of the past.
    fn guess(&mut self, failing: u32) -> Option<Vec<u32>> {
        if self.contradicts(&[failing]) {
            return Some(vec![failing]);
        }
        let (model, calls) = (self.model, self.calls);
        let end = calls[failing as usize].end;
        let needs = model.needs(&calls[failing as usize].call);
        let all = || 0..calls.len() as u32;
        let before = |&at: &u32| calls[at as usize].start <= end && at != failing;
        let leads = |at: &u32| needs.is_some() && model.leaves(&calls[*at as usize].call) == needs;
        let leading: Vec<u32> = all().filter(before).filter(leads).collect();
        let past: Vec<u32> = all().filter(before).collect();
        let mut take = GUESSES.0;
        while take < past.len() * 4 && take <= GUESSES.1 {
            let mut guess = past[past.len().saturating_sub(take)..].to_vec();
            guess.extend(&leading);
            guess.push(failing);
            guess.sort_unstable();
            guess.dedup();
            if self.contradicts(&guess) {
                return Some(guess);
            }
            take *= 4;
        }
        // Calls that began later have a part in it.
        let all: Vec<u32> = all().collect();
        self.contradicts(&all).then_some(all)
    }

    fn is_spent(&self) -> bool {
        self.effort == 0 || self.limits.out_of_time()
    }

    /// Leaves out what can be spared.
    fn reduce(&mut self, mut ops: Vec<u32>) -> Vec<u32> {
        let mut chunk = ops.len().div_ceil(2).max(1);
        loop {
            self.undecided = false;
            let mut at = 0;
            while at < ops.len() {
                let end = (at + chunk).min(ops.len());
                let fewer: Vec<u32> = [&ops[..at], &ops[end..]].concat();
                if self.contradicts(&fewer) {
                    ops = fewer;
                } else {
                    at = end;
                }
            }
            if chunk == 1 || self.is_spent() {
                self.undecided |= chunk > 1;
                return ops;
            }
            chunk = chunk.div_ceil(2);
        }
    }

    /// Whether there is no order when everything but `ops` is released.
    fn contradicts(&mut self, ops: &[u32]) -> bool {
        if self.is_spent() {
            self.undecided = true;
            return false;
        }
        let problem = Problem::of(self.model, self.calls, kept(&self.pool, ops));
        let (outcome, explored) = search(&problem, &self.limits, Runners::Breadth);
        self.effort = self.effort.saturating_sub(self.pool.len() as u64 + explored);
        match outcome {
            Outcome::Legal(_) => false,
            Outcome::Illegal(_) => true,
            Outcome::Undecided { .. } => {
                self.undecided = true;
                false
            }
        }
    }
}
