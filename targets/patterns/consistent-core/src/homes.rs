//! Where the documents of a policy live: on [`COPIES`] of the data nodes, the same ones for all who ask.
//!
//! A document is acknowledged when most of its homes have it on disk, and most homes are asked when documents are
//! read: any two majorities meet, so what was acknowledged is found while one of three homes is down.

/// Copies of a document, or as many as there are data nodes.
const COPIES: usize = 3;

/// The data nodes as homes of documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Homes {
    /// The first data node; those before are the core.
    pub(crate) first: usize,
    /// How many data nodes there are.
    pub(crate) count: usize,
}

impl Homes {
    fn copies(self) -> usize {
        self.count.min(COPIES)
    }

    /// Most of the homes of a policy.
    pub(crate) fn quorum(self) -> usize {
        self.copies() / 2 + 1
    }

    /// The homes of a policy's documents, as positions among the peers.
    pub(crate) fn of(self, policy: &str) -> impl Iterator<Item = usize> + use<> {
        // FNV-1a, written out: the homes must be the same on every node and in every release.
        let hash = policy.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let start = (hash % self.count.max(1) as u64) as usize;
        (0..self.copies()).map(move |n| self.first + (start + n) % self.count)
    }

    /// All data nodes, beginning with one that depends on who asks.
    pub(crate) fn all_from(self, own: usize) -> impl Iterator<Item = usize> + use<> {
        (0..self.count).map(move |n| self.first + (own + n) % self.count)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn homes_are_different_data_nodes_and_all_are_used() {
        let homes = Homes { first: 3, count: 4 };
        let mut used = BTreeSet::new();
        for n in 0..50 {
            let of: BTreeSet<usize> = homes.of(&format!("p{n}")).collect();
            assert_eq!(of.len(), 3);
            used.extend(of);
        }
        assert_eq!(used, BTreeSet::from([3, 4, 5, 6]));
        assert_eq!(homes.quorum(), 2);
    }

    #[test]
    fn few_data_nodes_are_all_homes_and_none_is_none() {
        assert_eq!(Homes { first: 3, count: 1 }.of("p").collect::<Vec<_>>(), [3]);
        assert_eq!(Homes { first: 3, count: 2 }.quorum(), 2);
        assert_eq!(Homes { first: 3, count: 0 }.of("p").count(), 0);
        assert_eq!(Homes { first: 3, count: 4 }.all_from(1).collect::<Vec<_>>(), [4, 5, 6, 3]);
    }
}
