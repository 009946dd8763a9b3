//! Which faults are in force on which links: what a probe must not take for the effect of its own fault.
//!
//! A fault enters its rules before it sets them and removes them after it took them back. So a probe that
//! asks before and after it measured knows at least everything that was in its way.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ordeal_core::LinkRule;

use crate::ends::Link;

type Owners = BTreeMap<&'static str, LinkRule>;

/// The rules of all faults on all links of a run.
#[derive(Debug, Default)]
pub struct InForce {
    rules: Mutex<BTreeMap<Link, Owners>>,
}

impl InForce {
    fn rules(&self) -> MutexGuard<'_, BTreeMap<Link, Owners>> {
        // A map is whole after every change, so another thread's panic has not spoilt it.
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters one fault's rule on these links, and takes away what it had on any.
    pub(crate) fn set(&self, owner: &'static str, links: impl IntoIterator<Item = Link>, rule: &LinkRule) {
        let mut rules = self.rules();
        rules.values_mut().for_each(|owners| _ = owners.remove(owner));
        for link in links {
            rules.entry(link).or_default().insert(owner, rule.clone());
        }
    }

    /// Takes away everything of one fault.
    pub(crate) fn clear(&self, owner: &'static str) {
        self.set(owner, [], &LinkRule::default());
    }

    /// What all others do on a link, added up.
    pub(crate) fn others(&self, owner: &str, link: Link) -> LinkRule {
        let rules = self.rules();
        let owners = rules.get(&link).into_iter().flatten();
        owners.filter(|(name, _)| **name != owner).fold(LinkRule::default(), |sum, (_, rule)| add(&sum, rule))
    }
}

/// What two rules on one link come to. Adding the same rule again changes a rule: shares add up. Corruption of
/// the second that a checksum notices counts as loss, which is what others see of it: so the two kinds of
/// corruption stay apart.
pub(crate) fn add(a: &LinkRule, b: &LinkRule) -> LinkRule {
    let either = |a: f64, b: f64| 1.0 - (1.0 - a) * (1.0 - b);
    let tighter = |a: Option<u64>, b: Option<u64>| a.into_iter().chain(b).min();
    let (refused, corrupt) = if b.corrupt_undetected { (0.0, b.corrupt) } else { (b.corrupt, 0.0) };
    LinkRule {
        cut: a.cut || b.cut,
        delay_us: a.delay_us + b.delay_us,
        jitter_us: a.jitter_us + b.jitter_us,
        distribution: if b.jitter_us > 0 { b.distribution } else { a.distribution },
        loss: either(a.loss, either(b.loss, refused)),
        duplicate: either(a.duplicate, b.duplicate),
        reorder: either(a.reorder, b.reorder),
        reorder_us: a.reorder_us.max(b.reorder_us),
        corrupt: either(a.corrupt, corrupt),
        corrupt_undetected: a.corrupt_undetected || b.corrupt_undetected,
        rate_bps: tighter(a.rate_bps, b.rate_bps),
        ramp_us: a.ramp_us.max(b.ramp_us),
        flap_us: tighter(a.flap_us, b.flap_us),
        reset: either(a.reset, b.reset),
    }
}

/// The longest that packets which arrive are held up by a rule, as far as that is bounded.
pub(crate) fn delay_us_max(rule: &LinkRule) -> u64 {
    let queue_us = if rule.rate_bps.is_some() { 200_000 } else { 0 };
    rule.delay_us + 4 * rule.jitter_us + rule.reorder_us + queue_us
}

#[cfg(test)]
mod tests {
    use ordeal_core::End;

    use super::*;

    const LINK: Link = (End::Node(0), End::Clients);

    #[test]
    fn others_are_added_up_and_oneself_is_not_among_them() {
        let in_force = InForce::default();
        let loss = LinkRule { loss: 0.5, ..LinkRule::default() };
        in_force.set("loss", [LINK], &loss);
        in_force.set("delay", [LINK], &LinkRule { delay_us: 5, loss: 0.5, ..LinkRule::default() });
        assert_eq!(in_force.others("delay", LINK), loss);
        let both = in_force.others("rate", LINK);
        assert_eq!((both.loss, both.delay_us), (0.75, 5));
        assert_eq!(in_force.others("rate", (End::Clients, End::Node(0))), LinkRule::default());
        in_force.set("corrupt", [LINK], &LinkRule { corrupt: 0.5, ..LinkRule::default() });
        let lossy = in_force.others("rate", LINK);
        assert_eq!((lossy.loss, lossy.corrupt), (0.875, 0.0), "corruption that is noticed is loss");
        in_force.clear("corrupt");
        in_force.set("delay", [(End::Node(1), End::Node(0))], &loss);
        assert_eq!(in_force.others("rate", LINK), loss, "what a fault had elsewhere is gone");
        in_force.clear("loss");
        assert_eq!(in_force.others("rate", LINK), LinkRule::default());
    }

    #[test]
    fn the_tightest_rate_counts_and_a_queue_delays() {
        let rate = |rate_bps| LinkRule { rate_bps, delay_us: 1, ..LinkRule::default() };
        let both = add(&rate(Some(9)), &rate(Some(7)));
        assert_eq!((both.rate_bps, delay_us_max(&both)), (Some(7), 200_002));
        assert_eq!(add(&rate(None), &rate(Some(7))).rate_bps, Some(7));
    }
}
