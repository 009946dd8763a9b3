//! A node's durable state ([`ordeal_kit::store`]).
//!
//! Invariants, besides those of the kit's store:
//! - a node votes once on a trade, and learns one decision of it; neither is ever changed;
//! - a confirmed trade is booked in the commit in which this node learns of it, and never again;
//! - what a client was told is accepted is in the list of unfinished requests until it is decided.

mod tables;
mod writer;

use std::path::Path;

use ordeal_kit::Id;
use ordeal_kit::store::{Storage, StoreError, StoreFile};
use redb::WriteTransaction;
use serde::{Deserialize, Serialize};

use crate::bugs::Bug;
use crate::trade::{Decision, Details, TradeCopy};
use tables::{Reading, Writing};
use writer::{Change, Writer};

/// A request that was accepted and is not finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Request {
    /// To have a trade decided.
    Trade,
    /// To have it settled.
    Settlement,
}

/// Something that is known of a trade for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fact {
    pub(crate) trade: Id,
    pub(crate) decision: Decision,
    pub(crate) settled: bool,
}

/// A line of the ledger: a trade that was executed here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Booking {
    pub(crate) correlation_id: Id,
    pub(crate) counterparty: Id,
    pub(crate) volume: u64,
    /// What the counterparty's volumes add up to with this one.
    pub(crate) position: u64,
}

/// An open store. Dropping it ends the writer and closes the file.
#[derive(Debug)]
pub(crate) struct Store {
    storage: Storage<Change>,
}

impl Store {
    /// Opens the store in the directory, which is created if need be.
    pub(crate) fn open(directory: &Path, node: &str, bug: Option<Bug>) -> Result<Self, StoreError> {
        let lazy = bug == Some(Bug::AckBeforeSync);
        let file = StoreFile { directory, name: "trades.redb", node, lazy };
        let prepare = |transaction: &WriteTransaction| Writing::open(transaction).map(drop);
        let (storage, ()) = Storage::open(file, Writer { bug }, prepare)?;
        Ok(Store { storage })
    }

    /// What this node has of a trade; nothing at all is the default.
    pub(crate) fn copy(&self, trade: &Id) -> Result<TradeCopy, StoreError> {
        self.reading()?.copy(trade)
    }

    /// The copies of trades after this one, by name, so many at most.
    pub(crate) fn copies(&self, after: &str, limit: usize) -> Result<Vec<(Id, TradeCopy)>, StoreError> {
        self.reading()?.copies(after, limit)
    }

    /// The requests that were accepted and are not finished, so many at most.
    pub(crate) fn unfinished(
        &self,
        after: Option<&(Request, Id)>,
        limit: usize,
    ) -> Result<Vec<(Request, Id)>, StoreError> {
        self.reading()?.unfinished(after, limit)
    }

    /// The ledger from this line on, so many at most.
    pub(crate) fn ledger(&self, from: u64, limit: usize) -> Result<Vec<Booking>, StoreError> {
        self.reading()?.ledger(from, limit)
    }

    /// What this node learned from this position on, so much at most, and the position after it.
    pub(crate) fn learned(&self, from: u64, limit: usize) -> Result<(Vec<Fact>, u64), StoreError> {
        self.reading()?.learned(from, limit)
    }

    /// Votes for these details, unless this node has voted; then, what it has.
    pub(crate) async fn vote(&self, trade: Id, details: Details) -> Result<TradeCopy, StoreError> {
        self.storage.change(|done| Change::Vote { trade, details, accept: false, done }).await
    }

    /// Like [`Store::vote`], and takes the trade upon this node to have it decided.
    pub(crate) async fn accept(&self, trade: Id, details: Details) -> Result<TradeCopy, StoreError> {
        self.storage.change(|done| Change::Vote { trade, details, accept: true, done }).await
    }

    /// Takes it upon this node to have the trade settled.
    pub(crate) async fn accept_settlement(&self, trade: Id) -> Result<(), StoreError> {
        self.storage.change(|done| Change::AcceptSettlement(trade, done)).await
    }

    /// Confirms the settlement of a trade that is confirmed with these details; false if this node knows better.
    pub(crate) async fn confirm_settlement(&self, trade: Id, details: Details) -> Result<bool, StoreError> {
        self.storage.change(|done| Change::ConfirmSettlement(trade, details, done)).await
    }

    /// Keeps what is known.
    pub(crate) async fn learn(&self, facts: Vec<Fact>) -> Result<(), StoreError> {
        self.storage.change(|done| Change::Learn(facts, done)).await
    }

    /// Completes when the writer has ended: nothing can be stored any more.
    pub(crate) fn failed(&self) -> impl Future<Output = ()> + Send + 'static {
        self.storage.failed()
    }

    fn reading(&self) -> Result<Reading, StoreError> {
        self.storage.read().map(Reading)
    }
}
