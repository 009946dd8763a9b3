//! Small histories written by hand: valid ones, and one for every anomaly that a judge can name.

use ordeal_core::{Checker, Verdict};
use serde_json::{Value, json};

use super::*;
use crate::by_hand::{self, Said, VALID, Written, found, phase, said};

/// `(process, node, f, trade, input, from ms, kind, output)` of operations of 5 ms each.
type Line = (u64, &'static str, &'static str, Option<&'static str>, Value, u64, &'static str, Value);

/// The reads at the end begin after 900 ms.
fn history(lines: &[Line]) -> History {
    let written = lines.iter().map(|(process, node, f, key, input, from, kind, output)| Written {
        process: *process,
        node,
        f,
        key: *key,
        input,
        ms: (*from, from + 5),
        kind,
        output,
    });
    by_hand::history(written, vec![phase(900, "final-reads")])
}

fn judge(checker: &impl Checker, lines: &[Line]) -> Said {
    said(checker.check(&history(lines)))
}

fn details(price: u64) -> Value {
    json!({"price": price, "volume": 10, "counterparty": "p1"})
}

/// What is answered about a trade; a price of 0 is none.
fn answer(trade: &str, status: &str, price: u64) -> Value {
    let details = if price == 0 { Value::Null } else { details(price) };
    json!({"correlation_id": trade, "status": status, "details": details})
}

/// The trade `t1` is submitted with this price at this moment; answered with this status.
fn submit(from: u64, price: u64, status: &str) -> Line {
    let said = answer("t1", status, price);
    (from, "n1", "submit", Some("t1"), details(price), from, "ok", said)
}

fn ended(kind: &'static str, mut line: Line) -> Line {
    line.6 = kind;
    line
}

fn read(from: u64, status: &str, price: u64) -> Line {
    (from, "n2", "read", Some("t1"), Value::Null, from, "ok", answer("t1", status, price))
}

fn settle(from: u64, status: &str) -> Line {
    (from, "n2", "settle", Some("t1"), Value::Null, from, "ok", answer("t1", status, 1))
}

#[test]
fn a_trade_is_decided_once_and_nobody_is_told_otherwise() {
    let life = || {
        vec![read(5, "none", 0), submit(10, 1, "confirmed"), read(20, "confirmed", 1), settle(30, "settled")]
    };
    let with = |more: Vec<Line>| [life(), more].concat();
    assert_eq!(judge(&Decisions, &life()), VALID);
    assert_eq!(judge(&Decisions, &with(vec![read(40, "settled", 1), submit(50, 1, "confirmed")])), VALID);
    assert_eq!(judge(&Decisions, &life()[..3]).0, Verdict::Vacuous, "nothing was settled");
    assert_eq!(judge(&Decisions, &life()[..1]).0, Verdict::Vacuous, "nothing was confirmed");
    // Accepted once more: that says nothing of what is decided. Others fail, or nobody knows.
    let pending =
        with(vec![submit(50, 1, "pending"), settle(60, "pending"), ended("info", submit(70, 1, ""))]);
    assert_eq!(judge(&Decisions, &pending), VALID);
    // It ran while the trade was confirmed.
    assert_eq!(judge(&Decisions, &with(vec![read(12, "pending", 0)])), VALID);
    let cases = [
        (read(27, "pending", 0), "went-back"),
        (read(27, "none", 0), "went-back"),
        (read(40, "confirmed", 1), "went-back"),
        (submit(40, 1, "rejected"), "confirmed-and-rejected"),
        (submit(12, 2, "confirmed"), "two-details-confirmed"),
    ];
    for (line, name) in cases {
        assert_eq!(judge(&Decisions, &with(vec![line])), found(name));
    }
    let unasked = [
        ended("fail", submit(8, 2, "")),
        submit(10, 1, "pending"),
        read(20, "confirmed", 2),
        settle(30, "settled"),
    ];
    let names = judge(&Decisions, &unasked).1;
    assert!(names.contains(&"confirmed-unasked".to_owned()), "{names:?}");
    let later = [read(20, "confirmed", 1), submit(40, 1, "confirmed"), settle(50, "settled")];
    assert_eq!(judge(&Decisions, &later), found("confirmed-unasked"));
    let rejected = [submit(10, 1, "rejected"), read(20, "pending", 0)];
    assert_eq!(judge(&Decisions, &rejected), found("went-back"));
    let mut garbled = settle(60, "settled");
    garbled.7 = json!("done");
    assert_eq!(judge(&Decisions, &with(vec![garbled])).0, Verdict::Unknown);
}

#[test]
fn everybody_gets_the_answer_to_his_own_request() {
    let lines = [
        submit(10, 1, "confirmed"),
        submit(20, 2, "rejected"),
        submit(30, 1, "pending"),
        read(40, "none", 0),
    ];
    assert_eq!(judge(&Answers, &lines), VALID);
    assert_eq!(judge(&Answers, &[]).0, Verdict::Vacuous);
    let mut of_another = lines.clone();
    of_another[0].7 = answer("t2", "confirmed", 1);
    assert_eq!(judge(&Answers, &of_another), found("swapped-reply"));
    // That is for the others.
    assert_eq!(judge(&Decisions, &of_another[..1]).0, Verdict::Vacuous);
    for said in [answer("t1", "confirmed", 2), answer("t1", "confirmed", 0), answer("t1", "pending", 2)] {
        let mut other_details = lines.clone();
        other_details[0].7 = said;
        assert_eq!(judge(&Answers, &other_details), found("swapped-reply"));
    }
}

/// A node's copy of a trade.
fn copy(status: &str, price: u64, vote: u64, settlement_confirmed: bool) -> Value {
    let details = |price| if price == 0 { Value::Null } else { details(price) };
    let (details, vote) = (details(price), details(vote));
    json!({"status": status, "details": details, "vote": vote, "settlement_confirmed": settlement_confirmed})
}

/// What three nodes have of `t1` in the end; the last one settles. Null is nothing.
fn copies(of: [Value; 3]) -> Vec<Line> {
    let nodes = ["n1", "n2", "n3"].into_iter().zip(["trading", "clearing", "settlement"]);
    let line = |((node, role), copy): ((&'static str, &str), Value)| {
        let all = if copy.is_null() { json!({}) } else { json!({"t1": copy}) };
        let answer = json!({"node": node, "role": role, "copies": all});
        (990, node, "copies", None, Value::Null, 950, "ok", answer)
    };
    let lines = nodes.zip(of).map(line).enumerate();
    lines.map(|(n, mut line)| (line.0 += n as u64, line).1).collect()
}

const COPIES: Copies = Copies { nodes: 3 };

fn settled(vote: u64, settlement_confirmed: bool) -> Value {
    copy("settled", 1, vote, settlement_confirmed)
}

#[test]
fn what_nodes_have_agrees_with_what_was_told() {
    let told = [submit(10, 1, "confirmed"), settle(20, "settled")];
    let with = |of: [Value; 3]| [told.to_vec(), copies(of)].concat();
    let right = || [settled(1, false), settled(1, false), settled(0, true)];
    assert_eq!(judge(&COPIES, &with(right())), VALID);
    assert_eq!(judge(&COPIES, &copies(right())), VALID, "nobody was told");
    let missing_one = || with(right())[..4].to_vec();
    assert_eq!(judge(&COPIES, &missing_one()).0, Verdict::Unknown);
    assert_eq!(judge(&COPIES, &told).0, Verdict::Unknown);
    let only_confirmed = || copy("confirmed", 1, 1, false);
    let nothing_settled =
        [vec![told[0].clone()], copies([only_confirmed(), only_confirmed(), only_confirmed()])].concat();
    assert_eq!(judge(&COPIES, &nothing_settled).0, Verdict::Vacuous);
    let cases = [
        ([settled(1, false), settled(2, false), settled(0, true)], "confirmed-without-majority"),
        ([settled(1, false), copy("pending", 0, 1, false), settled(0, true)], "confirmed-trade-missing"),
        ([settled(1, false), settled(1, false), Value::Null], "confirmed-trade-missing"),
        ([settled(1, false), settled(1, false), settled(1, false)], "settled-below-high-water-mark"),
        ([settled(1, false), settled(1, false), copy("rejected", 0, 1, true)], "copies-disagree"),
        ([settled(1, false), settled(1, false), copy("settled", 2, 2, true)], "copies-disagree"),
    ];
    for (of, name) in cases {
        let (verdict, names) = judge(&COPIES, &with(of));
        assert_eq!(
            (verdict, names.contains(&name.to_owned())),
            (Verdict::Invalid, true),
            "{name}: {names:?}"
        );
    }
    // The node that did not say may have confirmed it.
    let mut unheard = missing_one();
    unheard.pop();
    assert_eq!(judge(&COPIES, &unheard).0, Verdict::Unknown);
}

/// The node shows what it has of `t1` at this moment.
fn own_copy(from: u64, node: &'static str, role: &str, mut copy: Value) -> Line {
    copy["role"] = json!(role);
    (2_000 + from, node, "copy", Some("t1"), Value::Null, from, "ok", copy)
}

#[test]
fn what_a_node_has_counts_from_the_moment_at_which_somebody_was_told() {
    let told = [submit(10, 1, "confirmed"), settle(20, "settled")];
    let right = [settled(1, false), settled(1, false), settled(1, true)];
    let with = |early: &[Line]| judge(&COPIES, &[&told, &*copies(right.clone()), early].concat());
    let nothing = || copy("none", 0, 0, false);
    let confirmed = |vote| copy("confirmed", 1, vote, false);
    // Not told yet, or of one node only, or asked of a node that settles nothing.
    assert_eq!(
        with(&[own_copy(12, "n1", "trading", nothing()), own_copy(13, "n2", "clearing", nothing())]),
        VALID
    );
    assert_eq!(
        with(&[own_copy(16, "n2", "clearing", nothing()), own_copy(17, "n2", "clearing", nothing())]),
        VALID
    );
    assert_eq!(
        with(&[own_copy(30, "n1", "trading", confirmed(1)), own_copy(22, "n3", "settlement", nothing())]),
        VALID
    );
    let minority = [own_copy(16, "n1", "trading", nothing()), own_copy(40, "n2", "clearing", confirmed(2))];
    assert_eq!(with(&minority), found("confirmed-without-majority"));
    assert_eq!(
        with(&[own_copy(26, "n3", "settlement", confirmed(1))]),
        found("settled-below-high-water-mark")
    );
    assert_eq!(
        with(&[own_copy(26, "n1", "trading", copy("rejected", 0, 1, false))]),
        found("copies-disagree")
    );
    let mut garbled = own_copy(30, "n1", "trading", confirmed(1));
    garbled.7 = json!("all");
    assert_eq!(with(&[garbled]).0, Verdict::Unknown);
}

#[test]
fn what_was_accepted_is_decided_in_the_end() {
    let pending = || copy("pending", 1, 1, false);
    let undecided = || copies([pending(), pending(), pending()]);
    let with = |told: Line, of: Vec<Line>| judge(&COPIES, &[vec![told], of].concat());
    assert_eq!(with(submit(10, 1, "pending"), undecided()), found("accepted-then-forgotten"));
    assert_eq!(with(ended("info", submit(10, 1, "")), undecided()).0, Verdict::Vacuous, "nobody said it was");
    let rejected = || copy("rejected", 0, 1, false);
    let decided = || copies([rejected(), pending(), pending()]);
    assert_eq!(with(submit(10, 1, "pending"), decided()).0, Verdict::Vacuous);
    let confirmed = || copy("confirmed", 1, 1, true);
    let not_settled = copies([confirmed(), confirmed(), confirmed()]);
    assert_eq!(with(settle(10, "pending"), not_settled), found("accepted-then-forgotten"));
    let is_settled = copies([settled(1, false), settled(1, false), settled(1, true)]);
    assert_eq!(with(settle(10, "pending"), is_settled), VALID);
}

fn ledger(lines: &[(&str, u64, u64)]) -> Line {
    let booking = |(trade, volume, position): &(&str, u64, u64)| json!({"correlation_id": trade, "counterparty": "p1", "volume": volume, "position": position});
    let bookings: Vec<Value> = lines.iter().map(booking).collect();
    (980, "n1", "ledger", None, Value::Null, 960, "ok", json!({"node": "n1", "bookings": bookings}))
}

#[test]
fn every_node_executes_a_confirmed_trade_once() {
    let at_one = |ledger: Line| {
        let copies = json!({"t1": copy("confirmed", 1, 1, false), "t2": copy("rejected", 0, 1, false)});
        let copies = json!({"node": "n1", "role": "trading", "copies": copies});
        judge(&Ledgers { nodes: 1 }, &[(970, "n1", "copies", None, Value::Null, 950, "ok", copies), ledger])
    };
    assert_eq!(at_one(ledger(&[("t1", 10, 10)])), VALID);
    assert_eq!(at_one(ledger(&[("t1", 10, 10), ("t1", 10, 20)])), found("executed-twice"));
    assert_eq!(at_one(ledger(&[("t1", 10, 20)])), found("wrong-position"));
    assert_eq!(at_one(ledger(&[])), found("not-executed"));
    assert_eq!(at_one(ledger(&[("t1", 10, 10), ("t2", 5, 15)])), found("executed-otherwise"));
    assert_eq!(at_one(ledger(&[("t1", 11, 11)])), found("executed-otherwise"));
    let other = (1, "n1", "read", Some("t1"), Value::Null, 10, "ok", answer("t1", "none", 0));
    assert_eq!(judge(&Ledgers { nodes: 1 }, &[other]).0, Verdict::Unknown);
}

fn waiting(from: u64, ages_ms: &[u64]) -> Line {
    let entry = |age_ms: &u64| json!({"correlation_id": "t1", "waits_for": "confirmation", "age_ms": age_ms});
    let pending: Vec<Value> = ages_ms.iter().map(entry).collect();
    let answer = json!({"expiry_ms": 800, "pending": pending});
    (from, "n1", "waiting-list", None, Value::Null, from, "ok", answer)
}

#[test]
fn nothing_waits_too_long_and_nothing_in_the_end() {
    assert_eq!(judge(&WaitingLists, &[waiting(10, &[3, 800]), waiting(950, &[])]), VALID);
    assert_eq!(judge(&WaitingLists, &[waiting(10, &[1_301]), waiting(950, &[])]), found("entry-too-old"));
    assert_eq!(judge(&WaitingLists, &[waiting(10, &[]), waiting(950, &[5])]), found("entry-leaked"));
    assert_eq!(judge(&WaitingLists, &[waiting(10, &[3])]).0, Verdict::Unknown, "nobody looked in the end");
    assert_eq!(judge(&WaitingLists, &[waiting(10, &[]), waiting(950, &[])]).0, Verdict::Vacuous);
}
