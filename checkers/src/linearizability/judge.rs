//! Judges one object: the model's own fast judge first, its answer checked; then the search.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use ordeal_core::{Answer, Model, Timed};

use super::budget::{Budget, Limits, Stop};
use super::explained::unexplained;
use super::problem::Problem;
use super::search::{Outcome, Refutation, Runners, search, search_all};
use super::shrink::{Core, shrink};
use crate::verify::{Proof, verify, verify_within};

/// What was found about one object.
#[derive(Debug)]
pub(super) struct Found<S> {
    pub(super) result: Result<Ruling<S>, Gap>,
    /// How many configurations the search explored.
    pub(super) explored: u64,
    /// How the model's own judge fared.
    pub(super) monitor: Monitor,
}

/// A verdict about one object.
#[derive(Debug)]
pub(super) enum Ruling<S> {
    /// An order by position; `None` if there was no memory to keep it.
    Legal(Option<Vec<u32>>),
    /// No order, as these calls show if the model's judge named some, or as the search found.
    Illegal { core: Option<Vec<u32>>, refutation: Option<Refutation<S>> },
}

/// Why there is no verdict, and how far the search came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Gap {
    pub(super) why: String,
    /// After how many of the calls that ended; `None` if that means nothing.
    pub(super) after: Option<(usize, usize)>,
    /// What ended the search, if there was one.
    pub(super) stop: Option<Stop>,
}

impl Gap {
    pub(super) fn of(why: impl Into<String>) -> Gap {
        Gap { why: why.into(), after: None, stop: None }
    }
}

/// How the model's own judge fared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Monitor {
    /// It did not know.
    Silent,
    /// Its answer was checked.
    Proven,
    /// Its answer is too large to be checked, and it is relied upon.
    Trusted,
    /// It panicked, or its answer was wrong.
    Rejected,
}

/// How many ways to go on are looked at to check what the model's judge says.
const QUICK: usize = 1 << 16;
/// How long calls that the model's judge says contradict one another may be searched for an order.
const CHECKED_FOR: Duration = Duration::from_secs(2);
/// How many configurations may be explored first to check by a search of everything.
const SHORT: u64 = 20_000;

/// Judges the calls of one object, sorted by their beginning.
pub(super) fn judge_object<M: Model>(
    model: &M,
    calls: &[Timed<M::Call>],
    limits: &Limits<'_>,
) -> Found<M::State> {
    let judge = || try_judge(model, calls, limits);
    catch_unwind(AssertUnwindSafe(judge)).unwrap_or_else(|_| {
        let result = Err(Gap::of(format!("the model {} panicked", model.name())));
        Found { result, explored: 0, monitor: Monitor::Silent }
    })
}

fn try_judge<M: Model>(model: &M, calls: &[Timed<M::Call>], limits: &Limits<'_>) -> Found<M::State> {
    let gap = |why: Stop| {
        let ended = calls.iter().filter(|call| !call.is_open()).count();
        let result = Err(Gap { why: why.words().to_owned(), after: Some((0, ended)), stop: Some(why) });
        Found { result, explored: 0, monitor: Monitor::Silent }
    };
    if (limits.unwanted)() {
        return gap(Stop::Beaten);
    }
    if limits.out_of_time() {
        return gap(Stop::Time);
    }
    if Problem::<M>::bytes_for(calls.len()) > limits.memory_bytes {
        return gap(Stop::Memory);
    }
    let said = catch_unwind(AssertUnwindSafe(|| model.monitor(calls)));
    let (answer, mut monitor) = match said {
        Ok(None) => (None, Monitor::Silent),
        Ok(Some(answer)) => match verify_within(QUICK, model, calls, &answer) {
            Proof::Holds => (Some(answer), Monitor::Proven),
            Proof::Fails(_) => (None, Monitor::Rejected),
            Proof::TooLarge => (Some(answer), Monitor::Trusted),
        },
        Err(_) => (None, Monitor::Rejected),
    };
    let mut core = None;
    let mut limits = *limits;
    match (answer, monitor) {
        (Some(Answer::Legal(order)), _) => {
            return Found { result: Ok(Ruling::Legal(Some(order))), explored: 0, monitor };
        }
        (Some(Answer::Illegal(core)), Monitor::Proven) => {
            let result = Ok(Ruling::Illegal { core: Some(core), refutation: None });
            return Found { result, explored: 0, monitor };
        }
        (Some(Answer::Illegal(unproven)), _) => {
            let checked_by = Instant::now() + CHECKED_FOR;
            limits.deadline = limits.deadline.map_or(Some(checked_by), |end| Some(end.min(checked_by)));
            // A short history is searched faster than what is left of it with most calls released.
            let short = Limits { configurations: limits.configurations.min(SHORT), ..limits };
            let (outcome, explored) = search_all(model, calls, &short);
            let agrees = matches!(outcome, Outcome::Illegal(_));
            if agrees || contradicts(model, calls, &unproven, &limits) {
                let refutation = match outcome {
                    Outcome::Illegal(refutation) => Some(refutation),
                    _ => None,
                };
                let result = Ok(Ruling::Illegal { core: Some(unproven), refutation });
                return Found { result, explored, monitor: Monitor::Proven };
            }
            core = Some(unproven);
        }
        (None, _) => {}
    }
    if core.is_none()
        && let Some(core) = unexplained(model, calls)
    {
        return Found {
            result: Ok(Ruling::Illegal { core: Some(core), refutation: None }),
            explored: 0,
            monitor,
        };
    }
    let (outcome, explored) = search_all(model, calls, &limits);
    let result = match outcome {
        Outcome::Legal(order) => {
            if core.is_some() {
                monitor = Monitor::Rejected;
            }
            checked(model, calls, order).map(Ruling::Legal)
        }
        Outcome::Illegal(refutation) => Ok(Ruling::Illegal { core: None, refutation: Some(refutation) }),
        Outcome::Undecided { why, .. } if core.is_some() && why != Stop::Beaten => {
            Ok(Ruling::Illegal { core, refutation: None })
        }
        Outcome::Undecided { why, ended, of } => {
            Err(Gap { why: why.words().to_owned(), after: Some((ended, of)), stop: Some(why) })
        }
    };
    Found { result, explored, monitor }
}

/// Whether a search finds that these calls contradict one another, the others being released.
fn contradicts<M: Model>(model: &M, calls: &[Timed<M::Call>], core: &[u32], limits: &Limits<'_>) -> bool {
    let mut kept = vec![false; calls.len()];
    for &at in core {
        match kept.get_mut(at as usize) {
            Some(kept) => *kept = true,
            None => return false,
        }
    }
    let problem = Problem::of(model, calls, (0..).zip(kept));
    matches!(search(&problem, limits, Runners::Race).0, Outcome::Illegal(_))
}

/// The search's own orders are checked too.
fn checked<M: Model>(
    model: &M,
    calls: &[Timed<M::Call>],
    order: Option<Vec<u32>>,
) -> Result<Option<Vec<u32>>, Gap> {
    let Some(order) = order else {
        return Ok(None);
    };
    let answer = Answer::Legal(order);
    match (verify(model, calls, &answer), answer) {
        (Proof::Holds, Answer::Legal(order)) => Ok(Some(order)),
        (proof, _) => Err(Gap::of(format!("the search found an order that is none: {proof:?}"))),
    }
}

/// What is said about calls that were judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision<S> {
    /// This order explains every result, by position: it holds every completed call and those open ones
    /// that took effect in it. `None` if there was not memory enough to keep it.
    Legal(Option<Vec<u32>>),
    /// There is no order.
    Illegal(Violation<S>),
    /// The budget did not suffice, or the model failed.
    Undecided {
        /// Why.
        why: String,
        /// How many of the completed calls the search could explain, and how many there are.
        after: Option<(usize, usize)>,
    },
}

/// Why there is no order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation<S> {
    /// Calls that contradict one another even if every other one may take effect at any time or never, by
    /// position; `None` if there was no time to find them.
    pub core: Option<Vec<u32>>,
    /// Whether it is certain that none of them can be spared.
    pub minimal: bool,
    /// Whether every order of them was tried.
    pub proven: bool,
    /// The call that ended without having been able to take effect, if that is known.
    pub failing: Option<u32>,
    /// Some of the states in which it was tried.
    pub states: Vec<S>,
    /// How many such states there were.
    pub states_total: usize,
    /// The longest order that was found, by position, if it is known.
    pub prefix: Option<Vec<u32>>,
}

/// Beyond so many calls nobody looks for the states around a violation that the model's judge found.
const LOOKED_AROUND: usize = 100_000;
/// How many configurations that may take.
const LOOKED_AT: u64 = 100_000;

/// Explains why there is no order, within the limits.
pub(super) fn explain<M: Model>(
    model: &M,
    calls: &[Timed<M::Call>],
    core: Option<&[u32]>,
    refutation: Option<&Refutation<M::State>>,
    limits: &Limits<'_>,
) -> Violation<M::State> {
    let explain = || {
        let failing = refutation.map(|r| r.at);
        let found = shrink(model, calls, core, failing, limits);
        let refutation = refutation.cloned().or_else(|| look_around(model, calls, limits));
        (found, refutation)
    };
    let (core, refutation) = catch_unwind(AssertUnwindSafe(explain)).unwrap_or((None, None));
    let Core { ops, minimal, proven } = core.unwrap_or_default();
    Violation {
        core: (!ops.is_empty()).then_some(ops),
        minimal,
        proven,
        failing: refutation.as_ref().map(|r| r.at),
        states_total: refutation.as_ref().map_or(0, |r| r.states_total),
        states: refutation.as_ref().map_or_else(Vec::new, |r| r.states.clone()),
        prefix: refutation.and_then(|r| r.prefix),
    }
}

/// What a short search says of a violation that was found without one.
fn look_around<M: Model>(
    model: &M,
    calls: &[Timed<M::Call>],
    limits: &Limits<'_>,
) -> Option<Refutation<M::State>> {
    if calls.len() > LOOKED_AROUND {
        return None;
    }
    let limits = Limits { configurations: LOOKED_AT, ..*limits };
    match search(&Problem::new(model, calls), &limits, Runners::Breadth).0 {
        Outcome::Illegal(refutation) => Some(refutation),
        _ => None,
    }
}

/// Judges the calls of one object, in any order, within the budget. Positions in the decision are into
/// `calls`.
pub fn judge_calls<M: Model>(model: &M, calls: &[Timed<M::Call>], budget: &Budget) -> Decision<M::State> {
    if calls.iter().any(|call| call.end < call.start) {
        return Decision::Undecided { why: "a call ends before it begins".to_owned(), after: None };
    }
    let from = |ms| Instant::now().checked_add(Duration::from_millis(ms));
    let unwanted = || false;
    let limits = Limits {
        deadline: from(budget.time_ms),
        memory_bytes: budget.memory_bytes,
        configurations: u64::MAX,
        unwanted: &unwanted,
    };
    let mut places: Vec<u32> = (0..calls.len() as u32).collect();
    let mut sorted: Vec<Timed<M::Call>> = Vec::new();
    let in_order = calls.is_sorted_by_key(|call| call.start);
    if !in_order {
        places.sort_by_key(|&at| calls[at as usize].start);
        sorted = places.iter().map(|&at| calls[at as usize].clone()).collect();
    }
    let sorted = if in_order { calls } else { &sorted };
    let named = |order: Vec<u32>| order.into_iter().map(|at| places[at as usize]).collect();
    match judge_object(model, sorted, &limits).result {
        Ok(Ruling::Legal(order)) => Decision::Legal(order.map(named)),
        Ok(Ruling::Illegal { core, refutation }) => {
            let limits = Limits { deadline: from(budget.shrink_ms), ..limits };
            let mut violation = explain(model, sorted, core.as_deref(), refutation.as_ref(), &limits);
            violation.core = violation.core.map(named);
            violation.prefix = violation.prefix.map(named);
            violation.failing = violation.failing.map(|at| places[at as usize]);
            Decision::Illegal(violation)
        }
        Err(Gap { why, after, .. }) => Decision::Undecided { why, after },
    }
}
