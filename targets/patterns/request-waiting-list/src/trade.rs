//! What a trade is, what a node keeps of it, and which node does what.

use ordeal_kit::Id;
use serde::{Deserialize, Serialize};

/// The largest price, and the largest volume: sums of very many of them stay far below 2^63.
pub(crate) const AMOUNT_MAX: u64 = 1_000_000_000;

/// What a trade is about, and what every confirming node must agree on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Details {
    /// In cents.
    pub(crate) price: u64,
    /// How many were traded.
    pub(crate) volume: u64,
    pub(crate) counterparty: Id,
}

/// What became of a trade, once and for all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Decision {
    /// More than half of all nodes have confirmed these details.
    Confirmed(Details),
    /// All nodes have confirmed some details, but no majority the same ones: that can never change.
    Rejected,
}

/// What a node has on disk about one trade. Each field, once set, stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TradeCopy {
    /// The details that this node has confirmed: its one vote.
    pub(crate) vote: Option<Details>,
    /// The decision, as far as this node knows.
    pub(crate) decision: Option<Decision>,
    /// Whether this node, a settlement node, has confirmed the settlement.
    pub(crate) settlement: bool,
    /// Whether all settlement nodes have, as far as this node knows.
    pub(crate) settled: bool,
}

/// What a node is there for. All nodes confirm trades; settlement nodes also confirm settlements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    Trading,
    Clearing,
    Settlement,
}

/// The fewest nodes with which every role is there.
pub(crate) const NODES_MIN: usize = 3;

/// The role of each node, by its place: trading first, then clearing, settlement last. Of five nodes they are
/// two, one and two; of any other number two in five settle and one in five clears, at least one each.
pub(crate) fn roles(nodes: usize) -> Vec<Role> {
    let settlement = (nodes * 2 / 5).max(1);
    let clearing = (nodes / 5).max(1);
    let role = |place| match nodes - place {
        left if left <= settlement => Role::Settlement,
        left if left <= settlement + clearing => Role::Clearing,
        _ => Role::Trading,
    };
    (0..nodes).map(role).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_role_is_there_in_any_cluster() {
        use Role::{Clearing, Settlement, Trading};
        assert_eq!(roles(5), [Trading, Trading, Clearing, Settlement, Settlement]);
        assert_eq!(roles(3), [Trading, Clearing, Settlement]);
        for nodes in NODES_MIN..=9 {
            for role in [Trading, Clearing, Settlement] {
                assert!(roles(nodes).contains(&role), "{nodes} {role:?}");
            }
        }
    }
}
