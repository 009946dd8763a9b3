//! A warehouse's durable state ([`ordeal_kit::store`]).
//!
//! Invariants, besides those of the kit's store:
//! - a vector that was shown is on disk, so it is not taken back by a crash, and a number is never given out twice;
//! - a request has one effect: its receipt is written in the same commit, and a retry is answered with it;
//! - every stock-take is kept, and each conflict is written in the commit that makes it known.

mod tables;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use ordeal_kit::Id;
use ordeal_kit::store::{Answers, Storage, StoreError, StoreFile};
use redb::WriteTransaction;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::bugs::Bug;
use crate::rule::{Priority, rule_of};
use crate::stock::{News, Stock, StockTake, conflicts};
use crate::vector::{Dot, Vector};
use tables::{Reading, Writing};

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

#[derive(Debug)]
enum Change {
    Update { sku: Id, request_id: Id, update: Update, done: oneshot::Sender<Option<Receipt>> },
    Merge(Vec<News>, oneshot::Sender<()>),
}

/// An open store. Dropping it ends the writer and closes the file.
#[derive(Debug)]
pub(crate) struct Store {
    storage: Storage<Change>,
}

impl Store {
    /// Opens the store in the directory, which is created if need be.
    pub(crate) fn open(directory: &Path, options: StoreOptions) -> Result<Self, StoreError> {
        let (node, lazy) = (options.node.clone(), options.bug == Some(Bug::AckBeforeSync));
        let file = StoreFile { directory, name: "warehouse.redb", node: &node, lazy };
        let writer = Writer { options, since_start: HashMap::new() };
        let prepare = |transaction: &WriteTransaction| Writing::open(transaction).map(drop);
        let (storage, ()) = Storage::open(file, writer, prepare)?;
        Ok(Store { storage })
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

    /// Does what a client asks, durably; if the request was done already, its receipt is the answer. `None`: the request
    /// id stands for something else, and nothing was done.
    pub(crate) async fn update(
        &self,
        sku: Id,
        request_id: Id,
        update: Update,
    ) -> Result<Option<Receipt>, StoreError> {
        self.storage.change(|done| Change::Update { sku, request_id, update, done }).await
    }

    /// Merges what another warehouse knows, durably.
    pub(crate) async fn merge(&self, news: Vec<News>) -> Result<(), StoreError> {
        self.storage.change(|done| Change::Merge(news, done)).await
    }

    /// Completes when the writer has ended: nothing can be stored any more.
    pub(crate) fn failed(&self) -> impl Future<Output = ()> + Send + 'static {
        self.storage.failed()
    }

    fn reading(&self) -> Result<Reading, StoreError> {
        self.storage.read().map(Reading)
    }
}

struct Writer {
    options: StoreOptions,
    /// The numbers given out since the start, by SKU (bug `counter-reused-after-restart`).
    since_start: HashMap<Id, u64>,
}

impl ordeal_kit::store::Writer for Writer {
    type Change = Change;

    fn write(
        &mut self,
        transaction: &WriteTransaction,
        changes: Vec<Change>,
        answers: &mut Answers,
    ) -> Result<bool, StoreError> {
        let mut tables = Writing::open(transaction)?;
        for change in changes {
            match change {
                Change::Update { sku, request_id, update, done } => {
                    answers.add(done, self.update(&mut tables, &sku, &request_id, update)?);
                }
                Change::Merge(news, done) => {
                    self.merge(&mut tables, news)?;
                    answers.add(done, ());
                }
            }
        }
        Ok(true)
    }
}

impl Writer {
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
