//! The database's durable state: one redb file, one writer thread.
//!
//! Invariants:
//! - what a reader sees is on disk: redb shows a commit only after its fsync;
//! - an event is acknowledged after the commit that holds it, the standing after it, and what its request led to; all
//!   that is queued meanwhile shares the next commit;
//! - the events of a match are numbered from 1 without gaps;
//! - the queue of the writer is bounded; a full queue is an answer ([`StoreError::Busy`]), not a wait.

mod tables;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ordeal_kit::Id;
use redb::{Database, Durability, ReadableDatabase};
use tokio::sync::{oneshot, watch};

use crate::bugs::Bug;
use crate::score::{Event, Score, Standing};
use tables::{Reading, Writing};

/// Events that may wait for the writer.
const QUEUE_MAX: usize = 4096;
/// Events in one commit.
const BATCH_MAX: usize = 1024;
/// How long an acknowledged event may stay in memory under the bug `ack-before-sync`.
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
    /// The writer failed on this event, or ended before it; it may be stored or not.
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

/// A score that is to be written.
struct Change {
    of: Id,
    request_id: Id,
    score: Score,
    done: oneshot::Sender<Event>,
}

/// An open store. Dropping it ends the writer and closes the file.
#[derive(Debug)]
pub(crate) struct Store {
    database: Arc<Database>,
    life: u32,
    changes: Option<SyncSender<Change>>,
    writer: Option<JoinHandle<()>>,
    running: watch::Receiver<()>,
}

impl Store {
    /// Opens the store of this node in the directory, which is created if need be.
    pub(crate) fn open(directory: &Path, node: &str, bug: Option<Bug>) -> Result<Self, StoreError> {
        std::fs::create_dir_all(directory)?;
        let mut builder = Database::builder();
        builder.set_cache_size(CACHE_BYTES);
        let database = builder.create(directory.join("scores.redb")).map_err(database_error)?;
        let life = tables::prepare(&database, node)?;
        let database = Arc::new(database);
        let (changes, queue) = sync_channel(QUEUE_MAX);
        let (alive, running) = watch::channel(());
        let writing = Arc::clone(&database);
        let writer = std::thread::Builder::new().name("store".to_owned()).spawn(move || {
            let mut writer = Writer { bug, since_start: HashMap::new() };
            if let Err(why) = writer.write_all(&writing, &queue) {
                tracing::error!(%why, "the store cannot be written");
            }
            drop(alive);
        })?;
        Ok(Store { database, life, changes: Some(changes), writer: Some(writer), running })
    }

    /// How often it was opened, this time included.
    pub(crate) fn life(&self) -> u32 {
        self.life
    }

    /// The match as it stands.
    pub(crate) fn standing(&self, of: &Id) -> Result<Standing, StoreError> {
        self.reading()?.standing(of)
    }

    /// What the request led to, if it was done.
    pub(crate) fn done(&self, of: &Id, request_id: &Id) -> Result<Option<Event>, StoreError> {
        self.reading()?.done(of, request_id)
    }

    /// The events of a match from this number on, so many at most.
    pub(crate) fn events(&self, of: &Id, from: u64, limit: usize) -> Result<Vec<Event>, StoreError> {
        self.reading()?.events(of, from, limit)
    }

    /// Writes the next event of a match, durably.
    pub(crate) async fn write(&self, of: Id, request_id: Id, score: Score) -> Result<Event, StoreError> {
        let (done, answer) = oneshot::channel();
        let changes = self.changes.as_ref().ok_or(StoreError::Stopped)?;
        changes.try_send(Change { of, request_id, score, done }).map_err(|why| match why {
            TrySendError::Full(_) => StoreError::Busy,
            TrySendError::Disconnected(_) => StoreError::Stopped,
        })?;
        answer.await.map_err(|_| StoreError::Failed)
    }

    /// Completes when the writer has ended: nothing can be stored any more.
    pub(crate) fn failed(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut running = self.running.clone();
        async move { while running.changed().await.is_ok() {} }
    }

    fn reading(&self) -> Result<Reading, StoreError> {
        Ok(Reading(self.database.begin_read().map_err(database_error)?))
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

struct Writer {
    bug: Option<Bug>,
    /// The numbers given out since the start, by match (bug `sequence-not-persisted`).
    since_start: HashMap<Id, u64>,
}

impl Writer {
    /// Commits batches until the queue is closed. On an error it ends, and with it the node: what a failed commit
    /// left behind is only known after the file is opened again.
    fn write_all(&mut self, database: &Database, queue: &Receiver<Change>) -> Result<(), StoreError> {
        let lazy = self.bug == Some(Bug::AckBeforeSync);
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
            if lazy && open && synced.elapsed() < LAZY_SYNC {
                durability = Durability::None;
            } else {
                synced = Instant::now();
            }
            if !batch.is_empty() || lazy {
                self.write_batch(database, batch, durability)?;
            }
        }
        Ok(())
    }

    fn write_batch(
        &mut self,
        database: &Database,
        batch: Vec<Change>,
        durability: Durability,
    ) -> Result<(), StoreError> {
        let mut transaction = database.begin_write().map_err(database_error)?;
        transaction.set_durability(durability).map_err(database_error)?;
        let mut written = Vec::with_capacity(batch.len());
        {
            let mut tables = Writing::open(&transaction)?;
            for Change { of, request_id, score, done } in batch {
                let event = Event { sequence: self.next(&tables, &of)?, request_id, score };
                tables.put(&of, &event)?;
                written.push((done, event));
            }
        }
        transaction.commit().map_err(database_error)?;
        for (done, event) in written {
            // Nobody may be waiting any more.
            let _ = done.send(event);
        }
        Ok(())
    }

    /// The number of the next event.
    fn next(&mut self, tables: &Writing<'_>, of: &Id) -> Result<u64, StoreError> {
        if self.bug == Some(Bug::SequenceNotPersisted) {
            let last = self.since_start.entry(of.clone()).or_default();
            *last += 1;
            return Ok(*last);
        }
        Ok(tables.standing(of)?.sequence + 1)
    }
}

#[cfg(test)]
mod tests;
