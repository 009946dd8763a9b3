//! The database's durable state ([`ordeal_kit::store`]).
//!
//! Invariants, besides those of the kit's store:
//! - an event, the standing after it, and what its request led to are one commit;
//! - the events of a match are numbered from 1 without gaps.

mod tables;

use std::collections::HashMap;
use std::path::Path;

use ordeal_kit::Id;
use ordeal_kit::store::{Answers, Storage, StoreError, StoreFile};
use redb::WriteTransaction;
use tokio::sync::oneshot;

use crate::bugs::Bug;
use crate::score::{Event, Score, Standing};
use tables::{Reading, Writing};

/// A score that is to be written.
#[derive(Debug)]
struct Change {
    of: Id,
    request_id: Id,
    score: Score,
    done: oneshot::Sender<Event>,
}

/// An open store. Dropping it ends the writer and closes the file.
#[derive(Debug)]
pub(crate) struct Store {
    storage: Storage<Change>,
    life: u32,
}

impl Store {
    /// Opens the store of this node in the directory, which is created if need be.
    pub(crate) fn open(directory: &Path, node: &str, bug: Option<Bug>) -> Result<Self, StoreError> {
        let writer = Writer { bug, since_start: HashMap::new() };
        let lazy = bug == Some(Bug::AckBeforeSync);
        let file = StoreFile { directory, name: "scores.redb", node, lazy };
        let (storage, life) = Storage::open(file, writer, tables::prepare)?;
        Ok(Store { storage, life })
    }

    /// How often it was opened, this time included.
    pub(crate) fn life(&self) -> u32 {
        self.life
    }

    /// The match as it stands.
    pub(crate) fn standing(&self, of: &Id) -> Result<Standing, StoreError> {
        self.reading()?.standing(of)
    }

    /// What the request led to, if it was done.
    pub(crate) fn done(&self, of: &Id, request_id: &Id) -> Result<Option<Event>, StoreError> {
        self.reading()?.done(of, request_id)
    }

    /// The events of a match from this number on, so many at most.
    pub(crate) fn events(&self, of: &Id, from: u64, limit: usize) -> Result<Vec<Event>, StoreError> {
        self.reading()?.events(of, from, limit)
    }

    /// Writes the next event of a match, durably.
    pub(crate) async fn write(&self, of: Id, request_id: Id, score: Score) -> Result<Event, StoreError> {
        self.storage.change(|done| Change { of, request_id, score, done }).await
    }

    /// Completes when the writer has ended: nothing can be stored any more.
    pub(crate) fn failed(&self) -> impl Future<Output = ()> + Send + 'static {
        self.storage.failed()
    }

    fn reading(&self) -> Result<Reading, StoreError> {
        self.storage.read().map(Reading)
    }
}

struct Writer {
    bug: Option<Bug>,
    /// The numbers given out since the start, by match (bug `sequence-not-persisted`).
    since_start: HashMap<Id, u64>,
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
        for Change { of, request_id, score, done } in changes {
            let event = Event { sequence: self.next(&tables, &of)?, request_id, score };
            tables.put(&of, &event)?;
            answers.add(done, event);
        }
        Ok(true)
    }
}

impl Writer {
    /// The number of the next event.
    fn next(&mut self, tables: &Writing<'_>, of: &Id) -> Result<u64, StoreError> {
        if self.bug == Some(Bug::SequenceNotPersisted) {
            let last = self.since_start.entry(of.clone()).or_default();
            *last += 1;
            return Ok(*last);
        }
        Ok(tables.standing(of)?.sequence + 1)
    }
}

#[cfg(test)]
mod tests;
