//! The database's table of leases: which cache may have copies, until when, and what is being written.
//!
//! A cache serves its copies only under a lease. A lease is a *session*, renewed again and again; while it lasts the
//! cache is told of every write before the write is done. Invariants:
//! - a write is done when every cache whose lease had not run out has confirmed that it has no older copy, or that
//!   lease has run out in the meantime;
//! - a session of which anything was not confirmed, or that ran out, is never renewed: the cache begins a new one,
//!   without copies. A session ends for others only by time, not because the next one begins: the request for
//!   it may have been under way for long, and the cache serve under another one by now;
//! - what is read while it is being written is not to be copied: a session that began after the caches to be told
//!   were counted would not hear of the write.
//!
//! Source: Gray and Cheriton, "Leases: An Efficient Fault-Tolerant Mechanism for Distributed File Cache Consistency",
//! SOSP 1989. All times are of the database's own clock, see `clock.rs`.

use std::collections::HashSet;
use std::time::Duration;

use ordeal_kit::Id;
use serde::{Deserialize, Serialize};

use crate::bugs::Bug;
use crate::clock::Terms;

/// The lease of a cache, as the database knows it.
#[derive(Clone, Copy, Debug)]
struct Lease {
    /// None: from an earlier life of the database.
    session: Option<u64>,
    /// When it has certainly run out at the cache.
    until: Duration,
    /// It missed something, and is not renewed.
    closed: bool,
}

/// A cache under a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Holder {
    /// Which of the nodes it is.
    pub(crate) cache: usize,
    /// None: from an earlier life of the database.
    pub(crate) session: Option<u64>,
}

/// The table.
#[derive(Debug)]
pub(crate) struct Leases {
    terms: Terms,
    bug: Option<Bug>,
    /// By node. The database's own place is one that has run out from the start.
    leases: Vec<Lease>,
    /// The last session that was begun.
    last: u64,
    written: HashSet<Id>,
}

impl Leases {
    /// The table of a database that begins its `life`-th life as node `own` of `nodes`. Any cache may have a lease
    /// that was granted just before the last life ended.
    pub(crate) fn new(
        terms: Terms,
        (own, nodes): (usize, usize),
        life: u32,
        now: Duration,
        bug: Option<Bug>,
    ) -> Self {
        let earlier = if bug == Some(Bug::LeasesForgotten) { now } else { now + terms.waited_for() };
        let lease = |node| Lease {
            session: None,
            until: if node == own { Duration::ZERO } else { earlier },
            closed: false,
        };
        let leases = (0..nodes).map(lease).collect();
        Leases { terms, bug, leases, last: u64::from(life) << 32, written: HashSet::new() }
    }

    /// Begins a session of a cache, which has no copies.
    pub(crate) fn begin(&mut self, cache: usize, now: Duration) -> u64 {
        self.last += 1;
        self.leases[cache] =
            Lease { session: Some(self.last), until: now + self.terms.waited_for(), closed: false };
        self.last
    }

    /// Renews a lease; false if the session is over.
    pub(crate) fn renew(&mut self, cache: usize, session: u64, now: Duration) -> bool {
        let terms = self.terms;
        let lapsed_is_fine = self.bug == Some(Bug::LapsedLeaseRenewed);
        let lease = &mut self.leases[cache];
        let missed = !lapsed_is_fine && (lease.closed || now > lease.until);
        if lease.session != Some(session) || missed {
            return false;
        }
        lease.until = now + terms.waited_for();
        true
    }

    /// Begins a write, and answers with the caches that may have an older copy. One write of a match at a time.
    pub(crate) fn begin_write(&mut self, of: &Id, now: Duration) -> Vec<Holder> {
        self.written.insert(of.clone());
        let held = |(cache, lease): (usize, &Lease)| {
            (now <= lease.until).then_some(Holder { cache, session: lease.session })
        };
        self.leases.iter().enumerate().filter_map(held).collect()
    }

    /// Ends a write.
    pub(crate) fn end_write(&mut self, of: &Id) {
        self.written.remove(of);
    }

    /// The holder did not confirm something. Answers with the time at which its lease has run out for sure.
    pub(crate) fn close(&mut self, holder: Holder, now: Duration) -> Duration {
        let lease = &mut self.leases[holder.cache];
        if lease.session != holder.session {
            // Whenever it was renewed last, that was before now.
            return now + self.terms.waited_for();
        }
        lease.closed = true;
        lease.until
    }

    /// Whether what is read from now on may be copied: the cache will be told of every write that is not yet done.
    pub(crate) fn may_copy(&self, of: &Id, holder: Holder, now: Duration) -> bool {
        let lease = self.leases[holder.cache];
        let lasts = holder.session.is_some() && lease.session == holder.session && now <= lease.until;
        lasts && !lease.closed && !self.written.contains(of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Terms = Terms { lease: Duration::from_millis(1_000), drift_percent: 5 };

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn table(bug: Option<Bug>) -> Leases {
        Leases::new(LEASE, (0, 3), 1, ms(0), bug)
    }

    fn told(leases: &mut Leases, now: u64) -> Vec<usize> {
        let of = "m1".parse().unwrap();
        let holders = leases.begin_write(&of, ms(now));
        leases.end_write(&of);
        holders.iter().map(|holder| holder.cache).collect()
    }

    #[test]
    fn after_a_start_every_cache_may_have_a_lease_for_as_long_as_one_lasts() {
        assert_eq!(told(&mut table(None), 1_050), [1, 2]);
        assert_eq!(told(&mut table(None), 1_051), [0_usize; 0]);
        assert_eq!(told(&mut table(Some(Bug::LeasesForgotten)), 1), [0_usize; 0]);
    }

    #[test]
    fn a_lease_is_renewed_until_it_runs_out_or_something_was_missed() {
        let mut leases = table(None);
        let session = leases.begin(1, ms(2_000));
        assert!(leases.renew(1, session, ms(3_050)));
        assert!(!leases.renew(2, session, ms(3_050)), "it is another cache's");
        assert_eq!(told(&mut leases, 4_100), [1]);
        assert!(!leases.renew(1, session, ms(4_101)), "it ran out");
        let next = leases.begin(1, ms(5_000));
        assert!(next > session && !leases.renew(1, session, ms(5_000)));
        assert_eq!(leases.close(Holder { cache: 1, session: Some(next) }, ms(5_100)), ms(6_050));
        assert!(!leases.renew(1, next, ms(5_200)), "it missed something");
        assert_eq!(told(&mut leases, 6_050), [1], "it may serve to the end all the same");
    }

    #[test]
    fn a_session_that_another_one_followed_may_last_as_long_as_any() {
        let mut leases = table(None);
        let first = Holder { cache: 2, session: Some(leases.begin(2, ms(0))) };
        leases.begin(2, ms(100));
        assert_eq!(leases.close(first, ms(300)), ms(1_350));
    }

    #[test]
    fn what_is_being_written_is_not_copied_nor_without_a_lease() {
        let mut leases = table(None);
        let of: Id = "m1".parse().unwrap();
        let holder = Holder { cache: 1, session: Some(leases.begin(1, ms(0))) };
        assert!(leases.may_copy(&of, holder, ms(1_050)));
        assert!(!leases.may_copy(&of, holder, ms(1_051)));
        assert!(!leases.may_copy(&of, Holder { cache: 2, session: None }, ms(0)), "of an earlier life");
        leases.begin_write(&of, ms(10));
        assert!(!leases.may_copy(&of, holder, ms(20)));
        assert!(leases.may_copy(&"m2".parse().unwrap(), holder, ms(20)));
        leases.end_write(&of);
        assert!(leases.may_copy(&of, holder, ms(30)));
    }
}
