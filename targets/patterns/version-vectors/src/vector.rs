//! Version vectors: how many updates of each warehouse something has seen.
//!
//! Source: Parker et al., "Detection of Mutual Inconsistency in Distributed Systems", IEEE TSE 1983. The updates
//! of a warehouse are numbered from 1 without gaps, so a number per warehouse names a set of updates: a vector
//! *contains* an update if it counts at least to its number. Of two vectors one covers the other, or they are
//! concurrent: each has seen something that the other has not.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The highest number taken from another node: one can always be added to it.
pub(crate) const NUMBER_MAX: u64 = 1 << 62;

/// One update: the warehouse that took it, and its number there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Dot {
    pub(crate) warehouse: String,
    pub(crate) number: u64,
}

/// A version vector. A warehouse that it does not name has done nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Vector(BTreeMap<String, u64>);

impl Vector {
    pub(crate) fn get(&self, warehouse: &str) -> u64 {
        self.0.get(warehouse).copied().unwrap_or(0)
    }

    pub(crate) fn set(&mut self, warehouse: &str, number: u64) {
        self.0.insert(warehouse.to_owned(), number);
    }

    pub(crate) fn contains(&self, dot: &Dot) -> bool {
        self.get(&dot.warehouse) >= dot.number
    }

    /// Whether it has seen all that the other one has.
    pub(crate) fn covers(&self, other: &Vector) -> bool {
        other.0.iter().all(|(warehouse, number)| self.get(warehouse) >= *number)
    }

    /// What either has seen: the least vector that covers both.
    pub(crate) fn join(&mut self, other: &Vector) {
        for (warehouse, number) in &other.0 {
            let own = self.0.entry(warehouse.clone()).or_default();
            *own = (*own).max(*number);
        }
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().map(|(warehouse, number)| (warehouse.as_str(), *number))
    }
}

impl PartialOrd for Vector {
    /// None: concurrent.
    fn partial_cmp(&self, other: &Vector) -> Option<Ordering> {
        match (self.covers(other), other.covers(self)) {
            (true, true) => Some(Ordering::Equal),
            (true, false) => Some(Ordering::Greater),
            (false, true) => Some(Ordering::Less),
            (false, false) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<Vector> {
        let of = |a, b, c| {
            let named = [("a", a), ("b", b), ("c", c)].into_iter().filter(|(_, number)| *number > 0);
            Vector(named.map(|(name, number)| (name.to_owned(), number)).collect())
        };
        (0..27).map(|n| of(n / 9, n / 3 % 3, n % 3)).collect()
    }

    fn join(a: &Vector, b: &Vector) -> Vector {
        let mut joined = a.clone();
        joined.join(b);
        joined
    }

    #[test]
    fn vectors_are_partially_ordered() {
        let all = all();
        for a in &all {
            assert_eq!(a.partial_cmp(a), Some(Ordering::Equal));
            for b in &all {
                assert_eq!(a.partial_cmp(b), b.partial_cmp(a).map(Ordering::reverse));
                assert_eq!(a == b, a.covers(b) && b.covers(a));
                for c in &all {
                    assert!(!(a.covers(b) && b.covers(c)) || a.covers(c));
                }
            }
        }
        let seen_of = |warehouse: &str| Vector([(warehouse.to_owned(), 1)].into());
        assert_eq!(seen_of("a").partial_cmp(&seen_of("b")), None);
    }

    #[test]
    fn a_join_is_the_least_vector_that_covers_both() {
        let all = all();
        for a in &all {
            assert_eq!(join(a, a), *a);
            for b in &all {
                let both = join(a, b);
                assert_eq!(both, join(b, a));
                assert!(both.covers(a) && both.covers(b));
                for c in &all {
                    assert_eq!(join(&both, c), join(a, &join(b, c)));
                    assert!(!(c.covers(a) && c.covers(b)) || c.covers(&both));
                }
            }
        }
    }
}
