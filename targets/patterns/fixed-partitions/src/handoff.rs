//! How a partition passes from one node to another: the steps are those of `ownership.rs`. The source drives.

use std::sync::Arc;
use std::time::Duration;

use ordeal_kit::store::StoreError;
use ordeal_kit::{ApiError, encode};
use tokio::time::{Instant, sleep, timeout};

use crate::book::There;
use crate::map::{Answer, Command, Part};
use crate::messages::{Decide, HELLO, STAGE, Stage};
use crate::node::Node;
use crate::ownership::{self, Own};

/// Between two looks at the map when it does not change.
const ROUND: Duration = Duration::from_millis(100);
/// How long a partition may be drained for before it is served again.
const DRAIN_MAX: Duration = Duration::from_millis(500);
/// Between two looks whether it is drained.
const DRAINED: Duration = Duration::from_millis(5);
/// How long the target may take to answer, and to keep a copy. As long as a client waits: then the source serves again.
const STAGE_MAX: Duration = Duration::from_millis(1_000);

impl Node {
    /// Does what the map says, for ever.
    pub(crate) async fn hand_over(self: Arc<Self>) {
        let mut map = self.atlas.follow();
        loop {
            if let Err(why) = self.keep_to_the_map().await {
                tracing::debug!(%why.reason, "the map is kept to later");
            }
            // An error means that this node is stopping, late or not is the same.
            let _ = timeout(ROUND, map.changed()).await;
        }
    }

    /// Takes what has become this node's, lets go of what is not, and gives away what it should not have.
    async fn keep_to_the_map(&self) -> Result<(), ApiError> {
        let Some(map) = self.atlas.map() else { return Ok(()) };
        let mut known = ownership::all(&self.store.look()?)?;
        if !ownership::behind(&known, &map, self.own).is_empty() {
            let (newest, own) = (Arc::clone(&map), self.own);
            self.store.step(move |rows| ownership::follow(rows, &newest, own)).await?;
            tracing::info!(version = map.version, "partitions have come or gone");
            known = ownership::all(&self.store.look()?)?;
        }
        for (partition, (owner, wanted)) in map.owners.iter().zip(&map.wanted).enumerate() {
            if owner.node != self.own {
                continue;
            }
            let part = Part { partition, epoch: owner.epoch };
            match known.get(&partition).copied().filter(|own| own.epoch == part.epoch) {
                Some(Own { stage: ownership::Stage::Sealed, to: Some(to), .. }) => {
                    self.pass_on(part, to).await?;
                }
                Some(Own { stage: ownership::Stage::Serving, .. }) if *wanted != self.own => {
                    self.give(There { node: *wanted, part }).await?;
                }
                // An attempt ended with an error.
                Some(Own { stage: ownership::Stage::Draining, .. }) => self.serve_on(partition).await?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Hands a partition, that this node serves at this epoch, to another node. If that does not work out, serves on.
    async fn give(&self, to: There) -> Result<(), ApiError> {
        let There { node, part } = to;
        // What is drained refuses work: not again and again for a node that is down.
        if !self.answers(node).await? {
            tracing::debug!(part.partition, node, "the next owner does not answer");
            return Ok(());
        }
        let Some(attempt) = self.store.step(move |rows| ownership::drain(rows, part, node)).await? else {
            return Ok(());
        };
        if self.drained(part.partition).await? && self.copied(to, attempt).await? {
            let sealed = self.store.step(move |rows| ownership::seal(rows, part.partition, attempt)).await?;
            if sealed {
                return self.pass_on(part, node).await;
            }
        }
        tracing::info!(part.partition, part.epoch, attempt, "the handoff has to wait");
        Ok(self.serve_on(part.partition).await?)
    }

    async fn answers(&self, node: usize) -> Result<bool, ApiError> {
        let body = encode(&()).map_err(|e| ApiError::internal(e.to_string()))?;
        let answer = timeout(STAGE_MAX, self.peers.post::<()>(node, HELLO, body)).await;
        Ok(matches!(answer, Ok(Ok(()))))
    }

    async fn serve_on(&self, partition: usize) -> Result<(), StoreError> {
        self.store.step(move |rows| ownership::undrain(rows, partition)).await
    }

    async fn drained(&self, partition: usize) -> Result<bool, StoreError> {
        let deadline = Instant::now() + DRAIN_MAX;
        while !ownership::drained(&self.store.look()?, partition)? {
            if Instant::now() >= deadline {
                return Ok(false);
            }
            sleep(DRAINED).await;
        }
        Ok(true)
    }

    /// Whether the next owner has everything on its disk.
    async fn copied(&self, to: There, attempt: u64) -> Result<bool, ApiError> {
        let There { node, part } = to;
        let rows = ownership::copy(&self.store.look()?, part.partition, self.bug)?;
        let stage = Stage { part: Part { epoch: part.epoch + 1, ..part }, attempt, rows };
        let body = encode(&stage).map_err(|e| ApiError::internal(e.to_string()))?;
        let kept = timeout(STAGE_MAX, self.peers.post::<bool>(node, STAGE, body)).await;
        Ok(matches!(kept, Ok(Ok(true))))
    }

    /// The partition is sealed: has the map pass it on, as often as it takes.
    async fn pass_on(&self, part: Part, to: usize) -> Result<(), ApiError> {
        let Part { partition, epoch } = part;
        let request = format!("move-{partition}-{epoch}-{to}");
        let command = Command::Move { from: self.own, part, to };
        let answer = self.atlas.decide(Decide { request, command }).await?;
        if answer == Answer::Done {
            tracing::info!(partition, epoch = epoch + 1, to, "passed on");
        }
        self.atlas.refresh().await;
        Ok(())
    }
}
