//! Small histories written by hand: valid ones, and one for every anomaly that a judge can name.

use ordeal_checkers::{AppendList, Linearizable};
use ordeal_core::{Finding, History, Verdict};

use super::*;
use crate::by_hand::{self, Said, VALID, Written, found, phase, said};

/// `(process, f, customer, input, from ms, kind, output)` of operations of 5 ms each.
type Line = (u64, &'static str, Option<&'static str>, Value, u64, &'static str, Value);

/// Everything is healed after 10 s; the final reads begin after 20 s.
fn history(lines: &[Line]) -> History {
    let written = lines.iter().map(|(process, f, key, input, from, kind, output)| Written {
        process: *process,
        node: "n1",
        f,
        key: *key,
        input,
        ms: (*from, from + 5),
        kind,
        output,
    });
    by_hand::history(written, vec![phase(10_000, "settle"), phase(20_000, "final-reads")])
}

fn look(checker: &impl Checker, lines: &[Line]) -> Finding {
    checker.check(&history(lines))
}

fn judge(checker: &impl Checker, lines: &[Line]) -> Said {
    said(look(checker, lines))
}

const A: Option<&str> = Some("r1/a");

fn by(node: &str, epoch: u64) -> Value {
    json!({"node": node, "shard": 1, "epoch": epoch})
}

fn with(mut value: Value, more: &Value) -> Value {
    for (name, field) in more.as_object().unwrap() {
        value[name] = field.clone();
    }
    value
}

/// A call of 10 cents is recorded at this moment, as the customer's so many-th.
fn put(from: u64, request: u64, version: u64, by: Value) -> Line {
    let done = json!({"version": version, "plan": format!("p{request}"), "balance": -10 * version as i64});
    (from, "put", A, json!([request, 10]), from, "ok", with(by, &done))
}

fn read(from: u64, calls: &[u64], by: Value) -> Line {
    let plan = calls.last().map(|call| format!("p{call}"));
    let customer =
        json!({"version": calls.len(), "plan": plan, "balance": -10 * calls.len() as i64, "calls": calls});
    (from, "read", A, Value::Null, from, "ok", with(by, &customer))
}

fn ended(kind: &'static str, mut line: Line) -> Line {
    line.5 = kind;
    line
}

fn called(f: &'static str, mut line: Line) -> Line {
    line.1 = f;
    line
}

fn life() -> Vec<Line> {
    vec![
        read(0, &[], by("d1", 1)),
        put(10, 1, 1, by("d1", 1)),
        read(20, &[1], by("d1", 1)),
        put(30, 2, 2, by("d2", 2)),
        called("put-again", put(40, 1, 1, by("d2", 2))),
        read(50, &[1, 2], by("d2", 2)),
    ]
}

#[test]
fn every_call_is_recorded_once_and_adds_up() {
    assert_eq!(judge(&Records, &life()), VALID);
    assert_eq!(judge(&Records, &[]).0, Verdict::Vacuous);
    let and = |line: Line| [life(), vec![line]].concat();
    assert_eq!(judge(&Records, &and(read(60, &[1, 2, 1], by("d2", 2)))), found("call-recorded-twice"));
    assert_eq!(judge(&Records, &and(read(60, &[1], by("d2", 2)))), found("lost-call"));
    assert_eq!(judge(&Records, &and(read(60, &[1, 2, 9], by("d2", 2)))), found("unasked-call"));
    let early = [put(100, 3, 3, by("d2", 2)), read(60, &[1, 2, 3], by("d2", 2))];
    assert_eq!(judge(&Records, &[life(), early.to_vec()].concat()), found("unasked-call"));
    let failed = [ended("fail", put(55, 3, 3, by("d2", 2))), read(60, &[1, 2, 3], by("d2", 2))];
    assert_eq!(judge(&Records, &[life(), failed.to_vec()].concat()), found("unasked-call"));
    let unknown = [ended("info", put(55, 3, 3, by("d2", 2))), read(60, &[1, 2, 3], by("d2", 2))];
    assert_eq!(judge(&Records, &[life(), unknown.to_vec()].concat()), VALID);
    let mut wrong = read(60, &[1, 2], by("d2", 2));
    wrong.6["balance"] = json!(-10);
    assert_eq!(judge(&Records, &and(wrong)), found("wrong-record"));
    let mut miscounted = read(60, &[1, 2], by("d2", 2));
    miscounted.6["version"] = json!(3);
    assert_eq!(judge(&Records, &and(miscounted)), found("wrong-record"));
    for (field, told) in [("balance", json!(-10)), ("plan", json!("p1"))] {
        let mut mistold = life();
        mistold[3].6[field] = told;
        assert_eq!(judge(&Records, &mistold), found("wrong-record"), "of a call");
    }
    let again = called("put-again", put(60, 1, 3, by("d2", 2)));
    assert_eq!(judge(&Records, &and(again)), found("retry-done-again"));
    let mut unreadable = read(60, &[], by("d2", 2));
    unreadable.6 = json!({"calls": "?"});
    assert_eq!(judge(&Records, &and(unreadable)).0, Verdict::Unknown);
}

#[test]
fn a_customer_is_a_list_of_calls() {
    let list = || as_list(Linearizable::new(AppendList).only(|f| matches!(f, "append" | "read")));
    let mut lines = life();
    assert_eq!(judge(&list(), &lines), VALID);
    lines.push((70, "final-read", A, Value::Null, 70, "ok", Value::Null));
    assert_eq!(judge(&list(), &lines), VALID, "who is not answered says nothing");
    lines.push(called("final-read", read(80, &[2, 1], by("d2", 2))));
    assert_eq!(judge(&list(), &lines).0, Verdict::Invalid);
}

#[test]
fn one_node_owns_a_customer_at_an_epoch_that_does_not_go_back() {
    assert_eq!(judge(&Owners, &life()), VALID);
    assert_eq!(judge(&Owners, &[]).0, Verdict::Vacuous);
    let two = vec![read(0, &[], by("d1", 1)), read(10, &[], by("d2", 1))];
    assert_eq!(judge(&Owners, &two), found("two-owners"));
    let back = vec![read(0, &[], by("d2", 2)), read(10, &[], by("d1", 1))];
    assert_eq!(judge(&Owners, &back), found("old-epoch-served"));
    let at_once = vec![read(0, &[], by("d2", 2)), read(3, &[], by("d1", 1))];
    assert_eq!(judge(&Owners, &at_once), VALID, "they overlap");
}

fn shard(n: u64, from: Option<&str>, to: Option<&str>, node: &str) -> Value {
    json!({"shard": n, "from": from, "to": to, "node": node, "epoch": n})
}

fn routing(from: u64, epoch: u64, shards: &[Value]) -> Line {
    let told = json!({"epoch": epoch, "shards": shards, "nodes": ["d1", "d2"]});
    (from, "routing", None, Value::Null, from, "ok", told)
}

fn halves() -> Vec<Value> {
    vec![shard(2, Some("r2/-"), None, "d2"), shard(1, None, Some("r2/-"), "d1")]
}

#[test]
fn the_routing_has_everybody_once_and_does_not_go_back() {
    assert_eq!(judge(&Routings, &[routing(0, 4, &halves()), routing(10, 5, &halves())]), VALID);
    assert_eq!(judge(&Routings, &[]).0, Verdict::Vacuous);
    let back = [routing(0, 5, &halves()), routing(10, 4, &halves())];
    assert_eq!(judge(&Routings, &back), found("routing-went-back"));
    let with = |shards: Vec<Value>| judge(&Routings, &[routing(0, 4, &shards)]);
    assert_eq!(with(Vec::new()), found("customers-without-owner"));
    let gap = vec![shard(1, None, Some("r2/-"), "d1"), shard(2, Some("r2/a"), None, "d2")];
    assert_eq!(with(gap), found("customers-without-owner"));
    assert_eq!(with(vec![shard(1, None, Some("r2/-"), "d1")]), found("customers-without-owner"));
    let twice = vec![shard(1, None, Some("r2/b"), "d1"), shard(2, Some("r2/a"), None, "d2")];
    assert_eq!(with(twice), found("customers-with-two-owners"));
}

fn visit(from: u64, part: u64, served: &Value, unserved: u64) -> Line {
    let visited = json!({"served": served, "unserved": unserved});
    (from, "visit", None, json!([part, []]), from, "ok", visited)
}

#[test]
fn the_load_is_even_at_the_end_and_something_moved() {
    let judge_parts = |lines: &[Line]| judge(&Balance { parts: 4 }, lines);
    let run = |visits: Vec<Line>| [life(), vec![routing(60, 4, &halves())], visits].concat();
    // Only the second half of the second time counts.
    let early = || vec![visit(12_000, 3, &json!({"d1": 100}), 0), visit(21_000, 1, &json!({"d1": 100}), 0)];
    let late = |served: Value, unserved| visit(22_000, 2, &served, unserved);
    let even = [early(), vec![late(json!({"d1": 11, "d2": 9}), 0)]].concat();
    assert_eq!(judge_parts(&run(even.clone())), VALID);
    let still = [vec![read(0, &[], by("d1", 1)), routing(60, 4, &halves())], even].concat();
    assert_eq!(judge_parts(&still).0, Verdict::Vacuous, "nothing moved");
    for served in [json!({"d1": 13, "d2": 7}), json!({"d1": 20})] {
        let uneven = [early(), vec![late(served, 0)]].concat();
        assert_eq!(judge_parts(&run(uneven)), found("uneven-load"));
    }
    // Something moves while the visits are judged.
    let moved = vec![shard(2, Some("r2/-"), None, "d1"), shard(1, None, Some("r2/-"), "d1")];
    let uneven =
        || [early(), vec![late(json!({"d1": 20}), 0), visit(23_000, 3, &json!({"d1": 20}), 0)]].concat();
    let told = |second: &[Value]| vec![routing(22_100, 4, &halves()), routing(22_200, 5, second)];
    assert_eq!(judge_parts(&[run(uneven()), told(&moved)].concat()).0, Verdict::Unknown);
    assert_eq!(judge_parts(&[run(uneven()), told(&halves())].concat()), found("uneven-load"));
    // One customer alone is more than can be even.
    let mut one = late(json!({"d1": 20}), 0);
    one.3 = json!([2, ["r1/a", "r1/a", "r1/b"]]);
    assert_eq!(judge_parts(&run([early(), vec![one]].concat())).0, Verdict::Unknown);
    for visits in [early(), vec![late(json!({"d1": 20}), 5)]] {
        assert_eq!(judge_parts(&run(visits)).0, Verdict::Unknown, "there is not enough to go by");
    }
}

fn held(n: u64, state: &str) -> Value {
    json!({"shard": n, "epoch": n, "state": state, "customers": 1, "rate": 0.5})
}

fn load(from: u64, d1: Vec<Value>, d2: Vec<Value>, age_ms: Option<u64>) -> Line {
    let node = |name: &str, shards, age_ms| json!({"node": name, "capacity": 150.0, "rate": 1.0, "age_ms": age_ms, "shards": shards});
    let nodes = [node("d1", d1, Some(1)), node("d2", d2, age_ms)];
    (from, "load", None, Value::Null, from, "ok", json!({"nodes": nodes}))
}

#[test]
fn nothing_is_left_of_what_was_interrupted() {
    let told = || vec![routing(15_500, 4, &halves())];
    let read_at_end = || vec![called("final-read", read(30_000, &[], by("d1", 1)))];
    let run = |looks: Vec<Line>| judge(&Leftovers, &[told(), looks, read_at_end()].concat());
    let clean = |from| load(from, vec![held(1, "owned")], vec![held(2, "owned")], Some(1));
    let moving =
        |from| load(from, vec![held(1, "owned")], vec![held(2, "owned"), held(1, "incoming")], Some(1));
    let orphan = |from| load(from, vec![held(1, "frozen")], vec![held(2, "owned")], Some(1));
    assert_eq!(run(vec![clean(16_000), clean(22_000)]), VALID);
    assert_eq!(run(vec![moving(16_000), clean(19_000), moving(22_000)]), VALID, "something moves");
    assert_eq!(run(vec![moving(16_000), moving(22_000)]), found("leftover-copy"));
    let goes_late = vec![moving(16_000), moving(22_000), clean(23_000)];
    assert_eq!(run(goes_late), found("leftover-copy"), "it took too long");
    let (verdict, names) = run(vec![orphan(16_000), orphan(22_000)]);
    assert_eq!((verdict, names.contains(&"orphan-shard".to_owned())), (Verdict::Invalid, true));
    assert_eq!(run(vec![orphan(16_000), orphan(18_500)]).0, Verdict::Unknown, "not long enough");
    let unheard = |from| load(from, vec![held(1, "owned")], vec![], Some(5_000));
    assert_eq!(run(vec![unheard(16_000), unheard(22_000)]).0, Verdict::Unknown);
    let unread = (9, "final-read", A, Value::Null, 21_000, "ok", Value::Null);
    let lines = [told(), vec![clean(16_000), clean(22_000), unread]].concat();
    assert_eq!(judge(&Leftovers, &lines), found("customer-unreachable"));
    let then = called("final-read", read(21_010, &[], by("d1", 1)));
    assert_eq!(judge(&Leftovers, &[lines, vec![then]].concat()), VALID, "somebody was answered");
    let nobody = [told(), vec![clean(16_000), clean(22_000)]].concat();
    assert_eq!(judge(&Leftovers, &nobody).0, Verdict::Unknown, "nobody was asked for in the end");
    let mut other = read(30, &[], by("d2", 1));
    other.2 = Some("r2/b");
    assert_eq!(run(vec![clean(16_000), clean(22_000), other]).0, Verdict::Unknown, "r2/b was not");
}

#[test]
fn the_time_in_which_nobody_served_a_customer_is_measured() {
    let mut lines = life();
    lines.insert(3, ended("fail", read(22, &[], by("d1", 1))));
    lines.insert(4, ended("fail", read(26, &[], by("d1", 1))));
    let finding = look(&Handovers, &lines);
    assert_eq!((finding.verdict, &finding.measurements["changes"]), (Verdict::Valid, &json!(1)));
    // From the first that was asked in vain after the last answer, to the first answer.
    assert_eq!(finding.measurements["unavailable_ms_max"], json!(9.0));
    assert_eq!(judge(&Handovers, &lines[..3]).0, Verdict::Vacuous);
}
