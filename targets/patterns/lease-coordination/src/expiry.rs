//! When a lease has expired: every coordinator watches every lease on its own monotonic clock.
//!
//! A coordinator counts from when it first sees a grant or a renewal applied, which is after its holder asked
//! for it. So what it finds to be overdue is over for the holder too, whoever led in the meantime: a new
//! leader relies on nothing but what it watched itself, and a restarted one begins to count anew.

use std::collections::BTreeMap;
use std::time::Duration;

use ordeal_kit::Id;

use crate::leases::{Leases, Period};

/// What a coordinator has seen of the leases.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    seen: BTreeMap<Id, (Period, Duration)>,
    /// The defect: what was renewed last at this place of the log, or before, counts as run out.
    forgotten: u64,
}

impl Watch {
    /// A watch that has seen nothing yet.
    pub(crate) fn new(forgotten: u64) -> Self {
        Watch { seen: BTreeMap::new(), forgotten }
    }

    /// Looks at the leases as they are now, and answers with those that have not changed for longer than
    /// `wait`.
    pub(crate) fn overdue(&mut self, leases: &Leases, now: Duration, wait: Duration) -> BTreeMap<Id, Period> {
        let seen_before = std::mem::take(&mut self.seen);
        let mut overdue = BTreeMap::new();
        for (symbol, lease) in &leases.0 {
            let period = lease.period;
            let before = seen_before.get(symbol).filter(|(before, _)| *before == period);
            let since = before.map_or(now, |(_, since)| *since);
            if now.saturating_sub(since) > wait || period.renewed <= self.forgotten {
                overdue.insert(symbol.clone(), period);
            }
            self.seen.insert(symbol.clone(), (period, since));
        }
        overdue
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::leases::Lease;

    const WAIT: Duration = Duration::from_millis(1_000);

    fn leases(renewed: u64) -> Leases {
        let lease = Lease { holder: "n4".parse().unwrap(), period: Period { token: 3, renewed } };
        Leases([("p1".parse().unwrap(), lease)].into())
    }

    fn overdue(watch: &mut Watch, renewed: u64, now_ms: u64) -> bool {
        !watch.overdue(&leases(renewed), Duration::from_millis(now_ms), WAIT).is_empty()
    }

    #[test]
    fn a_lease_is_overdue_when_it_was_not_renewed_for_its_whole_time() {
        let mut watch = Watch::new(0);
        assert!(!overdue(&mut watch, 3, 5_000), "it counts from when it is first seen");
        assert!(!overdue(&mut watch, 3, 6_000));
        assert!(overdue(&mut watch, 3, 6_001));
        assert!(!overdue(&mut watch, 9, 6_002), "it was renewed");
        assert!(overdue(&mut watch, 9, 7_003));
    }

    #[test]
    fn what_ended_and_was_granted_again_counts_anew() {
        let mut watch = Watch::new(0);
        assert!(!overdue(&mut watch, 3, 0));
        assert!(watch.overdue(&Leases::default(), Duration::from_secs(1), WAIT).is_empty());
        assert!(!overdue(&mut watch, 3, 5_000));
    }

    #[test]
    fn a_restart_begins_to_count_anew_unless_it_forgets() {
        assert!(!overdue(&mut Watch::new(0), 8, 77_000));
        assert!(overdue(&mut Watch::new(8), 8, 77_000));
        assert!(!overdue(&mut Watch::new(8), 9, 77_000));
    }
}
