//! A data node's durable state ([`ordeal_kit::store`]): which shards it holds, and the customers in them.
//!
//! Invariants, besides those of the kit's store:
//! - whether a customer is served is decided in the transaction that reads or changes the customer, so a request is served
//!   before its shard is frozen, or not at all;
//! - rows and what is noted about their shard are changed in one commit;
//! - a request has one effect: its receipt is written in the same commit, and goes with the customer when a shard moves.

mod tables;

use std::collections::BTreeMap;
use std::path::Path;

use ordeal_kit::store::{Answers, Storage, StoreError, StoreFile};
use redb::WriteTransaction;
use tokio::sync::oneshot;

use crate::bugs::Bug;
use crate::customer::{Customer, Receipt, Row, Update};
use crate::held::{Held, Mark, Obeyed, Order, Refusal, State};
use crate::key::Key;
use crate::messages::{Page, RowsOf};
use crate::routing::ShardId;
use tables::{Reading, Writing};

/// Calls of one customer.
const CALLS_MAX: usize = 10_000;

/// A customer as it is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Served<T> {
    pub(crate) shard: ShardId,
    /// The epoch at which this node owns the shard.
    pub(crate) epoch: u64,
    pub(crate) answer: T,
}

/// Why a customer's record was not changed; nothing was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotDone {
    /// It is not served here.
    Refused(Refusal),
    /// The request id stands for something else.
    Reused,
    /// The customer has as many calls as may be.
    Full,
}

/// A change of a customer.
#[derive(Clone, Debug)]
pub(crate) struct Put {
    pub(crate) key: Key,
    /// The epoch that the request names.
    pub(crate) epoch: Option<u64>,
    pub(crate) request: String,
    pub(crate) update: Update,
}

/// A part of a copy.
#[derive(Clone, Debug)]
pub(crate) struct Copied {
    pub(crate) shard: ShardId,
    /// Since when the source owns the shard.
    pub(crate) epoch: u64,
    pub(crate) rows: Vec<Row>,
    /// Where the copy stands with these rows, if they end a round.
    pub(crate) mark: Option<Mark>,
}

type Answer<T> = oneshot::Sender<T>;

enum Change {
    Put(Put, Answer<Result<Served<Receipt>, NotDone>>),
    Obey(Vec<Order>, Answer<Vec<Obeyed>>),
    Take(Copied, Answer<bool>),
}

/// An open store. Dropping it ends the writer and closes the file.
pub(crate) struct Store {
    storage: Storage<Change>,
    bug: Option<Bug>,
}

impl Store {
    /// Opens the store in the directory, which is created if need be.
    pub(crate) fn open(directory: &Path, node: &str, bug: Option<Bug>) -> Result<Self, StoreError> {
        let lazy = bug == Some(Bug::AckBeforeSync);
        let file = StoreFile { directory, name: "customers.redb", node, lazy };
        let prepare = |transaction: &WriteTransaction| Writing::open(transaction).map(drop);
        let (storage, ()) = Storage::open(file, Writer { bug }, prepare)?;
        Ok(Store { storage, bug })
    }

    /// What the node holds.
    pub(crate) fn held(&self) -> Result<Held, StoreError> {
        Reading(self.storage.read()?).held()
    }

    /// What the node holds, and how many customers of each shard.
    pub(crate) fn counted(&self) -> Result<(Held, BTreeMap<ShardId, u64>), StoreError> {
        let reading = Reading(self.storage.read()?);
        let held = reading.held()?;
        let live = held.records.iter().filter(|(_, record)| record.state != State::Gone);
        let counts = live.map(|(shard, record)| Ok((*shard, reading.count(&record.range)?)));
        let counts = counts.collect::<Result<_, StoreError>>()?;
        Ok((held, counts))
    }

    /// A customer, for a request that names this epoch, or none.
    pub(crate) fn customer(
        &self,
        key: &Key,
        epoch: Option<u64>,
    ) -> Result<Result<Served<Customer>, Refusal>, StoreError> {
        let reading = Reading(self.storage.read()?);
        let held = reading.held()?;
        let (shard, record) = match held.serving(key, epoch, self.bug) {
            Ok(serving) => serving,
            Err(refusal) => return Ok(Err(refusal)),
        };
        Ok(Ok(Served { shard, epoch: record.epoch, answer: reading.customer(key)?.customer }))
    }

    /// Some rows of a shard; none if it cannot be copied from here.
    pub(crate) fn page(&self, of: &RowsOf) -> Result<Option<Page>, StoreError> {
        Reading(self.storage.read()?).page(of, self.bug)
    }

    /// Changes a customer, durably; if the request was done already, its receipt is the answer.
    pub(crate) async fn put(&self, put: Put) -> Result<Result<Served<Receipt>, NotDone>, StoreError> {
        self.storage.change(|done| Change::Put(put, done)).await
    }

    /// Does what it is told, durably.
    pub(crate) async fn obey(&self, orders: Vec<Order>) -> Result<Vec<Obeyed>, StoreError> {
        self.storage.change(|done| Change::Obey(orders, done)).await
    }

    /// Takes a part of a copy, durably; false if this node does not make that copy.
    pub(crate) async fn take(&self, copied: Copied) -> Result<bool, StoreError> {
        self.storage.change(|done| Change::Take(copied, done)).await
    }

    /// Completes when the writer has ended: nothing can be stored any more.
    pub(crate) fn failed(&self) -> impl Future<Output = ()> + Send + use<> + 'static {
        self.storage.failed()
    }
}

struct Writer {
    bug: Option<Bug>,
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
        let mut held = tables.held()?;
        for change in changes {
            match change {
                Change::Put(put, done) => answers.add(done, self.put(&mut tables, &mut held, put)?),
                Change::Obey(orders, done) => answers.add(done, obey(&mut tables, &mut held, &orders)?),
                Change::Take(copied, done) => answers.add(done, take(&mut tables, &mut held, copied)?),
            }
        }
        tables.put_held(&held)?;
        Ok(true)
    }
}

impl Writer {
    fn put(
        &self,
        tables: &mut Writing<'_>,
        held: &mut Held,
        put: Put,
    ) -> Result<Result<Served<Receipt>, NotDone>, StoreError> {
        let Put { key, epoch, request, update } = put;
        let (shard, epoch) = match held.serving(&key, epoch, self.bug) {
            Ok((shard, record)) => (shard, record.epoch),
            Err(refusal) => return Ok(Err(NotDone::Refused(refusal))),
        };
        let served = |answer| Served { shard, epoch, answer };
        if let Some(known) = tables.receipt(&key, &request)? {
            return Ok(Some(known).filter(|known| known.update == update).map(served).ok_or(NotDone::Reused));
        }
        let mut row = tables.customer(&key)?;
        if row.customer.calls.len() >= CALLS_MAX {
            return Ok(Err(NotDone::Full));
        }
        let receipt = row.customer.record(&request, update);
        if let Some(record) = held.records.get_mut(&shard) {
            record.seq += 1;
            row.seq = record.seq;
        }
        tables.put_customer(&key, &row)?;
        tables.put_receipt(&key, &request, &receipt)?;
        Ok(Ok(served(receipt)))
    }
}

fn obey(tables: &mut Writing<'_>, held: &mut Held, orders: &[Order]) -> Result<Vec<Obeyed>, StoreError> {
    let mut done = Vec::new();
    for order in orders {
        let obeyed = held.obey(order);
        if let Some(range) = &obeyed.delete {
            tables.delete(range)?;
        }
        done.push(obeyed);
    }
    Ok(done)
}

fn take(tables: &mut Writing<'_>, held: &mut Held, copied: Copied) -> Result<bool, StoreError> {
    let Copied { shard, epoch, rows, mark } = copied;
    if !held.copied(shard, epoch, rows.len() as u64, mark) {
        return Ok(false);
    }
    for row in rows {
        tables.put_row(row)?;
    }
    Ok(true)
}

#[cfg(test)]
mod tests;
