//! How often each customer was asked for lately: a window that slides over monotonic time.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::key::Key;

/// What is looked back at.
pub(crate) const WINDOW: Duration = Duration::from_millis(2_000);
/// One slice of it.
const SLICE: Duration = Duration::from_millis(250);

/// Counts requests.
pub(crate) struct Meter {
    since: Instant,
    slices: Mutex<VecDeque<(Instant, HashMap<Key, u32>)>>,
}

impl Meter {
    /// Nothing was counted before this instant.
    pub(crate) fn new(now: Instant) -> Self {
        Meter { since: now, slices: Mutex::default() }
    }

    /// Counts a request that was served.
    pub(crate) fn count(&self, key: &Key, now: Instant) {
        let mut slices = self.slices.lock().unwrap_or_else(PoisonError::into_inner);
        if slices.back().is_none_or(|(begun, _)| now.duration_since(*begun) >= SLICE) {
            slices.push_back((now, HashMap::new()));
            slices.retain(|(begun, _)| now.duration_since(*begun) < WINDOW + SLICE);
        }
        if let Some((_, counts)) = slices.back_mut() {
            *counts.entry(key.clone()).or_default() += 1;
        }
    }

    /// Requests a second, by customer, in order; and whether a whole window was counted.
    pub(crate) fn rates(&self, now: Instant) -> (Vec<(Key, f64)>, bool) {
        let slices = self.slices.lock().unwrap_or_else(PoisonError::into_inner);
        let mut counts: BTreeMap<&Key, u32> = BTreeMap::new();
        for (_, slice) in slices.iter().filter(|(begun, _)| now.duration_since(*begun) < WINDOW) {
            for (key, count) in slice {
                *counts.entry(key).or_default() += count;
            }
        }
        let rate = |count| f64::from(count) / WINDOW.as_secs_f64();
        let rates = counts.into_iter().map(|(key, count)| (key.clone(), rate(count))).collect();
        (rates, now.duration_since(self.since) >= WINDOW)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_window_counts() {
        let start = Instant::now();
        let meter = Meter::new(start);
        let key = Key::try_from("r1/a".to_owned()).unwrap();
        for n in 0..40 {
            meter.count(&key, start + Duration::from_millis(100) * n);
        }
        let (rates, counted) = meter.rates(start + Duration::from_millis(4_000));
        assert!(counted && (rates[0].1 - 10.0).abs() < 1.5, "{rates:?}");
        assert_eq!(meter.rates(start + Duration::from_secs(9)).0, []);
        assert!(!meter.rates(start + Duration::from_secs(1)).1);
    }
}
