use ordeal_core::{Model, Operation, Rng};

use super::super::draw::history;
use super::*;
use crate::models::Counter;
use crate::models::counter::CounterCall;
use crate::testing::{brute_force, differential};

fn draw(rng: &mut Rng, most: u64) -> Vec<Timed<CounterCall>> {
    let mut sum = 0;
    let largest = *rng.pick(&[1, 1, 2, 3, 5, 9]);
    let smallest = *rng.pick(&[0, 1, 1, 1]);
    let p_add = *rng.pick(&[0.4, 0.6, 0.8]);
    let p_spoilt = *rng.pick(&[0.0, 0.1, 0.3]);
    history(rng, most, |rng, turn| {
        if turn.open || rng.chance(p_add) {
            let amount = rng.between(smallest, largest) as i64;
            if turn.effect {
                sum += amount;
            }
            return CounterCall::Add(amount);
        }
        let off = if rng.chance(p_spoilt) { rng.between(0, 2 * largest) as i64 - largest as i64 } else { 0 };
        CounterCall::Read(sum + off)
    })
}

#[test]
fn agrees_with_every_order() {
    let tally = differential(&Counter::default(), 200_000, |rng| draw(rng, 9));
    assert_eq!(tally.outside, 0);
}

#[test]
#[ignore = "long"]
fn agrees_with_every_order_of_ten_million() {
    differential(&Counter::default(), 10_000_000, |rng| draw(rng, 12));
}

/// Most calls at once, and many open ones: where there is much to choose from.
#[test]
fn agrees_where_most_additions_overlap() {
    let draw = |rng: &mut Rng| {
        let n = rng.between(4, 9);
        let largest = *rng.pick(&[2, 3, 6]);
        let mut calls: Vec<Timed<CounterCall>> = Vec::new();
        let mut time = 0;
        for _ in 0..n {
            time += rng.below(3);
            let end = time + rng.below(9);
            if rng.chance(0.7) {
                let end = if rng.chance(0.3) { Operation::OPEN } else { end };
                calls.push(Timed {
                    call: CounterCall::Add(rng.between(1, largest) as i64),
                    start: time,
                    end,
                });
            } else {
                let value = rng.below(2 * largest + time) as i64;
                calls.push(Timed { call: CounterCall::Read(value), start: time, end });
            }
        }
        calls
    };
    let tally = differential(&Counter::default(), 100_000, draw);
    assert_eq!(tally.outside, 0);
}

#[test]
fn released_calls_are_judged_as_the_verifier_judges_them() {
    for seed in 0..20_000 {
        let mut rng = Rng::fork(seed, "release");
        let mut calls: Vec<Timed<CounterCall>> = draw(&mut rng, 7);
        calls.retain(|call| matches!(call.call, CounterCall::Read(_)) || rng.chance(0.9));
        for call in calls.iter_mut().filter(|call| !matches!(call.call, CounterCall::Read(_))) {
            if rng.chance(0.4) {
                (call.start, call.end) = (0, Operation::OPEN);
            }
        }
        calls.sort_by_key(|call| call.start);
        let legal = matches!(Counter::default().monitor(&calls), Some(Answer::Legal(_)));
        assert_eq!(legal, brute_force(&Counter::default(), &calls), "seed {seed}");
    }
}

fn judged(calls: &[(Deed, u64, u64)]) -> Option<Answer> {
    let calls: Vec<_> = calls.iter().map(|&(call, start, end)| Timed { call, start, end }).collect();
    judge(&calls, 0)
}

use Deed::{Add, Read};

#[test]
fn every_kind_of_violation_has_its_core() {
    let illegal = |core: &[u32]| Some(Answer::Illegal(core.to_vec()));
    assert_eq!(judged(&[(Read(-1), 0, 1)]), illegal(&[0]), "below the beginning");
    assert_eq!(judged(&[(Add(2), 0, 1), (Read(3), 2, 3)]), illegal(&[1]), "more than all");
    let calls = [(Add(1), 0, 9), (Read(1), 1, 2), (Read(0), 3, 4)];
    assert_eq!(judged(&calls), illegal(&[1, 2]), "it shrinks");
    assert_eq!(judged(&[(Add(2), 0, 1), (Read(0), 2, 3)]), illegal(&[0, 1]), "one is lost");
    let calls = [(Add(1), 0, 1), (Read(1), 2, 3), (Add(2), 4, 5), (Add(1), 6, 7), (Read(3), 8, 9)];
    assert_eq!(judged(&calls), illegal(&[1, 2, 3, 4]), "one is lost between two reads");
    assert_eq!(judged(&[(Read(2), 0, 1), (Add(2), 2, 3)]), illegal(&[0, 1]), "before it was added");
    let calls = [(Add(2), 0, 9), (Add(3), 0, 8), (Read(4), 1, 7)];
    assert_eq!(judged(&calls), illegal(&[2]), "no sum of those");
    let calls = [(Add(2), 0, 9), (Add(2), 0, 9), (Read(1), 1, 9), (Add(1), 12, 13)];
    assert_eq!(judged(&calls), illegal(&[2, 3]), "only with one that comes later");
}

#[test]
fn long_histories_of_one_amount_need_one_configuration() {
    let mut calls = Vec::new();
    for n in 0..20_000_u64 {
        calls.push((Add(1), 4 * n, 4 * n + 90));
        calls.push((Read(n as i64), 4 * n + 1, 4 * n + 95));
    }
    assert!(matches!(judged(&calls), Some(Answer::Legal(order)) if order.len() == 40_000));
}

#[test]
fn what_it_does_not_cover_is_left_to_others() {
    assert_eq!(judged(&[(Add(-1), 0, 1)]), None);
    assert_eq!(judged(&[(Add(i64::MAX), 0, 1), (Add(1), 2, 3)]), None);
}
