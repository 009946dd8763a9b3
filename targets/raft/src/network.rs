//! Raft between the nodes: JSON over HTTP, one path a message.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use openraft::BasicNode;
use openraft::error::{InstallSnapshotError, NetworkError, RPCError, RaftError, RemoteError, Unreachable};
use openraft::network::{RPCOption, RaftNetwork, RaftNetworkFactory};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, InstallSnapshotRequest, InstallSnapshotResponse,
    VoteRequest, VoteResponse,
};
use ordeal_kit::{PeerClient, PeerError, encode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::types::{Raft, Types};

/// The longest message between nodes, in bytes: a batch of entries or a piece of a snapshot.
pub(crate) const MESSAGE_BYTES_MAX: usize = 16 << 20;

const APPEND: &str = "/raft/append";
const SNAPSHOT: &str = "/raft/snapshot";
const VOTE: &str = "/raft/vote";

/// The way to the other nodes. Nodes are numbered as the peers are.
#[derive(Clone)]
pub(crate) struct Network {
    pub(crate) peers: Arc<PeerClient>,
}

/// The way to one node.
pub(crate) struct Link {
    peers: Arc<PeerClient>,
    target: u64,
}

impl RaftNetworkFactory<Types> for Network {
    type Network = Link;

    async fn new_client(&mut self, target: u64, _node: &BasicNode) -> Link {
        Link { peers: Arc::clone(&self.peers), target }
    }
}

type Failed<E> = RPCError<u64, BasicNode, RaftError<u64, E>>;

impl Link {
    async fn send<Q, A, E>(&self, path: &str, request: &Q, within: Duration) -> Result<A, Failed<E>>
    where
        Q: Serialize,
        A: DeserializeOwned,
        E: std::error::Error + DeserializeOwned,
    {
        let body = encode(request).map_err(|e| RPCError::Network(NetworkError::new(&e)))?;
        let exchange = self.peers.post(self.target as usize, path, body);
        let answer: Result<Result<A, RaftError<u64, E>>, PeerError> = tokio::time::timeout(within, exchange)
            .await
            .unwrap_or_else(|_| Err(PeerError::NoAnswer("too late".to_owned())));
        match answer {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(refused)) => Err(RPCError::RemoteError(RemoteError::new(self.target, refused))),
            Err(e @ (PeerError::Unreachable | PeerError::Busy)) => {
                Err(RPCError::Unreachable(Unreachable::new(&e)))
            }
            Err(e) => Err(RPCError::Network(NetworkError::new(&e))),
        }
    }
}

impl RaftNetwork<Types> for Link {
    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<u64>, Failed<openraft::error::Infallible>> {
        self.send(APPEND, &request, option.hard_ttl()).await
    }

    async fn install_snapshot(
        &mut self,
        request: InstallSnapshotRequest<Types>,
        option: RPCOption,
    ) -> Result<InstallSnapshotResponse<u64>, Failed<InstallSnapshotError>> {
        self.send(SNAPSHOT, &request, option.hard_ttl()).await
    }

    async fn vote(
        &mut self,
        request: VoteRequest<u64>,
        option: RPCOption,
    ) -> Result<VoteResponse<u64>, Failed<openraft::error::Infallible>> {
        self.send(VOTE, &request, option.hard_ttl()).await
    }
}

/// The paths by which the other nodes reach this one's Raft.
pub(crate) fn routes(raft: Raft) -> Router {
    Router::new()
        .route(
            APPEND,
            post(async |State(raft): State<Raft>, body: Bytes| {
                answer(&body, async |request| raft.append_entries(request).await).await
            }),
        )
        .route(
            SNAPSHOT,
            post(async |State(raft): State<Raft>, body: Bytes| {
                answer(&body, async |request| raft.install_snapshot(request).await).await
            }),
        )
        .route(
            VOTE,
            post(async |State(raft): State<Raft>, body: Bytes| {
                answer(&body, async |request| raft.vote(request).await).await
            }),
        )
        .layer(DefaultBodyLimit::max(MESSAGE_BYTES_MAX))
        .with_state(raft)
}

async fn answer<Q: DeserializeOwned, A: Serialize>(body: &[u8], ask: impl AsyncFnOnce(Q) -> A) -> Response {
    match serde_json::from_slice(body) {
        Ok(request) => Json(ask(request).await).into_response(),
        Err(e) => (StatusCode::BAD_REQUEST, e.to_string()).into_response(),
    }
}
