//! Judges against every order: what the fuzz target and the seeded test have in common.
//!
//! Bytes become a small history of any object: a simulated one, of which some operations are then changed
//! one by one, so that about half of them are wrong. Every order of it is tried on the simulator's objects,
//! which share no code with the judges' models. A judge that says the opposite is a bug, and so is one
//! that panics, or cites nothing, or leaves so few operations undecided.

use std::collections::BTreeMap;

use ordeal_checkers::verify::{Proof, verify};
use ordeal_checkers::{GrowSet, Options, Register, VersionedRegister, judge_named};
use ordeal_core::{Answer as Verified, EventKind, Finding, History, Key, Model, Timed, Verdict};
use ordeal_simulator::{
    Answer, Ended, Events, Function, OBJECTS, Object, Parameters, Simulated, What, explained, simulate,
};

/// What came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compared {
    /// Some order explains it, and the judge found that out.
    Legal,
    /// No order does, and the judge found that out.
    Illegal,
    /// There is no judge for it, or nothing to judge.
    Nothing,
}

/// The bytes, one after another; 0 when there are no more.
struct Bytes<'b>(&'b [u8]);

impl Bytes<'_> {
    fn next(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::from(self.next()) % bound.max(1)
    }
}

/// Compares the judge of an object with every order of a history made of these bytes.
///
/// # Panics
/// If they differ.
pub(crate) fn compare(bytes: &[u8]) -> (Object, Compared) {
    let mut bytes = Bytes(bytes);
    let entry = &OBJECTS[bytes.below(OBJECTS.len())];
    let object = entry.object;
    let operations = history(object, &mut bytes);
    let Some(judge) = judge_named(entry.name)
        .and_then(|judge| (judge.judge)(&Options { initial: object.initial(), ..Options::default() }).ok())
    else {
        return (object, Compared::Nothing);
    };
    if !operations.iter().any(Simulated::is_ok) {
        return (object, Compared::Nothing);
    }
    let Some(legal) = explained(object, &operations) else {
        return (object, Compared::Nothing);
    };
    let events: Vec<_> = Events::new(object, operations).collect();
    let history = History { events, truncated: None };
    check_answers(object, &history, legal);
    let finding = judge.check(&history);
    let wrong = || {
        format!("{} by every order, but {finding:#?}\n{history:#?}", if legal { "legal" } else { "illegal" })
    };
    match finding.verdict {
        // Promises of transactions may be weaker than the one that is tried here, and what they read may
        // not tell who wrote it.
        Verdict::Valid | Verdict::Unknown if object.is_transactional() => {}
        // The simulator counts tokens one by one; a fenced lock only promises that they grow.
        Verdict::Valid if object == Object::FencedLock => {}
        // A map may answer with an empty text where it has nothing; the simulator says null.
        Verdict::Valid if object == Object::Kv && history.events.iter().any(|e| e.value == "") => {}
        Verdict::Valid => assert!(legal, "{}", wrong()),
        Verdict::Invalid => {
            assert!(!legal, "{}", wrong());
            assert!(cites(&finding, &history), "{}", wrong());
        }
        // Everything that could be judged was open or about something else.
        Verdict::Vacuous => assert!(legal, "{}", wrong()),
        Verdict::Unknown => panic!("{}", wrong()),
    }
    (object, if legal { Compared::Legal } else { Compared::Illegal })
}

/// The answers of the fast judges hold.
fn check_answers(object: Object, history: &History, legal: bool) {
    match object {
        Object::Register | Object::CasRegister => check_answer(&Register::default(), history, legal),
        Object::VersionedRegister => check_answer(&VersionedRegister::default(), history, legal),
        Object::GrowSet => check_answer(&GrowSet::default(), history, legal),
        _ => {}
    }
}

fn check_answer<M: Model>(model: &M, history: &History, legal: bool) {
    type Parts<'h, C> = BTreeMap<(Option<&'h Key>, u64), Vec<Timed<C>>>;
    let mut parts: Parts<'_, M::Call> = BTreeMap::new();
    for op in history.operations().unwrap_or_default() {
        let call = if op.kind() == EventKind::Fail { model.refusal(&op) } else { model.call(&op) };
        if let Ok(Some(call)) = call {
            let part = (op.key(), model.partition(&call));
            parts.entry(part).or_default().push(Timed { call, start: op.call, end: op.ret });
        }
    }
    for mut calls in parts.into_values() {
        calls.sort_by_key(|call| call.start);
        let Some(answer) = model.monitor(&calls) else { continue };
        assert_eq!(verify(model, &calls, &answer), Proof::Holds, "{answer:?}\n{calls:#?}");
        assert!(!legal || matches!(answer, Verified::Legal(_)), "{answer:?}\n{calls:#?}");
    }
}

/// Whether a violation names events that exist.
fn cites(finding: &Finding, history: &History) -> bool {
    let exists = |&index: &u64| history.event(index).is_some();
    let named = |events: &Vec<u64>| !events.is_empty() && events.iter().all(exists);
    !finding.anomalies.is_empty() && finding.anomalies.iter().all(|anomaly| named(&anomaly.events))
}

fn history(object: Object, bytes: &mut Bytes<'_>) -> Vec<Simulated> {
    let parameters = Parameters {
        operations: 2 + bytes.below(8) as u64,
        clients: 1 + bytes.below(4) as u64,
        keys: 1 + bytes.below(2) as u64,
        values: bytes.below(4) as u64,
        gap: [1, 100, 1_000][bytes.below(3)],
        open_per_million: [0, 0, 100_000, 300_000][bytes.below(4)],
        fail_per_million: [0, 100_000][bytes.below(2)],
        read_percent: [30, 50, 70][bytes.below(3)],
        appends_per_key: 8,
        read_every: 2,
        steps: 3,
        seed: u64::from_le_bytes(std::array::from_fn(|_| bytes.next())),
        ..Parameters::new(object)
    };
    let mut operations: Vec<Simulated> = simulate(&parameters).map(Iterator::collect).unwrap_or_default();
    for _ in 0..bytes.below(4) {
        change(object, &mut operations, bytes);
    }
    operations
}

/// Changes one operation.
fn change(object: Object, operations: &mut [Simulated], bytes: &mut Bytes<'_>) {
    let count = operations.len();
    let (at, other) = (bytes.below(count), bytes.below(count));
    let small = bytes.below(5) as i64;
    match bytes.below(8) {
        // Nobody knows any more how it ended.
        0 => (operations[at].ended, operations[at].ret) = (Ended::Open, None),
        // It took effect after all.
        1 if operations[at].ended == Ended::Fail => succeed(object, &mut operations[at], small),
        // The answer of another one, if that was asked the same.
        2..5 if operations[at].function == operations[other].function => {
            let (answer, steps) = (operations[other].answer.clone(), operations[other].steps.clone());
            let op = &mut operations[at];
            if matches!((&op.answer, &answer), (Answer::Silent, _) | (_, Answer::Silent)) {
                return;
            }
            (op.answer, op.steps) = (answer, steps);
        }
        _ => disturb(&mut operations[at], small),
    }
}

/// Says that an operation took effect which had none, if there is an answer for that.
fn succeed(object: Object, op: &mut Simulated, small: i64) {
    match op.function {
        Function::Acquire if object == Object::FencedLock => op.answer = Answer::Number(small + 1),
        Function::Write | Function::Cas if object == Object::VersionedRegister => {
            op.answer =
                Answer::Versioned(small as u64 + 1, op.args[usize::from(op.function == Function::Cas)]);
        }
        Function::Acquire | Function::Write | Function::Cas | Function::Transfer | Function::Increment => {}
        Function::Put | Function::AppendText => {}
        function if function.gives() && !function.answers_yes_or_no() => {}
        _ => return,
    }
    op.ended = Ended::Ok;
}

/// Changes an answer a little.
fn disturb(op: &mut Simulated, small: i64) {
    for step in &mut op.steps {
        match &mut step.what {
            What::List(seen) => seen.truncate(small as usize),
            What::Value(seen) => *seen = small,
            What::Append(_) | What::Write(_) => {}
        }
    }
    match &mut op.answer {
        Answer::Silent => {}
        Answer::Number(value) if op.function.answers_yes_or_no() => *value = small % 2,
        Answer::Number(value) => *value = small,
        Answer::Versioned(version, value) => {
            if small % 2 == 0 || op.function.name() == "write" {
                *version = small as u64 + 1;
            } else {
                *value = small;
            }
        }
        Answer::List(seen) | Answer::Text(Some(seen)) => match small {
            0 => {
                seen.pop();
            }
            1 if seen.len() > 1 => seen.rotate_left(1),
            _ => seen.truncate(small as usize),
        },
        Answer::Text(None) => op.answer = Answer::Text(Some(vec![small])),
        Answer::Accounts(balances) => balances[small as usize] += 1,
    }
}
