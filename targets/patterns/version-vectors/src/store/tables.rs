//! The tables of the store, and how rows are read and written.

use std::collections::BTreeMap;

use ordeal_kit::Id;
use ordeal_kit::store::{StoreError, database_error, parsed};
use redb::{ReadTransaction, ReadableTable, Table, TableDefinition, WriteTransaction};

use super::{Conflict, Receipt};
use crate::stock::{News, Stock, StockTake};
use crate::vector::Vector;

/// SKU → [`Stock`] as JSON.
const STOCKS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("stocks");
/// SKU, warehouse, number → [`StockTake`] as JSON.
const STOCK_TAKES: TableDefinition<'_, (&str, &str, u64), &[u8]> = TableDefinition::new("stock-takes");
/// Position, from 0 without gaps → [`Conflict`] as JSON.
const CONFLICTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("conflicts");
/// SKU, request id → [`Receipt`] as JSON.
const REQUESTS: TableDefinition<'_, (&str, &str), &[u8]> = TableDefinition::new("requests");

fn takes_of(
    table: &impl ReadableTable<(&'static str, &'static str, u64), &'static [u8]>,
    sku: &Id,
) -> Result<Vec<StockTake>, StoreError> {
    let mut takes = Vec::new();
    for row in table.range((sku.as_str(), "", 0)..).map_err(database_error)? {
        let (key, value) = row.map_err(database_error)?;
        if key.value().0 != sku.as_str() {
            break;
        }
        takes.push(serde_json::from_slice(value.value())?);
    }
    Ok(takes)
}

/// One moment of the store.
pub(super) struct Reading(pub(super) ReadTransaction);

impl Reading {
    pub(super) fn stock(&self, sku: &Id) -> Result<Stock, StoreError> {
        let table = self.0.open_table(STOCKS).map_err(database_error)?;
        Ok(parsed(table.get(sku.as_str()).map_err(database_error)?)?.unwrap_or_default())
    }

    /// All SKUs that were ever updated.
    fn stocks(&self) -> Result<Vec<(Id, Stock)>, StoreError> {
        let table = self.0.open_table(STOCKS).map_err(database_error)?;
        let mut stocks = Vec::new();
        for row in table.iter().map_err(database_error)? {
            let (sku, stock) = row.map_err(database_error)?;
            // Only ids are ever stored, so a row that is none is damage.
            stocks
                .push((serde_json::from_value(sku.value().into())?, serde_json::from_slice(stock.value())?));
        }
        Ok(stocks)
    }

    pub(super) fn vectors(&self) -> Result<BTreeMap<Id, Vector>, StoreError> {
        Ok(self.stocks()?.into_iter().map(|(sku, stock)| (sku, stock.vector)).collect())
    }

    pub(super) fn news(&self, seen: &BTreeMap<Id, Vector>, limit: usize) -> Result<Vec<News>, StoreError> {
        let takes = self.0.open_table(STOCK_TAKES).map_err(database_error)?;
        let nothing = Vector::default();
        let mut news = Vec::new();
        for (sku, stock) in self.stocks()? {
            let seen = seen.get(&sku).unwrap_or(&nothing);
            if seen.covers(&stock.vector) {
                continue;
            }
            let known = takes_of(&takes, &sku)?;
            news.push(stock.news(sku, seen, known));
            if news.len() == limit {
                break;
            }
        }
        Ok(news)
    }

    pub(super) fn conflicts(&self, from: u64, limit: usize) -> Result<Vec<Conflict>, StoreError> {
        let table = self.0.open_table(CONFLICTS).map_err(database_error)?;
        let mut conflicts = Vec::new();
        for row in table.range(from..).map_err(database_error)?.take(limit) {
            let (_, conflict) = row.map_err(database_error)?;
            conflicts.push(serde_json::from_slice(conflict.value())?);
        }
        Ok(conflicts)
    }
}

/// The tables, in a write transaction.
pub(super) struct Writing<'t> {
    stocks: Table<'t, &'static str, &'static [u8]>,
    stock_takes: Table<'t, (&'static str, &'static str, u64), &'static [u8]>,
    conflicts: Table<'t, u64, &'static [u8]>,
    requests: Table<'t, (&'static str, &'static str), &'static [u8]>,
}

impl<'t> Writing<'t> {
    pub(super) fn open(transaction: &'t WriteTransaction) -> Result<Self, StoreError> {
        Ok(Writing {
            stocks: transaction.open_table(STOCKS).map_err(database_error)?,
            stock_takes: transaction.open_table(STOCK_TAKES).map_err(database_error)?,
            conflicts: transaction.open_table(CONFLICTS).map_err(database_error)?,
            requests: transaction.open_table(REQUESTS).map_err(database_error)?,
        })
    }

    pub(super) fn stock(&self, sku: &Id) -> Result<Stock, StoreError> {
        Ok(parsed(self.stocks.get(sku.as_str()).map_err(database_error)?)?.unwrap_or_default())
    }

    pub(super) fn put_stock(&mut self, sku: &Id, stock: &Stock) -> Result<(), StoreError> {
        let row = serde_json::to_vec(stock)?;
        self.stocks.insert(sku.as_str(), row.as_slice()).map_err(database_error)?;
        Ok(())
    }

    pub(super) fn receipt(&self, sku: &Id, request_id: &Id) -> Result<Option<Receipt>, StoreError> {
        parsed(self.requests.get((sku.as_str(), request_id.as_str())).map_err(database_error)?)
    }

    pub(super) fn put_receipt(
        &mut self,
        sku: &Id,
        request_id: &Id,
        receipt: &Receipt,
    ) -> Result<(), StoreError> {
        let row = serde_json::to_vec(receipt)?;
        let key = (sku.as_str(), request_id.as_str());
        self.requests.insert(key, row.as_slice()).map_err(database_error)?;
        Ok(())
    }

    /// All stock-takes of the SKU.
    pub(super) fn takes(&self, sku: &Id) -> Result<Vec<StockTake>, StoreError> {
        takes_of(&self.stock_takes, sku)
    }

    pub(super) fn add_take(&mut self, sku: &Id, take: &StockTake) -> Result<(), StoreError> {
        let row = serde_json::to_vec(take)?;
        let key = (sku.as_str(), take.dot.warehouse.as_str(), take.dot.number);
        self.stock_takes.insert(key, row.as_slice()).map_err(database_error)?;
        Ok(())
    }

    pub(super) fn add_conflict(&mut self, conflict: &Conflict) -> Result<(), StoreError> {
        let last = self.conflicts.last().map_err(database_error)?.map(|(position, _)| position.value());
        let row = serde_json::to_vec(conflict)?;
        self.conflicts.insert(last.map_or(0, |last| last + 1), row.as_slice()).map_err(database_error)?;
        Ok(())
    }
}
