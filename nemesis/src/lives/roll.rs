//! Restarting nodes one after another, within a given time.

use std::time::Duration;

use ordeal_core::{BoxFuture, Cluster};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use super::{Blow, Victims};
use crate::args::Fatal;

/// Between two questions whether a node is ready.
const ASK_INTERVAL: Duration = Duration::from_millis(10);

/// One round through a list of nodes.
pub(crate) struct Rolling<'a> {
    pub(crate) order: &'a [usize],
    pub(crate) signal: Fatal,
    /// For all together. A node that does not end, or is not ready, when its part of the time is over does
    /// not hold up the next.
    pub(crate) time: Duration,
}

/// Restarts the nodes one after another, each when the one before is ready. A node that is down already is
/// left to whoever ended it. What became of each is the answer. `before`: called before each node's turn.
pub(crate) async fn roll(
    victims: &Victims,
    cluster: &dyn Cluster,
    rolling: Rolling<'_>,
    mut before: impl FnMut(usize) + Send,
) -> Result<Vec<Value>, String> {
    let end = Instant::now() + rolling.time;
    let mut turns = Vec::new();
    for (position, &node) in rolling.order.iter().enumerate() {
        let begun = Instant::now();
        let turn = end.saturating_duration_since(begun) / (rolling.order.len() - position) as u32;
        before(node);
        if cluster.init_pid(node).is_none() {
            turns.push(json!({ "node": node, "already_down": true }));
            continue;
        }
        let blow = Blow { signal: rolling.signal.0, patience: turn / 2 };
        let struck = victims.strike(cluster, &[node], blow).await?;
        victims.restart(cluster, &[node]).await?;
        let down_ms = begun.elapsed().as_millis() as u64;
        let ready = timeout_at(begun + turn, ready(cluster, node)).await.is_ok();
        turns.push(json!({
            "node": node,
            "ended_by_itself": !struck.willing.is_empty(),
            "down_ms": down_ms,
            "ready_ms": ready.then(|| begun.elapsed().as_millis() as u64),
        }));
    }
    Ok(turns)
}

/// Waits until the node could serve clients.
fn ready(cluster: &dyn Cluster, node: usize) -> BoxFuture<'_, ()> {
    Box::pin(async move {
        while !cluster.ready(node).await {
            tokio::time::sleep(ASK_INTERVAL).await;
        }
    })
}
