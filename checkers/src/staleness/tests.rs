use ordeal_core::{Operation, Rng, Timed};
use serde_json::Value;

use super::reads::{Cluster, Stale, measure};
use super::zones::{Zone, atomicity, by_effect, conflict, delta, two_atomic};
use crate::models::{Atom, Register, RegisterAction};
use crate::recall::Seen;
use crate::testing::{brute_force, intervals};

/// A small history: each operation with its write; 0 is the initial value, a write has its own number.
struct Small {
    times: Vec<(u64, u64)>,
    /// The number of the write, and whether this is it.
    ops: Vec<(u32, bool)>,
    writes: u32,
}

/// Reads that are seldom far from the newest value. Ends are unknown of writes only.
fn draw(rng: &mut Rng, most: u64) -> Small {
    let n = rng.between(2, most) as usize;
    let width = rng.between(1, 4) as usize;
    let mut times = intervals(rng, n, width, 0.0);
    let mut writes = 0;
    let mut ops = Vec::new();
    for _ in 0..n {
        if rng.chance(0.5) {
            writes += 1;
            ops.push((writes, true));
        } else {
            ops.push((u32::MAX, false));
        }
    }
    for i in 0..n {
        let (_, ended) = times[i];
        if ops[i].1 {
            if rng.chance(0.1) {
                times[i].1 = Operation::OPEN;
            }
            continue;
        }
        let begun = (0..n).filter(|&j| ops[j].1 && times[j].0 <= ended).count() as u64;
        ops[i].0 = begun.saturating_sub(rng.below(3).min(rng.below(4))) as u32;
    }
    Small { times, ops, writes }
}

fn seen(call: u64, ret: u64) -> Seen {
    Seen::at(call, ret)
}

impl Small {
    fn clusters(&self) -> Vec<Cluster> {
        let none = Cluster { zone: Zone { s: 0, f: 0, g: None }, began_ns: 0, effect_ns: 0 };
        let mut clusters = vec![none; self.writes as usize + 1];
        for (&(call, ret), &(write, is_write)) in self.times.iter().zip(&self.ops) {
            if is_write {
                let zone = Zone { s: call + 1, f: ret.saturating_add(1), g: None };
                clusters[write as usize] = Cluster { zone, began_ns: call, effect_ns: ret };
            }
        }
        for (&(call, ret), &(write, is_write)) in self.times.iter().zip(&self.ops) {
            if !is_write {
                clusters[write as usize].was_read(&seen(call, ret));
            }
        }
        clusters
    }

    fn reads(&self) -> Vec<(u32, Seen)> {
        let all = self.times.iter().zip(&self.ops).filter(|(_, op)| !op.1);
        all.map(|(&(call, ret), op)| (op.0, seen(call, ret))).collect()
    }

    /// Tries every order in which each read comes after its write, and tells of each how many versions
    /// stale each read is in it.
    fn orders(&self, mut each: impl FnMut(&[u64])) {
        let mut stale = vec![0; self.ops.len()];
        self.extend(0, &mut vec![0], &mut stale, &mut each);
    }

    fn extend(&self, placed: u32, order: &mut Vec<u32>, stale: &mut Vec<u64>, each: &mut impl FnMut(&[u64])) {
        let waiting = |&i: &usize| placed & (1 << i) == 0;
        let first_end = (0..self.ops.len()).filter(waiting).map(|i| self.times[i].1).min();
        let first_end = first_end.unwrap_or(Operation::OPEN);
        if first_end == Operation::OPEN {
            let reads = (0..self.ops.len()).filter(|&i| !self.ops[i].1).map(|i| stale[i]);
            each(&reads.collect::<Vec<_>>());
        }
        for i in (0..self.ops.len()).filter(waiting).filter(|&i| self.times[i].0 <= first_end) {
            let (write, is_write) = self.ops[i];
            if is_write {
                order.push(write);
                self.extend(placed | 1 << i, order, stale, each);
                order.pop();
            } else if let Some(at) = order.iter().position(|w| *w == write) {
                stale[i] = (order.len() - 1 - at) as u64;
                self.extend(placed | 1 << i, order, stale, each);
            }
        }
    }

    /// Whether it is linearizable once every read begins `sooner`.
    fn linearizable(&self, sooner: u64) -> bool {
        let value = |write: u32| match write {
            0 => Atom::NULL,
            write => Atom::int(write.into()),
        };
        let mut calls: Vec<Timed<RegisterAction>> = (self.times.iter().zip(&self.ops))
            .map(|(&(start, end), &(write, is_write))| match is_write {
                true => Timed {
                    call: RegisterAction::Write(value(write)),
                    start: start + 100,
                    end: end.saturating_add(100),
                },
                false => Timed {
                    call: RegisterAction::Read(value(write)),
                    start: (start + 100).saturating_sub(sooner),
                    end: end + 100,
                },
            })
            .collect();
        calls.sort_by_key(|call| call.start);
        brute_force(&Register::default(), &calls)
    }
}

fn check(seed: u64, most: u64) -> (u64, bool) {
    let small = draw(&mut Rng::fork(seed, "staleness"), most);
    let reads = small.reads();
    let clusters = small.clusters();
    let mut best = u64::MAX;
    let mut range: Vec<(u64, u64)> = vec![(u64::MAX, 0); reads.len()];
    small.orders(|stale| {
        best = best.min(stale.iter().max().copied().unwrap_or(0));
        range.iter_mut().zip(stale).for_each(|(r, s)| *r = (r.0.min(*s), r.1.max(*s)));
    });
    assert_ne!(best, u64::MAX, "seed {seed}: there is always an order");
    let k = best + 1;
    let measured = measure(&clusters, &reads);
    for (stale, (low, high)) in measured.iter().zip(&range) {
        assert!(stale.versions_low <= *low, "seed {seed}: {stale:?}, at least {low}");
        assert!(stale.versions_high >= *high, "seed {seed}: {stale:?}, at most {high}");
        assert!(stale.ns_high >= Some(stale.ns_low), "seed {seed}: {stale:?}");
        assert_eq!(stale.versions_low > 0, stale.replaced_by.is_some(), "seed {seed}: {stale:?}");
    }
    let sorted = by_effect(clusters.iter().map(|c| c.zone));
    let most = measured.iter().map(|s: &Stale| s.versions_low).max().unwrap_or(0);
    let found = atomicity(&sorted, most);
    assert!(
        found.low <= k && k <= found.high,
        "seed {seed}: {found:?}, but {k}: {:?} {:?}",
        small.times,
        small.ops
    );
    assert!(k > 2 || found.low == found.high, "seed {seed}: {found:?}, but {k}");
    assert_eq!(two_atomic(&sorted), k <= 2, "seed {seed}: {:?} {:?}", small.times, small.ops);
    assert_eq!(conflict(&sorted, 0).is_none(), small.linearizable(0), "seed {seed}");
    let sooner = delta(&sorted, 0);
    assert!(small.linearizable(sooner), "seed {seed}: Δ {sooner}");
    assert!(sooner == 0 || !small.linearizable(sooner - 1), "seed {seed}: Δ {sooner}");
    (k, found.low == found.high)
}

fn check_all(histories: u64, most: u64) {
    let mut of_k = [0_u64; 8];
    let mut exact = 0;
    for seed in 0..histories {
        let (k, is_exact) = check(seed, most);
        of_k[k.min(7) as usize] += 1;
        exact += u64::from(is_exact);
    }
    assert!(of_k[1..=3].iter().all(|n| *n > histories / 100), "{of_k:?}");
    assert!(exact > histories * 9 / 10, "{exact} of {histories} exact");
}

#[test]
fn bounds_hold_in_every_order_of_small_histories() {
    check_all(200_000, 8);
}

#[test]
#[ignore = "long"]
fn bounds_hold_in_every_order_of_very_many_small_histories() {
    check_all(10_000_000, 9);
}

#[test]
fn two_atomicity_of_long_histories_is_decided() {
    // Every read is of the value before the last: 2-atomic, and not atomic.
    let zone = |i: u64| Zone { s: 10 * i, f: 10 * i + 5, g: (i < 100_000).then_some(10 * i + 17) };
    let sorted = by_effect((1..=100_000).map(zone));
    assert!(conflict(&sorted, 0).is_some() && two_atomic(&sorted));
    // One read is two behind.
    let late = (1..=100_000).map(|i| match i {
        5_000 => Zone { g: Some(10 * i + 27), ..zone(i) },
        i => zone(i),
    });
    assert!(!two_atomic(&by_effect(late)));
}

#[test]
fn a_bound_in_versions_is_judged_by_what_is_certain() {
    use super::Staleness;
    use ordeal_core::{Checker, History, Verdict};
    let line = |index: u64, time: u64, kind: &str, f: &str, value: Value| {
        format!(r#"{{"index":{index},"time":{time},"process":0,"type":"{kind}","f":"{f}","value":{value}}}"#)
    };
    let mut text = String::new();
    let ops = [("write", 1), ("write", 2), ("write", 3), ("read", 1)];
    for (i, (f, value)) in (0_u64..).zip(ops) {
        let at = 2_000_000 * i;
        text += &(line(2 * i, at, "invoke", f, value.into()) + "\n");
        text += &(line(2 * i + 1, at + 1_000_000, "ok", f, value.into()) + "\n");
    }
    let history = History::parse(&text).unwrap();
    let verdict = |judge: Staleness| judge.check(&history).verdict;
    let judge = Staleness::default;
    assert_eq!(verdict(judge()), Verdict::Valid);
    assert_eq!(verdict(judge().max_versions(Some(2))), Verdict::Valid);
    assert_eq!(verdict(judge().max_versions(Some(1))), Verdict::Invalid);
    // The value 1 was replaced at 3 ms, and read from 6 ms on.
    assert_eq!(verdict(judge().max_ms(Some(3))), Verdict::Valid);
    assert_eq!(verdict(judge().max_ms(Some(2))), Verdict::Invalid);
    let mut unstamped = history.clone();
    unstamped.events.iter_mut().for_each(|e| e.time = 0);
    assert_eq!(judge().max_ms(Some(2)).check(&unstamped).verdict, Verdict::Unknown);
    assert_eq!(judge().max_versions(Some(1)).check(&unstamped).verdict, Verdict::Invalid);
    let finding = judge().max_versions(Some(1)).check(&history);
    assert_eq!(finding.anomalies[0].name, "too-stale");
    assert_eq!(finding.anomalies[0].events, [0, 1, 2, 3, 6, 7]);
    assert_eq!(finding.measurements["delta_atomic_ms"], 3.0);
    assert_eq!(finding.measurements["k_atomic_at_most"], 3);
}
