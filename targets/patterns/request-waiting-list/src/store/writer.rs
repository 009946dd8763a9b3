//! The one writer of the store: what each change does.

use ordeal_kit::Id;
use ordeal_kit::store::{Answers, StoreError};
use redb::WriteTransaction;
use tokio::sync::oneshot;

use super::tables::Writing;
use super::{Fact, Request};
use crate::bugs::Bug;
use crate::trade::{Decision, Details, TradeCopy};

/// Something to be written, and who is told when it is on disk.
#[derive(Debug)]
pub(super) enum Change {
    Vote { trade: Id, details: Details, accept: bool, done: oneshot::Sender<TradeCopy> },
    AcceptSettlement(Id, oneshot::Sender<()>),
    ConfirmSettlement(Id, Details, oneshot::Sender<bool>),
    Learn(Vec<Fact>, oneshot::Sender<()>),
}

/// Writes what others ask for.
pub(super) struct Writer {
    pub(super) bug: Option<Bug>,
}

impl ordeal_kit::store::Writer for Writer {
    type Change = Change;

    fn write(
        &mut self,
        transaction: &WriteTransaction,
        changes: Vec<Change>,
        answers: &mut Answers,
    ) -> Result<bool, StoreError> {
        let mut commit = Commit { tables: Writing::open(transaction)?, changed: false, bug: self.bug };
        for change in changes {
            commit.apply(change, answers)?;
        }
        Ok(commit.changed)
    }
}

/// Applies changes within one commit.
struct Commit<'t> {
    tables: Writing<'t>,
    /// Whether anything asked for was not there already.
    changed: bool,
    bug: Option<Bug>,
}

impl Commit<'_> {
    fn apply(&mut self, change: Change, answers: &mut Answers) -> Result<(), StoreError> {
        match change {
            Change::Vote { trade, details, accept, done } => {
                answers.add(done, self.vote(&trade, details, accept)?);
            }
            Change::AcceptSettlement(trade, done) => {
                self.accept(Request::Settlement, &trade)?;
                answers.add(done, ());
            }
            Change::ConfirmSettlement(trade, details, done) => {
                answers.add(done, self.confirm_settlement(trade, details)?);
            }
            Change::Learn(facts, done) => {
                for fact in &facts {
                    self.learn(fact)?;
                }
                answers.add(done, ());
            }
        }
        Ok(())
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
            self.changed |= self.tables.add_unfinished(request, trade)?;
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
            self.changed = true;
        }
        if first || (fact.settled && !copy.settled) {
            copy.decision = Some(fact.decision.clone());
            copy.settled |= fact.settled;
            self.put(&fact.trade, &copy)?;
            self.tables.add_learned(&fact.trade)?;
        }
        self.changed |= self.tables.drop_unfinished(Request::Trade, &fact.trade)?;
        if copy.settled {
            self.changed |= self.tables.drop_unfinished(Request::Settlement, &fact.trade)?;
        }
        Ok(())
    }

    fn put(&mut self, trade: &Id, copy: &TradeCopy) -> Result<(), StoreError> {
        self.changed = true;
        self.tables.put_copy(trade, copy)
    }
}
