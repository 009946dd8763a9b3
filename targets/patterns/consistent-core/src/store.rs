//! What a data node keeps on disk: its view of the core's policies, and documents.

use std::collections::BTreeMap;
use std::path::Path;

use ordeal_kit::store::{Answers, Storage, StoreError, StoreFile, database_error};
use ordeal_kit::{ApiError, Id};
use redb::{ReadableTable, Table, TableDefinition, WriteTransaction};
use tokio::sync::oneshot;

use crate::machine::{Change as CoreChange, Policies, Policy};
use crate::messages::Document;

/// Documents of one policy.
const DOCUMENTS_MAX: u64 = 10_000;
/// Policy and document → the document as JSON.
const DOCUMENTS: TableDefinition<'_, (&str, &str), &[u8]> = TableDefinition::new("documents");
/// Policy → how many documents it has.
const COUNTS: TableDefinition<'_, &str, u64> = TableDefinition::new("counts");
/// Policy → the policy as JSON.
const POLICIES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("policies");
/// `version` → the core version that the policies are of.
const MARKS: TableDefinition<'_, &str, u64> = TableDefinition::new("marks");
const VERSION: &str = "version";

/// Why a document was not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// There is another document of this name.
    #[error("there is another document of this name")]
    Taken,
    /// The policy has as many documents as it may.
    #[error("the policy has {DOCUMENTS_MAX} documents already")]
    Full,
}

impl From<Refused> for ApiError {
    fn from(why: Refused) -> Self {
        match why {
            Refused::Taken => ApiError::conflict(why.to_string()),
            Refused::Full => ApiError::too_large(why.to_string()),
        }
    }
}

enum Change {
    Document(Id, Document, oneshot::Sender<Result<(), Refused>>),
    /// Versions that follow on what is stored.
    Versions(Vec<CoreChange>, oneshot::Sender<()>),
    /// All policies, in place of what is stored.
    Policies(Policies, oneshot::Sender<()>),
}

/// A data node's durable state.
pub(crate) struct Store {
    storage: Storage<Change>,
}

impl Store {
    /// Opens the store of this node in the directory, which is created if need be.
    pub(crate) fn open(directory: &Path, node: &str) -> Result<Self, StoreError> {
        let file = StoreFile { directory, name: "data.redb", node, lazy: false };
        let (storage, ()) = Storage::open(file, Writer, |preparing| Tables::open(preparing).map(drop))?;
        Ok(Store { storage })
    }

    /// The policies as they were stored last.
    pub(crate) fn policies(&self) -> Result<Policies, StoreError> {
        let reading = self.storage.read()?;
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
        let reading = self.storage.read()?;
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
    pub(crate) async fn add(
        &self,
        policy: Id,
        document: Document,
    ) -> Result<Result<(), Refused>, StoreError> {
        self.storage.change(|done| Change::Document(policy, document, done)).await
    }

    /// Stores versions that follow on what is stored, durably.
    pub(crate) async fn advance(&self, versions: Vec<CoreChange>) -> Result<(), StoreError> {
        self.storage.change(|done| Change::Versions(versions, done)).await
    }

    /// Stores all policies in place of what is there, durably.
    pub(crate) async fn replace(&self, policies: Policies) -> Result<(), StoreError> {
        self.storage.change(|done| Change::Policies(policies, done)).await
    }

    /// Completes when the writer has ended: nothing can be stored any more.
    pub(crate) fn failed(&self) -> impl Future<Output = ()> + Send + use<> + 'static {
        self.storage.failed()
    }
}

struct Writer;

impl ordeal_kit::store::Writer for Writer {
    type Change = Change;

    fn write(
        &mut self,
        transaction: &WriteTransaction,
        changes: Vec<Change>,
        answers: &mut Answers,
    ) -> Result<bool, StoreError> {
        let mut tables = Tables::open(transaction)?;
        changes.into_iter().try_for_each(|change| tables.apply(change, answers))?;
        Ok(true)
    }
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

    fn apply(&mut self, change: Change, answers: &mut Answers) -> Result<(), StoreError> {
        match change {
            Change::Document(policy, document, done) => {
                answers.add(done, self.add(policy.as_str(), &document)?);
            }
            Change::Versions(versions, done) => {
                for next in versions {
                    self.put_policies(&next.rows)?;
                    self.mark(next.version)?;
                }
                answers.add(done, ());
            }
            Change::Policies(Policies { version, rows }, done) => {
                self.policies.retain(|_, _| false).map_err(database_error)?;
                self.put_policies(&rows)?;
                self.mark(version)?;
                answers.add(done, ());
            }
        }
        Ok(())
    }

    fn add(&mut self, policy: &str, document: &Document) -> Result<Result<(), Refused>, StoreError> {
        let row = serde_json::to_vec(document)?;
        let key = (policy, document.document.as_str());
        if let Some(known) = self.documents.get(key).map_err(database_error)? {
            return Ok(if known.value() == row { Ok(()) } else { Err(Refused::Taken) });
        }
        let count = self.counts.get(policy).map_err(database_error)?.map_or(0, |count| count.value());
        if count >= DOCUMENTS_MAX {
            return Ok(Err(Refused::Full));
        }
        self.documents.insert(key, &*row).map_err(database_error)?;
        self.counts.insert(policy, count + 1).map_err(database_error)?;
        Ok(Ok(()))
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
            let store = Store::open(directory.path(), "n4").unwrap();
            let failed = store.failed();
            store.add(id("p1"), document("d2", "two")).await.unwrap().unwrap();
            store.add(id("p1"), document("d1", "one")).await.unwrap().unwrap();
            store.add(id("p2"), document("d3", "three")).await.unwrap().unwrap();
            store.replace(Policies::default()).await.unwrap();
            store.advance(versions(1..=4)).await.unwrap();
            drop(store);
            failed.await;
        }
        let store = Store::open(directory.path(), "n4").unwrap();
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
        let store = Store::open(directory.path(), "n4").unwrap();
        store.add(id("p1"), document("d1", "one")).await.unwrap().unwrap();
        store.add(id("p1"), document("d1", "one")).await.unwrap().unwrap();
        let other = store.add(id("p1"), document("d1", "other")).await;
        assert_eq!(other.unwrap(), Err(Refused::Taken));
        assert_eq!(store.documents(&id("p1"), None).unwrap(), [document("d1", "one")]);
    }
}
