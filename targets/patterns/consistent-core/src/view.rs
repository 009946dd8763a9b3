//! The core's policies as a data node has them: some version, whole, and on the way to the next one.

use crate::machine::{Change, Policies, PolicyAt};

/// Changes are missing between what a data node has and what it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gap {
    /// The version it needs next.
    pub(crate) wanted: u64,
    /// The version it got.
    pub(crate) got: u64,
}

impl Policies {
    /// The changes that are new here, if they follow on what is here without a gap. `blind` takes them
    /// as they come (bug `watch-gap`).
    pub(crate) fn next(&self, mut changes: Vec<Change>, blind: bool) -> Result<Vec<Change>, Gap> {
        changes.retain(|change| change.version > self.version);
        let wanted = self.version + 1;
        match changes.first() {
            Some(first) if first.version != wanted && !blind => Err(Gap { wanted, got: first.version }),
            _ => Ok(changes),
        }
    }

    /// Moves on by changes that [`Policies::next`] gave.
    pub(crate) fn advance(&mut self, changes: Vec<Change>) {
        for change in changes {
            self.version = change.version;
            self.rows.extend(change.rows);
        }
    }

    /// A policy as it is here.
    pub(crate) fn at(&self, policy: &str) -> PolicyAt {
        PolicyAt { version: self.version, policy: self.rows.get(policy).cloned() }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::machine::Policy;

    fn change(version: u64) -> Change {
        let policy = Policy { holder: format!("h{version}"), premium: 100, changed: version };
        Change { version, rows: BTreeMap::from([(format!("p{}", version % 3), policy)]) }
    }

    fn at(version: u64) -> Policies {
        let mut policies = Policies::default();
        policies.advance((1..=version).map(change).collect());
        policies
    }

    #[test]
    fn what_is_known_is_left_out_and_the_rest_is_taken() {
        let mut policies = at(5);
        let next = policies.next((3..=8).map(change).collect(), false).unwrap();
        assert_eq!(next.iter().map(|c| c.version).collect::<Vec<_>>(), [6, 7, 8]);
        policies.advance(next);
        assert_eq!(policies, at(8));
        assert_eq!(policies.next(Vec::new(), false), Ok(Vec::new()));
        assert_eq!(policies.next(vec![change(2)], false), Ok(Vec::new()));
    }

    #[test]
    fn a_gap_is_seen() {
        let later: Vec<_> = (8..=9).map(change).collect();
        assert_eq!(at(5).next(later.clone(), false), Err(Gap { wanted: 6, got: 8 }));
        assert_eq!(at(5).next(later.clone(), true), Ok(later));
    }
}
