//! Anti-entropy: each warehouse asks every other one, again and again, for what it has not seen.
//!
//! A pull names the vectors of all SKUs, and the answer is the state of those SKUs of which the other has seen more.
//! Merging is idempotent, so an answer that is lost, late or doubled does no harm. All warehouses pull, so after a
//! partition each gets what it lacks within one interval and the time of a request, whoever was cut off.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ordeal_kit::store::StoreError;
use ordeal_kit::{Id, PeerClient, PeerError, encode};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use crate::bugs::Bug;
use crate::stock::News;
use crate::store::Store;
use crate::vector::Vector;

/// Where a warehouse is asked.
pub(crate) const PULL: &str = "/exchange/pull";
/// The longest message between nodes, in bytes.
pub(crate) const MESSAGE_BYTES_MAX: usize = 32 << 20;
/// SKUs in one answer.
const SKUS_MAX: usize = 256;
/// How long a pull may take. A partition that ends is noticed after this time at the latest.
const PULL_TIMEOUT: Duration = Duration::from_millis(1_000);

/// What the asker has seen.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pull {
    pub(crate) seen: BTreeMap<Id, Vector>,
}

/// What the asker lacks.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Pulled {
    pub(crate) news: Vec<News>,
}

/// Why a pull came to nothing.
#[derive(Debug, thiserror::Error)]
enum PullError {
    #[error(transparent)]
    Peer(#[from] PeerError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("no JSON form: {0}")]
    Encode(#[from] serde_json::Error),
    #[error("a number is beyond all that are given out")]
    Unsound,
}

/// The limits of a client for [`Exchange`].
pub(crate) fn options() -> ordeal_kit::PeerOptions {
    ordeal_kit::PeerOptions::usual(PULL_TIMEOUT, MESSAGE_BYTES_MAX)
}

/// The warehouse's side of anti-entropy.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) own: usize,
    pub(crate) nodes: usize,
    pub(crate) store: Arc<Store>,
    pub(crate) peers: PeerClient,
    pub(crate) interval: Duration,
    pub(crate) bug: Option<Bug>,
}

impl Exchange {
    /// Answers another warehouse.
    pub(crate) fn answer(&self, pull: &Pull) -> Result<Pulled, StoreError> {
        Ok(Pulled { news: self.store.news(&pull.seen, SKUS_MAX)? })
    }

    /// Whether a majority of the warehouses, this one included, answered when last asked.
    pub(crate) fn majority(&self) -> bool {
        let others = (0..self.nodes).filter(|node| *node != self.own);
        let answering = 1 + others.filter(|node| self.peers.answering(*node)).count();
        answering > self.nodes / 2
    }

    /// Pulls from all others, one task each, until the set is dropped or shut down.
    pub(crate) fn start(self: &Arc<Self>) -> JoinSet<()> {
        let others = (0..self.nodes).filter(|peer| *peer != self.own);
        others.map(|peer| Arc::clone(self).keep_pulling(peer)).collect()
    }

    async fn keep_pulling(self: Arc<Self>, peer: usize) {
        let mut met = false;
        loop {
            match self.pull(peer).await {
                Ok(()) => met = true,
                Err(why) => {
                    tracing::debug!(peer, %why, "nothing was pulled");
                    if met && self.bug == Some(Bug::AntiEntropyStops) {
                        return;
                    }
                }
            }
            tokio::time::sleep(self.interval).await;
        }
    }

    /// Pulls until the peer has no more.
    async fn pull(&self, peer: usize) -> Result<(), PullError> {
        loop {
            let seen = self.store.vectors()?;
            let Pulled { news } = self.peers.post(peer, PULL, encode(&Pull { seen })?).await?;
            if !news.iter().all(News::sound) {
                return Err(PullError::Unsound);
            }
            let more = news.len() >= SKUS_MAX;
            if !news.is_empty() {
                self.store.merge(news).await?;
            }
            if !more {
                return Ok(());
            }
        }
    }
}
