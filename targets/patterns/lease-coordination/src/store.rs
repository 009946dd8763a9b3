//! What a price node keeps on disk: one redb file, one writer thread.
//!
//! A promise or a price is answered for after the commit that holds it; all that is queued meanwhile shares
//! the next commit. The queue is bounded, and a full queue is an answer and not a wait.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use ordeal_kit::Id;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};
use serde::{Deserialize, Serialize};
use tokio::sync::{oneshot, watch};

use crate::prices::{Cell, Fenced, Holding, Symbol};

/// Changes that may wait for the writer.
const QUEUE_MAX: usize = 4_096;
/// Changes in one commit.
const BATCH_MAX: usize = 512;
/// Symbols on a node; as many as there can be leases.
const SYMBOLS_MAX: usize = crate::leases::LEASES_MAX;
/// What redb may cache. Nodes are small and many.
const CACHE_BYTES: usize = 16 << 20;

/// Symbol → what is promised and held ([`Row`] as JSON).
const SYMBOLS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("symbols");
/// Symbol, position → a price that was taken ([`Audited`] as JSON).
const AUDIT: TableDefinition<'_, (&str, u64), &[u8]> = TableDefinition::new("audit");

#[derive(Serialize, Deserialize)]
struct Row {
    fence: u64,
    cell: Option<Cell>,
}

/// An entry of an audit feed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Audited {
    /// Its place in the feed, from 0.
    pub(crate) position: u64,
    #[serde(flatten)]
    pub(crate) cell: Cell,
}

/// Why the store did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StoreError {
    /// Nothing was done.
    #[error("the store's queue is full")]
    Busy,
    /// Nothing was done.
    #[error("there are {SYMBOLS_MAX} symbols already")]
    Full,
    /// Nothing was done.
    #[error("a holder with the token {} has been here", .0.token)]
    Fenced(Fenced),
    /// It may be stored or not.
    #[error("the store failed")]
    Failed,
}

/// A database that cannot be opened or read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DatabaseError {
    #[error("database: {0}")]
    Database(Box<redb::Error>),
    #[error("a row of the store is damaged: {0}")]
    Row(#[from] serde_json::Error),
    #[error("data directory: {0}")]
    Directory(#[from] std::io::Error),
}

fn database(e: impl Into<redb::Error>) -> DatabaseError {
    DatabaseError::Database(Box::new(e.into()))
}

enum Change {
    Fence { token: u64 },
    Take { cell: Cell, audit: bool },
}

struct Job {
    symbol: Id,
    change: Change,
    done: oneshot::Sender<Result<Holding, StoreError>>,
}

type Symbols = Arc<Mutex<BTreeMap<Id, Symbol>>>;

/// The store of one price node.
pub(crate) struct Store {
    symbols: Symbols,
    database: Arc<Database>,
    queue: SyncSender<Job>,
    failed: watch::Receiver<bool>,
    _writer: JoinHandle<()>,
}

fn lock(symbols: &Symbols) -> MutexGuard<'_, BTreeMap<Id, Symbol>> {
    symbols.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Store {
    /// Opens the store in this directory. `unchecked` is the defect: tokens are not compared.
    pub(crate) fn open(dir: &Path, unchecked: bool) -> Result<Store, DatabaseError> {
        std::fs::create_dir_all(dir)?;
        let file = dir.join("prices.redb");
        let opened = Database::builder().set_cache_size(CACHE_BYTES).create(file).map_err(database)?;
        let symbols = Arc::new(Mutex::new(load(&opened)?));
        let opened = Arc::new(opened);
        let (queue, jobs) = sync_channel(QUEUE_MAX);
        let (failing, failed) = watch::channel(false);
        let writer = Writer { symbols: Arc::clone(&symbols), database: Arc::clone(&opened), unchecked };
        let writer = std::thread::Builder::new().name("prices".to_owned()).spawn(move || {
            if let Err(why) = writer.run(&jobs) {
                tracing::error!(%why, "the store has failed");
                failing.send_replace(true);
            }
        })?;
        Ok(Store { symbols, database: opened, queue, failed, _writer: writer })
    }

    /// Completes when nothing can be stored any more.
    pub(crate) fn failed(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut failed = self.failed.clone();
        async move {
            if failed.wait_for(|failed| *failed).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// See [`Symbol::fence`]. Durable when it is answered.
    pub(crate) async fn fence(&self, symbol: &Id, token: u64) -> Result<Holding, StoreError> {
        self.change(symbol, Change::Fence { token }).await
    }

    /// See [`Symbol::take`]. Durable when it is answered. `audit`: it is an update and goes into the feed.
    pub(crate) async fn take(&self, symbol: &Id, cell: Cell, audit: bool) -> Result<(), StoreError> {
        self.change(symbol, Change::Take { cell, audit }).await.map(drop)
    }

    async fn change(&self, symbol: &Id, change: Change) -> Result<Holding, StoreError> {
        let (done, answer) = oneshot::channel();
        match self.queue.try_send(Job { symbol: symbol.clone(), change, done }) {
            Ok(()) => answer.await.unwrap_or(Err(StoreError::Failed)),
            Err(TrySendError::Full(_)) => Err(StoreError::Busy),
            Err(TrySendError::Disconnected(_)) => Err(StoreError::Failed),
        }
    }

    /// The newest price that was taken, perhaps before it is on disk.
    pub(crate) fn newest(&self, symbol: &Id) -> Option<Cell> {
        lock(&self.symbols).get(symbol)?.holding.cell.clone()
    }

    /// Every symbol that was ever named here.
    pub(crate) fn symbols(&self) -> Vec<Id> {
        lock(&self.symbols).keys().cloned().collect()
    }

    /// A piece of a symbol's audit feed.
    pub(crate) fn audit(&self, symbol: &Id, from: u64, most: usize) -> Result<Vec<Audited>, DatabaseError> {
        let reading = self.database.begin_read().map_err(database)?;
        let table = reading.open_table(AUDIT).map_err(database)?;
        let rows = table.range((symbol.as_str(), from)..=(symbol.as_str(), u64::MAX)).map_err(database)?;
        rows.take(most).map(|row| Ok(serde_json::from_slice(row.map_err(database)?.1.value())?)).collect()
    }
}

/// All symbols of a database, whose tables are made if they are not there.
fn load(opened: &Database) -> Result<BTreeMap<Id, Symbol>, DatabaseError> {
    let transaction = opened.begin_write().map_err(database)?;
    let mut symbols = BTreeMap::new();
    {
        let rows = transaction.open_table(SYMBOLS).map_err(database)?;
        let audit = transaction.open_table(AUDIT).map_err(database)?;
        for row in rows.iter().map_err(database)? {
            let (name, row) = row.map_err(database)?;
            let Row { fence, cell } = serde_json::from_slice(row.value())?;
            let mut symbol = Symbol { fence, holding: Holding { cell, ..Holding::default() }, audited: 0 };
            let feed = audit.range((name.value(), 0)..=(name.value(), u64::MAX)).map_err(database)?;
            for entry in feed {
                let entry: Audited = serde_json::from_slice(entry.map_err(database)?.1.value())?;
                symbol.audited = entry.position + 1;
                symbol.holding.recent.push(entry.cell.request_id, entry.cell.version);
            }
            symbols.insert(serde_json::from_value(name.value().into())?, symbol);
        }
    }
    transaction.commit().map_err(database)?;
    Ok(symbols)
}

struct Writer {
    symbols: Symbols,
    database: Arc<Database>,
    unchecked: bool,
}

impl Writer {
    fn run(self, jobs: &Receiver<Job>) -> Result<(), DatabaseError> {
        while let Ok(first) = jobs.recv() {
            let batch: Vec<Job> = std::iter::once(first).chain(jobs.try_iter().take(BATCH_MAX - 1)).collect();
            let transaction = self.database.begin_write().map_err(database)?;
            let mut answers = Vec::with_capacity(batch.len());
            for Job { symbol, change, done } in batch {
                answers.push((done, self.apply(&transaction, &symbol, &change)?));
            }
            transaction.commit().map_err(database)?;
            for (done, answer) in answers {
                // Whoever asked may have gone.
                let _ = done.send(answer);
            }
        }
        Ok(())
    }

    fn apply(
        &self,
        transaction: &WriteTransaction,
        name: &Id,
        change: &Change,
    ) -> Result<Result<Holding, StoreError>, DatabaseError> {
        let mut symbols = lock(&self.symbols);
        if symbols.len() >= SYMBOLS_MAX && !symbols.contains_key(name) {
            return Ok(Err(StoreError::Full));
        }
        let symbol = symbols.entry(name.clone()).or_default();
        let answer = match change {
            Change::Fence { token } => symbol.fence(*token).map(|holding| (holding, None)),
            Change::Take { cell, audit } => {
                let taken = symbol.take(cell, self.unchecked);
                taken.map(|new| (Holding::default(), (new && *audit).then(|| cell.clone())))
            }
        };
        let (holding, audited) = match answer {
            Ok(done) => done,
            Err(fenced) => return Ok(Err(StoreError::Fenced(fenced))),
        };
        if let Some(cell) = audited {
            let entry = Audited { position: symbol.audited, cell };
            let mut audit = transaction.open_table(AUDIT).map_err(database)?;
            let bytes = serde_json::to_vec(&entry)?;
            audit.insert((name.as_str(), entry.position), bytes.as_slice()).map_err(database)?;
            symbol.audited += 1;
            symbol.holding.recent.push(entry.cell.request_id, entry.cell.version);
        }
        let row = Row { fence: symbol.fence, cell: symbol.holding.cell.clone() };
        let bytes = serde_json::to_vec(&row)?;
        let mut rows = transaction.open_table(SYMBOLS).map_err(database)?;
        rows.insert(name.as_str(), bytes.as_slice()).map_err(database)?;
        Ok(Ok(holding))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prices::Version;

    fn id(text: &str) -> Id {
        text.parse().unwrap()
    }

    fn cell(token: u64, seq: u64) -> Cell {
        Cell { version: Version { token, seq }, price: seq, request_id: id(&format!("r{token}-{seq}")) }
    }

    #[tokio::test]
    async fn promises_prices_and_feeds_survive_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let p1 = id("p1");
        {
            let store = Store::open(dir.path(), false).unwrap();
            assert_eq!(store.fence(&p1, 4).await, Ok(Holding::default()));
            store.take(&p1, cell(4, 1), true).await.unwrap();
            store.take(&p1, cell(4, 1), true).await.unwrap();
            store.take(&p1, cell(6, 0), false).await.unwrap();
            let fenced = StoreError::Fenced(Fenced { token: 6 });
            assert_eq!(store.take(&p1, cell(4, 2), true).await, Err(fenced));
        }
        let mut reopened = Store::open(dir.path(), false);
        while reopened.is_err() {
            // The writer of the other one is still about to end.
            tokio::task::yield_now().await;
            reopened = Store::open(dir.path(), false);
        }
        let store = reopened.unwrap();
        assert_eq!(store.symbols(), std::slice::from_ref(&p1));
        assert_eq!(store.newest(&p1), Some(cell(6, 0)));
        let feed = store.audit(&p1, 0, 10).unwrap();
        assert_eq!(feed, [Audited { position: 0, cell: cell(4, 1) }]);
        let found = store.fence(&p1, 7).await.unwrap();
        assert_eq!(found.recent.get(&id("r4-1")), Some(Version { token: 4, seq: 1 }));
        assert!(matches!(store.fence(&p1, 6).await, Err(StoreError::Fenced(_))));
    }

    #[tokio::test]
    async fn symbols_are_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), false).unwrap();
        for n in 0..SYMBOLS_MAX {
            store.fence(&id(&format!("s{n}")), 1).await.unwrap();
        }
        assert_eq!(store.fence(&id("one-more"), 1).await, Err(StoreError::Full));
        assert!(store.fence(&id("s0"), 2).await.is_ok());
    }
}
