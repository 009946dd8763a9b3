//! Judges many objects: the largest first, on as many threads as there are cores. Each is first searched for
//! a short while, so that a hard one cannot use up the time of those that are easily judged; those left
//! undecided are then judged with all the time that is left.
//!
//! Unless all are to be judged, the first violation ends it. First in the order of judging, not of time:
//! what comes before a violation in that order is judged to its end, so that the same history gets the same
//! finding.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use ordeal_core::{Model, Timed};

use super::budget::{Limits, Stop};
use super::judge::{Found, Gap, Monitor, Ruling, judge_object};

/// Below so many calls threads cost more than they save.
const WORTH_THREADS: usize = 2_000;

/// What objects are judged with.
#[derive(Clone, Copy)]
pub(super) struct Plan {
    pub(super) deadline: Option<Instant>,
    /// For all objects judged at once.
    pub(super) memory_bytes: usize,
    /// Goes on after a violation.
    pub(super) all: bool,
}

/// How many configurations are explored of an object before the others had their turn.
const HURRIED: u64 = 20_000;

/// Judges the objects, each given by its calls, sorted by their beginning. `None` for those that were left
/// unjudged because a violation was found.
pub(super) fn judge_all<M: Model>(
    model: &M,
    objects: &[Option<&[Timed<M::Call>]>],
    plan: Plan,
) -> Vec<Option<Found<M::State>>> {
    let mut order: Vec<usize> = (0..objects.len()).filter(|&i| objects[i].is_some()).collect();
    order.sort_by_key(|&i| std::cmp::Reverse(objects[i].map_or(0, <[_]>::len)));
    let first = if order.len() > 1 { HURRIED } else { u64::MAX };
    let mut judged: Vec<Option<Found<M::State>>> = objects.iter().map(|_| None).collect();
    for (object, found) in judge_in_order(model, objects, plan, &order, first) {
        judged[object] = Some(found);
    }
    let is_hard = |&object: &usize| match judged[object].as_ref().map(|found| &found.result) {
        Some(Err(gap)) => gap.stop == Some(Stop::Configurations),
        _ => false,
    };
    let hard: Vec<usize> = order.into_iter().filter(is_hard).collect();
    let violated = judged.iter().flatten().any(|found| matches!(found.result, Ok(Ruling::Illegal { .. })));
    for &object in &hard {
        judged[object] = None;
    }
    if plan.all || !violated {
        for (object, found) in judge_in_order(model, objects, plan, &hard, u64::MAX) {
            judged[object] = Some(found);
        }
    }
    judged
}

/// Judges these objects in this order, exploring at most so many configurations of each. Without those
/// that were left unjudged because a violation was found.
fn judge_in_order<M: Model>(
    model: &M,
    objects: &[Option<&[Timed<M::Call>]>],
    plan: Plan,
    order: &[usize],
    configurations: u64,
) -> Vec<(usize, Found<M::State>)> {
    let total: usize = order.iter().map(|&i| objects[i].map_or(0, <[_]>::len)).sum();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let workers = if total < WORTH_THREADS { 1 } else { cores.min(order.len()).max(1) };
    let next = AtomicUsize::new(0);
    // The earliest place in the order at which there is a violation.
    let violation = AtomicUsize::new(usize::MAX);
    let work = || {
        let mut done = Vec::new();
        loop {
            let place = next.fetch_add(1, Ordering::Relaxed);
            let Some(&object) = order.get(place).filter(|_| place < violation.load(Ordering::Relaxed)) else {
                return done;
            };
            let unwanted = || violation.load(Ordering::Relaxed) < place;
            let limits = Limits {
                deadline: plan.deadline,
                memory_bytes: plan.memory_bytes / workers,
                configurations,
                unwanted: &unwanted,
            };
            let found = judge_object(model, objects[object].unwrap_or_default(), &limits);
            if !plan.all && matches!(found.result, Ok(Ruling::Illegal { .. })) {
                violation.fetch_min(place, Ordering::Relaxed);
            }
            done.push((place, found));
        }
    };
    let done = std::thread::scope(|scope| {
        // A thread that cannot be started is no loss: this one does the work that is left.
        let helpers: Vec<_> =
            (1..workers).filter_map(|_| std::thread::Builder::new().spawn_scoped(scope, work).ok()).collect();
        let mut done = work();
        for helper in helpers {
            done.extend(helper.join().unwrap_or_default());
        }
        done
    });
    let last = violation.into_inner();
    let mut judged: Vec<Option<Found<M::State>>> = order.iter().map(|_| None).collect();
    for (place, found) in done {
        judged[place] = Some(found);
    }
    let missing = || {
        let result = Err(Gap::of("the search did not come back"));
        Found { result, explored: 0, monitor: Monitor::Silent }
    };
    let judged = order.iter().zip(judged).take(last.saturating_add(1));
    judged.map(|(&object, found)| (object, found.unwrap_or_else(missing))).collect()
}
