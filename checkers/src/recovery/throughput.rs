//! How soon after healing the load goes through again.

use ordeal_core::{EventKind, History, Process};

use crate::phases::{LOAD, Phases, WARM_UP};

/// Throughput is counted over so long.
const WINDOW_NS: u64 = 1_000_000_000;
/// Load without a fault for so long is long enough to tell that throughput does not come back.
const PATIENCE_NS: u64 = 10_000_000_000;

/// What became of throughput after the faults were healed, each time that none was left in force.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Throughput {
    /// For each time how long it took, in nanoseconds, until operations succeeded at half the rate of the
    /// warm-up or more.
    pub(super) back_ns: Vec<u64>,
    /// How often that was not seen within ten seconds.
    pub(super) not_back: u64,
}

impl Throughput {
    /// What the history tells; nothing if nothing succeeded before the first fault.
    pub(super) fn of(history: &History) -> Self {
        let mut throughput = Throughput::default();
        let ok: Vec<u64> = history
            .events
            .iter()
            .filter(|e| e.kind == EventKind::Ok && matches!(e.process, Process::Client(_)))
            .map(|e| e.time)
            .collect();
        let Some(needed) = half_of_warm_up(history, &ok) else { return throughput };
        for (from, to) in calm(history) {
            let mut windows = during(&ok, from, to).windows(needed);
            match windows.find(|window| window[needed - 1] - window[0] <= WINDOW_NS) {
                Some(window) if window[0] - from <= PATIENCE_NS => throughput.back_ns.push(window[0] - from),
                None if to - from < PATIENCE_NS + WINDOW_NS => {}
                _ => throughput.not_back += 1,
            }
        }
        throughput
    }
}

/// How many operations are half of what succeeds in a window during the warm-up.
fn half_of_warm_up(history: &History, ok: &[u64]) -> Option<usize> {
    let phases = Phases::of(history);
    let ((from, _), (to, _)) = (phases.began(WARM_UP)?, phases.began(LOAD)?);
    let succeeded = during(ok, from, to.checked_sub(1)?).len() as u128;
    let rate = succeeded * u128::from(WINDOW_NS) / u128::from(to.checked_sub(from).filter(|&ns| ns > 0)?);
    Some((rate as usize).div_ceil(2)).filter(|&n| n > 0)
}

/// The times from `from` to `to`, both included, of an ascending list.
fn during(times: &[u64], from: u64, to: u64) -> &[u64] {
    let end = times.partition_point(|&time| time <= to);
    let begin = times.partition_point(|&time| time < from);
    &times[begin.min(end)..end]
}

/// From when to when there was load and no fault after one: until the next is injected, or the load ends.
fn calm(history: &History) -> Vec<(u64, u64)> {
    let mut calm = Vec::new();
    let (mut in_force, mut since, mut loaded) = (0_u32, None, false);
    for event in history.events.iter().filter(|e| matches!(e.process, Process::Named(_))) {
        match (&*event.f, event.kind) {
            ("inject", EventKind::Invoke) => calm.extend(since.take().map(|from| (from, event.time))),
            ("inject", EventKind::Info) if event.value.get("error").is_none() => in_force += 1,
            ("heal", EventKind::Info) => {
                in_force = in_force.saturating_sub(1);
                since = (in_force == 0 && loaded).then_some(event.time);
            }
            ("phase", EventKind::Info) => {
                loaded = event.value == LOAD;
                calm.extend(since.take().map(|from| (from, event.time)));
            }
            _ => {}
        }
    }
    calm
}
