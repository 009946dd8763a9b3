//! Random small histories of queues and stacks for tests: most of them are what a right object could have
//! answered, with a result or two changed. And what hand-written ones are made of.

use ordeal_core::{Answer, Model, Operation, Rng, Timed};

use crate::models::{Atom, ContainerCall};
use crate::testing::{brute_force, intervals};
use crate::verify::{Proof, verify};

type Call = Timed<ContainerCall>;

pub(super) fn put(value: i64, start: u64, end: u64) -> Call {
    Timed { call: ContainerCall::Put(Atom::int(value)), start, end }
}

pub(super) fn take(value: i64, start: u64, end: u64) -> Call {
    Timed { call: ContainerCall::Take(Atom::int(value)), start, end }
}

pub(super) fn peek(value: i64, start: u64, end: u64) -> Call {
    Timed { call: ContainerCall::Peek(Atom::int(value)), start, end }
}

pub(super) fn nothing(start: u64, end: u64) -> Call {
    Timed { call: ContainerCall::TakeNothing, start, end }
}

pub(super) fn unknown(start: u64) -> Call {
    Timed { call: ContainerCall::TakeUnknown, start, end: Operation::OPEN }
}

/// The end of an open call.
pub(super) const OPEN: u64 = Operation::OPEN;

/// Asserts that the calls are legal and the monitor shows it.
pub(super) fn legal<M: Model<Call = ContainerCall>>(model: &M, calls: &[Call]) {
    assert!(brute_force(model, calls), "{calls:#?}");
    let answer = model.monitor(calls).unwrap();
    assert!(matches!(answer, Answer::Legal(_)), "{answer:?}");
    assert_eq!(verify(model, calls, &answer), Proof::Holds, "{answer:?}");
}

/// Asserts that the calls are illegal and the monitor names these.
pub(super) fn illegal<M: Model<Call = ContainerCall>>(model: &M, calls: &[Call], core: &[u32]) {
    assert!(!brute_force(model, calls), "{calls:#?}");
    let Some(Answer::Illegal(mut named)) = model.monitor(calls) else {
        panic!("not illegal: {calls:#?}");
    };
    named.sort_unstable();
    assert_eq!(named, core, "{calls:#?}");
    assert_eq!(verify(model, calls, &Answer::Illegal(named)), Proof::Holds);
}

/// What is wrong with every container alike.
pub(super) fn common_violations<M: Model<Call = ContainerCall>>(model: &M) {
    illegal(model, &[put(1, 0, 1), take(2, 2, 3)], &[1]);
    illegal(model, &[put(1, 0, 1), take(1, 2, 3), take(1, 4, 5)], &[1, 2]);
    illegal(model, &[put(1, 0, 9), take(1, 2, 3), take(1, 2, 8), put(2, 4, 5)], &[1, 2]);
    illegal(model, &[take(1, 0, 1), put(1, 2, OPEN)], &[0, 1]);
    illegal(model, &[put(1, 0, 1), nothing(2, 3), take(1, 4, 5)], &[0, 1, 2]);
    legal(model, &[put(1, 0, 1), unknown(1), nothing(2, 3)]);
    legal(model, &[put(1, 0, 2), nothing(2, 3), take(1, 3, 4), nothing(4, 5)]);
    legal(model, &[put(1, 0, OPEN), nothing(2, 3), nothing(4, 5), take(1, 6, 7)]);
    legal(model, &[]);
    let twice = [put(1, 0, 1), put(1, 2, 3)];
    assert_eq!(model.monitor(&twice), None, "values that are put in twice are for others");
}

/// What is drawn.
#[derive(Clone, Copy)]
pub(super) struct Draw {
    /// The most calls a history has.
    pub(super) longest: u64,
    /// Whether there are calls that look without taking out.
    pub(super) peeks: bool,
}

impl Draw {
    /// The calls of one history on the object that `model` specifies.
    pub(super) fn calls<M: Model<Call = ContainerCall>>(
        self,
        model: &M,
        rng: &mut Rng,
    ) -> Vec<Timed<M::Call>> {
        let n = rng.between(2, self.longest) as usize;
        let p_open = *rng.pick(&[0.0, 0.0, 0.1, 0.3, 0.6]);
        let width = rng.between(2, 6) as usize;
        let mut times = intervals(rng, n, width, p_open);
        if rng.chance(0.2) {
            times.iter_mut().for_each(|t| *t = (t.0 / 2, if t.1 == Operation::OPEN { t.1 } else { t.1 / 2 }));
        }
        let calls = self.answered(model, rng, &times);
        let mut calls: Vec<Timed<ContainerCall>> = calls
            .into_iter()
            .zip(&times)
            .filter_map(|(call, &(start, end))| Some(Timed { call: call?, start, end }))
            .collect();
        for _ in 0..*rng.pick(&[0, 0, 1, 1, 2, 4]) {
            spoil(rng, &mut calls);
        }
        calls
    }

    /// What an object answers if each call takes effect somewhere in its time; `None` for those that a
    /// history leaves out.
    fn answered<M: Model<Call = ContainerCall>>(
        self,
        model: &M,
        rng: &mut Rng,
        times: &[(u64, u64)],
    ) -> Vec<Option<ContainerCall>> {
        let mut order: Vec<(u64, usize)> = times
            .iter()
            .enumerate()
            .map(|(at, &(start, end))| match end {
                Operation::OPEN => (rng.between(start, start + 12), at),
                end => (rng.between(start, end), at),
            })
            .collect();
        order.sort_unstable();
        let mut values: Vec<i64> = (1..=times.len() as i64).collect();
        rng.shuffle(&mut values);
        let mut calls = vec![None; times.len()];
        let mut state = model.init();
        let puts = *rng.pick(&[0.4, 0.5, 0.7]);
        for (_, at) in order {
            let open = times[at].1 == Operation::OPEN;
            let found = |state: &M::State, call: fn(Atom) -> ContainerCall| {
                let call = |&v: &i64| Some(call(Atom::int(v)));
                let mut possible: Vec<ContainerCall> = values.iter().filter_map(call).collect();
                possible.retain(|call| model.step(state, call).into_iter().next().is_some());
                possible
            };
            let take = |possible: Vec<ContainerCall>, rng: &mut Rng, nothing| match possible.is_empty() {
                true => nothing,
                false => *rng.pick(&possible),
            };
            let call = if rng.chance(puts) {
                ContainerCall::Put(Atom::int(values[at]))
            } else if self.peeks && rng.chance(0.5) {
                if open {
                    continue;
                }
                take(found(&state, ContainerCall::Peek), rng, ContainerCall::PeekNothing)
            } else {
                take(found(&state, ContainerCall::Take), rng, ContainerCall::TakeNothing)
            };
            if !open || rng.chance(0.5) {
                state = model.step(&state, &call).into_iter().next().unwrap_or(state);
            }
            let taken = matches!(call, ContainerCall::Take(_) | ContainerCall::TakeNothing);
            calls[at] = Some(if open && taken { ContainerCall::TakeUnknown } else { call });
        }
        calls
    }
}

/// Changes the result of a call, or exchanges those of two.
fn spoil(rng: &mut Rng, calls: &mut [Timed<ContainerCall>]) {
    let results = |call: &ContainerCall| !matches!(call, ContainerCall::Put(_) | ContainerCall::TakeUnknown);
    let at: Vec<usize> = (0..calls.len()).filter(|&i| results(&calls[i].call)).collect();
    if at.is_empty() {
        return;
    }
    let (a, b) = (*rng.pick(&at), *rng.pick(&at));
    if rng.chance(0.6) {
        let call = calls[a].call;
        calls[a].call = calls[b].call;
        calls[b].call = call;
        return;
    }
    let peek = matches!(calls[a].call, ContainerCall::Peek(_) | ContainerCall::PeekNothing);
    let value = Atom::int(rng.between(1, calls.len() as u64 + 1) as i64);
    calls[a].call = match (peek, rng.chance(0.3)) {
        (true, true) => ContainerCall::PeekNothing,
        (true, false) => ContainerCall::Peek(value),
        (false, true) => ContainerCall::TakeNothing,
        (false, false) => ContainerCall::Take(value),
    };
}
