//! What nodes say to each other. Clients' words are in `routes.rs`.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::conduct::Report;
use crate::customer::Row;
use crate::held::Order;
use crate::key::{Key, Range};
use crate::routing::{Routing, ShardId};

/// The leader of the metadata nodes to a data node: [`Tell`] → [`Report`].
pub(crate) const TELL: &str = "/internal/tell";
/// A target to its source: [`RowsOf`] → [`Page`].
pub(crate) const ROWS: &str = "/internal/rows";
/// Any node to a metadata node: [`Ask`] → `Result<serde_json::Value, Failure>`.
pub(crate) const ASK: &str = "/internal/ask";

/// The longest message: a page of customers that ends with the largest there can be.
pub(crate) const MESSAGE_BYTES_MAX: usize = 16 << 20;

/// What a data node is told.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Tell {
    /// The routing, if the node goes by an older one.
    pub(crate) routing: Option<Table>,
    pub(crate) orders: Vec<Order>,
}

/// Who owns what, as every node and client goes by it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Table {
    pub(crate) epoch: u64,
    /// In the order of their ranges.
    pub(crate) shards: Vec<Entry>,
    /// The data nodes.
    pub(crate) nodes: Vec<String>,
    /// Splits, moves and moves that were given up, so far.
    pub(crate) splits: u64,
    pub(crate) moves: u64,
    pub(crate) aborts: u64,
}

/// A shard in the table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) shard: ShardId,
    #[serde(flatten)]
    pub(crate) range: Range,
    pub(crate) node: String,
    pub(crate) address: SocketAddr,
    pub(crate) epoch: u64,
}

impl Table {
    /// The routing with the nodes' addresses.
    pub(crate) fn of(routing: &Routing, addresses: &BTreeMap<String, SocketAddr>) -> Table {
        let mut shards: Vec<Entry> = routing
            .shards
            .values()
            .filter_map(|shard| {
                Some(Entry {
                    shard: shard.shard,
                    range: shard.range.clone(),
                    node: shard.node.clone(),
                    address: *addresses.get(&shard.node)?,
                    epoch: shard.epoch,
                })
            })
            .collect();
        shards.sort_by(|a, b| a.range.from.cmp(&b.range.from));
        let nodes = routing.nodes.iter().cloned().collect();
        let Routing { epoch, splits, moves, aborts, .. } = *routing;
        Table { epoch, shards, nodes, splits, moves, aborts }
    }

    /// The shard that the customer is in.
    pub(crate) fn shard_of(&self, key: &Key) -> Option<&Entry> {
        self.shards.iter().find(|entry| entry.range.contains(key))
    }
}

/// Which rows a target wants.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct RowsOf {
    pub(crate) shard: ShardId,
    pub(crate) epoch: u64,
    /// Those that changed after this.
    pub(crate) after: u64,
    /// From this customer on.
    pub(crate) from: Option<Key>,
}

/// Some rows.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Page {
    pub(crate) rows: Vec<Row>,
    /// Where to go on; none if these were the last.
    pub(crate) next: Option<Key>,
    /// The shard's newest change.
    pub(crate) seq: u64,
    /// There will be no newer one.
    pub(crate) frozen: bool,
}

/// What only metadata nodes know, or decide.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Ask {
    /// The routing as it is: [`Table`].
    Routing,
    /// What the data nodes serve: [`Load`]. Only the leader knows; passed on to it once.
    Load { passed_on: bool },
    /// A data node joins: [`Table`].
    Join { request_id: String, node: String },
}

/// An error of one node on its way through another.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Failure {
    pub(crate) status: u16,
    pub(crate) error: String,
    pub(crate) definite: bool,
}

/// What the data nodes hold and serve.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Load {
    pub(crate) epoch: u64,
    pub(crate) nodes: Vec<NodeLoad>,
}

/// What one data node holds and serves.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct NodeLoad {
    pub(crate) node: String,
    /// In requests a second.
    pub(crate) capacity: u64,
    pub(crate) rate: f64,
    /// How old this is; none if the node has not been heard of.
    pub(crate) age_ms: Option<u64>,
    pub(crate) shards: Vec<ShardLoad>,
}

/// What there is of a shard at one node.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ShardLoad {
    pub(crate) shard: ShardId,
    pub(crate) epoch: u64,
    /// `owned`, `frozen` or `incoming`.
    pub(crate) state: String,
    pub(crate) customers: u64,
    pub(crate) rate: f64,
}

/// Everything of a report that clients are shown.
pub(crate) fn node_load(node: &str, capacity: u64, seen: Option<(&Report, u64)>) -> NodeLoad {
    let Some((report, age_ms)) = seen else {
        return NodeLoad { node: node.to_owned(), capacity, rate: 0.0, age_ms: None, shards: Vec::new() };
    };
    let rate_of = |range: &Range| -> f64 {
        report.load.iter().filter(|(key, _)| range.contains(key)).map(|(_, rate)| rate).sum()
    };
    let shards = report.held.records.iter().filter_map(|(shard, record)| {
        Some(ShardLoad {
            shard: *shard,
            epoch: record.epoch,
            state: record.state.name()?.to_owned(),
            customers: report.customers.get(shard).copied().unwrap_or(0),
            rate: rate_of(&record.range),
        })
    });
    let rate = report.load.iter().map(|(_, rate)| rate).sum();
    NodeLoad { node: node.to_owned(), capacity, rate, age_ms: Some(age_ms), shards: shards.collect() }
}
