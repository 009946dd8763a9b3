use std::collections::BTreeMap;

use ordeal_core::{EventKind, Operation, Rng};
use serde_json::{Value, json};

use super::*;
use crate::transactions::testing::{random, script, text};

/// By the definition: whether some total order of some transactions of the history, among them all that
/// completed, extends session order and reads-from and satisfies the axiom.
fn by_definition(history: &History, isolation: Isolation) -> bool {
    let ops = history.operations().unwrap();
    let ops: Vec<_> = ops.into_iter().filter(|op| op.kind() != EventKind::Fail).collect();
    let open: Vec<usize> = (0..ops.len()).filter(|&i| ops[i].kind() == EventKind::Info).collect();
    (0..1_u32 << open.len()).any(|chosen| {
        let chosen = |i: &usize| open.iter().position(|o| o == i).is_none_or(|at| chosen & (1 << at) != 0);
        let ops: Vec<&Operation<'_>> = (0..ops.len()).filter(chosen).map(|i| &ops[i]).collect();
        Definition::of(&ops).is_some_and(|d| d.some_order(isolation, &mut Vec::new()))
    })
}

struct Definition {
    n: usize,
    /// Session order and reads-from.
    so: Vec<Vec<bool>>,
    wr: Vec<Vec<bool>>,
    /// What each reads from others: key, writer (`None`: the beginning).
    reads: Vec<Vec<(u64, Option<usize>)>>,
    writes: Vec<BTreeMap<u64, Value>>,
}

impl Definition {
    /// `None` if a read is of nothing committed, or contradicts the transaction's own steps.
    fn of(ops: &[&Operation<'_>]) -> Option<Definition> {
        let n = ops.len();
        let mut d = Definition {
            n,
            so: vec![vec![false; n]; n],
            wr: vec![vec![false; n]; n],
            reads: vec![Vec::new(); n],
            writes: vec![BTreeMap::new(); n],
        };
        let steps = |i: usize| ops[i].output().unwrap_or(ops[i].input()).as_array().unwrap();
        for i in 0..n {
            for step in steps(i).iter().filter(|s| s[0] == "w") {
                d.writes[i].insert(step[1].as_u64().unwrap(), step[2].clone());
            }
            for j in 0..n {
                d.so[j][i] = ops[i].process() == ops[j].process()
                    && ops[j].call < ops[i].call
                    && ops[j].ret != Operation::OPEN;
            }
        }
        for i in (0..n).filter(|&i| ops[i].output().is_some()) {
            let mut own: BTreeMap<u64, &Value> = BTreeMap::new();
            for step in steps(i) {
                let key = step[1].as_u64().unwrap();
                if step[0] == "w" {
                    own.insert(key, &step[2]);
                } else if let Some(written) = own.get(&key) {
                    if **written != step[2] {
                        return None;
                    }
                } else if step[2].is_null() {
                    d.reads[i].push((key, None));
                } else {
                    let writer = (0..n).find(|&j| j != i && d.writes[j].get(&key) == Some(&step[2]))?;
                    d.reads[i].push((key, Some(writer)));
                    d.wr[writer][i] = true;
                }
            }
        }
        Some(d)
    }

    fn some_order(&self, isolation: Isolation, order: &mut Vec<usize>) -> bool {
        if order.len() == self.n {
            return self.satisfies(isolation, order);
        }
        (0..self.n).any(|next| {
            let left = |i: &usize| !order.contains(i) && *i != next;
            if order.contains(&next) || (0..self.n).filter(left).any(|i| self.so[i][next] || self.wr[i][next])
            {
                return false;
            }
            order.push(next);
            let found = self.some_order(isolation, order);
            order.pop();
            found
        })
    }

    fn satisfies(&self, isolation: Isolation, order: &[usize]) -> bool {
        let at = |t: usize| order.iter().position(|&o| o == t).unwrap() as i32;
        let mut reaches = vec![vec![false; self.n]; self.n];
        for (i, row) in reaches.iter_mut().enumerate() {
            for (j, reaches) in row.iter_mut().enumerate() {
                *reaches = self.so[i][j] || self.wr[i][j];
            }
        }
        for k in 0..self.n {
            for i in 0..self.n {
                for j in 0..self.n {
                    reaches[i][j] |= reaches[i][k] && reaches[k][j];
                }
            }
        }
        (0..self.n).all(|t| {
            self.reads[t].iter().enumerate().all(|(p, &(key, from))| {
                (0..self.n).filter(|&b| Some(b) != from && self.writes[b].contains_key(&key)).all(|b| {
                    let premise = match isolation {
                        Isolation::ReadCommitted => self.reads[t][..p].iter().any(|r| r.1 == Some(b)),
                        Isolation::ReadAtomic => self.so[b][t] || self.wr[b][t],
                        Isolation::Causal => reaches[b][t],
                    };
                    !premise || at(b) < from.map_or(-1, at)
                })
            })
        })
    }
}

fn compare(histories: std::ops::Range<u64>, max: u64) -> [(u64, u64); 3] {
    let all = [Isolation::ReadCommitted, Isolation::ReadAtomic, Isolation::Causal];
    let mut tally = [(0, 0); 3];
    for seed in histories {
        let mut rng = Rng::fork(seed, "weak");
        let history = random(&mut rng, false, max, 3, 4);
        for (isolation, tally) in all.into_iter().zip(&mut tally) {
            let finding = WeakIsolation::new(isolation).check(&history);
            let right = by_definition(&history, isolation);
            let show = || format!("seed {seed}: {finding:#?}\n{}", text(&history));
            match finding.verdict {
                Verdict::Invalid => assert!(!right, "{}", show()),
                Verdict::Valid | Verdict::Vacuous => assert!(right, "{}", show()),
                Verdict::Unknown => panic!("{}", show()),
            }
            tally.0 += u64::from(right);
            tally.1 += u64::from(!right);
        }
    }
    tally
}

#[test]
fn agrees_with_the_definitions_on_small_histories() {
    for (valid, invalid) in compare(0..100_000, 6) {
        assert!(valid > 10_000 && invalid > 10_000, "{valid} {invalid}");
    }
}

#[test]
#[ignore = "long"]
fn agrees_with_the_definitions_on_millions_of_small_histories() {
    compare(1_000_000..4_000_000, 7);
}

#[test]
fn each_violation_is_named() {
    let all = [Isolation::ReadCommitted, Isolation::ReadAtomic, Isolation::Causal];
    let judged = |lines: &[(u64, &str, Value)]| {
        all.map(|isolation| {
            let finding = WeakIsolation::new(isolation).check(&script(lines));
            finding.anomalies.first().map_or_else(String::new, |a| a.name.clone())
        })
    };
    let writer = |process, value: u64| (process, "-", json!([["w", 1, value], ["w", 2, value]]));
    let half = [writer(0, 1), writer(1, 2), (2, "-", json!([["r", 1, 1], ["r", 2, 2]]))];
    assert_eq!(judged(&half), ["", "fractured-read", "causality-violation"]);
    let back = [writer(0, 1), writer(1, 2), (2, "-", json!([["r", 1, 1], ["r", 2, 2], ["r", 1, 1]]))];
    assert_eq!(judged(&back)[0], "non-monotonic-read");
    let causal = [
        (0, "-", json!([["w", 1, 1]])),
        (1, "-", json!([["r", 1, 1], ["w", 2, 1]])),
        (2, "-", json!([["r", 2, 1]])),
        (2, "-", json!([["r", 1, null]])),
    ];
    assert_eq!(judged(&causal), ["", "", "causality-violation"]);
    let circle = [(0, "-", json!([["r", 1, 1], ["w", 2, 1]])), (1, "-", json!([["r", 2, 1], ["w", 1, 1]]))];
    assert_eq!(judged(&circle), ["cyclic-dependency"; 3]);
    let skew =
        [(0, "-", json!([["r", 1, null], ["w", 2, 1]])), (1, "-", json!([["r", 2, null], ["w", 1, 1]]))];
    assert_eq!(judged(&skew), ["", "", ""]);
}

#[test]
fn clocks_have_a_budget() {
    let lines: Vec<_> = (0..200).map(|i| (i, "-", json!([["r", 1, null], ["w", i + 2, i]]))).collect();
    let budget = Budget { memory_bytes: 100, ..Budget::default() };
    let options = Options { budget, ..Options::default() };
    let mut lines = lines;
    lines.push((0, "-", json!([["r", 3, 1], ["r", 4, 2]])));
    let finding = WeakIsolation::new(Isolation::Causal).with_options(&options).check(&script(&lines));
    assert_eq!(finding.verdict, Verdict::Unknown);
    assert!(finding.summary.contains("200 sessions"), "{}", finding.summary);
}
