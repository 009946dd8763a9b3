//! Small histories against every order of them: without a violation some order explains them, with one
//! none does, whichever the object, the violation and the seed.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

use ordeal_simulator::{
    Ended, Events, OBJECTS, Object, Parameters, Simulated, SimulatorError, explained, simulate,
};

/// Histories of each kind.
const SEEDS: u64 = 300;

/// A dozen operations by three clients, closely packed.
fn small(object: Object, seed: u64) -> Parameters {
    Parameters {
        operations: 6 + seed % 9,
        clients: 2 + seed % 3,
        keys: 1 + seed % 2,
        gap: 1 + seed % 7 * 100,
        values: if seed.is_multiple_of(3) { 3 } else { 0 },
        open_per_million: if seed.is_multiple_of(2) { 100_000 } else { 0 },
        fail_per_million: if seed.is_multiple_of(5) { 100_000 } else { 0 },
        read_every: 3,
        appends_per_key: 6,
        steps: 3,
        seed,
        ..Parameters::new(object)
    }
}

#[test]
fn some_order_explains_every_valid_history() {
    for entry in OBJECTS {
        for seed in 0..SEEDS {
            let operations: Vec<Simulated> = simulate(&small(entry.object, seed)).unwrap().collect();
            assert_eq!(explained(entry.object, &operations), Some(true), "{} {seed}", entry.name);
        }
    }
}

#[test]
fn no_order_explains_a_planted_violation() {
    for entry in OBJECTS {
        for &violation in entry.violations {
            let name = format!("{} {}", entry.name, violation.entry().name);
            let mut planted = 0;
            for seed in 0..SEEDS {
                let parameters = Parameters { violation: Some(violation), ..small(entry.object, seed) };
                let history = match simulate(&parameters) {
                    Ok(history) => history,
                    Err(SimulatorError::NotPlaced(_)) => continue,
                    Err(e) => panic!("{name} {seed}: {e}"),
                };
                let what = history.planted().unwrap().clone();
                let operations: Vec<Simulated> = history.collect();
                assert!(what.operations.iter().all(|&i| (i as usize) < operations.len()), "{name} {seed}");
                assert_eq!(explained(entry.object, &operations), Some(false), "{name} {seed}: {what:?}");
                planted += 1;
            }
            assert!(planted >= SEEDS / 30, "{name}: planted only {planted} times");
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_history_and_another_does_not() {
    for entry in OBJECTS {
        let history = |seed| {
            let parameters =
                Parameters { seed, keys: 3, open_per_million: 20_000, ..Parameters::new(entry.object) };
            simulate(&parameters).unwrap().collect::<Vec<_>>()
        };
        assert_eq!(history(7), history(7), "{}", entry.name);
        assert_ne!(history(7), history(8), "{}", entry.name);
    }
}

#[test]
fn events_are_in_order_of_time_and_pair_up() {
    for entry in OBJECTS {
        let parameters = Parameters {
            open_per_million: 50_000,
            fail_per_million: 20_000,
            clients: 20,
            ..Parameters::new(entry.object)
        };
        let operations: Vec<Simulated> = simulate(&parameters).unwrap().collect();
        let events: Vec<_> = Events::new(entry.object, operations.clone()).collect();
        assert!(events.windows(2).all(|pair| pair[0].time < pair[1].time), "{}", entry.name);
        assert!((0..).zip(&events).all(|(i, event)| event.index == i), "{}", entry.name);
        let history = ordeal_core::History { events, truncated: None };
        let paired = history.operations().unwrap();
        assert_eq!(paired.len(), operations.len(), "{}", entry.name);
        for (pair, op) in paired.iter().zip(&operations) {
            assert_eq!((pair.process(), pair.f()), (op.process, op.function.name()));
            assert_eq!(pair.ret == ordeal_core::Operation::OPEN, op.ended == Ended::Open);
        }
        // The same order in real time, by the events' stamps and by the operations' places.
        for (i, j) in (0..operations.len() - 40).flat_map(|i| (i + 1..i + 40).map(move |j| (i, j))) {
            assert_eq!(paired[i].ret < paired[j].call, operations[i].precedes(&operations[j]), "{i} {j}");
        }
    }
}

#[test]
fn shares_are_what_was_asked_for() {
    let parameters = Parameters {
        operations: 20_000,
        read_percent: 80,
        open_per_million: 30_000,
        fail_per_million: 10_000,
        ..Parameters::new(Object::Register)
    };
    let operations: Vec<Simulated> = simulate(&parameters).unwrap().collect();
    let count = |wanted: &dyn Fn(&&Simulated) -> bool| operations.iter().filter(wanted).count();
    assert_eq!(operations.len(), 20_000);
    assert!((15_700..16_300).contains(&count(&|op| op.function.name() == "read")));
    assert!((500..700).contains(&count(&|op| op.ended == Ended::Open)));
    assert!((140..260).contains(&count(&|op| op.ended == Ended::Fail)));
}

#[test]
fn what_makes_no_sense_is_refused() {
    let plain = Parameters::new(Object::Queue);
    let refused = |parameters: Parameters| simulate(&parameters).map(|_| ()).unwrap_err().to_string();
    assert_eq!(refused(Parameters { clients: 0, ..plain.clone() }), "clients: from 1 to 100000, not 0");
    let lock = Object::Lock.entry().violations[0];
    assert_eq!(
        refused(Parameters { violation: Some(lock), ..plain.clone() }),
        "`double-grant` cannot be planted in a `queue`; there are: reorder, lost-element, duplicate, phantom"
    );
    let reorder = plain.object.entry().violations[0];
    let tiny = Parameters { operations: 2, violation: Some(reorder), ..plain };
    assert!(refused(tiny).starts_with("`reorder` fits nowhere"));
}
