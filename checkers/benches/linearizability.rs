//! The judge and its peers on the same histories: `cargo bench -p ordeal-checkers --bench linearizability`.
//!
//! The peers are those that crates.io has: the Wing–Gong–Lowe checker of `todc-utils` and the tester of
//! `stateright`. They get only what they can answer in reasonable time, without open operations. Each gets
//! the history in its own form, made beforehand, and key by key, for they do not know of keys.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on may panic")]

use std::collections::BTreeMap;

use divan::Bencher;
use ordeal_checkers::{Options, judge_named};
use ordeal_core::{History, Verdict};
use ordeal_simulator::suite::Row;
use ordeal_simulator::{Answer, Events, Function, Object, Parameters, Simulated, simulate};
use stateright::semantics::{ConsistencyTester, LinearizabilityTester, SequentialSpec};
use todc_utils::linearizability::history::{Action, History as Actions};
use todc_utils::{Specification, WGLChecker};

fn main() {
    divan::main();
}

/// Rows of the suite, or registers as operations/keys/clients: what all can answer.
const SMALL: [&str; 3] = ["100/1/2", "100/10/5", "10000/1000/10"];
/// What `todc-utils` can answer beside that.
const LARGER: [&str; 5] = ["C-1k-c10-i0", "R-1k-c10", "L-10k-c10", "R-10k-c5", "K-100k-1000-c10"];

fn parameters(name: &str) -> Parameters {
    if let Some(row) = Row::named(name) {
        return row.parameters;
    }
    let numbers: Vec<u64> = name.split('/').map(|number| number.parse().unwrap()).collect();
    let &[operations, keys, clients] = &numbers[..] else { panic!("{name}") };
    Parameters { operations, keys, clients, ..Parameters::new(Object::Register) }
}

#[divan::bench(args = SMALL.iter().chain(&LARGER), max_time = 10)]
fn ordeal(bencher: Bencher<'_, '_>, name: &str) {
    let parameters = parameters(name);
    let operations = simulate(&parameters).unwrap();
    let history = History { events: Events::new(parameters.object, operations).collect(), truncated: None };
    let judge = (judge_named(parameters.object.entry().name).unwrap().judge)(&Options::default()).unwrap();
    bencher.bench_local(|| assert_eq!(judge.check(&history).verdict, Verdict::Valid));
}

/// A call on a register as the peers know it. What a read saw is part of its result, and 0 before that.
#[derive(Clone, Debug, PartialEq)]
enum Call {
    Read(i64),
    Write(i64),
    Cas(i64, i64),
}

impl Call {
    fn of(op: &Simulated) -> Call {
        match (op.function, &op.answer) {
            (Function::Read, Answer::Number(seen)) => Call::Read(*seen),
            (Function::Write, _) => Call::Write(op.args[0]),
            (Function::Cas, _) => Call::Cas(op.args[0], op.args[1]),
            other => panic!("{other:?}"),
        }
    }

    /// The value after it on a register that holds `value`; `None` if it is impossible there.
    fn apply(&self, value: i64) -> Option<i64> {
        match *self {
            Call::Read(seen) => (seen == value).then_some(value),
            Call::Write(new) => Some(new),
            Call::Cas(from, to) => (from == value).then_some(to),
        }
    }
}

/// A beginning or an end: the client, the call, and whether it is the end.
type Entry = (u64, Call, bool);

/// Of each key the beginnings and ends, in order.
fn by_key(name: &str) -> Vec<Vec<Entry>> {
    let mut keys: BTreeMap<u64, BTreeMap<u64, Entry>> = BTreeMap::new();
    for op in simulate(&parameters(name)).unwrap().filter(Simulated::is_ok) {
        let key = keys.entry(op.key).or_default();
        key.insert(op.call, (op.process, Call::of(&op), false));
        key.insert(op.ret.unwrap(), (op.process, Call::of(&op), true));
    }
    keys.into_values().map(|key| key.into_values().collect()).collect()
}

struct TodcRegister;

impl Specification for TodcRegister {
    type State = i64;
    type Operation = Call;

    fn init() -> i64 {
        0
    }

    fn apply(call: &Call, state: &i64) -> (bool, i64) {
        call.apply(*state).map_or((false, *state), |after| (true, after))
    }
}

#[divan::bench(args = SMALL.iter().chain(&LARGER), max_time = 10)]
fn todc_utils(bencher: Bencher<'_, '_>, name: &str) {
    let action = |(process, call, end): &Entry| {
        let call = call.clone();
        (*process as usize, if *end { Action::Response(call) } else { Action::Call(call) })
    };
    let keys = by_key(name);
    let histories = || -> Vec<Actions<Call>> {
        keys.iter().map(|key| Actions::from_actions(key.iter().map(action).collect())).collect()
    };
    bencher.with_inputs(histories).bench_local_values(|histories| {
        assert!(histories.into_iter().all(WGLChecker::<TodcRegister>::is_linearizable));
    });
}

#[derive(Clone)]
struct StaterightRegister(i64);

impl SequentialSpec for StaterightRegister {
    type Op = Call;
    type Ret = Call;

    fn invoke(&mut self, call: &Call) -> Call {
        match call {
            Call::Read(_) => Call::Read(self.0),
            other => {
                self.0 = other.apply(self.0).unwrap_or(self.0);
                other.clone()
            }
        }
    }

    fn is_valid_step(&mut self, _call: &Call, ret: &Call) -> bool {
        let after = ret.apply(self.0);
        self.0 = after.unwrap_or(self.0);
        after.is_some()
    }
}

#[divan::bench(args = SMALL, max_time = 10)]
fn stateright(bencher: Bencher<'_, '_>, name: &str) {
    let testers: Vec<_> = by_key(name)
        .into_iter()
        .map(|key| {
            let mut tester = LinearizabilityTester::new(StaterightRegister(0));
            for (process, call, end) in key {
                let noted = match end {
                    true => tester.on_return(process, call),
                    false => tester.on_invoke(process, call),
                };
                noted.unwrap();
            }
            tester
        })
        .collect();
    bencher.bench_local(|| assert!(testers.iter().all(|tester| tester.is_consistent())));
}
