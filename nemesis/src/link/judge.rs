//! What measurements on a link say about one fault, given what the others in force there do.

use ordeal_core::LinkRule;

use super::burst::Seen;

/// What was measured on one link.
pub(crate) struct Case<'a> {
    /// What the fault is meant to do.
    pub(crate) rule: &'a LinkRule,
    /// What all other faults do there.
    pub(crate) others: &'a LinkRule,
    pub(crate) seen: &'a Seen,
}

/// What it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The fault is in force: without it, this would not have been seen.
    There,
    /// It is not in force: with it, this would not have been seen.
    Absent,
    /// It could be either.
    Unclear,
}

/// How many datagrams make an effect on this share of them almost certain to be seen, within bounds.
pub(crate) fn enough_for(share: f64, most: u64) -> u64 {
    // Of 4 expected, none comes with a chance of 2 %.
    ((4.0 / share.max(1e-6)).ceil() as u64).clamp(60, most)
}

/// Judges by how many of `n` were hit. `others`: the share that other faults hit, if that is known.
pub(crate) fn by_share(n: u64, hits: u64, share: f64, others: Option<f64>) -> Verdict {
    let hits = hits as f64;
    let with = |others: f64| 1.0 - (1.0 - share) * (1.0 - others);
    let Some(others) = others else {
        // They may hit any number; but where none is hit, nothing is in force.
        return if hits == 0.0 && n as f64 * share >= 4.0 { Verdict::Absent } else { Verdict::Unclear };
    };
    let most_without = if others > 0.0 { plausible(n, others).1 } else { 0.0 };
    let (least, most) = plausible(n, with(others));
    if hits > most_without && (least..=most).contains(&hits) {
        Verdict::There
    } else if hits <= most_without && (hits < least || hits == 0.0 && n as f64 * share >= 4.0) {
        Verdict::Absent
    } else {
        Verdict::Unclear
    }
}

/// Between how many of `n` may be hit if each is with this chance: binomial, four standard deviations from
/// half the mean and from its double. Wide, because bursts are not independent draws: what is in one segment
/// or queue shares its fate.
fn plausible(n: u64, chance: f64) -> (f64, f64) {
    let mean = n as f64 * chance;
    let deviation = (mean * (1.0 - chance)).sqrt();
    (mean / 2.0 - 4.0 * deviation, 2.0 * mean + 4.0 * deviation + 1.0)
}

/// The share of datagrams that others make vanish; `None` if that can be any.
pub(crate) fn loss_by(others: &LinkRule) -> Option<f64> {
    if others.cut || others.flap_us.is_some() || others.rate_bps.is_some() {
        return None;
    }
    Some(others.loss)
}

#[cfg(test)]
mod tests {
    use super::Verdict::{Absent, There, Unclear};
    use super::*;

    #[test]
    fn a_share_is_there_if_it_is_seen_and_plausible() {
        for (n, hits, share, verdict) in [
            (400, 4, 0.01, There),
            (400, 1, 0.01, There),
            (400, 0, 0.01, Absent),
            (100, 0, 0.01, Unclear),
            (100, 90, 0.01, Unclear),
            (100, 30, 0.3, There),
            (100, 1, 0.5, Unclear),
            (100, 0, 0.5, Absent),
            (100, 100, 1.0, There),
            (0, 0, 0.5, Unclear),
        ] {
            assert_eq!(by_share(n, hits, share, Some(0.0)), verdict, "{hits} of {n} at {share}");
        }
    }

    #[test]
    fn what_others_do_is_not_claimed() {
        assert_eq!(by_share(200, 20, 0.05, Some(0.1)), Unclear);
        assert_eq!(by_share(400, 200, 0.5, Some(0.02)), There);
        assert_eq!(by_share(400, 8, 0.5, Some(0.02)), Absent);
        assert_eq!(by_share(400, 100, 0.5, None), Unclear);
        assert_eq!(by_share(400, 0, 0.5, None), Absent);
        let others = LinkRule { loss: 0.75, ..LinkRule::default() };
        assert_eq!(loss_by(&others), Some(0.75));
        assert_eq!(loss_by(&LinkRule { cut: true, ..others }), None);
    }

    #[test]
    fn enough_is_bounded() {
        assert_eq!((enough_for(0.01, 400), enough_for(0.5, 400), enough_for(1e-9, 400)), (400, 60, 400));
    }
}
