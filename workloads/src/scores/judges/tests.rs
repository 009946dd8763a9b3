//! Small histories written by hand: valid ones, and one for every anomaly that a judge can name.

use ordeal_core::{Checker, Finding, History, Verdict};
use serde_json::json;

use super::*;
use crate::by_hand::{self, Said, VALID, Written, found, said};

/// `(client, f, input, from ms, kind, output)` of operations on one match, each of 5 ms.
type Line = (u64, &'static str, Value, u64, &'static str, Value);

fn history(lines: &[Line]) -> History {
    let written = lines.iter().map(|(process, f, input, from, kind, output)| {
        let (key, ms) = (Some("m1"), (*from, from + 5));
        Written { process: *process, node: "n2", f, key, input, ms, kind, output }
    });
    by_hand::history(written, Vec::new())
}

fn judge(checker: &impl Checker, lines: &[Line]) -> Said {
    said(checker.check(&history(lines)))
}

/// The `n`-th goal leads to n : 0.
fn score(n: u64) -> Value {
    json!([n, 0, format!("g{n}")])
}

fn goal(client: u64, from: u64, n: u64, sequence: u64, kind: &'static str) -> Line {
    (client, "goal", score(n), from, kind, json!([sequence, score(n)]))
}

fn read(client: u64, from: u64, n: u64, hit: bool) -> Line {
    (client, "read", Value::Null, from, "ok", json!([n, if n == 0 { Value::Null } else { score(n) }, hit]))
}

/// The `n`-th goals, numbered from `first` on.
fn events(from: u64, first: u64, goals: &[u64]) -> Line {
    let told = |(sequence, n): (u64, &u64)| json!([sequence, score(*n), format!("g{n}")]);
    let told: Vec<Value> = (first..).zip(goals).map(told).collect();
    (9, "events", json!(first), from, "ok", json!(told))
}

#[test]
fn goals_in_their_places_are_in_order() {
    let lines = [
        goal(1, 0, 1, 1, "ok"),
        goal(2, 10, 2, 0, "info"),
        events(20, 1, &[1, 2]),
        goal(1, 30, 3, 3, "ok"),
        goal(1, 40, 4, 0, "fail"),
        events(50, 2, &[2, 3]),
        events(60, 1, &[1, 2, 3]),
        // Acknowledged after the last whole stream was asked for.
        goal(1, 62, 5, 4, "ok"),
        read(1, 70, 3, true),
    ];
    assert_eq!(judge(&Feeds, &lines), VALID);
}

#[test]
fn nothing_acknowledged_or_no_stream_says_nothing() {
    assert_eq!(judge(&Feeds, &[events(0, 1, &[])]).0, Verdict::Vacuous);
    assert_eq!(judge(&Feeds, &[goal(1, 0, 1, 1, "ok"), events(10, 2, &[])]).0, Verdict::Vacuous);
    assert_eq!(judge(&Feeds, &[(1, "read", Value::Null, 0, "ok", json!(5))]).0, Verdict::Unknown);
}

#[test]
fn every_fault_of_a_stream_has_its_name() {
    let told = |kind| goal(1, 0, 1, 1, kind);
    let cases: [(&str, Vec<Line>); 8] = [
        ("lost-goal", vec![told("ok"), events(10, 1, &[])]),
        ("misplaced-goal", vec![told("ok"), goal(2, 0, 2, 0, "info"), events(10, 1, &[2, 1])]),
        ("repeated-goal", vec![told("ok"), events(10, 1, &[1, 1])]),
        ("refused-goal", vec![told("fail"), events(10, 1, &[1])]),
        ("unknown-goal", vec![told("ok"), events(10, 1, &[1, 7])]),
        ("event-gap", vec![told("ok"), (9, "events", json!(1), 10, "ok", json!([[2, score(1), "g1"]]))]),
        (
            "event-changed",
            vec![told("info"), goal(2, 0, 2, 0, "info"), events(10, 1, &[1]), events(20, 1, &[2])],
        ),
        (
            "score-not-in-stream",
            vec![
                told("info"),
                goal(2, 0, 2, 0, "info"),
                events(10, 1, &[1, 2]),
                (3, "read", Value::Null, 20, "ok", json!([2, score(1), true])),
            ],
        ),
    ];
    for (name, lines) in cases {
        let (verdict, names) = judge(&Feeds, &lines);
        assert!(verdict == Verdict::Invalid && names.iter().any(|found| found == name), "{name}: {names:?}");
    }
}

#[test]
fn a_viewer_sees_scores_grow() {
    let lines = [
        read(1, 0, 0, false),
        goal(2, 2, 1, 1, "ok"),
        // It was asked before the goal was acknowledged.
        read(1, 6, 0, true),
        read(1, 12, 1, true),
        // A retry is answered with its old event.
        goal(2, 20, 2, 2, "ok"),
        goal(3, 30, 1, 1, "ok"),
        events(40, 2, &[2]),
        events(50, 3, &[]),
    ];
    assert_eq!(judge(&Viewers, &lines), VALID);
    assert_eq!(judge(&Viewers, &[]).0, Verdict::Vacuous);
    assert_eq!(judge(&Viewers, &[(1, "read", Value::Null, 0, "ok", json!([1]))]).0, Verdict::Unknown);
}

#[test]
fn a_score_that_goes_back_is_found_for_one_viewer_and_for_all() {
    assert_eq!(judge(&Viewers, &[goal(2, 0, 2, 2, "ok"), read(1, 10, 1, true)]), found("stale-score"));
    let (verdict, mut names) = judge(&Viewers, &[read(1, 0, 2, false), read(1, 10, 1, true)]);
    names.sort_unstable();
    assert_eq!((verdict, names), (Verdict::Invalid, vec!["score-went-back".into(), "stale-score".into()]));
    assert_eq!(judge(&Viewers, &[goal(2, 0, 2, 2, "ok"), events(10, 2, &[])]), found("stale-score"));
}

#[test]
fn without_a_hit_nothing_was_learned_of_caches() {
    assert_eq!(judge(&Hits, &[read(1, 0, 0, false)]).0, Verdict::Vacuous);
    assert_eq!(judge(&Hits, &[(1, "read", Value::Null, 0, "ok", json!([0, null]))]).0, Verdict::Unknown);
    let finding = Hits.check(&history(&[read(1, 0, 0, false), read(1, 10, 0, true), read(1, 20, 0, true)]));
    assert_eq!((finding.verdict, &finding.measurements["hit_ratio"]), (Verdict::Valid, &json!(0.667)));
    assert_eq!(finding.measurements["miss_latency_ms"], json!({ "p50": 5.0, "p99": 5.0 }));
}

#[test]
fn who_answered_is_hidden_from_other_judges() {
    struct Shows;
    impl Checker for Shows {
        fn name(&self) -> String {
            "shows".to_owned()
        }
        fn check(&self, history: &History) -> Finding {
            Finding::new("shows", Verdict::Valid, history.events[1].value.to_string())
        }
    }
    assert_eq!(answered(Shows).check(&history(&[read(1, 0, 1, true)])).summary, r#"[1,[1,0,"g1"]]"#);
}
