//! What tests of fast judges share: random small histories, and every order of them.

use ordeal_core::{Answer, Model, Operation, Rng, Timed};

use crate::verify::{Proof, verify};

/// Random times of `n` calls in order of their beginning, no two the same, at most `width` at once; with
/// probability `p_open` a call's end is unknown.
pub(crate) fn intervals(rng: &mut Rng, n: usize, width: usize, p_open: f64) -> Vec<(u64, u64)> {
    let mut times: Vec<(u64, u64)> = Vec::with_capacity(n);
    let mut running: Vec<usize> = Vec::new();
    let mut now = 0;
    while times.len() < n || !running.is_empty() {
        let begin = times.len() < n && running.len() < width && (running.is_empty() || rng.chance(0.5));
        if begin {
            running.push(times.len());
            times.push((now, Operation::OPEN));
        } else {
            let ended = running.swap_remove(rng.below(running.len() as u64) as usize);
            times[ended].1 = if rng.chance(p_open) { Operation::OPEN } else { now };
        }
        now += 1;
    }
    times
}

/// Whether some order explains the calls: every order is tried.
pub(crate) fn brute_force<M: Model>(model: &M, calls: &[Timed<M::Call>]) -> bool {
    try_all(model, calls, &model.init(), 0)
}

fn try_all<M: Model>(model: &M, calls: &[Timed<M::Call>], state: &M::State, placed: u64) -> bool {
    let waiting = |&i: &usize| placed & (1 << i) == 0;
    let ends = (0..calls.len()).filter(waiting).map(|i| calls[i].end);
    let first_end = ends.min().unwrap_or(Operation::OPEN);
    first_end == Operation::OPEN
        || (0..calls.len()).filter(waiting).filter(|&i| calls[i].start <= first_end).any(|i| {
            let mut after = model.step(state, &calls[i].call).into_iter();
            after.any(|after| try_all(model, calls, &after, placed | 1 << i))
        })
}

/// How a fast judge fared.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) legal: u64,
    pub(crate) illegal: u64,
    /// Histories that it would not judge.
    pub(crate) outside: u64,
}

/// Compares [`Model::monitor`] with every order of so many random histories, and checks its answers.
/// Panics where they differ, and if fewer than one in twenty histories was legal, or illegal.
pub(crate) fn differential<M: Model>(
    model: &M,
    histories: u64,
    draw: impl Fn(&mut Rng) -> Vec<Timed<M::Call>>,
) -> Tally {
    let mut tally = Tally::default();
    for seed in 0..histories {
        let calls = draw(&mut Rng::fork(seed, model.name()));
        let Some(answer) = model.monitor(&calls) else {
            tally.outside += 1;
            continue;
        };
        let legal = brute_force(model, &calls);
        assert_eq!(matches!(answer, Answer::Legal(_)), legal, "seed {seed}: {answer:?}\n{calls:#?}");
        let proof = verify(model, &calls, &answer);
        assert_eq!(proof, Proof::Holds, "seed {seed}: {answer:?}\n{calls:#?}");
        tally.legal += u64::from(legal);
        tally.illegal += u64::from(!legal);
    }
    assert!(tally.legal > histories / 20 && tally.illegal > histories / 20, "{tally:?}");
    tally
}
