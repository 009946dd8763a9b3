//! Small histories written by hand: valid ones, and one for every anomaly that a judge can name.

use ordeal_core::{History, Verdict};
use serde_json::{Value, json};

use super::*;
use crate::by_hand::{self, Said, Written, event, said};

/// `(node, f, input, from ms, to ms, kind, output)` of operations on one symbol, each by a client of its own.
type Line = (&'static str, &'static str, Value, u64, u64, &'static str, Value);

fn history(lines: &[Line], others: Vec<Value>) -> History {
    let written = lines.iter().enumerate().map(|(process, (node, f, input, from, to, kind, output))| {
        let (process, key) = (process as u64, Some("s1"));
        Written { process, node, f, key, input, ms: (*from, *to), kind, output }
    });
    by_hand::history(written, others)
}

fn judge(checker: &impl Checker, history: &History) -> Said {
    said(checker.check(history))
}

fn acquire(node: &'static str, from: u64, token: u64) -> Line {
    (node, "acquire", Value::Null, from, from + 5, "ok", json!(token))
}

fn update(node: &'static str, from: u64, token: u64, price: u64, kind: &'static str) -> Line {
    (node, "update", json!([token, price]), from, from + 5, kind, json!([token, price]))
}

fn read(node: &'static str, from: u64, token: u64, price: u64) -> Line {
    (node, "read", Value::Null, from, from + 5, "ok", json!([token, price]))
}

#[test]
fn tokens_that_follow_one_another_are_in_order() {
    let lines = [
        acquire("n4", 0, 7),
        update("n4", 10, 7, 1, "ok"),
        ("n4", "renew", json!(7), 20, 25, "ok", json!(7)),
        // As this one ends another one takes over: they overlap.
        read("n4", 30, 7, 1),
        acquire("n5", 32, 9),
        update("n4", 40, 7, 2, "fail"),
        update("n4", 40, 7, 3, "info"),
        read("n6", 50, 9, 1),
        ("n1", "lookup", Value::Null, 60, 65, "ok", json!([9, "n5"])),
        ("n1", "lookup", Value::Null, 70, 75, "ok", Value::Null),
    ];
    assert_eq!(judge(&FencingTokens, &history(&lines, vec![])), (Verdict::Valid, vec![]));
    assert_eq!(judge(&FencingTokens, &history(&[], vec![])).0, Verdict::Vacuous);
}

#[test]
fn whoever_acts_by_an_older_token_is_told() {
    let cases = [
        (update("n4", 20, 7, 1, "ok"), "older-token-accepted"),
        (read("n6", 20, 7, 1), "older-holder-served"),
        (("n4", "renew", json!(7), 20, 25, "ok", json!(7)), "lost-lease-renewed"),
        (("n1", "lookup", Value::Null, 20, 25, "ok", json!([7, "n4"])), "older-lease-shown"),
        (acquire("n6", 20, 8), "token-not-growing"),
        (acquire("n4", 20, 9), "token-of-two"),
    ];
    for (line, name) in cases {
        let found = judge(&FencingTokens, &history(&[acquire("n5", 10, 9), line], vec![]));
        assert_eq!(found, (Verdict::Invalid, vec![name.to_owned()]));
    }
}

fn feed(node: &'static str, entries: Value) -> Line {
    (node, "audit", Value::Null, 900, 905, "ok", entries)
}

const FEEDS: AuditFeeds = AuditFeeds { price_nodes: 3 };

#[test]
fn feeds_that_lack_something_are_well_together() {
    let lines = [
        update("n4", 10, 7, 1, "ok"),
        update("n4", 20, 7, 2, "info"),
        update("n5", 30, 9, 3, "ok"),
        update("n5", 40, 7, 4, "fail"),
        // Acknowledged after the feeds were read.
        update("n5", 899, 9, 5, "ok"),
        feed("n4", json!([[7, 1], [7, 2]])),
        feed("n5", json!([[7, 1], [9, 3]])),
        feed("n6", json!([])),
    ];
    assert_eq!(judge(&FEEDS, &history(&lines, vec![])), (Verdict::Valid, vec![]));
    assert_eq!(judge(&FEEDS, &history(&lines[..6], vec![])).0, Verdict::Unknown, "one feed says too little");
    assert_eq!(judge(&FEEDS, &history(&lines[..7], vec![])).0, Verdict::Valid, "two are enough");
    assert_eq!(judge(&FEEDS, &history(&[], vec![])).0, Verdict::Vacuous);
}

#[test]
fn feeds_that_contradict_what_clients_saw_are_told() {
    let cases = [
        (json!([[7, 1]]), "lost-price"),
        (json!([[9, 3], [7, 1]]), "token-decreased"),
        (json!([[7, 1], [9, 3], [9, 8]]), "invented-price"),
        (json!([[7, 1], [9, 3], [9, 4]]), "refused-yet-audited"),
        (json!([[7, 1], [9, 3], [9, 3]]), "doubled-price"),
    ];
    for (entries, name) in cases {
        let lines = [
            update("n4", 10, 7, 1, "ok"),
            update("n5", 30, 9, 3, "ok"),
            update("n5", 40, 9, 4, "fail"),
            feed("n4", entries),
            feed("n5", json!([])),
        ];
        let found = judge(&FEEDS, &history(&lines, vec![]));
        assert_eq!(found, (Verdict::Invalid, vec![name.to_owned()]));
    }
}

fn fault(fault: &str, nodes: &Value, from: u64, to: u64) -> Vec<Value> {
    let nemesis = &json!("nemesis");
    let proof = json!({"fault": fault, "installed": {"nodes": nodes}, "proved": true});
    vec![
        event(from, nemesis, "invoke", "inject", &json!({"fault": fault, "args": {}})),
        event(from + 1, nemesis, "info", "inject", &proof),
        event(to - 1, nemesis, "invoke", "heal", &json!({"fault": fault})),
        event(to, nemesis, "info", "heal", &json!({"fault": fault, "proved": true})),
    ]
}

const TAKEOVER: Takeover = Takeover { lease_ms: 1_500 };

fn refused(node: &'static str, from: u64) -> Line {
    (node, "acquire", Value::Null, from, from + 5, "fail", Value::Null)
}

#[test]
fn a_takeover_is_measured() {
    let lines = [acquire("n4", 10, 7), refused("n5", 1_000), acquire("n5", 1_900, 9)];
    let finding = TAKEOVER.check(&history(&lines, fault("kill", &json!([3]), 100, 20_000)));
    assert_eq!((finding.verdict, &finding.measurements["takeover_ms_max"]), (Verdict::Valid, &json!(1805.0)));
    let other = TAKEOVER.check(&history(&lines, fault("kill", &json!([4]), 100, 20_000)));
    assert_eq!(other.measurements["takeovers"], json!(0), "it did not hit the holder");
}

#[test]
fn nobody_is_accused_while_anything_else_can_explain_it() {
    let lines = [acquire("n4", 10, 7), refused("n5", 9_500)];
    let hit = |from, to| fault("pause", &json!([3]), from, to);
    let late = judge(&TAKEOVER, &history(&lines, hit(100, 20_000)));
    assert_eq!(late, (Verdict::Invalid, vec!["no-takeover".to_owned()]));
    let fine = [
        hit(100, 5_000),
        hit(2_000, 20_000),
        [hit(100, 20_000), fault("partition", &json!(null), 5_000, 6_000)].concat(),
        fault("pause", &json!([3, 4]), 100, 20_000),
        fault("pause", &json!([0]), 100, 20_000),
    ];
    for faults in fine {
        assert_eq!(judge(&TAKEOVER, &history(&lines, faults)), (Verdict::Valid, vec![]));
    }
    let taken = [lines[0].clone(), lines[1].clone(), acquire("n6", 3_000, 9)];
    assert_eq!(judge(&TAKEOVER, &history(&taken, hit(100, 20_000))).0, Verdict::Valid);
}

#[test]
fn judges_of_registers_see_prices_without_tokens() {
    use ordeal_checkers::models::RegisterNames;
    use ordeal_checkers::{Linearizable, Register};
    let names = RegisterNames { read: "read".into(), write: "update".into(), cas: None };
    let judge_of = || prices(Linearizable::new(Register { names: names.clone(), ..Register::default() }));
    let unread = ("n4", "read", Value::Null, 0, 5, "ok", json!([7, null]));
    let mut lines =
        vec![unread, update("n4", 10, 7, 1, "ok"), update("n4", 20, 7, 2, "fail"), read("n4", 30, 7, 1)];
    assert_eq!(judge(&judge_of(), &history(&lines, vec![])), (Verdict::Valid, vec![]));
    lines.extend([update("n5", 40, 9, 3, "ok"), read("n4", 50, 7, 1)]);
    let (verdict, names) = judge(&judge_of(), &history(&lines, vec![]));
    assert_eq!((verdict, &*names[0]), (Verdict::Invalid, "nonlinearizable"));
}
