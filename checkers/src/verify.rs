//! Checks an answer without trusting whoever gave it.
//!
//! Deliberately plain: an order is replayed step by step; of calls that are said to contradict one another
//! every order is tried, the calls not named being *released*: each may have taken effect at any time, with
//! the result it has, or never. Releasing only ever allows more orders, so what contradicts itself then is
//! a counterexample of the whole, for every model.

use std::collections::HashSet;

use ordeal_core::{Answer, Model, Open, Operation, Timed};

/// What became of checking an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// The answer is right.
    Holds,
    /// It is not, for this reason.
    Fails(String),
    /// There are too many orders to try.
    TooLarge,
}

/// How many ways to go on a check of a contradiction may look at.
const WAYS: usize = 1 << 20;

/// Checks what `answer` says about `calls`.
pub fn verify<M: Model>(model: &M, calls: &[Timed<M::Call>], answer: &Answer) -> Proof {
    match answer {
        Answer::Legal(order) => replay(model, calls, order).map_or_else(Proof::Fails, |()| Proof::Holds),
        Answer::Illegal(core) => contradiction(model, calls, core, WAYS),
    }
}

/// Replays an order.
///
/// # Errors
/// Why it is none.
fn replay<M: Model>(model: &M, calls: &[Timed<M::Call>], order: &[u32]) -> Result<(), String> {
    let mut placed = vec![false; calls.len()];
    let mut states = vec![model.init()];
    let mut latest_start = 0;
    for &at in order {
        let call = calls.get(at as usize).ok_or_else(|| format!("there is no call {at}"))?;
        if std::mem::replace(&mut placed[at as usize], true) {
            return Err(format!("call {at} is placed twice"));
        }
        if call.end < latest_start {
            return Err(format!("call {at} ended before one that is placed before it began"));
        }
        latest_start = latest_start.max(call.start);
        let mut after: Vec<M::State> = Vec::with_capacity(1);
        for next in states.iter().flat_map(|state| model.step(state, &call.call)) {
            if !after.contains(&next) {
                after.push(next);
            }
        }
        if after.is_empty() {
            return Err(format!("call {at}, {}, is impossible in its place", model.describe(&call.call)));
        }
        states = after;
    }
    match (0..calls.len()).find(|&i| !placed[i] && !calls[i].is_open()) {
        Some(left) => Err(format!("call {left} is not placed")),
        None => Ok(()),
    }
}

/// Whether no order exists in which the calls of `core` keep to their times. Looks at so many `ways`.
pub(crate) fn contradiction<M: Model>(
    model: &M,
    calls: &[Timed<M::Call>],
    core: &[u32],
    mut ways: usize,
) -> Proof {
    let kept: HashSet<usize> = core.iter().map(|&i| i as usize).collect();
    if kept.iter().any(|&i| i >= calls.len()) {
        return Proof::Fails("a call is named that there is not".to_owned());
    }
    let optional: Vec<usize> =
        (0..calls.len()).filter(|i| calls[*i].is_open() || !kept.contains(i)).collect();
    let all: Vec<M::Call> = calls.iter().map(|c| c.call.clone()).collect();
    let hints = model.open_calls(&all, &optional);
    let useful = optional.iter().zip(hints);
    let useful = useful.filter(|&(&i, hint)| hint != Open::Irrelevant && !model.reads_only(&all[i]));
    let may: Vec<(usize, u64)> =
        useful.map(|(&i, _)| (i, if kept.contains(&i) { calls[i].start } else { 0 })).collect();
    let must: Vec<usize> = kept.iter().copied().filter(|&i| !calls[i].is_open()).collect();
    // What is left to place, and the state; the next to be placed must not begin after one of these ended.
    let mut seen: HashSet<(Vec<usize>, Vec<usize>, M::State)> = HashSet::new();
    let mut ahead = vec![(must, (0..may.len()).collect::<Vec<_>>(), model.init())];
    while let Some(way) = ahead.pop() {
        let (must, free, state) = &way;
        let Some(first_end) = must.iter().map(|&i| calls[i].end).min() else {
            return Proof::Fails("there is an order of them".to_owned());
        };
        ways = ways.saturating_sub(must.len() + free.len());
        if ways == 0 {
            return Proof::TooLarge;
        }
        if seen.contains(&way) {
            continue;
        }
        for (at, &i) in must.iter().enumerate().filter(|&(_, &i)| calls[i].start <= first_end) {
            for next in model.step(state, &calls[i].call) {
                let mut must = must.clone();
                must.remove(at);
                ahead.push((must, free.clone(), next));
            }
        }
        for (at, &j) in free.iter().enumerate().filter(|&(_, &j)| may[j].1 <= first_end) {
            for next in model.step(state, &calls[may[j].0].call) {
                let mut free = free.clone();
                free.remove(at);
                ahead.push((must.clone(), free, next));
            }
        }
        seen.insert(way);
    }
    debug_assert!(Operation::OPEN == u64::MAX, "an open call never ends first");
    Proof::Holds
}
