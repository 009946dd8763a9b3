//! Random small histories for tests: an atomic object at work, some of whose answers are then spoiled.

use ordeal_core::{Operation, Rng, Timed};

use crate::testing::intervals;

/// What a drawn call may do.
#[derive(Clone, Copy)]
pub(super) struct Turn {
    /// Its end is unknown, and its result with it.
    pub(super) open: bool,
    /// It takes effect now; only an open call may not.
    pub(super) effect: bool,
}

/// Two to `most` calls, each made by `act` at a moment between its beginning and its end. Now and then
/// calls begin at the very moment at which others end.
pub(super) fn history<C>(
    rng: &mut Rng,
    most: u64,
    mut act: impl FnMut(&mut Rng, Turn) -> C,
) -> Vec<Timed<C>> {
    let n = rng.between(2, most) as usize;
    let width = rng.between(1, 6) as usize;
    let p_open = *rng.pick(&[0.0, 0.1, 0.3]);
    let times = intervals(rng, n, width, p_open);
    let grain = if rng.chance(0.2) { 2 } else { 1 };
    let last = 2 * n as u64 + 1;
    let mut points: Vec<(u64, u64, usize)> = Vec::with_capacity(n);
    for (i, &(start, end)) in times.iter().enumerate() {
        let until = if end == Operation::OPEN { 4 * last } else { end };
        points.push((rng.between(start, until), rng.next_u64(), i));
    }
    points.sort_unstable();
    let mut calls: Vec<Option<C>> = (0..n).map(|_| None).collect();
    for (_, _, i) in points {
        let open = times[i].1 == Operation::OPEN;
        let effect = !open || rng.chance(0.7);
        calls[i] = Some(act(rng, Turn { open, effect }));
    }
    let at = |time: u64| if time == Operation::OPEN { time } else { time / grain };
    let timed = calls.into_iter().zip(times);
    timed
        .filter_map(|(call, (start, end))| Some(Timed { call: call?, start: at(start), end: at(end) }))
        .collect()
}
