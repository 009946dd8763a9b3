//! Simulated histories get the verdict they were made for: every object, every violation that can be planted
//! in it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic")]
#![allow(clippy::print_stdout, reason = "tests say what they skip")]

use ordeal_checkers::{Budget, Options, judge_named};
use ordeal_core::{Checker, History, Verdict};
use ordeal_simulator::{Events, OBJECTS, Object, ObjectEntry, Parameters, SimulatorError, simulate};

/// Histories of each kind.
const SEEDS: u64 = 6;

/// Sizes and shapes that differ from seed to seed.
fn parameters(object: Object, seed: u64) -> Parameters {
    Parameters {
        operations: 300,
        clients: 3 + seed % 3,
        keys: 1 + seed % 2,
        gap: 500,
        open_per_million: if seed.is_multiple_of(3) { 10_000 } else { 0 },
        fail_per_million: if seed % 3 == 1 { 20_000 } else { 0 },
        values: if seed == 5 { 4 } else { 0 },
        seed,
        ..Parameters::new(object)
    }
}

/// The objects that have a judge.
fn judged() -> Vec<(&'static ObjectEntry, Box<dyn Checker>)> {
    let mut judged = Vec::new();
    // Cores are not what is tested here.
    let options = Options { budget: Budget { shrink_ms: 100, ..Budget::default() }, ..Options::default() };
    for entry in OBJECTS {
        match judge_named(entry.name) {
            Some(judge) => {
                let initial = entry.object.initial();
                judged.push((entry, (judge.judge)(&Options { initial, ..options.clone() }).unwrap()));
            }
            None => println!("no judge for {}: skipped", entry.name),
        }
    }
    assert!(judged.len() >= 3, "registers and sets have judges");
    judged
}

#[test]
fn valid_histories_are_valid() {
    for (entry, judge) in judged() {
        for seed in 0..SEEDS {
            let operations = simulate(&parameters(entry.object, seed)).unwrap();
            let events = Events::new(entry.object, operations).collect();
            let finding = judge.check(&History { events, truncated: None });
            assert_eq!(finding.verdict, Verdict::Valid, "{} {seed}: {finding:#?}", entry.name);
        }
    }
}

#[test]
fn planted_violations_are_found() {
    for (entry, judge) in judged() {
        for &violation in entry.violations {
            let name = format!("{} {}", entry.name, violation.entry().name);
            let mut planted = 0;
            for seed in 0..SEEDS {
                let parameters = Parameters { violation: Some(violation), ..parameters(entry.object, seed) };
                let operations = match simulate(&parameters) {
                    Ok(operations) => operations,
                    Err(SimulatorError::NotPlaced(_)) => continue,
                    Err(e) => panic!("{name} {seed}: {e}"),
                };
                let what = operations.planted().unwrap().what.clone();
                let events = Events::new(entry.object, operations).collect();
                let finding = judge.check(&History { events, truncated: None });
                assert_eq!(finding.verdict, Verdict::Invalid, "{name} {seed}: {what}\n{finding:#?}");
                assert!(!finding.anomalies.is_empty(), "{name} {seed}");
                planted += 1;
            }
            assert!(planted >= SEEDS / 2, "{name}: planted only {planted} times");
        }
    }
}
