//! One consistent snapshot of accounts at several nodes, without locks: a double collect (Afek et al. 1993).
//!
//! Every owner is asked for its accounts, and when all have answered, all are asked again. Versions only grow, and an
//! owner does not answer while a transfer in doubt may already have changed an account. So if nothing differs, all
//! accounts were as they were read at the moment between the two rounds.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ordeal_kit::{ApiError, Id, encode};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};

use crate::book::{self, Account, Refusal};
use crate::bugs::Bug;
use crate::map::{Map, Part};
use crate::messages::{LOOK, LookAt, Seen};
use crate::node::Node;

/// Before the accounts are read again.
const AGAIN: Duration = Duration::from_millis(3);

/// Accounts by id; `None` if there is none.
pub(crate) type Snapshot = BTreeMap<Id, Option<Account>>;

/// Who owns which of the accounts.
type Owners = BTreeMap<usize, Vec<(Id, Part)>>;

impl Node {
    /// All these accounts as they were at one moment within this call.
    pub(crate) async fn balances(self: &Arc<Self>, accounts: &[Id]) -> Result<Snapshot, ApiError> {
        let deadline = Instant::now() + self.patience;
        loop {
            let why = match timeout_at(deadline, self.double_collect(accounts)).await {
                Ok(Ok(snapshot)) => return Ok(snapshot),
                Ok(Err(why)) => why,
                Err(_) => "not all owners answered in time".to_owned(),
            };
            if Instant::now() + AGAIN >= deadline {
                return Err(ApiError::unavailable(why));
            }
            sleep(AGAIN).await;
        }
    }

    async fn double_collect(self: &Arc<Self>, accounts: &[Id]) -> Result<Snapshot, String> {
        let map = self.atlas.map().ok_or("the map is not known yet")?;
        let owners = self.owners(accounts, &map);
        let first = self.collect(&owners).await?;
        // One owner answers from one moment.
        if owners.len() == 1 || self.bug == Some(Bug::SnapshotNotConfirmed) {
            return Ok(first);
        }
        let second = self.collect(&owners).await?;
        if first == second { Ok(first) } else { Err("the accounts change all the time".to_owned()) }
    }

    fn owners(&self, accounts: &[Id], map: &Map) -> Owners {
        let mut owners = Owners::new();
        for id in accounts {
            let place = self.place_of(id, map);
            owners.entry(place.node).or_default().push((id.clone(), place.part));
        }
        owners
    }

    /// Asks all owners at once.
    async fn collect(self: &Arc<Self>, owners: &Owners) -> Result<Snapshot, String> {
        let mut asked = JoinSet::new();
        for (&owner, accounts) in owners {
            let (node, accounts) = (Arc::clone(self), accounts.clone());
            asked.spawn(async move {
                let seen = node.look_at(owner, LookAt { accounts: accounts.clone() }).await?;
                let ids = accounts.into_iter().map(|(id, _)| id);
                Ok(ids.zip(seen).collect::<Vec<_>>())
            });
        }
        let mut snapshot = Snapshot::new();
        let mut refused = None;
        while let Some(answer) = asked.join_next().await {
            match answer.map_err(|e| e.to_string()).flatten() {
                Ok(seen) => snapshot.extend(seen),
                Err(why) => refused = Some(why),
            }
        }
        let Some(why) = refused else { return Ok(snapshot) };
        self.atlas.refresh().await;
        Err(why)
    }

    async fn look_at(&self, owner: usize, at: LookAt) -> Result<Vec<Option<Account>>, String> {
        let seen = if owner == self.own {
            self.seen(&at).map_err(|e| e.reason)?
        } else {
            let body = encode(&at).map_err(|e| e.to_string())?;
            self.peers.post::<Seen>(owner, LOOK, body).await.map_err(|e| e.to_string())?
        };
        seen.map_err(|refusal| refusal.to_string())
    }

    /// The accounts as this node, their owner, has them at one moment.
    pub(crate) fn seen(&self, at: &LookAt) -> Result<Seen, ApiError> {
        let look = self.store.look()?;
        let read = |(id, part): &(Id, Part)| book::read(&look, *part, id, self.bug);
        let all: Result<Vec<Result<Option<Account>, Refusal>>, _> = at.accounts.iter().map(read).collect();
        Ok(all?.into_iter().collect())
    }
}
