//! The replicas as the coordinator sees them: numbered 0 to N - 1, one of them its own store, the others
//! reached over HTTP. Also what nodes say to each other (`/internal/…`; not part of the contract).

use std::sync::Arc;

use axum::body::Bytes;
use ordeal_kit::store::StoreError;
use ordeal_kit::{Id, PeerClient, PeerError, encode};
use serde::{Deserialize, Serialize};

use crate::protocol::{Entries, Register, Update};
use crate::store::{Digest, Set, Store};

/// Asks for a summary.
pub(crate) const QUERY: &str = "/internal/query";
/// Brings an [`Update`].
pub(crate) const UPDATE: &str = "/internal/update";
/// Offers entries and asks for all.
pub(crate) const OFFER: &str = "/internal/offer";

/// Body of [`QUERY`]; the answer is a [`Register`].
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Query {
    pub(crate) patient: Id,
    /// A request id, to be told what it led to.
    pub(crate) request_id: Option<Id>,
}

/// Body of [`OFFER`]; the answer is [`Holding`].
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Offer {
    pub(crate) patient: Id,
    /// To be merged before answering; none to just ask.
    pub(crate) entries: Entries,
    /// The set that the asker expects.
    pub(crate) digest: Digest,
}

/// Everything a replica holds of a patient's entries.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Holding {
    /// Nothing here means: exactly the set that was expected.
    pub(crate) entries: Option<Entries>,
}

/// The answer to an [`Update`]: it is stored durably.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Stored {}

/// Why a replica did not answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReplicaError {
    /// Another node.
    #[error(transparent)]
    Peer(#[from] PeerError),
    /// The own store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A message that has no JSON form.
    #[error("message: {0}")]
    Message(#[from] serde_json::Error),
}

/// An update, and its JSON, made once for all replicas.
#[derive(Debug)]
pub(crate) struct Parcel {
    pub(crate) update: Update,
    body: Bytes,
}

impl Parcel {
    pub(crate) fn new(update: Update) -> Result<Arc<Self>, serde_json::Error> {
        let body = encode(&update)?;
        Ok(Arc::new(Parcel { update, body }))
    }
}

/// All replicas.
#[derive(Debug)]
pub(crate) struct Replicas {
    pub(crate) nodes: usize,
    pub(crate) own: usize,
    pub(crate) store: Arc<Store>,
    pub(crate) peers: PeerClient,
}

impl Replicas {
    /// How many replicas answered when last asked, the own one included.
    pub(crate) fn answering(&self) -> usize {
        let others = (0..self.nodes).filter(|node| *node != self.own);
        1 + others.filter(|node| self.peers.answering(*node)).count()
    }

    /// Asks another node for a summary.
    pub(crate) async fn query(&self, node: usize, query: &Query) -> Result<Register, ReplicaError> {
        Ok(self.peers.post(node, QUERY, encode(query)?).await?)
    }

    /// Has a replica store the update durably.
    pub(crate) async fn update(&self, node: usize, parcel: &Parcel) -> Result<(), ReplicaError> {
        if node == self.own {
            return Ok(self.store.update(parcel.update.clone()).await?);
        }
        let Stored {} = self.peers.post(node, UPDATE, parcel.body.clone()).await?;
        Ok(())
    }

    /// Has a replica merge `missing`, and asks for everything it has then; `expected` is what the asker
    /// has.
    pub(crate) async fn offer(
        &self,
        node: usize,
        patient: &Id,
        missing: Entries,
        expected: &Set,
    ) -> Result<Arc<Entries>, ReplicaError> {
        let offer = Offer { patient: patient.clone(), entries: missing, digest: expected.digest };
        let holding = if node == self.own {
            take_offer(&self.store, offer).await?.map(|set| set.entries)
        } else {
            let holding: Holding = self.peers.post(node, OFFER, encode(&offer)?).await?;
            holding.entries.map(Arc::new)
        };
        Ok(holding.unwrap_or_else(|| Arc::clone(&expected.entries)))
    }
}

/// A replica's side of an offer: merge durably, then answer with one moment's whole set.
pub(crate) async fn take_offer(store: &Store, offer: Offer) -> Result<Option<Set>, StoreError> {
    let Offer { patient, entries, digest } = offer;
    if !entries.is_empty() {
        let patient = patient.clone();
        store.update(Update::Entries { patient, entries }).await?;
    }
    store.set_unless(&patient, digest)
}
