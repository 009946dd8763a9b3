use ordeal_core::{Key, Op, Process};
use serde_json::json;

use super::*;

fn plan() -> Plan {
    Plan { nodes: 3, concurrency: 12, keys: 4, seed: 5, ..Plan::nothing(NAME, "memory") }
}

fn ask(thread: usize) -> Ask {
    Ask { process: thread as u64, thread, node: thread % 3 }
}

fn draw(load: &mut dyn Generator, thread: usize) -> IotOp {
    match load.next(ask(thread)) {
        Next::Op(op) => IotOp::try_from(&op).unwrap(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn readings_of_every_kind_fall_into_all_three_bands() {
    let mut load = Iot.generator(&plan());
    let thresholds = Machine::default().thresholds().to_vec();
    let mut bands = std::collections::HashSet::new();
    let mut again = 0;
    for _ in 0..2000 {
        if let IotOp::Reading { kind, value, again: twice, .. } = draw(&mut *load, 0) {
            let threshold = thresholds.iter().find(|threshold| threshold.kind == kind).unwrap();
            bands.insert((kind, value >= threshold.alert, value >= threshold.shutdown));
            again += u32::from(twice);
        }
    }
    assert_eq!(bands.len(), 9);
    assert!((50..200).contains(&again), "{again}");
}

#[test]
fn a_consumer_goes_on_where_it_was_at_whichever_node() {
    let mut load = Iot.generator(&plan());
    let told = |f: &'static str, consumer: usize, next: u64| Event {
        index: 0,
        time: 0,
        process: Process::Client(0),
        kind: EventKind::Ok,
        f: f.into(),
        value: json!({ "consumer": consumer, "next": next }),
        key: None,
        node: None,
        error: None,
    };
    load.observe(&told(op::POLL_EVENTS, 0, 40));
    // The answer to an earlier poll comes late.
    load.observe(&told(op::FOLLOW_EVENTS, 0, 30));
    load.observe(&told(op::POLL_LOG, 1, 90));
    let mut asked = std::collections::HashSet::new();
    for n in 0..500 {
        match draw(&mut *load, n % 12) {
            IotOp::PollEvents { consumer, from } | IotOp::FollowEvents { consumer, from } => {
                assert_eq!(from, [40, 1][consumer]);
                asked.insert((consumer, n % 3));
            }
            IotOp::PollLog { consumer, from } => assert_eq!(from, [0, 90][consumer]),
            _ => {}
        }
    }
    assert_eq!(asked.len(), 6, "both consumers at all three nodes");
}

#[test]
fn in_the_end_every_node_reads_every_machine_the_log_and_the_events() {
    let mut finals = Iot.final_generator(&plan());
    for thread in 0..3 {
        let machines = (0..4).map(|n| IotOp::Read { machine: format!("m{n}") });
        for expected in machines.chain([IotOp::ReadLog, IotOp::ReadEvents]) {
            assert_eq!(finals.next(ask(thread)), Next::Op(expected.into()));
        }
        assert_eq!(finals.next(ask(thread)), Next::Exhausted);
    }
}

#[test]
fn operations_survive_the_way_to_the_common_form_and_back() {
    let mut load = Iot.generator(&plan());
    for n in 0..2000 {
        let op = draw(&mut *load, n % 12);
        assert_eq!(IotOp::try_from(&Op::from(op.clone())), Ok(op));
    }
    for op in [
        Op::new("write", Key::Int(1), Value::Null),
        Op::new(op::RESET, Key::Text("m1".to_owned()), json!({})),
    ] {
        assert!(IotOp::try_from(&op).is_err());
    }
}

#[test]
fn the_thresholds_of_the_model_are_those_of_the_contract() {
    let contract = include_str!("openapi.yaml");
    for Threshold { kind, alert, shutdown } in Machine::default().thresholds() {
        let line = format!("{kind}: {{alert: {alert}, shutdown: {shutdown}}}");
        assert!(contract.contains(&line), "{line}");
    }
}
