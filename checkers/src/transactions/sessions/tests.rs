use ordeal_core::Rng;
use serde_json::{Value, json};

use super::*;
use crate::transactions::testing::{names, script, text};

const NAMES: [&str; 4] = [READ_YOUR_WRITES, MONOTONIC_READS, MONOTONIC_WRITES, WRITES_FOLLOW_READS];

/// One operation of a session: a write of its own number, or a read of what that write wrote.
#[derive(Clone, Copy, Debug)]
struct Op {
    process: u64,
    key: u64,
    write: Option<usize>,
    saw: Option<usize>,
}

/// By the definitions: every order of the writes, every set of writes that each read may have seen.
struct Definition<'a> {
    ops: &'a [Op],
    /// The operation of each write.
    writes: Vec<usize>,
    reads: Vec<usize>,
}

impl Definition<'_> {
    fn kept(&self, name: &str) -> bool {
        let mut order: Vec<usize> = (0..self.writes.len()).collect();
        permutations(&mut order, 0, &mut |order| {
            let mut rank = vec![0; order.len()];
            order.iter().enumerate().for_each(|(at, &w)| rank[w] = at);
            self.some_sets(name, &rank, &mut Vec::new())
        })
    }

    fn some_sets(&self, name: &str, rank: &[usize], sets: &mut Vec<u32>) -> bool {
        if sets.len() == self.reads.len() {
            return self.holds(name, rank, sets);
        }
        let read = self.ops[self.reads[sets.len()]];
        (0..1_u32 << self.writes.len()).any(|set| {
            let on_key = |&w: &usize| set & (1 << w) != 0 && self.ops[self.writes[w]].key == read.key;
            let last = (0..self.writes.len()).filter(on_key).max_by_key(|&w| rank[w]);
            if last != read.saw {
                return false;
            }
            sets.push(set);
            let found = self.some_sets(name, rank, sets);
            sets.pop();
            found
        })
    }

    fn holds(&self, name: &str, rank: &[usize], sets: &[u32]) -> bool {
        let before = |a: usize, b: usize| a < b && self.ops[a].process == self.ops[b].process;
        let pairs = |n: usize| (0..n).flat_map(move |a| (0..n).map(move |b| (a, b)));
        let (writes, reads) = (&self.writes, &self.reads);
        let monotonic_reads =
            pairs(reads.len()).all(|(a, b)| !before(reads[a], reads[b]) || sets[a] & !sets[b] == 0);
        let monotonic_writes = monotonic_reads
            && pairs(writes.len()).all(|(a, b)| {
                !before(writes[a], writes[b])
                    || (rank[a] < rank[b] && sets.iter().all(|s| s & (1 << b) == 0 || s & (1 << a) != 0))
            });
        match name {
            READ_YOUR_WRITES => {
                let sees = (0..reads.len()).all(|r| {
                    (0..writes.len()).all(|w| !before(writes[w], reads[r]) || sets[r] & (1 << w) != 0)
                });
                let same_key = |a: usize, b: usize| self.ops[writes[a]].key == self.ops[writes[b]].key;
                sees && pairs(writes.len())
                    .all(|(a, b)| !before(writes[a], writes[b]) || !same_key(a, b) || rank[a] < rank[b])
            }
            MONOTONIC_READS => monotonic_reads,
            MONOTONIC_WRITES => monotonic_writes,
            _ => {
                monotonic_writes
                    && (0..writes.len()).all(|w| {
                        (0..reads.len()).filter(|&r| before(reads[r], writes[w])).all(|r| {
                            let seen = (0..writes.len()).filter(|&u| sets[r] & (1 << u) != 0);
                            seen.clone().all(|u| rank[u] < rank[w])
                                && sets.iter().all(|s| s & (1 << w) == 0 || sets[r] & !s == 0)
                        })
                    })
            }
        }
    }
}

fn permutations(order: &mut Vec<usize>, from: usize, good: &mut dyn FnMut(&[usize]) -> bool) -> bool {
    if from == order.len() {
        return good(order);
    }
    for i in from..order.len() {
        order.swap(from, i);
        let found = permutations(order, from + 1, good);
        order.swap(from, i);
        if found {
            return true;
        }
    }
    false
}

/// Up to four writes and four reads by up to three processes on up to two keys, reads of whatever it be.
fn draw(rng: &mut Rng) -> Vec<Op> {
    let (writes, reads) = (rng.between(1, 4) as usize, rng.between(1, 4) as usize);
    let (processes, keys) = (rng.between(1, 3), rng.between(1, 2));
    let mut kinds: Vec<bool> = (0..writes + reads).map(|i| i < writes).collect();
    rng.shuffle(&mut kinds);
    let mut next = 0;
    let mut ops: Vec<Op> = Vec::new();
    for write in kinds {
        let (process, key) = (rng.below(processes), rng.below(keys));
        ops.push(Op { process, key, write: write.then_some(next), saw: None });
        next += usize::from(write);
    }
    for i in 0..ops.len() {
        let earlier = rng.chance(0.7);
        let on_key = ops.iter().enumerate().filter(|(at, op)| op.key == ops[i].key && (!earlier || *at < i));
        let on_key: Vec<usize> = on_key.filter_map(|(_, op)| op.write).collect();
        if ops[i].write.is_none() && !on_key.is_empty() && rng.chance(0.85) {
            ops[i].saw = Some(*rng.pick(&on_key));
        }
    }
    ops
}

fn history(ops: &[Op]) -> History {
    let lines: Vec<(u64, &str, Value)> = ops
        .iter()
        .map(|op| {
            let step = match op.write {
                Some(w) => json!(["w", op.key, w]),
                None => json!(["r", op.key, op.saw]),
            };
            (op.process, "-", json!([step]))
        })
        .collect();
    script(&lines)
}

fn compare(histories: std::ops::Range<u64>) -> [(u64, u64); 4] {
    let mut tally = [(0, 0); 4];
    for seed in histories {
        let ops = draw(&mut Rng::fork(seed, "sessions"));
        let positions =
            |write: bool| (0..ops.len()).filter(|&i| ops[i].write.is_some() == write).collect::<Vec<_>>();
        let definition = Definition { ops: &ops, writes: positions(true), reads: positions(false) };
        let history = history(&ops);
        let finding = Sessions::default().check(&history);
        for (name, tally) in NAMES.iter().zip(&mut tally) {
            let kept = definition.kept(name);
            let said = finding.measurements[*name].as_str().unwrap();
            let right = match said {
                "valid" => kept,
                "invalid" => !kept,
                // It includes what is broken already.
                _ => !kept,
            };
            assert!(right, "seed {seed}: {name} {said}\n{finding:#?}\n{}", text(&history));
            assert_eq!(said == "invalid", names(&finding).contains(name), "{seed}");
            tally.0 += u64::from(kept);
            tally.1 += u64::from(!kept);
        }
    }
    tally
}

#[test]
fn agrees_with_the_definitions_on_small_histories() {
    for (kept, broken) in compare(0..20_000) {
        assert!(kept > 1_000 && broken > 1_000, "{kept} {broken}");
    }
}

#[test]
#[ignore = "long"]
fn agrees_with_the_definitions_on_many_small_histories() {
    compare(1_000_000..3_000_000);
}

fn judged(lines: &[(u64, &str, Value)]) -> Finding {
    Sessions::default().check(&script(lines))
}

#[test]
fn each_guarantee_is_told_by_name() {
    let stale = judged(&[(0, "-", json!([["w", 1, 1]])), (0, "-", json!([["r", 1, null]]))]);
    assert_eq!(names(&stale), [READ_YOUR_WRITES]);
    assert_eq!(stale.anomalies[0].events, [0, 1, 2, 3]);
    let backwards = judged(&[
        (0, "-", json!([["w", 1, 1]])),
        (1, "-", json!([["r", 1, 1]])),
        (1, "-", json!([["r", 1, null]])),
    ]);
    assert_eq!(names(&backwards), [MONOTONIC_READS]);
    assert_eq!(backwards.measurements[MONOTONIC_WRITES], "unknown");
    let out_of_order = judged(&[
        (0, "-", json!([["w", 1, 1]])),
        (0, "-", json!([["w", 2, 2]])),
        (1, "-", json!([["r", 2, 2]])),
        (1, "-", json!([["r", 1, null]])),
    ]);
    assert_eq!(names(&out_of_order), [MONOTONIC_WRITES]);
    let without_cause = judged(&[
        (0, "-", json!([["w", 1, 1]])),
        (1, "-", json!([["r", 1, 1]])),
        (1, "-", json!([["w", 2, 2]])),
        (2, "-", json!([["r", 2, 2]])),
        (2, "-", json!([["r", 1, null]])),
    ]);
    assert_eq!(names(&without_cause), [WRITES_FOLLOW_READS]);
    assert_eq!(without_cause.measurements[MONOTONIC_WRITES], "valid");
}

#[test]
fn unclear_and_unwritten_values() {
    let twice =
        [(0, "-", json!([["w", 1, 1]])), (1, "-", json!([["w", 1, 1]])), (2, "-", json!([["r", 1, 1]]))];
    assert_eq!(judged(&twice).verdict, Verdict::Unknown);
    let garbage = judged(&[(0, "-", json!([["r", 1, 5]]))]);
    assert_eq!((garbage.verdict, names(&garbage)), (Verdict::Invalid, vec!["unwritten-read"]));
    assert_eq!(judged(&[(0, "-", json!([["w", 1, 1]]))]).verdict, Verdict::Vacuous);
    // Nothing follows on an operation of unknown outcome, not even in its process.
    let open = [
        (0, "invoke", json!([["w", 1, 1]])),
        (0, "info", json!([["w", 1, 1]])),
        (0, "-", json!([["r", 1, null]])),
    ];
    assert_eq!(judged(&open).verdict, Verdict::Valid);
}
