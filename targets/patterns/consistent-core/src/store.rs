//! What a data node keeps on disk: its view of the core's policies, and documents. One redb file, one
//! writer thread.
//!
//! A change is acknowledged after the commit that holds it (redb syncs); all changes queued meanwhile share the next
//! commit. The queue is bounded, and a full one is an answer, not a wait.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use ordeal_kit::{ApiError, Id};
use redb::{Database, ReadableDatabase, ReadableTable, Table, TableDefinition, WriteTransaction};
use tokio::sync::{oneshot, watch};

use crate::machine::{Change as CoreChange, Policies, Policy};
use crate::messages::Document;

/// Changes that may wait for the writer.
const QUEUE_MAX: usize = 1024;
/// Changes in one commit.
const BATCH_MAX: usize = 256;
/// Documents of one policy.
const DOCUMENTS_MAX: u64 = 10_000;
/// What redb may cache. Nodes are small and many.
const CACHE_BYTES: usize = 8 << 20;

/// Policy and document → the document as JSON.
const DOCUMENTS: TableDefinition<'_, (&str, &str), &[u8]> = TableDefinition::new("documents");
/// Policy → how many documents it has.
const COUNTS: TableDefinition<'_, &str, u64> = TableDefinition::new("counts");
/// Policy → the policy as JSON.
const POLICIES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("policies");
/// `version` → the core version that the policies are of.
const MARKS: TableDefinition<'_, &str, u64> = TableDefinition::new("marks");
const VERSION: &str = "version";

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// The writer's queue is full; nothing was done.
    #[error("the store's queue is full")]
    Busy,
    /// There is another document of this name; nothing was done.
    #[error("there is another document of this name")]
    Taken,
    /// The policy has as many documents as it may; nothing was done.
    #[error("the policy has {DOCUMENTS_MAX} documents already")]
    Full,
    /// The writer has failed; what it was asked may be done or not.
    #[error("the store failed")]
    Failed,
    /// The database.
    #[error("database: {0}")]
    Database(Box<redb::Error>),
    /// A row that is not what this program writes.
    #[error("a row of the store is damaged: {0}")]
    Row(#[from] serde_json::Error),
    /// The directory.
    #[error("data directory: {0}")]
    Directory(#[from] std::io::Error),
}

fn database_error(why: impl Into<redb::Error>) -> StoreError {
    StoreError::Database(Box::new(why.into()))
}

impl From<StoreError> for ApiError {
    fn from(why: StoreError) -> Self {
        match why {
            StoreError::Busy => ApiError::busy(why.to_string()),
            StoreError::Taken => ApiError::conflict(why.to_string()),
            StoreError::Full => ApiError::too_large(why.to_string()),
            _ => ApiError::internal(why.to_string()),
        }
    }
}

enum Change {
    Document {
        policy: Id,
        document: Document,
    },
    /// Versions that follow on what is stored.
    Versions(Vec<CoreChange>),
    /// All policies, in place of what is stored.
    Policies(Policies),
}

type Done = oneshot::Sender<Result<(), StoreError>>;

/// A data node's durable state.
pub(crate) struct Store {
    database: Arc<Database>,
    changes: SyncSender<(Change, Done)>,
    running: watch::Receiver<()>,
}

impl Store {
    /// Opens the store in the directory, which is created if need be.
    pub(crate) fn open(directory: &Path) -> Result<Self, StoreError> {
        std::fs::create_dir_all(directory)?;
        let mut builder = Database::builder();
        builder.set_cache_size(CACHE_BYTES);
        let database = builder.create(directory.join("data.redb")).map_err(database_error)?;
        let preparing = database.begin_write().map_err(database_error)?;
        Tables::open(&preparing)?;
        preparing.commit().map_err(database_error)?;
        let database = Arc::new(database);
        let (changes, queue) = sync_channel(QUEUE_MAX);
        let (alive, running) = watch::channel(());
        let writing = Arc::clone(&database);
        std::thread::Builder::new().name("store".to_owned()).spawn(move || {
            if let Err(why) = write_all(&writing, &queue) {
                tracing::error!(%why, "the store cannot be written");
            }
            // First the file is free, then it is said that the writer has ended.
            drop(writing);
            drop(alive);
        })?;
        Ok(Store { database, changes, running })
    }

    /// The policies as they were stored last.
    pub(crate) fn policies(&self) -> Result<Policies, StoreError> {
        let reading = self.database.begin_read().map_err(database_error)?;
        let policies = reading.open_table(POLICIES).map_err(database_error)?;
        let marks = reading.open_table(MARKS).map_err(database_error)?;
        let version = marks.get(VERSION).map_err(database_error)?.map_or(0, |version| version.value());
        let mut rows = BTreeMap::new();
        for row in policies.iter().map_err(database_error)? {
            let (id, policy) = row.map_err(database_error)?;
            rows.insert(id.value().to_owned(), serde_json::from_slice(policy.value())?);
        }
        Ok(Policies { version, rows })
    }

    /// The documents of a policy, by name, or only the one of this name.
    pub(crate) fn documents(&self, policy: &Id, only: Option<&Id>) -> Result<Vec<Document>, StoreError> {
        let reading = self.database.begin_read().map_err(database_error)?;
        let documents = reading.open_table(DOCUMENTS).map_err(database_error)?;
        let policy = policy.as_str();
        // Names are ASCII: this one is after all of them.
        let (first, last) = only.map_or(("", "\u{7f}"), |id| (id.as_str(), id.as_str()));
        let rows = documents.range((policy, first)..=(policy, last)).map_err(database_error)?;
        rows.map(|row| {
            let (_, document) = row.map_err(database_error)?;
            Ok(serde_json::from_slice(document.value())?)
        })
        .collect()
    }

    /// Stores a document durably. The same one again changes nothing.
    pub(crate) async fn add(&self, policy: Id, document: Document) -> Result<(), StoreError> {
        self.change(Change::Document { policy, document }).await
    }

    /// Stores versions that follow on what is stored, durably.
    pub(crate) async fn advance(&self, versions: Vec<CoreChange>) -> Result<(), StoreError> {
        self.change(Change::Versions(versions)).await
    }

    /// Stores all policies in place of what is there, durably.
    pub(crate) async fn replace(&self, policies: Policies) -> Result<(), StoreError> {
        self.change(Change::Policies(policies)).await
    }

    /// Completes when the writer has ended: nothing can be stored any more.
    pub(crate) fn failed(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut running = self.running.clone();
        async move { while running.changed().await.is_ok() {} }
    }

    async fn change(&self, change: Change) -> Result<(), StoreError> {
        let (done, answer) = oneshot::channel();
        self.changes.try_send((change, done)).map_err(|why| match why {
            TrySendError::Full(_) => StoreError::Busy,
            TrySendError::Disconnected(_) => StoreError::Failed,
        })?;
        answer.await.map_err(|_| StoreError::Failed)?
    }
}

/// The writer: commits batches until the store is dropped. On an error it ends, and with it the node: what a
/// failed commit left behind is only known after the file is opened again.
fn write_all(database: &Database, queue: &Receiver<(Change, Done)>) -> Result<(), StoreError> {
    while let Ok(first) = queue.recv() {
        let batch = std::iter::once(first).chain(queue.try_iter().take(BATCH_MAX - 1));
        let transaction = database.begin_write().map_err(database_error)?;
        let mut answers = Vec::new();
        {
            let mut tables = Tables::open(&transaction)?;
            for (change, done) in batch {
                match tables.apply(change) {
                    Err(refused @ (StoreError::Taken | StoreError::Full)) => {
                        answers.push((done, Err(refused)));
                    }
                    applied => answers.push((done, Ok(applied?))),
                }
            }
        }
        transaction.commit().map_err(database_error)?;
        for (done, answer) in answers {
            // Nobody may be waiting any more.
            let _ = done.send(answer);
        }
    }
    Ok(())
}

/// The tables, in one transaction.
struct Tables<'t> {
    documents: Table<'t, (&'static str, &'static str), &'static [u8]>,
    counts: Table<'t, &'static str, u64>,
    policies: Table<'t, &'static str, &'static [u8]>,
    marks: Table<'t, &'static str, u64>,
}

impl<'t> Tables<'t> {
    fn open(transaction: &'t WriteTransaction) -> Result<Self, StoreError> {
        Ok(Tables {
            documents: transaction.open_table(DOCUMENTS).map_err(database_error)?,
            counts: transaction.open_table(COUNTS).map_err(database_error)?,
            policies: transaction.open_table(POLICIES).map_err(database_error)?,
            marks: transaction.open_table(MARKS).map_err(database_error)?,
        })
    }

    fn apply(&mut self, change: Change) -> Result<(), StoreError> {
        match change {
            Change::Document { policy, document } => self.add(policy.as_str(), &document),
            Change::Versions(versions) => versions.into_iter().try_for_each(|next| {
                self.put_policies(&next.rows)?;
                self.mark(next.version)
            }),
            Change::Policies(Policies { version, rows }) => {
                self.policies.retain(|_, _| false).map_err(database_error)?;
                self.put_policies(&rows)?;
                self.mark(version)
            }
        }
    }

    fn add(&mut self, policy: &str, document: &Document) -> Result<(), StoreError> {
        let row = serde_json::to_vec(document)?;
        let key = (policy, document.document.as_str());
        if let Some(known) = self.documents.get(key).map_err(database_error)? {
            return if known.value() == row { Ok(()) } else { Err(StoreError::Taken) };
        }
        let count = self.counts.get(policy).map_err(database_error)?.map_or(0, |count| count.value());
        if count >= DOCUMENTS_MAX {
            return Err(StoreError::Full);
        }
        self.documents.insert(key, &*row).map_err(database_error)?;
        self.counts.insert(policy, count + 1).map_err(database_error)?;
        Ok(())
    }

    fn put_policies(&mut self, rows: &BTreeMap<String, Policy>) -> Result<(), StoreError> {
        for (id, policy) in rows {
            let row = serde_json::to_vec(policy)?;
            self.policies.insert(id.as_str(), &*row).map_err(database_error)?;
        }
        Ok(())
    }

    fn mark(&mut self, version: u64) -> Result<(), StoreError> {
        self.marks.insert(VERSION, version).map_err(database_error)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> Id {
        text.parse().unwrap()
    }

    fn document(name: &str, text: &str) -> Document {
        Document { document: id(name), version: 3, text: text.to_owned() }
    }

    fn versions(numbers: impl IntoIterator<Item = u64>) -> Vec<CoreChange> {
        let one = |version: u64| {
            let policy = Policy { holder: format!("h{version}"), premium: 5, changed: version };
            CoreChange { version, rows: BTreeMap::from([(format!("p{}", version % 2), policy)]) }
        };
        numbers.into_iter().map(one).collect()
    }

    #[tokio::test]
    async fn what_was_stored_is_there_again_after_the_store_was_opened_again() {
        let directory = tempfile::tempdir().unwrap();
        let mut expected = Policies::default();
        expected.advance(versions(1..=4));
        {
            let store = Store::open(directory.path()).unwrap();
            let failed = store.failed();
            store.add(id("p1"), document("d2", "two")).await.unwrap();
            store.add(id("p1"), document("d1", "one")).await.unwrap();
            store.add(id("p2"), document("d3", "three")).await.unwrap();
            store.replace(Policies::default()).await.unwrap();
            store.advance(versions(1..=4)).await.unwrap();
            drop(store);
            failed.await;
        }
        let store = Store::open(directory.path()).unwrap();
        let both = vec![document("d1", "one"), document("d2", "two")];
        assert_eq!(store.documents(&id("p1"), None).unwrap(), both);
        assert_eq!(store.documents(&id("p1"), Some(&id("d2"))).unwrap(), both[1..]);
        assert_eq!(store.documents(&id("p1"), Some(&id("d3"))).unwrap(), []);
        assert_eq!(store.policies().unwrap(), expected);
        let fewer = Policies { version: 9, rows: BTreeMap::new() };
        store.replace(fewer.clone()).await.unwrap();
        assert_eq!(store.policies().unwrap(), fewer);
    }

    #[tokio::test]
    async fn a_document_never_changes() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        store.add(id("p1"), document("d1", "one")).await.unwrap();
        store.add(id("p1"), document("d1", "one")).await.unwrap();
        let other = store.add(id("p1"), document("d1", "other")).await;
        assert!(matches!(other, Err(StoreError::Taken)));
        assert_eq!(store.documents(&id("p1"), None).unwrap(), [document("d1", "one")]);
    }
}
