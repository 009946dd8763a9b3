//! A metadata node: tells the routing and the load, and takes nodes in. What the one that leads does besides is in
//! `conductor.rs`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::http::StatusCode;
use ordeal_kit::{ApiError, Id, PeerClient, encode};
use ordeal_raft::Consensus;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::Notify;

use crate::bugs::Bug;
use crate::conductor::Memory;
use crate::messages::{ASK, Ask, Failure, Load, Table, node_load};
use crate::routing::{Command, Routing};

/// A metadata node.
pub(crate) struct MetadataNode {
    pub(crate) core: Consensus<Routing>,
    pub(crate) peers: PeerClient,
    /// Where nodes are, by name.
    pub(crate) addresses: BTreeMap<String, SocketAddr>,
    /// The names of all nodes, in the order of the peers.
    pub(crate) names: Vec<String>,
    /// The first so many are metadata nodes.
    pub(crate) metadata: usize,
    /// The data nodes that are there from the beginning, and the regions that have a shard each.
    pub(crate) first: Vec<String>,
    pub(crate) regions: Vec<Id>,
    /// What a data node can serve, in requests a second.
    pub(crate) capacity: u64,
    /// What makes this life's proposals its own.
    pub(crate) life: String,
    pub(crate) bug: Option<Bug>,
    pub(crate) memory: Mutex<Memory>,
    pub(crate) news: Notify,
}

impl MetadataNode {
    pub(crate) fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers what only metadata nodes know, or decide.
    pub(crate) async fn answer(&self, ask: Ask) -> Result<Value, ApiError> {
        match ask {
            Ask::Routing => json(&self.table().await?),
            Ask::Load { passed_on } => self.load(passed_on).await,
            Ask::Join { request_id, node } => {
                let place = self.names.iter().position(|name| *name == node);
                if place.is_none_or(|place| place < self.metadata) {
                    return Err(ApiError::malformed(format!("{node} is no data node among --peers")));
                }
                // Before there are shards a join would have no effect, and a retry would be taken for done.
                self.table().await?;
                let join = Command::Join { node: node.clone() };
                self.core.propose(&format!("join-{request_id}"), &join).await?;
                // The node is in by now, though nobody may be able to say so.
                let table = self.table().await.map_err(|why| ApiError::maybe_done(why.reason))?;
                match table.nodes.contains(&node) {
                    true => json(&table),
                    false => Err(ApiError::conflict("this request id was used for another node")),
                }
            }
        }
    }

    /// The routing as it is.
    async fn table(&self) -> Result<Table, ApiError> {
        let table = self.core.read(|routing| Table::of(routing, &self.addresses)).await?;
        match table.epoch {
            0 => Err(ApiError::unavailable("there are no shards yet")),
            _ => Ok(table),
        }
    }

    /// What data nodes reported to the leader.
    async fn load(&self, passed_on: bool) -> Result<Value, ApiError> {
        if self.core.leads() {
            let (epoch, nodes) =
                self.core.local(|routing| (routing.epoch, routing.nodes.iter().cloned().collect::<Vec<_>>()));
            let memory = self.memory();
            let node = |name: &String| node_load(name, self.capacity, memory.seen(name));
            return json(&Load { epoch, nodes: nodes.iter().map(node).collect() });
        }
        let leader = self.core.status().leader;
        let leader = leader.and_then(|leader| self.names.iter().position(|name| *name == leader));
        match leader {
            Some(leader) if !passed_on => pass_on(&self.peers, leader, &Ask::Load { passed_on: true }).await,
            _ => Err(ApiError::unavailable("no leader is known")),
        }
    }
}

fn json(value: &impl Serialize) -> Result<Value, ApiError> {
    serde_json::to_value(value).map_err(|why| ApiError::internal(why.to_string()))
}

/// Asks another node for what only metadata nodes know, or decide.
pub(crate) async fn pass_on(peers: &PeerClient, to: usize, ask: &Ask) -> Result<Value, ApiError> {
    let body = encode(ask).map_err(|why| ApiError::internal(why.to_string()))?;
    let answer: Result<Result<Value, Failure>, _> = peers.post(to, ASK, body).await;
    match answer {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(Failure { status, error, definite })) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
            Err(ApiError { status, reason: error, definite })
        }
        // A join that may have been done is harmless to ask for again.
        Err(why) => Err(ApiError::maybe_done(why.to_string())),
    }
}
