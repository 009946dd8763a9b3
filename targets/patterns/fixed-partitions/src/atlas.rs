//! What a node knows of the map. Founders replicate it; the other nodes ask them.

use std::sync::Arc;
use std::time::Duration;

use ordeal_kit::{ApiError, PeerClient, PeerError, encode};
use ordeal_raft::Consensus;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::map::{Answer, Command, Map};
use crate::messages::{DECIDE, Decide, Decided, Failure, MAP, Shown};

/// How often a node that is no founder asks for the map, and how often one that waits for it looks again.
const POLL: Duration = Duration::from_millis(50);
/// How long somebody who needs the newest map waits for it before going on with what is known.
const REFRESH_MAX: Duration = Duration::from_millis(200);

/// A node's view of the map.
pub(crate) struct Atlas {
    pub(crate) own: usize,
    /// The first so many peers are founders.
    pub(crate) founders: usize,
    pub(crate) partitions: usize,
    /// At a founder.
    pub(crate) consensus: Option<Consensus<Map>>,
    pub(crate) peers: Arc<PeerClient>,
    newest: watch::Sender<Arc<Map>>,
}

impl Atlas {
    pub(crate) fn new(
        own: usize,
        founders: usize,
        partitions: usize,
        consensus: Option<Consensus<Map>>,
        peers: Arc<PeerClient>,
    ) -> Self {
        Atlas { own, founders, partitions, consensus, peers, newest: watch::Sender::default() }
    }

    /// The newest map that this node has seen, if it has seen any.
    pub(crate) fn map(&self) -> Option<Arc<Map>> {
        Some(Arc::clone(&self.newest.borrow())).filter(|map| !map.owners.is_empty())
    }

    /// Follows [`Atlas::map`].
    pub(crate) fn follow(&self) -> watch::Receiver<Arc<Map>> {
        self.newest.subscribe()
    }

    /// Keeps up with the map, for ever.
    pub(crate) async fn keep_up(&self) {
        let Some(consensus) = &self.consensus else {
            loop {
                if let Some(map) = self.certain().await {
                    self.offer(map);
                }
                sleep(POLL).await;
            }
        };
        let mut applied = consensus.follow();
        loop {
            self.offer(consensus.local(Map::clone));
            if self.map().is_none() {
                self.begin().await;
            }
            // An error means that this node is stopping.
            if let Ok(Err(_)) = timeout(POLL, applied.changed()).await {
                return;
            }
        }
    }

    /// Has the cluster begin, if it has not yet.
    async fn begin(&self) {
        let begin = Command::Begin { partitions: self.partitions, nodes: (0..self.founders).collect() };
        if let Err(why) = self.decide(Decide { request: "begin".to_owned(), command: begin }).await {
            tracing::debug!(%why.reason, "the cluster has not begun");
        }
    }

    /// Learns the newest map, if that can be had soon.
    pub(crate) async fn refresh(&self) {
        if let Ok(Some(map)) = timeout(REFRESH_MAX, self.certain()).await {
            self.offer(map);
        }
    }

    fn offer(&self, map: Map) {
        self.newest.send_if_modified(|newest| {
            let newer = map.version > newest.version;
            if newer {
                *newest = Arc::new(map);
            }
            newer
        });
    }

    /// The map as it was at some instant within this call; `None` if nobody can say so.
    pub(crate) async fn certain(&self) -> Option<Map> {
        if let Some(consensus) = &self.consensus {
            let map = consensus.read(Map::clone).await.ok()?;
            return Some(map).filter(|map| !map.owners.is_empty());
        }
        let body = encode(&()).ok()?;
        for founder in self.founders_in_turn() {
            if let Ok(Some(map)) = self.peers.post::<Shown>(founder, MAP, body.clone()).await {
                return Some(map);
            }
        }
        None
    }

    /// Has a change of the map decided.
    pub(crate) async fn decide(&self, decide: Decide) -> Result<Answer, ApiError> {
        if let Some(consensus) = &self.consensus {
            return Ok(consensus.propose(&decide.request, &decide.command).await?.answer);
        }
        let body = encode(&decide).map_err(|e| ApiError::internal(e.to_string()))?;
        let (mut last, mut in_doubt) = (Failure::again("no founder can be reached"), false);
        for founder in self.founders_in_turn() {
            last = match self.peers.post::<Decided>(founder, DECIDE, body.clone()).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(failure)) => failure,
                Err(e @ (PeerError::Busy | PeerError::Unreachable)) => Failure::again(e.to_string()),
                Err(e) => Failure::unclear(e.to_string()),
            };
            in_doubt |= !last.definite;
        }
        Err(last.told(in_doubt))
    }

    /// All founders, those that answered last time first.
    fn founders_in_turn(&self) -> Vec<usize> {
        let mut founders: Vec<usize> = (0..self.founders).map(|n| (self.own + n) % self.founders).collect();
        founders.sort_by_key(|founder| !self.peers.answering(*founder));
        founders
    }
}
