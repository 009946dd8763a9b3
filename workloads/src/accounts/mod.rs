//! `accounts`: a retail bank whose accounts are in a fixed number of partitions, spread over nodes that are added live.
//!
//! Money is only moved, so the total never changes. Every account has a version, which grows by one with every effect, and
//! every answer that names a balance names the version: so the effects on an account are in an order that everybody can
//! see, and whether everything that was told fits into one order of transfers and reads can be decided exactly. Every
//! transfer has an amount of its own, so what nobody was told can be told from the balances.
//!
//! The contract is `openapi.yaml` beside this file; [`client`] speaks it.

mod answers;
mod http;
mod judges;
mod load;

pub use answers::{Opening, Transfer};
pub use http::client;

use ordeal_checkers::{Bank, Options, Stats};
use ordeal_core::{Checker, EachThread, Event, EventKind, Generator, Key, Op, Plan, Sequence, Workload};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::shown::Shown;
use crate::{NotMine, waiting};
use judges::{Effects, Order, PartitionMoves};

/// The workload's name.
pub const NAME: &str = "accounts";

/// The workload in one line.
pub const ABOUT: &str =
    "retail banking: accounts in fixed partitions, atomic transfers, nodes that join live";

/// What every account has at first, in cents: more than all transfers that can be made come to.
const OPENING: i64 = 1_000_000_000;

/// How long after healing nodes may take to settle transfers and to finish moving partitions, in milliseconds.
pub const SETTLED_MS: u64 = 3_000;

/// The name of an account.
fn account_name(n: u64) -> String {
    format!("a{n}")
}

/// How many accounts can be asked for at once, by the contract.
const ACCOUNTS_MAX: u64 = 1_000;

/// How many accounts there are: between fewer than two nothing can be moved, and a snapshot asks for all of them.
/// `--keys` beyond these limits count as the limit.
fn account_count(plan: &Plan) -> u64 {
    plan.keys.clamp(2, ACCOUNTS_MAX)
}

/// All accounts.
fn all_accounts(plan: &Plan) -> Vec<String> {
    (0..account_count(plan)).map(account_name).collect()
}

/// An operation.
#[derive(Clone, Debug, PartialEq)]
pub enum AccountOp {
    /// Open an account.
    Open(String, Opening),
    /// Move money.
    Transfer(Transfer),
    /// The balance of an account.
    Read(String),
    /// The balances of some accounts at one moment.
    Balances(Vec<String>),
    /// The balances of all accounts at one moment.
    Snapshot(Vec<String>),
    /// Who owns which partition, and where these accounts are.
    Partitions(Vec<String>),
    /// Nothing for so many milliseconds.
    Wait(u64),
}

impl From<AccountOp> for Op {
    fn from(op: AccountOp) -> Op {
        let (f, value) = match op {
            AccountOp::Open(id, opening) => return Op::new("open", Key::Text(id), json!(opening)),
            AccountOp::Read(id) => return Op::new("read", Key::Text(id), Value::Null),
            AccountOp::Transfer(transfer) => ("transfer", json!(transfer)),
            AccountOp::Balances(ids) => ("balances", json!(ids)),
            AccountOp::Snapshot(ids) => ("snapshot", json!(ids)),
            AccountOp::Partitions(ids) => ("partitions", json!(ids)),
            AccountOp::Wait(ms) => ("wait", json!(ms)),
        };
        Op { f: f.into(), key: None, value }
    }
}

impl TryFrom<&Op> for AccountOp {
    type Error = NotMine;

    fn try_from(op: &Op) -> Result<Self, NotMine> {
        match (&*op.f, &op.key) {
            ("open", Some(Key::Text(id))) => Ok(AccountOp::Open(id.clone(), argument(op)?)),
            ("read", Some(Key::Text(id))) => Ok(AccountOp::Read(id.clone())),
            ("transfer", None) => Ok(AccountOp::Transfer(argument(op)?)),
            ("balances", None) => Ok(AccountOp::Balances(argument(op)?)),
            ("snapshot", None) => Ok(AccountOp::Snapshot(argument(op)?)),
            ("partitions", None) => Ok(AccountOp::Partitions(argument(op)?)),
            ("wait", None) => Ok(AccountOp::Wait(argument(op)?)),
            _ => Err(NotMine::new(NAME, op)),
        }
    }
}

fn argument<T: for<'de> Deserialize<'de>>(op: &Op) -> Result<T, NotMine> {
    T::deserialize(&op.value).map_err(|_| NotMine::new(NAME, op))
}

/// A snapshot as the judge of banks knows reads: a map from accounts to balances. Nothing else is a read to it, nor is
/// a snapshot that found some accounts not there: they may not be open yet, and [`Effects`] accuses it if they were.
fn as_bank_read(event: &Event) -> Event {
    let mut event = event.clone();
    match &*event.f {
        "read" => event.f = "account".into(),
        "snapshot" => {
            event.f = "read".into();
            if event.kind == EventKind::Ok {
                match balances_of(&event.value) {
                    Some(balances) => event.value = Value::Object(balances),
                    None => event.kind = EventKind::Fail,
                }
            }
        }
        _ => {}
    }
    event
}

/// The balances in an answer; `None` if there is not every account.
fn balances_of(answer: &Value) -> Option<Map<String, Value>> {
    let accounts = answer["balances"].as_object().into_iter().flatten();
    let there = |account: &Value| (!account.is_null()).then(|| account["balance"].clone());
    accounts.map(|(id, account)| Some((id.clone(), there(account)?))).collect()
}

/// The `accounts` workload.
#[derive(Clone, Copy, Debug, Default)]
pub struct Accounts;

impl Workload for Accounts {
    fn name(&self) -> &'static str {
        NAME
    }

    fn about(&self) -> &'static str {
        ABOUT
    }

    fn generator(&self, plan: &Plan) -> Box<dyn Generator> {
        Box::new(load::Load::new(plan))
    }

    /// When there was time to settle, every node is asked for the map, for all accounts, and for each.
    fn final_generator(&self, plan: &Plan) -> Box<dyn Generator> {
        let all = all_accounts(plan);
        let waits = waiting::steps_ms(plan, SETTLED_MS).map(AccountOp::Wait);
        let whole = [AccountOp::Partitions(all.clone()), AccountOp::Snapshot(all.clone())];
        let reads = all.into_iter().map(AccountOp::Read);
        let ops: Vec<Op> = waits.chain(whole).chain(reads).map(Op::from).collect();
        Box::new(EachThread::new(move || Sequence::new(ops.clone())))
    }

    fn checkers(&self, plan: &Plan) -> Vec<Box<dyn Checker>> {
        let accounts = account_count(plan);
        let opened = all_accounts(plan).into_iter().map(|id| (id, json!(OPENING)));
        let bank = Options { initial: Some(Value::Object(opened.collect())), ..Options::default() };
        vec![
            Box::new(Shown { to: Bank::default().with_options(&bank), with: as_bank_read }),
            Box::new(Effects { accounts }),
            Box::new(Order),
            Box::new(PartitionMoves { founders: plan.nodes }),
            Box::new(Stats),
        ]
    }

    fn mutates(&self, f: &str) -> bool {
        matches!(f, "open" | "transfer")
    }

    fn usual_faults(&self) -> Option<&'static str> {
        Some("partition, kill, join")
    }
}
