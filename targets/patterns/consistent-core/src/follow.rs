//! A data node follows the core: it asks what came after the version it has, puts it on disk, shows it, and
//! asks again. A version is never skipped: what does not follow on is not taken, everything is fetched instead.

use std::sync::Arc;
use std::time::Duration;

use ordeal_kit::{PeerClient, PeerError, encode};
use tokio::time::sleep;

use crate::data_node::DataNode;
use crate::machine::Policies;
use crate::messages::{FETCH, Fetched, WATCH, Watch, Watched};
use ordeal_kit::store::StoreError;

/// Between two questions: what comes meanwhile comes at once, with one sync.
const PACE: Duration = Duration::from_millis(10);
/// Before another core node is asked when one did not answer.
const RETRY: Duration = Duration::from_millis(50);

/// Why a round of following brought nothing.
#[derive(Debug, thiserror::Error)]
enum Missed {
    #[error("{0}")]
    Peer(#[from] PeerError),
    #[error("{0}")]
    Store(#[from] StoreError),
    #[error("{0}")]
    Encode(#[from] serde_json::Error),
}

/// Follows the core of so many nodes, for ever. `blind` does not look for gaps (bug `watch-gap`).
pub(crate) async fn follow(node: Arc<DataNode>, core: usize, blind: bool) {
    let mut at = node.own % core;
    loop {
        match round(&node, at, blind).await {
            Ok(true) => {}
            // Nothing new there: perhaps it is behind, or cut off.
            Ok(false) => at = (at + 1) % core,
            Err(why) => {
                tracing::debug!(core = at, %why, "the core was not heard");
                at = (at + 1) % core;
                sleep(RETRY).await;
            }
        }
        sleep(PACE).await;
    }
}

/// Asks one core node once; whether there was anything new.
async fn round(node: &DataNode, at: usize, blind: bool) -> Result<bool, Missed> {
    let after = node.view.policies().version;
    let watched: Watched = node.peers.post(at, WATCH, encode(&Watch { after })?).await?;
    node.view.heard();
    let next = node.view.policies().next(watched.changes, blind);
    match next {
        Ok(changes) if changes.is_empty() => Ok(false),
        Ok(changes) => {
            node.store.advance(changes.clone()).await?;
            node.view.update(|policies| policies.advance(changes));
            Ok(true)
        }
        Err(gap) => {
            tracing::info!(wanted = gap.wanted, got = gap.got, "changes are missing; fetching everything");
            let policies = fetch(&node.peers, at).await?;
            if policies.version <= after {
                return Ok(false);
            }
            node.store.replace(policies.clone()).await?;
            node.view.update(|held| *held = policies);
            Ok(true)
        }
    }
}

async fn fetch(peers: &PeerClient, at: usize) -> Result<Policies, Missed> {
    let fetched: Fetched = peers.post(at, FETCH, encode(&())?).await?;
    Ok(fetched)
}
