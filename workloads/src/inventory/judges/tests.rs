//! Small histories written by hand: valid ones, and one for every anomaly that a judge can name.

use ordeal_core::{Checker, History, Key, Verdict};
use serde_json::{Value, json};

use super::*;
use crate::by_hand::{self, Said, VALID, Written, event, found, phase, said};

/// `(process, node, f, input, from ms, kind, output)` of operations on one SKU, each of 5 ms.
type Line = (u64, &'static str, &'static str, Value, u64, &'static str, Value);

/// The reads at the end begin after 900 ms, unless the others say otherwise.
fn history_with(lines: &[Line], others: Vec<Value>) -> History {
    let written = lines.iter().map(|(process, node, f, input, from, kind, output)| {
        let key = (*f != "conflicts").then_some("m0");
        Written { process: *process, node, f, key, input, ms: (*from, from + 5), kind, output }
    });
    by_hand::history(written, others)
}

fn history(lines: &[Line]) -> History {
    history_with(lines, vec![phase(900, "final-reads")])
}

fn judge(checker: &impl Checker, history: &History) -> Said {
    said(checker.check(history))
}

/// An update at this node, by a client of its own: its number is the node's in the vector.
#[allow(clippy::needless_pass_by_value, reason = "it is written as json! where it is called")]
fn update(f: &'static str, node: &'static str, from: u64, asked: [i64; 2], vector: Value) -> Line {
    // Just after a stock-take it is what was counted; nobody looks at it after a movement.
    let done = json!({"warehouse": node, "number": vector[node], "vector": vector, "level": asked[0]});
    (1_000 + asked[1] as u64, node, f, json!(asked), from, "ok", done)
}

fn unknown(f: &'static str, node: &'static str, from: u64, asked: [i64; 2]) -> Line {
    (1_000 + asked[1] as u64, node, f, json!(asked), from, "info", Value::Null)
}

fn sibling(warehouse: &str, request: u64, counted: i64, vector: &Value) -> Value {
    let request_id = format!("r{request}");
    let number = &vector[warehouse];
    json!({"warehouse": warehouse, "number": number, "request_id": request_id, "counted": counted, "vector": vector})
}

#[allow(clippy::needless_pass_by_value, reason = "it is written as json! where it is called")]
fn read(node: &'static str, from: u64, level: i64, vector: Value, siblings: &[Value]) -> Line {
    let rule = json!({"kind": "merge"});
    let stock = json!({"level": level, "vector": vector, "rule": rule, "siblings": siblings});
    (from, node, "read", Value::Null, from, "ok", stock)
}

/// 10 come to n1, which counts 7; meanwhile 4 leave n2, which counts 9.
fn counted_on_both_sides() -> Vec<Line> {
    vec![
        update("move", "n1", 10, [10, 1], json!({"n1": 1})),
        update("count", "n1", 20, [7, 2], json!({"n1": 2})),
        update("move", "n2", 10, [-4, 3], json!({"n2": 1})),
        update("count", "n2", 20, [9, 4], json!({"n2": 2})),
        update("move", "n2", 30, [1, 5], json!({"n2": 3})),
    ]
}

fn both() -> [Value; 2] {
    [sibling("n1", 2, 7, &json!({"n1": 2})), sibling("n2", 4, 9, &json!({"n2": 2}))]
}

fn with(mut lines: Vec<Line>, more: impl IntoIterator<Item = Line>) -> History {
    lines.extend(more);
    history(&lines)
}

#[test]
fn levels_that_follow_from_the_updates_are_right() {
    let lines = counted_on_both_sides();
    // Of n1's count: 7 - 4 + 1; of n2's: 9 + 10 + 1.
    let whole = read("n1", 950, 4, json!({"n1": 2, "n2": 3}), &both());
    assert_eq!(judge(&Levels, &with(lines.clone(), [whole.clone()])), VALID);
    // That of n1 has priority, though n2 counted less.
    let lines_of_p = {
        let mut lines = lines.clone();
        lines[3] = update("count", "n2", 20, [2, 4], json!({"n2": 2}));
        lines
    };
    let of_p = |level| {
        let siblings = [both()[0].clone(), sibling("n2", 4, 2, &json!({"n2": 2}))];
        let mut read = read("n1", 950, level, json!({"n1": 2, "n2": 3}), &siblings);
        read.6["rule"] = json!({"kind": "priority", "warehouse": "n1"});
        let mut history = with(lines_of_p.clone(), [read]);
        history.events.iter_mut().filter(|event| event.key.is_some()).for_each(|event| {
            event.key = Some(Key::Text("p1".to_owned()));
        });
        history
    };
    assert_eq!(judge(&Levels, &of_p(4)), VALID);
    assert_eq!(judge(&Levels, &of_p(13)), found("wrong-level"), "by the rule of other SKUs");
    let mut other_rule = whole.clone();
    other_rule.6["rule"] = json!({"kind": "priority", "warehouse": "n1"});
    assert_eq!(judge(&Levels, &with(lines.clone(), [other_rule])), found("wrong-rule"));
    let mut miscounted = lines.clone();
    miscounted[1].6["level"] = json!(8);
    assert_eq!(judge(&Levels, &with(miscounted, [whole.clone()])), found("wrong-level"));
    let early = read("n2", 25, 9, json!({"n2": 2}), &both()[1..]);
    assert_eq!(judge(&Levels, &with(lines.clone(), [whole, early])), VALID);
    assert_eq!(judge(&Levels, &history(&lines)).0, Verdict::Vacuous, "nothing was read");
    let before_the_end = read("n1", 50, 4, json!({"n1": 2, "n2": 3}), &both());
    assert_eq!(judge(&Levels, &with(lines, [before_the_end])).0, Verdict::Unknown);
}

#[test]
fn updates_of_unknown_outcome_make_a_range() {
    let lines = vec![
        update("move", "n1", 10, [10, 1], json!({"n1": 1})),
        unknown("move", "n1", 20, [5, 2]),
        unknown("move", "n1", 20, [-3, 3]),
        update("move", "n1", 30, [1, 4], json!({"n1": 3})),
    ];
    // Number 2 is one of the two of unknown outcome.
    for (level, verdict) in [(16, Verdict::Valid), (8, Verdict::Valid), (7, Verdict::Invalid)] {
        let shown = read("n1", 950, level, json!({"n1": 3}), &[]);
        assert_eq!(judge(&Levels, &with(lines.clone(), [shown])).0, verdict, "{level}");
    }
    let both_done = read("n1", 950, 13, json!({"n1": 4}), &[]);
    assert_eq!(judge(&Levels, &with(lines.clone(), [both_done])), VALID);
    let one_more = read("n1", 950, 13, json!({"n1": 5}), &[]);
    assert_eq!(judge(&Levels, &with(lines, [one_more])), found("unasked-update"));
    let take = sibling("n1", 2, 7, &json!({"n1": 1}));
    let counted = read("n1", 950, 7, json!({"n1": 1}), &[take]);
    assert_eq!(
        judge(&Levels, &history(&[unknown("count", "n1", 20, [7, 2]), counted.clone()])).0,
        Verdict::Vacuous
    );
    let later = update("move", "n2", 30, [0, 3], json!({"n2": 1}));
    let mut counted_and_moved = counted;
    counted_and_moved.6["vector"]["n2"] = json!(1);
    let lines = [unknown("count", "n1", 20, [7, 2]), later, counted_and_moved];
    assert_eq!(judge(&Levels, &history(&lines)), VALID);
}

#[test]
fn a_retry_is_the_request_that_it_repeats() {
    let first = update("move", "n1", 10, [10, 1], json!({"n1": 1}));
    let mut again = first.clone();
    (again.0, again.4) = (99, 20);
    let shown = read("n1", 950, 10, json!({"n1": 1}), &[]);
    assert_eq!(judge(&Levels, &history(&[first.clone(), again.clone(), shown])), VALID);
    // Nobody knew of the first attempt.
    let lost = (10, "n1", "move", json!([10, 1]), 10, "info", Value::Null);
    let shown = read("n1", 950, 10, json!({"n1": 1}), &[]);
    assert_eq!(judge(&Levels, &history(&[lost, again.clone(), shown])), VALID);
    again.6["number"] = json!(2);
    let twice = read("n1", 950, 20, json!({"n1": 2}), &[]);
    let (verdict, names) = judge(&Levels, &history(&[first, again, twice]));
    assert_eq!((verdict, &*names[0], &*names[1]), (Verdict::Invalid, "applied-twice", "unasked-update"));
}

#[test]
fn states_that_contradict_what_clients_did_are_told() {
    let vector = || json!({"n1": 2, "n2": 3});
    let [one, other] = both();
    let mut altered = one.clone();
    altered["counted"] = json!(6);
    let cases = [
        (read("n1", 950, 5, vector(), &both()), "wrong-level"),
        (read("n1", 950, 4, vector(), &both()[..1]), "sibling-missing"),
        (read("n1", 950, 3, vector(), &[altered, other.clone()]), "invented-sibling"),
        (read("n1", 950, 0, json!({"n1": 2, "n2": 1}), &both()[..1]), "lost-update"),
    ];
    for (shown, name) in cases {
        let (verdict, names) = judge(&Levels, &with(counted_on_both_sides(), [shown]));
        assert_eq!(
            (verdict, names.contains(&name.to_owned())),
            (Verdict::Invalid, true),
            "{name}: {names:?}"
        );
    }
    let shown = read("n1", 940, 4, vector(), &both());
    let turned = read("n2", 950, 4, vector(), &[other.clone(), one.clone()]);
    assert_eq!(
        judge(&Levels, &with(counted_on_both_sides(), [shown, turned])),
        found("one-vector-two-states")
    );
    // n2 counts again and has seen both.
    let settling = update("count", "n2", 40, [8, 6], json!({"n1": 2, "n2": 4}));
    let settled = sibling("n2", 6, 8, &json!({"n1": 2, "n2": 4}));
    let right = read("n1", 950, 8, json!({"n1": 2, "n2": 4}), std::slice::from_ref(&settled));
    let wrong = read("n1", 950, 4, json!({"n1": 2, "n2": 4}), &[one, settled]);
    assert_eq!(judge(&Levels, &with(counted_on_both_sides(), [settling.clone(), right])), VALID);
    assert_eq!(judge(&Levels, &with(counted_on_both_sides(), [settling, wrong])), found("sibling-outlived"));
    // It has seen an update that the vector does not count.
    let ahead = read("n1", 950, 7, json!({"n2": 1}), &both()[..1]);
    assert_eq!(judge(&Levels, &with(counted_on_both_sides(), [ahead])).0, Verdict::Invalid);
    let reused = update("move", "n1", 40, [1, 6], json!({"n1": 2}));
    assert_eq!(judge(&Levels, &with(counted_on_both_sides(), [reused])).1, ["number-used-twice"]);
}

fn report(node: &'static str, pairs: &Value) -> Line {
    (
        node.len() as u64 + u64::from(node == "n1"),
        node,
        "conflicts",
        Value::Null,
        960,
        "ok",
        json!({"m0": pairs}),
    )
}

#[test]
fn conflicts_are_reported_if_and_only_if_they_are() {
    // n1 counts again, and has seen n2's count: that is no conflict.
    let mut lines = counted_on_both_sides();
    lines.push(update("count", "n1", 60, [5, 6], json!({"n1": 3, "n2": 3})));
    let right = json!([[["n2", 2], ["n1", 2]]]);
    let reports = |pairs: &Value| [report("n1", &right), report("n2", pairs)];
    assert_eq!(judge(&Conflicts, &with(lines.clone(), reports(&right))), VALID);
    assert_eq!(judge(&Conflicts, &with(lines.clone(), [report("n1", &right)])).0, Verdict::Unknown);
    assert_eq!(judge(&Conflicts, &history(&lines)).0, Verdict::Vacuous);
    let both = json!([[["n1", 2], ["n2", 2]], [["n1", 3], ["n2", 2]]]);
    assert_eq!(judge(&Conflicts, &with(lines.clone(), reports(&json!([])))), found("conflict-missed"));
    assert_eq!(judge(&Conflicts, &with(lines.clone(), reports(&both))), found("false-conflict"));
    let beyond = json!([[["n1", 2], ["n2", 2]], [["n1", 2], ["n2", 7]]]);
    assert_eq!(judge(&Conflicts, &with(lines.clone(), reports(&beyond))), found("invented-conflict"));
    lines.push(unknown("count", "n2", 70, [5, 7]));
    assert_eq!(judge(&Conflicts, &with(lines, reports(&beyond))), VALID, "nobody knows what it had seen");
}

#[test]
fn what_was_seen_at_a_node_is_not_unseen() {
    let move_by = |process: u64, from: u64, request: i64, number: u64| {
        let mut line = update("move", "n1", from, [1, request], json!({"n1": number, "n2": 1}));
        line.0 = process;
        line
    };
    let read_by = |process: u64, from: u64, number: u64| {
        let mut line = read("n1", from, 0, json!({"n1": number, "n2": 1}), &[]);
        line.0 = process;
        line
    };
    let fine = [move_by(1, 10, 1, 3), read_by(1, 20, 3), read_by(2, 22, 4), move_by(1, 30, 2, 5)];
    assert_eq!(judge(&Sessions, &history(&fine)), VALID);
    assert_eq!(judge(&Sessions, &history(&[])).0, Verdict::Vacuous);
    let cases = [
        ([move_by(1, 10, 1, 3), read_by(1, 20, 2)], "read-your-writes"),
        ([move_by(1, 10, 1, 3), move_by(1, 20, 2, 2)], "monotonic-writes"),
        ([read_by(1, 10, 3), read_by(1, 20, 2)], "monotonic-reads"),
        ([read_by(1, 10, 3), move_by(1, 20, 2, 2)], "writes-follow-reads"),
        ([read_by(1, 10, 3), read_by(2, 20, 2)], "vector-went-back"),
    ];
    for (lines, name) in cases {
        assert_eq!(judge(&Sessions, &history(&lines)), found(name));
    }
    // Other nodes, operations at the same time, and retries prove nothing.
    let mut elsewhere = read_by(1, 20, 2);
    elsewhere.1 = "n2";
    assert_eq!(judge(&Sessions, &history(&[read_by(1, 10, 3), elsewhere])), VALID);
    assert_eq!(judge(&Sessions, &history(&[read_by(1, 10, 3), read_by(2, 14, 2)])), VALID);
    let retried = [move_by(1, 10, 1, 3), read_by(1, 20, 4), move_by(1, 30, 1, 3)];
    assert_eq!(judge(&Sessions, &history(&retried)), VALID);
}

fn fault(fault: &str, installed: &Value, from: u64, to: u64) -> Vec<Value> {
    let nemesis = &json!("nemesis");
    let proof = json!({"fault": fault, "installed": installed, "proved": true});
    vec![
        event(from, nemesis, "invoke", "inject", &json!({"fault": fault, "args": {}})),
        event(from + 1, nemesis, "info", "inject", &proof),
        event(to - 1, nemesis, "invoke", "heal", &json!({"fault": fault})),
        event(to, nemesis, "info", "heal", &json!({"fault": fault, "proved": true})),
    ]
}

#[test]
fn a_warehouse_that_stops_accepting_in_a_partition_is_told() {
    let cut = json!({"cut": [[0, 1], [1, 0]]});
    let ask = |kind: &'static str, from: u64| -> Line {
        let mut line = update("move", "n2", from, [1, from as i64], json!({"n2": from}));
        line.5 = kind;
        line
    };
    let refused: Vec<Line> = (0..6).map(|n| ask("fail", 1_000 + n * 250)).collect();
    let partition = || fault("partition", &cut, 500, 3_000);
    let all = |lines: &[Line], faults| judge(&Availability, &history_with(lines, faults));
    assert_eq!(all(&refused, partition()), found("stopped-accepting"));
    let hung: Vec<Line> = (0..6).map(|n| ask("info", 1_000 + n * 250)).collect();
    assert_eq!(all(&hung, partition()), found("stopped-accepting"));
    // It took its time to notice.
    let late = [&[ask("ok", 700)], &refused[..]].concat();
    assert_eq!(all(&late, partition()), found("stopped-accepting"));
    let mut once = refused.clone();
    once.insert(3, ask("ok", 1_600));
    let elsewhere = fault("pause", &json!({"nodes": [2]}), 800, 2_000);
    assert_eq!(all(&refused, [partition(), elsewhere].concat()), found("stopped-accepting"));
    let fine = [
        (&once[..], partition()),
        (&refused[..3], partition()),
        (&refused[..], vec![]),
        (&refused[..], fault("partition", &cut, 500, 1_700)),
        (&refused[..], [partition(), fault("kill", &json!({"nodes": [1]}), 400, 600)].concat()),
        (&refused[..], [partition(), fault("slow-disk", &json!({}), 400, 600)].concat()),
        (&refused[..], fault("partition", &json!({"cut": [[0, 1], ["clients", 1]]}), 500, 3_000)),
    ];
    for (at, (lines, faults)) in fine.into_iter().enumerate() {
        assert_eq!(all(lines, faults), VALID, "case {at}");
    }
}
