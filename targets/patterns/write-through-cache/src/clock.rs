//! The clock that leases are measured by, and for how long a lease may be relied on.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Time since some moment that means nothing. Only differences on one node count.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
    wall: bool,
}

impl Clock {
    /// The monotonic clock, which nobody sets; `wall` is the defect.
    pub(crate) fn new(wall: bool) -> Self {
        Clock { start: Instant::now(), wall }
    }

    pub(crate) fn now(&self) -> Duration {
        if self.wall {
            return SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        }
        self.start.elapsed()
    }
}

/// How long a lease lasts, and how far a clock may go wrong.
///
/// A cache counts from before it asked, the database from after it granted; the cache's time is shortened by the
/// drift, the database's is lengthened. So the cache has stopped serving when the database no longer waits for it,
/// as long as no clock is too fast or too slow by more than the declared drift.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    pub(crate) lease: Duration,
    pub(crate) drift_percent: u32,
}

impl Terms {
    /// For how long a cache may rely on a lease, from before it asked for it.
    pub(crate) fn relied_on(&self) -> Duration {
        self.lease * (100 - self.drift_percent) / 100
    }

    /// How long the database waits for a cache, from when it granted the lease.
    pub(crate) fn waited_for(&self) -> Duration {
        self.lease * (100 + self.drift_percent) / 100
    }

    /// How often a cache renews its lease.
    pub(crate) fn renewal(&self) -> Duration {
        self.lease / 5
    }

    /// How long one of them waits for the other's answer about a lease or a copy. A cache can ask once more before its
    /// lease runs out; the database no longer renews the lease of a cache that confirmed nothing for so long.
    pub(crate) fn patience(&self) -> Duration {
        self.lease / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_stops_before_the_database_goes_on_whatever_the_drift() {
        for drift_percent in 0..=20 {
            let terms = Terms { lease: Duration::from_secs(1), drift_percent };
            let drift = f64::from(drift_percent) / 100.0;
            // The cache's clock is the slowest allowed, the database's is the fastest.
            let cache = terms.relied_on().as_secs_f64() / (1.0 - drift);
            let database = terms.waited_for().as_secs_f64() / (1.0 + drift);
            assert!(cache <= database + 1e-9, "{cache} {database}");
            assert!(terms.renewal() + terms.patience() < terms.relied_on());
        }
    }

    #[test]
    fn time_goes_on() {
        let clock = Clock::new(false);
        let first = clock.now();
        assert!(clock.now() >= first && first < Duration::from_secs(1));
        assert!(Clock::new(true).now() > Duration::from_secs(1_000_000_000), "since 1970");
    }
}
