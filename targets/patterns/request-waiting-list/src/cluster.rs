//! The nodes as a coordinator sees them: numbered by place, one of them its own store, the others reached over HTTP.
//! Also what nodes say to each other (`/internal/…`; not part of the contract).

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use ordeal_kit::store::StoreError;
use ordeal_kit::{Id, PeerClient, PeerError, PeerOptions, encode};
use serde::{Deserialize, Serialize};

use crate::condition::Confirmation;
use crate::store::{Fact, Store};
use crate::trade::{Details, Role, TradeCopy};

/// Asks for a vote: [`OfTrade`], answered with the node's [`TradeCopy`].
pub(crate) const VOTE: &str = "/internal/vote";
/// Asks to confirm a settlement: [`OfTrade`], answered with [`Confirmed`].
pub(crate) const SETTLE: &str = "/internal/settle";
/// Brings [`Facts`].
pub(crate) const LEARN: &str = "/internal/learn";
/// Asks what a node has of a trade: [`Look`], answered with its [`TradeCopy`].
pub(crate) const LOOK: &str = "/internal/look";
/// Asks what a node has learned: [`Since`], answered with [`News`].
pub(crate) const LEARNED: &str = "/internal/learned";

/// The longest message between nodes, in bytes.
pub(crate) const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// How long a node may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(600);

/// A trade with its details.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct OfTrade {
    pub(crate) trade: Id,
    pub(crate) details: Details,
}

/// Whether the node did so.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Confirmed {
    pub(crate) confirmed: bool,
}

/// What is known for good.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Facts {
    pub(crate) facts: Vec<Fact>,
}

/// A trade.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Look {
    pub(crate) trade: Id,
}

/// How far the asker has followed.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Since {
    pub(crate) from: u64,
}

/// What came since, and how far that is.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct News {
    pub(crate) facts: Vec<Fact>,
    pub(crate) next: u64,
}

/// Something was kept durably.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Kept {}

/// Why a node gave no confirmation.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    #[error(transparent)]
    Peer(#[from] PeerError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("no JSON form: {0}")]
    Message(#[from] serde_json::Error),
    #[error("the node knows better")]
    NotConfirmed,
}

/// What nodes are asked for a request in the waiting list.
#[derive(Clone, Debug)]
pub(crate) enum Ask {
    Vote(OfTrade),
    Settle(OfTrade),
    Learn(Facts),
}

impl Ask {
    /// The JSON, to be made once for all nodes.
    pub(crate) fn body(&self) -> serde_json::Result<Bytes> {
        match self {
            Ask::Vote(of) | Ask::Settle(of) => encode(of),
            Ask::Learn(facts) => encode(facts),
        }
    }
}

/// All nodes.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) own: usize,
    /// One for each node.
    pub(crate) roles: Vec<Role>,
    pub(crate) store: Arc<Store>,
    pub(crate) peers: PeerClient,
}

/// The limits of the client that a [`Cluster`] has.
pub(crate) fn options() -> PeerOptions {
    PeerOptions::usual(ANSWER_TIMEOUT, MESSAGE_BYTES_MAX)
}

impl Cluster {
    /// The places of all nodes.
    pub(crate) fn all(&self) -> Vec<usize> {
        (0..self.roles.len()).collect()
    }

    /// The places of the settlement nodes.
    pub(crate) fn settlement_nodes(&self) -> Vec<usize> {
        let settles = |place: &usize| self.roles[*place] == Role::Settlement;
        (0..self.roles.len()).filter(settles).collect()
    }

    /// Asks a node; it confirms when what it says is on its disk.
    pub(crate) async fn ask(&self, node: usize, ask: &Ask, body: Bytes) -> Result<Confirmation, AskError> {
        if node == self.own {
            return self.ask_own(ask.clone()).await;
        }
        let kept = match ask {
            Ask::Vote(_) => return Ok(Confirmation::Held(self.peers.post(node, VOTE, body).await?)),
            Ask::Settle(_) => self.peers.post::<Confirmed>(node, SETTLE, body).await?.confirmed,
            Ask::Learn(_) => self.peers.post::<Kept>(node, LEARN, body).await.map(|Kept {}| true)?,
        };
        if kept { Ok(Confirmation::Kept) } else { Err(AskError::NotConfirmed) }
    }

    async fn ask_own(&self, ask: Ask) -> Result<Confirmation, AskError> {
        let kept = match ask {
            Ask::Vote(OfTrade { trade, details }) => {
                return Ok(Confirmation::Held(self.store.vote(trade, details).await?));
            }
            Ask::Settle(OfTrade { trade, details }) => self.store.confirm_settlement(trade, details).await?,
            Ask::Learn(Facts { facts }) => self.store.learn(facts).await.map(|()| true)?,
        };
        if kept { Ok(Confirmation::Kept) } else { Err(AskError::NotConfirmed) }
    }

    /// What a node has of a trade.
    pub(crate) async fn look(&self, node: usize, trade: &Id) -> Result<TradeCopy, AskError> {
        if node == self.own {
            return Ok(self.store.copy(trade)?);
        }
        Ok(self.peers.post(node, LOOK, encode(&Look { trade: trade.clone() })?).await?)
    }
}
