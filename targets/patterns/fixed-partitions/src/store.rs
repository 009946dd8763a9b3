//! A node's rows on its disk ([`ordeal_kit::store`]): every step of [`crate::book`] and [`crate::ownership`] is part of
//! one commit, and what is read is on disk.

use std::path::Path;

use ordeal_kit::store::{Answers, Storage, StoreError, StoreFile, database_error};
use redb::{ReadOnlyTable, ReadableTable, Table, TableDefinition, WriteTransaction};
use tokio::sync::oneshot;

use crate::rows::{Look, Row, Rows};

/// Key → JSON.
const ROWS: TableDefinition<'_, &str, &str> = TableDefinition::new("rows");

/// A step, with whom to tell.
type Change = Box<dyn FnOnce(&mut dyn Rows, &mut Answers) -> Result<(), StoreError> + Send>;

/// An open store. Dropping it ends the writer and closes the file.
pub(crate) struct Store {
    storage: Storage<Change>,
}

impl Store {
    /// Opens the store in the directory, which is created if need be, after this first step.
    pub(crate) fn open(
        directory: &Path,
        node: &str,
        lazy: bool,
        first: impl FnOnce(&mut dyn Rows) -> Result<(), StoreError>,
    ) -> Result<Self, StoreError> {
        let file = StoreFile { directory, name: "accounts.redb", node, lazy };
        let (storage, ()) = Storage::open(file, Writer, |transaction| {
            first(&mut Written {
                table: transaction.open_table(ROWS).map_err(database_error)?,
                changed: false,
            })
        })?;
        Ok(Store { storage })
    }

    /// The rows as they are now.
    pub(crate) fn look(&self) -> Result<impl Look + use<>, StoreError> {
        let table = self.storage.read()?.open_table(ROWS).map_err(database_error)?;
        Ok(Read(table))
    }

    /// Does a step, durably.
    pub(crate) async fn step<T: Send + 'static>(
        &self,
        step: impl FnOnce(&mut dyn Rows) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let change = |done: oneshot::Sender<T>| -> Change {
            Box::new(move |rows, answers| {
                let answer = step(rows)?;
                answers.add(done, answer);
                Ok(())
            })
        };
        self.storage.change(change).await
    }

    /// Completes when the writer has ended: nothing can be stored any more.
    pub(crate) fn failed(&self) -> impl Future<Output = ()> + Send + 'static {
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
        let table = transaction.open_table(ROWS).map_err(database_error)?;
        let mut rows = Written { table, changed: false };
        for change in changes {
            change(&mut rows, answers)?;
        }
        Ok(rows.changed)
    }
}

/// Rows in a transaction that reads.
struct Read(ReadOnlyTable<&'static str, &'static str>);

/// Rows in a transaction that writes.
struct Written<'t> {
    table: Table<'t, &'static str, &'static str>,
    changed: bool,
}

fn row(
    table: &impl ReadableTable<&'static str, &'static str>,
    key: &str,
) -> Result<Option<String>, StoreError> {
    Ok(table.get(key).map_err(database_error)?.map(|row| row.value().to_owned()))
}

fn rows(
    table: &impl ReadableTable<&'static str, &'static str>,
    prefix: &str,
) -> Result<Vec<Row>, StoreError> {
    let mut found = Vec::new();
    for row in table.range(prefix..).map_err(database_error)? {
        let (key, value) = row.map_err(database_error)?;
        if !key.value().starts_with(prefix) {
            break;
        }
        found.push((key.value().to_owned(), value.value().to_owned()));
    }
    Ok(found)
}

impl Look for Read {
    fn row(&self, key: &str) -> Result<Option<String>, StoreError> {
        row(&self.0, key)
    }

    fn rows(&self, prefix: &str) -> Result<Vec<Row>, StoreError> {
        rows(&self.0, prefix)
    }
}

impl Look for Written<'_> {
    fn row(&self, key: &str) -> Result<Option<String>, StoreError> {
        row(&self.table, key)
    }

    fn rows(&self, prefix: &str) -> Result<Vec<Row>, StoreError> {
        rows(&self.table, prefix)
    }
}

impl Rows for Written<'_> {
    fn put_row(&mut self, key: &str, row: &str) -> Result<(), StoreError> {
        self.changed = true;
        self.table.insert(key, row).map_err(database_error)?;
        Ok(())
    }

    fn remove(&mut self, key: &str) -> Result<(), StoreError> {
        self.changed = true;
        self.table.remove(key).map_err(database_error)?;
        Ok(())
    }
}
