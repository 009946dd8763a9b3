//! The whole judge, from taking operations to its finding, agrees with trying every order, on 200,000 small
//! random histories of each model; every order it reports explains the history, and every core it reports is
//! a contradiction that no operation can be spared from.

#![allow(clippy::unwrap_used, reason = "the lint does not see that helpers here are tests too")]

use std::collections::HashMap;

use ordeal_checkers::models::RegisterNames;
use ordeal_checkers::verify::{Proof, verify};
use ordeal_checkers::{GrowSet, Linearizable, Options, Register, VersionedRegister};
use ordeal_core::{
    Answer, Checker, Event, EventKind, Finding, History, Key, Model, Operation, Process, Rng, Timed, Verdict,
};
use serde_json::{Value, json};

/// Histories judged per model.
const HISTORIES: u64 = 200_000;

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
        waiting(i) && *start < first_end && after.any(|after| legal(model, ops, &after, done | 1 << i))
    })
}

/// The calls of a history; operations for which `keep` does not hold are released.
fn calls<M: Model>(model: &M, history: &History, keep: impl Fn(u64) -> bool) -> Vec<(M::Call, u64, u64)> {
    let mut calls = Vec::new();
    for op in history.operations().unwrap() {
        if op.kind() == EventKind::Fail {
            continue;
        }
        let op = if keep(op.index()) { op } else { Operation { call: 0, ret: Operation::OPEN, ..op } };
        if let Some(call) = model.call(&op).unwrap() {
            calls.push((call, op.call, op.ret));
        }
    }
    calls
}

fn brute_force<M: Model>(model: &M, history: &History, keep: impl Fn(u64) -> bool) -> bool {
    legal(model, &calls(model, history, keep), &model.init(), 0)
}

/// What the generator tells a simulated object to do; it answers as a correct one would.
trait Simulated: Default {
    fn ask(rng: &mut Rng) -> (&'static str, Value);
    fn apply(&mut self, f: &str, input: &Value) -> Result<Value, ()>;
    fn corrupt(rng: &mut Rng, f: &str, output: &mut Value);
}

fn small(rng: &mut Rng) -> Value {
    json!(rng.between(1, 3))
}

fn ask_register(rng: &mut Rng) -> (&'static str, Value) {
    match rng.below(10) {
        0..4 => ("read", Value::Null),
        4..7 => ("write", small(rng)),
        _ => {
            let from = if rng.chance(0.3) { Value::Null } else { small(rng) };
            ("cas", json!([from, small(rng)]))
        }
    }
}

#[derive(Default)]
struct Plain(Value);

impl Simulated for Plain {
    fn ask(rng: &mut Rng) -> (&'static str, Value) {
        ask_register(rng)
    }

    fn apply(&mut self, f: &str, input: &Value) -> Result<Value, ()> {
        match f {
            "write" => self.0 = input.clone(),
            "cas" if self.0 == input[0] => self.0 = input[1].clone(),
            "cas" => return Err(()),
            _ => {}
        }
        Ok(self.0.clone())
    }

    fn corrupt(rng: &mut Rng, _f: &str, output: &mut Value) {
        *output = small(rng);
    }
}

/// With versions, without, or with versions in some answers only.
#[derive(Default)]
struct Counted<const VERSIONS: u8>(u64, Plain);

impl<const VERSIONS: u8> Simulated for Counted<VERSIONS> {
    fn ask(rng: &mut Rng) -> (&'static str, Value) {
        ask_register(rng)
    }

    fn apply(&mut self, f: &str, input: &Value) -> Result<Value, ()> {
        let value = self.1.apply(f, input)?;
        self.0 += u64::from(f != "read");
        let shown = match VERSIONS {
            0 => false,
            1 => true,
            _ => f == "write",
        };
        Ok(json!([shown.then_some(self.0), value]))
    }

    fn corrupt(rng: &mut Rng, f: &str, output: &mut Value) {
        if rng.chance(0.5) && !output[0].is_null() {
            output[0] = json!(rng.below(5));
        } else if f == "read" || rng.chance(0.1) {
            output[1] = small(rng);
        }
    }
}

#[derive(Default)]
struct Set(Vec<u64>);

impl Simulated for Set {
    fn ask(rng: &mut Rng) -> (&'static str, Value) {
        if rng.chance(0.55) { ("add", json!(rng.between(1, 5))) } else { ("read", Value::Null) }
    }

    fn apply(&mut self, f: &str, input: &Value) -> Result<Value, ()> {
        if f == "read" {
            return Ok(json!(self.0));
        }
        let element = input.as_u64().unwrap();
        if !self.0.contains(&element) {
            self.0.push(element);
        }
        Ok(Value::Null)
    }

    fn corrupt(rng: &mut Rng, f: &str, output: &mut Value) {
        let Some(elements) = output.as_array_mut().filter(|_| f == "read") else {
            return;
        };
        if elements.is_empty() || rng.chance(0.5) {
            elements.push(json!(rng.between(1, 5)));
        } else {
            let at = rng.below(elements.len() as u64) as usize;
            elements.remove(at);
        }
    }
}

/// A random history of up to `max` operations: random intervals, each operation applied at a random
/// instant within its own, some never ended or ended unknown, some answers wrong.
fn random_history<S: Simulated>(rng: &mut Rng, max: u64) -> History {
    let n = rng.between(2, max);
    let p_open = *rng.pick(&[0.0, 0.2, 0.5]);
    let p_corrupt = *rng.pick(&[0.0, 0.1, 0.3]);
    let spread = rng.between(2, 30);
    struct Drawn {
        f: &'static str,
        input: Value,
        from: u64,
        to: u64,
        open: bool,
        result: Result<Value, ()>,
    }
    let mut ops: Vec<(u64, Drawn)> = (0..n)
        .map(|_| {
            let (f, input) = S::ask(rng);
            let from = rng.below(40);
            let to = from + rng.below(spread);
            let open = rng.chance(p_open);
            // An open operation may take effect long afterwards, or not within the history.
            let at = if open { rng.between(from, 80) } else { rng.between(from, to) };
            let result = Err(());
            (at, Drawn { f, input, from, to, open, result })
        })
        .collect();
    ops.sort_by_key(|op| op.0);
    let mut object = S::default();
    for (at, op) in &mut ops {
        if *at > 60 {
            continue;
        }
        op.result = object.apply(op.f, &op.input);
        if let Ok(output) = &mut op.result
            && rng.chance(p_corrupt)
        {
            S::corrupt(rng, op.f, output);
        }
    }
    let mut events: Vec<(u64, bool, Event)> = Vec::new();
    for (process, (_, op)) in (0_u64..).zip(ops) {
        let event = |kind, time, value| Event {
            index: 0,
            time,
            process: Process::Client(process),
            kind,
            f: op.f.into(),
            value,
            key: Some(Key::Int(1)),
            node: Some("n1".into()),
            error: None,
        };
        events.push((op.from, false, event(EventKind::Invoke, op.from, op.input.clone())));
        let end = match op.result {
            _ if op.open && rng.chance(0.5) => continue,
            _ if op.open => event(EventKind::Info, op.to, Value::Null),
            Ok(output) => event(EventKind::Ok, op.to, output),
            Err(()) => event(EventKind::Fail, op.to, Value::Null),
        };
        events.push((op.to, true, end));
    }
    events.sort_by_key(|e| (e.0, e.1));
    let events = (0..).zip(events).map(|(index, (_, _, event))| Event { index, ..event });
    History { events: events.collect(), truncated: None }
}

/// The core reported for a violation: it contradicts itself with everything else released, and without
/// any one of its operations it no longer does.
fn check_core<M: Model>(model: &M, history: &History, finding: &Finding) {
    let core = &finding.anomalies[0].details["core"];
    let kept: Vec<u64> =
        core["operations"].as_array().unwrap().iter().map(|op| op["invoked"].as_u64().unwrap()).collect();
    assert_eq!(core["minimal"], json!(true));
    assert!(!kept.is_empty());
    assert!(!brute_force(model, history, |i| kept.contains(&i)), "{history:?}");
    for spared in &kept {
        let keep = |i: u64| kept.contains(&i) && i != *spared;
        assert!(brute_force(model, history, keep), "{spared} could be spared: {finding:?}");
    }
}

fn agree<M: Model + Clone + 'static, S: Simulated>(model: &M, name: &str) {
    agree_on::<M, S>(model, name, HISTORIES);
}

/// The order reported for a valid history: replayed, it explains every answer.
fn check_order<M: Model>(model: &M, history: &History, finding: &Finding) {
    let mut timed = Vec::new();
    let mut position = HashMap::new();
    for op in history.operations().unwrap().iter().filter(|op| op.kind() != EventKind::Fail) {
        if let Some(call) = model.call(op).unwrap() {
            position.insert(op.index(), timed.len() as u32);
            timed.push(Timed { call, start: op.call, end: op.ret });
        }
    }
    let orders = finding.measurements["linearization"].as_array().unwrap();
    let order = match orders.as_slice() {
        [] => Vec::new(),
        [object] => {
            object["order"].as_array().unwrap().iter().map(|i| position[&i.as_u64().unwrap()]).collect()
        }
        more => panic!("one key, {} orders", more.len()),
    };
    let proof = verify(model, &timed, &Answer::Legal(order));
    assert_eq!(proof, Proof::Holds, "{finding:?}\n{}", lines(history));
}

fn agree_on<M: Model + Clone + 'static, S: Simulated>(model: &M, name: &str, histories: u64) {
    let options = Options { order: true, ..Options::default() };
    let checker = Linearizable::new(model.clone()).with_options(&options);
    let (mut valid, mut invalid, mut vacuous) = (0, 0, 0);
    for seed in 0..histories {
        let mut rng = Rng::fork(seed, name);
        let history = random_history::<S>(&mut rng, 7);
        let finding = checker.check(&history);
        let expected = brute_force(model, &history, |_| true);
        match finding.verdict {
            Verdict::Valid => valid += 1,
            Verdict::Vacuous => vacuous += 1,
            Verdict::Invalid => invalid += 1,
            Verdict::Unknown => panic!("seed {seed}: {finding:?}"),
        }
        assert_eq!(
            finding.verdict != Verdict::Invalid,
            expected,
            "{name}, seed {seed}: {:?}\n{}",
            finding,
            lines(&history)
        );
        if finding.verdict == Verdict::Invalid && seed % 10 == 0 {
            check_core(model, &history, &finding);
        }
        if finding.verdict == Verdict::Valid && seed % 10 == 0 {
            check_order(model, &history, &finding);
        }
    }
    assert!(valid > histories / 10 && invalid > histories / 10, "{name}: {valid}, {invalid}, {vacuous}");
}

fn lines(history: &History) -> String {
    let lines = history.events.iter().map(|e| serde_json::to_string(e).unwrap());
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn register() {
    agree::<_, Plain>(&Register::default(), "register");
}

#[test]
fn register_under_other_names() {
    let names = RegisterNames { read: "get".into(), write: "put".into(), cas: None };
    let mut history = random_history::<Plain>(&mut Rng::new(3), 7);
    let checker = Linearizable::new(Register { names, ..Register::default() });
    assert_eq!(checker.check(&history).verdict, Verdict::Vacuous);
    for event in &mut history.events {
        event.f = event.f.replace("read", "get").replace("write", "put").into();
    }
    assert_ne!(checker.check(&history).measurements["operations"], json!(0));
}

#[test]
fn versioned_register() {
    agree::<_, Counted<1>>(&VersionedRegister::default(), "versioned");
}

#[test]
fn versioned_register_without_versions() {
    agree::<_, Counted<0>>(&VersionedRegister::default(), "unversioned");
}

#[test]
fn versioned_register_with_versions_in_some_answers() {
    agree::<_, Counted<2>>(&VersionedRegister::default(), "half-versioned");
}

#[test]
fn grow_set() {
    agree::<_, Set>(&GrowSet::default(), "set");
}

/// A model without a single hint: every open operation is unique, no call is known to be a read.
#[derive(Clone, Debug, Default)]
struct Hintless(VersionedRegister);

impl Model for Hintless {
    type State = <VersionedRegister as Model>::State;
    type Call = <VersionedRegister as Model>::Call;
    type Next = Option<Self::State>;

    fn name(&self) -> &'static str {
        "hintless"
    }

    fn init(&self) -> Self::State {
        self.0.init()
    }

    fn call(&self, op: &Operation<'_>) -> Result<Option<Self::Call>, String> {
        self.0.call(op)
    }

    fn step(&self, state: &Self::State, call: &Self::Call) -> Option<Self::State> {
        self.0.step(state, call)
    }

    fn describe(&self, call: &Self::Call) -> String {
        self.0.describe(call)
    }
}

#[test]
fn a_model_without_hints() {
    agree::<_, Counted<2>>(&Hintless::default(), "hintless");
}

#[test]
#[ignore = "long"]
fn all_models_on_ten_million_histories() {
    agree_on::<_, Plain>(&Register::default(), "register", 2_500_000);
    agree_on::<_, Counted<1>>(&VersionedRegister::default(), "versioned", 2_500_000);
    agree_on::<_, Counted<2>>(&VersionedRegister::default(), "half-versioned", 2_500_000);
    agree_on::<_, Set>(&GrowSet::default(), "set", 2_500_000);
}
