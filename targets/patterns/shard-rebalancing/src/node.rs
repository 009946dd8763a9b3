//! Any node takes any request: what it cannot answer itself it asks a metadata node for, or says who serves it.

use std::sync::Arc;

use ordeal_kit::{ApiError, PeerClient};
use serde_json::Value;

use crate::data_node::DataNode;
use crate::messages::{Ask, Table};
use crate::metadata_node::{MetadataNode, pass_on};

/// What this node is.
pub(crate) enum Role {
    Metadata(Arc<MetadataNode>),
    Data(Arc<DataNode>),
}

/// A node.
pub(crate) struct Node {
    pub(crate) id: String,
    pub(crate) role: Role,
    /// How many nodes are metadata nodes, the first ones.
    pub(crate) metadata: usize,
    pub(crate) peers: PeerClient,
    /// Whether it is one of the nodes that are there from the beginning.
    pub(crate) founder: bool,
}

impl Node {
    /// The data node that this node is, if it is one.
    pub(crate) fn data(&self) -> Option<&Arc<DataNode>> {
        match &self.role {
            Role::Data(data) => Some(data),
            Role::Metadata(_) => None,
        }
    }

    /// Whether a data node can serve: it knows who serves what, or has not joined yet, and sends clients elsewhere.
    pub(crate) fn is_ready(&self) -> bool {
        !self.founder || self.data().is_none_or(|data| data.table().epoch > 0)
    }

    /// What a metadata node says.
    pub(crate) async fn ask(&self, ask: Ask) -> Result<Value, ApiError> {
        if let Role::Metadata(metadata) = &self.role {
            return metadata.answer(ask).await;
        }
        let mut last = ApiError::unavailable("no metadata node answers");
        let mut in_doubt = false;
        // Those that answered last time come first.
        let (well, ill): (Vec<_>, Vec<_>) = (0..self.metadata).partition(|node| self.peers.answering(*node));
        for metadata in well.into_iter().chain(ill) {
            last = match pass_on(&self.peers, metadata, &ask).await {
                Ok(answer) => return Ok(answer),
                Err(why) if why.status.is_client_error() => return Err(why),
                Err(why) => why,
            };
            in_doubt |= !last.definite;
        }
        match matches!(ask, Ask::Join { .. }) && in_doubt {
            true => Err(ApiError::maybe_done(last.reason)),
            false => Err(ApiError::unavailable(last.reason)),
        }
    }

    /// The routing that this node goes by. A data node that has none asks for it.
    pub(crate) async fn table(&self) -> Result<Table, ApiError> {
        let known = match &self.role {
            Role::Data(data) => data.table(),
            Role::Metadata(node) => node.core.local(|routing| Table::of(routing, &node.addresses)),
        };
        if known.epoch > 0 {
            return Ok(known);
        }
        let unreadable = |why: serde_json::Error| ApiError::internal(why.to_string());
        let table: Table = serde_json::from_value(self.ask(Ask::Routing).await?).map_err(unreadable)?;
        if let Some(data) = self.data() {
            data.learn(table.clone());
        }
        Ok(table)
    }
}
