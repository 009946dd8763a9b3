//! What a node does about transfers by itself: participants ask for the outcome of what they promised, coordinators tell
//! what they decided, until everybody knows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use ordeal_kit::store::StoreError;
use ordeal_kit::{ApiError, encode};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::book::{self, Incoming, Outcome};
use crate::bugs::Bug;
use crate::messages::{Finish, Known, OUTCOME, Prepare, Vote, Which};
use crate::node::Node;
use crate::rows::Rows;

/// Between two rounds. What is younger than a round is still on its usual way.
const ROUND: Duration = Duration::from_millis(150);
/// How long one answer may take.
const ANSWER_MAX: Duration = Duration::from_millis(700);
/// The bug `in-doubt-commits`: after so long.
const DOUBT_MAX: Duration = Duration::from_millis(500);
/// The bug `half-transfer`: booked so much later.
const BOOKED_LATER: Duration = Duration::from_millis(100);

impl Node {
    /// Promises to take part in a transfer.
    pub(crate) async fn prepare(self: &Arc<Self>, prepare: Prepare) -> Result<Vote, ApiError> {
        let Prepare { tx, coordinator, part, account, amount } = prepare;
        let bug = self.bug;
        if bug == Some(Bug::PrepareNotDurable) {
            let (say, said) = oneshot::channel();
            let node = Arc::clone(self);
            tokio::spawn(async move {
                let promise = node.store.step(move |rows| {
                    // Nobody may be waiting any more.
                    let _ = say.send(book::prepare(rows, &tx, coordinator, part, &account, amount, bug)?);
                    Ok(())
                });
                promise.await
            });
            return said.await.map_err(|_| ApiError::internal("the store failed"));
        }
        let promise =
            move |rows: &mut dyn Rows| book::prepare(rows, &tx, coordinator, part, &account, amount, bug);
        Ok(self.store.step(promise).await?)
    }

    /// Books, or drops, what was promised.
    pub(crate) async fn finish(self: &Arc<Self>, finish: Finish) -> Result<(), StoreError> {
        let Finish { tx, committed } = finish;
        if self.bug == Some(Bug::HalfTransfer) && committed {
            let node = Arc::clone(self);
            tokio::spawn(async move {
                sleep(BOOKED_LATER).await;
                node.store.step(move |rows| book::finish(rows, &tx, true)).await
            });
            return Ok(());
        }
        self.store.step(move |rows| book::finish(rows, &tx, committed)).await
    }

    /// Settles what is open, for ever.
    pub(crate) async fn settle(self: Arc<Self>) {
        // Since when a promise is known here: it is asked about from the second round on.
        let mut promised: BTreeMap<String, Instant> = BTreeMap::new();
        let mut decided: BTreeSet<String> = BTreeSet::new();
        loop {
            sleep(ROUND).await;
            if let Err(why) = self.round(&mut promised, &mut decided).await {
                tracing::warn!(%why, "cannot look for transfers that are open");
            }
        }
    }

    async fn round(
        self: &Arc<Self>,
        promised: &mut BTreeMap<String, Instant>,
        decided: &mut BTreeSet<String>,
    ) -> Result<(), StoreError> {
        let (incoming, outgoing) = {
            let look = self.store.look()?;
            (book::in_doubt(&look)?, book::untold(&look)?)
        };
        let mut work = JoinSet::new();
        let known = std::mem::take(promised);
        for (tx, incoming) in incoming {
            if let Some(since) = known.get(&tx) {
                let (node, tx, since) = (Arc::clone(self), tx.clone(), *since);
                work.spawn(async move { node.resolve(tx, incoming, since).await });
            }
            promised.insert(tx.clone(), known.get(&tx).copied().unwrap_or_else(Instant::now));
        }
        let known = std::mem::take(decided);
        for (tx, outgoing) in outgoing {
            if known.contains(&tx) {
                let (node, tx) = (Arc::clone(self), tx.clone());
                let telling = async move { node.tell(tx, outgoing.to.node, true).await };
                work.spawn(async move { drop(timeout(ANSWER_MAX, telling).await) });
            }
            decided.insert(tx);
        }
        while work.join_next().await.is_some() {}
        Ok(())
    }

    /// Asks the coordinator what became of a promise, and keeps it. While nobody can say, the account stays locked: that is
    /// the price of two-phase commit.
    async fn resolve(&self, tx: String, incoming: Incoming, since: Instant) {
        let Ok(body) = encode(&Which { tx: tx.clone() }) else { return };
        let asked = self.peers.post::<Known>(incoming.coordinator, OUTCOME, body);
        let committed = match timeout(ANSWER_MAX, asked).await {
            Ok(Ok(Outcome::Committed)) => true,
            Ok(Ok(Outcome::Aborted)) => false,
            Ok(Ok(Outcome::Undecided)) => return,
            _ if self.bug == Some(Bug::InDoubtCommits) && since.elapsed() > DOUBT_MAX => true,
            _ => return,
        };
        tracing::info!(tx, committed, "learned the outcome");
        if let Err(why) = self.store.step(move |rows| book::finish(rows, &tx, committed)).await {
            tracing::debug!(%why, "an outcome is booked later");
        }
    }
}
