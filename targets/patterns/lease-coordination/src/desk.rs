//! A price node: holds leases, and writes and reads the prices of the symbols whose leases it holds.
//!
//! - A strong read is answered from memory, and only while the lease certainly lasts.
//! - A price is acknowledged when a majority of the price nodes has it on disk, this one included.
//! - One write a symbol at a time, and none before it is certain what became of the one before: prices of one
//!   holder take effect in the order of their versions.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::StatusCode;
use ordeal_kit::{ApiError, Id};

use crate::bugs::Bug;
use crate::clock::{Clock, Terms};
use crate::coordinators::Coordinators;
use crate::leases::{Answer, Command, Leases};
use crate::prices::{Cell, Recent, Version};
use crate::replicas::{Quote, Quotes, Replicas};
use crate::routes::Grant;
use crate::store::{Store, Untaken};

/// Symbols whose locks are kept while nobody waits for them.
const WRITING_MAX: usize = 1_024;

/// A lease that this node holds, or held until it was told otherwise.
struct Held {
    token: u64,
    /// Until when it may be relied on, on this node's clock.
    until: Duration,
    /// The newest price that a majority has for certain.
    committed: Option<Cell>,
    /// Writes under this token, begun.
    seq: u64,
    recent: Recent,
}

/// One price node.
pub(crate) struct Desk {
    pub(crate) id: Id,
    pub(crate) clock: Clock,
    pub(crate) terms: Terms,
    pub(crate) store: Store,
    pub(crate) replicas: Replicas,
    pub(crate) coordinators: Coordinators,
    pub(crate) bug: Option<Bug>,
    held: Mutex<BTreeMap<Id, Held>>,
    /// Taken while a symbol is written, or changes hands.
    writing: Mutex<HashMap<Id, Arc<tokio::sync::Mutex<()>>>>,
    /// Who holds what, as the coordinators said last, and when that was.
    table: Mutex<Option<(Leases, Duration)>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Desk {
    pub(crate) fn new(
        id: Id,
        (clock, terms, bug): (Clock, Terms, Option<Bug>),
        store: Store,
        replicas: Replicas,
        coordinators: Coordinators,
    ) -> Self {
        let (held, writing, table) = Default::default();
        Desk { id, clock, terms, store, replicas, coordinators, bug, held, writing, table }
    }

    /// Makes this node the holder. If it is already, that changes nothing.
    pub(crate) async fn acquire(&self, symbol: &Id) -> Result<Grant, ApiError> {
        let writing = self.writing(symbol);
        let _writing = writing.lock().await;
        if let Some(grant) = self.grant(symbol) {
            return Ok(grant);
        }
        let asked_at = self.clock.now();
        let command = Command::Acquire { symbol: symbol.clone(), holder: self.id.clone() };
        let token = match self.coordinators.ask(command).await.done()? {
            Answer::Granted { token } => token,
            Answer::Held { holder, token } => {
                return Err(ApiError::conflict(format!("{holder} holds it with the token {token}")));
            }
            other => return Err(ApiError::busy(format!("no lease: {other:?}"))),
        };
        match self.take_over(symbol, token).await {
            Ok((committed, recent)) => {
                let until = asked_at + self.terms.relied_on();
                let held = Held { token, until, committed, seq: 0, recent };
                locked(&self.held).insert(symbol.clone(), held);
            }
            Err(why) => {
                // Somebody else may have more luck. If this gets lost the lease expires.
                self.coordinators.ask(Command::Release { symbol: symbol.clone(), token }).await;
                return Err(ApiError::maybe_done(format!("granted, but given back: {why}")));
            }
        }
        tracing::info!(%symbol, token, "holds");
        let lapsed = || ApiError::maybe_done("granted, but expired before it could be used");
        self.grant(symbol).ok_or_else(lapsed)
    }

    /// Shuts older holders out and finds the newest price, which then carries this token.
    async fn take_over(&self, symbol: &Id, token: u64) -> Result<(Option<Cell>, Recent), String> {
        let own = self.store.fence(symbol, token).await.map_err(|why| why.to_string())?;
        let heard = self.replicas.fence(symbol, token).await;
        if !heard.enough {
            return Err("a majority of the price nodes cannot be reached".to_owned());
        }
        let others = if self.bug == Some(Bug::TakeoverWithoutRecovery) { Vec::new() } else { heard.said };
        let (mut newest, mut recent) = (own.cell, own.recent);
        for other in others {
            newest = [newest, other.cell].into_iter().flatten().max_by_key(|cell| cell.version);
            recent.merge(other.recent);
        }
        let Some(found) = newest else {
            return Ok((None, recent));
        };
        let cell = Cell { version: Version { token, seq: 0 }, ..found };
        match self.replicate(symbol, &cell, false).await {
            Ok(true) => Ok((Some(cell), recent)),
            Ok(false) => Err("no majority of the price nodes took the price found".to_owned()),
            Err(why) => Err(why.to_string()),
        }
    }

    /// Renews what this node holds, or has held and was not told that it lost. Drops what is lost.
    pub(crate) async fn renew(&self, leases: BTreeMap<Id, u64>) -> Result<(), ApiError> {
        let asked_at = self.clock.now();
        let lost = match self.coordinators.ask(Command::Renew { leases: leases.clone() }).await.done()? {
            Answer::Renewed { lost } => lost,
            other => return Err(ApiError::internal(format!("not an answer to a renewal: {other:?}"))),
        };
        let until = asked_at + self.terms.relied_on();
        let mut held = locked(&self.held);
        for (symbol, token) in leases {
            if lost.contains(&symbol) {
                if held.get(&symbol).is_some_and(|held| held.token == token) {
                    tracing::info!(%symbol, token, "lost");
                    held.remove(&symbol);
                }
            } else if let Some(held) = held.get_mut(&symbol).filter(|held| held.token == token) {
                held.until = held.until.max(until);
            }
        }
        Ok(())
    }

    /// Renews one lease now, on somebody's wish.
    pub(crate) async fn renew_one(&self, symbol: &Id, token: u64) -> Result<Grant, ApiError> {
        let ours = locked(&self.held).get(symbol).is_some_and(|held| held.token == token);
        if ours {
            self.renew([(symbol.clone(), token)].into()).await?;
        }
        let grant = self.grant(symbol).filter(|grant| grant.token == token);
        grant.ok_or_else(|| ApiError::conflict(format!("the lease with the token {token} is over here")))
    }

    /// Gives a lease up. One that is over already is none the less over.
    pub(crate) async fn release(&self, symbol: &Id, token: u64) -> Result<(), ApiError> {
        let writing = self.writing(symbol);
        let _writing = writing.lock().await;
        {
            let mut held = locked(&self.held);
            if held.get(symbol).is_none_or(|held| held.token != token) {
                return Err(ApiError::conflict(format!("the lease with the token {token} is not here")));
            }
            // Nothing is served any more before anybody else can be let in.
            held.remove(symbol);
        }
        self.coordinators.ask(Command::Release { symbol: symbol.clone(), token }).await.done().map(drop)
    }

    /// Writes a price under a token.
    pub(crate) async fn update(
        &self,
        symbol: &Id,
        token: u64,
        price: u64,
        request_id: Id,
    ) -> Result<u64, ApiError> {
        let writing = self.writing(symbol);
        let _writing = writing.lock().await;
        self.settle(symbol).await?;
        let version = {
            let mut held = locked(&self.held);
            let held = held.get_mut(symbol).filter(|held| self.serves(held));
            let held = held.ok_or_else(|| self.not_the_holder(symbol))?;
            if token > held.token {
                return Err(ApiError::conflict("no such token was ever granted to this node"));
            }
            if let Some(version) = held.recent.get(&request_id) {
                return Ok(version.token);
            }
            held.seq += 1;
            Version { token, seq: held.seq }
        };
        let cell = Cell { version, price, request_id };
        match self.replicate(symbol, &cell, true).await {
            Ok(true) => {
                self.commit(symbol, cell);
                Ok(token)
            }
            Ok(false) => Err(ApiError::maybe_done("no majority of the price nodes has it yet")),
            Err(why) => Err(why.into()),
        }
    }

    /// Finds out what becomes of a price that this node has and perhaps nobody else: it is offered again.
    async fn settle(&self, symbol: &Id) -> Result<(), ApiError> {
        let newest = self.store.newest(symbol);
        let doubtful = {
            let held = locked(&self.held);
            let committed = held.get(symbol).and_then(|held| held.committed.as_ref());
            newest.filter(|cell| {
                committed.map(|c| c.version) < Some(cell.version)
                    && held.get(symbol).is_some_and(|held| held.token == cell.version.token)
            })
        };
        let Some(cell) = doubtful else { return Ok(()) };
        match self.replicate(symbol, &cell, true).await {
            Ok(true) => {
                self.commit(symbol, cell);
                Ok(())
            }
            _ => Err(ApiError::unavailable("a majority of the price nodes cannot be reached")),
        }
    }

    /// Puts a price on this node's disk, and on those of enough others; answers whether it is a majority.
    /// An error means that this node did not take it, and nobody was asked to.
    async fn replicate(&self, symbol: &Id, cell: &Cell, audit: bool) -> Result<bool, Untaken> {
        self.store.take(symbol, cell.clone(), audit).await?;
        let heard = self.replicas.take(symbol, cell, audit).await;
        if let Some(fenced) = heard.fenced {
            tracing::info!(%symbol, token = cell.version.token, newer = fenced.token, "fenced");
        }
        Ok(heard.enough)
    }

    fn commit(&self, symbol: &Id, cell: Cell) {
        if let Some(held) = locked(&self.held).get_mut(symbol) {
            held.recent.push(cell.request_id.clone(), cell.version);
            held.committed = Some(cell);
        }
    }

    /// Whether the lease certainly lasts.
    fn serves(&self, held: &Held) -> bool {
        self.clock.now() < held.until || self.bug == Some(Bug::HolderServesAfterExpiry)
    }

    /// The price of a symbol that this node holds now.
    pub(crate) fn quote(&self, symbol: &Id) -> Option<Quote> {
        let held = locked(&self.held);
        held.get(symbol).filter(|held| self.serves(held)).map(quote)
    }

    /// All prices that this node holds now.
    pub(crate) fn quotes(&self) -> Quotes {
        let held = locked(&self.held);
        let serving = held.iter().filter(|(_, held)| self.serves(held));
        serving.map(|(symbol, held)| (symbol.clone(), quote(held))).collect()
    }

    /// The lease of a symbol, if this node holds it now.
    fn grant(&self, symbol: &Id) -> Option<Grant> {
        let held = locked(&self.held);
        let held = held.get(symbol).filter(|held| self.serves(held))?;
        let left = held.until.saturating_sub(self.clock.now());
        Some(Grant { holder: self.id.clone(), token: held.token, expires_in_ms: left.as_millis() as u64 })
    }

    /// What this node holds, or has held and was not told that it lost.
    pub(crate) fn tokens(&self) -> BTreeMap<Id, u64> {
        locked(&self.held).iter().map(|(symbol, held)| (symbol.clone(), held.token)).collect()
    }

    /// Who holds a symbol, as the coordinators said last.
    pub(crate) fn holder(&self, symbol: &Id) -> Option<Id> {
        let table = locked(&self.table);
        Some(table.as_ref()?.0.0.get(symbol)?.holder.clone())
    }

    /// Asks the coordinators who holds what.
    pub(crate) async fn look_up(&self) -> Option<Leases> {
        let leases = self.coordinators.table().await?;
        *locked(&self.table) = Some((leases.clone(), self.clock.now()));
        Some(leases)
    }

    /// Whether the coordinators were heard of lately.
    pub(crate) fn in_touch(&self) -> bool {
        let lately = |at: Duration| self.clock.now().saturating_sub(at) < self.terms.lease;
        locked(&self.table).as_ref().is_some_and(|(_, at)| lately(*at))
    }

    pub(crate) fn not_the_holder(&self, symbol: &Id) -> ApiError {
        let holder = self.holder(symbol).map_or("nobody known".to_owned(), |holder| holder.to_string());
        ApiError::refused(StatusCode::MISDIRECTED_REQUEST, format!("not the holder; that is {holder}"))
    }

    fn writing(&self, symbol: &Id) -> Arc<tokio::sync::Mutex<()>> {
        let mut writing = locked(&self.writing);
        if writing.len() > WRITING_MAX {
            writing.retain(|_, lock| Arc::strong_count(lock) > 1);
        }
        Arc::clone(writing.entry(symbol.clone()).or_default())
    }
}

fn quote(held: &Held) -> Quote {
    Quote { token: held.token, price: held.committed.as_ref().map(|cell| cell.price) }
}
