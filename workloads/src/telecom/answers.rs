//! What nodes answer, as far as the history keeps it; the client writes it, the judges read it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Who served a customer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct By {
    pub(super) node: String,
    pub(super) shard: u64,
    pub(super) epoch: u64,
}

/// A call that was recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Done {
    #[serde(flatten)]
    pub(super) by: By,
    /// How many calls the customer had after it.
    pub(super) version: u64,
    pub(super) plan: String,
    pub(super) balance: i64,
}

/// A customer as it was read; the calls as the numbers of their requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Customer {
    #[serde(flatten)]
    pub(super) by: By,
    /// How many calls it says there are.
    pub(super) version: u64,
    #[serde(deserialize_with = "Option::deserialize")]
    pub(super) plan: Option<String>,
    pub(super) balance: i64,
    pub(super) calls: Vec<u64>,
}

/// Who owns what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Routing {
    pub(super) epoch: u64,
    pub(super) shards: Vec<Shard>,
    /// The data nodes.
    pub(super) nodes: Vec<String>,
}

/// A shard, and its owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Shard {
    pub(super) shard: u64,
    /// From this customer on; none: from the first.
    #[serde(deserialize_with = "Option::deserialize")]
    pub(super) from: Option<String>,
    /// Up to this one, left out; none: to the last.
    #[serde(deserialize_with = "Option::deserialize")]
    pub(super) to: Option<String>,
    pub(super) node: String,
    pub(super) epoch: u64,
}

/// What the data nodes hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Load {
    pub(super) nodes: Vec<NodeLoad>,
}

/// What one data node holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct NodeLoad {
    pub(super) node: String,
    pub(super) capacity: f64,
    pub(super) rate: f64,
    /// How old this is; none: nothing is known of the node.
    #[serde(deserialize_with = "Option::deserialize")]
    pub(super) age_ms: Option<u64>,
    pub(super) shards: Vec<Held>,
}

/// A shard as a node holds it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Held {
    pub(super) shard: u64,
    pub(super) epoch: u64,
    pub(super) state: String,
    pub(super) customers: u64,
    pub(super) rate: f64,
}

/// Who served those who were visited, and how many nobody did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Visited {
    pub(super) served: BTreeMap<String, u64>,
    pub(super) unserved: u64,
}

/// The request id of a request, whose number is unique in a run.
pub(super) fn request_id(request: u64) -> String {
    format!("c{request}")
}

/// The number of a request id.
pub(super) fn request_of(id: &str) -> Option<u64> {
    id.strip_prefix('c')?.parse().ok()
}

/// The plan that a request asks for.
pub(super) fn plan_of(request: u64) -> String {
    format!("p{request}")
}

/// `region/id` in the order of the contract: by region, then by id.
pub(super) fn in_order(customer: &str) -> (&str, &str) {
    customer.split_once('/').unwrap_or((customer, ""))
}
