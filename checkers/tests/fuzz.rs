//! The fuzz target with seeded bytes, so that it runs everywhere; and what it is made of is interesting.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic")]
#![allow(clippy::print_stdout, reason = "tests say what they skip")]

#[path = "../fuzz/compare.rs"]
mod compare;

use std::collections::BTreeMap;

use compare::{Compared, compare};
use ordeal_checkers::judge_named;
use ordeal_core::Rng;
use ordeal_simulator::OBJECTS;

/// Compares so many histories.
fn histories(count: u64) {
    let mut tally: BTreeMap<&str, [u64; 2]> = BTreeMap::new();
    for seed in 0..count {
        let mut rng = Rng::fork(seed, "fuzz");
        let bytes: Vec<u8> = (0..64).map(|_| rng.next_u64() as u8).collect();
        let compared = std::panic::catch_unwind(|| compare(&bytes));
        let (object, compared) = compared.unwrap_or_else(|_| panic!("seed {seed}"));
        match compared {
            Compared::Legal => tally.entry(object.entry().name).or_default()[0] += 1,
            Compared::Illegal => tally.entry(object.entry().name).or_default()[1] += 1,
            Compared::Nothing => {}
        }
    }
    for entry in OBJECTS {
        if judge_named(entry.name).is_none() {
            println!("no judge for {}: skipped", entry.name);
            continue;
        }
        let [legal, illegal] = tally.get(entry.name).copied().unwrap_or_default();
        let least = count / OBJECTS.len() as u64 / 40;
        assert!(legal > least && illegal > least, "{}: {legal} legal, {illegal} illegal", entry.name);
    }
}

#[test]
fn judges_agree_with_every_order_of_random_bytes() {
    histories(100_000);
}

#[test]
#[ignore = "long"]
fn judges_agree_with_every_order_of_many_random_bytes() {
    histories(2_000_000);
}
