//! The durable log and vote: one redb file, one writer thread.
//!
//! Invariants:
//! - an entry, a vote, a truncation is acknowledged after the commit that holds it; what is queued meanwhile
//!   shares the next commit (group commit), in the order in which it was asked for;
//! - no entry is removed before a snapshot that covers it is on disk: openraft 0.9.25 asks for that while a snapshot that it
//!   received is still being saved, and a node that dies in between could never start again;
//! - every row carries a checksum and the indices have no hole: a log that is damaged is found when it
//!   is opened, and is never read past;
//! - after [`Log::close`] the file is free, whoever still holds the log: openraft's own tasks outlive its
//!   shutdown by a moment;
//! - the entries that are not yet purged are in memory too, for reading; snapshots keep them few.

use std::collections::BTreeMap;
use std::fmt::{Debug, Display};
use std::io;
use std::ops::RangeBounds;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;

use openraft::storage::{LogFlushed, LogState, RaftLogStorage};
use openraft::{OptionalSend, RaftLogReader};
use ordeal_kit::store::open_database;
use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{oneshot, watch};

use crate::machine::Covered;
use crate::types::{Entry, LogId, StorageError, Types, Vote};

const ENTRIES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("entries");
const MARKS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("marks");

const VOTE: &str = "vote";
const COMMITTED: &str = "committed";
const PURGED: &str = "purged";

/// Requests in one commit.
const BATCH_MAX: usize = 1024;
/// Requests that wait for the writer. Raft waits for each but those that say what is committed.
const QUEUE_MAX: usize = 4096;
/// What redb may cache. Nodes are small and many.
const CACHE_BYTES: usize = 16 << 20;

/// Why a log could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Its content is not what was written, at this place.
    #[error("the log is damaged at {at}: {why}")]
    Damaged {
        /// An entry's index, or the name of a mark.
        at: String,
        /// What was found.
        why: String,
    },
    /// The database.
    #[error("the log's database: {0}")]
    Database(Box<redb::Error>),
    /// The directory or the thread.
    #[error("the log: {0}")]
    Io(#[from] io::Error),
}

impl LogError {
    /// Whether the content is wrong, rather than the machine unable to read it.
    pub(crate) fn is_damage(&self) -> bool {
        match self {
            LogError::Damaged { .. } => true,
            LogError::Database(why) => match &**why {
                redb::Error::Corrupted(_) => true,
                redb::Error::Io(why) => why.kind() == io::ErrorKind::InvalidData,
                _ => false,
            },
            LogError::Io(_) => false,
        }
    }
}

fn database(e: impl Into<redb::Error>) -> LogError {
    LogError::Database(Box::new(e.into()))
}

/// How the log is to be kept.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LogOptions {
    /// Acknowledge before anything is on disk (a planted defect).
    pub(crate) lazy: bool,
}

enum Request {
    Append(Vec<(u64, Vec<u8>)>, LogFlushed<Types>),
    Vote(Vec<u8>, oneshot::Sender<io::Result<()>>),
    Committed(Vec<u8>),
    /// Removes entries from this index on.
    Truncate(u64, oneshot::Sender<io::Result<()>>),
    /// Removes entries up to this index; then the mark.
    Purge(u64, Vec<u8>, oneshot::Sender<io::Result<()>>),
}

/// What is on disk, and what will be once the writer has caught up.
#[derive(Debug, Default)]
struct Memory {
    entries: BTreeMap<u64, Entry>,
    vote: Option<Vote>,
    committed: Option<LogId>,
    purged: Option<LogId>,
}

impl Memory {
    fn last(&self) -> Option<LogId> {
        self.entries.values().next_back().map(|entry| entry.log_id).or(self.purged)
    }
}

/// The log of one node.
#[derive(Clone)]
pub(crate) struct Log {
    memory: Arc<Mutex<Memory>>,
    writer: Arc<Writer>,
    /// What the saved snapshot covers, once somebody says so.
    covered: Arc<OnceLock<watch::Receiver<Covered>>>,
}

/// The way to the writer; nothing once it is closed.
struct Writer(Mutex<Option<(SyncSender<Request>, JoinHandle<()>)>>);

impl Writer {
    /// Takes no more requests, and waits until those that were taken are on disk and the file is free.
    fn close(&self) {
        let open = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((requests, thread)) = open {
            drop(requests);
            // A writer that panicked has told everybody who waited.
            let _ = thread.join();
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.close();
    }
}

impl Log {
    /// Opens the log in this directory, or makes one.
    pub(crate) fn open(dir: &Path, options: LogOptions) -> Result<Log, LogError> {
        std::fs::create_dir_all(dir)?;
        let database = open_database(&dir.join("log.redb"), CACHE_BYTES).map_err(database)?;
        Log::over(database, options)
    }

    /// The log in this database.
    pub(crate) fn over(database: Database, options: LogOptions) -> Result<Log, LogError> {
        let memory = Arc::new(Mutex::new(read_all(&database)?));
        let (requests, queue) = sync_channel(QUEUE_MAX);
        let thread = std::thread::Builder::new()
            .name("raft-log".to_owned())
            .spawn(move || write(&database, &queue, options))?;
        let writer = Arc::new(Writer(Mutex::new(Some((requests, thread)))));
        Ok(Log { memory, writer, covered: Arc::default() })
    }

    /// From now on entries are removed only behind the snapshot that is saved.
    pub(crate) fn keep_behind(&self, covered: watch::Receiver<Covered>) {
        // Told once, by the node that opened it.
        let _ = self.covered.set(covered);
    }

    /// Waits until all that was asked for is on disk and the file is free; what is asked for later fails.
    pub(crate) async fn close(&self) {
        let writer = Arc::clone(&self.writer);
        // A panic in there has been reported already.
        let _ = tokio::task::spawn_blocking(move || writer.close()).await;
    }

    /// The last entry that was removed because a snapshot covers it.
    pub(crate) fn purged(&self) -> Option<LogId> {
        self.memory().purged
    }

    /// The last entry that there is, or was before it was removed.
    pub(crate) fn last(&self) -> Option<LogId> {
        self.memory().last()
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, request: Request) -> io::Result<()> {
        let writer = self.writer.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (requests, _) = writer.as_ref().ok_or_else(stopped)?;
        match requests.try_send(request) {
            Ok(()) => Ok(()),
            // The mark is a hint: without it, more is learned from the others after a restart.
            Err(TrySendError::Full(Request::Committed(_))) => Ok(()),
            Err(TrySendError::Full(_)) => Err(io::Error::other("too much waits for the log's writer")),
            Err(TrySendError::Disconnected(_)) => Err(stopped()),
        }
    }

    async fn ask(&self, request: impl FnOnce(oneshot::Sender<io::Result<()>>) -> Request) -> io::Result<()> {
        let (done, outcome) = oneshot::channel();
        self.send(request(done))?;
        outcome.await.unwrap_or_else(|_| Err(stopped()))
    }
}

fn stopped() -> io::Error {
    io::Error::other("the log's writer has stopped")
}

/// A row: a checksum of the JSON, then the JSON.
fn row<T: Serialize>(value: &T) -> io::Result<Vec<u8>> {
    let text = serde_json::to_vec(value)?;
    let mut row = crc32fast::hash(&text).to_le_bytes().to_vec();
    row.extend_from_slice(&text);
    Ok(row)
}

fn read_row<T: DeserializeOwned>(row: &[u8], at: &dyn Display) -> Result<T, LogError> {
    let damaged = |why: String| LogError::Damaged { at: at.to_string(), why };
    let Some((sum, text)) = row.split_first_chunk::<4>() else {
        return Err(damaged("it is too short".to_owned()));
    };
    if u32::from_le_bytes(*sum) != crc32fast::hash(text) {
        return Err(damaged("its checksum is wrong".to_owned()));
    }
    serde_json::from_slice(text).map_err(|e| damaged(e.to_string()))
}

fn read_all(db: &Database) -> Result<Memory, LogError> {
    let transaction = db.begin_write().map_err(database)?;
    transaction.open_table(ENTRIES).map_err(database)?;
    transaction.open_table(MARKS).map_err(database)?;
    transaction.commit().map_err(database)?;
    let transaction = db.begin_read().map_err(database)?;
    let marks = transaction.open_table(MARKS).map_err(database)?;
    let mark = |name: &str| marks.get(name).map_err(database);
    let mut memory = Memory {
        vote: mark(VOTE)?.map(|m| read_row(m.value(), &VOTE)).transpose()?,
        committed: mark(COMMITTED)?.map(|m| read_row(m.value(), &COMMITTED)).transpose()?.flatten(),
        purged: mark(PURGED)?.map(|m| read_row(m.value(), &PURGED)).transpose()?.flatten(),
        entries: BTreeMap::new(),
    };
    let mut expected = memory.purged.map_or(0, |id| id.index + 1);
    for found in transaction.open_table(ENTRIES).map_err(database)?.iter().map_err(database)? {
        let (index, value) = found.map_err(database)?;
        let index = index.value();
        let entry: Entry = read_row(value.value(), &index)?;
        let hole = expected != index || entry.log_id.index != index;
        if hole {
            let why = "entries are missing before it".to_owned();
            return Err(LogError::Damaged { at: index.to_string(), why });
        }
        expected = index + 1;
        memory.entries.insert(index, entry);
    }
    Ok(memory)
}

/// The writer: takes what is queued, commits it at once, tells those who wait.
fn write(db: &Database, queue: &Receiver<Request>, options: LogOptions) {
    while let Ok(first) = queue.recv() {
        let mut batch = vec![first];
        batch.extend(queue.try_iter().take(BATCH_MAX - 1));
        let outcome = commit(db, &batch, options).map_err(|e| e.to_string());
        if let Err(why) = &outcome {
            tracing::error!(%why, "the log could not be written");
        }
        let result = || outcome.clone().map_err(io::Error::other);
        for request in batch {
            match request {
                Request::Append(_, flushed) => flushed.log_io_completed(result()),
                Request::Vote(_, done) | Request::Truncate(_, done) | Request::Purge(_, _, done) => {
                    let _ = done.send(result());
                }
                Request::Committed(_) => {}
            }
        }
        if outcome.is_err() {
            // Nothing may be acknowledged after a commit that failed.
            return;
        }
    }
}

fn commit(db: &Database, batch: &[Request], options: LogOptions) -> Result<(), redb::Error> {
    let mut transaction = db.begin_write()?;
    // Where the log is committed up to is known again from the others: it is worth no sync of its own.
    let only_marks = batch.iter().all(|request| matches!(request, Request::Committed(_)));
    if options.lazy || only_marks {
        transaction.set_durability(Durability::None)?;
    }
    {
        let mut entries = transaction.open_table(ENTRIES)?;
        let mut marks = transaction.open_table(MARKS)?;
        for request in batch {
            match request {
                Request::Append(rows, _) => {
                    for (index, row) in rows {
                        entries.insert(index, row.as_slice())?;
                    }
                }
                Request::Vote(row, _) => drop(marks.insert(VOTE, row.as_slice())?),
                Request::Committed(row) => drop(marks.insert(COMMITTED, row.as_slice())?),
                Request::Truncate(from, _) => entries.retain_in::<u64, _>(from.., |_, _| false)?,
                Request::Purge(upto, row, _) => {
                    entries.retain_in::<u64, _>(..=upto, |_, _| false)?;
                    drop(marks.insert(PURGED, row.as_slice())?);
                }
            }
        }
    }
    transaction.commit()?;
    Ok(())
}

impl RaftLogReader<Types> for Log {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, StorageError> {
        Ok(self.memory().entries.range(range).map(|(_, entry)| entry.clone()).collect())
    }
}

fn failed(e: &io::Error) -> StorageError {
    openraft::StorageIOError::write_logs(e).into()
}

impl RaftLogStorage<Types> for Log {
    type LogReader = Log;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, StorageError> {
        let memory = self.memory();
        Ok(LogState { last_purged_log_id: memory.purged, last_log_id: memory.last() })
    }

    async fn get_log_reader(&mut self) -> Log {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), StorageError> {
        let row = row(vote).map_err(|e| failed(&e))?;
        self.memory().vote = Some(*vote);
        self.ask(|done| Request::Vote(row, done))
            .await
            .map_err(|e| openraft::StorageIOError::write_vote(&e).into())
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, StorageError> {
        Ok(self.memory().vote)
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), StorageError> {
        let row = row(&committed).map_err(|e| failed(&e))?;
        self.memory().committed = committed;
        self.send(Request::Committed(row)).map_err(|e| failed(&e))
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, StorageError> {
        let memory = self.memory();
        // A mark may have reached the disk before entries that were truncated since, or are not there yet.
        Ok(memory.committed.min(memory.last()))
    }

    async fn append<I>(&mut self, entries: I, callback: LogFlushed<Types>) -> Result<(), StorageError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut rows = Vec::new();
        for entry in entries {
            rows.push((entry.log_id.index, row(&entry).map_err(|e| failed(&e))?));
            self.memory().entries.insert(entry.log_id.index, entry);
        }
        self.send(Request::Append(rows, callback)).map_err(|e| failed(&e))
    }

    async fn truncate(&mut self, from: LogId) -> Result<(), StorageError> {
        drop(self.memory().entries.split_off(&from.index));
        self.ask(|done| Request::Truncate(from.index, done)).await.map_err(|e| failed(&e))
    }

    async fn purge(&mut self, upto: LogId) -> Result<(), StorageError> {
        if let Some(covered) = self.covered.get() {
            let mut covered = covered.clone();
            // As long as the disk takes: it is saved by a task that waits for nobody, or cannot be saved.
            let decided = |covered: &Covered| covered.is_none_or(|covered| covered >= Some(upto));
            if !matches!(covered.wait_for(decided).await.as_deref(), Ok(Some(_))) {
                return Err(failed(&io::Error::other("no snapshot covers what is to be removed")));
            }
        }
        let row = row(&Some(upto)).map_err(|e| failed(&e))?;
        {
            let mut memory = self.memory();
            memory.entries = memory.entries.split_off(&(upto.index + 1));
            memory.purged = Some(upto);
        }
        self.ask(|done| Request::Purge(upto.index, row, done)).await.map_err(|e| failed(&e))
    }
}
