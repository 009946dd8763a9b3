//! `trades`: a capital market whose trades are confirmed by a majority and settled by all settlement nodes.
//!
//! Any node takes a trade under the correlation id that its client made, keeps it in its waiting list until enough
//! others have confirmed price, volume and counterparty, and answers. The promise: a confirmed trade is on a majority
//! with the same details and stays; each node executes it once, however often it is asked for; it is settled only when
//! every settlement node has confirmed that; what was accepted is decided in the end, and the waiting list then empty;
//! everybody gets the answer to his own request; and no trade is both confirmed and rejected.
//!
//! Every trade has an id of its own, and every submission another price unless it is a retry. Reads are linearizable;
//! copies and ledgers are what one node has: all of them are asked for at the end, and the copies of some trades at every
//! node as soon as somebody was told what became of them. The contract is `openapi.yaml` beside this
//! file; [`client`] speaks it.

mod answers;
mod http;
mod judges;
mod load;

pub use answers::Details;
pub use http::client;

use ordeal_checkers::Stats;
use ordeal_core::{Checker, Generator, Key, Op, Plan, Workload};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::NotMine;
use judges::{Answers, Copies, Decisions, Ledgers, WaitingLists};

/// The workload's name.
pub const NAME: &str = "trades";

/// The workload in one line.
pub const ABOUT: &str =
    "capital markets: trades confirmed by a majority, executed once, settled by all settlement nodes";

/// How long after healing nodes may take to finish what they accepted and to tell one another, in milliseconds.
pub const CONVERGENCE_MS: u64 = 3_000;

/// The correlation id of this trade.
fn trade_name(n: u64) -> String {
    format!("t{n}")
}

/// An operation.
#[derive(Clone, Debug, PartialEq)]
pub enum TradeOp {
    /// Have a trade of this correlation id confirmed with these details.
    Submit(String, Details),
    /// Have it settled.
    Settle(String),
    /// How far it has come, and its details.
    Read(String),
    /// The trade as the node alone has it.
    Copy(String),
    /// The requests that wait at the node.
    WaitingList,
    /// All trades as the node has them.
    Copies,
    /// All that the node has executed.
    Ledger,
    /// Nothing for so many milliseconds.
    Wait(u64),
}

impl From<TradeOp> for Op {
    fn from(op: TradeOp) -> Op {
        let (f, value) = match op {
            TradeOp::Submit(trade, details) => return Op::new("submit", Key::Text(trade), json!(details)),
            TradeOp::Settle(trade) => return Op::new("settle", Key::Text(trade), Value::Null),
            TradeOp::Read(trade) => return Op::new("read", Key::Text(trade), Value::Null),
            TradeOp::Copy(trade) => return Op::new("copy", Key::Text(trade), Value::Null),
            TradeOp::WaitingList => ("waiting-list", Value::Null),
            TradeOp::Copies => ("copies", Value::Null),
            TradeOp::Ledger => ("ledger", Value::Null),
            TradeOp::Wait(ms) => ("wait", json!(ms)),
        };
        Op { f: f.into(), key: None, value }
    }
}

impl TryFrom<&Op> for TradeOp {
    type Error = NotMine;

    fn try_from(op: &Op) -> Result<Self, NotMine> {
        let not_mine = || NotMine::new(NAME, op);
        match (&*op.f, &op.key) {
            ("submit", Some(Key::Text(trade))) => {
                let details = Details::deserialize(&op.value).map_err(|_| not_mine())?;
                Ok(TradeOp::Submit(trade.clone(), details))
            }
            ("settle", Some(Key::Text(trade))) => Ok(TradeOp::Settle(trade.clone())),
            ("read", Some(Key::Text(trade))) => Ok(TradeOp::Read(trade.clone())),
            ("copy", Some(Key::Text(trade))) => Ok(TradeOp::Copy(trade.clone())),
            ("waiting-list", None) => Ok(TradeOp::WaitingList),
            ("copies", None) => Ok(TradeOp::Copies),
            ("ledger", None) => Ok(TradeOp::Ledger),
            ("wait", None) => op.value.as_u64().map(TradeOp::Wait).ok_or_else(not_mine),
            _ => Err(not_mine()),
        }
    }
}

/// The `trades` workload.
#[derive(Clone, Copy, Debug, Default)]
pub struct Trades;

impl Workload for Trades {
    fn name(&self) -> &'static str {
        NAME
    }

    fn about(&self) -> &'static str {
        ABOUT
    }

    fn generator(&self, plan: &Plan) -> Box<dyn Generator> {
        Box::new(load::Load::new(plan))
    }

    fn final_generator(&self, plan: &Plan) -> Box<dyn Generator> {
        Box::new(load::Finals::new(plan))
    }

    fn checkers(&self, plan: &Plan) -> Vec<Box<dyn Checker>> {
        vec![
            Box::new(Decisions),
            Box::new(Answers),
            Box::new(Copies { nodes: plan.nodes }),
            Box::new(Ledgers { nodes: plan.nodes }),
            Box::new(WaitingLists),
            Box::new(Stats),
        ]
    }

    fn mutates(&self, f: &str) -> bool {
        matches!(f, "submit" | "settle")
    }
}
