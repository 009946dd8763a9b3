//! Where requests wait while nodes are asked: the waiting list, with the cluster behind it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use ordeal_kit::{ApiError, Id};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::bugs::Bug;
use crate::cluster::{Ask, Cluster};
use crate::condition::{Condition, Outcome};
use crate::trade::Details;
use crate::waiting_list::{Correlation, Pending, Purpose, Ready, Reply, Waiting, WaitingList};

/// How often nodes are asked again while a request waits: messages get lost.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// A request to be put to some nodes.
pub(crate) struct Question {
    pub(crate) trade: Id,
    /// The details that the client named.
    pub(crate) asked: Details,
    pub(crate) purpose: Purpose,
    pub(crate) condition: Condition,
    pub(crate) nodes: Vec<usize>,
    pub(crate) ask: Ask,
    pub(crate) until: Instant,
}

/// The waiting list of this node.
pub(crate) struct Desk {
    pub(crate) cluster: Cluster,
    list: Mutex<WaitingList>,
    began: Instant,
}

impl Desk {
    pub(crate) fn new(cluster: Cluster, bug: Option<Bug>) -> Self {
        Desk { cluster, list: Mutex::new(WaitingList::new(bug)), began: Instant::now() }
    }

    /// The requests that wait now.
    pub(crate) fn pending(&self) -> Vec<Pending> {
        // Of one moment: between two of them a paused process ages.
        let now = self.began.elapsed();
        self.expire_at(now);
        self.list().pending(now)
    }

    /// Whether a request about this trade waits.
    pub(crate) fn waits_for(&self, trade: &Id) -> bool {
        self.list().waits_for(trade)
    }

    /// Answers the requests whose time is up.
    pub(crate) fn expire(&self) {
        self.expire_at(self.began.elapsed());
    }

    fn expire_at(&self, now: Duration) {
        let late = self.list().expire(now);
        late.into_iter().for_each(Ready::run);
    }

    /// Waits in the list while the nodes are asked.
    ///
    /// # Errors
    /// None that is definite: what is asked was accepted before.
    pub(crate) async fn wait(self: &Arc<Self>, question: Question) -> Result<Reply, ApiError> {
        let Question { trade, asked, purpose, condition, nodes, ask, until } = question;
        let since = self.began.elapsed();
        let expires = until.saturating_duration_since(self.began);
        let waiting = Waiting { trade, asked, purpose, condition, since, until: expires };
        let expired = waiting.reply(Outcome::Expired);
        let body = ask.body().map_err(|why| ApiError::internal(why.to_string()))?;
        let (tell, told) = oneshot::channel();
        // Nobody may be waiting for the answer any more.
        let callback = Box::new(move |reply| drop(tell.send(reply)));
        let added = self.list().add(waiting, callback);
        let correlation = added.ok_or_else(|| ApiError::maybe_done("the waiting list is full"))?;
        tokio::spawn(Arc::clone(self).ask_all(correlation, nodes, ask, body, until));
        Ok(told.await.unwrap_or(expired))
    }

    /// Asks the nodes for as long as the request waits; confirmations go to the list as they come.
    async fn ask_all(
        self: Arc<Self>,
        correlation: Correlation,
        nodes: Vec<usize>,
        ask: Ask,
        body: Bytes,
        until: Instant,
    ) {
        while self.list().has(correlation) && Instant::now() < until {
            for node in nodes.iter().copied() {
                let (this, ask, body) = (Arc::clone(&self), ask.clone(), body.clone());
                tokio::spawn(async move {
                    match this.cluster.ask(node, &ask, body).await {
                        Ok(confirmation) => {
                            let ready = this.list().confirm(correlation, node, confirmation);
                            ready.into_iter().for_each(Ready::run);
                        }
                        Err(why) => tracing::debug!(node, %why, "no confirmation"),
                    }
                });
            }
            tokio::time::sleep(ASK_AGAIN).await;
        }
    }

    fn list(&self) -> MutexGuard<'_, WaitingList> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
