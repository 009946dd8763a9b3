//! Small histories written by hand: valid ones, and one for every anomaly that a judge can name.

use ordeal_checkers::Bank;
use ordeal_core::{Checker, History, Plan, Verdict};
use serde_json::{Value, json};

use super::super::{ACCOUNTS_MAX, NAME, account_count, as_bank_read};
use super::*;
use crate::by_hand::{self, Said, VALID, Written, found, phase, said};
use crate::shown::Shown;

/// `(process, f, input, from ms, to ms, kind, output)`.
type Line = (u64, &'static str, Value, u64, u64, &'static str, Value);

/// The reads at the end begin after 900 ms.
fn history(lines: &[Line]) -> History {
    history_with(lines, Vec::new())
}

fn history_with(lines: &[Line], mut others: Vec<Value>) -> History {
    let written = lines.iter().map(|(process, f, input, from, to, kind, output)| {
        let key = (*f == "read").then_some("a");
        Written { process: *process, node: "n1", f, key, input, ms: (*from, *to), kind, output }
    });
    others.push(phase(900, "final-reads"));
    by_hand::history(written, others)
}

fn judge(checker: &impl Checker, lines: &[Line]) -> Said {
    said(checker.check(&history(lines)))
}

const EFFECTS: Effects = Effects { accounts: 2 };
const MOVES: PartitionMoves = PartitionMoves { founders: 2 };

fn account(id: &str, version: u64, balance: i64) -> Value {
    json!({"id": id, "version": version, "balance": balance})
}

/// Both accounts at these versions and balances.
fn snapshot(from: u64, a: (u64, i64), b: (u64, i64)) -> Line {
    let balances = json!({"balances": {"a": account("a", a.0, a.1), "b": account("b", b.0, b.1)}});
    (from, "snapshot", json!(["a", "b"]), from, from + 5, "ok", balances)
}

fn read(from: u64, version: u64, balance: i64) -> Line {
    (from, "read", Value::Null, from, from + 5, "ok", account("a", version, balance))
}

/// `a` pays `b` this amount; the transfer is named after it.
fn transfer(from: u64, amount: i64, a: (u64, i64), b: (u64, i64)) -> Line {
    let request = format!("t{amount}");
    let asked = json!({"request_id": request, "from": "a", "to": "b", "amount": amount});
    let receipt = json!({
        "request_id": request, "amount": amount, "from": account("a", a.0, a.1), "to": account("b", b.0, b.1)
    });
    (from, "transfer", asked, from, from + 5, "ok", receipt)
}

fn ended(kind: &'static str, mut line: Line) -> Line {
    line.5 = kind;
    line
}

/// Two transfers, one after the other, a retry of the first, and one of unknown outcome that was made.
fn good() -> Vec<Line> {
    vec![
        snapshot(5, (1, 100), (1, 100)),
        transfer(10, 1, (2, 99), (2, 101)),
        transfer(20, 2, (3, 97), (3, 103)),
        transfer(30, 1, (2, 99), (2, 101)),
        ended("info", transfer(40, 3, (4, 94), (4, 106))),
        read(50, 4, 94),
        ended("fail", transfer(60, 4, (9, 0), (9, 0))),
        snapshot(910, (4, 94), (4, 106)),
    ]
}

fn with(more: Line) -> Vec<Line> {
    let mut lines = good();
    lines.push(more);
    lines
}

#[test]
fn what_happens_once_and_in_one_order_passes() {
    for lines in [good(), with(read(44, 3, 97)), with(snapshot(44, (4, 94), (4, 106)))] {
        assert_eq!(judge(&EFFECTS, &lines), VALID);
        assert_eq!(judge(&Order, &lines), VALID);
    }
}

#[test]
fn silence_does_not_pass() {
    let without_transfers = [snapshot(5, (1, 100), (1, 100)), snapshot(910, (1, 100), (1, 100))];
    assert_eq!(judge(&EFFECTS, &without_transfers).0, Verdict::Vacuous);
    assert_eq!(judge(&Order, &without_transfers).0, Verdict::Vacuous);
    assert_eq!(judge(&EFFECTS, &good()[..7]).0, Verdict::Unknown, "nobody read the accounts in the end");
    assert_eq!(judge(&EFFECTS, &[]).0, Verdict::Unknown);
    assert_eq!(judge(&MOVES, &[]).0, Verdict::Unknown);
    let garbled = with((99, "read", Value::Null, 70, 75, "ok", json!({"balance": 1})));
    assert_eq!(judge(&EFFECTS, &garbled).0, Verdict::Unknown);
    assert_eq!(judge(&Order, &garbled).0, Verdict::Unknown);
}

#[test]
fn an_effect_that_is_told_in_two_ways_is_found() {
    assert!(judge(&EFFECTS, &with(read(55, 3, 98))).1.contains(&"two-balances".to_owned()));
    let again = judge(&EFFECTS, &with(transfer(55, 2, (5, 92), (5, 108))));
    assert!(again.1.contains(&"repeated-transfer".to_owned()), "{again:?}");
    let same_version = judge(&EFFECTS, &with(transfer(55, 5, (3, 97), (3, 103))));
    assert!(same_version.1.contains(&"version-made-twice".to_owned()), "{same_version:?}");
    let mut other = good();
    other[1].6["amount"] = json!(7);
    assert!(judge(&EFFECTS, &other).1.contains(&"other-receipt".to_owned()));
}

#[test]
fn a_balance_that_nobody_made_is_found() {
    let mut made_up = good();
    made_up[7] = snapshot(910, (5, 90), (4, 106));
    // The transfer of 4 was refused.
    assert!(judge(&EFFECTS, &made_up).1.contains(&"unexplained-balance".to_owned()));
    let mut twice = good();
    twice.push(read(70, 5, 91));
    assert!(judge(&EFFECTS, &twice).1.contains(&"repeated-transfer".to_owned()));
}

#[test]
fn more_versions_than_effects_are_found() {
    let mut skipped = good();
    skipped[7] = snapshot(910, (4, 94), (9, 106));
    assert_eq!(judge(&EFFECTS, &skipped), found("version-skipped"));
    // Version 4 before the third transfer was asked for, though after it there may be as many.
    assert!(judge(&EFFECTS, &with(read(34, 4, 94))).1.contains(&"version-skipped".to_owned()));
}

#[test]
fn an_answer_about_another_account_is_found_and_one_that_leaves_some_out_is_not_judged() {
    let mut other = read(70, 4, 106);
    other.6["id"] = json!("b");
    assert_eq!(judge(&EFFECTS, &with(other)), found("other-account"));
    let mut swapped = snapshot(70, (4, 94), (4, 106));
    swapped.6["balances"]["a"] = account("b", 4, 106);
    assert_eq!(judge(&EFFECTS, &with(swapped)), found("other-account"));
    let (mut more, mut less) = (snapshot(70, (4, 94), (4, 106)), snapshot(70, (4, 94), (4, 106)));
    more.2 = json!(["a"]);
    assert_eq!(judge(&EFFECTS, &with(more)), found("other-account"));
    less.2 = json!(["a", "b", "c"]);
    assert_eq!(judge(&EFFECTS, &with(less)).0, Verdict::Unknown);
}

#[test]
fn a_snapshot_of_accounts_that_are_not_all_open_is_no_wrong_total() {
    let bank = Shown { to: Bank::default(), with: as_bank_read };
    let mut not_yet = snapshot(70, (4, 94), (4, 106));
    not_yet.6["balances"]["b"] = Value::Null;
    assert_eq!(judge(&bank, &with(not_yet)), VALID);
    assert_eq!(judge(&bank, &with(snapshot(70, (4, 94), (4, 107)))), found("wrong-total"));
}

#[test]
fn no_more_accounts_are_opened_than_can_be_asked_for_at_once() {
    let plan = |keys| Plan { keys, ..Plan::nothing(NAME, "") };
    assert_eq!([0, 7, 5_000].map(|keys| account_count(&plan(keys))), [2, 7, ACCOUNTS_MAX]);
}

#[test]
fn what_is_gone_is_found() {
    let mut lost = good();
    lost[7] = snapshot(910, (4, 94), (2, 101));
    assert!(judge(&EFFECTS, &lost).1.contains(&"lost-transfer".to_owned()));
    let mut half = good();
    half[7] = snapshot(910, (4, 94), (3, 103));
    assert_eq!(judge(&EFFECTS, &half), found("half-transfer"));
    let gone = (99, "read", Value::Null, 70, 75, "ok", Value::Null);
    assert_eq!(judge(&EFFECTS, &with(gone)), found("missing-account"));
    let mut not_yet = good();
    not_yet.insert(0, (99, "read", Value::Null, 1, 4, "ok", Value::Null));
    assert_eq!(judge(&EFFECTS, &not_yet), VALID);
}

#[test]
fn what_fits_into_no_order_is_found() {
    // Stale: version 3 was there before.
    assert_eq!(judge(&Order, &with(read(31, 2, 99))), found("not-serializable"));
    // Half of a transfer: `a` after it, `b` before.
    assert_eq!(judge(&Order, &with(snapshot(44, (4, 94), (3, 103)))), found("not-serializable"));
    assert_eq!(judge(&Order, &with(snapshot(11, (2, 99), (1, 100)))), found("not-serializable"));
    // From the future.
    assert_eq!(judge(&Order, &with(read(1, 2, 99))), found("not-serializable"));
}

/// The map: the owners of four partitions, `n1` for 1, each with its epoch.
fn map(from: u64, owners: [(u64, u64); 4], nodes: usize, partition_of_a: u64) -> Line {
    let owners = owners.iter().enumerate();
    let owned =
        owners.map(|(n, (node, epoch))| json!({"partition": n, "node": format!("n{node}"), "epoch": epoch}));
    let names: Vec<String> = (1..=nodes).map(|n| format!("n{n}")).collect();
    let map = json!({
        "partitions": owned.collect::<Vec<_>>(), "nodes": names, "accounts": {"a": partition_of_a}
    });
    (from, "partitions", json!(["a"]), from, from + 5, "ok", map)
}

const FIRST: [(u64, u64); 4] = [(1, 1), (2, 1), (1, 1), (2, 1)];
const JOINED: [(u64, u64); 4] = [(3, 2), (2, 1), (1, 1), (2, 1)];

#[test]
fn partitions_that_move_as_far_as_balance_needs_pass() {
    let moved = [map(5, FIRST, 2, 1), map(10, JOINED, 3, 1), map(910, JOINED, 3, 1)];
    assert_eq!(judge(&MOVES, &moved), VALID);
    let alone = [map(5, FIRST, 2, 1), map(910, FIRST, 2, 1)];
    assert_eq!(judge(&MOVES, &alone), VALID);
    let four = PartitionMoves { founders: 4 };
    let nothing_to_take = [map(910, [(1, 1), (2, 1), (3, 1), (4, 1)], 5, 1)];
    assert_eq!(judge(&four, &nothing_to_take).0, Verdict::Vacuous, "a node has joined, and nothing moved");
    assert_eq!(judge(&MOVES, &moved[..2]).0, Verdict::Unknown, "nobody was asked in the end");
}

#[test]
fn partitions_that_do_otherwise_are_found() {
    let judged = |lines: &[Line]| judge(&MOVES, lines);
    let end = || map(910, JOINED, 3, 1);
    assert_eq!(judged(&[map(5, FIRST, 2, 0), end()]), found("partition-changed"));
    assert_eq!(judged(&[map(5, [(3, 2), (1, 1), (1, 1), (2, 1)], 3, 1), end()]), found("two-owners"));
    assert_eq!(judged(&[map(5, JOINED, 3, 1), map(20, FIRST, 2, 1), end()]), found("epoch-went-back"));
    assert_eq!(judged(&[map(5, JOINED, 3, 1), map(8, FIRST, 2, 1), end()]), VALID, "at the same time");
    let all = [(3, 2), (1, 2), (2, 2), (3, 2)];
    assert_eq!(judged(&[map(910, all, 3, 1)]), found("moved-needlessly"));
    let uneven = [(3, 2), (2, 1), (2, 1), (2, 1)];
    assert_eq!(judged(&[map(910, uneven, 3, 1)]), found("unbalanced"));
}

#[test]
fn maps_that_are_not_whole_are_found() {
    let names = |lines: &[Line]| judge(&MOVES, lines).1;
    let end = || map(910, FIRST, 2, 1);
    let with_map = |change: fn(&mut Value)| {
        let mut line = map(5, FIRST, 2, 1);
        change(&mut line.6);
        names(&[map(1, FIRST, 2, 1), line, end()])
    };
    let missing = vec!["partition-missing".to_owned()];
    assert_eq!(with_map(|map| map["partitions"] = json!([])), missing);
    assert_eq!(with_map(|map| drop(map["partitions"].as_array_mut().unwrap().pop())), missing);
    assert_eq!(with_map(|map| drop(map["partitions"].as_array_mut().unwrap().remove(0))), missing);
    assert_eq!(
        with_map(|map| map["partitions"][3] = map["partitions"][2].clone()),
        missing,
        "one twice, one not at all"
    );
    assert_eq!(with_map(|_| {}), Vec::<String>::new());
    assert_eq!(names(&[map(910, [(3, 1), (2, 1), (1, 1), (2, 1)], 2, 1)])[0], "unknown-owner");
    assert_eq!(with_map(|map| map["accounts"] = json!({"a": 1, "b": 1})), ["other-account"]);
    let mut nothing = end();
    nothing.6 = json!({"partitions": [], "nodes": [], "accounts": {}});
    assert_eq!(names(&[nothing]), ["partition-missing", "member-lost"]);
    let mut left_out = end();
    left_out.6["accounts"] = json!({});
    assert_eq!(judge(&MOVES, &[left_out]).0, Verdict::Unknown);
}

#[test]
fn a_node_that_was_taken_in_and_is_forgotten_is_found() {
    let judged = |f: &str, value: Value, lines: &[Line]| {
        let noted = by_hand::event(20, &json!("nemesis"), "info", f, &value);
        said(MOVES.check(&history_with(lines, vec![noted])))
    };
    let join = |proved: bool| json!({"fault": "join", "installed": {"node": 2}, "proved": proved});
    let heal = json!({"fault": "join", "seen": {"nodes": 3}, "proved": true});
    let forgotten = [map(5, FIRST, 2, 1), map(30, FIRST, 2, 1), map(910, FIRST, 2, 1)];
    assert_eq!(judged("inject", join(true), &forgotten), found("member-lost"));
    assert_eq!(judged("heal", heal.clone(), &forgotten), found("member-lost"));
    assert_eq!(judged("inject", join(false), &forgotten), VALID);
    let kept = [map(5, FIRST, 2, 1), map(18, FIRST, 2, 1), map(30, FIRST, 3, 1), map(910, JOINED, 3, 1)];
    assert_eq!(judged("inject", join(true), &kept), VALID);
    assert_eq!(judged("heal", heal, &kept), VALID);
    // It is a member to the end, and gets nothing.
    let idle = [map(5, FIRST, 2, 1), map(910, FIRST, 3, 1)];
    assert_eq!(judged("inject", join(true), &idle), found("unbalanced"));
}

/// A bank that does everything right: each operation takes effect at one moment between call and answer. Some answers get
/// lost, some transfers are refused, some are asked for again.
fn simulated(seed: u64) -> Vec<Line> {
    let mut rng = ordeal_core::Rng::new(seed);
    let mut accounts = [(1_u64, 1_000_000_i64), (1, 1_000_000)];
    let mut made: Vec<(Value, Value)> = Vec::new();
    // Moments of effect follow one another; calls and answers lie around them, and so overlap.
    let mut lines = vec![snapshot(1, accounts[0], accounts[1])];
    for n in 1..60_u64 {
        let at = 10 + n * 10;
        let (from, to) = (at - rng.below(9) - 1 - 5 * rng.below(2), at + 1 + rng.below(30));
        let pick = rng.below(10);
        if pick < 6 {
            let again = rng.chance(0.2).then(|| made.last().cloned()).flatten();
            let (asked, receipt) = again.unwrap_or_else(|| {
                let (payer, payee) = if rng.chance(0.5) { (0, 1) } else { (1, 0) };
                let amount = n as i64;
                for (account, change) in [(payer, -amount), (payee, amount)] {
                    accounts[account] = (accounts[account].0 + 1, accounts[account].1 + change);
                }
                let name = |n: usize| ["a", "b"][n];
                let shown = |n: usize| account(name(n), accounts[n].0, accounts[n].1);
                let id = format!("t{n}");
                let asked =
                    json!({"request_id": id, "from": name(payer), "to": name(payee), "amount": amount});
                let receipt =
                    json!({"request_id": id, "amount": amount, "from": shown(payer), "to": shown(payee)});
                made.push((asked.clone(), receipt.clone()));
                (asked, receipt)
            });
            let kind = if rng.chance(0.2) { "info" } else { "ok" };
            lines.push((n, "transfer", asked, from, to, kind, receipt));
        } else if pick < 8 {
            let mut line = snapshot(from, accounts[0], accounts[1]);
            (line.0, line.4) = (n, to);
            lines.push(line);
        } else {
            lines.push((n, "read", Value::Null, from, to, "ok", account("a", accounts[0].0, accounts[0].1)));
        }
    }
    lines.push(snapshot(910, accounts[0], accounts[1]));
    lines
}

#[test]
fn a_bank_that_does_everything_right_is_never_accused() {
    for seed in 0..30 {
        let lines = simulated(seed);
        assert_eq!(judge(&EFFECTS, &lines), VALID, "seed {seed}");
        assert_eq!(judge(&Order, &lines), VALID, "seed {seed}");
        // A snapshot of which one half is older fits into no order, unless nothing has changed.
        let last = lines.last().unwrap();
        let older = &lines[0].6["balances"]["b"];
        let mut mixed = lines.clone();
        let place = mixed.len() - 1;
        mixed[place].6["balances"]["b"] = older.clone();
        if last.6["balances"]["b"] != *older {
            assert_eq!(judge(&Order, &mixed).0, Verdict::Invalid, "seed {seed}");
        }
    }
}
