//! How far event time can have come, and must have come, at a moment of the run: what a watermark is measured by.
//!
//! The agreed time is what two sources have reached with events that were accepted. It is at least what follows from those
//! whose acceptance had been answered, and at most what follows from all that had been sent and may have been accepted.
//! While nothing is accepted for the idle time that nodes declare, or longer, event time goes on with the time that passes.

use std::collections::BTreeMap;

use super::observed::{Observed, Sent};

pub(super) const NS_PER_MS: u64 = 1_000_000;
/// Times in milliseconds are rounded, at both ends.
const ROUNDED_MS: u64 = 2;

/// Agreed time by the moment from which on it holds, in nanoseconds; it only grows.
struct Agreed(Vec<(u64, u64)>);

impl Agreed {
    /// From moments, sources and timestamps.
    fn of<'a>(events: impl Iterator<Item = (u64, &'a str, u64)>) -> Self {
        let mut events: Vec<_> = events.collect();
        events.sort_unstable();
        let mut marks: BTreeMap<&str, u64> = BTreeMap::new();
        let mut agreed = Vec::new();
        for (at_ns, source, timestamp) in events {
            let mark = marks.entry(source).or_default();
            *mark = timestamp.max(*mark);
            let mut latest: Vec<u64> = marks.values().copied().collect();
            latest.sort_unstable_by(|a, b| b.cmp(a));
            agreed.extend(latest.get(1).map(|second| (at_ns, *second)));
        }
        Agreed(agreed)
    }

    /// What holds from before this moment on.
    fn before(&self, at_ns: u64) -> Option<u64> {
        let place = self.0.partition_point(|(from, _)| *from < at_ns);
        place.checked_sub(1).map(|place| self.0[place].1)
    }
}

/// A time in which it may be that nothing was accepted.
struct Gap {
    from_ns: u64,
    to_ns: u64,
    /// How far event time can have come by this gap or one before it.
    reached: u64,
}

/// Bounds of event time.
pub(super) struct Marks {
    certain: Agreed,
    possible: Agreed,
    gaps: Vec<Gap>,
    idle_ns: u64,
}

impl Marks {
    pub(super) fn of(observed: &Observed<'_>) -> Self {
        let accepted = |sent: &Sent<'_>| sent.accepted_ns();
        let certain = observed
            .sent
            .values()
            .filter_map(|sent| Some((accepted(sent)?, &*sent.event.source, sent.event.timestamp)));
        let possible = observed
            .sent
            .values()
            .filter_map(|sent| Some((sent.possible_ns()?, &*sent.event.source, sent.event.timestamp)));
        let (certain, possible) = (Agreed::of(certain), Agreed::of(possible));
        // What a node measures is rounded, too.
        let idle_ms = observed.statuses.iter().map(|(status, ..)| status.idle_ms).min().unwrap_or(0);
        let idle_ns = idle_ms.saturating_sub(ROUNDED_MS).saturating_mul(NS_PER_MS);
        let gaps = gaps(observed, &possible, idle_ns);
        Marks { certain, possible, gaps, idle_ns }
    }

    /// The least that event time was at this moment.
    pub(super) fn at_least(&self, at_ns: u64) -> u64 {
        self.agreed(at_ns).unwrap_or(0)
    }

    /// The least that the agreed time was at this moment; `None` if there may have been none.
    pub(super) fn agreed(&self, at_ns: u64) -> Option<u64> {
        self.certain.before(at_ns)
    }

    /// The most that it can have been.
    pub(super) fn at_most(&self, at_ns: u64) -> u64 {
        let agreed = self.possible.before(at_ns).unwrap_or(0);
        let over = self.gaps.partition_point(|gap| gap.to_ns <= at_ns);
        let past = over.checked_sub(1).map_or(0, |last| self.gaps[last].reached);
        // Of those that are not over the first is the longest.
        let quiet_ns = self.gaps.get(over).map_or(0, |gap| at_ns.saturating_sub(gap.from_ns));
        past.max(agreed.saturating_add(passed_ms(quiet_ns, self.idle_ns))) + ROUNDED_MS
    }
}

/// By how much event time can have gone on in a time of this length in which nothing was accepted.
fn passed_ms(quiet_ns: u64, idle_ns: u64) -> u64 {
    if quiet_ns < idle_ns { 0 } else { quiet_ns / NS_PER_MS }
}

/// For every event that was accepted, how long it may have been the last one. Each was accepted at some moment between
/// the beginning of its first attempt and the first answer. In front of them, the time in which only events may have been
/// accepted of which no answer tells.
fn gaps(observed: &Observed<'_>, possible: &Agreed, idle_ns: u64) -> Vec<Gap> {
    let spans = observed.sent.values().filter_map(|sent| Some((sent.began_ns()?, sent.accepted_ns()?)));
    let mut spans: Vec<(u64, u64)> = spans.collect();
    spans.sort_unstable();
    let mut to_ns = u64::MAX;
    let mut gaps: Vec<Gap> = Vec::new();
    for (from_ns, ended_ns) in spans.into_iter().rev() {
        gaps.push(Gap { from_ns, to_ns, reached: 0 });
        to_ns = to_ns.min(ended_ns);
    }
    let first_ns = observed.sent.values().filter_map(Sent::possible_ns).min();
    gaps.extend(first_ns.map(|from_ns| Gap { from_ns, to_ns, reached: 0 }));
    gaps.reverse();
    let mut reached = 0;
    for gap in &mut gaps {
        if let Some(agreed) = possible.before(gap.to_ns).filter(|_| gap.to_ns < u64::MAX) {
            let passed_ms = passed_ms(gap.to_ns.saturating_sub(gap.from_ns), idle_ns);
            reached = reached.max(agreed.saturating_add(passed_ms));
        }
        gap.reached = reached;
    }
    gaps
}
