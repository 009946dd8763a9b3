//! Every judge against every order, on random small histories made to be nearly right.

use ordeal_core::{Answer, Model, Operation, Rng, Timed};

use super::calls::Calls;
use super::values::Values;
use super::{judge, refute, search, zones};
use crate::models::{Atom, Register, RegisterAction};
use crate::testing::{Tally, brute_force, differential, intervals};
use crate::verify::{Proof, verify};
use std::collections::HashSet;

type History = Vec<Timed<RegisterAction>>;

/// What random histories are made of.
#[derive(Clone, Copy, Debug)]
struct Shape {
    /// So many calls.
    calls: (u64, u64),
    /// So many values; 0 if each is written once.
    values: u64,
    /// In percent: reads, compare-and-sets, refused ones among all calls.
    reads: u64,
    swaps: u64,
    refused: u64,
    /// Open ends: probabilities of which one is drawn for a history.
    open: &'static [f64],
    /// Widths of which one is drawn.
    widths: &'static [usize],
}

const UNIQUE: Shape = Shape {
    calls: (2, 9),
    values: 0,
    reads: 50,
    swaps: 0,
    refused: 0,
    open: &[0.0, 0.0, 0.2, 0.4],
    widths: &[2, 3, 9],
};
const UNIQUE_CAS: Shape = Shape { swaps: 30, reads: 40, ..UNIQUE };
const REPEATED: Shape = Shape { values: 2, ..UNIQUE };
const REPEATED_CAS: Shape = Shape { values: 3, swaps: 30, reads: 40, ..UNIQUE };
/// Few different calls, most of them open.
const ALIKE: Shape = Shape { values: 2, swaps: 40, reads: 30, open: &[0.5, 0.7], ..UNIQUE };
const OPEN_CAS: Shape = Shape { open: &[0.3, 0.5, 0.7], ..REPEATED_CAS };
const REFUSED: Shape = Shape { swaps: 25, reads: 25, refused: 25, ..REPEATED_CAS };
const BURST: Shape = Shape { widths: &[6, 9], values: 3, reads: 40, open: &[0.0, 0.0, 0.1], ..UNIQUE };

/// A history in which every call takes effect at some time while it runs, in which then some results are
/// changed.
fn draw(rng: &mut Rng, shape: Shape) -> History {
    let n = rng.between(shape.calls.0, shape.calls.1) as usize;
    let (width, open) = (*rng.pick(shape.widths), *rng.pick(shape.open));
    let mut times = intervals(rng, n, width, open);
    if rng.chance(0.15) {
        times
            .iter_mut()
            .flat_map(|t| [&mut t.0, &mut t.1])
            .filter(|t| **t != Operation::OPEN)
            .for_each(|t| *t /= 2);
    }
    let some = |rng: &mut Rng| match (shape.values, rng.chance(0.1)) {
        (_, true) => Atom::NULL,
        (0, _) => Atom::int(rng.below(n as u64) as i64),
        (values, _) => Atom::int(rng.below(values) as i64),
    };
    let mut calls: History = Vec::new();
    for (i, (start, end)) in times.into_iter().enumerate() {
        let to = if shape.values == 0 { Atom::int(i as i64) } else { some(rng) };
        let kind = rng.below(100);
        let call = if kind < shape.reads {
            RegisterAction::Read(Atom::NULL)
        } else if kind < shape.reads + shape.swaps {
            RegisterAction::Cas(some(rng), to)
        } else if kind < shape.reads + shape.swaps + shape.refused {
            RegisterAction::NotCas(some(rng))
        } else {
            RegisterAction::Write(to)
        };
        calls.push(Timed { call, start, end });
    }
    simulate(rng, &mut calls, 2 * n as u64);
    if rng.chance(0.5) {
        for _ in 0..rng.between(1, 2) {
            let at = rng.below(n as u64) as usize;
            if let RegisterAction::Read(v) | RegisterAction::Cas(v, _) = &mut calls[at].call {
                *v = some(rng);
            }
        }
    }
    calls
}

/// Gives reads and compare-and-sets what they find; open calls may take effect within so long, or not.
fn simulate(rng: &mut Rng, calls: &mut History, within: u64) {
    let mut order: Vec<(u64, usize)> = Vec::new();
    for (i, call) in calls.iter().enumerate() {
        let end = if call.is_open() { call.start + within } else { call.end };
        order.push((2 * rng.between(call.start, end.max(call.start)) + 1, i));
    }
    order.sort_unstable();
    let mut value = Atom::NULL;
    for (_, i) in order {
        let open = calls[i].is_open();
        match &mut calls[i].call {
            RegisterAction::Read(seen) => *seen = value,
            RegisterAction::NotCas(not) if *not == value => *not = Atom::int(-1),
            RegisterAction::NotCas(_) => {}
            RegisterAction::Write(_) | RegisterAction::Cas(..) if open && rng.chance(0.5) => {}
            RegisterAction::Write(to) => value = *to,
            RegisterAction::Cas(from, to) => {
                if !open {
                    *from = value;
                }
                if *from == value {
                    value = *to;
                }
            }
        }
    }
}

/// The search by itself, also where a faster judge would have known.
fn search_agrees(shape: Shape, histories: u64) -> Tally {
    let model = Register::default();
    let mut tally = Tally::default();
    for seed in 0..histories {
        let calls = draw(&mut Rng::fork(seed, "search"), shape);
        let ready = Calls::of(&calls, &Values::of(Atom::NULL, &calls));
        let answer =
            search::judge(&ready).unwrap_or_else(|| panic!("seed {seed}: it does not know\n{calls:?}"));
        let legal = brute_force(&model, &calls);
        assert_eq!(matches!(answer, Answer::Legal(_)), legal, "seed {seed}: {answer:?}\n{calls:?}");
        assert_eq!(verify(&model, &calls, &answer), Proof::Holds, "seed {seed}: {answer:?}\n{calls:?}");
        if let Some(core) = refute::judge(&ready) {
            let answer = Answer::Illegal(core);
            assert_eq!(verify(&model, &calls, &answer), Proof::Holds, "seed {seed}: {answer:?}\n{calls:?}");
        }
        tally.legal += u64::from(legal);
        tally.illegal += u64::from(!legal);
    }
    tally
}

fn all_agree(histories: u64) {
    let model = Register::default();
    for shape in [UNIQUE, UNIQUE_CAS] {
        let tally = differential(&model, histories, |rng| draw(rng, shape));
        assert!(tally.outside == 0, "{tally:?}");
        search_agrees(shape, histories / 4);
    }
    for shape in [REPEATED, REPEATED_CAS, OPEN_CAS, ALIKE, REFUSED, BURST] {
        let tally = differential(&model, histories, |rng| draw(rng, shape));
        assert!(tally.outside == 0, "{tally:?}");
        search_agrees(shape, histories);
    }
    let long = Shape { calls: (9, 12), widths: &[3, 4], ..REPEATED_CAS };
    differential(&model, histories / 20, |rng| draw(rng, long));
}

#[test]
fn every_judge_agrees_with_trying_all_orders() {
    all_agree(25_000);
}

#[test]
#[ignore = "long"]
fn every_judge_agrees_with_trying_all_orders_of_millions() {
    all_agree(1_500_000);
}

/// The verifier's short cuts accuse nobody either: of a legal history, whatever is named holds no contradiction.
#[test]
fn no_part_of_a_legal_history_is_a_contradiction() {
    let model = Register::default();
    let mut legal = 0;
    for (n, shape) in [UNIQUE_CAS, REPEATED_CAS, OPEN_CAS, REFUSED].into_iter().enumerate() {
        for seed in 0..5_000 {
            let mut rng = Rng::fork(seed, &format!("parts {n}"));
            let calls = draw(&mut rng, shape);
            if !brute_force(&model, &calls) {
                continue;
            }
            legal += 1;
            let all = 0..calls.len() as u32;
            for needy in all.clone() {
                let needed = model.needs(&calls[needy as usize].call);
                let brings_back = |at: &u32| model.leaves(&calls[*at as usize].call) == needed;
                for other in all.clone() {
                    let mut core: Vec<u32> = all.clone().filter(brings_back).collect();
                    core.extend([needy, other]);
                    core.sort_unstable();
                    core.dedup();
                    if rng.chance(0.2) {
                        core.remove(rng.below(core.len() as u64) as usize);
                    }
                    let answer = Answer::Illegal(core);
                    assert_ne!(verify(&model, &calls, &answer), Proof::Holds, "{answer:?} of {calls:?}");
                }
            }
        }
    }
    assert!(legal > 5_000, "{legal}");
}

/// Whether there is an order, by remembering which calls were placed in which state: for longer histories.
fn by_memory(calls: &History) -> bool {
    let mut seen: HashSet<(u64, Atom)> = HashSet::new();
    let mut ahead = vec![(0_u64, Atom::NULL)];
    while let Some((placed, value)) = ahead.pop() {
        let waiting = |i: &usize| placed >> i & 1 == 0;
        let first_end =
            (0..calls.len()).filter(waiting).map(|i| calls[i].end).min().unwrap_or(Operation::OPEN);
        if first_end == Operation::OPEN {
            return true;
        }
        for i in (0..calls.len()).filter(waiting).filter(|&i| calls[i].start <= first_end) {
            if let Some(after) = calls[i].call.apply(value) {
                let next = (placed | 1 << i, after);
                if seen.insert(next) {
                    ahead.push(next);
                }
            }
        }
    }
    false
}

fn longer_agree(histories: u64) {
    let long = |shape| Shape { calls: (15, 40), widths: &[3, 5, 8], open: &[0.0, 0.1, 0.2], ..shape };
    for shape in [UNIQUE_CAS, REPEATED, REPEATED_CAS, REFUSED, Shape { values: 5, ..OPEN_CAS }] {
        let mut legal = 0;
        for seed in 0..histories {
            let mut calls = draw(&mut Rng::fork(seed, "longer"), long(shape));
            let opens = calls.iter().filter(|c| c.is_open()).count();
            if opens > 4 {
                calls.retain(|c| !c.is_open());
            }
            let expected = by_memory(&calls);
            let ready = Calls::of(&calls, &Values::of(Atom::NULL, &calls));
            for answer in [judge(Atom::NULL, &calls), search::judge(&ready)] {
                let answer = answer.unwrap();
                assert_eq!(
                    matches!(answer, Answer::Legal(_)),
                    expected,
                    "seed {seed}: {answer:?}\n{calls:?}"
                );
                if expected {
                    assert_eq!(verify(&Register::default(), &calls, &answer), Proof::Holds, "seed {seed}");
                }
            }
            legal += u64::from(expected);
        }
        assert!(legal > histories / 10 && legal < histories * 9 / 10, "{legal} of {histories} {shape:?}");
    }
}

#[test]
fn longer_histories_agree_with_a_plain_search() {
    longer_agree(1_000);
}

#[test]
#[ignore = "long"]
fn many_longer_histories_agree_with_a_plain_search() {
    longer_agree(50_000);
}

fn timed(call: RegisterAction, start: u64, end: u64) -> Timed<RegisterAction> {
    Timed { call, start, end }
}

/// The core that a judge of these calls finds; all must hold.
fn core_of(calls: &[Timed<RegisterAction>]) -> Vec<u32> {
    let Some(Answer::Illegal(mut core)) = judge(Atom::NULL, calls) else {
        panic!("{calls:?} are illegal");
    };
    core.sort_unstable();
    let answer = Answer::Illegal(core.clone());
    assert_eq!(verify(&Register::default(), calls, &answer), Proof::Holds, "{calls:?}");
    core
}

#[test]
fn violations_of_unique_values_name_those_at_fault() {
    use RegisterAction::{Cas, Read, Write};
    let v = Atom::int;
    let open = Operation::OPEN;
    let phantom = [timed(Write(v(1)), 0, 1), timed(Read(v(2)), 2, 3)];
    assert_eq!(core_of(&phantom), [1]);
    let from_nowhere = [timed(Cas(v(5), v(6)), 0, 1), timed(Write(v(1)), 2, 3)];
    assert_eq!(core_of(&from_nowhere), [0]);
    let before_it_began = [timed(Read(v(1)), 0, 1), timed(Write(v(1)), 2, open)];
    assert_eq!(core_of(&before_it_began), [0, 1]);
    let fork =
        [timed(Cas(Atom::NULL, v(1)), 0, 9), timed(Cas(Atom::NULL, v(2)), 1, open), timed(Read(v(2)), 2, 8)];
    assert_eq!(core_of(&fork), [0, 2], "the read proves that the open one took effect");
    let circle = [timed(Cas(v(1), v(2)), 0, 9), timed(Cas(v(2), v(1)), 1, 8)];
    assert_eq!(core_of(&circle).len(), 1);
    let stale = [timed(Write(v(1)), 0, 1), timed(Write(v(2)), 2, 3), timed(Read(v(1)), 4, 5)];
    assert_eq!(core_of(&stale), [0, 1, 2]);
    let initial = [timed(Write(v(1)), 0, 1), timed(Read(Atom::NULL), 2, 3)];
    assert_eq!(core_of(&initial), [0, 1]);
    let overlap = [
        timed(Write(v(1)), 0, 20),
        timed(Write(v(2)), 1, 21),
        timed(Read(v(1)), 2, 3),
        timed(Read(v(2)), 4, 5),
        timed(Read(v(1)), 6, 7),
        timed(Read(v(2)), 8, 9),
    ];
    assert_eq!(core_of(&overlap), [2, 3, 4, 5]);
    let inversion = [
        timed(Write(v(1)), 0, 9),
        timed(Cas(v(1), v(2)), 1, 9),
        timed(Read(v(2)), 2, 3),
        timed(Read(v(1)), 4, 5),
    ];
    assert_eq!(core_of(&inversion), [2, 3]);
}

#[test]
fn violations_of_repeated_values_name_those_at_fault() {
    use RegisterAction::{Cas, NotCas, Read, Write};
    let v = Atom::int;
    let open = Operation::OPEN;
    let stale = [
        timed(Write(v(1)), 0, 1),
        timed(Write(v(1)), 0, 2),
        timed(Write(v(2)), 3, 4),
        timed(Read(v(1)), 5, 6),
    ];
    assert_eq!(core_of(&stale), [0, 1, 2, 3]);
    let used_up = [
        timed(Write(v(1)), 0, open),
        timed(Write(v(2)), 1, 2),
        timed(Write(v(2)), 3, 4),
        timed(Read(v(1)), 5, 6),
        timed(Write(v(2)), 7, 8),
        timed(Read(v(1)), 9, 10),
    ];
    assert_eq!(core_of(&used_up), [3, 4, 5], "an open write takes effect once");
    let refused = [timed(Write(v(1)), 0, 1), timed(NotCas(v(1)), 2, 3), timed(Write(v(1)), 4, 5)];
    assert_eq!(core_of(&refused), [0, 1]);
    let both = [timed(Write(v(1)), 0, 1), timed(Cas(v(1), v(2)), 2, 9), timed(Cas(v(1), v(2)), 3, 8)];
    assert_eq!(core_of(&both), [1, 2], "the value is written once");
}

#[test]
fn strange_calls_are_left_to_others() {
    let write = RegisterAction::Write(Atom::int(1));
    assert_eq!(judge(Atom::NULL, &[timed(write, 5, 2)]), None, "it ended before it began");
    assert_eq!(judge(Atom::NULL, &[timed(write, 5, 6), timed(write, 1, 2)]), None, "not in order");
    assert_eq!(judge(Atom::NULL, &[]), Some(Answer::Legal(vec![])));
    let text = |s: &str| Atom::from(&serde_json::Value::from(s));
    let far = [text("a"), Atom::int(i64::MAX), Atom::int(i64::MIN), Atom::int(-1)];
    let calls: Vec<_> = far.iter().map(|&v| timed(RegisterAction::Write(v), 0, 9)).collect();
    let zoned = zones::judge(&calls, &Values::of(Atom::NULL, &calls));
    assert!(matches!(zoned, Some(Answer::Legal(order)) if order.len() == 4));
}

/// Many clients, few values: what keeps configurations few must hold for long, and back links are tidied.
#[test]
fn long_histories_of_few_values_have_an_order() {
    for (width, values, swaps, open) in
        [(10, 5, 33, 0.0), (10, 5, 33, 0.02), (40, 5, 0, 0.0), (90, 3, 0, 0.0)]
    {
        let shape = Shape { calls: (1, 1), values, reads: 33, swaps, refused: 5, open: &[0.0], widths: &[9] };
        let mut rng = Rng::new(width);
        let times = intervals(&mut rng, 20_000, width as usize, open);
        let mut calls: History = times
            .into_iter()
            .map(|(start, end)| Timed { call: draw(&mut rng, shape)[0].call, start, end })
            .collect();
        simulate(&mut rng, &mut calls, 100);
        let answer = judge(Atom::NULL, &calls).unwrap();
        assert!(matches!(answer, Answer::Legal(_)), "{width} clients");
        assert_eq!(verify(&Register::default(), &calls, &answer), Proof::Holds);
    }
}

/// The second open write of a value may have begun too late for the place of the first.
#[test]
fn equal_open_writes_are_told_apart_by_their_start() {
    use RegisterAction::{Cas, Read, Write};
    let v = Atom::int;
    let open = Operation::OPEN;
    let calls = [
        timed(Write(v(1)), 0, open),
        timed(Cas(v(0), v(2)), 2, open),
        timed(Cas(v(1), v(2)), 3, 11),
        timed(Cas(v(1), v(2)), 4, 5),
        timed(Write(v(1)), 6, open),
        timed(Cas(v(2), v(1)), 9, 10),
        timed(Cas(v(1), v(0)), 12, 15),
        timed(Read(v(0)), 13, 14),
    ];
    let answer = search::judge(&Calls::of(&calls, &Values::of(Atom::NULL, &calls))).unwrap();
    assert!(matches!(answer, Answer::Legal(_)), "{answer:?}");
    assert_eq!(verify(&Register::default(), &calls, &answer), Proof::Holds);
}

/// The last read proves that `Cas(2, 3)` came before the second write, which takes an open call that found 1; but
/// of the two the first is used up after it, and the second began too late.
#[test]
fn equal_open_compare_and_sets_are_told_apart_by_their_start() {
    use RegisterAction::{Cas, Read, Write};
    let v = Atom::int;
    let open = Operation::OPEN;
    let mut calls = vec![
        timed(Cas(v(1), v(2)), 0, open),
        timed(Write(v(1)), 1, 18),
        timed(Cas(v(2), v(3)), 2, 19),
        timed(Write(v(1)), 3, 10),
        timed(Read(v(2)), 11, 12),
        timed(Cas(v(2), v(4)), 13, 14),
        timed(Read(v(4)), 15, 16),
        timed(Cas(v(1), v(2)), 17, open),
        timed(Read(v(4)), 20, 21),
    ];
    for (start, legal) in [(17, false), (4, true)] {
        calls[7].start = start;
        calls.sort_by_key(|call| call.start);
        let answer = search::judge(&Calls::of(&calls, &Values::of(Atom::NULL, &calls))).unwrap();
        assert_eq!(matches!(answer, Answer::Legal(_)), legal, "{answer:?}");
        assert_eq!(verify(&Register::default(), &calls, &answer), Proof::Holds);
    }
}
