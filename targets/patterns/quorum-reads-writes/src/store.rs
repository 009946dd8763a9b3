//! A replica's durable state: one redb file, one writer thread.
//!
//! Invariants:
//! - what a reader sees is on disk (redb shows a commit only after its fsync), so what a replica answers
//!   it still holds after a crash;
//! - a change is acknowledged after the commit that holds it; all changes queued meanwhile share the next
//!   commit (group commit);
//! - a patient's summary only moves to newer versions, the entries only grow;
//! - the queue of the writer is bounded; a full queue is an answer ([`StoreError::Busy`]), not a wait.

mod tables;

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ordeal_kit::Id;
use redb::{Database, Durability, ReadableDatabase};
use serde::{Deserialize, Serialize};
use tokio::sync::{oneshot, watch};

use crate::protocol::{Cell, Entries, Entry, Register, Update, VersionOrder};
use tables::{Reading, Writing};

/// Changes that may wait for the writer.
const QUEUE_MAX: usize = 4096;
/// Changes in one commit.
const BATCH_MAX: usize = 1024;
/// How long an acknowledged change may stay in memory under the bug `ack-before-sync`.
const LAZY_SYNC: Duration = Duration::from_millis(500);
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

/// How a new version's counter is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counter {
    /// The one after the larger of this and what the own store holds.
    After(u64),
    /// Just this (bug `wall-clock-versions`).
    Exactly(u64),
}

/// What stands for a set of entries: two replicas with the same digest hold the same set (but for a
/// collision of two 64-bit hashes at once). A sum over the entries, so that it is kept up as they come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Digest {
    pub(crate) entries: u64,
    pub(crate) sums: [u64; 2],
}

/// A patient's entries as a replica holds them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Set {
    pub(crate) entries: Arc<Entries>,
    pub(crate) digest: Digest,
}

impl Set {
    /// Digests these entries.
    pub(crate) fn new(entries: Arc<Entries>) -> Self {
        let digest = tables::digest(&entries);
        Set { entries, digest }
    }
}

/// What kind of store to open.
#[derive(Clone, Debug)]
pub(crate) struct StoreOptions {
    /// The node whose state it is.
    pub(crate) node: String,
    /// How versions are compared.
    pub(crate) order: VersionOrder,
    /// Ack when in memory, sync later (bug `ack-before-sync`).
    pub(crate) lazy_sync: bool,
}

/// A change kept for a peer that could not be reached (bug `hint-counted`).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Hint {
    pub(crate) peer: usize,
    pub(crate) update: Update,
}

enum Change {
    Update(Update, oneshot::Sender<()>),
    Issue { patient: Id, request_id: Id, text: String, counter: Counter, done: oneshot::Sender<Cell> },
    Hint(Hint, oneshot::Sender<()>),
    DropHint(u64, oneshot::Sender<()>),
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
    pub(crate) fn open(directory: &Path, options: StoreOptions) -> Result<Self, StoreError> {
        std::fs::create_dir_all(directory)?;
        let mut builder = Database::builder();
        builder.set_cache_size(CACHE_BYTES);
        let database = builder.create(directory.join("replica.redb")).map_err(database_error)?;
        tables::prepare(&database, &options.node)?;
        let database = Arc::new(database);
        let (changes, queue) = sync_channel(QUEUE_MAX);
        let (alive, running) = watch::channel(());
        let writing = Arc::clone(&database);
        let writer = std::thread::Builder::new().name("store".to_owned()).spawn(move || {
            if let Err(why) = write_all(&writing, &queue, &options) {
                tracing::error!(%why, "the store cannot be written");
            }
            drop(alive);
        })?;
        Ok(Store { database, changes: Some(changes), writer: Some(writer), running })
    }

    /// The summary, and what the request id led to.
    pub(crate) fn register(&self, patient: &Id, request_id: Option<&Id>) -> Result<Register, StoreError> {
        self.reading()?.register(patient, request_id)
    }

    /// One entry, and the size of the texts of all.
    pub(crate) fn entry(&self, patient: &Id, id: &Id) -> Result<(Option<Entry>, u64), StoreError> {
        let reading = self.reading()?;
        Ok((reading.entry(patient, id)?, reading.digest(patient)?.1))
    }

    /// All entries.
    pub(crate) fn set(&self, patient: &Id) -> Result<Set, StoreError> {
        self.reading()?.set(patient)
    }

    /// All entries, unless they are those the digest stands for.
    pub(crate) fn set_unless(&self, patient: &Id, known: Digest) -> Result<Option<Set>, StoreError> {
        let reading = self.reading()?;
        if reading.digest(patient)?.0 == known {
            return Ok(None);
        }
        reading.set(patient).map(Some)
    }

    /// The oldest hints, with their numbers.
    pub(crate) fn hints(&self, limit: usize) -> Result<Vec<(u64, Hint)>, StoreError> {
        self.reading()?.hints(limit)
    }

    /// Stores the update durably.
    pub(crate) async fn update(&self, update: Update) -> Result<(), StoreError> {
        self.change(|done| Change::Update(update, done)).await
    }

    /// Issues a version for the request and stores the summary durably; if the request has one already,
    /// that is the answer.
    pub(crate) async fn issue(
        &self,
        patient: Id,
        request_id: Id,
        text: String,
        counter: Counter,
    ) -> Result<Cell, StoreError> {
        self.change(|done| Change::Issue { patient, request_id, text, counter, done }).await
    }

    /// Keeps a hint durably.
    pub(crate) async fn hint(&self, hint: Hint) -> Result<(), StoreError> {
        self.change(|done| Change::Hint(hint, done)).await
    }

    /// Forgets a hint.
    pub(crate) async fn drop_hint(&self, number: u64) -> Result<(), StoreError> {
        self.change(|done| Change::DropHint(number, done)).await
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

/// The writer: commits batches until the queue is closed. On an error it ends, and with it the node:
/// what a failed commit left behind is only known after the file is opened again.
fn write_all(
    database: &Database,
    queue: &Receiver<Change>,
    options: &StoreOptions,
) -> Result<(), StoreError> {
    let mut synced = Instant::now();
    let mut open = true;
    while open {
        let mut batch = Vec::new();
        match queue.recv_timeout(LAZY_SYNC) {
            Ok(first) => batch.push(first),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => open = false,
        }
        batch.extend(queue.try_iter().take(BATCH_MAX - 1));
        let mut durability = Durability::Immediate;
        if options.lazy_sync && open && synced.elapsed() < LAZY_SYNC {
            durability = Durability::None;
        } else {
            synced = Instant::now();
        }
        if !batch.is_empty() || options.lazy_sync {
            write_batch(database, batch, durability, options)?;
        }
    }
    Ok(())
}

type Tell = Box<dyn FnOnce()>;

fn write_batch(
    database: &Database,
    batch: Vec<Change>,
    durability: Durability,
    options: &StoreOptions,
) -> Result<(), StoreError> {
    let mut transaction = database.begin_write().map_err(database_error)?;
    transaction.set_durability(durability).map_err(database_error)?;
    let mut changed = options.lazy_sync;
    let mut answers: Vec<Tell> = Vec::with_capacity(batch.len());
    {
        let mut tables = Writing::open(&transaction)?;
        for change in batch {
            answers.push(apply(&mut tables, change, options, &mut changed)?);
        }
    }
    if changed {
        transaction.commit().map_err(database_error)?;
    } else {
        // Everything asked for was durable already.
        transaction.abort().map_err(database_error)?;
    }
    for tell in answers {
        tell();
    }
    Ok(())
}

/// Applies one change; the answer is to be told after the commit. Nobody may be waiting for it.
fn apply(
    tables: &mut Writing<'_>,
    change: Change,
    options: &StoreOptions,
    changed: &mut bool,
) -> Result<Tell, StoreError> {
    Ok(match change {
        Change::Update(update, done) => {
            *changed |= match update {
                Update::Summary { patient, cell } => tables.put_summary(&patient, &cell, options.order)?,
                Update::Entries { patient, entries } => tables.merge(&patient, &entries)?,
            };
            tell(done, ())
        }
        Change::Issue { patient, request_id, text, counter, done } => {
            if let Some(known) = tables.known(&patient, &request_id)? {
                return Ok(tell(done, known));
            }
            let held = tables.summary(&patient)?.map_or(0, |cell| cell.version.counter);
            let counter = match counter {
                Counter::After(floor) => floor.max(held) + 1,
                Counter::Exactly(counter) => counter,
            };
            let version = crate::protocol::Version { counter, node: options.node.clone() };
            let cell = Cell { version, request_id, text };
            *changed |= tables.put_summary(&patient, &cell, options.order)?;
            tell(done, cell)
        }
        Change::Hint(hint, done) => {
            tables.add_hint(&hint)?;
            *changed = true;
            tell(done, ())
        }
        Change::DropHint(number, done) => {
            tables.drop_hint(number)?;
            *changed = true;
            tell(done, ())
        }
    })
}

fn tell<T: 'static>(done: oneshot::Sender<T>, answer: T) -> Tell {
    Box::new(move || {
        let _ = done.send(answer);
    })
}

#[cfg(test)]
mod tests;
