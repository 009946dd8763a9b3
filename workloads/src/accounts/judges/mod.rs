//! The judges of `accounts`, and what they share: what was told of each version of each account.

mod effects;
mod order;
mod partition_moves;

use std::collections::{BTreeMap, BTreeSet};

pub(super) use effects::Effects;
use ordeal_core::{Anomaly, EventKind, Key, Operation};
pub(super) use order::Order;
pub(super) use partition_moves::PartitionMoves;
use serde::Deserialize;
use serde_json::Value;

use super::answers::{Account, Balances, Receipt, Transfer};
use crate::report::{anomaly_of, result, which};

/// A transfer, with all attempts at it.
struct Request<'a> {
    transfer: Transfer,
    /// That may have had its effect.
    attempts: Vec<&'a Operation<'a>>,
    /// What attempts were answered.
    receipts: Vec<(Receipt, &'a Operation<'a>)>,
}

impl<'a> Request<'a> {
    /// The effect is not before the first attempt, and not after the first answer.
    fn first_call(&self) -> Option<&'a Operation<'a>> {
        self.attempts.iter().copied().min_by_key(|op| op.call)
    }
}

/// An answer that shows accounts without changing them; an opening also does.
struct Seen<'a> {
    op: &'a Operation<'a>,
    accounts: Vec<Account>,
    /// Accounts that there were not.
    missing: Vec<String>,
}

/// What a history says.
#[derive(Default)]
struct Facts<'a> {
    /// By request id.
    requests: BTreeMap<String, Request<'a>>,
    seen: Vec<Seen<'a>>,
    /// Answers about accounts that were not asked for; nothing else is made of these.
    others: Vec<Anomaly>,
    unread: Vec<String>,
}

impl<'a> Facts<'a> {
    fn of(operations: &'a [Operation<'a>]) -> Self {
        let mut facts = Facts::default();
        for op in operations {
            if let Err(why) = facts.take(op) {
                facts.unread.push(why);
            }
        }
        facts
    }

    fn take(&mut self, op: &'a Operation<'a>) -> Result<(), String> {
        match op.f() {
            "transfer" if op.kind() != EventKind::Fail => {
                let transfer = Transfer::deserialize(op.input());
                let transfer = transfer.map_err(|e| format!("#{}: no transfer: {e}", op.index()))?;
                let id = transfer.request_id.clone();
                let new = || Request { transfer, attempts: Vec::new(), receipts: Vec::new() };
                let request = self.requests.entry(id).or_insert_with(new);
                request.attempts.push(op);
                if let Some(receipt) = result::<Receipt>(op)? {
                    request.receipts.push((receipt, op));
                }
            }
            "open" => {
                if let Some(account) = result::<Account>(op)? {
                    self.see_one(op, Some(account));
                }
            }
            "read" => {
                if let Some(account) = result::<Option<Account>>(op)? {
                    self.see_one(op, account);
                }
            }
            "balances" | "snapshot" => {
                if let Some(Balances { balances }) = result(op)? {
                    self.others.extend(not_asked_for(op, &balances));
                    let complete = all_answered(op, &balances);
                    self.see(op, balances);
                    complete?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn see_one(&mut self, op: &'a Operation<'a>, account: Option<Account>) {
        let asked = op.key().map(Key::to_string);
        self.see(op, asked.map(|id| (id, account)).into_iter().collect());
    }

    /// What was answered for each name.
    fn see(&mut self, op: &'a Operation<'a>, answer: BTreeMap<String, Option<Account>>) {
        let mut seen = Seen { op, accounts: Vec::new(), missing: Vec::new() };
        for (id, account) in answer {
            match account {
                Some(account) if account.id == id => seen.accounts.push(account),
                Some(account) => {
                    let message = format!("{} was answered with {} for {id}.", which(op), account.id);
                    self.others.push(anomaly_of("other-account", Some(&id), message, &[op]));
                }
                None => seen.missing.push(id),
            }
        }
        self.seen.push(seen);
    }

    /// Everything that was told of accounts, with who told it; receipts with the transfer that made the version.
    fn told(&self) -> impl Iterator<Item = (&Account, &'a Operation<'a>, Option<&Request<'a>>)> {
        let seen = self.seen.iter().flat_map(|seen| seen.accounts.iter().map(move |a| (a, seen.op, None)));
        let made = self.requests.values().flat_map(|request| {
            request.receipts.iter().flat_map(move |(receipt, op)| {
                [(&receipt.from, *op, Some(request)), (&receipt.to, *op, Some(request))]
            })
        });
        seen.chain(made)
    }

    /// Every account's versions, as far as they were told.
    fn chains(&self) -> Chains<'a> {
        let mut chains = Chains::new();
        for (account, op, request) in self.told() {
            let version = chains.entry(account.id.clone()).or_default().entry(account.version);
            let known =
                version.or_insert_with(|| Known { balance: account.balance, told: op, made_by: None });
            if let Some(request) = request
                && known.made_by.is_none()
            {
                known.made_by = Some(request.transfer.request_id.clone());
            }
        }
        self.attribute(&mut chains);
        chains
    }

    /// A version that nobody has a receipt for follows from the balances around it: every transfer has an amount of its own.
    fn attribute(&self, chains: &mut Chains<'a>) {
        let unanswered = self.requests.values().filter(|request| request.receipts.is_empty());
        let by_amount: BTreeMap<i64, &Transfer> =
            unanswered.map(|request| (request.transfer.amount, &request.transfer)).collect();
        for (account, chain) in chains {
            let mut before: Option<(u64, i64)> = None;
            for (&version, known) in chain.iter_mut() {
                if let Some((last, balance)) = before
                    && last + 1 == version
                    && known.made_by.is_none()
                {
                    let change = known.balance - balance;
                    let transfer = by_amount.get(&change.abs());
                    let mine = transfer.filter(|t| change_of(t, account) == Some(change));
                    known.made_by = mine.map(|transfer| transfer.request_id.clone());
                }
                before = Some((version, known.balance));
            }
        }
    }
}

/// Accounts in an answer that the question, a list of names, did not name.
fn not_asked_for<T>(op: &Operation<'_>, answered: &BTreeMap<String, T>) -> Vec<Anomaly> {
    let asked = asked_for(op);
    let others = answered.keys().filter(|id| !asked.contains(id.as_str()));
    let message = |id: &String| format!("{} answers about {id}, which was not asked for.", which(op));
    others.map(|id| anomaly_of("other-account", Some(id), message(id), &[op])).collect()
}

/// An error if the answer leaves out accounts that the question names.
fn all_answered<T>(op: &Operation<'_>, answered: &BTreeMap<String, T>) -> Result<(), String> {
    match asked_for(op).into_iter().find(|id| !answered.contains_key(*id)) {
        Some(id) => Err(format!("{} leaves out {id}", which(op))),
        None => Ok(()),
    }
}

fn asked_for<'a>(op: &Operation<'a>) -> BTreeSet<&'a str> {
    op.input().as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// What a transfer does to an account; `None`: nothing.
fn change_of(transfer: &Transfer, account: &str) -> Option<i64> {
    match account {
        _ if account == transfer.from => Some(-transfer.amount),
        _ if account == transfer.to => Some(transfer.amount),
        _ => None,
    }
}

/// A version of an account.
struct Known<'a> {
    balance: i64,
    /// Who told it first.
    told: &'a Operation<'a>,
    /// The transfer that made it, if that is known.
    made_by: Option<String>,
}

/// Account, then version.
type Chains<'a> = BTreeMap<String, BTreeMap<u64, Known<'a>>>;

#[cfg(test)]
mod tests;
