//! A node: any node takes any request and has it answered by the owner of the account.

use std::collections::BTreeMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ordeal_kit::{ApiError, Id, PeerClient, PeerError, encode};
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout_at};

use crate::assign::partition_of;
use crate::atlas::Atlas;
use crate::book::{self, Refusal, There};
use crate::bugs::Bug;
use crate::map::{Map, Part};
use crate::messages::{ASK, Ask, Asked, Failure, Reply};
use crate::store::Store;

/// Before a request is tried again.
const RETRY: Duration = Duration::from_millis(25);
/// Before a locked account is looked at again.
const UNLOCKED: Duration = Duration::from_millis(5);
/// What a node that passes a request on keeps of the time, to hear the answer.
const FOR_THE_WAY: Duration = Duration::from_millis(50);

/// A node.
pub(crate) struct Node {
    pub(crate) own: usize,
    /// The names of all peers.
    pub(crate) names: Vec<String>,
    pub(crate) peers: Arc<PeerClient>,
    pub(crate) atlas: Atlas,
    pub(crate) store: Store,
    pub(crate) transactions: Transactions,
    /// How long a client's request may take.
    pub(crate) patience: Duration,
    pub(crate) bug: Option<Bug>,
}

/// Names for transactions that no other has, of this or any other life of any node.
pub(crate) struct Transactions {
    prefix: String,
    next: AtomicU64,
}

impl Transactions {
    pub(crate) fn new(node: &str) -> Self {
        // The standard library seeds it from the operating system. A clock would not do: it can be set back.
        let life = RandomState::new().hash_one(node);
        Transactions { prefix: format!("{node}-{life:016x}"), next: AtomicU64::new(0) }
    }

    pub(crate) fn next(&self) -> String {
        format!("{}-{}", self.prefix, self.next.fetch_add(1, Ordering::Relaxed))
    }
}

impl Node {
    /// The partition of an account.
    pub(crate) fn partition_of(&self, account: &Id, map: &Map) -> usize {
        let partitions = match self.bug {
            Some(Bug::RoutingByNodeCount) => map.nodes.len().min(map.owners.len()),
            _ => map.owners.len(),
        };
        partition_of(account.as_str(), partitions)
    }

    /// Where an account is, as far as this node knows.
    pub(crate) fn place_of(&self, account: &Id, map: &Map) -> There {
        let partition = self.partition_of(account, map);
        let owner = map.owners[partition];
        There { node: owner.node, part: Part { partition, epoch: owner.epoch } }
    }

    /// The partitions of these accounts.
    pub(crate) fn partitions_of(&self, accounts: &[Id], map: &Map) -> BTreeMap<String, usize> {
        accounts.iter().map(|id| (id.as_str().to_owned(), self.partition_of(id, map))).collect()
    }

    /// Answers a client's request, here or by way of the account's owner; tries again while that may help.
    pub(crate) async fn ask(self: &Arc<Self>, ask: Ask) -> Result<Value, ApiError> {
        let deadline = Instant::now() + self.patience;
        let mut in_doubt = false;
        loop {
            let late = |_| Err(Failure::unclear("no answer in time"));
            let failure = match timeout_at(deadline, self.attempt(&ask, deadline)).await.unwrap_or_else(late)
            {
                Ok(value) => return Ok(value),
                Err(failure) => failure,
            };
            in_doubt |= !failure.definite && ask.mutates();
            if !failure.again || Instant::now() + RETRY >= deadline {
                return Err(failure.told(in_doubt));
            }
            sleep(RETRY).await;
            // Nothing is lost if that takes too long: the next attempt goes by what is known.
            let _ = timeout_at(deadline, self.atlas.refresh()).await;
        }
    }

    async fn attempt(self: &Arc<Self>, ask: &Ask, deadline: Instant) -> Reply {
        let map = self.atlas.map().ok_or_else(|| Failure::again("the map is not known yet"))?;
        let There { node, part } = self.place_of(ask.account(), &map);
        let time = deadline.saturating_duration_since(Instant::now()).saturating_sub(FOR_THE_WAY);
        let asked = Asked { ask: ask.clone(), part, within_ms: time.as_millis() as u64 };
        if node == self.own {
            return self.answer(asked).await;
        }
        let body = encode(&asked).map_err(|e| ApiError::internal(e.to_string()))?;
        match self.peers.post::<Reply>(node, ASK, body).await {
            Ok(reply) => reply,
            Err(e @ (PeerError::Busy | PeerError::Unreachable)) => Err(Failure::again(e.to_string())),
            Err(e) => Err(Failure::unclear(e.to_string())),
        }
    }

    /// Answers as the owner.
    pub(crate) async fn answer(self: &Arc<Self>, asked: Asked) -> Reply {
        let Asked { ask, part, within_ms } = asked;
        let deadline = Instant::now() + Duration::from_millis(within_ms);
        match ask {
            Ask::Open { id, balance } => {
                json(self.store.step(move |rows| book::open(rows, part, &id, balance)).await??)
            }
            Ask::Read { id } => self.read(&id, part, deadline).await,
            Ask::Transfer(order) => {
                // Goes on to its end if nobody waits any more: a lock must not be left behind.
                let node = Arc::clone(self);
                let made = tokio::spawn(async move { node.transfer(order, part, deadline).await });
                json(made.await.map_err(|e| ApiError::internal(e.to_string()))??)
            }
        }
    }

    /// The account, as soon as no transfer holds it.
    async fn read(&self, id: &Id, part: Part, deadline: Instant) -> Reply {
        loop {
            match book::read(&self.store.look()?, part, id, self.bug)? {
                Err(Refusal::Locked) if Instant::now() + UNLOCKED < deadline => sleep(UNLOCKED).await,
                read => return json(read?.ok_or_else(|| Refusal::NoAccount(id.clone()))?),
            }
        }
    }
}

fn json(answer: impl serde::Serialize) -> Reply {
    Ok(serde_json::to_value(answer).map_err(|e| ApiError::internal(e.to_string()))?)
}
