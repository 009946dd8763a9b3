use std::collections::HashSet;

use ordeal_core::{Ask, Event, EventKind, Key, Next, Op, Plan, Process};
use serde_json::{Value, json};

use crate::accounts::AccountOp;
use crate::claims::ClaimOp;
use crate::inventory::InventoryOp;
use crate::orders::OrderOp;
use crate::patients::PatientOp;
use crate::register::RegisterOp;
use crate::scores::ScoreOp;
use crate::stocks::StockOp;
use crate::telecom::{TelecomOp, balance_ms};
use crate::trades::TradeOp;
use crate::{WORKLOADS, find};

const KEYS: u64 = 5;
const DRAWS: usize = 4000;

fn plan(workload: &str, seed: u64) -> Plan {
    Plan {
        nodes: 3,
        concurrency: 6,
        keys: KEYS,
        duration_ms: 1000,
        op_timeout_ms: 1000,
        ready_timeout_ms: 1000,
        seed,
        ..Plan::nothing(workload, "memory")
    }
}

fn ask(thread: usize) -> Ask {
    Ask { process: thread as u64, thread, node: thread }
}

/// Draws from the load of a workload; every write and compare-and-set is answered as if it took effect.
fn draw(workload: &str, seed: u64) -> Vec<Op> {
    let plan = plan(workload, seed);
    let mut load = (find(workload).unwrap().build)().generator(&plan);
    (0..DRAWS)
        .map(|n| {
            let op = loop {
                match load.next(ask(n % 6)) {
                    Next::Op(op) => break op,
                    Next::Pending => {}
                    Next::Exhausted => panic!("the load ended"),
                }
            };
            let written = op.value.get(1).unwrap_or(&op.value);
            load.observe(&Event {
                index: n as u64,
                time: n as u64,
                process: Process::Client(n as u64 % 6),
                kind: EventKind::Ok,
                f: op.f.clone(),
                value: if op.f == "acquire" { json!(n) } else { json!([1, written]) },
                key: op.key.clone(),
                node: None,
                error: None,
            });
            op
        })
        .collect()
}

/// What a mutation writes.
fn written(op: &Op) -> Option<Value> {
    match &*op.f {
        "write" | "append-entry" | "write-summary" => Some(op.value.clone()),
        "put-policy" | "add-document" | "submit" | "confirm" | "adjust" => Some(op.value.clone()),
        "put" => Some(op.value.clone()),
        "goal" => Some(op.value[2].clone()),
        "send" => op.value.get("id").cloned(),
        "reading" | "reset" => op.value.get("request").cloned(),
        "open" | "transfer" => Some(op.value["request_id"].clone()),
        "cas" | "update" | "move" | "count" => Some(op.value[1].clone()),
        _ => None,
    }
}

#[test]
fn every_workload_is_found_by_its_name_and_says_what_it_is() {
    for entry in WORKLOADS {
        let workload = (find(entry.name).unwrap().build)();
        assert_eq!(workload.name(), entry.name);
        assert_eq!(workload.about(), entry.about);
        assert!(!workload.checkers(&plan(entry.name, 1)).is_empty());
    }
    let names: HashSet<_> = WORKLOADS.iter().map(|w| w.name).collect();
    assert_eq!(names.len(), WORKLOADS.len());
    assert!(find("no-such-workload").is_none());
}

#[test]
fn a_seed_draws_the_same_operations_again_and_another_seed_others() {
    for entry in WORKLOADS {
        assert_eq!(draw(entry.name, 7), draw(entry.name, 7));
        assert_ne!(draw(entry.name, 7), draw(entry.name, 8));
    }
}

#[test]
fn everything_written_in_a_run_is_unique() {
    for entry in WORKLOADS {
        let ops = draw(entry.name, 3);
        let all: Vec<String> = ops.iter().filter_map(written).map(|v| v.to_string()).collect();
        let distinct: HashSet<_> = all.iter().collect();
        assert!(all.len() > DRAWS / 10);
        assert_eq!(distinct.len(), all.len(), "{}", entry.name);
    }
}

#[test]
fn keys_stay_within_the_plan_and_all_are_used() {
    for entry in WORKLOADS {
        // Claims are keys too, ever new ones, named after their policy.
        let planned_for = |key: &Key| !matches!(key, Key::Text(name) if name.starts_with('c'));
        let used: HashSet<Key> =
            draw(entry.name, 3).into_iter().filter_map(|op| op.key).filter(planned_for).collect();
        let planned: HashSet<Key> = (0..KEYS as i64)
            .map(|n| match entry.name {
                "register" => Key::Int(n),
                "iot" | "scores" => Key::Text(format!("m{n}")),
                "stocks" => Key::Text(format!("s{n}")),
                "accounts" => Key::Text(format!("a{n}")),
                "inventory" => Key::Text(if n % 2 == 0 { format!("m{n}") } else { format!("p{n}") }),
                // Trades are keys, ever new ones; what is planned for are counterparties.
                "trades" => Key::Text(format!("t{}", n + 1)),
                _ => Key::Text(format!("p{n}")),
            })
            .collect();
        match entry.name {
            "trades" => assert!(used.is_superset(&planned)),
            // Four customers for each key, in four regions.
            "telecom" => assert_eq!(used.len() as u64, 4 * KEYS),
            _ => assert_eq!(used, planned),
        }
    }
}

#[test]
fn the_mix_is_as_declared_and_every_second_client_of_a_node_only_reads() {
    let share = |ops: &[Op], f: &str| ops.iter().filter(|op| op.f == f).count() as f64 / ops.len() as f64;
    let near = |a: f64, b: f64| (a - b).abs() < 0.04;
    // Of six clients of three nodes the last three only read.
    let (writers, readers): (Vec<_>, Vec<_>) =
        draw("register", 5).into_iter().enumerate().partition(|(n, _)| n % 6 < 3);
    let ops = |drawn: Vec<(usize, Op)>| drawn.into_iter().map(|(_, op)| op).collect::<Vec<_>>();
    let (writers, readers) = (ops(writers), ops(readers));
    assert!(near(share(&readers, "read"), 1.0));
    for (f, weight) in [("read", 2.0), ("write", 4.0), ("cas", 3.0)] {
        assert!(near(share(&writers, f), weight / 9.0), "{f}");
    }
    let patients = draw("patients", 5);
    for (f, weight) in [
        ("append-entry", 3.0),
        ("read-entries", 1.0 + 4.5),
        ("write-summary", 4.0),
        ("read-summary", 1.0 + 4.5),
    ] {
        assert!(near(share(&patients, f), weight / 18.0), "{f}");
    }
}

#[test]
fn a_claim_is_submitted_once_and_first() {
    let mut seen = HashSet::new();
    for op in draw("claims", 5) {
        let Some(claim) = op.key.filter(|key| matches!(key, Key::Text(name) if name.starts_with('c'))) else {
            continue;
        };
        match &*op.f {
            "submit" => assert!(seen.insert(claim)),
            "confirm" => assert!(seen.contains(&claim)),
            _ => {}
        }
    }
    assert!(seen.len() > 20, "{}", seen.len());
}

#[test]
fn an_adjustment_that_ended_unknown_is_asked_for_again() {
    let mut load = (find("claims").unwrap().build)().generator(&plan("claims", 1));
    let mut unknown: Vec<Op> = Vec::new();
    let mut again = 0;
    for n in 0..DRAWS {
        let Next::Op(op) = load.next(ask(n % 6)) else { panic!("the load ended") };
        if op.f == "adjust" && unknown.contains(&op) {
            again += 1;
        }
        let kind = if op.f == "adjust" { EventKind::Info } else { EventKind::Ok };
        load.observe(&Event {
            index: n as u64,
            time: n as u64,
            process: Process::Client(0),
            kind,
            f: op.f.clone(),
            value: op.value.clone(),
            key: op.key.clone(),
            node: None,
            error: None,
        });
        if op.f == "adjust" {
            unknown.push(op);
        }
    }
    assert!(again > 10, "{again}");
}

#[test]
fn mutations_and_only_they_are_declared_as_such() {
    for entry in WORKLOADS {
        let workload = (entry.build)();
        for op in draw(entry.name, 2) {
            let without_value = matches!(&*op.f, "acquire" | "renew" | "release" | "settle" | "put-again");
            assert_eq!(workload.mutates(&op.f), written(&op).is_some() || without_value, "{}", op.f);
        }
    }
}

#[test]
fn a_compare_and_set_expects_what_was_seen_last_on_its_key_or_just_before() {
    let mut newest: std::collections::HashMap<Key, Vec<Value>> = Default::default();
    let mut fresh = 0;
    let mut swaps = 0;
    for op in draw("register", 9) {
        let seen = newest.entry(op.key.clone().unwrap()).or_default();
        if op.f == "cas" {
            swaps += 1;
            let age = seen.iter().rev().position(|v| *v == op.value[0]).unwrap();
            assert!(age <= 1);
            fresh += usize::from(age == 0);
        }
        seen.extend(written(&op));
    }
    assert!(fresh * 2 > swaps && fresh < swaps, "{fresh} of {swaps}");
}

#[test]
fn before_anything_was_seen_there_is_no_compare_and_set() {
    let mut load = (find("register").unwrap().build)().generator(&plan("register", 1));
    for _ in 0..200 {
        assert!(matches!(load.next(ask(0)), Next::Op(op) if op.f != "cas"));
    }
}

#[test]
fn in_the_end_every_node_reads_every_key_once() {
    for (name, reads) in [("register", vec!["read"]), ("patients", vec!["read-entries", "read-summary"])] {
        let mut finals = (find(name).unwrap().build)().final_generator(&plan(name, 1));
        for thread in 0..3 {
            let mut asked = HashSet::new();
            while let Next::Op(op) = finals.next(ask(thread)) {
                assert!(reads.contains(&&*op.f));
                assert!(asked.insert((op.f, op.key)));
            }
            assert_eq!(asked.len(), reads.len() * KEYS as usize);
        }
    }
}

#[test]
fn in_the_end_coordinators_are_asked_for_leases_and_price_nodes_for_prices() {
    // Of three nodes one is a coordinator.
    let mut finals = (find("stocks").unwrap().build)().final_generator(&plan("stocks", 1));
    for (thread, reads) in [(0, vec!["lookup"]), (1, vec!["read", "read-local", "audit"])] {
        let mut asked = HashSet::new();
        while let Next::Op(op) = finals.next(ask(thread)) {
            assert!(reads.contains(&&*op.f) && asked.insert((op.f, op.key)));
        }
        assert_eq!(asked.len(), reads.len() * KEYS as usize);
    }
}

#[test]
fn in_the_end_warehouses_get_the_time_to_agree_and_are_then_asked_for_everything() {
    let mut finals = (find("inventory").unwrap().build)().final_generator(&plan("inventory", 1));
    let mut asked = Vec::new();
    while let Next::Op(op) = finals.next(ask(0)) {
        asked.push(op);
    }
    let waits = asked.iter().take_while(|op| op.f == "wait");
    let waited_ms: Vec<u64> = waits.filter_map(|op| op.value.as_u64()).collect();
    assert_eq!(waited_ms.iter().sum::<u64>(), crate::inventory::CONVERGENCE_MS);
    assert!(waited_ms.iter().all(|ms| *ms < plan("inventory", 1).op_timeout_ms));
    let reads = &asked[waited_ms.len()..];
    assert_eq!(reads.iter().filter(|op| op.f == "read").count(), KEYS as usize);
    assert_eq!((reads.len(), &*reads[reads.len() - 1].f), (KEYS as usize + 1, "conflicts"));
}

#[test]
fn an_update_that_was_answered_is_sometimes_sent_again_to_the_same_node() {
    let mut load = (find("inventory").unwrap().build)().generator(&plan("inventory", 5));
    let mut asked: std::collections::HashMap<Value, (usize, Op)> = Default::default();
    let mut again = 0;
    for n in 0..DRAWS {
        let Next::Op(op) = load.next(ask(n % 6)) else { panic!("the load ended") };
        if let Some(request) = written(&op)
            && let Some(first) = asked.insert(request, (n % 6, op.clone()))
        {
            assert_eq!(first, (n % 6, op.clone()));
            again += 1;
        }
        load.observe(&Event {
            index: n as u64,
            time: n as u64,
            process: Process::Client(n as u64 % 6),
            kind: EventKind::Ok,
            f: op.f.clone(),
            value: json!({"vector": {}}),
            key: op.key.clone(),
            node: None,
            error: None,
        });
    }
    assert!((20..DRAWS / 10).contains(&again), "{again}");
}

#[test]
fn trades_are_asked_for_again_contested_and_settled() {
    let mut load = (find("trades").unwrap().build)().generator(&plan("trades", 5));
    let mut asked: Vec<Op> = Vec::new();
    let (mut again, mut contested, mut settled) = (0, 0, 0);
    for n in 0..DRAWS {
        let Next::Op(op) = load.next(ask(n % 6)) else { panic!("the load ended") };
        let earlier = || asked.iter().rev().filter(|other| other.f == op.f && other.key == op.key);
        match &*op.f {
            "submit" if earlier().any(|other| other.value == op.value) => again += 1,
            "submit" => contested += earlier().count().min(1),
            "settle" => settled += 1,
            _ => {}
        }
        load.observe(&Event {
            index: n as u64,
            time: n as u64,
            process: Process::Client(n as u64 % 6),
            kind: EventKind::Ok,
            f: op.f.clone(),
            value: json!({"status": if op.f == "settle" { "settled" } else { "confirmed" }}),
            key: op.key.clone(),
            node: None,
            error: None,
        });
        asked.push(op);
    }
    assert!(again > 50 && contested > 100 && settled > 400, "{again} {contested} {settled}");
}

#[test]
fn accounts_are_opened_first_and_transfers_are_asked_for_again() {
    let mut load = (find("accounts").unwrap().build)().generator(&plan("accounts", 5));
    let (mut opened, mut asked, mut again, mut lack) = (0, HashSet::new(), 0, 0);
    for n in 0..DRAWS {
        let Next::Op(op) = load.next(ask(n % 6)) else { panic!("the load ended") };
        match &*op.f {
            "open" => opened += 1,
            "transfer" => {
                assert_eq!(opened, KEYS);
                assert_ne!(op.value["from"], op.value["to"]);
                again += usize::from(!asked.insert(op.value["request_id"].to_string()));
                lack += usize::from(op.value["amount"].as_i64().unwrap() > 1_000_000_000);
            }
            "snapshot" => assert_eq!(opened, KEYS),
            _ => {}
        }
        load.observe(&Event {
            index: n as u64,
            time: n as u64,
            process: Process::Client(n as u64 % 6),
            kind: EventKind::Ok,
            f: op.f.clone(),
            value: json!({"request_id": "t1"}),
            key: op.key.clone(),
            node: None,
            error: None,
        });
    }
    assert!(asked.len() > 500 && again > 50 && lack > 20, "{} {again} {lack}", asked.len());
}

#[test]
fn in_the_end_one_client_of_each_node_asks_for_all_that_it_has() {
    let mut finals = (find("trades").unwrap().build)().final_generator(&plan("trades", 1));
    assert_eq!(finals.next(ask(3)), Next::Exhausted, "there are three nodes");
    let mut asked = Vec::new();
    while let Next::Op(op) = finals.next(ask(1)) {
        asked.push(op);
    }
    let waited_ms: Vec<u64> = asked.iter().map_while(|op| op.value.as_u64()).collect();
    assert_eq!(waited_ms.iter().sum::<u64>(), crate::trades::CONVERGENCE_MS);
    let then: Vec<&str> = asked[waited_ms.len()..].iter().map(|op| &*op.f).take(4).collect();
    assert_eq!(then, ["waiting-list", "copies", "ledger", "read"]);
}

#[test]
fn events_are_told_late_twice_at_once_and_after_what_they_depend_on() {
    let mut load = (find("orders").unwrap().build)().generator(&plan("orders", 5));
    let mut told: std::collections::HashMap<String, (Value, u64)> = Default::default();
    let (mut again, mut tied, mut late, mut dependent, mut latest) = (0, 0, 0, 0, 0);
    for n in 0..DRAWS {
        let now_ms = n as u64 * 5;
        let Next::Op(op) = load.next(ask(n % 6)) else { panic!("the load ended") };
        if op.f == "send" {
            let id = op.value["id"].as_str().unwrap().to_owned();
            let timestamp = op.value["timestamp"].as_u64().unwrap();
            again += usize::from(told.get(&id).is_some_and(|(before, _)| *before == op.value));
            tied += usize::from(told.values().any(|(_, other)| *other == timestamp));
            late += usize::from(timestamp + crate::orders::USUAL_WINDOW_MS < latest);
            dependent += usize::from(op.value["depends_on"] != json!([]));
            latest = latest.max(timestamp);
            told.insert(id, (op.value.clone(), timestamp));
        }
        load.observe(&Event {
            index: n as u64,
            time: now_ms * 1_000_000,
            process: Process::Client(n as u64 % 6),
            kind: EventKind::Ok,
            f: op.f.clone(),
            value: json!({"status": "accepted"}),
            key: op.key.clone(),
            node: None,
            error: None,
        });
    }
    assert!(told.len() > DRAWS / 2, "{}", told.len());
    assert!(again > 50 && tied > 100 && late > 50 && dependent > 200, "{again} {tied} {late} {dependent}");
}

#[test]
fn in_the_end_the_buffer_gets_the_time_to_drain_and_every_node_shows_its_sequence() {
    let mut finals = (find("orders").unwrap().build)().final_generator(&plan("orders", 1));
    assert_eq!(finals.next(ask(3)), Next::Exhausted, "there are three nodes");
    let mut asked = Vec::new();
    while let Next::Op(op) = finals.next(ask(1)) {
        asked.push(op);
    }
    let waited_ms: Vec<u64> = asked.iter().map_while(|op| op.value.as_u64()).collect();
    assert_eq!(waited_ms.iter().sum::<u64>(), 5 * crate::orders::USUAL_WINDOW_MS);
    let then: Vec<&str> = asked[waited_ms.len()..].iter().map(|op| &*op.f).take(3).collect();
    assert_eq!(
        (then, asked.len() - waited_ms.len()),
        (vec!["status", "sequence", "stock"], 2 + KEYS as usize)
    );
}

#[test]
fn in_the_end_there_is_a_steady_load_for_long_enough_and_every_customer_is_read() {
    let plan = Plan { joining: 1, ..plan("telecom", 1) };
    let mut finals = (find("telecom").unwrap().build)().final_generator(&plan);
    assert_eq!(finals.next(ask(4)), Next::Exhausted, "there are three nodes and one that joins");
    let mut read = HashSet::new();
    let mut visits = 0;
    for thread in 0..4 {
        while let Next::Op(op) = finals.next(ask(thread)) {
            match TelecomOp::try_from(&op).unwrap() {
                TelecomOp::Visit(_, customers) => visits += customers.len(),
                TelecomOp::FinalRead(customer) => assert!(read.insert(customer)),
                TelecomOp::Routing | TelecomOp::Load => assert_eq!(thread, 0),
                other => panic!("{other:?}"),
            }
        }
    }
    // Both times together, up to the middle of the second one.
    let ms = visits as u64 / 4 * 25;
    assert!((ms + ms / 2).abs_diff(balance_ms(&plan)) < 500, "{ms}");
    assert_eq!(read.len() as u64, 4 * KEYS);
}

#[test]
fn a_call_that_was_recorded_is_sometimes_sent_again_much_later() {
    let mut puts = Vec::new();
    let mut again = 0;
    for op in draw("telecom", 5) {
        match &*op.f {
            "put" => puts.push(op),
            "put-again" => {
                again += 1;
                let same = |put: &Op| put.key == op.key && put.value == op.value;
                let later = puts.len() - puts.iter().position(same).unwrap();
                assert!(later > 50, "{later}");
            }
            _ => {}
        }
    }
    assert!(again > 20, "{again}");
}

#[test]
fn stocks_are_traded_in_every_way_and_also_by_tokens_that_are_over() {
    let ops = draw("stocks", 5);
    let share = |f: &str| ops.iter().filter(|op| op.f == f).count() as f64 / ops.len() as f64;
    for f in ["acquire", "renew", "release", "lookup", "update", "read", "read-local"] {
        assert!(share(f) > 0.003, "{f}: {}", share(f));
    }
    let mut newest: std::collections::HashMap<&Key, u64> = Default::default();
    let mut older = 0;
    for op in ops.iter().filter(|op| op.f == "update") {
        let token = op.value[0].as_u64().unwrap();
        let newest = newest.entry(op.key.as_ref().unwrap()).or_default();
        older += usize::from(token < *newest);
        *newest = token.max(*newest);
    }
    assert!(older > 20, "{older}");
}

#[test]
fn operations_survive_the_way_to_the_common_form_and_back() {
    for op in draw("register", 4) {
        assert_eq!(Op::from(RegisterOp::try_from(&op).unwrap()), op);
    }
    for op in draw("claims", 4) {
        assert_eq!(Op::from(ClaimOp::try_from(&op).unwrap()), op);
    }
    for op in draw("patients", 4) {
        assert_eq!(Op::from(PatientOp::try_from(&op).unwrap()), op);
    }
    for op in draw("inventory", 4) {
        assert_eq!(Op::from(InventoryOp::try_from(&op).unwrap()), op);
    }
    for op in draw("scores", 4) {
        let (of, asked) = ScoreOp::read(&op).unwrap();
        assert_eq!(asked.on(of.to_owned()), op);
    }
    for op in draw("accounts", 4) {
        assert_eq!(Op::from(AccountOp::try_from(&op).unwrap()), op);
    }
    for op in draw("telecom", 4) {
        assert_eq!(Op::from(TelecomOp::try_from(&op).unwrap()), op);
    }
    for op in draw("trades", 4) {
        assert_eq!(Op::from(TradeOp::try_from(&op).unwrap()), op);
    }
    for op in draw("orders", 4) {
        assert_eq!(Op::from(OrderOp::try_from(&op).unwrap()), op);
    }
    for op in draw("stocks", 4) {
        let (symbol, asked) = StockOp::read(&op).unwrap();
        assert_eq!(asked.on(symbol.to_owned()), op);
    }
}

#[test]
fn foreign_operations_are_refused() {
    let foreign = [
        Op::new("delete", Key::Int(1), Value::Null),
        Op::new("read", Key::Text("x".to_owned()), Value::Null),
        Op::new("write", Key::Int(1), Value::Null),
        Op::new("cas", Key::Int(1), json!([1])),
        Op::new("cas", Key::Int(1), json!([1, "2"])),
    ];
    for op in &foreign {
        let refused = RegisterOp::try_from(op).unwrap_err();
        assert!(refused.to_string().contains(&*op.f), "{refused}");
    }
    let foreign = [
        Op::new("append-entry", Key::Text("p1".to_owned()), json!(5)),
        Op::new("write-summary", Key::Text("p1".to_owned()), Value::Null),
        Op::new("read-entries", Key::Int(1), Value::Null),
        Op::new("read", Key::Text("p1".to_owned()), Value::Null),
    ];
    for op in &foreign {
        assert!(PatientOp::try_from(op).is_err(), "{op:?}");
    }
    let foreign = [
        Op::new("move", Key::Text("m0".to_owned()), json!(5)),
        Op::new("count", Key::Int(1), json!([5, 1])),
        Op::new("conflicts", Key::Text("m0".to_owned()), Value::Null),
        Op { f: "wait".into(), key: None, value: Value::Null },
    ];
    for op in &foreign {
        assert!(InventoryOp::try_from(op).is_err(), "{op:?}");
    }
    let foreign = [
        Op::new("put-policy", Key::Text("p1".to_owned()), Value::Null),
        Op::new("submit", Key::Text("c1".to_owned()), json!({"policy": "p1"})),
        Op::new("adjust", Key::Text("p1".to_owned()), json!({"id": "a1", "amount": 1, "policies": []})),
        Op::new("read", Key::Int(1), Value::Null),
        Op::new("write", Key::Text("p1".to_owned()), json!("h1")),
    ];
    for op in &foreign {
        assert!(ClaimOp::try_from(op).is_err(), "{op:?}");
    }
    let foreign = [
        Op::new("goal", Key::Text("m1".to_owned()), json!([1, 0])),
        Op::new("goal", Key::Text("m1".to_owned()), json!([-1, 0, "g1"])),
        Op::new("events", Key::Text("m1".to_owned()), Value::Null),
        Op::new("read", Key::Int(1), Value::Null),
    ];
    for op in &foreign {
        assert!(ScoreOp::read(op).is_err(), "{op:?}");
    }
    let foreign = [
        Op::new("transfer", Key::Text("a1".to_owned()), json!({"amount": 1})),
        Op { f: "transfer".into(), key: None, value: json!({"request_id": "t1", "from": "a1", "to": "a2"}) },
        Op::new("read", Key::Int(1), Value::Null),
        Op { f: "balances".into(), key: None, value: json!("a1") },
    ];
    for op in &foreign {
        assert!(AccountOp::try_from(op).is_err(), "{op:?}");
    }
    let foreign = [
        Op::new("put", Key::Text("r1/c1".to_owned()), json!(5)),
        Op::new("put", Key::Int(1), json!([1, 2])),
        Op::new("routing", Key::Text("r1/c1".to_owned()), Value::Null),
        Op { f: "visit".into(), key: None, value: Value::Null },
    ];
    for op in &foreign {
        assert!(TelecomOp::try_from(op).is_err(), "{op:?}");
    }
    let foreign = [
        Op::new("submit", Key::Text("t1".to_owned()), json!({"price": 1})),
        Op::new("read", Key::Int(1), Value::Null),
        Op::new("copies", Key::Text("t1".to_owned()), Value::Null),
        Op { f: "wait".into(), key: None, value: Value::Null },
    ];
    for op in &foreign {
        assert!(TradeOp::try_from(op).is_err(), "{op:?}");
    }
    let foreign = [
        Op::new("send", Key::Text("p1".to_owned()), json!({"id": "o1"})),
        Op::new("order", Key::Text("p1".to_owned()), Value::Null),
        Op::new("stock", Key::Int(1), Value::Null),
        Op { f: "processed".into(), key: None, value: Value::Null },
    ];
    for op in &foreign {
        assert!(OrderOp::try_from(op).is_err(), "{op:?}");
    }
    let foreign = [
        Op::new("update", Key::Text("s1".to_owned()), json!(5)),
        Op::new("renew", Key::Text("s1".to_owned()), Value::Null),
        Op::new("acquire", Key::Int(1), Value::Null),
        Op::new("write", Key::Text("s1".to_owned()), json!(1)),
    ];
    for op in &foreign {
        assert!(StockOp::read(op).is_err(), "{op:?}");
    }
}
