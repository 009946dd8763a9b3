//! The one writer of the store: what each change does, and when it is on disk.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use ordeal_kit::Id;
use redb::{Database, Durability};
use tokio::sync::oneshot;

use super::tables::Writing;
use super::{Fact, Request, StoreError, database_error};
use crate::bugs::Bug;
use crate::trade::{Decision, Details, TradeCopy};

/// Changes in one commit.
const BATCH_MAX: usize = 1024;
/// How long a confirmation may stay in memory under the bug `ack-before-sync`.
const LAZY_SYNC: Duration = Duration::from_millis(500);

/// Something to be written, and who is told when it is on disk.
pub(super) enum Change {
    Vote { trade: Id, details: Details, accept: bool, done: oneshot::Sender<TradeCopy> },
    AcceptSettlement(Id, oneshot::Sender<()>),
    ConfirmSettlement(Id, Details, oneshot::Sender<bool>),
    Learn(Vec<Fact>, oneshot::Sender<()>),
}

/// The writer: commits batches until the queue is closed. On an error it ends, and with it the node: what a failed
/// commit left behind is only known after the file is opened again.
pub(super) fn write_all(
    database: &Database,
    queue: &Receiver<Change>,
    bug: Option<Bug>,
) -> Result<(), StoreError> {
    let lazy = bug == Some(Bug::AckBeforeSync);
    let mut synced = Instant::now();
    let mut open = true;
    while open {
        let mut batch = Vec::new();
        match queue.recv_timeout(LAZY_SYNC) {
            Ok(first) => batch.push(first),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => open = false,
        }
        batch.extend(queue.try_iter().take(BATCH_MAX - 1));
        let mut durability = Durability::Immediate;
        if lazy && open && synced.elapsed() < LAZY_SYNC {
            durability = Durability::None;
        } else {
            synced = Instant::now();
        }
        if !batch.is_empty() || lazy {
            write_batch(database, batch, durability, bug)?;
        }
    }
    Ok(())
}

type Tell = Box<dyn FnOnce()>;

fn write_batch(
    database: &Database,
    batch: Vec<Change>,
    durability: Durability,
    bug: Option<Bug>,
) -> Result<(), StoreError> {
    let mut transaction = database.begin_write().map_err(database_error)?;
    transaction.set_durability(durability).map_err(database_error)?;
    // A batch under the bug may hold nothing and still has to bring to disk what came before.
    let mut changed = bug == Some(Bug::AckBeforeSync);
    let mut answers: Vec<Tell> = Vec::with_capacity(batch.len());
    {
        let mut writer = Writer { tables: Writing::open(&transaction)?, changed: &mut changed, bug };
        for change in batch {
            answers.push(writer.apply(change)?);
        }
    }
    if changed {
        transaction.commit().map_err(database_error)?;
    } else {
        // Everything asked for was durable already.
        transaction.abort().map_err(database_error)?;
    }
    for tell in answers {
        tell();
    }
    Ok(())
}

/// Applies changes within one commit.
struct Writer<'t> {
    tables: Writing<'t>,
    changed: &'t mut bool,
    bug: Option<Bug>,
}

impl Writer<'_> {
    /// Applies a change; the answer is to be told after the commit.
    fn apply(&mut self, change: Change) -> Result<Tell, StoreError> {
        Ok(match change {
            Change::Vote { trade, details, accept, done } => tell(done, self.vote(&trade, details, accept)?),
            Change::AcceptSettlement(trade, done) => {
                self.accept(Request::Settlement, &trade)?;
                tell(done, ())
            }
            Change::ConfirmSettlement(trade, details, done) => {
                tell(done, self.confirm_settlement(trade, details)?)
            }
            Change::Learn(facts, done) => {
                for fact in &facts {
                    self.learn(fact)?;
                }
                tell(done, ())
            }
        })
    }

    fn vote(&mut self, trade: &Id, details: Details, accept: bool) -> Result<TradeCopy, StoreError> {
        let mut copy = self.tables.copy(trade)?;
        if accept && self.bug == Some(Bug::RetryExecutesTwice) {
            copy = TradeCopy::default();
        }
        let free = copy.vote.is_none() || self.bug == Some(Bug::VoteNotKept);
        if free && copy.decision.is_none() {
            copy.vote = Some(details);
            self.put(trade, &copy)?;
        }
        if accept && copy.decision.is_none() {
            self.accept(Request::Trade, trade)?;
        }
        Ok(copy)
    }

    fn accept(&mut self, request: Request, trade: &Id) -> Result<(), StoreError> {
        if self.bug != Some(Bug::ListLost) {
            *self.changed |= self.tables.add_unfinished(request, trade)?;
        }
        Ok(())
    }

    fn confirm_settlement(&mut self, trade: Id, details: Details) -> Result<bool, StoreError> {
        let fact = Fact { trade, decision: Decision::Confirmed(details), settled: false };
        self.learn(&fact)?;
        let mut copy = self.tables.copy(&fact.trade)?;
        if copy.decision.as_ref() != Some(&fact.decision) {
            return Ok(false);
        }
        if !copy.settlement {
            copy.settlement = true;
            self.put(&fact.trade, &copy)?;
        }
        Ok(true)
    }

    fn learn(&mut self, fact: &Fact) -> Result<(), StoreError> {
        let mut copy = self.tables.copy(&fact.trade)?;
        let first = copy.decision.is_none();
        if copy.decision.as_ref().is_some_and(|known| *known != fact.decision) {
            tracing::error!(trade = %fact.trade, ?copy, ?fact, "two decisions on one trade");
            return Ok(());
        }
        if let Decision::Confirmed(details) = &fact.decision
            && (first || self.bug == Some(Bug::CallbackRunsTwice))
        {
            self.tables.book(&fact.trade, details)?;
            *self.changed = true;
        }
        if first || (fact.settled && !copy.settled) {
            copy.decision = Some(fact.decision.clone());
            copy.settled |= fact.settled;
            self.put(&fact.trade, &copy)?;
            self.tables.add_learned(&fact.trade)?;
        }
        *self.changed |= self.tables.drop_unfinished(Request::Trade, &fact.trade)?;
        if copy.settled {
            *self.changed |= self.tables.drop_unfinished(Request::Settlement, &fact.trade)?;
        }
        Ok(())
    }

    fn put(&mut self, trade: &Id, copy: &TradeCopy) -> Result<(), StoreError> {
        *self.changed = true;
        self.tables.put_copy(trade, copy)
    }
}

fn tell<T: 'static>(done: oneshot::Sender<T>, answer: T) -> Tell {
    Box::new(move || {
        // Nobody may be waiting any more.
        let _ = done.send(answer);
    })
}
