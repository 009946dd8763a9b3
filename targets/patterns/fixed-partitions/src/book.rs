//! The accounts of one node, and its part in two-phase commits: pure, a function of what is on disk.
//!
//! Every function here is one step that takes effect as a whole: the store runs each in one commit, and tests run them on
//! rows in memory, with a crash between any two. Invariants:
//! - a transfer changes both accounts or neither: at one node in one step; at two nodes it is *begun* at the coordinator
//!   (the owner of the account that pays, which is locked), *prepared* at the participant (the other account is locked), and
//!   takes effect when the coordinator *commits*: debit, record of the request and decision are one step;
//! - presumed abort: a transaction that its coordinator does not know was aborted. A coordinator that comes back aborts
//!   what it had not decided, before it says anything to anybody;
//! - a decision is kept until the participant has booked it;
//! - a request has one effect: its record is with the account that pays, is written with the debit, and moves with it;
//! - each effect gives an account its next version.
//!
//! The account that pays can be read while it is locked: nothing has happened until its own node commits. The account
//! that is paid cannot: only the coordinator knows.

use ordeal_kit::Id;
use ordeal_kit::store::StoreError;
use serde::{Deserialize, Serialize};

use crate::bugs::Bug;
use crate::map::Part;
use crate::ownership::{serves, shows, undrain};
use crate::rows::{self, INCOMING, Look, OUTGOING, Rows, get, put, under};

/// An account at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Account {
    pub(crate) id: Id,
    /// In cents, never below zero.
    pub(crate) balance: i64,
    /// How many effects there were, the opening included.
    pub(crate) version: u64,
}

/// A transfer that a client wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) request_id: Id,
    pub(crate) from: Id,
    pub(crate) to: Id,
    pub(crate) amount: i64,
}

/// A transfer that was made: both accounts just after it. Kept for retries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Receipt {
    pub(crate) request_id: Id,
    pub(crate) amount: i64,
    pub(crate) from: Account,
    pub(crate) to: Account,
}

/// Why nothing was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("this node does not serve the partition at this epoch")]
    NotServed,
    #[error("a transfer that is under way has locked the account")]
    Locked,
    #[error("there is no account {0}")]
    NoAccount(Id),
    #[error("there is such an account already")]
    AccountExists,
    #[error("the balance is {0}")]
    Funds(i64),
    #[error("the balance would be too large")]
    TooMuch,
    #[error("this request id was used for something else")]
    RequestReused,
}

/// Every step may be refused; that changes nothing.
pub(crate) type Step<T> = Result<Result<T, Refusal>, StoreError>;

/// What became of a transfer that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Begun {
    /// It is made.
    Made(Receipt),
    /// The account that pays is locked; the participant is to be asked.
    Begun,
}

/// The other node of a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct There {
    pub(crate) node: usize,
    pub(crate) part: Part,
}

/// A transfer as its coordinator keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Outgoing {
    pub(crate) order: Order,
    /// Of the account that pays.
    partition: usize,
    pub(crate) to: There,
    pub(crate) committed: bool,
}

/// A transfer as its participant keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Incoming {
    pub(crate) coordinator: usize,
    part: Part,
    account: Id,
    amount: i64,
}

/// What locks an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Lock {
    Pays,
    Paid,
}

/// What a coordinator says of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Outcome {
    Undecided,
    Committed,
    Aborted,
}

/// Opens an account; again with the same balance, answers with it as it was opened.
pub(crate) fn open(rows: &mut dyn Rows, part: Part, id: &Id, balance: i64) -> Step<Account> {
    if !serves(rows, part, None)? {
        return Ok(Err(Refusal::NotServed));
    }
    let opened = Account { id: id.clone(), balance, version: 1 };
    let opening = rows::request(part.partition, &format!("open/{id}"));
    if let Some(first) = get::<Account>(rows, &opening)? {
        return Ok(if first == opened { Ok(first) } else { Err(Refusal::AccountExists) });
    }
    put(rows, &opening, &opened)?;
    put(rows, &rows::account(part.partition, id.as_str()), &opened)?;
    Ok(Ok(opened))
}

/// The account, if there is one.
pub(crate) fn read(
    look: &(impl Look + ?Sized),
    part: Part,
    id: &Id,
    bug: Option<Bug>,
) -> Step<Option<Account>> {
    if !shows(look, part, bug)? {
        return Ok(Err(Refusal::NotServed));
    }
    let lock: Option<Lock> = get(look, &rows::lock(part.partition, id.as_str()))?;
    if lock == Some(Lock::Paid) && bug != Some(Bug::LockedRead) {
        return Ok(Err(Refusal::Locked));
    }
    Ok(Ok(get(look, &rows::account(part.partition, id.as_str()))?))
}

/// An account of a partition that this node serves and that no transfer has locked.
fn free(rows: &dyn Rows, part: Part, id: &Id, bug: Option<Bug>) -> Step<Account> {
    if !serves(rows, part, bug)? {
        return Ok(Err(Refusal::NotServed));
    }
    if rows.row(&rows::lock(part.partition, id.as_str()))?.is_some() {
        return Ok(Err(Refusal::Locked));
    }
    let account = get(rows, &rows::account(part.partition, id.as_str()))?;
    Ok(account.ok_or_else(|| Refusal::NoAccount(id.clone())))
}

/// The account after this was added to it.
fn after(account: Account, amount: i64) -> Result<Account, Refusal> {
    let balance = account.balance.checked_add(amount).ok_or(Refusal::TooMuch)?;
    if balance < 0 {
        return Err(Refusal::Funds(account.balance));
    }
    Ok(Account { balance, version: account.version + 1, ..account })
}

/// Makes a transfer, if both accounts are here, or begins it as the transaction `tx`.
pub(crate) fn transfer(
    rows: &mut dyn Rows,
    tx: &str,
    order: &Order,
    from: Part,
    to: There,
    here: usize,
    bug: Option<Bug>,
) -> Step<Begun> {
    if !serves(rows, from, bug)? {
        return Ok(Err(Refusal::NotServed));
    }
    let record = rows::request(from.partition, order.request_id.as_str());
    if let Some(known) = get::<Receipt>(rows, &record)?
        && bug != Some(Bug::RetryAppliedTwice)
    {
        let same = (&known.from.id, &known.to.id, known.amount) == (&order.from, &order.to, order.amount);
        return Ok(if same { Ok(Begun::Made(known)) } else { Err(Refusal::RequestReused) });
    }
    let payer = match free(rows, from, &order.from, bug)? {
        Ok(account) => account,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let from_after = match after(payer, -order.amount) {
        Ok(account) => account,
        Err(refusal) => return Ok(Err(refusal)),
    };
    if to.node != here {
        put(rows, &rows::lock(from.partition, order.from.as_str()), &Lock::Pays)?;
        let outgoing = Outgoing { order: order.clone(), partition: from.partition, to, committed: false };
        put(rows, &format!("{OUTGOING}{tx}"), &outgoing)?;
        return Ok(Ok(Begun::Begun));
    }
    let payee = free(rows, to.part, &order.to, bug)?;
    let to_after = match payee.and_then(|payee| after(payee, order.amount)) {
        Ok(account) => account,
        Err(refusal) => return Ok(Err(refusal)),
    };
    put(rows, &rows::account(from.partition, order.from.as_str()), &from_after)?;
    put(rows, &rows::account(to.part.partition, order.to.as_str()), &to_after)?;
    let (request_id, amount) = (order.request_id.clone(), order.amount);
    let receipt = Receipt { request_id, amount, from: from_after, to: to_after };
    put(rows, &record, &receipt)?;
    Ok(Ok(Begun::Made(receipt)))
}

/// The participant promises: the account is locked, and will be paid if the coordinator commits. Answers with the account
/// as it will be then.
pub(crate) fn prepare(
    rows: &mut dyn Rows,
    tx: &str,
    coordinator: usize,
    part: Part,
    account: &Id,
    amount: i64,
    bug: Option<Bug>,
) -> Step<Account> {
    let payee = free(rows, part, account, bug)?;
    let paid = match payee.and_then(|payee| after(payee, amount)) {
        Ok(paid) => paid,
        Err(refusal) => return Ok(Err(refusal)),
    };
    if bug != Some(Bug::PayeeNotLocked) {
        put(rows, &rows::lock(part.partition, account.as_str()), &Lock::Paid)?;
    }
    let incoming = Incoming { coordinator, part, account: account.clone(), amount };
    put(rows, &format!("{INCOMING}{tx}"), &incoming)?;
    Ok(Ok(paid))
}

/// The coordinator decides: the transfer is made. `None`: the transaction is not under way.
pub(crate) fn commit(
    rows: &mut dyn Rows,
    tx: &str,
    paid: Account,
    bug: Option<Bug>,
) -> Result<Option<Receipt>, StoreError> {
    let key = format!("{OUTGOING}{tx}");
    let Some(outgoing) = get::<Outgoing>(rows, &key)?.filter(|outgoing| !outgoing.committed) else {
        return Ok(None);
    };
    let Outgoing { order, partition, .. } = &outgoing;
    let account = rows::account(*partition, order.from.as_str());
    // The lock has kept the account as it was when its balance was found to be enough.
    let Some(Ok(from)) = get::<Account>(rows, &account)?.map(|payer| after(payer, -order.amount)) else {
        return Ok(None);
    };
    let receipt = Receipt { request_id: order.request_id.clone(), amount: order.amount, from, to: paid };
    put(rows, &account, &receipt.from)?;
    put(rows, &rows::request(*partition, order.request_id.as_str()), &receipt)?;
    rows.remove(&rows::lock(*partition, order.from.as_str()))?;
    if bug == Some(Bug::LostCommitRecord) {
        rows.remove(&key)?;
    } else {
        put(rows, &key, &Outgoing { committed: true, ..outgoing })?;
    }
    Ok(Some(receipt))
}

/// The coordinator gives an undecided transaction up.
pub(crate) fn abort(rows: &mut dyn Rows, tx: &str) -> Result<(), StoreError> {
    let key = format!("{OUTGOING}{tx}");
    if let Some(Outgoing { order, partition, committed: false, .. }) = get(rows, &key)? {
        rows.remove(&rows::lock(partition, order.from.as_str()))?;
        rows.remove(&key)?;
    }
    Ok(())
}

/// What this node, as the coordinator, knows of a transaction.
pub(crate) fn outcome(look: &(impl Look + ?Sized), tx: &str) -> Result<Outcome, StoreError> {
    Ok(match get::<Outgoing>(look, &format!("{OUTGOING}{tx}"))? {
        None => Outcome::Aborted,
        Some(outgoing) if outgoing.committed => Outcome::Committed,
        Some(_) => Outcome::Undecided,
    })
}

/// The participant books, or drops, what it has promised. What it does not know it has booked or dropped before.
pub(crate) fn finish(rows: &mut dyn Rows, tx: &str, committed: bool) -> Result<(), StoreError> {
    let key = format!("{INCOMING}{tx}");
    let Some(Incoming { part, account, amount, .. }) = get(rows, &key)? else { return Ok(()) };
    let row = rows::account(part.partition, account.as_str());
    if committed && let Some(Ok(paid)) = get::<Account>(rows, &row)?.map(|payee| after(payee, amount)) {
        put(rows, &row, &paid)?;
    }
    rows.remove(&rows::lock(part.partition, account.as_str()))?;
    rows.remove(&key)
}

/// The participant has booked: the coordinator need not keep its decision.
pub(crate) fn forget(rows: &mut dyn Rows, tx: &str) -> Result<(), StoreError> {
    rows.remove(&format!("{OUTGOING}{tx}"))
}

/// Decisions that participants may not know yet.
pub(crate) fn untold(look: &(impl Look + ?Sized)) -> Result<Vec<(String, Outgoing)>, StoreError> {
    let mut all = under::<Outgoing>(look, OUTGOING)?;
    all.retain(|(_, outgoing)| outgoing.committed);
    Ok(all)
}

/// Promises whose outcome this node does not know.
pub(crate) fn in_doubt(look: &(impl Look + ?Sized)) -> Result<Vec<(String, Incoming)>, StoreError> {
    under(look, INCOMING)
}

/// What a node does before anything else when it starts.
pub(crate) fn recover(rows: &mut dyn Rows, partitions: usize, bug: Option<Bug>) -> Result<(), StoreError> {
    for (tx, _) in under::<Outgoing>(rows, OUTGOING)? {
        abort(rows, &tx)?;
    }
    if bug == Some(Bug::InDoubtAborts) {
        for (tx, _) in in_doubt(rows)? {
            finish(rows, &tx, false)?;
        }
    }
    // Who has not sealed a partition may go on with it: nobody else has it.
    (0..partitions).try_for_each(|partition| undrain(rows, partition))
}

#[cfg(test)]
mod tests;
