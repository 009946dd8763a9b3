use ordeal_core::{Checker, Verdict};
use serde_json::{Value, json};

use super::*;
use crate::transactions::testing::{differential, names, script};

fn judged(lines: &[(u64, &str, Value)]) -> Finding {
    ListAppend::new(Level::Strict).check(&script(lines))
}

fn judge(level: Level) -> Box<dyn Checker> {
    Box::new(ListAppend::new(level))
}

#[test]
fn agrees_with_every_order_of_small_histories() {
    let (valid, invalid, unknown) = differential(0..150_000, true, judge, (6, 3, 4));
    assert!(valid > 30_000 && invalid > 30_000, "{valid} {invalid}");
    assert_eq!(unknown, 0);
}

#[test]
#[ignore = "long"]
fn agrees_with_every_order_of_ten_million_small_histories() {
    let (.., unknown) = differential(1_000_000..11_000_000, true, judge, (7, 3, 4));
    assert_eq!(unknown, 0);
}

#[test]
fn what_is_impossible_by_itself_is_named() {
    let append = |v: u64| json!([["append", 1, v]]);
    let read = |list: Value| json!([["r", 1, list]]);
    let cases = [
        (
            "incompatible-order",
            vec![
                (0, "-", append(1)),
                (0, "-", append(2)),
                (1, "-", read(json!([1, 2]))),
                (1, "-", read(json!([2]))),
            ],
        ),
        ("duplicate-elements", vec![(0, "-", append(1)), (1, "-", read(json!([1, 1])))]),
        ("unwritten-read", vec![(0, "-", append(1)), (1, "-", read(json!([1, 7])))]),
        ("G1a", vec![(0, "invoke", append(1)), (0, "fail", append(1)), (1, "-", read(json!([1])))]),
        ("internal", vec![(0, "-", json!([["append", 1, 1], ["r", 1, []]]))]),
        ("internal", vec![(0, "-", json!([["r", 1, [1]], ["append", 1, 1]]))]),
        (
            "out-of-order-appends",
            vec![(0, "-", json!([["append", 1, 1], ["append", 1, 2]])), (1, "-", read(json!([2, 1])))],
        ),
        (
            "lost-append",
            vec![(0, "-", json!([["append", 1, 1], ["append", 1, 2]])), (1, "-", read(json!([2])))],
        ),
    ];
    for (name, lines) in cases {
        let finding = judged(&lines);
        assert_eq!(finding.verdict, Verdict::Invalid, "{name}");
        assert_eq!(finding.anomalies[0].name, name, "{finding:#?}");
        assert!(!finding.anomalies[0].events.is_empty());
    }
}

#[test]
fn part_of_a_transaction_is_not_read() {
    let both = json!([["append", 1, 1], ["append", 1, 2]]);
    let cut = judged(&[
        (0, "invoke", both.clone()),
        (1, "-", json!([["r", 1, [1]]])),
        (0, "ok", both),
        (1, "-", json!([["r", 1, [1, 2]]])),
    ]);
    assert_eq!(names(&cut)[0], "G1b");
}

#[test]
fn cycles_are_classified() {
    let g0 = judged(&[
        (0, "invoke", json!([["append", 1, 1], ["append", 2, 1]])),
        (1, "invoke", json!([["append", 1, 2], ["append", 2, 2]])),
        (0, "ok", json!([["append", 1, 1], ["append", 2, 1]])),
        (1, "ok", json!([["append", 1, 2], ["append", 2, 2]])),
        (2, "-", json!([["r", 1, [1, 2]], ["r", 2, [2, 1]]])),
    ]);
    assert_eq!(names(&g0), ["G0"]);
    assert_eq!(g0.measurements["levels_kept"], json!([]));
    let g1c = judged(&[
        (0, "invoke", json!([["append", 1, 1], ["r", 2, null]])),
        (1, "invoke", json!([["append", 2, 1], ["r", 1, null]])),
        (0, "ok", json!([["append", 1, 1], ["r", 2, [1]]])),
        (1, "ok", json!([["append", 2, 1], ["r", 1, [1]]])),
    ]);
    assert_eq!(names(&g1c), ["G1c"]);
    let lost_update = judged(&[
        (0, "invoke", json!([["r", 1, null], ["append", 1, 1]])),
        (1, "invoke", json!([["r", 1, null], ["append", 1, 2]])),
        (0, "ok", json!([["r", 1, []], ["append", 1, 1]])),
        (1, "ok", json!([["r", 1, []], ["append", 1, 2]])),
        (2, "-", json!([["r", 1, [1, 2]]])),
    ]);
    assert_eq!(names(&lost_update), ["G-single"]);
    assert_eq!(lost_update.measurements["levels_kept"], json!(["read-committed"]));
    let write_skew = judged(&[
        (0, "invoke", json!([["r", 1, null], ["append", 2, 1]])),
        (1, "invoke", json!([["r", 2, null], ["append", 1, 1]])),
        (0, "ok", json!([["r", 1, []], ["append", 2, 1]])),
        (1, "ok", json!([["r", 2, []], ["append", 1, 1]])),
    ]);
    assert_eq!(names(&write_skew), ["G2-item"]);
}

#[test]
fn stale_reads_need_time_to_be_wrong() {
    let stale = [(0, "-", json!([["append", 5, 3]])), (1, "-", json!([["r", 5, []]]))];
    let finding = judged(&stale);
    assert_eq!(names(&finding), ["G-single-realtime"]);
    assert_eq!(
        finding.anomalies[0].message,
        "G-single-realtime: no order of these transactions is possible: T0 before T2, for T0 ended before T2 \
         began; T2 before T0, for T2 read key 5 as [] without T0's."
    );
    assert_eq!(
        finding.measurements["levels_kept"],
        json!(["read-committed", "serializable", "strong-session-serializable"])
    );
    let weaker = ListAppend::new(Level::StrongSession).check(&script(&stale));
    assert_eq!(weaker.verdict, Verdict::Valid);
    let own = [(0, "-", json!([["append", 5, 3]])), (0, "-", json!([["r", 5, []]]))];
    let finding = ListAppend::new(Level::StrongSession).check(&script(&own));
    assert_eq!(names(&finding), ["G-single-process"]);
}

#[test]
fn the_order_of_appends_is_told_with_its_witness() {
    let finding = judged(&[
        (0, "-", json!([["append", 5, 2]])),
        (1, "-", json!([["append", 5, 3]])),
        (2, "-", json!([["r", 5, [3, 2]]])),
    ]);
    assert_eq!(names(&finding), ["G0-realtime"]);
    let message = &finding.anomalies[0].message;
    let why = "T2 before T0, for T0 appended 2 to key 5 after T2's 3, as T4 read [3 2]";
    assert!(message.contains(why), "{message}");
}

#[test]
fn a_stale_read_long_ago_is_told_in_two_steps() {
    let mut lines = vec![];
    for i in 0..100 {
        lines.push((i % 3, "-", json!([["append", 1, i]])));
        lines.push((5, "-", json!([["r", 1, (0..=i).collect::<Vec<_>>()]])));
    }
    lines.push((7, "-", json!([["r", 1, [0, 1, 2]]])));
    let finding = judged(&lines);
    assert_eq!(names(&finding), ["G-single-realtime"]);
    assert_eq!(finding.anomalies[0].details["cycle"].as_array().unwrap().len(), 2, "{finding:#?}");
}

#[test]
fn unknown_outcomes_count_if_they_were_seen() {
    let both = json!([["append", 1, 1], ["append", 2, 1]]);
    let open = [(0, "invoke", both.clone()), (0, "info", both)];
    let read = |a: Value, b: Value| (1, "-", json!([["r", 1, a], ["r", 2, b]]));
    let with = |read| judged(&[open[0].clone(), open[1].clone(), read]).verdict;
    assert_eq!(with(read(json!([]), json!([]))), Verdict::Valid);
    assert_eq!(with(read(json!([1]), json!([1]))), Verdict::Valid);
    assert_eq!(with(read(json!([1]), json!([]))), Verdict::Invalid);
}

#[test]
fn an_element_appended_twice_leaves_doubt_but_hides_nothing() {
    let twice = [
        (0, "-", json!([["append", 1, 1]])),
        (1, "-", json!([["append", 1, 1]])),
        (2, "-", json!([["r", 1, [1]]])),
    ];
    assert_eq!(judged(&twice).verdict, Verdict::Unknown);
    let mut also = twice.to_vec();
    also.push((2, "-", json!([["append", 2, 1]])));
    also.push((2, "-", json!([["r", 2, []]])));
    assert_eq!(judged(&also).verdict, Verdict::Invalid);
    // What nobody read may be appended as often as one likes.
    let unread = [twice[0].clone(), twice[1].clone(), (2, "-", json!([["r", 2, []]]))];
    assert_eq!(judged(&unread).verdict, Verdict::Valid);
}

#[test]
fn what_cannot_be_read_is_unknown_and_silence_is_vacuous() {
    let verdict = |value: Value| judged(&[(0, "-", value)]).verdict;
    for wrong in [
        json!(3),
        json!([3]),
        json!([["append", 1]]),
        json!([["jump", 1, 2]]),
        json!([["w", 1, 2]]),
        json!([["r", 1, "text"]]),
    ] {
        assert_eq!(verdict(wrong.clone()), Verdict::Unknown, "{wrong}");
    }
    assert_eq!(verdict(json!([["append", 1, 1]])), Verdict::Vacuous);
    assert_eq!(judged(&[]).verdict, Verdict::Vacuous);
    assert!(Level::named("eventually").unwrap_err().contains("strict-serializable"));
}
