//! The tables of the store, and how rows are read and written.

use ordeal_kit::Id;
use ordeal_kit::store::{StoreError, database_error, parsed};
use redb::{ReadTransaction, ReadableTable, Table, TableDefinition, WriteTransaction};

use crate::score::{Event, Standing};

/// How often the store was opened.
const LIVES: TableDefinition<'_, (), u32> = TableDefinition::new("lives");
/// Match → [`Standing`] as JSON.
const STANDINGS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("standings");
/// Match, number from 1 without gaps → [`Event`] as JSON.
const EVENTS: TableDefinition<'_, (&str, u64), &[u8]> = TableDefinition::new("events");
/// Match, request id → [`Event`] as JSON.
const REQUESTS: TableDefinition<'_, (&str, &str), &[u8]> = TableDefinition::new("requests");

/// Makes all tables, so that readers find them, and counts the life that begins.
pub(super) fn prepare(transaction: &WriteTransaction) -> Result<u32, StoreError> {
    let mut lives = transaction.open_table(LIVES).map_err(database_error)?;
    let life = lives.get(()).map_err(database_error)?.map_or(0, |row| row.value()) + 1;
    lives.insert((), life).map_err(database_error)?;
    Writing::open(transaction)?;
    Ok(life)
}

/// One moment of the store.
pub(super) struct Reading(pub(super) ReadTransaction);

impl Reading {
    pub(super) fn standing(&self, of: &Id) -> Result<Standing, StoreError> {
        let table = self.0.open_table(STANDINGS).map_err(database_error)?;
        Ok(parsed(table.get(of.as_str()).map_err(database_error)?)?.unwrap_or_default())
    }

    pub(super) fn done(&self, of: &Id, request_id: &Id) -> Result<Option<Event>, StoreError> {
        let table = self.0.open_table(REQUESTS).map_err(database_error)?;
        parsed(table.get((of.as_str(), request_id.as_str())).map_err(database_error)?)
    }

    pub(super) fn events(&self, of: &Id, from: u64, limit: usize) -> Result<Vec<Event>, StoreError> {
        let table = self.0.open_table(EVENTS).map_err(database_error)?;
        let rows = table.range((of.as_str(), from)..=(of.as_str(), u64::MAX)).map_err(database_error)?;
        let mut events = Vec::new();
        for row in rows.take(limit) {
            let (_, event) = row.map_err(database_error)?;
            events.push(serde_json::from_slice(event.value())?);
        }
        Ok(events)
    }
}

/// The tables, in a write transaction.
pub(super) struct Writing<'t> {
    standings: Table<'t, &'static str, &'static [u8]>,
    events: Table<'t, (&'static str, u64), &'static [u8]>,
    requests: Table<'t, (&'static str, &'static str), &'static [u8]>,
}

impl<'t> Writing<'t> {
    pub(super) fn open(transaction: &'t WriteTransaction) -> Result<Self, StoreError> {
        Ok(Writing {
            standings: transaction.open_table(STANDINGS).map_err(database_error)?,
            events: transaction.open_table(EVENTS).map_err(database_error)?,
            requests: transaction.open_table(REQUESTS).map_err(database_error)?,
        })
    }

    pub(super) fn standing(&self, of: &Id) -> Result<Standing, StoreError> {
        Ok(parsed(self.standings.get(of.as_str()).map_err(database_error)?)?.unwrap_or_default())
    }

    /// Keeps an event, the standing after it, and what its request led to.
    pub(super) fn put(&mut self, of: &Id, event: &Event) -> Result<(), StoreError> {
        let row = serde_json::to_vec(event)?;
        let standing = serde_json::to_vec(&Standing::from(event.clone()))?;
        self.events.insert((of.as_str(), event.sequence), row.as_slice()).map_err(database_error)?;
        let request = (of.as_str(), event.request_id.as_str());
        self.requests.insert(request, row.as_slice()).map_err(database_error)?;
        self.standings.insert(of.as_str(), standing.as_slice()).map_err(database_error)?;
        Ok(())
    }
}
