//! What a price node keeps on disk.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ordeal_kit::store::{Answers, Storage, StoreError, StoreFile, database_error};
use ordeal_kit::{ApiError, Id};
use redb::{ReadableTable, TableDefinition, WriteTransaction};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::prices::{Cell, Fenced, Holding, Symbol};

/// Symbols on a node; as many as there can be leases.
const SYMBOLS_MAX: usize = crate::leases::LEASES_MAX;
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

/// Why the store did not take something.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Untaken {
    /// Nothing was done.
    #[error("there are {SYMBOLS_MAX} symbols already")]
    Full,
    /// Nothing was done.
    #[error("a holder with the token {} has been here", .0.token)]
    Fenced(Fenced),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<Untaken> for ApiError {
    fn from(why: Untaken) -> Self {
        match why {
            Untaken::Full => ApiError::busy(why.to_string()),
            Untaken::Fenced(_) => ApiError::conflict(why.to_string()),
            Untaken::Store(why) => why.into(),
        }
    }
}

enum Change {
    Fence { token: u64 },
    Take { cell: Cell, audit: bool },
}

struct Job {
    symbol: Id,
    change: Change,
    done: oneshot::Sender<Result<Holding, Untaken>>,
}

type Symbols = Arc<Mutex<BTreeMap<Id, Symbol>>>;

/// The store of one price node.
pub(crate) struct Store {
    symbols: Symbols,
    storage: Storage<Job>,
}

fn lock(symbols: &Symbols) -> MutexGuard<'_, BTreeMap<Id, Symbol>> {
    symbols.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Store {
    /// Opens the store of this node in this directory. `unchecked` is the defect: tokens are not compared.
    pub(crate) fn open(directory: &Path, node: &str, unchecked: bool) -> Result<Store, StoreError> {
        let symbols = Symbols::default();
        let file = StoreFile { directory, name: "prices.redb", node, lazy: false };
        let writer = Writer { symbols: Arc::clone(&symbols), unchecked };
        let (storage, loaded) = Storage::open(file, writer, load)?;
        *lock(&symbols) = loaded;
        Ok(Store { symbols, storage })
    }

    /// Completes when nothing can be stored any more.
    pub(crate) fn failed(&self) -> impl Future<Output = ()> + Send + use<> + 'static {
        self.storage.failed()
    }

    /// See [`Symbol::fence`]. Durable when it is answered.
    pub(crate) async fn fence(&self, symbol: &Id, token: u64) -> Result<Holding, Untaken> {
        self.change(symbol, Change::Fence { token }).await
    }

    /// See [`Symbol::take`]. Durable when it is answered. `audit`: it is an update and goes into the feed.
    pub(crate) async fn take(&self, symbol: &Id, cell: Cell, audit: bool) -> Result<(), Untaken> {
        self.change(symbol, Change::Take { cell, audit }).await.map(drop)
    }

    async fn change(&self, symbol: &Id, change: Change) -> Result<Holding, Untaken> {
        self.storage.change(|done| Job { symbol: symbol.clone(), change, done }).await?
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
    pub(crate) fn audit(&self, symbol: &Id, from: u64, most: usize) -> Result<Vec<Audited>, StoreError> {
        let reading = self.storage.read()?;
        let table = reading.open_table(AUDIT).map_err(database_error)?;
        let rows =
            table.range((symbol.as_str(), from)..=(symbol.as_str(), u64::MAX)).map_err(database_error)?;
        rows.take(most)
            .map(|row| Ok(serde_json::from_slice(row.map_err(database_error)?.1.value())?))
            .collect()
    }
}

/// All symbols that were stored; makes the tables if they are not there.
fn load(transaction: &WriteTransaction) -> Result<BTreeMap<Id, Symbol>, StoreError> {
    let mut symbols = BTreeMap::new();
    let rows = transaction.open_table(SYMBOLS).map_err(database_error)?;
    let audit = transaction.open_table(AUDIT).map_err(database_error)?;
    for row in rows.iter().map_err(database_error)? {
        let (name, row) = row.map_err(database_error)?;
        let Row { fence, cell } = serde_json::from_slice(row.value())?;
        let mut symbol = Symbol { fence, holding: Holding { cell, ..Holding::default() }, audited: 0 };
        let feed = audit.range((name.value(), 0)..=(name.value(), u64::MAX)).map_err(database_error)?;
        for entry in feed {
            let entry: Audited = serde_json::from_slice(entry.map_err(database_error)?.1.value())?;
            symbol.audited = entry.position + 1;
            symbol.holding.recent.push(entry.cell.request_id, entry.cell.version);
        }
        symbols.insert(serde_json::from_value(name.value().into())?, symbol);
    }
    Ok(symbols)
}

struct Writer {
    symbols: Symbols,
    unchecked: bool,
}

impl ordeal_kit::store::Writer for Writer {
    type Change = Job;

    fn write(
        &mut self,
        transaction: &WriteTransaction,
        jobs: Vec<Job>,
        answers: &mut Answers,
    ) -> Result<bool, StoreError> {
        for Job { symbol, change, done } in jobs {
            answers.add(done, self.apply(transaction, &symbol, &change)?);
        }
        Ok(true)
    }
}

impl Writer {
    fn apply(
        &self,
        transaction: &WriteTransaction,
        name: &Id,
        change: &Change,
    ) -> Result<Result<Holding, Untaken>, StoreError> {
        let mut symbols = lock(&self.symbols);
        if symbols.len() >= SYMBOLS_MAX && !symbols.contains_key(name) {
            return Ok(Err(Untaken::Full));
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
            Err(fenced) => return Ok(Err(Untaken::Fenced(fenced))),
        };
        if let Some(cell) = audited {
            let entry = Audited { position: symbol.audited, cell };
            let mut audit = transaction.open_table(AUDIT).map_err(database_error)?;
            let bytes = serde_json::to_vec(&entry)?;
            audit.insert((name.as_str(), entry.position), bytes.as_slice()).map_err(database_error)?;
            symbol.audited += 1;
            symbol.holding.recent.push(entry.cell.request_id, entry.cell.version);
        }
        let row = Row { fence: symbol.fence, cell: symbol.holding.cell.clone() };
        let bytes = serde_json::to_vec(&row)?;
        let mut rows = transaction.open_table(SYMBOLS).map_err(database_error)?;
        rows.insert(name.as_str(), bytes.as_slice()).map_err(database_error)?;
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
            let store = Store::open(dir.path(), "n4", false).unwrap();
            assert_eq!(store.fence(&p1, 4).await.unwrap(), Holding::default());
            store.take(&p1, cell(4, 1), true).await.unwrap();
            store.take(&p1, cell(4, 1), true).await.unwrap();
            store.take(&p1, cell(6, 0), false).await.unwrap();
            let late = store.take(&p1, cell(4, 2), true).await;
            assert!(matches!(late, Err(Untaken::Fenced(Fenced { token: 6 }))), "{late:?}");
        }
        let store = Store::open(dir.path(), "n4", false).unwrap();
        assert_eq!(store.symbols(), std::slice::from_ref(&p1));
        assert_eq!(store.newest(&p1), Some(cell(6, 0)));
        let feed = store.audit(&p1, 0, 10).unwrap();
        assert_eq!(feed, [Audited { position: 0, cell: cell(4, 1) }]);
        let found = store.fence(&p1, 7).await.unwrap();
        assert_eq!(found.recent.get(&id("r4-1")), Some(Version { token: 4, seq: 1 }));
        assert!(matches!(store.fence(&p1, 6).await, Err(Untaken::Fenced(_))));
    }

    #[tokio::test]
    async fn symbols_are_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), "n4", false).unwrap();
        for n in 0..SYMBOLS_MAX {
            store.fence(&id(&format!("s{n}")), 1).await.unwrap();
        }
        assert!(matches!(store.fence(&id("one-more"), 1).await, Err(Untaken::Full)));
        assert!(store.fence(&id("s0"), 2).await.is_ok());
    }
}
