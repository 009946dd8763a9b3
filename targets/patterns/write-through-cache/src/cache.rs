//! A cache node: it serves its copies as long as its lease lasts, and passes everything else on to the database.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ordeal_kit::{ApiError, Id, PeerClient, PeerError, encode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::DATABASE;
use crate::bugs::Bug;
use crate::clock::{Clock, Terms};
use crate::copies::Copies;
use crate::leases::Holder;
use crate::messages::{
    AskEvents, AskLease, AskRead, AskWrite, EVENTS, Events, Found, Granted, Invalidate, LEASE, READ, Refusal,
    WRITE,
};
use crate::score::{Score, Standing};

/// The pause before a lease is asked for again that was not granted.
const AGAIN: Duration = Duration::from_millis(5);

/// The node.
#[derive(Debug)]
pub(crate) struct Cache {
    pub(crate) own: usize,
    pub(crate) clock: Clock,
    pub(crate) terms: Terms,
    pub(crate) copies: Mutex<Copies>,
    /// For leases, which must not be waited for long.
    pub(crate) lessor: PeerClient,
    /// For everything else.
    pub(crate) database: PeerClient,
    pub(crate) bug: Option<Bug>,
}

impl Cache {
    fn copies(&self) -> MutexGuard<'_, Copies> {
        self.copies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn holder(&self) -> Holder {
        Holder { cache: self.own, session: self.copies().session() }
    }

    /// The match, and whether this is a hit: the database was not asked.
    pub(crate) async fn read(&self, of: Id) -> Result<(Standing, bool), ApiError> {
        match self.hit(&of) {
            Some(standing) => Ok((standing, true)),
            None => Ok((self.read_database(of).await?, false)),
        }
    }

    /// The own copy, if it may be served now.
    fn hit(&self, of: &Id) -> Option<Standing> {
        let copies = self.copies();
        // After the lock: the lease may run out while a thread waits for it.
        copies.hit(of, self.clock.now())
    }

    /// The match as the database has it; the answer is kept as a copy.
    pub(crate) async fn read_database(&self, of: Id) -> Result<Standing, ApiError> {
        let holder = self.holder();
        let found: Found = self.ask(READ, &AskRead { of: of.clone(), holder }).await.map_err(not_read)?;
        self.keep(&of, &found, holder);
        Ok(found.standing)
    }

    /// Writes to the database and, with its answer, to the own copy.
    pub(crate) async fn write(
        self: &Arc<Self>,
        of: Id,
        request_id: Id,
        score: Score,
    ) -> Result<Standing, ApiError> {
        if self.bug == Some(Bug::WriteBack)
            && let Some(standing) = self.write_back(&of, &request_id, &score)
        {
            return Ok(standing);
        }
        self.write_through(of, request_id, score).await
    }

    async fn write_through(&self, of: Id, request_id: Id, score: Score) -> Result<Standing, ApiError> {
        let holder = self.holder();
        let ask = AskWrite { of: of.clone(), request_id, score, holder };
        let written: Result<Found, Refusal> = self.ask(WRITE, &ask).await.map_err(not_written)?;
        let found = written.map_err(refused)?;
        self.keep(&of, &found, holder);
        Ok(found.standing)
    }

    /// The defect: changes the own copy, if there is one, and writes to the database later.
    fn write_back(self: &Arc<Self>, of: &Id, request_id: &Id, score: &Score) -> Option<Standing> {
        let mut copies = self.copies();
        let copy = copies.hit(of, self.clock.now())?;
        let session = copies.session()?;
        let standing = Standing { sequence: copy.sequence + 1, score: Some(score.clone()) };
        copies.fill(of, standing.clone(), session);
        let (cache, of, request_id, score) =
            (Arc::clone(self), of.clone(), request_id.clone(), score.clone());
        tokio::spawn(async move { cache.write_through(of, request_id, score).await });
        Some(standing)
    }

    /// The events of a match, which are not copied.
    pub(crate) async fn events(&self, ask: &AskEvents) -> Result<Events, ApiError> {
        self.ask(EVENTS, ask).await.map_err(not_read)
    }

    /// Drops what is older than the event that is about to be written.
    pub(crate) fn invalidate(&self, message: &Invalidate) {
        self.copies().invalidate(&message.of, message.sequence);
    }

    fn keep(&self, of: &Id, found: &Found, holder: Holder) {
        if let Some(session) = holder.session.filter(|_| found.may_copy) {
            self.copies().fill(of, found.standing.clone(), session);
        }
    }

    async fn ask<T: DeserializeOwned>(&self, path: &str, message: &impl Serialize) -> Result<T, PeerError> {
        let message = encode(message).map_err(|_| PeerError::Busy)?;
        self.database.post(DATABASE, path, message).await
    }

    /// Keeps the lease, for ever.
    pub(crate) async fn keep_lease(self: Arc<Self>) {
        loop {
            let pause = if self.renew().await { self.terms.renewal() } else { AGAIN };
            tokio::time::sleep(pause).await;
        }
    }

    /// Renews the lease, or asks for a new one; whether that was granted.
    async fn renew(&self) -> bool {
        // Before anything is sent: whenever the database grants it, that is later.
        let asked = self.clock.now();
        let ask = AskLease { cache: self.own, session: self.copies().session() };
        let Ok(message) = encode(&ask) else { return false };
        match self.lessor.post::<Granted>(DATABASE, LEASE, message).await {
            Ok(Some(session)) => {
                let from = if self.bug == Some(Bug::LeaseFromAnswer) { self.clock.now() } else { asked };
                self.copies().granted(session, ask.session, from);
                true
            }
            Ok(None) => {
                tracing::info!(session = ask.session, "the lease is over");
                self.copies().end();
                false
            }
            Err(why) => {
                tracing::debug!(%why, "the lease was not renewed");
                false
            }
        }
    }
}

/// Nothing is changed by reading, so any failure is definite.
#[allow(clippy::needless_pass_by_value, reason = "the signature map_err asks for")]
fn not_read(why: PeerError) -> ApiError {
    ApiError::unavailable(format!("there is no copy, and the database does not answer: {why}"))
}

#[allow(clippy::needless_pass_by_value, reason = "the signature map_err asks for")]
fn not_written(why: PeerError) -> ApiError {
    match why {
        PeerError::Busy | PeerError::Unreachable | PeerError::Refused(429 | 503) => {
            ApiError::unavailable(format!("the database did not take it: {why}"))
        }
        PeerError::NoAnswer(_) | PeerError::Refused(_) => {
            ApiError::maybe_done(format!("the database did not confirm it: {why}"))
        }
    }
}

/// The database certainly did not write.
pub(crate) fn refused(why: Refusal) -> ApiError {
    match why {
        Refusal::Reused => ApiError::conflict("this request id was used for another score"),
        Refusal::Busy => ApiError::busy("too much is to be written already"),
    }
}
