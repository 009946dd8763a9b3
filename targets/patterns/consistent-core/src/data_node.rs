//! A data node: it follows the core's policies, keeps documents, and never answers with less than the core version
//! that a request or a document names.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::StatusCode;
use ordeal_kit::{ApiError, Id, PeerClient, encode};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::core_node::refuse;
use crate::homes::Homes;
use crate::machine::{Policies, PolicyAt, Refusal};
use crate::messages::{self, DataAsk, Document, Failure, Held};
use crate::store::Store;

/// How long a request waits until this node has reached a version.
const REACH_WAIT: Duration = Duration::from_millis(700);

/// A data node.
pub(crate) struct DataNode {
    pub(crate) own: usize,
    pub(crate) id: String,
    pub(crate) peers: Arc<PeerClient>,
    pub(crate) store: Store,
    pub(crate) homes: Homes,
    /// The bug `epoch-ignored`.
    pub(crate) ignores_epoch: bool,
    /// The bug `one-home-suffices`.
    pub(crate) one_home_suffices: bool,
    pub(crate) view: View,
}

/// The core's policies as this node has them; on disk before they are in here.
pub(crate) struct View {
    policies: Mutex<Policies>,
    version: watch::Sender<u64>,
    followed: watch::Sender<bool>,
}

impl View {
    /// What was stored.
    pub(crate) fn new(policies: Policies) -> Self {
        let followed = policies.version > 0;
        View {
            version: watch::Sender::new(policies.version),
            policies: Mutex::new(policies),
            followed: watch::Sender::new(followed),
        }
    }

    pub(crate) fn policies(&self) -> MutexGuard<'_, Policies> {
        self.policies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows what a change of the policies made of them.
    pub(crate) fn update(&self, change: impl FnOnce(&mut Policies)) {
        let version = {
            let mut policies = self.policies();
            change(&mut policies);
            policies.version
        };
        self.version.send_replace(version);
    }

    /// The core was heard, if only to say that there is nothing new.
    pub(crate) fn heard(&self) {
        self.followed.send_replace(true);
    }

    /// Whether this node has something of the core's to answer with.
    pub(crate) fn ready(&self) -> bool {
        *self.followed.borrow()
    }

    /// Waits until this version is here.
    async fn reach(&self, wanted: u64) -> Result<(), ApiError> {
        let mut version = self.version.subscribe();
        let reached = timeout(REACH_WAIT, version.wait_for(|version| *version >= wanted)).await;
        match reached {
            Ok(Ok(_)) => Ok(()),
            _ => {
                let has = *self.version.borrow();
                Err(ApiError::unavailable(format!("this node has core version {has}, not {wanted} yet")))
            }
        }
    }
}

impl DataNode {
    /// Answers a client's request.
    pub(crate) async fn answer(&self, ask: DataAsk) -> Result<Value, ApiError> {
        match ask {
            DataAsk::Policy { policy, version } => {
                self.reach(version).await?;
                Ok(self.terms(&policy))
            }
            DataAsk::AddDocument { policy, document } => self.add(policy, document).await,
            DataAsk::Documents { policy } => {
                let documents = self.gather(&policy, None).await?;
                let newest = documents.iter().map(|document| document.version).max();
                self.reach(newest.unwrap_or(0)).await?;
                Ok(json!({ "documents": documents, "terms": self.terms(&policy) }))
            }
            DataAsk::Document { policy, document } => {
                let found = self.gather(&policy, Some(&document)).await?.pop();
                let found = found
                    .ok_or_else(|| ApiError::refused(StatusCode::NOT_FOUND, "there is no such document"))?;
                self.reach(found.version).await?;
                let Document { document, version, text } = found;
                let terms = self.terms(&policy);
                Ok(json!({ "document": document, "version": version, "text": text, "terms": terms }))
            }
        }
    }

    /// Waits until this node has reached the version.
    async fn reach(&self, version: u64) -> Result<(), ApiError> {
        if self.ignores_epoch {
            return Ok(());
        }
        self.view.reach(version).await
    }

    /// The policy as this node has it, and who says so.
    fn terms(&self, policy: &Id) -> Value {
        let PolicyAt { version, policy } = self.view.policies().at(policy.as_str());
        json!({ "version": version, "policy": policy, "node": self.id })
    }

    /// Stores a document on most of its homes.
    async fn add(&self, policy: Id, document: Document) -> Result<Value, ApiError> {
        self.reach(document.version).await?;
        let terms = self.terms(&policy);
        if terms["policy"].is_null() {
            return Err(refuse(Refusal::NoPolicy));
        }
        self.store.add(policy.clone(), document.clone()).await??;
        let message = messages::Store { policy: policy.clone(), document: document.clone() };
        let enough = if self.one_home_suffices { 1 } else { self.homes.quorum() };
        let stored: Vec<()> = self.others(&policy, messages::STORE, &message, enough).await?;
        if stored.len() + 1 < enough {
            return Err(ApiError::maybe_done("too few homes of the policy have the document"));
        }
        Ok(json!({ "document": document.document, "version": document.version, "terms": terms }))
    }

    /// Stores a document that another home was given.
    pub(crate) async fn take(&self, policy: Id, document: Document) -> Result<(), ApiError> {
        self.reach(document.version).await?;
        Ok(self.store.add(policy, document).await??)
    }

    /// What this home holds.
    pub(crate) fn held(&self, held: &Held) -> Result<Vec<Document>, ApiError> {
        Ok(self.store.documents(&held.policy, held.document.as_ref())?)
    }

    /// The documents that most homes hold between them: whatever was acknowledged is among them.
    async fn gather(&self, policy: &Id, only: Option<&Id>) -> Result<Vec<Document>, ApiError> {
        let own = self.store.documents(policy, only)?;
        if only.is_some() && !own.is_empty() {
            return Ok(own);
        }
        let message = Held { policy: policy.clone(), document: only.cloned() };
        let enough = self.homes.quorum();
        let heard: Vec<Vec<Document>> = self.others(policy, messages::HELD, &message, enough).await?;
        if heard.len() + 1 < enough {
            return Err(ApiError::unavailable("too few homes of the policy answer"));
        }
        let mut all: Vec<Document> = own.into_iter().chain(heard.into_iter().flatten()).collect();
        all.sort_by(|a, b| a.document.cmp(&b.document));
        all.dedup_by(|a, b| a.document == b.document);
        Ok(all)
    }

    /// Asks the other homes, and returns when there are answers of `enough` homes, this node counted, or when
    /// all have been heard.
    async fn others<A>(
        &self,
        policy: &Id,
        path: &'static str,
        message: &impl serde::Serialize,
        enough: usize,
    ) -> Result<Vec<A>, ApiError>
    where
        A: DeserializeOwned + Send + 'static,
    {
        let body = encode(message).map_err(|e| ApiError::internal(e.to_string()))?;
        let mut asked = JoinSet::new();
        for home in self.homes.of(policy.as_str()).filter(|home| *home != self.own) {
            let (peers, body) = (Arc::clone(&self.peers), body.clone());
            asked.spawn(async move { peers.post::<Result<A, Failure>>(home, path, body).await });
        }
        let mut answers = Vec::new();
        while answers.len() + 1 < enough
            && let Some(answer) = asked.join_next().await
        {
            match answer {
                Ok(Ok(Ok(answer))) => answers.push(answer),
                Ok(Ok(Err(why))) => tracing::debug!(%policy, path, ?why, "a home refused"),
                Ok(Err(why)) => tracing::debug!(%policy, path, %why, "a home did not answer"),
                Err(why) => tracing::warn!(%policy, path, %why, "asking a home failed"),
            }
        }
        // The others are not to be cut short: a third copy is worth having.
        asked.detach_all();
        Ok(answers)
    }
}
