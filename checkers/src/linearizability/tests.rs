//! Both searches, by themselves and in a race, agree with trying every order, for models with and without
//! hints; their answers prove; and budgets are kept.

use ordeal_core::{Answer, Blind, Model, Open, Operation, Rng, Timed};

use super::budget::{Budget, Limits};
use super::judge::{Decision, Found, Monitor, Ruling, judge_calls, judge_object};
use super::problem::Problem;
use super::search::{Outcome, Runners, search};
use super::work::{Plan, judge_all};
use crate::models::{Atom, Register, RegisterAction};
use crate::testing::{brute_force, intervals};
use crate::verify::{Proof, verify};

/// Histories for each model and search.
const HISTORIES: u64 = 30_000;

/// A counter that can also be set; with all hints, or with none.
#[derive(Clone, Copy, Debug)]
struct Counter {
    hints: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Count {
    Add(i64),
    Set(i64),
    Double,
    Read(i64),
}

impl Model for Counter {
    type State = i64;
    type Call = Count;
    type Next = Option<i64>;

    fn name(&self) -> &'static str {
        "counter"
    }

    fn init(&self) -> i64 {
        0
    }

    fn call(&self, _op: &Operation<'_>) -> Result<Option<Count>, String> {
        Ok(None)
    }

    fn step(&self, state: &i64, call: &Count) -> Option<i64> {
        match *call {
            Count::Add(n) => Some(state + n),
            Count::Set(n) => Some(n),
            Count::Double => Some(state * 2),
            Count::Read(n) => (n == *state).then_some(n),
        }
    }

    fn describe(&self, call: &Count) -> String {
        format!("{call:?}")
    }

    fn reads_only(&self, call: &Count) -> bool {
        self.hints && matches!(call, Count::Read(_))
    }

    fn blind(&self, call: &Count) -> Option<Blind> {
        match *call {
            Count::Add(n) if self.hints => Some(Blind::Adds(n)),
            Count::Set(_) if self.hints => Some(Blind::Overwrites),
            _ => None,
        }
    }

    fn level(&self, state: &i64) -> i64 {
        *state
    }

    fn needs(&self, call: &Count) -> Option<i64> {
        match *call {
            Count::Read(n) => Some(n),
            _ => None,
        }
    }

    fn open_calls(&self, calls: &[Count], open: &[usize]) -> Vec<Open> {
        let class = |&at: &usize| match calls[at] {
            Count::Add(n) if self.hints => Open::Class(n.unsigned_abs() as u32 * 2 + u32::from(n < 0)),
            _ => Open::Unique,
        };
        open.iter().map(class).collect()
    }
}

/// A box that may lose what is put into it: a model that is not deterministic.
#[derive(Clone, Copy, Debug)]
struct Leaky;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Box_ {
    Put(u8),
    Swap(u8, Option<u8>),
    Look(Option<u8>),
}

impl Model for Leaky {
    type State = Option<u8>;
    type Call = Box_;
    type Next = Vec<Option<u8>>;

    fn name(&self) -> &'static str {
        "leaky"
    }

    fn init(&self) -> Option<u8> {
        None
    }

    fn call(&self, _op: &Operation<'_>) -> Result<Option<Box_>, String> {
        Ok(None)
    }

    fn step(&self, state: &Option<u8>, call: &Box_) -> Vec<Option<u8>> {
        match *call {
            Box_::Put(n) => vec![Some(n), None, Some(n)],
            Box_::Swap(n, seen) if seen == *state => vec![*state, Some(n)],
            Box_::Swap(..) => Vec::new(),
            Box_::Look(seen) => {
                if seen == *state {
                    vec![seen]
                } else {
                    Vec::new()
                }
            }
        }
    }

    fn describe(&self, call: &Box_) -> String {
        format!("{call:?}")
    }

    fn reads_only(&self, call: &Box_) -> bool {
        matches!(call, Box_::Look(_))
    }
}

/// Makes a call, with the result it has in this state if it is to be right.
type Ask<'a, M> = &'a dyn Fn(&mut Rng, &<M as Model>::State, bool) -> <M as Model>::Call;

/// A random history: each operation takes effect at a random moment while it runs, or long after if its
/// end is unknown, and some results are wrong. Some times are the same.
fn draw<M: Model>(rng: &mut Rng, model: &M, ask: Ask<'_, M>) -> Vec<Timed<M::Call>> {
    let n = rng.between(2, 9) as usize;
    let width = rng.between(2, 6) as usize;
    let p_open = *rng.pick(&[0.0, 0.2, 0.5, 0.8]);
    let p_released = *rng.pick(&[0.0, 0.0, 0.3]);
    let p_wrong = *rng.pick(&[0.0, 0.3, 0.6]);
    let times = intervals(rng, n, width, p_open);
    let last = times.iter().map(|t| t.0).max().unwrap_or(0) + 10;
    let mut moments: Vec<(u64, usize)> = Vec::new();
    for (at, &(start, end)) in times.iter().enumerate() {
        moments.push((rng.between(start, if end == Operation::OPEN { last } else { end }), at));
    }
    moments.sort_unstable();
    let mut state = model.init();
    let mut calls: Vec<Option<M::Call>> = vec![None; n];
    for (_, at) in moments {
        let right = !rng.chance(p_wrong);
        let call = ask(rng, &state, right);
        let next: Vec<M::State> = model.step(&state, &call).into_iter().collect();
        let happens = times[at].1 != Operation::OPEN || rng.chance(0.6);
        if happens && !next.is_empty() {
            state = rng.pick(&next).clone();
        }
        calls[at] = Some(call);
    }
    let coarse = *rng.pick(&[1, 1, 1, 2, 3]);
    let time = |t| if t == Operation::OPEN { t } else { t / coarse };
    let mut timed: Vec<Timed<M::Call>> = Vec::with_capacity(n);
    for (call, &(start, end)) in calls.into_iter().flatten().zip(&times) {
        let released = rng.chance(p_released);
        let (start, end) = if released { (0, Operation::OPEN) } else { (time(start), time(end)) };
        timed.push(Timed { call, start, end });
    }
    timed.sort_by_key(|call| call.start);
    timed
}

fn limits<'a>(unwanted: &'a (dyn Fn() -> bool + Sync)) -> Limits<'a> {
    Limits { deadline: None, memory_bytes: 1 << 28, configurations: u64::MAX, unwanted }
}

/// Compares a search with every order of random histories.
fn agrees<M: Model>(model: &M, histories: u64, runners: Runners, ask: Ask<'_, M>) {
    let wanted = || false;
    let limits = limits(&wanted);
    let (mut legal, mut illegal) = (0, 0);
    for seed in 0..histories {
        let calls = draw(&mut Rng::fork(seed, model.name()), model, ask);
        let (outcome, _) = search(&Problem::new(model, &calls), &limits, runners);
        let expected = brute_force(model, &calls);
        let shown = || format!("{runners:?}, seed {seed}: {outcome:?}\n{calls:#?}");
        match &outcome {
            Outcome::Legal(Some(order)) => {
                assert!(expected, "{}", shown());
                let proof = verify(model, &calls, &Answer::Legal(order.clone()));
                assert_eq!(proof, Proof::Holds, "{}", shown());
                legal += 1;
            }
            Outcome::Illegal(refutation) => {
                assert!(!expected, "{}", shown());
                // The longest order explains what ended before the operation that failed.
                let prefix = refutation.prefix.clone().unwrap();
                let cut = calls[refutation.at as usize].end;
                let before: Vec<Timed<M::Call>> = calls
                    .iter()
                    .map(|call| Timed {
                        end: if call.end < cut { call.end } else { Operation::OPEN },
                        ..call.clone()
                    })
                    .collect();
                let proof = verify(model, &before, &Answer::Legal(prefix));
                assert_eq!(proof, Proof::Holds, "prefix of {}", shown());
                illegal += 1;
            }
            _ => panic!("{}", shown()),
        }
    }
    assert!(legal > histories / 10 && illegal > histories / 10, "{legal} legal, {illegal} illegal");
}

fn every_search_agrees<M: Model>(model: &M, histories: u64, ask: Ask<'_, M>) {
    for runners in [Runners::Breadth, Runners::Depth, Runners::Race] {
        agrees(model, histories, runners, ask);
    }
}

fn ask_register(rng: &mut Rng, state: &Atom, right: bool) -> RegisterAction {
    let value = |rng: &mut Rng| Atom::int(rng.between(1, 3) as i64);
    let seen = if right { *state } else { value(rng) };
    match rng.below(10) {
        0..4 => RegisterAction::Read(seen),
        4..8 => RegisterAction::Write(value(rng)),
        _ => RegisterAction::Cas(seen, value(rng)),
    }
}

fn ask_count(rng: &mut Rng, state: &i64, right: bool, lowest: i64, highest: u64) -> Count {
    match rng.below(highest) {
        0..4 => Count::Read(if right { *state } else { *state + rng.between(0, 4) as i64 - 2 }),
        4..8 => Count::Add(lowest + rng.below(4) as i64),
        8 => Count::Set(rng.below(4) as i64),
        _ => Count::Double,
    }
}

fn ask_leaky(rng: &mut Rng, state: &Option<u8>, right: bool) -> Box_ {
    let value = |rng: &mut Rng| rng.between(1, 3) as u8;
    let seen = if right { *state } else { Some(value(rng)) };
    match rng.below(10) {
        0..4 => Box_::Look(seen),
        4..7 => Box_::Put(value(rng)),
        _ => Box_::Swap(value(rng), seen),
    }
}

#[test]
fn register_with_repeated_values() {
    every_search_agrees(&Register::default(), HISTORIES, &ask_register);
}

#[test]
fn counter_that_only_climbs() {
    every_search_agrees(&Counter { hints: true }, HISTORIES, &|r, s, right| ask_count(r, s, right, 0, 8));
}

#[test]
fn counter_with_all_kinds_of_calls() {
    every_search_agrees(&Counter { hints: true }, HISTORIES, &|r, s, right| ask_count(r, s, right, -1, 10));
    every_search_agrees(&Counter { hints: true }, HISTORIES, &|r, s, right| ask_count(r, s, right, 1, 9));
}

#[test]
fn counter_without_hints() {
    every_search_agrees(&Counter { hints: false }, HISTORIES / 3, &|r, s, right| {
        ask_count(r, s, right, -1, 10)
    });
}

#[test]
fn a_model_that_is_not_deterministic() {
    every_search_agrees(&Leaky, HISTORIES, &ask_leaky);
}

/// A model that leaves everything to the search, and none of whose calls is known to be anything.
#[derive(Clone, Copy, Debug)]
struct Bare<M>(M);

impl<M: Model> Model for Bare<M> {
    type State = M::State;
    type Call = M::Call;
    type Next = M::Next;

    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn init(&self) -> M::State {
        self.0.init()
    }

    fn call(&self, op: &Operation<'_>) -> Result<Option<M::Call>, String> {
        self.0.call(op)
    }

    fn step(&self, state: &M::State, call: &M::Call) -> M::Next {
        self.0.step(state, call)
    }

    fn describe(&self, call: &M::Call) -> String {
        self.0.describe(call)
    }
}

#[test]
fn register_without_hints() {
    every_search_agrees(&Bare(Register::default()), HISTORIES / 3, &ask_register);
}

/// Judges random histories as a caller would, and checks all that is said of them.
fn decisions_prove<M: Model>(model: &M, histories: u64, ask: Ask<'_, M>) {
    let mut illegal = 0;
    for seed in 0..histories {
        let mut rng = Rng::fork(seed, "decisions");
        let mut calls = draw(&mut rng, model, ask);
        if rng.chance(0.5) {
            rng.shuffle(&mut calls);
        }
        let decision = judge_calls(model, &calls, &Budget::default());
        let expected = brute_force(model, &calls);
        match decision {
            Decision::Legal(Some(order)) => {
                assert!(expected, "{order:?}\n{calls:#?}");
                assert_eq!(verify(model, &calls, &Answer::Legal(order)), Proof::Holds);
            }
            Decision::Illegal(violation) => {
                illegal += 1;
                assert!(!expected, "{violation:?}\n{calls:#?}");
                let core = violation.core.clone().unwrap();
                assert!(violation.minimal && violation.proven, "{violation:?}\n{calls:#?}");
                let released = |kept: &[u32]| -> Vec<Timed<M::Call>> {
                    let times = |at: u32, call: &Timed<M::Call>| match kept.contains(&at) {
                        true => call.clone(),
                        false => Timed { start: 0, end: Operation::OPEN, ..call.clone() },
                    };
                    (0..).zip(&calls).map(|(at, call)| times(at, call)).collect()
                };
                assert!(!brute_force(model, &released(&core)), "{violation:?}\n{calls:#?}");
                for spared in 0..core.len() {
                    let mut fewer = core.clone();
                    fewer.remove(spared);
                    let shown = || format!("{spared} can be spared: {violation:?}\n{calls:#?}");
                    assert!(brute_force(model, &released(&fewer)), "{}", shown());
                    let wrong = verify(model, &calls, &Answer::Illegal(fewer));
                    assert!(matches!(wrong, Proof::Fails(_)), "{}", shown());
                }
            }
            other => panic!("{other:?}\n{calls:#?}"),
        }
    }
    assert!(illegal > histories / 10);
}

#[test]
fn orders_prove_and_cores_are_minimal() {
    decisions_prove(&Register::default(), 10_000, &ask_register);
    decisions_prove(&Counter { hints: true }, 10_000, &|r, s, right| ask_count(r, s, right, -1, 10));
    decisions_prove(&Leaky, 10_000, &ask_leaky);
}

#[test]
fn the_verifier_refuses_wrong_orders() {
    let model = Register::default();
    for seed in 0..5_000 {
        let mut rng = Rng::fork(seed, "wrong orders");
        let calls = draw(&mut rng, &model, &ask_register);
        let Decision::Legal(Some(right)) = judge_calls(&model, &calls, &Budget::default()) else {
            continue;
        };
        let refused = |order: Vec<u32>| {
            let proof = verify(&model, &calls, &Answer::Legal(order.clone()));
            assert!(matches!(proof, Proof::Fails(_)), "{order:?}\n{calls:#?}");
        };
        if let Some(must) = right.iter().position(|&at| !calls[at as usize].is_open()) {
            let mut lacking = right.clone();
            lacking.remove(must);
            refused(lacking);
            refused([right.clone(), vec![right[must]]].concat());
        }
        refused([right.clone(), vec![calls.len() as u32]].concat());
        for at in 1..right.len() {
            let (a, b) = (&calls[right[at - 1] as usize], &calls[right[at] as usize]);
            let mut swapped = right.clone();
            swapped.swap(at - 1, at);
            if a.end < b.start {
                refused(swapped);
            }
        }
        // Of what has an order nothing contradicts anything.
        let core = (0..calls.len() as u32).filter(|_| rng.chance(0.5)).collect();
        let proof = verify(&model, &calls, &Answer::Illegal(core));
        assert!(matches!(proof, Proof::Fails(_)), "{calls:#?}");
    }
    assert!(matches!(verify(&model, &[], &Answer::Illegal(vec![7])), Proof::Fails(_)));
}

/// A register whose own judge always says the same.
#[derive(Clone, Debug)]
struct Stubborn {
    says: Option<Answer>,
}

impl Model for Stubborn {
    type State = Atom;
    type Call = RegisterAction;
    type Next = Option<Atom>;

    fn name(&self) -> &'static str {
        "stubborn"
    }

    fn init(&self) -> Atom {
        Atom::NULL
    }

    fn call(&self, _op: &Operation<'_>) -> Result<Option<RegisterAction>, String> {
        Ok(None)
    }

    fn step(&self, state: &Atom, call: &RegisterAction) -> Option<Atom> {
        Register::default().step(state, call)
    }

    fn describe(&self, call: &RegisterAction) -> String {
        format!("{call:?}")
    }

    fn monitor(&self, _calls: &[Timed<RegisterAction>]) -> Option<Answer> {
        match &self.says {
            None => panic!("the judge is broken (this panic is part of a test)"),
            says => says.clone(),
        }
    }
}

#[test]
fn a_wrong_answer_of_a_models_own_judge_is_not_believed() {
    let call = |action, start, end| Timed { call: action, start, end };
    let (write, read) = (|n| RegisterAction::Write(Atom::int(n)), |n| RegisterAction::Read(Atom::int(n)));
    let right = [call(write(1), 0, 1), call(write(2), 2, 5), call(read(1), 3, 4)];
    let wrong = [call(write(1), 0, 1), call(write(2), 2, 3), call(read(1), 4, 5)];
    let unwanted = || false;
    let limits = limits(&unwanted);
    let answers = [
        None,
        Some(Answer::Legal(vec![0, 1, 2])),
        Some(Answer::Legal(vec![0, 2])),
        Some(Answer::Legal(vec![9])),
        Some(Answer::Illegal(vec![2])),
        Some(Answer::Illegal(vec![9])),
        Some(Answer::Illegal(vec![])),
    ];
    for says in answers {
        let model = Stubborn { says };
        let found = judge_object(&model, &right, &limits);
        assert_eq!(found.monitor, Monitor::Rejected, "{model:?}");
        assert!(
            matches!(found.result, Ok(Ruling::Legal(Some(ref order))) if *order == [0, 2, 1]),
            "{found:?}"
        );
        let found = judge_object(&model, &wrong, &limits);
        assert_eq!(found.monitor, Monitor::Rejected, "{model:?}");
        assert!(matches!(found.result, Ok(Ruling::Illegal { .. })), "{found:?}");
    }
    // What is right is taken, and shrunk.
    let model = Stubborn { says: Some(Answer::Illegal(vec![0, 1, 2])) };
    let found = judge_object(&model, &wrong, &limits);
    assert_eq!((found.monitor, found.explored), (Monitor::Proven, 0));
}

/// Sixteen additions at once, of which any subset may be what a read saw.
fn subset_sum(seen: i64, easy: u64) -> Vec<Timed<Count>> {
    let mut calls = Vec::new();
    for at in 0..easy {
        calls.push(Timed { call: Count::Read(0), start: 2 * at, end: 2 * at + 1 });
    }
    for at in 0..16 {
        calls.push(Timed { call: Count::Add(1 << at), start: 1_000 + at, end: 3_000 });
    }
    calls.push(Timed { call: Count::Read(seen), start: 1_100, end: 1_200 });
    calls
}

#[test]
fn a_race_comes_to_the_same_answer() {
    let model = Counter { hints: false };
    let legal = judge_calls(&model, &subset_sum(0xABCD, 10), &Budget::default());
    assert!(matches!(legal, Decision::Legal(Some(_))), "{legal:?}");
    let illegal = judge_calls(&model, &subset_sum(1 << 16, 10), &Budget::default());
    let Decision::Illegal(violation) = illegal else { panic!("{illegal:?}") };
    assert_eq!(violation.failing, Some(26));
    assert_eq!(violation.states_total, 1 << 16);
}

#[test]
fn without_time_or_memory_it_says_how_far_it_came() {
    let model = Counter { hints: false };
    let calls = subset_sum(1 << 16, 100);
    let starved = |memory_bytes, time_ms| {
        let budget = Budget { memory_bytes, time_ms, shrink_ms: 0 };
        match judge_calls(&model, &calls, &budget) {
            Decision::Undecided { why, after } => (why, after),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(starved(1 << 20, 60_000), ("out of memory budget".to_owned(), Some((100, 117))));
    assert_eq!(starved(0, 60_000), ("out of memory budget".to_owned(), Some((0, 117))));
    assert_eq!(starved(1 << 30, 0), ("out of time".to_owned(), Some((0, 117))));
}

#[test]
fn a_call_that_ends_before_it_begins_is_not_judged() {
    let calls = [Timed { call: Count::Add(1), start: 5, end: 4 }];
    let decision = judge_calls(&Counter { hints: true }, &calls, &Budget::default());
    assert!(matches!(decision, Decision::Undecided { .. }), "{decision:?}");
}

#[test]
fn the_first_violation_ends_it_unless_all_are_wanted() {
    let model = Counter { hints: true };
    let read = |n, start| Timed { call: Count::Read(n), start, end: start + 1 };
    let good: Vec<Timed<Count>> = (0..500).map(|at| read(0, 2 * at)).collect();
    // The third largest and the smallest have no order.
    let bad =
        |n: u64| -> Vec<Timed<Count>> { (0..n).map(|at| read(i64::from(at + 1 == n), 2 * at)).collect() };
    let objects = [bad(10), good[..400].to_vec(), good.clone(), bad(450), good[..440].to_vec(), good.clone()];
    let slices: Vec<Option<&[Timed<Count>]>> = objects.iter().map(|o| Some(&**o)).collect();
    let judge = |all| {
        let plan = Plan { deadline: None, memory_bytes: 1 << 28, all };
        let found = judge_all(&model, &slices, plan);
        let violates = |found: &Found<i64>| matches!(found.result, Ok(Ruling::Illegal { .. }));
        found.iter().map(|found| found.as_ref().map(violates)).collect::<Vec<_>>()
    };
    let (yes, no) = (Some(true), Some(false));
    for _ in 0..20 {
        assert_eq!(judge(false), [None, None, no, yes, None, no]);
        assert_eq!(judge(true), [yes, no, no, yes, no, no]);
    }
}

/// The hard object is judged first, for it is the largest, and would take for ever.
#[test]
fn a_hard_object_leaves_time_for_the_others() {
    let model = Counter { hints: false };
    let mut hard = subset_sum(1 << 30, 100);
    hard.extend((16..30).map(|at| Timed { call: Count::Add(1 << at), start: 1_001 + at, end: 3_000 }));
    hard.sort_by_key(|call| call.start);
    let easy = [Timed { call: Count::Read(1), start: 0, end: 1 }];
    let plan = Plan { deadline: None, memory_bytes: 1 << 26, all: false };
    let found = judge_all(&model, &[Some(&hard), Some(&easy)], plan);
    assert!(found[0].is_none(), "left unjudged");
    assert!(matches!(found[1].as_ref().map(|f| &f.result), Some(Ok(Ruling::Illegal { .. }))));
}

#[test]
fn more_than_128_running_operations_are_told_apart() {
    let mut calls = vec![Timed { call: Count::Add(1), start: 150, end: 160 }];
    calls.extend((0..300).map(|at| Timed { call: Count::Read(at % 2), start: 0, end: 200 + at as u64 }));
    let legal = judge_calls(&Counter { hints: true }, &calls, &Budget::default());
    assert!(matches!(legal, Decision::Legal(Some(ref order)) if order.len() == 301), "{legal:?}");
    calls.push(Timed { call: Count::Read(0), start: 900, end: 901 });
    let illegal = judge_calls(&Counter { hints: true }, &calls, &Budget::default());
    assert!(matches!(illegal, Decision::Illegal(ref v) if v.failing == Some(301)), "{illegal:?}");
}

#[test]
fn a_long_history_keeps_its_order() {
    // Each write runs while the one before it is read, so there are always several configurations.
    let mut calls = Vec::new();
    for at in 0..20_000_u64 {
        calls.push(Timed { call: Count::Add(at as i64 % 3), start: 4 * at, end: 4 * at + 7 });
        let sum: i64 = (0..at).map(|n| n as i64 % 3).sum();
        calls.push(Timed { call: Count::Read(sum), start: 4 * at + 1, end: 4 * at + 3 });
    }
    let model = Bare(Counter { hints: true });
    let decision = judge_calls(&model, &calls, &Budget::default());
    let Decision::Legal(Some(order)) = decision else { panic!("no order") };
    assert_eq!(order.len(), calls.len());
}

#[test]
#[ignore = "long"]
fn every_search_agrees_on_ten_million_histories() {
    let n = 1_000_000;
    every_search_agrees(&Register::default(), n, &ask_register);
    every_search_agrees(&Counter { hints: true }, n, &|r, s, right| ask_count(r, s, right, 0, 8));
    every_search_agrees(&Counter { hints: true }, n, &|r, s, right| ask_count(r, s, right, -1, 10));
    every_search_agrees(&Counter { hints: true }, n, &|r, s, right| ask_count(r, s, right, 1, 9));
    every_search_agrees(&Leaky, n, &ask_leaky);
}
