//! What nodes answer, as far as the history keeps it; the client writes it, the judges read it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A transfer as it is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transfer {
    /// The same again is a retry.
    pub request_id: String,
    /// Who pays.
    pub from: String,
    /// Who is paid.
    pub to: String,
    /// In cents. No other transfer of the run has this amount.
    pub amount: i64,
}

/// An account that is to be opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opening {
    /// The same again is a retry.
    pub request_id: String,
    /// What it has at first, in cents.
    pub balance: i64,
}

/// An account at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Account {
    pub(super) id: String,
    pub(super) balance: i64,
    /// How many effects there were, the opening included.
    pub(super) version: u64,
}

/// A transfer that was made: both accounts just after it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Receipt {
    pub(super) request_id: String,
    pub(super) amount: i64,
    pub(super) from: Account,
    pub(super) to: Account,
}

/// Accounts at one moment; null is one that there is not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Balances {
    pub(super) balances: BTreeMap<String, Option<Account>>,
}

/// Who owns a partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Owned {
    pub(super) partition: u64,
    pub(super) node: String,
    pub(super) epoch: u64,
}

/// The map, and the partitions of the accounts that were asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Partitions {
    pub(super) partitions: Vec<Owned>,
    /// All members.
    pub(super) nodes: Vec<String>,
    pub(super) accounts: BTreeMap<String, u64>,
}
