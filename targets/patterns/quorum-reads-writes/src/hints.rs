//! Hinted handoff, which this pattern must not count in a quorum: the code of the bug `hint-counted`.

use std::sync::Arc;
use std::time::Duration;

use ordeal_kit::store::StoreError;

use crate::replicas::{Parcel, ReplicaError, Replicas};
use crate::store::Hint;

/// How long a replica may take before it gets a hint instead.
const HINT_AFTER: Duration = Duration::from_millis(300);
/// How often hints are tried.
const DELIVER_EVERY: Duration = Duration::from_millis(500);
/// Hints tried at a time.
const DELIVER_MAX: usize = 64;

/// Has the replica store the update, or else keeps a hint for it here, which passes for its ack.
pub(crate) async fn update_or_hint(
    replicas: &Replicas,
    node: usize,
    parcel: &Parcel,
) -> Result<(), ReplicaError> {
    if let Ok(Ok(())) = tokio::time::timeout(HINT_AFTER, replicas.update(node, parcel)).await {
        return Ok(());
    }
    let hint = Hint { peer: node, update: parcel.update.clone() };
    Ok(replicas.store.hint(hint).await?)
}

/// Delivers hints for as long as it is polled.
pub(crate) async fn deliver(replicas: Arc<Replicas>) {
    let mut tick = tokio::time::interval(DELIVER_EVERY);
    loop {
        tick.tick().await;
        if let Err(why) = deliver_some(&replicas).await {
            tracing::warn!(%why, "hints were not delivered");
        }
    }
}

async fn deliver_some(replicas: &Replicas) -> Result<(), StoreError> {
    for (number, hint) in replicas.store.hints(DELIVER_MAX)? {
        let parcel = Parcel::new(hint.update)?;
        if replicas.update(hint.peer, &parcel).await.is_ok() {
            replicas.store.drop_hint(number).await?;
        }
    }
    Ok(())
}
