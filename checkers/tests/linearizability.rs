//! The search on histories larger than brute force can judge, and at the limits of its budget.

#![allow(clippy::unwrap_used, reason = "the lint does not see that helpers here are tests too")]

use ordeal_checkers::{Budget, GrowSet, Linearizable, Options, Register, VersionedRegister};
use ordeal_core::{
    Checker, Event, EventKind, Finding, History, Key, Model, Operation, Process, Rng, Verdict,
};
use serde_json::{Value, json};

/// Writes histories by hand. Every event happens one millisecond after the one before.
#[derive(Default)]
struct Script(History);

impl Script {
    fn event(&mut self, process: u64, kind: EventKind, f: &'static str, key: i64, value: Value) {
        let index = self.0.events.len() as u64;
        self.0.events.push(Event {
            index,
            time: (index + 1) * 1_000_000,
            process: Process::Client(process),
            kind,
            f: f.into(),
            value,
            key: Some(Key::Int(key)),
            node: Some(format!("n{}", process % 3 + 1).into()),
            error: None,
        });
    }

    fn op(&mut self, process: u64, f: &'static str, key: i64, input: Value, output: Value) {
        self.event(process, EventKind::Invoke, f, key, input);
        self.event(process, EventKind::Ok, f, key, output);
    }

    fn open(&mut self, process: u64, f: &'static str, key: i64, input: Value) {
        self.event(process, EventKind::Invoke, f, key, input);
        self.event(process, EventKind::Info, f, key, Value::Null);
    }
}

/// What a simulated object answers.
type Apply<'a, S> = &'a mut dyn FnMut(&mut Rng, &mut S, u64) -> (&'static str, Value, Value);

/// `n` operations by `clients` clients that always keep one running each; every operation takes effect
/// at the instant at which the simulation ends the one before it, so the history is linearizable.
fn concurrent<S: Default>(rng: &mut Rng, n: u64, clients: u64, p_open: f64, apply: Apply<'_, S>) -> Script {
    let mut script = Script::default();
    let mut object = S::default();
    let mut running: Vec<(u64, &'static str, Value)> = Vec::new();
    for i in 0..n {
        let process = i;
        let (f, input, output) = apply(rng, &mut object, i);
        script.event(process, EventKind::Invoke, f, 1, input);
        running.push((process, f, output));
        // The newest has taken effect; any of those running may end now.
        while running.len() as u64 >= clients || (i + 1 == n && !running.is_empty()) {
            let at = rng.below(running.len() as u64) as usize;
            let (process, f, output) = running.swap_remove(at);
            if rng.chance(p_open) {
                script.event(process, EventKind::Info, f, 1, Value::Null);
            } else {
                script.event(process, EventKind::Ok, f, 1, output);
            }
        }
    }
    script
}

fn register_ops(values: u64) -> impl FnMut(&mut Rng, &mut Value, u64) -> (&'static str, Value, Value) {
    move |rng, state, i| {
        let draw = |rng: &mut Rng| {
            if values == 0 { json!(i + 1) } else { json!(rng.below(values)) }
        };
        match rng.below(10) {
            0..5 => ("read", Value::Null, state.clone()),
            5..8 => {
                *state = draw(rng);
                ("write", state.clone(), state.clone())
            }
            _ => {
                let input = json!([state, draw(rng)]);
                *state = input[1].clone();
                ("cas", input, state.clone())
            }
        }
    }
}

fn check(model: impl Model, script: &Script) -> Finding {
    Linearizable::new(model).check(&script.0)
}

#[test]
fn long_concurrent_registers_are_judged() {
    for (values, p_open) in [(0, 0.0), (5, 0.0), (0, 0.02), (5, 0.02)] {
        let mut rng = Rng::fork(1, "register");
        let script = concurrent(&mut rng, 1_000, 8, p_open, &mut register_ops(values));
        let finding = check(Register::default(), &script);
        assert_eq!(finding.verdict, Verdict::Valid, "{values} {p_open} {finding:?}");
        assert_eq!(finding.measurements["keys_undecided"], 0);
    }
}

#[test]
fn a_wrong_read_deep_in_a_long_history_gets_a_small_core() {
    let mut rng = Rng::fork(2, "register");
    let mut script = concurrent(&mut rng, 1_000, 5, 0.0, &mut register_ops(0));
    let reads = script.0.events.iter_mut().filter(|e| e.kind == EventKind::Ok && e.f == "read");
    // Far more than five operations earlier another value was current.
    let (old, late) = {
        let reads: Vec<&mut Event> = reads.collect();
        let old = reads[20].value.clone();
        (old, reads[200].index)
    };
    script.0.events[late as usize].value = old;
    let finding = check(Register::default(), &script);
    assert_eq!(finding.verdict, Verdict::Invalid);
    let details = &finding.anomalies[0].details;
    assert_eq!(details["cannot_be_placed"]["completed"], late);
    let core = details["core"]["operations"].as_array().unwrap();
    assert!((2..=4).contains(&core.len()), "{core:#?}");
    assert_eq!(details["core"]["minimal"], true);
    assert_eq!(details["longest_order"]["last"].as_array().unwrap().len(), 10);
    assert!(finding.anomalies[0].events.contains(&late));
}

#[test]
fn an_old_version_contradicts_one_newer_read_alone() {
    let mut script = Script::default();
    for version in 1..=300_u64 {
        script.op(0, "write", 1, json!(version), json!([version, version]));
    }
    script.op(1, "read", 1, Value::Null, json!([250, 250]));
    let finding = check(VersionedRegister::default(), &script);
    assert_eq!(finding.verdict, Verdict::Invalid);
    let core = finding.anomalies[0].details["core"]["operations"].as_array().unwrap();
    assert_eq!(core.len(), 2, "{core:#?}");
}

#[test]
fn hundreds_of_open_operations_do_not_explode() {
    // Nobody ever sees these writes: without versions they are irrelevant, with versions one class.
    let mut script = Script::default();
    for i in 0..500 {
        script.open(i, "write", 1, json!(1_000 + i));
    }
    script.op(900, "write", 1, json!(7), Value::Null);
    script.op(901, "read", 1, Value::Null, json!([null, 7]));
    let irrelevant = check(VersionedRegister::default(), &script);
    assert_eq!(irrelevant.verdict, Verdict::Valid);
    assert!(irrelevant.measurements["configurations_explored"].as_u64() < Some(10));
    script.op(902, "read", 1, Value::Null, json!([400, 1_003]));
    script.op(902, "read", 1, Value::Null, json!([401, 1_002]));
    let counted = check(VersionedRegister::default(), &script);
    assert_eq!(counted.verdict, Verdict::Valid, "{counted:?}");
    script.op(902, "read", 1, Value::Null, json!([502, 1_001]));
    assert_eq!(check(VersionedRegister::default(), &script).verdict, Verdict::Invalid);
}

#[test]
fn open_operations_on_few_values_are_counted() {
    let mut script = Script::default();
    for i in 0..200 {
        script.open(i, "write", 1, json!(i % 3));
    }
    for i in 0..3 {
        script.open(300 + i, "cas", 1, json!([i, (i + 1) % 3]));
    }
    for i in 0..100 {
        script.op(900, "read", 1, Value::Null, json!(i % 3));
    }
    assert_eq!(check(Register::default(), &script).verdict, Verdict::Valid);
}

#[test]
fn a_set_with_a_hundred_elements_is_read_a_hundred_times() {
    let mut apply = |rng: &mut Rng, set: &mut Vec<u64>, i: u64| {
        if rng.chance(0.1) {
            set.push(i);
            ("add", json!(i), Value::Null)
        } else {
            ("read", Value::Null, json!(set))
        }
    };
    let script = concurrent(&mut Rng::fork(3, "set"), 1_000, 10, 0.02, &mut apply);
    let finding = check(GrowSet::default(), &script);
    assert_eq!(finding.verdict, Verdict::Valid, "{finding:?}");
    let mut wrong = script;
    let reads = wrong.0.events.iter_mut().filter(|e| e.kind == EventKind::Ok && e.f == "read");
    reads.last().unwrap().value.as_array_mut().unwrap().remove(0);
    let finding = check(GrowSet::default(), &wrong);
    assert_eq!(finding.verdict, Verdict::Invalid);
    let core = &finding.anomalies[0].details["core"];
    assert!((2..=3).contains(&core["operations"].as_array().unwrap().len()), "{core:#}");
}

#[test]
fn more_than_64_running_operations_are_told_apart() {
    let mut script = Script::default();
    for i in 0..100 {
        script.event(i, EventKind::Invoke, "read", 1, Value::Null);
    }
    script.op(200, "write", 1, json!(1), Value::Null);
    for i in 0..100 {
        let seen = if i % 2 == 0 { Value::Null } else { json!(1) };
        script.event(i, EventKind::Ok, "read", 1, seen);
    }
    assert_eq!(check(Register::default(), &script).verdict, Verdict::Valid);
    script.event(300, EventKind::Invoke, "read", 1, Value::Null);
    script.event(300, EventKind::Ok, "read", 1, Value::Null);
    assert_eq!(check(Register::default(), &script).verdict, Verdict::Invalid);
}

/// A set that says nothing of itself but its states: only the search can judge it.
struct Plain(GrowSet);

impl Model for Plain {
    type State = <GrowSet as Model>::State;
    type Call = <GrowSet as Model>::Call;
    type Next = Option<Self::State>;

    fn name(&self) -> &'static str {
        "plain"
    }

    fn init(&self) -> Self::State {
        self.0.init()
    }

    fn call(&self, op: &Operation<'_>) -> Result<Option<Self::Call>, String> {
        self.0.call(op)
    }

    fn step(&self, state: &Self::State, call: &Self::Call) -> Self::Next {
        self.0.step(state, call)
    }

    fn describe(&self, call: &Self::Call) -> String {
        self.0.describe(call)
    }
}

/// Many concurrent writes of values that are all read in the end, in an impossible way.
fn explosive() -> Script {
    let mut script = Script::default();
    for i in 0..30 {
        script.event(i, EventKind::Invoke, "add", 1, json!(i));
    }
    script.op(100, "read", 1, Value::Null, json!([999]));
    script
}

#[test]
fn an_explosion_ends_in_unknown_within_its_memory() {
    let budget = Budget { time_ms: 30_000, memory_bytes: 4 << 20, shrink_ms: 1_000 };
    // The reads of every other element keep the additions from being interchangeable.
    let mut script = explosive();
    for i in 0..30 {
        script.event(i, EventKind::Ok, "add", 1, Value::Null);
    }
    let finding = Linearizable::new(Plain(GrowSet::default())).with_budget(budget).check(&script.0);
    assert_eq!(finding.verdict, Verdict::Unknown);
    assert!(finding.summary.contains("out of memory budget after 0 of 31"), "{}", finding.summary);
    assert_eq!(finding.anomalies, []);
}

#[test]
fn an_undecided_key_does_not_mask_a_violation() {
    let budget = Budget { time_ms: 30_000, memory_bytes: 4 << 20, shrink_ms: 1_000 };
    let mut script = explosive();
    for i in 0..30 {
        script.event(i, EventKind::Ok, "add", 1, Value::Null);
    }
    script.op(200, "read", 2, Value::Null, json!([1]));
    let options = Options { budget, all: true, ..Options::default() };
    let finding = Linearizable::new(Plain(GrowSet::default())).with_options(&options).check(&script.0);
    assert_eq!(finding.verdict, Verdict::Invalid);
    assert_eq!(finding.measurements["keys_undecided"], 1);
    assert_eq!(finding.anomalies[0].key, Some(Key::Int(2)));
}

#[test]
fn many_keys_are_judged_on_several_threads_with_one_finding() {
    let mut script = Script::default();
    for round in 0..10 {
        for key in 0..300 {
            script.op(1, "write", key, json!(round), Value::Null);
            let seen = if key == 77 && round == 9 { 8 } else { round };
            script.op(2, "read", key, Value::Null, json!(seen));
        }
    }
    let judge = || {
        let options = Options { all: true, ..Options::default() };
        Linearizable::new(Register::default()).with_options(&options).check(&script.0)
    };
    let finding = judge();
    assert_eq!(finding.verdict, Verdict::Invalid);
    assert_eq!(finding.summary, "not linearizable (6000 operations on 300 keys): key 77");
    assert_eq!(finding.measurements["keys"], 300);
    assert_eq!(finding, judge());
    // The first violation is enough, unless all are wanted.
    let first = check(Register::default(), &script);
    assert_eq!(first.verdict, Verdict::Invalid);
    assert!(first.summary.starts_with("not linearizable (6000 operations on 300 keys): key 77"));
}

#[test]
fn only_the_chosen_functions_are_judged() {
    let mut script = Script::default();
    script.op(1, "write", 1, json!(1), Value::Null);
    script.op(1, "read", 1, Value::Null, json!(2));
    let writes = Linearizable::new(Register::default()).only(|f| f == "write");
    let finding = writes.check(&script.0);
    assert_eq!((finding.verdict, &finding.measurements["operations"]), (Verdict::Valid, &json!(1)));
}

/// A model with a defect of its own.
struct Panics;

impl Model for Panics {
    type Next = Option<Self::State>;
    type State = u8;
    type Call = ();

    fn name(&self) -> &'static str {
        "panics"
    }

    fn init(&self) -> u8 {
        0
    }

    fn call(&self, _op: &Operation<'_>) -> Result<Option<()>, String> {
        Ok(Some(()))
    }

    fn step(&self, _state: &u8, _call: &()) -> Option<u8> {
        panic!("the model is broken (this panic is part of a test)")
    }

    fn describe(&self, _call: &()) -> String {
        String::new()
    }
}

#[test]
fn a_model_that_panics_leaves_the_history_undecided() {
    let mut script = Script::default();
    script.op(1, "write", 1, json!(1), Value::Null);
    let finding = check(Panics, &script);
    assert_eq!(finding.verdict, Verdict::Unknown);
    assert!(finding.summary.contains("the model panics panicked"), "{}", finding.summary);
}
