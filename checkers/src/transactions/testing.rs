//! What tests of judges of transactions share: histories written by hand, random ones, every order of them.

use std::collections::BTreeMap;

use ordeal_core::{Checker, Event, EventKind, Finding, History, Operation, Process, Rng};
use serde_json::{Value, json};

use super::Level;
use crate::testing::intervals;

/// A history of transactions, for writing down events one after another.
#[derive(Default)]
pub(super) struct Script(pub(super) History);

impl Script {
    pub(super) fn event(&mut self, process: u64, kind: EventKind, value: Value) {
        let index = self.0.events.len() as u64;
        self.0.events.push(Event {
            index,
            time: index,
            process: Process::Client(process),
            kind,
            f: "txn".into(),
            value,
            key: None,
            node: None,
            error: None,
        });
    }

    /// A whole transaction, with its results.
    pub(super) fn txn(&mut self, process: u64, steps: Value) {
        self.event(process, EventKind::Invoke, steps.clone());
        self.event(process, EventKind::Ok, steps);
    }
}

/// A history with each line as `process kind steps`, e.g. `0 ok [["w",1,2]]`; `-` for both events at once.
pub(super) fn script(lines: &[(u64, &str, Value)]) -> History {
    let mut script = Script::default();
    for (process, kind, steps) in lines {
        match *kind {
            "-" => script.txn(*process, steps.clone()),
            kind => {
                let kind = serde_json::from_value(json!(kind)).unwrap();
                script.event(*process, kind, steps.clone());
            }
        }
    }
    script.0
}

pub(super) fn names(finding: &Finding) -> Vec<&str> {
    finding.anomalies.iter().map(|a| a.name.as_str()).collect()
}

/// Whether some order of the transactions, of the kind that `level` allows, explains every result.
/// Without time, a register may begin with a value that nobody wrote.
pub(super) fn explained(history: &History, level: Level) -> bool {
    let ops = history.operations().unwrap();
    let all = ops.iter().flat_map(|op| op.input().as_array().unwrap());
    let written: Vec<Value> = all.filter(|step| step[0] == "w").cloned().collect();
    let guess = level == Level::Serializable;
    let guessed = |key: &Value, value: &Value| {
        guess && value.is_number() && !written.contains(&json!(["w", key, value]))
    };
    let ops: Vec<_> = ops.into_iter().filter(|op| op.kind() != EventKind::Fail).collect();
    let before = |a: &Operation<'_>, b: &Operation<'_>| match level {
        Level::Serializable => false,
        Level::StrongSession => a.process() == b.process() && a.ret != Operation::OPEN && a.call < b.call,
        Level::Strict => a.ret < b.call,
    };
    fn place(
        ops: &[Operation<'_>],
        before: &impl Fn(&Operation<'_>, &Operation<'_>) -> bool,
        guessed: &impl Fn(&Value, &Value) -> bool,
        done: u32,
        state: &BTreeMap<u64, Value>,
    ) -> bool {
        let left = || (0..ops.len()).filter(|i| done & (1 << i) == 0);
        if left().all(|i| ops[i].kind() == EventKind::Info) {
            return true;
        }
        left().any(|i| {
            if left().any(|j| j != i && before(&ops[j], &ops[i])) {
                return false;
            }
            let mut after = state.clone();
            execute(&ops[i], &mut after, guessed) && place(ops, before, guessed, done | 1 << i, &after)
        })
    }
    place(&ops, &before, &guessed, 0, &BTreeMap::new())
}

fn execute(
    op: &Operation<'_>,
    state: &mut BTreeMap<u64, Value>,
    guessed: &impl Fn(&Value, &Value) -> bool,
) -> bool {
    let steps = op.output().unwrap_or(op.input()).as_array().unwrap();
    steps.iter().all(|step| {
        let (key, value) = (step[1].as_u64().unwrap(), &step[2]);
        match step[0].as_str().unwrap() {
            "r" if op.output().is_none() => true,
            "r" => {
                let first = if guessed(&step[1], value) { value.clone() } else { Value::Null };
                let now = state.entry(key).or_insert(first);
                now == value || (now.is_null() && *value == json!([]))
            }
            "w" => {
                state.insert(key, value.clone());
                true
            }
            _ => {
                let now = state.entry(key).or_insert(Value::Null);
                if now.is_null() {
                    *now = json!([]);
                }
                now.as_array_mut().unwrap().push(value.clone());
                true
            }
        }
    })
}

/// A random history of up to `max` transactions of up to `steps` steps on up to `keys` keys. Each is
/// executed at a random instant of its own; then some results are made wrong.
pub(super) fn random(rng: &mut Rng, append: bool, max: u64, keys: u64, steps: u64) -> History {
    let n = rng.between(2, max) as usize;
    let p_open = *rng.pick(&[0.0, 0.15, 0.3]);
    let (p_wrong, p_read) = (*rng.pick(&[0.0, 0.1, 0.3]), *rng.pick(&[0.4, 0.6]));
    let width = rng.between(1, 4) as usize;
    let times = intervals(rng, n, width, p_open);
    let keys = rng.between(1, keys);
    let p_fail = *rng.pick(&[0.0, 0.1]);
    let touching = rng.chance(0.2);
    // When each takes effect, in real time or, now and then, at any time.
    let anytime = rng.chance(0.2);
    let mut instants: Vec<(u64, usize)> = (0..n)
        .map(|i| {
            let (start, end) = times[i];
            let end = if end == Operation::OPEN { start + 6 } else { end };
            (if anytime { rng.below(20) } else { rng.between(start, end) }, i)
        })
        .collect();
    instants.sort_unstable();
    let mut next = 1;
    let mut asked: Vec<Vec<Value>> = (0..n)
        .map(|_| {
            (0..rng.between(1, steps))
                .map(|_| {
                    let key = rng.below(keys);
                    if rng.chance(p_read) {
                        json!(["r", key, null])
                    } else {
                        next += 1;
                        json!([if append { "append" } else { "w" }, key, next - 1])
                    }
                })
                .collect()
        })
        .collect();
    let inputs = asked.clone();
    let failed: Vec<bool> = (0..n).map(|_| rng.chance(p_fail)).collect();
    let mut state: BTreeMap<u64, Value> = BTreeMap::new();
    for &(_, i) in &instants {
        // A transaction of unknown outcome, or a failed one now and then, may take effect.
        let open = times[i].1 == Operation::OPEN;
        if (open && rng.chance(0.5)) || (failed[i] && !rng.chance(0.1)) {
            continue;
        }
        for step in &mut asked[i] {
            let empty = if append { json!([]) } else { Value::Null };
            let now = state.entry(step[1].as_u64().unwrap()).or_insert(empty);
            match step[0].as_str().unwrap() {
                "r" => {
                    step[2] = now.clone();
                    if rng.chance(p_wrong) {
                        spoil(rng, &mut step[2], next);
                    }
                }
                "w" => *now = step[2].clone(),
                _ => now.as_array_mut().unwrap().push(step[2].clone()),
            }
        }
    }
    write_down(&times, &inputs, &asked, &failed, touching)
}

fn spoil(rng: &mut Rng, result: &mut Value, next: u64) {
    let Value::Array(list) = result else {
        *result = if rng.chance(0.2) { Value::Null } else { json!(rng.between(1, next)) };
        return;
    };
    match rng.below(8) {
        0 => list.push(json!(rng.between(1, next))),
        1 if list.len() > 1 => list.swap(0, 1),
        _ => {
            list.pop();
        }
    }
}

fn write_down(
    times: &[(u64, u64)],
    inputs: &[Vec<Value>],
    results: &[Vec<Value>],
    failed: &[bool],
    touching: bool,
) -> History {
    let mut events: Vec<(u64, usize, bool)> = Vec::new();
    for (i, &(start, end)) in times.iter().enumerate() {
        events.push((start, i, false));
        if end != Operation::OPEN {
            events.push((end, i, true));
        }
    }
    events.sort_unstable();
    let mut script = Script::default();
    // A process runs one transaction at a time; one whose outcome is unknown is its last.
    let mut free: Vec<u64> = Vec::new();
    let mut next = 0;
    let mut process = vec![0; times.len()];
    for (time, i, ends) in events {
        if ends {
            let (kind, value) = match failed[i] {
                true => (EventKind::Fail, &inputs[i]),
                false => (EventKind::Ok, &results[i]),
            };
            script.event(process[i], kind, json!(value));
            free.push(process[i]);
        } else {
            process[i] = free.pop().unwrap_or_else(|| {
                next += 1;
                next - 1
            });
            script.event(process[i], EventKind::Invoke, json!(inputs[i]));
        }
        let event = script.0.events.last_mut().unwrap();
        event.time = if touching { time / 2 } else { time + 1 };
    }
    script.0
}

/// Compares a judge with every order of so many random histories. Returns how many were valid, invalid and
/// unknown.
pub(super) fn differential(
    histories: std::ops::Range<u64>,
    append: bool,
    judge: impl Fn(Level) -> Box<dyn Checker>,
    (max, keys, steps): (u64, u64, u64),
) -> (u64, u64, u64) {
    use ordeal_core::Verdict;
    let (mut valid, mut invalid, mut unknown) = (0, 0, 0);
    for seed in histories {
        let mut rng = Rng::fork(seed, "transactions");
        let level = *rng.pick(&[Level::Strict, Level::Strict, Level::StrongSession, Level::Serializable]);
        let history = random(&mut rng, append, max, keys, steps);
        let finding = judge(level).check(&history);
        let right = explained(&history, level);
        let show = || format!("seed {seed} {level:?}: {finding:#?}\n{}", text(&history));
        match finding.verdict {
            Verdict::Valid | Verdict::Vacuous => {
                assert!(right, "{}", show());
                valid += 1;
            }
            Verdict::Invalid => {
                assert!(!right, "{}", show());
                assert!(!finding.anomalies.is_empty(), "{}", show());
                invalid += 1;
            }
            Verdict::Unknown => unknown += 1,
        }
    }
    (valid, invalid, unknown)
}

pub(super) fn text(history: &History) -> String {
    let lines = history.events.iter().map(|e| serde_json::to_string(e).unwrap());
    lines.collect::<Vec<_>>().join("\n")
}
