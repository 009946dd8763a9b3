use ordeal_core::{Checker, Rng, Verdict};
use serde_json::{Value, json};

use super::*;
use crate::transactions::testing::{differential, names, script};

fn judge(level: Level) -> Box<dyn Checker> {
    Box::new(RwRegister::new(level))
}

fn judged(lines: &[(u64, &str, Value)]) -> Finding {
    RwRegister::new(Level::Strict).check(&script(lines))
}

#[test]
fn agrees_with_every_order_of_small_histories() {
    for (shape, histories) in [((6, 3, 4), 80_000), ((6, 2, 2), 40_000), ((6, 1, 2), 20_000)] {
        let (valid, invalid, unknown) = differential(0..histories, false, judge, shape);
        assert!(valid > histories / 8 && invalid > histories / 8, "{valid} {invalid}");
        assert_eq!(unknown, 0);
    }
}

#[test]
#[ignore = "long"]
fn agrees_with_every_order_of_ten_million_small_histories() {
    for shape in [(7, 3, 4), (8, 2, 2)] {
        let (.., unknown) = differential(1_000_000..6_000_000, false, judge, shape);
        assert_eq!(unknown, 0);
    }
}

#[test]
fn what_is_impossible_by_itself_is_named() {
    let write = |v: u64| json!([["w", 1, v]]);
    let read = |v: Value| json!([["r", 1, v]]);
    let cases = [
        ("unwritten-read", vec![(0, "-", read(json!(7)))]),
        ("G1a", vec![(0, "invoke", write(1)), (0, "fail", write(1)), (1, "-", read(json!(1)))]),
        ("G1b", vec![(0, "-", json!([["w", 1, 1], ["w", 1, 2]])), (1, "-", read(json!(1)))]),
        ("internal", vec![(0, "-", json!([["w", 1, 1], ["r", 1, null]]))]),
        ("internal", vec![(0, "-", json!([["r", 1, 1], ["w", 1, 1]]))]),
        ("internal", vec![(0, "-", write(1)), (1, "-", json!([["r", 1, null], ["r", 1, 1]]))]),
    ];
    for (name, lines) in cases {
        let finding = judged(&lines);
        assert_eq!(names(&finding), [name], "{finding:#?}");
        assert!(!finding.anomalies[0].events.is_empty());
    }
}

#[test]
fn cycles_are_classified() {
    let stale = [(0, "-", json!([["w", 1, 1]])), (1, "-", json!([["r", 1, null]]))];
    let finding = judged(&stale);
    assert_eq!(names(&finding), ["G-single-realtime"]);
    assert_eq!(RwRegister::new(Level::StrongSession).check(&script(&stale)).verdict, Verdict::Valid);
    let lost_update = judged(&[
        (0, "invoke", json!([["r", 1, null], ["w", 1, 1]])),
        (1, "invoke", json!([["r", 1, null], ["w", 1, 2]])),
        (0, "ok", json!([["r", 1, null], ["w", 1, 1]])),
        (1, "ok", json!([["r", 1, null], ["w", 1, 2]])),
    ]);
    assert_eq!(names(&lost_update), ["G2-item"], "each read what the other overwrote");
    let skew = judged(&[
        (0, "invoke", json!([["r", 1, null], ["w", 2, 1]])),
        (1, "invoke", json!([["r", 2, null], ["w", 1, 1]])),
        (0, "ok", json!([["r", 1, null], ["w", 2, 1]])),
        (1, "ok", json!([["r", 2, null], ["w", 1, 1]])),
    ]);
    assert_eq!(names(&skew), ["G2-item"]);
    let g1c = judged(&[
        (0, "invoke", json!([["w", 1, 1], ["r", 2, null]])),
        (1, "invoke", json!([["w", 2, 1], ["r", 1, null]])),
        (0, "ok", json!([["w", 1, 1], ["r", 2, 1]])),
        (1, "ok", json!([["w", 2, 1], ["r", 1, 1]])),
    ]);
    assert_eq!(names(&g1c), ["G1c"]);
}

#[test]
fn what_was_learned_is_told() {
    // T4 wrote between T0's write and T8's read of it: in real time before the read, so before the write.
    let finding = judged(&[
        (0, "-", json!([["w", 1, 1]])),
        (1, "-", json!([["w", 1, 2]])),
        (2, "-", json!([["r", 1, 1]])),
    ]);
    assert_eq!(names(&finding), ["G0-realtime"]);
    let message = &finding.anomalies[0].message;
    assert!(message.contains("T2 before T0, for both wrote key 1, T4 read 1 of T0's"), "{message}");
    assert!(message.contains("T2 before T4: ended before it began"), "{message}");
    assert_eq!(finding.anomalies[0].events, [0, 1, 2, 3, 4, 5]);
}

#[test]
fn every_choice_is_tried_before_giving_up() {
    // Two pairs of blind writes, and readers that want either order of both and contradict one another.
    let txns = [
        json!([["w", 1, 1]]),
        json!([["w", 1, 2]]),
        json!([["w", 2, 1]]),
        json!([["w", 2, 2]]),
        json!([["r", 1, 1], ["r", 2, 2]]),
        json!([["r", 1, 2], ["r", 2, 1]]),
        json!([["r", 1, 1], ["r", 2, 1]]),
        json!([["r", 1, 2], ["r", 2, 2]]),
    ];
    let lines = |txns: &[Value]| -> Vec<(u64, &str, Value)> {
        let both = |kind| txns.iter().enumerate().map(move |(i, t)| (i as u64, kind, t.clone()));
        both("invoke").chain(both("ok")).collect()
    };
    assert_eq!(judged(&lines(&txns)).verdict, Verdict::Invalid);
    assert_eq!(judged(&lines(&txns[..5])).verdict, Verdict::Valid);
}

#[test]
fn a_value_written_twice_leaves_doubt_but_hides_nothing() {
    let twice =
        [(0, "-", json!([["w", 1, 1]])), (1, "-", json!([["w", 1, 1]])), (2, "-", json!([["r", 1, 1]]))];
    assert_eq!(judged(&twice).verdict, Verdict::Unknown);
    let mut also = twice.to_vec();
    also.push((2, "-", json!([["w", 2, 1]])));
    also.push((2, "-", json!([["r", 2, null]])));
    assert_eq!(judged(&also).verdict, Verdict::Invalid);
    let unread = [twice[0].clone(), twice[1].clone(), (2, "-", json!([["r", 2, null]]))];
    assert_eq!(judged(&unread).verdict, Verdict::Valid);
    let initial = [(0, "-", json!([["w", 1, null]])), (2, "-", json!([["r", 1, null]]))];
    assert_eq!(judged(&initial).verdict, Verdict::Unknown);
}

#[test]
fn registers_are_sequentially_consistent_across_keys_or_not() {
    let plain = |lines: &[(u64, &'static str, u64, Value)]| {
        let mut history = script(&[]);
        for (process, f, key, value) in lines {
            for kind in [ordeal_core::EventKind::Invoke, ordeal_core::EventKind::Ok] {
                let index = history.events.len() as u64;
                let read = *f == "read" && kind == ordeal_core::EventKind::Invoke;
                history.events.push(ordeal_core::Event {
                    index,
                    time: index,
                    process: ordeal_core::Process::Client(*process),
                    kind,
                    f: (*f).into(),
                    value: if read { Value::Null } else { value.clone() },
                    key: Some(ordeal_core::Key::Int(*key as i64)),
                    node: None,
                    error: None,
                });
            }
        }
        RwRegister::sequential().check(&history)
    };
    // Stale, but in order.
    let stale = plain(&[(0, "write", 1, json!(1)), (1, "read", 1, json!(null)), (1, "read", 1, json!(1))]);
    assert_eq!(stale.verdict, Verdict::Valid, "{stale:#?}");
    // Each register by itself is fine: both processes missed the other's write.
    let dekker = plain(&[
        (0, "write", 1, json!(1)),
        (0, "read", 2, json!(null)),
        (1, "write", 2, json!(1)),
        (1, "read", 1, json!(null)),
    ]);
    assert_eq!((dekker.verdict, names(&dekker)), (Verdict::Invalid, vec!["G2-item-process"]));
    let cas = plain(&[(0, "write", 1, json!(1)), (1, "cas", 1, json!([1, 2])), (0, "read", 1, json!(2))]);
    assert_eq!(cas.verdict, Verdict::Valid, "{cas:#?}");
}

/// Many transactions executed one after another, each shown with an interval around its instant.
fn long(rng: &mut Rng, txns: u64, clients: u64, keys: u64) -> Vec<(u64, &'static str, Value)> {
    let mut state = vec![Value::Null; keys as usize];
    let (mut lines, mut running) = (Vec::new(), Vec::new());
    for i in 0..txns {
        let steps: Vec<Value> = (0..rng.between(1, 3))
            .map(|step| {
                let key = rng.below(keys);
                if rng.chance(0.5) {
                    json!(["r", key, state[key as usize]])
                } else {
                    state[key as usize] = json!(4 * i + step);
                    json!(["w", key, 4 * i + step])
                }
            })
            .collect();
        lines.push((i, "invoke", json!(steps)));
        running.push((i, steps));
        while running.len() as u64 >= clients || (i + 1 == txns && !running.is_empty()) {
            let (process, steps) = running.swap_remove(rng.below(running.len() as u64) as usize);
            lines.push((process, "ok", json!(steps)));
        }
    }
    lines
}

#[test]
fn long_histories_are_decided() {
    for seed in 0..20 {
        let mut rng = Rng::new(seed);
        let keys = rng.between(2, 30);
        let lines = long(&mut rng, 2_000, 20, keys);
        for level in Level::ALL {
            let finding = RwRegister::new(level).check(&script(&lines));
            assert_eq!(finding.verdict, Verdict::Valid, "seed {seed} {level:?} {:?}", finding.measurements);
        }
    }
}

#[test]
fn without_time_the_verdict_is_unknown() {
    let budget = Budget { time_ms: 0, ..Budget::default() };
    let options = Options { budget, ..Options::default() };
    let lines = long(&mut Rng::new(1), 10_000, 20, 10);
    let finding = RwRegister::new(Level::Strict).with_options(&options).check(&script(&lines));
    assert_eq!(finding.verdict, Verdict::Unknown);
    assert!(finding.summary.contains("out of budget after"), "{}", finding.summary);
}
