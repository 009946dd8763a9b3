//! One directed link as the switch's thread sees it: what becomes of each packet, and when.
//!
//! Nothing in here reads a clock or a socket, so tests step it by hand. Each link has a generator of its
//! own and draws one number from it a packet, from which all dice of that packet descend: so the traffic of
//! one link never changes what happens on another, and the same packets meet the same fate under the same
//! seed, whatever else the rules of the link say.

use std::time::{Duration, Instant};

use ordeal_core::{Distribution, Rng};

use super::rules::Effective;

/// A packet that would have to wait longer for its turn on a link of limited rate is dropped.
const QUEUE_MAX: Duration = Duration::from_millis(200);
/// In such steps a growing rate is followed.
const RAMP_STEP: Duration = Duration::from_millis(10);
/// The shape of the Pareto (Lomax) distribution: half of the delays exceed the least by less than 0.42 of
/// the jitter, one in a hundred by more than 9 times the jitter.
const PARETO_SHAPE: f64 = 2.0;
/// The tail ends at so many times the jitter.
const PARETO_MAX: f64 = 100.0;

/// What becomes of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It vanishes.
    Dropped,
    /// It goes on.
    Sent {
        /// What is done to it on the way.
        change: Option<Change>,
        /// When it arrives.
        due: Instant,
        /// When a copy of it arrives.
        copy_due: Option<Instant>,
    },
}

/// What is done to a packet on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// A reset takes its place.
    Reset,
    /// A bit flips: which, descends from `die`.
    Flip { undetected: bool, die: u64 },
}

/// What a packet offers to rules that touch what it carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Carries {
    /// Bytes of TCP or UDP in which a bit can flip.
    pub(super) payload: bool,
    /// A segment of a TCP connection that can be reset.
    pub(super) stream: bool,
}

/// The state of one directed link.
#[derive(Debug)]
pub(super) struct Lane {
    rng: Rng,
    /// When the last packet will have left a link of limited rate.
    free_at: Option<Instant>,
}

impl Lane {
    pub(super) fn new(rng: Rng) -> Self {
        Lane { rng, free_at: None }
    }

    /// Decides about a packet that came at `now`.
    ///
    /// A limited rate comes first, like the queue at the sender's end of a line, then the line's delay. As
    /// long as a rule stands, a steady delay keeps the packets in order; when it is taken back, what comes
    /// later is not held up by what is still on its way.
    pub(super) fn judge(&mut self, rule: &Effective, now: Instant, bytes: usize, carries: Carries) -> Fate {
        let mut dice = Rng::new(self.rng.next_u64());
        if rule.is_down(now) || dice.chance(rule.loss) {
            return Fate::Dropped;
        }
        let change = change(rule, &mut dice, carries);
        let doubled = dice.chance(rule.duplicate);
        let Some(start) = self.transmit(rule, now, bytes) else {
            return Fate::Dropped;
        };
        let due = start + wait(rule, &mut dice);
        // A copy that finds no room is not made.
        let copy_start = if doubled { self.transmit(rule, now, bytes) } else { None };
        let copy_due = copy_start.map(|start| start + wait(rule, &mut dice));
        Fate::Sent { change, due, copy_due }
    }

    /// When the packet has left a link of limited rate; `None` if it is dropped at the end of its queue.
    fn transmit(&mut self, rule: &Effective, now: Instant, bytes: usize) -> Option<Instant> {
        if rule.rate_bps(now).is_none() {
            self.free_at = None;
            return Some(now);
        }
        let start = self.free_at.map_or(now, |free| free.max(now));
        if start - now > QUEUE_MAX {
            return None;
        }
        let end = transmitted(rule, start, bytes);
        self.free_at = Some(end);
        Some(end)
    }
}

/// When the last bit has left whose first leaves at `start`, at a rate that may grow in the meantime.
fn transmitted(rule: &Effective, start: Instant, bytes: usize) -> Instant {
    let (mut left_bits, mut at) = (bytes as f64 * 8.0, start);
    while let Some(bps) = rule.rate_bps(at) {
        let rest = Duration::from_secs_f64(left_bits / bps);
        if rest <= RAMP_STEP || !rule.is_growing(at) {
            return at + rest;
        }
        left_bits -= bps * RAMP_STEP.as_secs_f64();
        at += RAMP_STEP;
    }
    at
}

/// A reset goes before a flipped bit, and a packet has at most one bit flipped.
fn change(rule: &Effective, dice: &mut Rng, carries: Carries) -> Option<Change> {
    if carries.stream && dice.chance(rule.reset) {
        return Some(Change::Reset);
    }
    let undetected = dice.chance(rule.corrupt_undetected);
    let flips = carries.payload && (undetected || dice.chance(rule.corrupt_detected));
    flips.then(|| Change::Flip { undetected, die: dice.next_u64() })
}

/// How long a packet is on its way.
fn wait(rule: &Effective, dice: &mut Rng) -> Duration {
    if rule.reorder > 0.0 && dice.chance(rule.reorder) {
        return Duration::ZERO;
    }
    let least_us = if rule.reorder > 0.0 { rule.reorder_us } else { 0 };
    let mean_us = rule.delay_us;
    let us = match rule.jitter_us {
        0 => mean_us,
        jitter_us => scattered(mean_us, jitter_us, rule.distribution, dice),
    };
    Duration::from_micros(us.max(least_us))
}

/// A delay of the given mean, in microseconds; never below zero.
fn scattered(mean_us: u64, jitter_us: u64, distribution: Distribution, dice: &mut Rng) -> u64 {
    // In (0, 1]: its logarithm is finite.
    let mut unit = || ((dice.next_u64() >> 11) + 1) as f64 / (1_u64 << 53) as f64;
    let deviation = match distribution {
        Distribution::Uniform => 2.0 * unit() - 1.0,
        // Box & Muller 1958.
        Distribution::Normal => (-2.0 * unit().ln()).sqrt() * (std::f64::consts::TAU * unit()).cos(),
        Distribution::Pareto => {
            // Its mean is 1, so the delays' mean is as asked.
            let lomax = (PARETO_SHAPE - 1.0) * (unit().powf(-1.0 / PARETO_SHAPE) - 1.0);
            lomax.min(PARETO_MAX) - 1.0
        }
    };
    (mean_us as f64 + jitter_us as f64 * deviation).max(0.0).round() as u64
}

#[cfg(test)]
mod tests {
    use ordeal_core::LinkRule;

    use super::super::rules::{Owners, Standing};
    use super::*;

    const PLAIN: Carries = Carries { payload: false, stream: false };
    const STREAM: Carries = Carries { payload: true, stream: true };

    fn effective(rule: LinkRule, since: Instant) -> Effective {
        Effective::of(&Owners::from([("test", Standing { rule, since })])).expect("there is a rule")
    }

    /// The fates of packets that come one millisecond after another.
    fn fates(rule: LinkRule, seed: u64, packets: u32, carries: Carries) -> (Instant, Vec<Fate>) {
        let start = Instant::now();
        let rule = effective(rule, start);
        let mut lane = Lane::new(Rng::new(seed));
        let now = |i| start + Duration::from_millis(1) * i;
        (start, (0..packets).map(|i| lane.judge(&rule, now(i), 1_000, carries)).collect())
    }

    fn delays_us(rule: LinkRule, packets: u32) -> Vec<f64> {
        let (start, fates) = fates(rule, 7, packets, PLAIN);
        let delay = |(i, fate): (usize, &Fate)| match fate {
            Fate::Sent { due, .. } => (*due - start).as_secs_f64() * 1e6 - 1e3 * i as f64,
            Fate::Dropped => panic!("no loss was asked for"),
        };
        fates.iter().enumerate().map(delay).collect()
    }

    #[test]
    fn a_rule_that_says_nothing_lets_everything_pass_at_once() {
        let (start, fates) = fates(LinkRule::default(), 1, 3, STREAM);
        assert_eq!(fates[0], Fate::Sent { change: None, due: start, copy_due: None });
    }

    #[test]
    fn the_same_seed_loses_the_same_packets_whatever_else_the_rule_says() {
        let lost = |rule, seed| {
            let (_, fates) = fates(rule, seed, 2_000, STREAM);
            fates.into_iter().map(|fate| fate == Fate::Dropped).collect::<Vec<_>>()
        };
        let loss = LinkRule { loss: 0.1, ..LinkRule::default() };
        let more = LinkRule { jitter_us: 50, duplicate: 0.5, corrupt: 0.5, ..loss.clone() };
        let once = lost(loss.clone(), 1);
        assert_eq!(once, lost(loss.clone(), 1));
        assert_eq!(once, lost(more, 1));
        assert_ne!(once, lost(loss, 2));
        let share = once.iter().filter(|&&lost| lost).count();
        // 200 expected, standard deviation 13.
        assert!((130..270).contains(&share), "{share}");
    }

    #[test]
    fn delays_scatter_around_their_mean_as_asked() {
        let rule = |distribution| LinkRule {
            delay_us: 10_000,
            jitter_us: 2_000,
            distribution,
            ..LinkRule::default()
        };
        let mean = |d: &[f64]| d.iter().sum::<f64>() / d.len() as f64;
        let share = |d: &[f64], holds: fn(f64) -> bool| {
            d.iter().filter(|&&x| holds(x)).count() as f64 / d.len() as f64
        };
        let uniform = delays_us(rule(Distribution::Uniform), 20_000);
        assert!(uniform.iter().all(|d| (7_999.0..=12_001.0).contains(d)));
        assert!((mean(&uniform) - 10_000.0).abs() < 50.0, "{}", mean(&uniform));
        let normal = delays_us(rule(Distribution::Normal), 20_000);
        assert!((mean(&normal) - 10_000.0).abs() < 100.0, "{}", mean(&normal));
        let within = share(&normal, |d| (8_000.0..12_000.0).contains(&d));
        assert!((within - 0.683).abs() < 0.02, "{within}");
        let pareto = delays_us(rule(Distribution::Pareto), 20_000);
        assert!(pareto.iter().all(|&d| d >= 7_999.0));
        assert!((mean(&pareto) - 10_000.0).abs() < 500.0, "{}", mean(&pareto));
        let (low, far) = (share(&pareto, |d| d < 9_000.0), share(&pareto, |d| d > 26_000.0));
        // 1 - 1.5^-2 of all are less than half a jitter above the least, 10^-2 more than nine.
        assert!((low - 0.556).abs() < 0.02 && (0.005..0.02).contains(&far), "{low} {far}");
    }

    #[test]
    fn a_jitter_above_the_delay_never_goes_back_in_time() {
        for distribution in [Distribution::Uniform, Distribution::Normal, Distribution::Pareto] {
            let rule = LinkRule { delay_us: 10, jitter_us: 500, distribution, ..LinkRule::default() };
            assert!(delays_us(rule, 1_000).iter().all(|&d| d > -0.001));
        }
    }

    #[test]
    fn a_steady_delay_keeps_the_order_and_reordering_does_not() {
        let steady = delays_us(LinkRule { delay_us: 5_000, ..LinkRule::default() }, 100);
        assert!(steady.iter().all(|d| (d - 5_000.0).abs() < 0.001));
        let rule = LinkRule { delay_us: 100, reorder: 0.25, reorder_us: 3_000, ..LinkRule::default() };
        let reordered = delays_us(rule, 4_000);
        let overtaking = reordered.iter().filter(|&&d| d.abs() < 0.001).count();
        assert!((850..1_150).contains(&overtaking), "{overtaking}");
        assert!(reordered.iter().all(|d| d.abs() < 0.001 || (d - 3_000.0).abs() < 0.001));
    }

    #[test]
    fn a_limited_rate_spaces_packets_out_and_drops_those_that_would_queue_too_long() {
        // 1,000 bytes take 4 ms at 2 Mbit/s; one comes every millisecond.
        let rule = LinkRule { rate_bps: Some(2_000_000), ..LinkRule::default() };
        let (start, fates) = fates(rule, 1, 1_000, PLAIN);
        let due = |i: usize| match &fates[i] {
            Fate::Sent { due, .. } => *due - start,
            Fate::Dropped => panic!("packet {i} was dropped"),
        };
        assert_eq!([0, 1, 9].map(due), [4, 8, 40].map(Duration::from_millis));
        // The queue grows by 3 ms a packet until it is 200 ms long.
        let first_dropped = fates.iter().position(|fate| *fate == Fate::Dropped);
        assert_eq!(first_dropped, Some(67));
        let sent = fates.iter().filter(|fate| **fate != Fate::Dropped).count();
        assert!((295..=305).contains(&sent), "a quarter of what came, and the queue: {sent}");
    }

    #[test]
    fn only_packets_that_carry_something_are_changed() {
        let rule = LinkRule { corrupt: 1.0, reset: 0.5, ..LinkRule::default() };
        let changes = |carries| {
            let (_, fates) = fates(rule.clone(), 3, 200, carries);
            fates.into_iter().map(|fate| match fate {
                Fate::Sent { change, .. } => change,
                Fate::Dropped => panic!("no loss was asked for"),
            })
        };
        assert!(changes(PLAIN).all(|change| change.is_none()));
        let datagram = Carries { payload: true, stream: false };
        assert!(changes(datagram).all(|c| matches!(c, Some(Change::Flip { undetected: false, .. }))));
        let resets = changes(STREAM).filter(|c| *c == Some(Change::Reset)).count();
        assert!((65..135).contains(&resets), "{resets}");
    }

    #[test]
    fn copies_have_delays_of_their_own() {
        let rule = LinkRule { duplicate: 1.0, delay_us: 1_000, jitter_us: 1_000, ..LinkRule::default() };
        let (_, fates) = fates(rule, 5, 100, PLAIN);
        let apart = |fate: &Fate| matches!(fate, Fate::Sent { due, copy_due: Some(copy), .. } if due != copy);
        assert!(fates.iter().filter(|fate| apart(fate)).count() > 90);
    }
}
