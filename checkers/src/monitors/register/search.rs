//! Registers to which values are written more than once: an event-ordered frontier.
//!
//! Going through beginnings and ends in order of time, the search keeps every *configuration* that explains
//! what it has seen. Nothing is placed before it must be: when a call ends, every configuration in which it
//! has no place is extended by every sequence of running calls that ends with it (just-in-time
//! linearization, Lowe 2017). What keeps configurations few:
//!
//! - **Reads** are answered as soon as their value is there, for that uses up nothing.
//! - **Blind writes are placed lazily.** Say W is the write placed last. Of an order in which a write comes
//!   before W with some compare-and-sets and reads that need it (a *segment*), nothing after W can tell. So a
//!   segment is not placed with W: while its calls run and began before W was placed (they are *free*) it can
//!   be put immediately before W at any later time; that is decided when the first of its calls ends. A
//!   write that nobody needs simply vanishes there. So there is at most one visible write in an extension,
//!   the one that makes the value that follows. Compare-and-sets that continue a segment, or the value before
//!   W, are placed with it, eagerly: all combinations are tried.
//! - **Open calls** are only worth placing in a run, a write or none and then compare-and-sets, immediately
//!   before a completed call that this run enables; what is left of a run without that call can be left out.
//!   No value comes up twice in a run. Equal open calls are counted.
//! - Of equal running writes the one that ends first is taken; the same holds for compare-and-sets that are
//!   both free or both not. A running write is used up before an open one.
//! - A configuration that another one **beats** is dropped: see [`pool`].
//!
//! A first pass keeps only some configurations of each event, takes one way where there are many, and lets open
//! calls help only where nothing else does; it finds most orders. It goes back some way if it got stuck. An order it finds is checked. If it finds none,
//! a pass that keeps all, but lets open calls take effect any number of times, finds most violations; and
//! then one that keeps all and counts decides, unless it gets too large.

use ordeal_core::Answer;

use super::calls::Calls;
use super::order;
use frontier::Search;
use problem::Problem;

mod closure;
mod frontier;
mod paths;
mod pool;
mod problem;
mod set;
mod shrink;
mod steps;
mod used;

/// How a pass works.
#[derive(Clone, Copy, Debug)]
struct Mode {
    /// So many configurations are kept after an event.
    keep: usize,
    /// Open calls take effect once.
    counts: bool,
    /// Whom open calls may help.
    help: Help,
    /// All ways in which open calls bring about a value are tried, not only one.
    all_paths: bool,
    /// So many configurations may be looked at in all.
    budget: u64,
}

/// Whom open calls may help to their value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Help {
    Nobody,
    /// The call that ends, and only if it is stuck without in all configurations.
    Stuck,
    /// The call that ends.
    Ending,
    /// Any that runs.
    All,
}

/// How a pass ended.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    /// With this order of the calls that change the value.
    Order(Vec<u32>),
    /// This call can have no place.
    Stuck(u32),
    /// It gave up.
    Undecided,
}

/// What decides in the end may look at so many configurations.
const BUDGET: u64 = 60_000_000;
/// The first pass keeps so many configurations.
const KEEP: usize = 12;

/// Judges any calls. Equal open calls, which are not told apart, can make an order that is none; then they are
/// taken one by one.
pub(super) fn judge(calls: &Calls) -> Option<Answer> {
    for problem in [Problem::of, Problem::one_by_one] {
        let problem = problem(calls);
        match decide(&problem, BUDGET).0 {
            Outcome::Order(changes) => {
                if let Some(order) = order::complete(problem.calls, &changes) {
                    let order = order.iter().map(|&i| problem.calls[i as usize].at);
                    return Some(Answer::Legal(order.collect()));
                }
            }
            Outcome::Stuck(call) => return Some(Answer::Illegal(shrink::core(calls, call))),
            Outcome::Undecided => return None,
        }
    }
    None
}

/// Calls a function with a constant for the number of words that sets of slots need.
macro_rules! by_width {
    ($function:ident, $problem:expr, $budget:expr) => {
        match $problem.width {
            0..=64 => $function::<1>($problem, $budget),
            65..=128 => $function::<2>($problem, $budget),
            129..=256 => $function::<4>($problem, $budget),
            257..=1024 => $function::<16>($problem, $budget),
            _ => (Outcome::Undecided, 0),
        }
    };
}

/// Decides, looking at no more than so many configurations. Also returns at how many it looked.
fn decide(problem: &Problem<'_>, budget: u64) -> (Outcome, u64) {
    by_width!(decide_with, problem, budget)
}

/// Finds a violation that remains one if open calls can take effect any number of times.
fn refute(problem: &Problem<'_>, budget: u64) -> (Outcome, u64) {
    by_width!(refute_with, problem, budget)
}

fn decide_with<const N: usize>(problem: &Problem<'_>, budget: u64) -> (Outcome, u64) {
    let some_open = !problem.classes.is_empty();
    let first = Mode { keep: KEEP, counts: true, help: Help::Stuck, all_paths: false, budget };
    let mut search = Search::<N>::new(problem, first);
    let (outcome, cut, mut spent) = (search.pass(), search.cut, search.work());
    if matches!(outcome, Outcome::Order(_)) || !cut && !some_open {
        return (outcome, spent);
    }
    drop(search);
    if some_open {
        let (outcome, more) = refute_with::<N>(problem, budget.saturating_sub(spent));
        spent += more;
        if matches!(outcome, Outcome::Stuck(_)) {
            return (outcome, spent);
        }
    }
    let budget = budget.saturating_sub(spent);
    let (outcome, more) = all_ways::<N>(
        problem,
        Mode { keep: usize::MAX, counts: true, help: Help::All, all_paths: true, budget },
    );
    (outcome, spent + more)
}

fn refute_with<const N: usize>(problem: &Problem<'_>, budget: u64) -> (Outcome, u64) {
    let mode = Mode { keep: usize::MAX, counts: false, help: Help::All, all_paths: false, budget };
    match all_ways::<N>(problem, mode) {
        (Outcome::Order(_), spent) => (Outcome::Undecided, spent),
        stuck => stuck,
    }
}

/// A pass that leaves out nothing.
fn all_ways<const N: usize>(problem: &Problem<'_>, mode: Mode) -> (Outcome, u64) {
    let mut search = Search::<N>::new(problem, mode);
    match search.pass() {
        Outcome::Stuck(_) if search.cut => (Outcome::Undecided, search.work()),
        outcome => (outcome, search.work()),
    }
}
