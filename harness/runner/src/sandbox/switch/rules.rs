//! What faults have set on one directed link, and what comes out when several have.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ordeal_core::{Distribution, LinkRule};

/// Where a rate that grows begins: at this share of its full value.
const RAMP_START: f64 = 0.01;

/// A rule as one owner set it.
#[derive(Clone, Debug)]
pub(super) struct Standing {
    pub(super) rule: LinkRule,
    /// When it was set: what flaps or grows counts from here, whatever others set later.
    pub(super) since: Instant,
}

/// The rules on one directed link, by owner.
pub(super) type Owners = BTreeMap<&'static str, Standing>;

/// A rate limit.
#[derive(Clone, Debug)]
struct Rate {
    since: Instant,
    bps: u64,
    ramp: Duration,
}

/// A link that goes down and up in turns.
#[derive(Clone, Debug)]
struct Flap {
    since: Instant,
    turn: Duration,
}

/// What the rules of all owners of a link come to.
#[derive(Clone, Debug, Default)]
pub(super) struct Effective {
    cut: bool,
    pub(super) delay_us: u64,
    pub(super) jitter_us: u64,
    pub(super) distribution: Distribution,
    pub(super) loss: f64,
    pub(super) duplicate: f64,
    pub(super) reorder: f64,
    pub(super) reorder_us: u64,
    /// The share of packets with a flipped bit that the receiver's kernel notices.
    pub(super) corrupt_detected: f64,
    /// The share of packets with a flipped bit that reaches the application.
    pub(super) corrupt_undetected: f64,
    pub(super) reset: f64,
    rates: Vec<Rate>,
    flaps: Vec<Flap>,
}

impl Effective {
    /// Adds up the rules of all owners, as if the link were so many links in a row:
    ///
    /// - it is cut if any rule cuts it, and down while any flap is down;
    /// - delays and jitters add up, the distribution is that with the longest tail among those that have
    ///   jitter, and those that are overtaken wait the longest of the times;
    /// - loss, duplication, reordering, corruption and resets are independent chances;
    /// - the rate is the slowest of the moment.
    ///
    /// `None` if nothing comes out.
    pub(super) fn of(owners: &Owners) -> Option<Self> {
        let mut sum = Effective::default();
        for Standing { rule, since } in owners.values() {
            let since = *since;
            sum.cut |= rule.cut;
            sum.delay_us = sum.delay_us.saturating_add(rule.delay_us);
            if rule.jitter_us > 0 {
                sum.jitter_us = sum.jitter_us.saturating_add(rule.jitter_us);
                sum.distribution = longer_tail(sum.distribution, rule.distribution);
            }
            sum.loss = either(sum.loss, rule.loss);
            sum.duplicate = either(sum.duplicate, rule.duplicate);
            sum.reorder = either(sum.reorder, rule.reorder);
            if rule.reorder > 0.0 {
                sum.reorder_us = sum.reorder_us.max(rule.reorder_us);
            }
            let corrupt =
                if rule.corrupt_undetected { &mut sum.corrupt_undetected } else { &mut sum.corrupt_detected };
            *corrupt = either(*corrupt, rule.corrupt);
            sum.reset = either(sum.reset, rule.reset);
            let ramp = Duration::from_micros(rule.ramp_us);
            sum.rates.extend(rule.rate_bps.map(|bps| Rate { since, bps, ramp }));
            let turn = rule.flap_us.map(Duration::from_micros);
            sum.flaps.extend(turn.map(|turn| Flap { since, turn }));
        }
        (!owners.is_empty()).then_some(sum)
    }

    /// Whether nothing passes now.
    pub(super) fn is_down(&self, now: Instant) -> bool {
        let down = |flap: &Flap| {
            let turns = now.saturating_duration_since(flap.since).as_nanos() / flap.turn.as_nanos();
            turns.is_multiple_of(2)
        };
        self.cut || self.flaps.iter().any(down)
    }

    /// Bits per second now, if they are limited.
    pub(super) fn rate_bps(&self, now: Instant) -> Option<f64> {
        let grown = |rate: &Rate| {
            let age = now.saturating_duration_since(rate.since);
            let share = if age < rate.ramp { age.div_duration_f64(rate.ramp) } else { 1.0 };
            rate.bps as f64 * (RAMP_START + (1.0 - RAMP_START) * share)
        };
        self.rates.iter().map(grown).reduce(f64::min)
    }

    /// Whether a rate is still growing.
    pub(super) fn is_growing(&self, now: Instant) -> bool {
        self.rates.iter().any(|rate| now.saturating_duration_since(rate.since) < rate.ramp)
    }

    /// Whether anything is done with what a packet carries.
    pub(super) fn touches_payload(&self) -> bool {
        self.corrupt_detected > 0.0 || self.corrupt_undetected > 0.0 || self.reset > 0.0
    }
}

/// The chance that at least one of two independent things happens.
fn either(a: f64, b: f64) -> f64 {
    1.0 - (1.0 - a) * (1.0 - b)
}

fn longer_tail(a: Distribution, b: Distribution) -> Distribution {
    match (a, b) {
        (Distribution::Pareto, _) | (_, Distribution::Pareto) => Distribution::Pareto,
        (Distribution::Normal, _) | (_, Distribution::Normal) => Distribution::Normal,
        (Distribution::Uniform, Distribution::Uniform) => Distribution::Uniform,
    }
}

/// Refuses what no link can do.
pub(super) fn check(rule: &LinkRule) -> Result<(), String> {
    let shares = [
        ("loss", rule.loss),
        ("duplicate", rule.duplicate),
        ("reorder", rule.reorder),
        ("corrupt", rule.corrupt),
        ("reset", rule.reset),
    ];
    for (name, share) in shares {
        if !(0.0..=1.0).contains(&share) {
            return Err(format!("{name} is a share between 0 and 1, not {share}"));
        }
    }
    if rule.rate_bps == Some(0) {
        return Err("a rate of 0 bits per second is a cut, not a rate".to_owned());
    }
    if rule.flap_us == Some(0) {
        return Err("a link cannot be down and up for 0 microseconds".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owners(rules: &[LinkRule], since: Instant) -> Owners {
        let names = ["a", "b", "c"];
        let standing = |rule: &LinkRule| Standing { rule: rule.clone(), since };
        names.into_iter().zip(rules.iter().map(standing)).collect()
    }

    fn sum(rules: &[LinkRule]) -> Effective {
        Effective::of(&owners(rules, Instant::now())).expect("there are rules")
    }

    #[test]
    fn without_owners_nothing_is_in_force() {
        assert!(Effective::of(&Owners::new()).is_none());
    }

    #[test]
    fn delays_add_up_and_chances_are_independent() {
        let slow = LinkRule { delay_us: 1_000, jitter_us: 100, loss: 0.5, ..LinkRule::default() };
        let slower = LinkRule {
            delay_us: 2_000,
            jitter_us: 50,
            distribution: Distribution::Pareto,
            loss: 0.5,
            reorder: 0.1,
            reorder_us: 700,
            ..LinkRule::default()
        };
        let both = sum(&[slow, slower]);
        assert_eq!((both.delay_us, both.jitter_us, both.reorder_us), (3_000, 150, 700));
        assert_eq!(both.distribution, Distribution::Pareto);
        assert!((both.loss - 0.75).abs() < 1e-9 && (both.reorder - 0.1).abs() < 1e-9);
        assert!(!both.is_down(Instant::now()) && !both.touches_payload());
    }

    #[test]
    fn a_distribution_without_jitter_does_not_count() {
        let jitter = LinkRule { jitter_us: 5, distribution: Distribution::Normal, ..LinkRule::default() };
        let none = LinkRule { distribution: Distribution::Pareto, ..LinkRule::default() };
        assert_eq!(sum(&[jitter, none]).distribution, Distribution::Normal);
    }

    #[test]
    fn the_two_kinds_of_corruption_stay_apart() {
        let noticed = LinkRule { corrupt: 0.2, ..LinkRule::default() };
        let unnoticed = LinkRule { corrupt: 0.3, corrupt_undetected: true, ..LinkRule::default() };
        let both = sum(&[noticed, unnoticed]);
        assert!((both.corrupt_detected - 0.2).abs() < 1e-9 && (both.corrupt_undetected - 0.3).abs() < 1e-9);
        assert!(both.touches_payload());
    }

    #[test]
    fn any_cut_cuts_and_any_flap_takes_the_link_down() {
        let start = Instant::now();
        let cut = LinkRule { cut: true, ..LinkRule::default() };
        assert!(sum(&[LinkRule::default(), cut]).is_down(start));
        let flap = |flap_us| LinkRule { flap_us: Some(flap_us), ..LinkRule::default() };
        let both = Effective::of(&owners(&[flap(100), flap(300)], start)).expect("there are rules");
        let down_at = |us| both.is_down(start + Duration::from_micros(us));
        // Down 0..100 and 200..300 (and so on), and 0..300.
        assert_eq!(
            [0, 50, 150, 250, 350, 450, 550, 650].map(down_at),
            [true, true, true, true, false, true, false, true]
        );
    }

    #[test]
    fn the_slowest_rate_of_the_moment_counts_and_a_ramp_grows_from_a_hundredth() {
        let start = Instant::now();
        let steady = LinkRule { rate_bps: Some(500), ..LinkRule::default() };
        let growing = LinkRule { rate_bps: Some(1_000), ramp_us: 1_000_000, ..LinkRule::default() };
        let both = Effective::of(&owners(&[steady, growing], start)).expect("there are rules");
        let bps_at = |ms| both.rate_bps(start + Duration::from_millis(ms)).expect("limited").round() as u64;
        assert_eq!([0, 100, 400, 2_000].map(bps_at), [10, 109, 406, 500]);
    }

    #[test]
    fn what_no_link_can_do_is_refused() {
        let wrong = [
            LinkRule { loss: 1.5, ..LinkRule::default() },
            LinkRule { corrupt: f64::NAN, ..LinkRule::default() },
            LinkRule { rate_bps: Some(0), ..LinkRule::default() },
            LinkRule { flap_us: Some(0), ..LinkRule::default() },
        ];
        for rule in wrong {
            assert!(check(&rule).is_err(), "{rule:?}");
        }
        assert_eq!(check(&LinkRule { loss: 1.0, ..LinkRule::default() }), Ok(()));
    }
}
