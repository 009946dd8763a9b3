//! How the price nodes talk to one another.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use ordeal_kit::{Id, Peer, PeerClient, PeerOptions, encode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use crate::prices::{Cell, Fenced, Holding};

/// Promise to take nothing older than a token.
pub(crate) const FENCE: &str = "/replicas/fence";
/// Take a price.
pub(crate) const TAKE: &str = "/replicas/take";
/// Answer a strong read as the holder.
pub(crate) const READ: &str = "/replicas/read";
/// Show the prices that are held.
pub(crate) const FOLLOW: &str = "/replicas/follow";
/// The longest message: all prices of a node, or the requests that a symbol remembers.
pub(crate) const MESSAGE_BYTES_MAX: usize = 1 << 20;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Fence {
    pub(crate) symbol: Id,
    pub(crate) token: u64,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Take {
    pub(crate) symbol: Id,
    pub(crate) cell: Cell,
    /// It is an update, and goes into the audit feed.
    pub(crate) audit: bool,
}

/// What a replica says to [`FENCE`] and [`TAKE`].
pub(crate) type Said<T> = Result<T, Fenced>;

/// A price under the token of the holder that answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Quote {
    pub(crate) token: u64,
    /// None before the first update.
    pub(crate) price: Option<u64>,
}

/// The prices that a node holds, by symbol.
pub(crate) type Quotes = BTreeMap<Id, Quote>;

/// All price nodes, this one among them.
pub(crate) struct Replicas {
    pub(crate) names: Vec<String>,
    pub(crate) own: usize,
    peers: Arc<PeerClient>,
}

/// What the other price nodes said to something that a majority is needed for.
pub(crate) struct Heard<T> {
    /// With this node's own voice it is a majority.
    pub(crate) enough: bool,
    pub(crate) said: Vec<T>,
    /// Somebody has seen a newer holder.
    pub(crate) fenced: Option<Fenced>,
}

impl Replicas {
    pub(crate) fn new(peers: &[Peer], own: usize, patience: Duration) -> anyhow::Result<Self> {
        let options = PeerOptions::usual(patience, MESSAGE_BYTES_MAX);
        let names = peers.iter().map(|peer| peer.id.clone()).collect();
        Ok(Replicas { names, own, peers: Arc::new(PeerClient::new(peers, options)?) })
    }

    pub(crate) fn others(&self) -> impl Iterator<Item = usize> + use<> {
        let own = self.own;
        (0..self.names.len()).filter(move |&at| at != own)
    }

    pub(crate) async fn fence(&self, symbol: &Id, token: u64) -> Heard<Holding> {
        self.hear(FENCE, &Fence { symbol: symbol.clone(), token }).await
    }

    pub(crate) async fn take(&self, symbol: &Id, cell: &Cell, audit: bool) -> Heard<()> {
        self.hear(TAKE, &Take { symbol: symbol.clone(), cell: cell.clone(), audit }).await
    }

    /// Asks one price node; `None` if it does not answer in time.
    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        at: usize,
        path: &str,
        body: &impl Serialize,
    ) -> Option<T> {
        self.peers.post(at, path, encode(body).ok()?).await.ok()
    }

    /// Sends to all others, and waits until enough of them have agreed. The rest get it all the same.
    async fn hear<T: DeserializeOwned + Send + 'static>(
        &self,
        path: &'static str,
        message: &impl Serialize,
    ) -> Heard<T> {
        let body = encode(message).unwrap_or_else(|_| Bytes::new());
        let mut asked = JoinSet::new();
        for at in self.others() {
            let (peers, body) = (Arc::clone(&self.peers), body.clone());
            asked.spawn(async move { peers.post::<Said<T>>(at, path, body).await });
        }
        // Of N nodes a majority is N / 2 + 1, and this one is one of them.
        let needed = self.names.len() / 2;
        let mut heard = Heard { enough: needed == 0, said: Vec::new(), fenced: None };
        while !heard.enough {
            match asked.join_next().await {
                None => break,
                Some(Ok(Ok(Ok(said)))) => heard.said.push(said),
                Some(Ok(Ok(Err(fenced)))) => heard.fenced = Some(fenced),
                // No answer.
                Some(Ok(Err(_)) | Err(_)) => {}
            }
            heard.enough = heard.said.len() >= needed;
        }
        asked.detach_all();
        heard
    }
}
