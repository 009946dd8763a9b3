//! A warehouse's durable state: one redb file, one writer thread.
//!
//! Invariants:
//! - what a reader sees is on disk (redb shows a commit only after its fsync), so a vector that was shown is not
//!   taken back by a crash, and a number is never given out twice;
//! - an update is acknowledged after the commit that holds it; all changes queued meanwhile share the next commit;
//! - a request has one effect: its receipt is written in the same commit, and a retry is answered with it;
//! - every stock-take is kept, and each conflict is written in the commit that makes it known;
//! - the queue of the writer is bounded; a full queue is an answer ([`StoreError::Busy`]), not a wait.

mod tables;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ordeal_kit::Id;
use redb::{Database, Durability, ReadableDatabase};
use serde::{Deserialize, Serialize};
use tokio::sync::{oneshot, watch};

use crate::bugs::Bug;
use crate::rule::{Priority, rule_of};
use crate::stock::{News, Stock, StockTake, conflicts};
use crate::vector::{Dot, Vector};
use tables::{Reading, Writing};

/// Changes that may wait for the writer.
const QUEUE_MAX: usize = 4096;
/// Changes in one commit.
const BATCH_MAX: usize = 1024;
/// How long an acknowledged update may stay in memory under the bug `ack-before-sync`.
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
    /// The request id stands for something else already; nothing was done.
    #[error("this request id was used for something else")]
    Reused,
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

/// What a client wants done to a SKU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Update {
    /// So many come in, or go out.
    Movement(i64),
    /// So many are there.
    Count(i64),
}

/// What an update led to, kept for retries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Receipt {
    pub(crate) update: Update,
    pub(crate) dot: Dot,
    /// Just after the update.
    pub(crate) vector: Vector,
    /// Just after the update.
    pub(crate) level: i64,
}

/// Two stock-takes of a SKU neither of which had seen the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Conflict {
    pub(crate) sku: Id,
    pub(crate) stock_takes: [Dot; 2],
}

/// What kind of store to open.
#[derive(Clone, Debug)]
pub(crate) struct StoreOptions {
    /// The node whose state it is.
    pub(crate) node: String,
    pub(crate) priorities: Vec<Priority>,
    pub(crate) bug: Option<Bug>,
}

enum Change {
    Update { sku: Id, request_id: Id, update: Update, done: oneshot::Sender<Result<Receipt, StoreError>> },
    Merge(Vec<News>, oneshot::Sender<()>),
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
        let database = builder.create(directory.join("warehouse.redb")).map_err(database_error)?;
        tables::prepare(&database, &options.node)?;
        let database = Arc::new(database);
        let (changes, queue) = sync_channel(QUEUE_MAX);
        let (alive, running) = watch::channel(());
        let writing = Arc::clone(&database);
        let writer = std::thread::Builder::new().name("store".to_owned()).spawn(move || {
            let mut writer = Writer { options, since_start: HashMap::new() };
            if let Err(why) = writer.write_all(&writing, &queue) {
                tracing::error!(%why, "the store cannot be written");
            }
            drop(alive);
        })?;
        Ok(Store { database, changes: Some(changes), writer: Some(writer), running })
    }

    /// What is known of the SKU.
    pub(crate) fn stock(&self, sku: &Id) -> Result<Stock, StoreError> {
        self.reading()?.stock(sku)
    }

    /// The vectors of all SKUs.
    pub(crate) fn vectors(&self) -> Result<BTreeMap<Id, Vector>, StoreError> {
        self.reading()?.vectors()
    }

    /// What somebody with these vectors lacks, of so many SKUs at most.
    pub(crate) fn news(&self, seen: &BTreeMap<Id, Vector>, limit: usize) -> Result<Vec<News>, StoreError> {
        self.reading()?.news(seen, limit)
    }

    /// The conflicts from this position on, so many at most.
    pub(crate) fn conflicts(&self, from: u64, limit: usize) -> Result<Vec<Conflict>, StoreError> {
        self.reading()?.conflicts(from, limit)
    }

    /// Does what a client asks, durably; if the request was done already, its receipt is the answer.
    pub(crate) async fn update(
        &self,
        sku: Id,
        request_id: Id,
        update: Update,
    ) -> Result<Receipt, StoreError> {
        self.change(|done| Change::Update { sku, request_id, update, done }).await?
    }

    /// Merges what another warehouse knows, durably.
    pub(crate) async fn merge(&self, news: Vec<News>) -> Result<(), StoreError> {
        self.change(|done| Change::Merge(news, done)).await
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

type Tell = Box<dyn FnOnce()>;

struct Writer {
    options: StoreOptions,
    /// The numbers given out since the start, by SKU (bug `counter-reused-after-restart`).
    since_start: HashMap<Id, u64>,
}

impl Writer {
    /// Commits batches until the queue is closed. On an error it ends, and with it the node: what a failed commit
    /// left behind is only known after the file is opened again.
    fn write_all(&mut self, database: &Database, queue: &Receiver<Change>) -> Result<(), StoreError> {
        let lazy = self.options.bug == Some(Bug::AckBeforeSync);
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
        let mut answers: Vec<Tell> = Vec::with_capacity(batch.len());
        {
            let mut tables = Writing::open(&transaction)?;
            for change in batch {
                answers.push(match change {
                    Change::Update { sku, request_id, update, done } => {
                        let receipt = self.update(&mut tables, &sku, &request_id, update)?;
                        tell(done, receipt.ok_or(StoreError::Reused))
                    }
                    Change::Merge(news, done) => {
                        self.merge(&mut tables, news)?;
                        tell(done, ())
                    }
                });
            }
        }
        transaction.commit().map_err(database_error)?;
        for tell in answers {
            tell();
        }
        Ok(())
    }

    /// None: the request id stands for something else.
    fn update(
        &mut self,
        tables: &mut Writing<'_>,
        sku: &Id,
        request_id: &Id,
        update: Update,
    ) -> Result<Option<Receipt>, StoreError> {
        if let Some(known) = tables.receipt(sku, request_id)?
            && self.options.bug != Some(Bug::RetryAppliedTwice)
        {
            return Ok(Some(known).filter(|known| known.update == update));
        }
        let mut stock = tables.stock(sku)?;
        let dot = Dot { warehouse: self.options.node.clone(), number: self.next(sku, &stock) };
        match update {
            Update::Movement(delta) => stock.move_by(&dot.warehouse, dot.number, delta),
            Update::Count(counted) => {
                let take = stock.count(dot.clone(), request_id.clone(), counted, unix_ms());
                self.log(tables, sku, &take)?;
            }
        }
        tables.put_stock(sku, &stock)?;
        let level = rule_of(sku, &self.options.priorities).level(&stock, self.options.bug);
        let receipt = Receipt { update, dot, vector: stock.vector, level };
        tables.put_receipt(sku, request_id, &receipt)?;
        Ok(Some(receipt))
    }

    /// The number of the next update here.
    fn next(&mut self, sku: &Id, stock: &Stock) -> u64 {
        if self.options.bug == Some(Bug::CounterReused) {
            let last = self.since_start.entry(sku.clone()).or_default();
            *last += 1;
            return *last;
        }
        stock.vector.get(&self.options.node) + 1
    }

    fn merge(&mut self, tables: &mut Writing<'_>, news: Vec<News>) -> Result<(), StoreError> {
        for news in news {
            let sku = news.sku.clone();
            let mut stock = tables.stock(&sku)?;
            for take in stock.merge(news, self.options.bug) {
                self.log(tables, &sku, &take)?;
            }
            tables.put_stock(&sku, &stock)?;
        }
        Ok(())
    }

    /// Keeps a stock-take that is new here, and the conflicts that it is in.
    fn log(&self, tables: &mut Writing<'_>, sku: &Id, take: &StockTake) -> Result<(), StoreError> {
        let known = tables.takes(sku)?;
        if known.iter().any(|other| other.dot == take.dot) {
            return Ok(());
        }
        for other in conflicts(take, &known, self.options.bug) {
            let stock_takes = [other, take.dot.clone()];
            tables.add_conflict(&Conflict { sku: sku.clone(), stock_takes })?;
        }
        tables.add_take(sku, take)
    }
}

/// The wall clock, in Unix milliseconds; 0 if it is before 1970.
fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

fn tell<T: 'static>(done: oneshot::Sender<T>, answer: T) -> Tell {
    Box::new(move || {
        // Nobody may be waiting any more.
        let _ = done.send(answer);
    })
}
