//! Judges of other promises than linearizability, on histories of simulated objects: a correct object is
//! never blamed, a planted fault is found, and nothing makes a judge panic.

#![allow(clippy::unwrap_used, reason = "the lint does not see that helpers here are tests too")]

use std::borrow::Cow;
use std::collections::VecDeque;
use std::path::Path;

use ordeal_checkers::{
    Convergence, CounterBounds, JUDGES, LockExclusivity, LogPrefix, MODELS, Options, SetDurability, SetFull,
    Staleness, TotalQueue, UniqueIds, judge_named,
};
use ordeal_core::{Checker, Event, EventKind, Finding, History, Key, Process, Rng, Verdict};
use serde_json::{Value, json};

/// How many histories of each kind.
const HISTORIES: u64 = 20_000;

/// An operation of a simulated client.
#[derive(Clone, Debug)]
struct Step {
    process: u64,
    node: Option<&'static str>,
    f: &'static str,
    input: Value,
    begin: u64,
    /// When it takes effect.
    effect: u64,
    end: u64,
    kind: EventKind,
    output: Value,
}

impl Step {
    fn is(&self, f: &str) -> bool {
        self.f == f && self.kind == EventKind::Ok
    }
}

/// Clients that ask one thing after another, in order of effect. With probability `p_info` nobody learns how
/// an operation ended; its client goes on as another.
fn steps(rng: &mut Rng, n: usize, p_info: f64) -> Vec<Step> {
    let clients = rng.between(1, 5);
    let mut steps = Vec::with_capacity(n);
    let mut free: Vec<(u64, u64)> = (0..clients).map(|p| (p, rng.between(1, 10))).collect();
    let mut next_process = clients;
    for _ in 0..n {
        let at = rng.below(clients) as usize;
        let (process, from) = free[at];
        let begin = from + rng.between(1, 6);
        let end = begin + rng.between(1, 12);
        let info = rng.chance(p_info);
        let effect = rng.between(begin, if info { end + 20 } else { end });
        free[at] = (process, end);
        if info {
            free[at].0 = next_process;
            next_process += 1;
        }
        let kind = if info { EventKind::Info } else { EventKind::Ok };
        let (f, input, output, node) = ("", Value::Null, Value::Null, None);
        steps.push(Step { process, node, f, input, begin, effect, end, kind, output });
    }
    steps.sort_by_key(|s| (s.effect, s.begin));
    steps
}

/// The end of everything.
fn after(steps: &[Step]) -> u64 {
    steps.iter().map(|s| s.end.max(s.effect)).max().unwrap_or(0) + 5
}

fn event(time: u64, process: Process, kind: EventKind, f: &'static str, value: Value) -> Event {
    let f = Cow::Borrowed(f);
    Event { index: 0, time: time * 1000, process, kind, f, value, key: None, node: None, error: None }
}

/// What is written down.
fn history(steps: &[Step], marks: &[(u64, &str)]) -> History {
    let mut events: Vec<Event> = Vec::new();
    for step in steps {
        let process = Process::Client(step.process);
        let value = if step.kind == EventKind::Ok { &step.output } else { &step.input };
        let begin = event(step.begin, process.clone(), EventKind::Invoke, step.f, step.input.clone());
        for mut e in [begin, event(step.end, process, step.kind, step.f, value.clone())] {
            e.key = Some(Key::Int(1));
            e.node = step.node.map(Cow::Borrowed);
            events.push(e);
        }
    }
    for (time, name) in marks {
        events.push(event(*time, Process::nemesis(), EventKind::Info, "phase", json!(name)));
    }
    events.sort_by_key(|e| (e.time, e.kind != EventKind::Invoke));
    (0..).zip(&mut events).for_each(|(index, e)| e.index = index);
    History { events, truncated: None }
}

fn names(finding: &Finding) -> Vec<&str> {
    finding.anomalies.iter().map(|a| a.name.as_str()).collect()
}

/// Draws histories of a correct object and shows them, and one with a planted fault where `plant` can plant
/// one. At least a twentieth must be plainly valid, and as many have a fault.
fn trial(
    judge: &dyn Checker,
    draw: impl Fn(&mut Rng) -> Vec<Step>,
    fault: &str,
    plant: impl Fn(&mut Rng, &mut Vec<Step>) -> bool,
) {
    let (mut valid, mut planted) = (0, 0);
    for seed in 0..HISTORIES {
        let mut rng = Rng::fork(seed, fault);
        let mut steps = draw(&mut rng);
        let finding = judge.check(&history(&steps, &[]));
        assert_ne!(finding.verdict, Verdict::Invalid, "seed {seed}: {finding:#?}\n{steps:#?}");
        valid += u64::from(finding.verdict == Verdict::Valid);
        if plant(&mut rng, &mut steps) {
            planted += 1;
            let finding = judge.check(&history(&steps, &[]));
            assert_eq!(finding.verdict, Verdict::Invalid, "seed {seed}: {finding:#?}\n{steps:#?}");
            assert!(names(&finding).contains(&fault), "seed {seed}: {finding:#?}\n{steps:#?}");
        }
    }
    assert!(valid > HISTORIES / 20 && planted > HISTORIES / 20, "{fault}: {valid} valid, {planted} planted");
}

/// A set: additions and reads of everything. Some additions certainly fail.
fn set(rng: &mut Rng) -> Vec<Step> {
    let n = rng.between(4, 20) as usize;
    let mut steps = steps(rng, n, 0.1);
    let mut there: Vec<u64> = Vec::new();
    for (i, step) in (0..).zip(&mut steps) {
        if rng.chance(0.5) {
            (step.f, step.input) = ("add", json!(i));
            match step.kind {
                EventKind::Info if rng.chance(0.5) => {}
                EventKind::Ok if rng.chance(0.1) => step.kind = EventKind::Fail,
                _ => there.push(i),
            }
        } else {
            step.f = "read";
            rng.shuffle(&mut there);
            step.output = json!(there);
        }
    }
    steps
}

/// An acknowledged element of a set, and a read that began after that, by positions.
fn added_and_read(steps: &[Step]) -> Option<(Value, usize)> {
    let reads = || (0..steps.len()).rev().filter(|&r| steps[r].is("read"));
    let added = |r: usize| steps.iter().find(|a| a.is("add") && a.end < steps[r].begin);
    reads().find_map(|r| Some((added(r)?.input.clone(), r)))
}

fn remove(output: &mut Value, element: &Value) {
    output.as_array_mut().unwrap().retain(|e| e != element);
}

#[test]
fn sets_over_time() {
    let judge = SetFull::default().linearizable(true);
    trial(&judge, set, "lost-element", |_, steps| {
        let Some((element, read)) = added_and_read(steps) else {
            return false;
        };
        let from = steps[read].begin;
        let later = steps.iter_mut().filter(|s| s.is("read") && s.end >= from);
        later.for_each(|s| remove(&mut s.output, &element));
        true
    });
    trial(&judge, set, "stale-element", |_, steps| {
        let Some((element, last)) = added_and_read(steps) else {
            return false;
        };
        let added = steps.iter().find(|s| s.input == element).unwrap().end;
        let limit = steps[last].begin;
        let between = steps.iter_mut().find(|s| s.is("read") && s.begin > added && s.end < limit);
        between.is_some_and(|s| {
            remove(&mut s.output, &element);
            true
        })
    });
    trial(&judge, set, "duplicate-element", |_, steps| {
        let read = steps.iter_mut().find(|s| s.is("read") && s.output[0].is_u64());
        read.is_some_and(|s| {
            let again = s.output[0].clone();
            s.output.as_array_mut().unwrap().push(again);
            true
        })
    });
    trial(&judge, set, "unexpected-element", |_, steps| {
        let read = steps.iter_mut().find(|s| s.is("read"));
        read.is_some_and(|s| {
            s.output.as_array_mut().unwrap().push(json!("never"));
            true
        })
    });
}

#[test]
fn the_last_read_of_a_set() {
    let judge = SetDurability::new("add", "read").last_read();
    trial(&judge, set, "lost-element", |_, steps| {
        let last = (0..steps.len()).filter(|&r| steps[r].is("read")).max_by_key(|&r| steps[r].begin);
        let Some(last) = last else {
            return false;
        };
        let begin = steps[last].begin;
        let Some(add) = steps.iter().find(|s| s.is("add") && s.end < begin) else {
            return false;
        };
        let element = add.input.clone();
        let finals = steps.iter_mut().filter(|s| s.is("read") && s.begin == begin);
        finals.for_each(|s| remove(&mut s.output, &element));
        true
    });
}

/// The answers tell more than the elements.
#[test]
fn a_set_in_a_field_of_the_answer() {
    let plain = SetDurability::new("add", "read").last_read();
    let judge = plain.clone().in_field("elements");
    for seed in 0..100 {
        let mut steps = set(&mut Rng::fork(seed, "field"));
        if let Some((element, read)) = added_and_read(&steps).filter(|_| seed % 2 == 0) {
            remove(&mut steps[read].output, &element);
        }
        let expected = plain.check(&history(&steps, &[]));
        for step in steps.iter_mut().filter(|s| s.f == "read") {
            step.output = json!({ "elements": step.output, "version": seed });
        }
        let found = judge.check(&history(&steps, &[]));
        assert_eq!((found.verdict, names(&found)), (expected.verdict, names(&expected)), "seed {seed}");
    }
}

/// A queue, drained in the end by a client of its own.
fn queue(rng: &mut Rng) -> Vec<Step> {
    let n = rng.between(4, 20) as usize;
    let p_info = if rng.chance(0.5) { 0.0 } else { 0.1 };
    let mut steps = steps(rng, n, p_info);
    let mut there: VecDeque<u64> = VecDeque::new();
    for (i, step) in (0..).zip(&mut steps) {
        if rng.chance(0.6) {
            (step.f, step.input) = ("enqueue", json!(i));
            if step.kind == EventKind::Ok || rng.chance(0.5) {
                there.push_back(i);
            }
        } else {
            step.f = "dequeue";
            if step.kind == EventKind::Ok || rng.chance(0.5) {
                step.output = there.pop_front().map_or(Value::Null, |v| json!(v));
            }
        }
    }
    let mut now = after(&steps);
    let at_once = rng.chance(0.3);
    loop {
        let (f, output) = match (at_once, there.pop_front()) {
            (true, first) => ("drain", json!(first.into_iter().chain(there.drain(..)).collect::<Vec<_>>())),
            (false, first) => ("dequeue", first.map_or(Value::Null, |v| json!(v))),
        };
        let last = at_once || output.is_null();
        let (begin, effect, end) = (now, now, now + 1);
        let kind = EventKind::Ok;
        steps.push(Step {
            process: 1000,
            node: None,
            f,
            input: Value::Null,
            begin,
            effect,
            end,
            kind,
            output,
        });
        now += 2;
        if last {
            return steps;
        }
    }
}

#[test]
fn queues() {
    let judge = TotalQueue::default().exactly_once(true);
    let taken = |steps: &[Step]| {
        let acknowledged = |v: &Value| steps.iter().any(|s| s.is("enqueue") && s.input == *v);
        (0..steps.len()).find(|&i| steps[i].is("dequeue") && acknowledged(&steps[i].output))
    };
    trial(&judge, queue, "lost-value", |_, steps| {
        let open = steps.iter().any(|s| s.f == "dequeue" && s.kind == EventKind::Info);
        let Some(at) = taken(steps).filter(|_| !open) else {
            return false;
        };
        steps[at].output = Value::Null;
        true
    });
    trial(&judge, queue, "duplicate-value", |_, steps| {
        let Some(at) = taken(steps) else {
            return false;
        };
        let (value, end) = (steps[at].output.clone(), steps[at].end);
        let empty = steps.iter_mut().find(|s| s.is("dequeue") && s.output.is_null() && s.begin > end);
        empty.is_some_and(|s| {
            s.output = value;
            true
        })
    });
    trial(&judge, queue, "unexpected-value", |_, steps| {
        let Some(at) = taken(steps) else {
            return false;
        };
        steps[at].output = json!("never");
        true
    });
}

/// A counter that goes up and down.
fn counter(rng: &mut Rng) -> Vec<Step> {
    let n = rng.between(4, 20) as usize;
    let mut steps = steps(rng, n, 0.1);
    let mut sum = 0;
    for step in &mut steps {
        if rng.chance(0.6) {
            let amount = rng.between(0, 10) as i64 - 4;
            (step.f, step.input) = ("add", json!(amount));
            if step.kind == EventKind::Ok || rng.chance(0.5) {
                sum += amount;
            }
        } else {
            (step.f, step.output) = ("read", json!(sum));
        }
    }
    steps
}

#[test]
fn counters() {
    let judge = CounterBounds::default();
    for (fault, by) in [("read-too-high", 1000), ("read-too-low", -1000)] {
        trial(&judge, counter, fault, |_, steps| {
            let adds = steps.iter().any(|s| s.is("add"));
            let read = steps.iter_mut().filter(|_| adds).find(|s| s.is("read"));
            read.is_some_and(|s| {
                s.output = json!(s.output.as_i64().unwrap() + by);
                true
            })
        });
    }
}

#[test]
fn identifiers() {
    let draw = |rng: &mut Rng| {
        let n = rng.between(4, 20) as usize;
        let mut steps = steps(rng, n, 0.1);
        for (i, step) in (0..).zip(&mut steps) {
            (step.f, step.output) = ("generate", json!(1000 - i));
        }
        steps
    };
    trial(&UniqueIds::default(), draw, "duplicate-identifier", |_, steps| {
        let given: Vec<usize> = (0..steps.len()).filter(|&i| steps[i].is("generate")).collect();
        let [first, .., last] = given[..] else {
            return false;
        };
        steps[last].output = steps[first].output.clone();
        true
    });
}

/// A lock with fencing tokens, held by one client after another.
fn lock(rng: &mut Rng) -> Vec<Step> {
    let clients = rng.between(2, 5);
    let mut free: Vec<(u64, u64)> = (0..clients).map(|p| (p, 1)).collect();
    let (mut next_process, mut now, mut steps) = (clients, 10_u64, Vec::new());
    for token in 0..rng.between(2, 8) {
        let at = rng.below(clients) as usize;
        let (process, from) = free[at];
        let begin = rng.between(from.max(now.saturating_sub(8)), from.max(now));
        let taken = now.max(begin) + rng.between(0, 3);
        let end = taken + rng.between(0, 3);
        let node = None;
        let output = json!(token);
        let (f, input, effect, kind) = ("acquire", Value::Null, taken, EventKind::Ok);
        steps.push(Step { process, node, f, input, begin, effect, end, kind, output });
        let begin = end + rng.between(1, 8);
        let effect = begin + rng.between(0, 4);
        let end = effect + rng.between(0, 4);
        let info = rng.chance(0.1);
        let (f, input, output) = ("release", json!(token), Value::Null);
        let kind = if info { EventKind::Info } else { EventKind::Ok };
        steps.push(Step { process, node, f, input, begin, effect, end, kind, output });
        free[at] = (if info { next_process } else { process }, end + 1);
        next_process += u64::from(info);
        now = effect;
    }
    steps
}

#[test]
fn locks() {
    let judge = LockExclusivity::default();
    trial(&judge, lock, "two-holders", |_, steps| {
        let wide = |i: &usize| steps[*i].is("acquire") && steps[*i].end + 3 < steps[*i + 1].begin;
        let Some(at) = (0..steps.len()).find(wide) else {
            return false;
        };
        let mut rival = steps[at].clone();
        (rival.process, rival.begin, rival.end) = (1000, steps[at].end + 1, steps[at].end + 2);
        rival.output = Value::Null;
        steps.push(rival);
        true
    });
    trial(&judge, lock, "token-not-growing", |_, steps| {
        let acquired: Vec<usize> = (0..steps.len()).filter(|&i| steps[i].is("acquire")).collect();
        let apart = acquired.windows(2).find(|pair| steps[pair[0]].end < steps[pair[1]].begin);
        let Some([first, then]) = apart.map(|pair| [pair[0], pair[1]]) else {
            return false;
        };
        let token = std::mem::take(&mut steps[first].output);
        steps[first].output = std::mem::replace(&mut steps[then].output, token);
        true
    });
}

#[test]
fn a_lease_ends_a_holding() {
    let judge = |lease_ms| LockExclusivity::default().lease_ms(lease_ms);
    let step = |process, begin, end| Step {
        process,
        node: None,
        f: "acquire",
        input: Value::Null,
        begin,
        effect: begin,
        end,
        kind: EventKind::Ok,
        output: Value::Null,
    };
    // In microseconds: the second holder comes 50 ms after the first began to acquire.
    let history = history(&[step(0, 0, 1_000), step(1, 49_000, 50_000)], &[]);
    assert_eq!(judge(None).check(&history).verdict, Verdict::Invalid);
    assert_eq!(judge(Some(51)).check(&history).verdict, Verdict::Invalid);
    assert_eq!(judge(Some(50)).check(&history).verdict, Verdict::Valid);
}

const NODES: [&str; 3] = ["n1", "n2", "n3"];

/// A replicated log: nodes follow at their own pace.
fn log(rng: &mut Rng) -> Vec<Step> {
    let n = rng.between(4, 24) as usize;
    let mut steps = steps(rng, n, 0.1);
    let mut entries: Vec<Value> = Vec::new();
    let mut applied = [0; 3];
    for (i, step) in (0..).zip(&mut steps) {
        let node = rng.below(3) as usize;
        step.node = Some(NODES[node]);
        if rng.chance(0.5) {
            (step.f, step.input) = ("append", json!(i));
            if step.kind == EventKind::Ok || rng.chance(0.5) {
                step.output = json!(entries.len() * 2);
                entries.push(json!(i));
            }
        } else {
            step.f = "read";
            applied[node] = rng.between(applied[node] as u64, entries.len() as u64) as usize;
            step.output = json!(entries[..applied[node]]);
        }
    }
    steps
}

#[test]
fn logs() {
    let judge = LogPrefix::default();
    let long = |steps: &[Step], least: usize| {
        let length = |i: &usize| steps[*i].output.as_array().map_or(0, Vec::len);
        let reads = (0..steps.len()).filter(|&i| steps[i].is("read"));
        reads.filter(|i| length(i) >= least).collect::<Vec<_>>()
    };
    trial(&judge, log, "log-fork", |_, steps| {
        let reads = long(steps, 2);
        if reads.len() < 2 {
            return false;
        }
        steps[reads[0]].output.as_array_mut().unwrap().swap(0, 1);
        true
    });
    trial(&judge, log, "log-shrunk", |_, steps| {
        let reads = long(steps, 1);
        let pair = reads
            .iter()
            .flat_map(|&a| reads.iter().map(move |&b| (a, b)))
            .find(|&(a, b)| steps[a].node == steps[b].node && steps[a].end < steps[b].begin);
        pair.is_some_and(|(_, b)| {
            steps[b].output = json!([]);
            true
        })
    });
    trial(&judge, log, "entry-moved", |_, steps| {
        let Some(&read) = long(steps, 2).first() else {
            return false;
        };
        let first_two = [&steps[read].output[0], &steps[read].output[1]]
            .map(|entry| steps.iter().position(|s| s.is("append") && s.input == *entry));
        let [Some(a), Some(b)] = first_two else {
            return false;
        };
        let position = std::mem::take(&mut steps[a].output);
        steps[a].output = std::mem::replace(&mut steps[b].output, position);
        true
    });
}

#[test]
fn the_ends_of_logs() {
    let judge = LogPrefix::default();
    let (mut valid, mut unknown, mut invalid) = (0, 0, 0);
    for seed in 0..HISTORIES {
        let mut rng = Rng::fork(seed, "ends");
        let mut steps = log(&mut rng);
        let longest = (steps.iter().filter(|s| s.f == "append" && !s.output.is_null()))
            .map(|s| s.input.clone())
            .collect::<Vec<_>>();
        let now = after(&steps);
        for (node, process) in NODES.iter().zip(5000..) {
            let (begin, effect, end, kind) = (now + 1, now + 1, now + 2, EventKind::Ok);
            let (f, input, output) = ("read", Value::Null, json!(longest));
            steps.push(Step { process, node: Some(node), f, input, begin, effect, end, kind, output });
        }
        let judged = judge.check(&history(&steps, &[(now, "final-reads")]));
        assert_ne!(judged.verdict, Verdict::Invalid, "seed {seed}: {judged:#?}\n{steps:#?}");
        valid += u64::from(judged.verdict == Verdict::Valid);
        let Some(entry) = longest.last() else {
            continue;
        };
        // One node ends without the last entry. It must not have shown it before.
        let last = steps.len() - 1;
        steps[last].output.as_array_mut().unwrap().pop();
        let shown = |s: &Step| s.node == Some("n3") && s.output.as_array().is_some_and(|o| o.contains(entry));
        if steps.iter().any(shown) {
            continue;
        }
        let open = steps.iter().any(|s| s.f == "append" && s.input == *entry && s.kind == EventKind::Info);
        let judged = judge.check(&history(&steps, &[(now, "final-reads")]));
        let expected = if open { Verdict::Unknown } else { Verdict::Invalid };
        assert_eq!(judged.verdict, expected, "seed {seed}: {judged:#?}\n{steps:#?}");
        unknown += u64::from(open);
        invalid += u64::from(!open);
    }
    assert!(valid > 1000 && unknown > 100 && invalid > 1000, "{valid} {unknown} {invalid}");
}

/// A register whose reads are of a value that was the newest `lag` earlier, or `behind` versions ago.
fn register(rng: &mut Rng, behind: u64, lag: u64) -> Vec<Step> {
    let n = rng.between(4, 20) as usize;
    let mut steps = steps(rng, n, 0.1);
    let mut values: Vec<(u64, Value)> = vec![(0, Value::Null)];
    for (i, step) in (1..).zip(&mut steps) {
        if rng.chance(0.4) {
            (step.f, step.input) = ("write", json!(i));
            if step.kind == EventKind::Ok || rng.chance(0.5) {
                values.push((step.effect, json!(i)));
            }
        } else {
            step.f = "read";
            let then = step.effect.saturating_sub(rng.between(0, lag));
            let newest = values.iter().rposition(|(at, _)| *at <= then).unwrap_or(0) as u64;
            step.output = values[newest.saturating_sub(rng.between(0, behind)) as usize].1.clone();
        }
    }
    steps
}

#[test]
fn registers() {
    let strict = Staleness::default().max_versions(Some(0)).max_ms(Some(0));
    trial(
        &strict,
        |rng| register(rng, 0, 0),
        "unwritten-value",
        |_, steps| {
            let read = steps.iter_mut().find(|s| s.is("read"));
            read.is_some_and(|s| {
                s.output = json!("never");
                true
            })
        },
    );
    trial(
        &strict,
        |rng| register(rng, 0, 0),
        "too-stale",
        |_, steps| {
            let writes: Vec<Step> = steps.iter().filter(|s| s.is("write")).cloned().collect();
            let apart = writes.windows(2).find(|pair| pair[0].end < pair[1].begin);
            let Some((old, new)) = apart.map(|pair| (&pair[0], &pair[1])) else {
                return false;
            };
            let read = steps.iter_mut().find(|s| s.is("read") && s.begin > new.end);
            read.is_some_and(|s| {
                s.output = old.input.clone();
                true
            })
        },
    );
}

#[test]
fn a_register_that_is_never_staler_than_allowed_is_never_blamed() {
    let (mut stale, mut late) = (0, 0);
    for seed in 0..HISTORIES {
        let mut rng = Rng::fork(seed, "staleness");
        let behind = rng.below(4);
        let steps = register(&mut rng, behind, 0);
        let finding = Staleness::default().max_versions(Some(behind)).check(&history(&steps, &[]));
        assert_ne!(finding.verdict, Verdict::Invalid, "seed {seed}: {finding:#?}\n{steps:#?}");
        assert!(finding.measurements["k_atomic_at_least"].as_u64().unwrap() <= behind + 1);
        stale += u64::from(finding.measurements["k_atomic_at_least"].as_u64().unwrap() > 2);
        // Times are in microseconds here, so the bound goes into milliseconds.
        let mut steps = register(&mut rng, 0, 30);
        for step in &mut steps {
            (step.begin, step.end) = (step.begin * 1000, step.end * 1000);
        }
        let finding = Staleness::default().max_ms(Some(30)).check(&history(&steps, &[]));
        assert!(finding.verdict <= Verdict::Vacuous, "seed {seed}: {finding:#?}\n{steps:#?}");
        late += u64::from(finding.measurements["delta_atomic_ms"].as_f64().is_some_and(|ms| ms > 0.0));
    }
    assert!(stale > 1000 && late > 1000, "{stale} {late}");
}

#[test]
fn a_replica_that_differs_is_named_with_the_difference() {
    let step = |node, output: Value| Step {
        process: NODES.iter().position(|n| *n == node).unwrap() as u64,
        node: Some(node),
        f: "read",
        input: Value::Null,
        begin: 10,
        effect: 10,
        end: 11,
        kind: EventKind::Ok,
        output,
    };
    let many: Vec<u64> = (0..100).collect();
    let mut accounts: serde_json::Map<String, Value> =
        many.iter().map(|i| (format!("a{i}"), json!(i))).collect();
    let first = Value::Object(accounts.clone());
    accounts["a7"] = json!(0);
    accounts.remove("a8");
    let steps = [step("n1", first.clone()), step("n2", Value::Object(accounts)), step("n3", first)];
    let finding = Convergence::new(["read"]).check(&history(&steps, &[(5, "final-reads")]));
    let message = &finding.anomalies[0].message;
    assert!(message.ends_with("n2 lacks a8 and has a7 = 0 instead of 7."), "{message}");
}

/// A write whose outcome nobody knows may come between two final reads: then it is not known whether nodes differ.
#[test]
fn a_record_of_a_write_that_may_have_come_late_accuses_nobody() {
    let step = |node: &'static str, f: &'static str, begin: u64, kind, input: Value, output: Value| Step {
        process: begin,
        node: Some(node),
        f,
        input,
        begin,
        effect: begin,
        end: begin + 1,
        kind,
        output,
    };
    let late = json!([2, 1, "g2"]);
    let stream = |last: &Value| json!([[1, [1, 1, "g1"], "g1"], [2, last, last[2]]]);
    let before = json!([[1, [1, 1, "g1"], "g1"]]);
    let verdict = |longer: Value, written: &Value| {
        let steps = [
            step("n1", "goal", 1, EventKind::Info, written.clone(), Value::Null),
            step("n1", "events", 10, EventKind::Ok, Value::Null, before.clone()),
            step("n2", "events", 12, EventKind::Ok, Value::Null, longer),
        ];
        Convergence::new(["events"]).check(&history(&steps, &[(5, "final-reads")])).verdict
    };
    assert_eq!(verdict(before.clone(), &late), Verdict::Valid);
    assert_eq!(verdict(stream(&late), &late), Verdict::Unknown);
    assert_eq!(
        verdict(stream(&json!([2, 1, "g9"])), &late),
        Verdict::Invalid,
        "another goal was acknowledged"
    );
}

/// Any value, with a liking for the awkward.
fn any_value(rng: &mut Rng, depth: u32) -> Value {
    match rng.below(if depth == 0 { 10 } else { 13 }) {
        0 => Value::Null,
        1 => json!(rng.chance(0.5)),
        2 => json!(i64::MAX),
        3 => json!(i64::MIN),
        4 => json!(u64::MAX),
        5 => json!(1e300),
        6 => json!("7"),
        7 => json!(-1),
        8 | 9 => json!(rng.below(4)),
        10 => json!({ "a": any_value(rng, depth - 1) }),
        _ => (0..rng.below(4)).map(|_| any_value(rng, depth - 1)).collect(),
    }
}

#[test]
fn nothing_makes_a_judge_panic() {
    const FUNCTIONS: [&str; 15] = [
        "add", "read", "enqueue", "dequeue", "drain", "generate", "acquire", "release", "append", "write",
        "cas", "read", "add", "read", "other",
    ];
    let judges: Vec<Box<dyn Checker>> = JUDGES
        .iter()
        .flat_map(|entry| {
            let strict = Options {
                strict: true,
                max_versions: Some(0),
                max_ms: Some(u64::MAX),
                lease_ms: Some(u64::MAX),
                initial: Some(json!(i64::MIN)),
                ..Options::default()
            };
            [&Options::default(), &strict].map(|options| (entry.judge)(options).unwrap())
        })
        .collect();
    for seed in 0..HISTORIES {
        let mut rng = Rng::fork(seed, "any");
        let n = rng.between(0, 12) as usize;
        let mut steps = steps(&mut rng, n, 0.2);
        for step in &mut steps {
            step.f = rng.pick::<&str>(&FUNCTIONS);
            step.node = rng.chance(0.8).then(|| *rng.pick(&NODES));
            (step.input, step.output) = (any_value(&mut rng, 2), any_value(&mut rng, 2));
            if rng.chance(0.1) {
                step.kind = EventKind::Fail;
            }
        }
        let mut history = history(&steps, &[(rng.below(30), "final-reads")]);
        if rng.chance(0.1) {
            history.events.iter_mut().for_each(|e| e.time = 0);
        }
        if rng.chance(0.1) {
            history.events.iter_mut().for_each(|e| e.index = u64::MAX);
        }
        let judge = &judges[seed as usize % judges.len()];
        {
            let finding = judge.check(&history);
            assert_eq!(
                finding.verdict == Verdict::Invalid,
                !finding.anomalies.is_empty(),
                "seed {seed}: {finding:#?}"
            );
            let cites = finding.anomalies.iter().all(|a| !a.events.is_empty());
            assert!(cites, "seed {seed}: {finding:#?}");
        }
    }
}

#[test]
fn judges_and_models_have_names_of_their_own() {
    let names: Vec<&str> =
        MODELS.iter().chain(JUDGES).flat_map(|j| [&[j.about.name], j.aliases].concat()).collect();
    for (i, name) in names.iter().enumerate() {
        assert!(!names[..i].contains(name), "{name}");
    }
}

/// Reads the lines of Jepsen's that these corpora hold: flat maps of `:key value` with numbers, vectors of
/// numbers, and keywords.
fn from_edn(text: &str) -> History {
    let mut events = Vec::new();
    for line in text.lines().map(|l| l.trim().trim_matches(['[', ']', ',', '{', '}'])) {
        let field = |name: &str| {
            let from = line.find(name)? + name.len();
            let rest = line[from..].trim_start();
            let end = if rest.starts_with('[') {
                rest.find(']')? + 1
            } else {
                rest.find([',', '}']).unwrap_or(rest.len())
            };
            Some(rest[..end].trim())
        };
        let Some(kind) = field(":type ") else {
            continue;
        };
        let value = field(":value ").unwrap_or("nil").replace(' ', ",").replace("nil", "null");
        let f = match field(":f ").unwrap() {
            ":add" => "add",
            ":read" => "read",
            other => panic!("{other}"),
        };
        let kind = serde_json::from_value(json!(kind.trim_start_matches(':'))).unwrap();
        let process = Process::Client(field(":process ").unwrap().parse().unwrap());
        let mut e = event(0, process, kind, f, serde_json::from_str(&value).unwrap());
        e.time = field(":time ").unwrap().parse().unwrap();
        e.index = field(":index ").unwrap().trim_end_matches('}').parse().unwrap();
        events.push(e);
    }
    History { events, truncated: None }
}

#[test]
fn jepsens_own_histories() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpora/elle-cli");
    let expected = [
        ("set-full", "set_full.edn", Verdict::Invalid),
        ("set-final", "set.edn", Verdict::Valid),
        ("set-full", "set.edn", Verdict::Valid),
        // It has no read, so that nothing is learned.
        ("counter-bounds", "counter.edn", Verdict::Vacuous),
    ];
    for (judge, file, verdict) in expected {
        let Ok(text) = std::fs::read_to_string(folder.join("jepsen").join(file)) else {
            continue;
        };
        let judge = (judge_named(judge).unwrap().judge)(&Options::default()).unwrap();
        let finding = judge.check(&from_edn(&text));
        assert_eq!(finding.verdict, verdict, "{file}: {finding:#?}");
    }
    if let Ok(text) = std::fs::read_to_string(folder.join("knossos/mutex/bad/etcd.json")) {
        let events: Vec<Value> = serde_json::from_str(&text).unwrap();
        let lines = events.into_iter().map(|mut e| {
            e.as_object_mut().unwrap().remove("error");
            e.to_string() + "\n"
        });
        let history = History::parse(&lines.collect::<String>()).unwrap();
        let finding = LockExclusivity::default().check(&history);
        assert_eq!(names(&finding).first(), Some(&"two-holders"), "{finding:#?}");
    }
}
