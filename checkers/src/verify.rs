//! Checks an answer without trusting whoever gave it.
//!
//! Deliberately plain: an order is replayed step by step; of calls that are said to contradict one another
//! every order is tried, the calls not named being *released*: each may have taken effect at any time, with
//! the result it has, or never. Releasing only ever allows more orders, so what contradicts itself then is
//! a counterexample of the whole, for every model.

use std::collections::{HashMap, HashSet};

use ordeal_core::{Answer, Model, Open, Timed};

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
    verify_within(WAYS, model, calls, answer)
}

/// As [`verify`], looking at no more than so many ways to go on.
pub(crate) fn verify_within<M: Model>(
    ways: usize,
    model: &M,
    calls: &[Timed<M::Call>],
    answer: &Answer,
) -> Proof {
    match answer {
        Answer::Legal(order) => replay(model, calls, order).map_or_else(Proof::Fails, |()| Proof::Holds),
        Answer::Illegal(core) => contradiction(model, calls, core, ways),
    }
}

/// Replays an order.
///
/// # Errors
/// Why it is none.
fn replay<M: Model>(model: &M, calls: &[Timed<M::Call>], order: &[u32]) -> Result<(), String> {
    let mut placed = vec![false; calls.len()];
    let mut states = vec![model.init()];
    let mut after: Vec<M::State> = Vec::with_capacity(1);
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
        after.clear();
        for next in states.iter().flat_map(|state| model.step(state, &call.call)) {
            if !after.contains(&next) {
                after.push(next);
            }
        }
        if after.is_empty() {
            return Err(format!("call {at}, {}, is impossible in its place", model.describe(&call.call)));
        }
        std::mem::swap(&mut states, &mut after);
    }
    match (0..calls.len()).find(|&i| !placed[i] && !calls[i].is_open()) {
        Some(left) => Err(format!("call {left} is not placed")),
        None => Ok(()),
    }
}

/// A call that may be placed but need not be.
struct Optional {
    at: usize,
    start: u64,
    hint: Open,
}

/// What is left to place, by position, and the state.
type Way<S> = (Vec<usize>, Vec<usize>, S);

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
    if let [a, b] = core
        && a != b
        && never_after(model, calls, *a, *b)
        && never_after(model, calls, *b, *a)
    {
        return Proof::Holds;
    }
    if gone(model, calls, core).is_some() {
        return Proof::Holds;
    }
    let may = optional(model, calls, &kept);
    let must: Vec<usize> = (0..calls.len()).filter(|i| kept.contains(i) && !calls[*i].is_open()).collect();
    // The next to be placed must not begin after one of those left ended.
    let mut seen: HashSet<Way<M::State>> = HashSet::new();
    let mut ahead: Vec<Way<M::State>> = vec![(must, (0..may.len()).collect(), model.init())];
    while let Some(way) = ahead.pop() {
        let (must, free, state) = &way;
        let Some(first_end) = must.iter().map(|&i| calls[i].end).min() else {
            return Proof::Fails("there is an order of them".to_owned());
        };
        if seen.contains(&way) {
            continue;
        }
        let mut next: Vec<Way<M::State>> = Vec::new();
        for (at, &i) in must.iter().enumerate().filter(|&(_, &i)| calls[i].start <= first_end) {
            for after in model.step(state, &calls[i].call) {
                next.push((without(must, at), free.clone(), after));
            }
        }
        let mut tried: Vec<Open> = Vec::new();
        for (at, &j) in free.iter().enumerate().filter(|&(_, &j)| may[j].start <= first_end) {
            // Those of one class are in order of their beginning: the first is as good as any.
            if matches!(may[j].hint, Open::Class(_)) {
                if tried.contains(&may[j].hint) {
                    continue;
                }
                tried.push(may[j].hint);
            }
            for after in model.step(state, &calls[may[j].at].call) {
                next.push((must.clone(), without(free, at), after));
            }
        }
        let cost = (1 + next.len()) * (1 + must.len() + free.len());
        let Some(left) = ways.checked_sub(cost) else {
            return Proof::TooLarge;
        };
        ways = left;
        ahead.append(&mut next);
        seen.insert(way);
    }
    Proof::Holds
}

/// A state that was certainly gone when a call needed it, by position.
pub(crate) struct Gone {
    /// The call that needs the state.
    pub(crate) needy: u32,
    /// One that shows another state and ended before `needy` began.
    pub(crate) other: u32,
}

/// The call of the core, if there is one, that needs a state that was certainly gone by then: another one,
/// which shows a different state, ended before it began, and every call that could have brought the state
/// back is in the core and ended before that other one began, or began too late.
pub(crate) fn gone<M: Model>(model: &M, calls: &[Timed<M::Call>], core: &[u32]) -> Option<Gone> {
    let core: Vec<(u32, &Timed<M::Call>)> =
        core.iter().map(|&at| Some((at, calls.get(at as usize)?))).collect::<Option<_>>()?;
    let mut leaving: HashMap<M::State, usize> = HashMap::new();
    for state in core.iter().filter_map(|(_, c)| model.leaves(&c.call)) {
        *leaving.entry(state).or_default() += 1;
    }
    // All but two of the core bring back the state that one of these two needs.
    let (needy, needs, state) = core.iter().filter(|(_, c)| !c.is_open()).find_map(|&(at, c)| {
        let state = model.needs(&c.call)?;
        (leaving.get(&state).copied().unwrap_or(0) + 2 >= core.len()).then_some((at, c, state))
    })?;
    let differs = |shown: Option<M::State>| shown.is_some_and(|shown| shown != state);
    let shows_another = |c: &Timed<M::Call>| differs(model.needs(&c.call)) || differs(model.leaves(&c.call));
    let before = core.iter().filter(|(_, c)| c.end < needs.start && shows_another(c));
    let &(other, shows) = before.max_by_key(|(_, c)| c.start)?;
    let kept: HashSet<u32> = core.iter().map(|&(at, _)| at).collect();
    let brings_back = |c: &Timed<M::Call>| {
        let leaves = !model.reads_only(&c.call) && model.leaves(&c.call).is_none_or(|left| left == state);
        leaves && model.needs(&c.call).is_none_or(|needed| needed != state)
    };
    let at_no_time =
        |at, c: &Timed<M::Call>| kept.contains(&at) && (c.end < shows.start || needs.end < c.start);
    let gone = (0..).zip(calls).all(|(at, c)| at == needy || !brings_back(c) || at_no_time(at, c));
    gone.then_some(Gone { needy, other })
}

/// What may take effect, or not, beside the calls that are kept: open ones, and those released. Reads and
/// what the model calls irrelevant are left out.
fn optional<M: Model>(model: &M, calls: &[Timed<M::Call>], kept: &HashSet<usize>) -> Vec<Optional> {
    let is_must = |i: usize| kept.contains(&i) && !calls[i].is_open();
    let members: Vec<usize> =
        (0..calls.len()).filter(|&i| is_must(i) || !model.reads_only(&calls[i].call)).collect();
    let all: Vec<M::Call> = members.iter().map(|&i| calls[i].call.clone()).collect();
    let open: Vec<usize> = (0..members.len()).filter(|&at| !is_must(members[at])).collect();
    let hints = model.open_calls(&all, &open).into_iter().chain(std::iter::repeat(Open::Unique));
    let starts = |i: usize| if kept.contains(&i) { calls[i].start } else { 0 };
    let optional = open.iter().zip(hints).map(|(&at, hint)| {
        let at = members[at];
        Optional { at, start: starts(at), hint }
    });
    let mut optional: Vec<Optional> = optional.filter(|o| o.hint != Open::Irrelevant).collect();
    optional.sort_by_key(|o| o.start);
    optional
}

fn without(items: &[usize], at: usize) -> Vec<usize> {
    [&items[..at], &items[at + 1..]].concat()
}

/// Whether two completed calls cannot take effect in this order, by their times or by their results alone.
fn never_after<M: Model>(model: &M, calls: &[Timed<M::Call>], earlier: u32, later: u32) -> bool {
    let (earlier, later) = (&calls[earlier as usize], &calls[later as usize]);
    let both = !earlier.is_open() && !later.is_open();
    both && (later.end < earlier.start || model.contradict(&earlier.call, &later.call))
}
