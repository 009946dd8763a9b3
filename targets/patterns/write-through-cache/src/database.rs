//! The database node: it keeps all scores, and sees to it that no cache serves an old one.
//!
//! The life of a write: its turn among the writes of the match → whoever may have a copy is told the number of the event
//! to come, and drops what is older → all have confirmed, or their leases have run out → commit and sync → answer. Until the
//! commit everybody is answered with the old score, from copies and from here; after it nobody is, for there is
//! no older copy left. So a crash in between leaves nothing behind but caches that forgot something.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use ordeal_kit::store::StoreError;
use ordeal_kit::{ApiError, Id, PeerClient, encode};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::bugs::Bug;
use crate::clock::Clock;
use crate::leases::{Holder, Leases};
use crate::messages::{
    AskEvents, AskLease, AskRead, AskWrite, Events, Found, Granted, INVALIDATE, Invalidate, Refusal,
};
use crate::score::{Event, Standing};
use crate::store::Store;

/// Matches that can be written at the same time.
const TURNS: usize = 64;
/// Writes that are under way or wait for their turn.
const WRITES_MAX: usize = 1_024;
/// The pause before a cache that did not confirm is told again.
const AGAIN: Duration = Duration::from_millis(20);

/// The node.
#[derive(Debug)]
pub(crate) struct Database {
    pub(crate) store: Store,
    pub(crate) clock: Clock,
    leases: Mutex<Leases>,
    peers: PeerClient,
    nodes: usize,
    /// One write of a match at a time; matches may share a turn.
    turns: [tokio::sync::Mutex<()>; TURNS],
    /// Writes under way or waiting for their turn, also those that nobody waits for any more.
    places: Arc<Semaphore>,
    bug: Option<Bug>,
}

impl Database {
    pub(crate) fn new(
        store: Store,
        leases: Leases,
        clock: Clock,
        (peers, nodes): (PeerClient, usize),
        bug: Option<Bug>,
    ) -> Self {
        let turns = std::array::from_fn(|_| tokio::sync::Mutex::default());
        let places = Arc::new(Semaphore::new(WRITES_MAX));
        Database { store, clock, leases: Mutex::new(leases), peers, nodes, turns, places, bug }
    }

    fn leases(&self) -> MutexGuard<'_, Leases> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Refuses what does not come from a node of this cluster.
    pub(crate) fn known(&self, node: usize) -> Result<(), ApiError> {
        match node < self.nodes {
            true => Ok(()),
            false => {
                Err(ApiError::malformed(format!("there are {} nodes, and none is number {node}", self.nodes)))
            }
        }
    }

    /// Grants a lease, if the session that is to be renewed is not over.
    pub(crate) fn lease(&self, ask: &AskLease) -> Granted {
        let mut leases = self.leases();
        // After the lock, as everywhere: what was decided while a thread waited for it was decided earlier.
        let now = self.clock.now();
        match ask.session {
            None => Some(leases.begin(ask.cache, now)),
            Some(session) => leases.renew(ask.cache, session, now).then_some(session),
        }
    }

    /// Reads a match for a cache.
    pub(crate) fn read(&self, ask: &AskRead) -> Result<Found, StoreError> {
        // In this order: what is written between the two is told to the cache.
        let may_copy = self.leases().may_copy(&ask.of, ask.holder, self.clock.now());
        Ok(Found { standing: self.store.standing(&ask.of)?, may_copy })
    }

    /// The events of a match.
    pub(crate) fn events(&self, ask: &AskEvents) -> Result<Events, StoreError> {
        self.store.events(&ask.of, ask.from, ask.limit)
    }

    /// Writes a score. It is done to the end even if whoever asked has gone; so many at a time.
    pub(crate) async fn write(self: &Arc<Self>, ask: AskWrite) -> Result<Result<Found, Refusal>, StoreError> {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else { return Ok(Err(Refusal::Busy)) };
        let database = Arc::clone(self);
        let writing = tokio::spawn(async move {
            let _place = place;
            database.write_in_turn(ask).await
        });
        match writing.await.unwrap_or(Err(StoreError::Failed)) {
            Err(StoreError::Busy) => Ok(Err(Refusal::Busy)),
            other => other,
        }
    }

    async fn write_in_turn(self: &Arc<Self>, ask: AskWrite) -> Result<Result<Found, Refusal>, StoreError> {
        let AskWrite { of, request_id, score, holder } = ask;
        let _turn = self.turns[turn(&of)].lock().await;
        if let Some(done) = self.store.done(&of, &request_id)?
            && self.bug != Some(Bug::RetryAppliedTwice)
        {
            // It may be an old one by now, and is not to be copied.
            let found = Found { may_copy: false, standing: done.clone().into() };
            return Ok(if done.score == score { Ok(found) } else { Err(Refusal::Reused) });
        }
        let sequence = self.store.standing(&of)?.sequence + 1;
        self.invalidate(&of, sequence).await?;
        let written = self.store.write(of.clone(), request_id, score).await;
        self.leases().end_write(&of);
        let standing: Standing = written.map(Event::into)?;
        let may_copy = self.leases().may_copy(&of, holder, self.clock.now());
        Ok(Ok(Found { standing, may_copy }))
    }

    /// Returns when nobody can serve anything that is older than the event of this number.
    async fn invalidate(self: &Arc<Self>, of: &Id, sequence: u64) -> Result<(), StoreError> {
        let message = encode(&Invalidate { of: of.clone(), sequence })?;
        let holders = self.leases().begin_write(of, self.clock.now());
        let mut told = JoinSet::new();
        for holder in holders {
            let (database, message) = (Arc::clone(self), message.clone());
            told.spawn(async move { database.tell(holder, message).await });
        }
        if self.bug == Some(Bug::AckBeforeInvalidations) {
            told.detach_all();
        }
        while told.join_next().await.is_some() {}
        Ok(())
    }

    /// Tells a cache, until it confirms or its lease has run out.
    async fn tell(&self, holder: Holder, message: Bytes) {
        let (mut until, mut left) = (Duration::MAX, Duration::MAX);
        while !left.is_zero() {
            let told = self.peers.post::<()>(holder.cache, INVALIDATE, message.clone());
            if tokio::time::timeout(left, told).await.is_ok_and(|told| told.is_ok()) {
                return;
            }
            if self.bug == Some(Bug::SilentCacheGivenUp) {
                return;
            }
            // Once it is closed it is not renewed: the first time that is said is final.
            let closed_until = {
                let mut leases = self.leases();
                leases.close(holder, self.clock.now())
            };
            until = until.min(closed_until);
            left = until.saturating_sub(self.clock.now());
            tokio::time::sleep(AGAIN.min(left)).await;
        }
    }
}

/// The turn that a match takes.
fn turn(of: &Id) -> usize {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish() as usize % TURNS
}
