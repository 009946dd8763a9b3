//! `stocks`: prices of stocks, each written by one node at a time (lease-based coordination).
//!
//! A price node acquires the lease of a symbol from the coordinators and is then its *holder*: it alone writes
//! and strongly reads the price, until the lease ends. Each grant has a fencing token, and every write carries
//! the one it goes by. The promise: at most one holder acts effectively at a time, tokens grow, strong
//! reads are linearizable, local reads are no older than declared, no acknowledged price is lost, and when a holder dies
//! another takes over.
//!
//! Every price is unique in a run. The contract is `openapi.yaml` beside this file; [`client`] speaks it.

mod http;
mod judges;
mod load;

pub use http::client;

use ordeal_checkers::models::RegisterNames;
use ordeal_checkers::{Linearizable, Register, Staleness, Stats};
use ordeal_core::{Checker, Generator, Key, Op, Plan, Workload};
use serde_json::{Value, json};

use crate::NotMine;
use judges::{AuditFeeds, FencingTokens, Takeover, prices};
use load::{Finals, Load};

/// The workload's name.
pub const NAME: &str = "stocks";

/// The workload in one line.
pub const ABOUT: &str = "stock prices with one writer each: leases, fencing tokens, strong and local reads";

/// The option of a target that says how many of its nodes, from the first on, are coordinators.
pub const COORDINATORS: &str = "coordinators";
/// The option that says how long a lease lasts, in milliseconds.
pub const LEASE_MS: &str = "lease-ms";
/// How long a lease lasts unless the option says otherwise: short, so that many expire in a run.
pub const USUAL_LEASE_MS: u64 = 1_500;
/// The option that says how old a price may be that a local read answers, in milliseconds.
pub const STALENESS_MS: &str = "staleness-ms";
/// How old it may be unless the option says otherwise.
pub const USUAL_STALENESS_MS: u64 = 1_000;

/// How many of so many nodes are coordinators unless the option says otherwise.
pub const fn usual_coordinators(nodes: usize) -> usize {
    nodes / 2
}

/// An option of the plan that is a number, or what it is without.
fn option(plan: &Plan, name: &str, usual: u64) -> u64 {
    plan.options.get(name).and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// How many nodes of the plan are coordinators.
fn coordinators(plan: &Plan) -> usize {
    option(plan, COORDINATORS, usual_coordinators(plan.nodes) as u64) as usize
}

/// An operation on a symbol's lease or price.
#[derive(Clone, Debug, PartialEq)]
pub enum StockOp {
    /// Make the node that is asked the holder; answered with the token.
    Acquire,
    /// Prolong the lease with this token; answered with the token.
    Renew(u64),
    /// Give the lease with this token up; answered with the token.
    Release(u64),
    /// Who holds the lease; answered with `[token, holder]`, or null if nobody does.
    Lookup,
    /// Write a price, unique in a run, under this token; answered with `[token, price]`.
    Update {
        /// The token it goes by.
        token: u64,
        /// The price.
        price: u64,
    },
    /// The price; answered with `[token of the holder that answered, price or null]`.
    Read,
    /// The price, perhaps an older one; answered with it, or null.
    ReadLocal,
    /// The audit feed of the node that is asked; answered with `[[token, price], …]`.
    Audit,
}

impl StockOp {
    /// The operation on this symbol.
    pub fn on(self, symbol: String) -> Op {
        let (f, value) = match self {
            StockOp::Acquire => ("acquire", Value::Null),
            StockOp::Renew(token) => ("renew", json!(token)),
            StockOp::Release(token) => ("release", json!(token)),
            StockOp::Lookup => ("lookup", Value::Null),
            StockOp::Update { token, price } => ("update", json!([token, price])),
            StockOp::Read => ("read", Value::Null),
            StockOp::ReadLocal => ("read-local", Value::Null),
            StockOp::Audit => ("audit", Value::Null),
        };
        Op::new(f, Key::Text(symbol), value)
    }

    /// The symbol, and what is asked of it.
    ///
    /// # Errors
    /// If it is no operation of this workload.
    pub fn read(op: &Op) -> Result<(&str, StockOp), NotMine> {
        let not_mine = || NotMine::new(NAME, op);
        let Some(Key::Text(symbol)) = &op.key else { return Err(not_mine()) };
        let token = op.value.as_u64().ok_or_else(not_mine);
        let asked = match &*op.f {
            "acquire" => StockOp::Acquire,
            "renew" => StockOp::Renew(token?),
            "release" => StockOp::Release(token?),
            "lookup" => StockOp::Lookup,
            "update" => {
                let (token, price) = two_numbers(&op.value).ok_or_else(not_mine)?;
                StockOp::Update { token, price }
            }
            "read" => StockOp::Read,
            "read-local" => StockOp::ReadLocal,
            "audit" => StockOp::Audit,
            _ => return Err(not_mine()),
        };
        Ok((symbol, asked))
    }
}

/// Reads `[a, b]`.
fn two_numbers(value: &Value) -> Option<(u64, u64)> {
    match value.as_array().map(Vec::as_slice) {
        Some([a, b]) => Some((a.as_u64()?, b.as_u64()?)),
        _ => None,
    }
}

/// The `stocks` workload.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stocks;

impl Workload for Stocks {
    fn name(&self) -> &'static str {
        NAME
    }

    fn about(&self) -> &'static str {
        ABOUT
    }

    fn usual_faults(&self) -> Option<&'static str> {
        Some(
            "partition, kill, pause, clock-step, clock-drift; pause(last-acknowledged) every 9s for 3s from 2s; \
             kill(primary) every 9s for 1s from 6s",
        )
    }

    fn generator(&self, plan: &Plan) -> Box<dyn Generator> {
        Box::new(Load::new(plan))
    }

    fn final_generator(&self, plan: &Plan) -> Box<dyn Generator> {
        Box::new(Finals::new(plan))
    }

    fn checkers(&self, plan: &Plan) -> Vec<Box<dyn Checker>> {
        let names =
            |read: &str| RegisterNames { read: read.to_owned().into(), write: "update".into(), cas: None };
        let staleness = option(plan, STALENESS_MS, USUAL_STALENESS_MS);
        let lease = option(plan, LEASE_MS, USUAL_LEASE_MS);
        let register = Register { names: names("read"), ..Register::default() };
        vec![
            Box::new(FencingTokens),
            Box::new(prices(Linearizable::new(register).only(|f| matches!(f, "read" | "update")))),
            Box::new(prices(Staleness::new(names("read-local")).max_ms(Some(staleness)))),
            Box::new(AuditFeeds { price_nodes: plan.nodes.saturating_sub(coordinators(plan)) }),
            Box::new(Takeover { lease_ms: lease }),
            Box::new(Stats),
        ]
    }

    fn mutates(&self, f: &str) -> bool {
        matches!(f, "acquire" | "renew" | "release" | "update")
    }
}
