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

/// How long a lease lasts, and how far the clocks of two nodes may drift apart.
///
/// A holder counts from before it asked, the coordinators from after they granted; the holder's time is
/// shortened by the drift, theirs is lengthened. So the holder has stopped when they let anybody else in, as
/// long as no clock is too fast or too slow by more than the declared drift.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    pub(crate) lease: Duration,
    pub(crate) drift_percent: u32,
}

impl Terms {
    /// For how long a holder may rely on a lease, from before it asked for it.
    pub(crate) fn relied_on(&self) -> Duration {
        self.shortened(self.lease)
    }

    /// How long the coordinators wait after they saw it granted.
    pub(crate) fn waited_for(&self) -> Duration {
        self.lease * (100 + self.drift_percent) / 100
    }

    /// How often a holder renews, and others look whether it still does.
    pub(crate) fn renewal(&self) -> Duration {
        self.lease / 3
    }

    /// The part of a time that has certainly not passed while this clock says that it has not.
    pub(crate) fn shortened(&self, time: Duration) -> Duration {
        time * (100 - self.drift_percent) / 100
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_stops_before_the_coordinators_go_on_whatever_the_drift() {
        let terms = Terms { lease: Duration::from_secs(5), drift_percent: 5 };
        // The holder's clock is the slowest allowed, the coordinators' is the fastest.
        let holder = terms.relied_on().as_secs_f64() / 0.95;
        let coordinators = terms.waited_for().as_secs_f64() / 1.05;
        assert!(holder <= coordinators + 1e-9, "{holder} {coordinators}");
        assert!(terms.renewal() * 2 < terms.relied_on());
    }

    #[test]
    fn time_goes_on() {
        let clock = Clock::new(false);
        let first = clock.now();
        assert!(clock.now() >= first && first < Duration::from_secs(1));
        assert!(Clock::new(true).now() > Duration::from_secs(1_000_000_000), "since 1970");
    }
}
