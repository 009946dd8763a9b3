//! The search for an order, for any model: two searches with the same rules race under one budget.
//!
//! The search in breadth ([`Frontier`]) needs little memory and names the operation at fault; the one in
//! depth ([`Depth`]) often stumbles on an order where there are too many configurations to keep. The first
//! is given a head start, which is all that most histories take, then the second; after that both run, each
//! in a thread, until one has an answer.

use std::panic::resume_unwind;
use std::sync::atomic::Ordering;

use ordeal_core::{Model, Timed};

use super::bits::{Bits, Wide};
use super::budget::{Limits, Meter, Pot, Stop};
use super::depth::Depth;
use super::frontier::Frontier;
use super::problem::Problem;

/// Why there is no order.
#[derive(Clone, Debug)]
pub(super) struct Refutation<S> {
    /// The position of the call that ended without having been able to take effect.
    pub(super) at: u32,
    /// The states in which it was tried, at most [`STATES_KEPT`].
    pub(super) states: Vec<S>,
    /// How many such states there were.
    pub(super) states_total: usize,
    /// The longest order found, by position, if it is known.
    pub(super) prefix: Option<Vec<u32>>,
}

/// How a search ended.
#[derive(Clone, Debug)]
pub(super) enum Outcome<S> {
    /// There is an order; `None` if there was no memory to keep it.
    Legal(Option<Vec<u32>>),
    Illegal(Refutation<S>),
    /// Out of budget, for this reason, after so many of the calls that ended.
    Undecided {
        why: Stop,
        ended: usize,
        of: usize,
    },
}

/// How many possible states a refutation names.
pub(super) const STATES_KEPT: usize = 8;

/// Which searches run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Runners {
    Race,
    Breadth,
    #[cfg(test)]
    Depth,
}

/// How many configurations one search after the other may explore before they race: so many, and so many
/// for each event.
const FIRST_IN_BREADTH: (u64, u64) = (1_000, 2);
const THEN_IN_DEPTH: (u64, u64) = (2_000, 4);

/// Looks for an order. Also returns how many configurations were explored.
pub(super) fn search<M: Model>(
    problem: &Problem<'_, M>,
    limits: &Limits<'_>,
    runners: Runners,
) -> (Outcome<M::State>, u64) {
    if problem.width <= u128::BITS {
        run::<M, u128>(problem, limits, runners)
    } else {
        run::<M, Wide>(problem, limits, runners)
    }
}

fn run<M: Model, B: Bits>(
    problem: &Problem<'_, M>,
    limits: &Limits<'_>,
    runners: Runners,
) -> (Outcome<M::State>, u64) {
    let pot = Pot::default();
    let meter = |modest| Meter::new(limits, &pot, modest);
    let patience = |(base, each): (u64, u64)| base + each * problem.events.len() as u64;
    #[cfg(test)]
    if runners == Runners::Depth {
        let mut depth: Depth<'_, M, B> = Depth::new(problem, meter(true));
        return (answer(depth.run(u64::MAX)), depth.explored());
    }
    let mut breadth: Frontier<'_, M, B> = Frontier::new(problem, meter(false));
    if runners == Runners::Breadth {
        return (answer(breadth.run(u64::MAX)), breadth.explored());
    }
    if let Some(outcome) = breadth.run(patience(FIRST_IN_BREADTH)) {
        return (outcome, breadth.explored());
    }
    let mut depth: Depth<'_, M, B> = Depth::new(problem, meter(true));
    let outcome = depth.run(patience(THEN_IN_DEPTH));
    // What is explored in the race is not counted: it differs from time to time.
    let explored = breadth.explored() + depth.explored();
    match outcome {
        Some(outcome) if is_decided(&outcome) => (outcome, explored),
        _ => (race(breadth, depth, &pot), explored),
    }
}

/// What a search said that was not to be called again.
fn answer<S>(outcome: Option<Outcome<S>>) -> Outcome<S> {
    outcome.unwrap_or(Outcome::Undecided { why: Stop::Configurations, ended: 0, of: 0 })
}

fn is_decided<S>(outcome: &Outcome<S>) -> bool {
    !matches!(outcome, Outcome::Undecided { .. })
}

/// Runs both, each in a thread; the first answer counts.
fn race<M: Model, B: Bits>(
    mut breadth: Frontier<'_, M, B>,
    mut depth: Depth<'_, M, B>,
    pot: &Pot,
) -> Outcome<M::State> {
    let settle = |outcome: Option<Outcome<M::State>>| {
        let outcome = answer(outcome);
        if is_decided(&outcome) {
            pot.won.store(true, Ordering::Relaxed);
        }
        outcome
    };
    std::thread::scope(|scope| {
        // What a search held is free for the other one when it is over.
        let helper = move || settle(depth.run(u64::MAX));
        // A thread that cannot be started is no loss: the search in breadth goes on alone.
        let helper = std::thread::Builder::new().spawn_scoped(scope, helper).ok();
        let wide = settle(breadth.run(u64::MAX));
        drop(breadth);
        let deep = helper.map(|helper| helper.join().unwrap_or_else(|panic| resume_unwind(panic)));
        match deep {
            Some(deep) if is_decided(&deep) && !is_decided(&wide) => deep,
            _ => wide,
        }
    })
}

/// Looks for an order of all calls.
pub(super) fn search_all<M: Model>(
    model: &M,
    calls: &[Timed<M::Call>],
    limits: &Limits<'_>,
) -> (Outcome<M::State>, u64) {
    search(&Problem::new(model, calls), limits, Runners::Race)
}
