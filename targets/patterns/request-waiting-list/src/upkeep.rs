//! What a node does without being asked: it answers requests whose time is up, goes on with what it accepted, and asks
//! the others what they have learned.
//!
//! All of it can be done again without harm, so nothing is lost when a node stops in the middle.

use std::sync::Arc;
use std::time::Duration;

use ordeal_kit::encode;
use tokio::task::JoinSet;

use crate::bugs::Bug;
use crate::cluster::{AskError, LEARNED, News, Since};
use crate::coordinator::Coordinator;

/// How often the waiting list is looked at for entries whose time is up.
const EXPIRE_EVERY: Duration = Duration::from_millis(20);
/// How often unfinished requests are taken up.
const RESUME_EVERY: Duration = Duration::from_millis(250);
/// Requests taken up at a time.
const RESUMED_MAX: usize = 64;
/// How often each other node is asked what it has learned.
const FOLLOW_EVERY: Duration = Duration::from_millis(200);
/// What is learned from one answer.
pub(crate) const FACTS_MAX: usize = 512;

/// Starts it all; it ends when the set is dropped or shut down.
pub(crate) fn start(coordinator: &Arc<Coordinator>) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    tasks.spawn(expire(Arc::clone(coordinator)));
    tasks.spawn(resume(Arc::clone(coordinator)));
    let others =
        coordinator.desk.cluster.all().into_iter().filter(|node| *node != coordinator.desk.cluster.own);
    for node in others {
        tasks.spawn(follow(Arc::clone(coordinator), node));
    }
    tasks
}

async fn expire(coordinator: Arc<Coordinator>) {
    loop {
        coordinator.desk.expire();
        tokio::time::sleep(EXPIRE_EVERY).await;
    }
}

/// Takes up unfinished requests in turn: those of before a restart, and those whose time was up. Some may stay
/// unfinished for as long as a node is away, and must not keep others from theirs.
async fn resume(coordinator: Arc<Coordinator>) {
    let mut after = None;
    loop {
        match coordinator.desk.cluster.store.unfinished(after.as_ref(), RESUMED_MAX) {
            Ok(requests) => {
                after = requests.last().filter(|_| requests.len() == RESUMED_MAX).cloned();
                let resumed = requests
                    .into_iter()
                    .map(|(request, trade)| Arc::clone(&coordinator).resume(request, trade));
                for why in
                    resumed.collect::<JoinSet<_>>().join_all().await.into_iter().filter_map(Result::err)
                {
                    tracing::debug!(?why, "a request is still unfinished");
                }
            }
            Err(why) => tracing::warn!(%why, "unfinished requests cannot be read"),
        }
        tokio::time::sleep(RESUME_EVERY).await;
    }
}

/// Learns what another node learns, from the beginning on.
async fn follow(coordinator: Arc<Coordinator>, node: usize) {
    let mut from = 0;
    loop {
        match learn_from(&coordinator, node, from).await {
            Ok(next) => from = next,
            // Nobody has been reached before the first time, when nodes start one after another.
            Err(_) if from > 0 && coordinator.bug == Some(Bug::FollowingStops) => return,
            Err(why) => tracing::debug!(node, %why, "nothing was learned"),
        }
        tokio::time::sleep(FOLLOW_EVERY).await;
    }
}

async fn learn_from(coordinator: &Coordinator, node: usize, mut from: u64) -> Result<u64, AskError> {
    loop {
        let News { facts, next } =
            coordinator.desk.cluster.peers.post(node, LEARNED, encode(&Since { from })?).await?;
        if !facts.is_empty() {
            coordinator.desk.cluster.store.learn(facts).await?;
        }
        if next <= from {
            return Ok(from);
        }
        from = next;
    }
}
