//! What nodes answer, as far as the history keeps it; the client writes it, the judges read it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What a trade is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Details {
    /// In cents.
    pub price: u64,
    /// How many were traded.
    pub volume: u64,
    /// With whom.
    pub counterparty: String,
}

/// How far a trade has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    None,
    Pending,
    Rejected,
    Confirmed,
    Settled,
}

/// The answer to a submission, to a settlement and to a read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Answer {
    pub(super) correlation_id: String,
    pub(super) status: Status,
    #[serde(deserialize_with = "Option::deserialize")]
    pub(super) details: Option<Details>,
}

/// A trade as one node has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Copy {
    pub(super) status: Status,
    #[serde(deserialize_with = "Option::deserialize")]
    pub(super) details: Option<Details>,
    /// The details that the node itself has confirmed.
    #[serde(deserialize_with = "Option::deserialize")]
    pub(super) vote: Option<Details>,
    pub(super) settlement_confirmed: bool,
}

/// A trade as one node has it, asked for alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct OwnCopy {
    pub(super) role: String,
    #[serde(flatten)]
    pub(super) copy: Copy,
}

/// All trades as one node has them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Copies {
    pub(super) node: String,
    pub(super) role: String,
    pub(super) copies: BTreeMap<String, Copy>,
}

/// A line of a ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Booking {
    pub(super) correlation_id: String,
    pub(super) counterparty: String,
    pub(super) volume: u64,
    /// What the counterparty's volumes add up to with this one.
    pub(super) position: u64,
}

/// All that one node has executed, in its order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ledger {
    pub(super) node: String,
    pub(super) bookings: Vec<Booking>,
}

/// A request that waits for other nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Pending {
    pub(super) correlation_id: String,
    pub(super) waits_for: String,
    pub(super) age_ms: u64,
}

/// The requests that wait at one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct WaitingList {
    /// How old an entry may become.
    pub(super) expiry_ms: u64,
    pub(super) pending: Vec<Pending>,
}
