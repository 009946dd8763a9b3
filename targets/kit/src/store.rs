//! A node's durable state: one redb file, one writer thread, group commit.
//!
//! Invariants:
//! - what a reader sees is on disk: redb shows a commit only after its fsync;
//! - a change is acknowledged after the commit that holds it; all changes queued meanwhile share the next commit;
//! - the queue of the writer is bounded; a full queue is an answer ([`StoreError::Busy`]), not a wait;
//! - on an error the writer ends, and with it the node: what a failed commit left behind is only known after the file is
//!   opened again.

use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use redb::{
    AccessGuard, Database, Durability, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition,
    WriteTransaction,
};
use serde::de::DeserializeOwned;
use tokio::sync::{oneshot, watch};

use crate::ApiError;

/// Changes that may wait for the writer.
const QUEUE_MAX: usize = 4096;
/// Changes in one commit.
const BATCH_MAX: usize = 1024;
/// How long an acknowledged change may stay in memory if the store is lazy.
const LAZY_SYNC: Duration = Duration::from_millis(500);
/// What redb may cache. Nodes are small and many.
const CACHE_BYTES: usize = 16 << 20;

/// Facts about the store itself.
const META: TableDefinition<'_, &str, &str> = TableDefinition::new("meta");

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
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

/// What a client is told of a change that failed.
impl From<StoreError> for ApiError {
    fn from(why: StoreError) -> ApiError {
        match why {
            StoreError::Busy => ApiError::busy(why.to_string()),
            StoreError::Stopped => ApiError::unavailable(why.to_string()),
            _ => ApiError::internal(why.to_string()),
        }
    }
}

/// An error of the database, whichever of its kinds.
pub fn database_error(why: impl Into<redb::Error>) -> StoreError {
    StoreError::Database(Box::new(why.into()))
}

/// Opens a database in this file, or makes one. It is made aside: redb never again opens a file in whose making its process
/// ended.
///
/// # Errors
/// The database, or the directory.
pub fn open_database(file: &Path, cache_bytes: usize) -> Result<Database, redb::Error> {
    let mut builder = Database::builder();
    builder.set_cache_size(cache_bytes);
    if !file.try_exists()? {
        let unfinished = file.with_extension("unfinished");
        match std::fs::remove_file(&unfinished) {
            Err(why) if why.kind() != ErrorKind::NotFound => return Err(why.into()),
            _ => drop(builder.create(&unfinished)?),
        }
        std::fs::rename(&unfinished, file)?;
        if let Some(directory) = file.parent() {
            // The file itself must be there after a power loss, not only what is in it.
            File::open(directory)?.sync_all()?;
        }
    }
    Ok(builder.open(file)?)
}

/// Reads a row of JSON.
///
/// # Errors
/// If it is not what was written.
pub fn parsed<T: DeserializeOwned>(
    row: Option<AccessGuard<'_, &'static [u8]>>,
) -> Result<Option<T>, StoreError> {
    Ok(row.map(|row| serde_json::from_slice(row.value())).transpose()?)
}

/// Which file to open, and how.
#[derive(Clone, Copy, Debug)]
pub struct StoreFile<'a> {
    /// Where it is; created if need be.
    pub directory: &'a Path,
    /// Its name there.
    pub name: &'static str,
    /// The node whose state it is.
    pub node: &'a str,
    /// Changes are acknowledged when they are in memory, and synced up to 500 ms later: a planted defect.
    pub lazy: bool,
}

/// What is told to those who asked, once the commit is done.
#[derive(Default)]
pub struct Answers(Vec<Box<dyn FnOnce()>>);

impl Answers {
    /// Adds an answer.
    pub fn add<T: 'static>(&mut self, done: oneshot::Sender<T>, answer: T) {
        self.0.push(Box::new(move || {
            // Nobody may be waiting any more.
            let _ = done.send(answer);
        }));
    }
}

/// What changes do to the tables.
pub trait Writer: Send + 'static {
    /// A change, with whom to tell.
    type Change: Send;

    /// Applies changes within one commit, each with an answer. False: everything asked for was there already, and there
    /// is nothing to commit.
    ///
    /// # Errors
    /// Then nothing of it is committed, and the writer ends.
    fn write(
        &mut self,
        transaction: &WriteTransaction,
        changes: Vec<Self::Change>,
        answers: &mut Answers,
    ) -> Result<bool, StoreError>;
}

/// An open file. Dropping it ends the writer and closes the file.
#[derive(Debug)]
pub struct Storage<C> {
    database: Arc<Database>,
    changes: Option<SyncSender<C>>,
    writer: Option<JoinHandle<()>>,
    running: watch::Receiver<()>,
}

impl<C: Send + 'static> Storage<C> {
    /// Opens a file. `prepare` makes all tables, so that readers find them.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn open<T>(
        file: StoreFile<'_>,
        writer: impl Writer<Change = C>,
        prepare: impl FnOnce(&WriteTransaction) -> Result<T, StoreError>,
    ) -> Result<(Self, T), StoreError> {
        std::fs::create_dir_all(file.directory)?;
        let database = open_database(&file.directory.join(file.name), CACHE_BYTES).map_err(database_error)?;
        let transaction = database.begin_write().map_err(database_error)?;
        check_node(&transaction, file.node)?;
        let prepared = prepare(&transaction)?;
        transaction.commit().map_err(database_error)?;
        let database = Arc::new(database);
        let (changes, queue) = sync_channel(QUEUE_MAX);
        let (alive, running) = watch::channel(());
        let (writing, lazy) = (Arc::clone(&database), file.lazy);
        let writer = std::thread::Builder::new().name("store".to_owned()).spawn(move || {
            if let Err(why) = write_all(&writing, &queue, writer, lazy) {
                tracing::error!(%why, "the store cannot be written");
            }
            drop(alive);
        })?;
        Ok((Storage { database, changes: Some(changes), writer: Some(writer), running }, prepared))
    }

    /// The tables as they are now.
    ///
    /// # Errors
    /// The database.
    pub fn read(&self) -> Result<ReadTransaction, StoreError> {
        self.database.begin_read().map_err(database_error)
    }

    /// Makes a change, durably; answers with what the writer tells.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn change<T>(&self, change: impl FnOnce(oneshot::Sender<T>) -> C) -> Result<T, StoreError> {
        let (done, answer) = oneshot::channel();
        let changes = self.changes.as_ref().ok_or(StoreError::Stopped)?;
        changes.try_send(change(done)).map_err(|why| match why {
            TrySendError::Full(_) => StoreError::Busy,
            TrySendError::Disconnected(_) => StoreError::Stopped,
        })?;
        answer.await.map_err(|_| StoreError::Failed)
    }
}

impl<C> Storage<C> {
    /// Completes when the writer has ended: nothing can be stored any more.
    pub fn failed(&self) -> impl Future<Output = ()> + Send + use<C> + 'static
    where
        C: 'static,
    {
        let mut running = self.running.clone();
        async move { while running.changed().await.is_ok() {} }
    }
}

impl<C> Drop for Storage<C> {
    fn drop(&mut self) {
        self.changes = None;
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the store's writer panicked");
        }
    }
}

/// Notes whose file it is, or refuses one that is another's.
fn check_node(transaction: &WriteTransaction, node: &str) -> Result<(), StoreError> {
    let mut meta = transaction.open_table(META).map_err(database_error)?;
    let found = meta.get("node").map_err(database_error)?.map(|row| row.value().to_owned());
    match found {
        Some(found) if found != node => {
            return Err(StoreError::OtherNode { found, expected: node.to_owned() });
        }
        Some(_) => {}
        None => {
            meta.insert("node", node).map_err(database_error)?;
        }
    }
    Ok(())
}

/// Commits batches until the queue is closed.
fn write_all<W: Writer>(
    database: &Database,
    queue: &Receiver<W::Change>,
    mut writer: W,
    lazy: bool,
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
        if lazy && open && synced.elapsed() < LAZY_SYNC {
            durability = Durability::None;
        } else {
            synced = Instant::now();
        }
        if batch.is_empty() && !lazy {
            continue;
        }
        let mut transaction = database.begin_write().map_err(database_error)?;
        transaction.set_durability(durability).map_err(database_error)?;
        let mut answers = Answers::default();
        let changed = writer.write(&transaction, batch, &mut answers)?;
        // A lazy batch may change nothing, and still has to bring to disk what came before.
        if changed || lazy {
            transaction.commit().map_err(database_error)?;
        } else {
            transaction.abort().map_err(database_error)?;
        }
        answers.0.into_iter().for_each(|tell| tell());
    }
    Ok(())
}
