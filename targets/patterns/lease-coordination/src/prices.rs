//! What a price node keeps of a symbol, and when it takes a price: the place where fencing tokens are checked.
//!
//! A new holder first makes a majority of the price nodes promise to take nothing with an older token, and
//! learns from them the newest price that any of them took. So a price that a majority took is in every
//! later holder's hands, and an older holder can get nothing past a majority any more, whatever it believes
//! about its lease. (Lamport 2001; with the token as the number of the ballot.)

use std::collections::VecDeque;

use ordeal_kit::Id;
use serde::{Deserialize, Serialize};

/// How many requests of a symbol are remembered, so that a retry has no second effect.
const REMEMBERED: usize = 256;

/// Which price is newer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Version {
    /// The fencing token of the holder that wrote it.
    pub(crate) token: u64,
    /// Counts that holder's writes; 0 is the price it found.
    pub(crate) seq: u64,
}

/// A price as it is replicated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cell {
    pub(crate) version: Version,
    /// In the smallest unit of the currency.
    pub(crate) price: u64,
    /// The request that asked for it.
    pub(crate) request_id: Id,
}

/// The requests that took effect last, and with which version.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Recent(VecDeque<(Id, Version)>);

impl Recent {
    pub(crate) fn get(&self, request_id: &Id) -> Option<Version> {
        self.0.iter().find(|(id, _)| id == request_id).map(|(_, version)| *version)
    }

    pub(crate) fn push(&mut self, request_id: Id, version: Version) {
        if self.get(&request_id).is_none() {
            self.0.push_back((request_id, version));
        }
        if self.0.len() > REMEMBERED {
            self.0.pop_front();
        }
    }

    /// Adds what another node remembers.
    pub(crate) fn merge(&mut self, other: Recent) {
        let mut all: Vec<_> = self.0.drain(..).chain(other.0).collect();
        all.sort_by_key(|(_, version)| *version);
        all.into_iter().for_each(|(id, version)| self.push(id, version));
    }
}

/// What a new holder learns from a price node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Holding {
    /// The newest price that it took.
    pub(crate) cell: Option<Cell>,
    pub(crate) recent: Recent,
}

/// A holder with this newer token has been here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fenced {
    pub(crate) token: u64,
}

/// What a price node keeps of one symbol.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Symbol {
    /// Nothing with an older token is taken.
    pub(crate) fence: u64,
    pub(crate) holding: Holding,
    /// The length of its audit feed.
    pub(crate) audited: u64,
}

impl Symbol {
    /// Promises to take nothing older than this token, and shows what is here.
    pub(crate) fn fence(&mut self, token: u64) -> Result<Holding, Fenced> {
        if token < self.fence {
            return Err(Fenced { token: self.fence });
        }
        self.fence = token;
        Ok(self.holding.clone())
    }

    /// Takes a price, unless it is older than what was promised or taken. Taking the same one again changes
    /// nothing. `unchecked` is the defect. Answers whether anything changed.
    pub(crate) fn take(&mut self, cell: &Cell, unchecked: bool) -> Result<bool, Fenced> {
        let newest = self.holding.cell.as_ref().map(|cell| cell.version);
        if newest == Some(cell.version) {
            return Ok(false);
        }
        let stale = cell.version.token < self.fence || newest > Some(cell.version);
        if stale && !unchecked {
            return Err(Fenced { token: self.fence });
        }
        self.fence = self.fence.max(cell.version.token);
        self.holding.cell = Some(cell.clone());
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn cell(token: u64, seq: u64) -> Cell {
        let request_id = format!("r-{token}-{seq}").parse().unwrap();
        Cell { version: Version { token, seq }, price: token * 100 + seq, request_id }
    }

    #[test]
    fn nothing_with_an_older_token_is_taken_once_a_newer_one_was_here() {
        let mut symbol = Symbol::default();
        assert_eq!(symbol.fence(7), Ok(Holding::default()));
        assert_eq!(symbol.take(&cell(7, 1), false), Ok(true));
        assert_eq!(symbol.take(&cell(7, 1), false), Ok(false), "the same again");
        assert_eq!(symbol.fence(9).map(|found| found.cell), Ok(Some(cell(7, 1))));
        assert_eq!(symbol.take(&cell(7, 2), false), Err(Fenced { token: 9 }));
        assert_eq!(symbol.fence(8), Err(Fenced { token: 9 }));
        assert_eq!(symbol.take(&cell(9, 2), false), Ok(true));
        assert_eq!(symbol.take(&cell(9, 1), false), Err(Fenced { token: 9 }), "overtaken on the way");
        assert_eq!(symbol.take(&cell(12, 0), false), Ok(true));
        assert_eq!(symbol.fence, 12);
    }

    #[test]
    fn a_replica_that_does_not_check_takes_whatever_comes_last() {
        let mut symbol = Symbol::default();
        assert_eq!(symbol.take(&cell(9, 1), true), Ok(true));
        assert_eq!(symbol.take(&cell(7, 2), true), Ok(true));
        assert_eq!(symbol.holding.cell, Some(cell(7, 2)));
    }

    /// Holders write to three replicas; every message is lost, or comes in any order. A price that a majority
    /// took, however late, was found by every later holder, or something newer was.
    #[test]
    fn what_a_majority_took_is_never_missed() {
        let mut state = 1_u64;
        let mut below = |n: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % n
        };
        let mut majorities = 0;
        for _ in 0..20_000 {
            let mut replicas = vec![Symbol::default(); 3];
            let mut newest_found: BTreeMap<u64, Option<Version>> = BTreeMap::new();
            let mut votes: BTreeMap<Version, usize> = BTreeMap::new();
            let mut flying: Vec<(usize, Cell)> = Vec::new();
            for token in 1..=3 {
                let asked: Vec<usize> = (0..3).filter(|_| below(4) > 0).collect();
                let found: Vec<_> = asked.iter().filter_map(|&n| replicas[n].fence(token).ok()).collect();
                if found.len() >= 2 {
                    let newest = found.into_iter().filter_map(|f| f.cell).map(|cell| cell.version).max();
                    newest_found.insert(token, newest);
                    flying.extend((0..3).map(|n| (n, cell(token, 1))));
                }
                for _ in 0..below(6) {
                    if flying.is_empty() {
                        break;
                    }
                    let (n, cell) = flying.swap_remove(below(flying.len() as u64) as usize);
                    if replicas[n].take(&cell, false) == Ok(true) {
                        *votes.entry(cell.version).or_default() += 1;
                    }
                }
            }
            for (version, _) in votes.into_iter().filter(|(_, votes)| *votes >= 2) {
                majorities += 1;
                for (token, newest) in newest_found.range(version.token + 1..) {
                    assert!(*newest >= Some(version), "{token} missed {version:?}");
                }
            }
        }
        assert!(majorities > 10_000, "{majorities}");
    }

    #[test]
    fn requests_are_remembered_for_a_while() {
        let mut recent = Recent::default();
        for seq in 1..=REMEMBERED as u64 + 1 {
            let cell = cell(1, seq);
            recent.push(cell.request_id, cell.version);
        }
        assert_eq!(recent.get(&cell(1, 1).request_id), None);
        assert_eq!(recent.get(&cell(1, 2).request_id), Some(Version { token: 1, seq: 2 }));
        let mut other = Recent::default();
        other.push(cell(2, 1).request_id, Version { token: 2, seq: 1 });
        recent.merge(other);
        assert_eq!(recent.0.len(), REMEMBERED);
        assert!(recent.get(&cell(2, 1).request_id).is_some());
    }
}
