//! The tables of the store, and how rows are read and written.

use std::ops::Bound;

use ordeal_kit::Id;
use ordeal_kit::store::{StoreError, database_error, parsed};
use redb::{ReadTransaction, ReadableTable, Table, TableDefinition, WriteTransaction};
use serde::Serialize;

use super::{Booking, Fact, Request};
use crate::trade::{Details, TradeCopy};

type Json = &'static [u8];

/// Trade → [`TradeCopy`] as JSON.
const COPIES: TableDefinition<'_, &str, Json> = TableDefinition::new("copies");
/// Requests that were accepted and are not finished: whether it is a settlement, trade.
const UNFINISHED: TableDefinition<'_, (bool, &str), ()> = TableDefinition::new("unfinished");
/// Line, from 0 without gaps → [`Booking`] as JSON.
const LEDGER: TableDefinition<'_, u64, Json> = TableDefinition::new("ledger");
/// Counterparty → what its bookings add up to.
const POSITIONS: TableDefinition<'_, &str, u64> = TableDefinition::new("positions");
/// Position, from 0 without gaps → a trade of which something became known then.
const LEARNED: TableDefinition<'_, u64, &str> = TableDefinition::new("learned");

/// Only ids are ever stored, so a row that is none is damage.
fn id(text: &str) -> Result<Id, StoreError> {
    Ok(serde_json::from_value(text.into())?)
}

fn copy_in(table: &impl ReadableTable<&'static str, Json>, trade: &str) -> Result<TradeCopy, StoreError> {
    Ok(parsed(table.get(trade).map_err(database_error)?)?.unwrap_or_default())
}

/// One moment of the store.
pub(super) struct Reading(pub(super) ReadTransaction);

impl Reading {
    pub(super) fn copy(&self, trade: &Id) -> Result<TradeCopy, StoreError> {
        copy_in(&self.0.open_table(COPIES).map_err(database_error)?, trade.as_str())
    }

    pub(super) fn copies(&self, after: &str, limit: usize) -> Result<Vec<(Id, TradeCopy)>, StoreError> {
        let table = self.0.open_table(COPIES).map_err(database_error)?;
        let mut copies = Vec::new();
        for row in table.range(after..).map_err(database_error)? {
            let (trade, copy) = row.map_err(database_error)?;
            if trade.value() == after {
                continue;
            }
            copies.push((id(trade.value())?, serde_json::from_slice(copy.value())?));
            if copies.len() == limit {
                break;
            }
        }
        Ok(copies)
    }

    /// Unfinished requests in order, after this one; `None`: from the first one on.
    pub(super) fn unfinished(
        &self,
        after: Option<&(Request, Id)>,
        limit: usize,
    ) -> Result<Vec<(Request, Id)>, StoreError> {
        let table = self.0.open_table(UNFINISHED).map_err(database_error)?;
        let after = after.map(|(request, trade)| (*request == Request::Settlement, trade.as_str()));
        let range = (after.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
        let mut requests = Vec::new();
        for row in table.range::<(bool, &str)>(range).map_err(database_error)?.take(limit) {
            let (row, ()) = row.map(|(key, value)| (key, value.value())).map_err(database_error)?;
            let (settlement, trade) = row.value();
            let request = if settlement { Request::Settlement } else { Request::Trade };
            requests.push((request, id(trade)?));
        }
        Ok(requests)
    }

    pub(super) fn ledger(&self, from: u64, limit: usize) -> Result<Vec<Booking>, StoreError> {
        let table = self.0.open_table(LEDGER).map_err(database_error)?;
        let mut bookings = Vec::new();
        for row in table.range(from..).map_err(database_error)?.take(limit) {
            let (_, booking) = row.map_err(database_error)?;
            bookings.push(serde_json::from_slice(booking.value())?);
        }
        Ok(bookings)
    }

    pub(super) fn learned(&self, from: u64, limit: usize) -> Result<(Vec<Fact>, u64), StoreError> {
        let learned = self.0.open_table(LEARNED).map_err(database_error)?;
        let copies = self.0.open_table(COPIES).map_err(database_error)?;
        let (mut facts, mut next) = (Vec::new(), from);
        for row in learned.range(from..).map_err(database_error)?.take(limit) {
            let (position, trade) = row.map_err(database_error)?;
            next = position.value() + 1;
            let copy = copy_in(&copies, trade.value())?;
            if let Some(decision) = copy.decision {
                facts.push(Fact { trade: id(trade.value())?, decision, settled: copy.settled });
            }
        }
        Ok((facts, next))
    }
}

/// The tables, in a write transaction.
pub(super) struct Writing<'t> {
    copies: Table<'t, &'static str, Json>,
    unfinished: Table<'t, (bool, &'static str), ()>,
    ledger: Table<'t, u64, Json>,
    positions: Table<'t, &'static str, u64>,
    learned: Table<'t, u64, &'static str>,
}

impl<'t> Writing<'t> {
    pub(super) fn open(transaction: &'t WriteTransaction) -> Result<Self, StoreError> {
        Ok(Writing {
            copies: transaction.open_table(COPIES).map_err(database_error)?,
            unfinished: transaction.open_table(UNFINISHED).map_err(database_error)?,
            ledger: transaction.open_table(LEDGER).map_err(database_error)?,
            positions: transaction.open_table(POSITIONS).map_err(database_error)?,
            learned: transaction.open_table(LEARNED).map_err(database_error)?,
        })
    }

    pub(super) fn copy(&self, trade: &Id) -> Result<TradeCopy, StoreError> {
        copy_in(&self.copies, trade.as_str())
    }

    pub(super) fn put_copy(&mut self, trade: &Id, copy: &TradeCopy) -> Result<(), StoreError> {
        let row = serde_json::to_vec(copy)?;
        self.copies.insert(trade.as_str(), row.as_slice()).map_err(database_error)?;
        Ok(())
    }

    /// Whether it was not there.
    pub(super) fn add_unfinished(&mut self, request: Request, trade: &Id) -> Result<bool, StoreError> {
        let key = (request == Request::Settlement, trade.as_str());
        Ok(self.unfinished.insert(key, ()).map_err(database_error)?.is_none())
    }

    /// Whether it was there.
    pub(super) fn drop_unfinished(&mut self, request: Request, trade: &Id) -> Result<bool, StoreError> {
        let key = (request == Request::Settlement, trade.as_str());
        Ok(self.unfinished.remove(key).map_err(database_error)?.is_some())
    }

    /// Executes a trade: a line in the ledger, and the counterparty's position moves.
    pub(super) fn book(&mut self, trade: &Id, details: &Details) -> Result<(), StoreError> {
        let counterparty = details.counterparty.as_str();
        let before = self.positions.get(counterparty).map_err(database_error)?.map_or(0, |row| row.value());
        let position = before.saturating_add(details.volume);
        self.positions.insert(counterparty, position).map_err(database_error)?;
        let booking = Booking {
            correlation_id: trade.clone(),
            counterparty: details.counterparty.clone(),
            volume: details.volume,
            position,
        };
        append(&mut self.ledger, &booking)
    }

    pub(super) fn add_learned(&mut self, trade: &Id) -> Result<(), StoreError> {
        let last = self.learned.last().map_err(database_error)?.map(|(position, _)| position.value());
        let next = last.map_or(0, |last| last + 1);
        self.learned.insert(next, trade.as_str()).map_err(database_error)?;
        Ok(())
    }
}

fn append(table: &mut Table<'_, u64, Json>, row: &impl Serialize) -> Result<(), StoreError> {
    let last = table.last().map_err(database_error)?.map(|(position, _)| position.value());
    let row = serde_json::to_vec(row)?;
    table.insert(last.map_or(0, |last| last + 1), row.as_slice()).map_err(database_error)?;
    Ok(())
}
