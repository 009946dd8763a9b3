//! What the engine says of each model agrees with trying every order, on small random histories: the hints
//! that models give about open operations, reads and independent parts are right.

#![allow(clippy::unwrap_used, reason = "the lint does not see that helpers here are tests too")]

use ordeal_checkers::Linearizable;
use ordeal_checkers::models::{
    AppendList, Claim, Counter, FencedLock, KeyValue, Ledger, Lock, Machine, MultiRegister, Set, Trade,
};
use ordeal_core::{Checker, Event, EventKind, History, Key, Model, Operation, Process, Rng, Verdict};
use serde_json::{Value, json};

/// Histories judged per model.
const HISTORIES: u64 = 8_000;

/// One request, and all that may be answered.
struct Asked {
    f: &'static str,
    input: Value,
    answers: Vec<Value>,
}

fn asked(f: &'static str, input: Value, answers: impl IntoIterator<Item = Value>) -> Asked {
    Asked { f, input, answers: answers.into_iter().collect() }
}

fn event(process: u64, kind: EventKind, f: &'static str, time: u64, value: Value) -> Event {
    let (node, key) = (Some("n1".into()), Some(Key::Int(1)));
    Event {
        index: 0,
        time,
        process: Process::Client(process),
        kind,
        f: f.into(),
        value,
        key,
        node,
        error: None,
    }
}

/// A random history: each operation is applied to the model at a moment within its time, and answers with
/// the first answer that the model allows there, or now and then with any.
fn random_history<M: Model>(model: &M, rng: &mut Rng, ask: fn(&mut Rng) -> Asked) -> History {
    let (p_open, p_wrong) = (*rng.pick(&[0.0, 0.2, 0.4]), *rng.pick(&[0.0, 0.1, 0.3]));
    let spread = rng.between(2, 30);
    let mut drawn = Vec::new();
    for process in 0..rng.between(2, 7) {
        let from = rng.below(40);
        let to = from + rng.below(spread);
        let open = rng.chance(p_open);
        drawn.push((
            if open { rng.between(from, 80) } else { rng.between(from, to) },
            process,
            from,
            to,
            open,
        ));
    }
    drawn.sort_unstable();
    let mut state = model.init();
    let mut applied: Vec<M::Call> = Vec::new();
    let mut events = Vec::new();
    for (at, process, from, to, open) in drawn {
        let Asked { f, input, mut answers } = ask(rng);
        rng.shuffle(&mut answers);
        let invoke = event(process, EventKind::Invoke, f, from, input);
        let after = |answer: &Value| {
            let complete = event(process, EventKind::Ok, f, to, answer.clone());
            let op = Operation { invoke: &invoke, complete: Some(&complete), call: from, ret: to };
            let call = model.call(&op).unwrap()?;
            Some((model.step(&state, &call).into_iter().next()?, call))
        };
        let right = answers.iter().find_map(|answer| Some((answer.clone(), after(answer)?)));
        let end = match right {
            _ if open => event(process, EventKind::Info, f, to, Value::Null),
            _ if rng.chance(p_wrong) => event(process, EventKind::Ok, f, to, rng.pick(&answers).clone()),
            Some((ref answer, _)) => event(process, EventKind::Ok, f, to, answer.clone()),
            None => event(process, EventKind::Fail, f, to, Value::Null),
        };
        if let Some((_, (after, call))) = right.filter(|_| at <= 60) {
            state = after;
            assert!(!applied.iter().any(|earlier| model.contradict(earlier, &call)), "{applied:?} {call:?}");
            applied.push(call);
        }
        events.push((from, false, invoke));
        events.push((to, true, end));
    }
    events.sort_by_key(|e| (e.0, e.1));
    let events = (0..).zip(events).map(|(index, (_, _, event))| Event { index, ..event });
    History { events: events.collect(), truncated: None }
}

/// Whether some order of the calls explains them: every order is tried, nothing is remembered.
fn legal<M: Model>(model: &M, ops: &[(M::Call, u64, u64)], state: &M::State, done: u32) -> bool {
    let waiting = |i: usize| done & (1 << i) == 0;
    let must = (0..ops.len()).filter(|&i| waiting(i) && ops[i].2 != Operation::OPEN);
    let Some(first_end) = must.map(|i| ops[i].2).min() else {
        return true;
    };
    (0..ops.len()).any(|i| {
        let (call, start, _) = &ops[i];
        let mut after = model.step(state, call).into_iter();
        waiting(i) && *start <= first_end && after.any(|after| legal(model, ops, &after, done | 1 << i))
    })
}

fn agree<M: Model + Clone + 'static>(model: &M, ask: fn(&mut Rng) -> Asked) {
    let checker = Linearizable::new(model.clone());
    let (mut valid, mut invalid) = (0, 0);
    for seed in 0..HISTORIES {
        let history = random_history(model, &mut Rng::fork(seed, model.name()), ask);
        let ops = history.operations().unwrap();
        let judged = ops.iter().filter(|op| op.kind() != EventKind::Fail);
        let calls = judged.filter_map(|op| Some((model.call(op).unwrap()?, op.call, op.ret)));
        let expected = legal(model, &calls.collect::<Vec<_>>(), &model.init(), 0);
        let finding = checker.check(&history);
        let text =
            || history.events.iter().map(|e| serde_json::to_string(e).unwrap() + "\n").collect::<String>();
        assert_ne!(finding.verdict, Verdict::Unknown, "seed {seed}: {finding:?}");
        assert_eq!(finding.verdict != Verdict::Invalid, expected, "seed {seed}: {finding:?}\n{}", text());
        valid += u64::from(finding.verdict == Verdict::Valid);
        invalid += u64::from(finding.verdict == Verdict::Invalid);
    }
    assert!(valid > HISTORIES / 10 && invalid > HISTORIES / 20, "{valid} valid, {invalid} not");
}

fn small(rng: &mut Rng, most: u64) -> Value {
    json!(rng.between(1, most))
}

#[test]
fn set() {
    let of_one = |rng: &mut Rng| {
        let answers = [json!(true), json!(false)];
        let said = if rng.chance(0.5) { answers.clone() } else { [Value::Null, Value::Null] };
        match rng.below(3) {
            0 => asked("add", small(rng, 2), said),
            1 => asked("remove", small(rng, 2), said),
            _ => asked("contains", small(rng, 2), answers),
        }
    };
    agree(&Set, of_one);
    agree(&Set, |rng| match rng.below(5) {
        0..2 => asked("add", small(rng, 2), [Value::Null]),
        2 => asked("remove", small(rng, 2), [Value::Null]),
        3 => asked("contains", small(rng, 2), [json!(true), json!(false)]),
        _ => asked("read", Value::Null, [json!([]), json!([1]), json!([2]), json!([1, 2])]),
    });
}

#[test]
fn list() {
    agree(&AppendList, |rng| match rng.below(5) {
        0..2 => asked("append", small(rng, 3), [Value::Null]),
        2 => asked("append", small(rng, 3), (0..4).map(Value::from)),
        _ => {
            let mut lists = vec![json!([])];
            for a in 1..4 {
                lists.push(json!([a]));
                (1..4).for_each(|b| lists.push(json!([a, b])));
                (1..28).for_each(|n| lists.push(json!([a, n % 3 + 1, n / 9 + 1])));
            }
            asked("read", Value::Null, lists)
        }
    });
}

#[test]
fn counter() {
    agree(&Counter { initial: 3 }, |rng| match rng.below(2) {
        0 => asked("add", json!(rng.between(0, 4) as i64 - 2), [Value::Null]),
        _ => asked("read", Value::Null, (-6..12).map(Value::from)),
    });
}

#[test]
fn lock() {
    agree(&Lock, |rng| {
        asked(if rng.chance(0.5) { "acquire" } else { "release" }, Value::Null, [Value::Null])
    });
}

#[test]
fn fenced_lock() {
    agree(&FencedLock, |rng| match rng.below(2) {
        0 => asked("acquire", Value::Null, [json!(1), json!(2), json!(3), Value::Null]),
        _ => asked("release", small(rng, 3), [Value::Null]),
    });
}

#[test]
fn key_value() {
    agree(&KeyValue, |rng| match rng.below(8) {
        0..2 => asked("put", rng.pick(&[json!("a"), json!("b"), json!(1)]).clone(), [Value::Null]),
        2..4 => asked("append", rng.pick(&[json!("a"), json!("b")]).clone(), [Value::Null]),
        4 => asked("delete", Value::Null, [Value::Null]),
        _ => {
            let texts = ["", "a", "b", "aa", "ab", "ba", "bb", "aab", "aba", "bab", "abb"];
            let texts = texts.into_iter().map(Value::from);
            asked("get", Value::Null, texts.chain([Value::Null, json!(1)]))
        }
    });
}

#[test]
fn multi_register() {
    let model = MultiRegister::from_options(&json!({"x": 0, "y": 0})).unwrap();
    agree(&model, |rng| {
        let (x, y) = (rng.between(0, 2), rng.between(0, 2));
        let input = match rng.below(5) {
            0 => json!([["write", "x", x], ["write", "y", y]]),
            1 => json!([["write", "x", x], ["read", "x", x], ["read", "y", null]]),
            2 => json!([["write", "y", y]]),
            _ => json!([["read", "x", null], ["read", "y", null]]),
        };
        let known = |n: u64| {
            let mut steps = input.clone();
            for (at, step) in steps.as_array_mut().unwrap().iter_mut().enumerate() {
                if step[2].is_null() {
                    step[2] = json!(if at == 0 { n % 3 } else { n / 3 });
                }
            }
            steps
        };
        let answers: Vec<Value> = (0..9).map(known).collect();
        asked("txn", input, answers)
    });
}

#[test]
fn ledger() {
    for negative in [false, true] {
        let initial = json!({"balances": {"1": 2, "2": 1}, "negative": negative});
        agree(&Ledger::from_options(&initial).unwrap(), |rng| match rng.below(2) {
            0 => {
                let transfer = json!({"from": small(rng, 3), "to": small(rng, 3), "amount": rng.below(3)});
                asked("transfer", transfer, [Value::Null])
            }
            _ => {
                let whole =
                    (-3..6).flat_map(|a| (-3..6).map(move |b| json!({"1": a, "2": b, "3": 3 - a - b})));
                asked("read", Value::Null, whole.chain((-3..6).map(|c| json!({"3": c}))))
            }
        });
    }
}

#[test]
fn claim() {
    agree(&Claim, |rng| {
        let status = ["submitted", "approved", "rejected"].map(Value::from);
        let silent = rng.chance(0.4);
        let said = status.clone().into_iter().filter(|_| !silent).chain(silent.then_some(Value::Null));
        let departments = ["finance", "policyholder", "approval"];
        match rng.below(7) {
            0 => asked("submit", Value::Null, said),
            1..5 => {
                let input = json!({"department": rng.pick(&departments), "verdict": rng.chance(0.7)});
                asked("confirm", input, said)
            }
            _ => asked("read", Value::Null, status.into_iter().chain([Value::Null])),
        }
    });
}

#[test]
fn machine() {
    agree(&Machine::default(), |rng| {
        let states = ["running", "alert", "slowed", "shutdown"].map(Value::from);
        let silent = rng.chance(0.4);
        let said = states.clone().into_iter().filter(|_| !silent).chain(silent.then_some(Value::Null));
        match rng.below(6) {
            0 => asked("reset", Value::Null, said),
            1..4 => {
                let value = *rng.pick(&[20.0, 90.0, 90.0, 130.0]);
                asked("reading", json!({"sensor": "s", "kind": "temperature", "value": value}), said)
            }
            _ => asked("read", Value::Null, states),
        }
    });
}

#[test]
fn trade() {
    agree(&Trade, |rng| match rng.below(5) {
        0..2 => asked("submit", json!({"price": rng.between(1, 2), "volume": 3}), [Value::Null]),
        2 => asked("settle", Value::Null, [Value::Null]),
        _ => {
            let price = rng.between(1, 2);
            let seen = |status| json!({"status": status, "price": price});
            let seen = ["pending", "confirmed", "settled"].into_iter().map(seen);
            asked("read", Value::Null, seen.chain([Value::Null, json!("confirmed"), json!("pending")]))
        }
    });
}
