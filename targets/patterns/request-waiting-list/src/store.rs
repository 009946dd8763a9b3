//! A node's durable state: one redb file, one writer thread.
//!
//! Invariants:
//! - what a reader sees is on disk (redb shows a commit only after its fsync), and a change is acknowledged after the
//!   commit that holds it; all changes queued meanwhile share the next commit;
//! - a node votes once on a trade, and learns one decision of it; neither is ever changed;
//! - a confirmed trade is booked in the commit in which this node learns of it, and never again;
//! - what a client was told is accepted is in the list of unfinished requests until it is decided;
//! - the queue of the writer is bounded; a full queue is an answer ([`StoreError::Busy`]), not a wait.

mod tables;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use ordeal_kit::Id;
use redb::{Database, ReadableDatabase};
use serde::{Deserialize, Serialize};
use tokio::sync::{oneshot, watch};

use crate::bugs::Bug;
use crate::trade::{Decision, Details, TradeCopy};
use tables::Reading;
use writer::{Change, write_all};

/// Changes that may wait for the writer.
const QUEUE_MAX: usize = 4096;
/// What redb may cache. Nodes are small and many.
const CACHE_BYTES: usize = 16 << 20;

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// The writer's queue is full; nothing was done.
    #[error("the store's queue is full")]
    Busy,
    /// The writer has ended; nothing was done.
    #[error("the store has stopped")]
    Stopped,
    /// The writer failed on this change, or ended before it; it may be stored or not.
    #[error("the store failed")]
    Failed,
    /// The database.
    #[error("database: {0}")]
    Database(Box<redb::Error>),
    /// A row that is not what this program writes.
    #[error("a row of the store is damaged: {0}")]
    Row(#[from] serde_json::Error),
    /// The directory holds another node's state.
    #[error("the data directory belongs to node {found}, not {expected}")]
    OtherNode {
        /// Whose it is.
        found: String,
        /// Who tried to open it.
        expected: String,
    },
    /// The directory.
    #[error("data directory: {0}")]
    Directory(#[from] std::io::Error),
}

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
    database: Arc<Database>,
    changes: Option<SyncSender<Change>>,
    writer: Option<JoinHandle<()>>,
    running: watch::Receiver<()>,
}

impl Store {
    /// Opens the store in the directory, which is created if need be.
    pub(crate) fn open(directory: &Path, node: &str, bug: Option<Bug>) -> Result<Self, StoreError> {
        std::fs::create_dir_all(directory)?;
        let mut builder = Database::builder();
        builder.set_cache_size(CACHE_BYTES);
        let database = builder.create(directory.join("trades.redb")).map_err(database_error)?;
        tables::prepare(&database, node)?;
        let database = Arc::new(database);
        let (changes, queue) = sync_channel(QUEUE_MAX);
        let (alive, running) = watch::channel(());
        let writing = Arc::clone(&database);
        let writer = std::thread::Builder::new().name("store".to_owned()).spawn(move || {
            if let Err(why) = write_all(&writing, &queue, bug) {
                tracing::error!(%why, "the store cannot be written");
            }
            drop(alive);
        })?;
        Ok(Store { database, changes: Some(changes), writer: Some(writer), running })
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
        self.change(|done| Change::Vote { trade, details, accept: false, done }).await
    }

    /// Like [`Store::vote`], and takes the trade upon this node to have it decided.
    pub(crate) async fn accept(&self, trade: Id, details: Details) -> Result<TradeCopy, StoreError> {
        self.change(|done| Change::Vote { trade, details, accept: true, done }).await
    }

    /// Takes it upon this node to have the trade settled.
    pub(crate) async fn accept_settlement(&self, trade: Id) -> Result<(), StoreError> {
        self.change(|done| Change::AcceptSettlement(trade, done)).await
    }

    /// Confirms the settlement of a trade that is confirmed with these details; false if this node knows better.
    pub(crate) async fn confirm_settlement(&self, trade: Id, details: Details) -> Result<bool, StoreError> {
        self.change(|done| Change::ConfirmSettlement(trade, details, done)).await
    }

    /// Keeps what is known.
    pub(crate) async fn learn(&self, facts: Vec<Fact>) -> Result<(), StoreError> {
        self.change(|done| Change::Learn(facts, done)).await
    }

    /// Completes when the writer has ended: nothing can be stored any more.
    pub(crate) fn failed(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut running = self.running.clone();
        async move { while running.changed().await.is_ok() {} }
    }

    fn reading(&self) -> Result<Reading, StoreError> {
        Ok(Reading(self.database.begin_read().map_err(database_error)?))
    }

    async fn change<T>(&self, change: impl FnOnce(oneshot::Sender<T>) -> Change) -> Result<T, StoreError> {
        let (done, answer) = oneshot::channel();
        let changes = self.changes.as_ref().ok_or(StoreError::Stopped)?;
        changes.try_send(change(done)).map_err(|why| match why {
            TrySendError::Full(_) => StoreError::Busy,
            TrySendError::Disconnected(_) => StoreError::Stopped,
        })?;
        answer.await.map_err(|_| StoreError::Failed)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.changes = None;
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the store's writer panicked");
        }
    }
}

fn database_error(why: impl Into<redb::Error>) -> StoreError {
    StoreError::Database(Box::new(why.into()))
}
