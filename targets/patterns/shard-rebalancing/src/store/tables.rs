//! The tables of the store, and how rows are read and written.

use std::ops::ControlFlow;

use ordeal_kit::store::{StoreError, database_error, parsed};
use redb::{ReadTransaction, ReadableTable, Table, TableDefinition, WriteTransaction};
use serde::{Deserialize, Serialize};

use crate::bugs::Bug;
use crate::customer::{Customer, Receipt, Row};
use crate::held::Held;
use crate::key::{Key, Range};
use crate::messages::{Page, RowsOf};

/// `held` → [`Held`] as JSON.
const HELD: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("held");
const ONLY: &str = "held";
/// Region, id → [`Stored`] as JSON.
const CUSTOMERS: TableDefinition<'_, (&str, &str), &[u8]> = TableDefinition::new("customers");
/// Region, id, request id → [`Receipt`] as JSON.
const RECEIPTS: TableDefinition<'_, (&str, &str, &str), &[u8]> = TableDefinition::new("receipts");

/// Rows in one page; and when a page is full before that, in bytes on disk. With a last row of the largest size, some 12 MB,
/// it still fits a message.
const PAGE_ROWS: usize = 32;
const PAGE_BYTES: usize = 1 << 20;

/// A customer, and the shard's change that was its newest.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Stored {
    pub(super) seq: u64,
    pub(super) customer: Customer,
}

fn read_held(table: &impl ReadableTable<&'static str, &'static [u8]>) -> Result<Held, StoreError> {
    Ok(parsed(table.get(ONLY).map_err(database_error)?)?.unwrap_or_default())
}

/// Where the range begins in the table.
fn begin(from: Option<&Key>) -> (&str, &str) {
    from.map_or(("", ""), |key| (key.region.as_str(), key.id.as_str()))
}

/// Goes through the customers of a range, and what is stored of each, in order, for as long as `take` says so.
fn each_of(
    table: &impl ReadableTable<(&'static str, &'static str), &'static [u8]>,
    range: &Range,
    mut take: impl FnMut(Key, &[u8]) -> Result<ControlFlow<()>, StoreError>,
) -> Result<(), StoreError> {
    for row in table.range(begin(range.from.as_ref())..).map_err(database_error)? {
        let (key, stored) = row.map_err(database_error)?;
        let (region, id) = key.value();
        // Only ids are ever stored, so a row that is none is damage.
        let key: Key = serde_json::from_value(format!("{region}/{id}").into())?;
        if !range.contains(&key) || take(key, stored.value())?.is_break() {
            break;
        }
    }
    Ok(())
}

/// The receipts of a customer, by request, and how many bytes they are.
fn receipts_of(
    table: &impl ReadableTable<(&'static str, &'static str, &'static str), &'static [u8]>,
    of: &Key,
) -> Result<(Vec<(String, Receipt)>, usize), StoreError> {
    let (region, id) = begin(Some(of));
    let (mut receipts, mut bytes) = (Vec::new(), 0);
    for row in table.range((region, id, "")..).map_err(database_error)? {
        let (key, receipt) = row.map_err(database_error)?;
        let (its_region, its_id, request) = key.value();
        if (its_region, its_id) != (region, id) {
            break;
        }
        bytes += request.len() + receipt.value().len();
        receipts.push((request.to_owned(), serde_json::from_slice(receipt.value())?));
    }
    Ok((receipts, bytes))
}

/// One moment of the store.
pub(super) struct Reading(pub(super) ReadTransaction);

impl Reading {
    pub(super) fn held(&self) -> Result<Held, StoreError> {
        read_held(&self.0.open_table(HELD).map_err(database_error)?)
    }

    pub(super) fn customer(&self, key: &Key) -> Result<Stored, StoreError> {
        let table = self.0.open_table(CUSTOMERS).map_err(database_error)?;
        Ok(parsed(table.get(begin(Some(key))).map_err(database_error)?)?.unwrap_or_default())
    }

    pub(super) fn count(&self, range: &Range) -> Result<u64, StoreError> {
        let table = self.0.open_table(CUSTOMERS).map_err(database_error)?;
        let mut count = 0;
        each_of(&table, range, |_, _| {
            count += 1;
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(count)
    }

    pub(super) fn page(&self, of: &RowsOf, bug: Option<Bug>) -> Result<Option<Page>, StoreError> {
        let held = self.held()?;
        let Some((record, frozen)) = held.source(of.shard, of.epoch) else { return Ok(None) };
        let table = self.0.open_table(CUSTOMERS).map_err(database_error)?;
        let receipts = self.0.open_table(RECEIPTS).map_err(database_error)?;
        let mut range = record.range.clone();
        if let Some(from) = &of.from {
            range.from = Some(from.clone());
        }
        let mut page = Page { rows: Vec::new(), next: None, seq: record.seq, frozen };
        let mut bytes = 0;
        each_of(&table, &range, |key, stored| {
            if page.rows.len() == PAGE_ROWS || bytes >= PAGE_BYTES {
                page.next = Some(key);
                return Ok(ControlFlow::Break(()));
            }
            let Stored { seq, customer } = serde_json::from_slice(stored)?;
            let lost = bug == Some(Bug::BoundaryLost) && record.range.from.as_ref() == Some(&key);
            if seq > of.after && !lost {
                let (receipts, more) = match bug {
                    Some(Bug::RequestsNotMoved) => (Vec::new(), 0),
                    _ => receipts_of(&receipts, &key)?,
                };
                bytes += stored.len() + more;
                page.rows.push(Row { key, seq, customer, receipts });
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(Some(page))
    }
}

/// All tables, in one write transaction.
pub(super) struct Writing<'t> {
    held: Table<'t, &'static str, &'static [u8]>,
    customers: Table<'t, (&'static str, &'static str), &'static [u8]>,
    receipts: Table<'t, (&'static str, &'static str, &'static str), &'static [u8]>,
}

impl<'t> Writing<'t> {
    pub(super) fn open(transaction: &'t WriteTransaction) -> Result<Self, StoreError> {
        Ok(Writing {
            held: transaction.open_table(HELD).map_err(database_error)?,
            customers: transaction.open_table(CUSTOMERS).map_err(database_error)?,
            receipts: transaction.open_table(RECEIPTS).map_err(database_error)?,
        })
    }

    pub(super) fn held(&self) -> Result<Held, StoreError> {
        read_held(&self.held)
    }

    pub(super) fn put_held(&mut self, held: &Held) -> Result<(), StoreError> {
        self.held.insert(ONLY, &*serde_json::to_vec(held)?).map_err(database_error)?;
        Ok(())
    }

    pub(super) fn customer(&self, key: &Key) -> Result<Stored, StoreError> {
        Ok(parsed(self.customers.get(begin(Some(key))).map_err(database_error)?)?.unwrap_or_default())
    }

    pub(super) fn put_customer(&mut self, key: &Key, stored: &Stored) -> Result<(), StoreError> {
        self.customers.insert(begin(Some(key)), &*serde_json::to_vec(stored)?).map_err(database_error)?;
        Ok(())
    }

    pub(super) fn receipt(&self, key: &Key, request: &str) -> Result<Option<Receipt>, StoreError> {
        let (region, id) = begin(Some(key));
        parsed(self.receipts.get((region, id, request)).map_err(database_error)?)
    }

    pub(super) fn put_receipt(
        &mut self,
        key: &Key,
        request: &str,
        receipt: &Receipt,
    ) -> Result<(), StoreError> {
        let (region, id) = begin(Some(key));
        let row = serde_json::to_vec(receipt)?;
        self.receipts.insert((region, id, request), &*row).map_err(database_error)?;
        Ok(())
    }

    /// Puts a customer in place of what is there.
    pub(super) fn put_row(&mut self, row: Row) -> Result<(), StoreError> {
        let Row { key, seq, customer, receipts } = row;
        self.put_customer(&key, &Stored { seq, customer })?;
        receipts.iter().try_for_each(|(request, receipt)| self.put_receipt(&key, request, receipt))
    }

    /// Deletes the customers of a range, and what belongs to them.
    pub(super) fn delete(&mut self, range: &Range) -> Result<(), StoreError> {
        let mut customers = Vec::new();
        each_of(&self.customers, range, |key, _| {
            customers.push(key);
            Ok(ControlFlow::Continue(()))
        })?;
        for key in customers {
            let (region, id) = begin(Some(&key));
            for (request, _) in receipts_of(&self.receipts, &key)?.0 {
                self.receipts.remove((region, id, &*request)).map_err(database_error)?;
            }
            self.customers.remove((region, id)).map_err(database_error)?;
        }
        Ok(())
    }
}
