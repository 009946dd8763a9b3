//! Any node takes any request: what it cannot answer itself it passes on to a node that can.

use std::sync::Arc;
use std::time::Duration;

use ordeal_kit::{ApiError, PeerClient, PeerError, encode};
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use crate::core_node::CoreNode;
use crate::data_node::DataNode;
use crate::homes::Homes;
use crate::messages::{ASK, Ask, DataAsk, Reply};

/// What this node is besides one that passes requests on.
pub(crate) enum Role {
    Core(Box<CoreNode>),
    Data(Arc<DataNode>),
}

/// A node.
pub(crate) struct Node {
    pub(crate) own: usize,
    pub(crate) id: String,
    pub(crate) role: Role,
    /// The first so many peers are the core.
    pub(crate) core: usize,
    pub(crate) homes: Homes,
    pub(crate) peers: Arc<PeerClient>,
    /// How long a request may take.
    pub(crate) patience: Duration,
}

impl Node {
    /// Answers a request, here or by way of another node.
    ///
    /// Passing a mutation on again after nobody said what became of it is harmless, its request id sees to that.
    /// But then only a success is certain.
    pub(crate) async fn ask(&self, ask: Ask) -> Result<Value, ApiError> {
        let candidates = self.candidates(&ask);
        if candidates.contains(&self.own) {
            return self.answer(ask).await;
        }
        let mutates = ask.mutates();
        let body = encode(&ask).map_err(|e| ApiError::internal(e.to_string()))?;
        let deadline = Instant::now() + self.patience;
        let mut last = ApiError::unavailable("there is no node that could answer this");
        let mut in_doubt = false;
        for candidate in candidates {
            let reply = timeout_at(deadline, self.peers.post::<Reply>(candidate, ASK, body.clone())).await;
            last = match reply {
                Ok(Ok(Ok(value))) => return Ok(value),
                Ok(Ok(Err(failure))) => failure.into(),
                Ok(Err(e @ (PeerError::Busy | PeerError::Unreachable))) => {
                    ApiError::unavailable(e.to_string())
                }
                Ok(Err(e)) => ApiError::maybe_done(e.to_string()),
                Err(_) => ApiError::maybe_done("no node answered in time"),
            };
            in_doubt |= !last.definite;
            if last.status.is_client_error() || Instant::now() >= deadline {
                break;
            }
        }
        match (mutates, in_doubt) {
            (true, true) => Err(ApiError { definite: false, ..ApiError::maybe_done(last.reason) }),
            (true, false) => Err(last),
            (false, _) if last.definite => Err(last),
            (false, _) => Err(ApiError::unavailable(last.reason)),
        }
    }

    /// Answers a request that this node can answer.
    pub(crate) async fn answer(&self, ask: Ask) -> Result<Value, ApiError> {
        match (&self.role, ask) {
            (Role::Core(core), Ask::Core(ask)) => core.answer(ask).await,
            (Role::Data(data), Ask::Data(ask)) => data.answer(ask).await,
            _ => Err(ApiError::malformed("this node has another role")),
        }
    }

    /// Who can answer this, in the order in which they are to be asked.
    fn candidates(&self, ask: &Ask) -> Vec<usize> {
        match ask {
            Ask::Core(_) => (0..self.core).map(|n| (self.own + n) % self.core).collect(),
            Ask::Data(DataAsk::Policy { .. }) => self.homes.all_from(self.own).collect(),
            Ask::Data(
                DataAsk::AddDocument { policy, .. }
                | DataAsk::Documents { policy }
                | DataAsk::Document { policy, .. },
            ) => self.homes.of(policy.as_str()).collect(),
        }
    }
}
