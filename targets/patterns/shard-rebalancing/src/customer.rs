//! A customer's record, and what a request does to it.

use serde::{Deserialize, Serialize};

/// A call that was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Call {
    /// The request that recorded it.
    pub(crate) id: String,
    /// What it cost, in cents.
    pub(crate) cost: u64,
}

/// A customer. One of whom nothing was recorded is the default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Customer {
    pub(crate) plan: Option<String>,
    /// In cents: what all calls cost, below 0.
    pub(crate) balance: i64,
    /// In the order in which they were recorded.
    pub(crate) calls: Vec<Call>,
}

/// What a request asks: record a call, and change the plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Update {
    pub(crate) plan: String,
    pub(crate) cost: u64,
}

/// What became of a request, kept for retries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Receipt {
    pub(crate) update: Update,
    /// How many calls the customer had after it.
    pub(crate) version: u64,
    pub(crate) balance: i64,
}

impl Customer {
    /// Does what a request asks.
    pub(crate) fn record(&mut self, request: &str, update: Update) -> Receipt {
        self.plan = Some(update.plan.clone());
        self.balance = self.balance.saturating_sub_unsigned(update.cost);
        self.calls.push(Call { id: request.to_owned(), cost: update.cost });
        Receipt { version: self.calls.len() as u64, balance: self.balance, update }
    }
}

/// A customer as it is copied from node to node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) key: crate::key::Key,
    /// The shard's change that this customer's newest one was.
    pub(crate) seq: u64,
    pub(crate) customer: Customer,
    /// By request.
    pub(crate) receipts: Vec<(String, Receipt)>,
}
