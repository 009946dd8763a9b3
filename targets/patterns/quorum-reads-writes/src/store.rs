//! A replica's durable state ([`ordeal_kit::store`]).
//!
//! Invariants, besides those of the kit's store:
//! - what a replica answers is on disk, so it still holds it after a crash;
//! - a patient's summary only moves to newer versions, the entries only grow.

mod tables;

use std::path::Path;
use std::sync::Arc;

use ordeal_kit::Id;
use ordeal_kit::store::{Answers, Storage, StoreError, StoreFile, Writer};
use redb::WriteTransaction;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::protocol::{Cell, Entries, Entry, Register, Update, VersionOrder};
use tables::{Reading, Writing};

/// How a new version's counter is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counter {
    /// The one after the larger of this and what the own store holds.
    After(u64),
    /// Just this (bug `wall-clock-versions`).
    Exactly(u64),
}

/// What stands for a set of entries: two replicas with the same digest hold the same set (but for a
/// collision of two 64-bit hashes at once). A sum over the entries, so that it is kept up as they come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Digest {
    pub(crate) entries: u64,
    pub(crate) sums: [u64; 2],
}

/// A patient's entries as a replica holds them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Set {
    pub(crate) entries: Arc<Entries>,
    pub(crate) digest: Digest,
}

impl Set {
    /// Digests these entries.
    pub(crate) fn new(entries: Arc<Entries>) -> Self {
        let digest = tables::digest(&entries);
        Set { entries, digest }
    }
}

/// What kind of store to open.
#[derive(Clone, Debug)]
pub(crate) struct StoreOptions {
    /// The node whose state it is.
    pub(crate) node: String,
    /// How versions are compared.
    pub(crate) order: VersionOrder,
    /// Ack when in memory, sync later (bug `ack-before-sync`).
    pub(crate) lazy_sync: bool,
}

/// A change kept for a peer that could not be reached (bug `hint-counted`).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Hint {
    pub(crate) peer: usize,
    pub(crate) update: Update,
}

#[derive(Debug)]
enum Change {
    Update(Update, oneshot::Sender<()>),
    Issue { patient: Id, request_id: Id, text: String, counter: Counter, done: oneshot::Sender<Cell> },
    Hint(Hint, oneshot::Sender<()>),
    DropHint(u64, oneshot::Sender<()>),
}

/// An open store. Dropping it ends the writer and closes the file.
#[derive(Debug)]
pub(crate) struct Store {
    storage: Storage<Change>,
}

impl Store {
    /// Opens the store in the directory, which is created if need be.
    pub(crate) fn open(directory: &Path, options: StoreOptions) -> Result<Self, StoreError> {
        let node = options.node.clone();
        let file = StoreFile { directory, name: "replica.redb", node: &node, lazy: options.lazy_sync };
        let prepare = |transaction: &WriteTransaction| Writing::open(transaction).map(drop);
        let (storage, ()) = Storage::open(file, Changes { options }, prepare)?;
        Ok(Store { storage })
    }

    /// The summary, and what the request id led to.
    pub(crate) fn register(&self, patient: &Id, request_id: Option<&Id>) -> Result<Register, StoreError> {
        self.reading()?.register(patient, request_id)
    }

    /// One entry, and the size of the texts of all.
    pub(crate) fn entry(&self, patient: &Id, id: &Id) -> Result<(Option<Entry>, u64), StoreError> {
        let reading = self.reading()?;
        Ok((reading.entry(patient, id)?, reading.digest(patient)?.1))
    }

    /// All entries.
    pub(crate) fn set(&self, patient: &Id) -> Result<Set, StoreError> {
        self.reading()?.set(patient)
    }

    /// All entries, unless they are those the digest stands for.
    pub(crate) fn set_unless(&self, patient: &Id, known: Digest) -> Result<Option<Set>, StoreError> {
        let reading = self.reading()?;
        if reading.digest(patient)?.0 == known {
            return Ok(None);
        }
        reading.set(patient).map(Some)
    }

    /// The oldest hints, with their numbers.
    pub(crate) fn hints(&self, limit: usize) -> Result<Vec<(u64, Hint)>, StoreError> {
        self.reading()?.hints(limit)
    }

    /// Stores the update durably.
    pub(crate) async fn update(&self, update: Update) -> Result<(), StoreError> {
        self.storage.change(|done| Change::Update(update, done)).await
    }

    /// Issues a version for the request and stores the summary durably; if the request has one already,
    /// that is the answer.
    pub(crate) async fn issue(
        &self,
        patient: Id,
        request_id: Id,
        text: String,
        counter: Counter,
    ) -> Result<Cell, StoreError> {
        self.storage.change(|done| Change::Issue { patient, request_id, text, counter, done }).await
    }

    /// Keeps a hint durably.
    pub(crate) async fn hint(&self, hint: Hint) -> Result<(), StoreError> {
        self.storage.change(|done| Change::Hint(hint, done)).await
    }

    /// Forgets a hint.
    pub(crate) async fn drop_hint(&self, number: u64) -> Result<(), StoreError> {
        self.storage.change(|done| Change::DropHint(number, done)).await
    }

    /// Completes when the writer has ended: nothing can be stored any more.
    pub(crate) fn failed(&self) -> impl Future<Output = ()> + Send + 'static {
        self.storage.failed()
    }

    fn reading(&self) -> Result<Reading, StoreError> {
        self.storage.read().map(Reading)
    }
}

/// Writes what others ask for.
struct Changes {
    options: StoreOptions,
}

impl Writer for Changes {
    type Change = Change;

    fn write(
        &mut self,
        transaction: &WriteTransaction,
        changes: Vec<Change>,
        answers: &mut Answers,
    ) -> Result<bool, StoreError> {
        let mut tables = Writing::open(transaction)?;
        let mut changed = false;
        for change in changes {
            changed |= apply(&mut tables, change, &self.options, answers)?;
        }
        Ok(changed)
    }
}

/// Applies one change. Whether anything asked for was not there already.
fn apply(
    tables: &mut Writing<'_>,
    change: Change,
    options: &StoreOptions,
    answers: &mut Answers,
) -> Result<bool, StoreError> {
    let mut changed = true;
    match change {
        Change::Update(update, done) => {
            changed = match update {
                Update::Summary { patient, cell } => tables.put_summary(&patient, &cell, options.order)?,
                Update::Entries { patient, entries } => tables.merge(&patient, &entries)?,
            };
            answers.add(done, ());
        }
        Change::Issue { patient, request_id, text, counter, done } => {
            if let Some(known) = tables.known(&patient, &request_id)? {
                answers.add(done, known);
                return Ok(false);
            }
            let held = tables.summary(&patient)?.map_or(0, |cell| cell.version.counter);
            let counter = match counter {
                Counter::After(floor) => floor.max(held) + 1,
                Counter::Exactly(counter) => counter,
            };
            let version = crate::protocol::Version { counter, node: options.node.clone() };
            let cell = Cell { version, request_id, text };
            changed = tables.put_summary(&patient, &cell, options.order)?;
            answers.add(done, cell);
        }
        Change::Hint(hint, done) => {
            tables.add_hint(&hint)?;
            answers.add(done, ());
        }
        Change::DropHint(number, done) => {
            tables.drop_hint(number)?;
            answers.add(done, ());
        }
    }
    Ok(changed)
}

#[cfg(test)]
mod tests;
