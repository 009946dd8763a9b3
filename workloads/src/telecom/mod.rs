//! `telecom`: customers of regions, in shards that are split and moved between nodes while they are served.
//!
//! A request records a call of a customer and changes the plan. The promise: each customer is linearizable through every
//! split and move, and every call is recorded once, also if the request is sent again after the customer has moved; at any
//! time one node owns a customer, at an epoch that never goes back; a split or move that was interrupted at any step is
//! brought to an end, or undone, and leaves nothing behind; and after [`balance_ms`] of steady load without faults the load
//! is even. It is skewed on purpose, so that something has to move in every run: most of it is for one region, and within a
//! region for few customers.
//!
//! Every request is unique in a run. The contract is `openapi.yaml` beside this file; [`client`] speaks it.

mod answers;
mod customers;
mod http;
mod judges;
mod load;

pub use http::client;

use ordeal_checkers::{AppendList, Linearizable, Stats};
use ordeal_core::{Checker, Generator, Key, Op, Plan, Workload};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::NotMine;
use judges::{Balance, Handovers, Leftovers, Owners, Records, Routings, as_list};

/// The workload's name.
pub const NAME: &str = "telecom";

/// The workload in one line.
pub const ABOUT: &str = "customers by region, in shards that are split and moved while they are served";

/// The regions, in alphabetical order. The first is the hot one.
pub const REGIONS: [&str; 4] = ["r1", "r2", "r3", "r4"];

/// The bound on rebalancing: under a steady load without faults, it is even after so many milliseconds. With more data nodes
/// than four there is more to move, one shard after another.
pub fn balance_ms(plan: &Plan) -> u64 {
    let data_nodes = plan.all_nodes().saturating_sub(METADATA_NODES) as u64;
    MS_PER_DATA_NODE * data_nodes.max(4)
}

/// The share of each data node in [`balance_ms`].
const MS_PER_DATA_NODE: u64 = 2_250;
/// The first so many nodes are metadata nodes.
const METADATA_NODES: usize = 3;

/// An operation.
#[derive(Clone, Debug, PartialEq)]
pub enum TelecomOp {
    /// Record a call of this cost; answered with the customer's owner, epoch, version, plan and balance.
    Put {
        /// The customer.
        customer: String,
        /// The request, unique in a run.
        request: u64,
        /// What the call costs.
        cost: u64,
    },
    /// A request that was sent before, once more; answered like the first one.
    Again {
        /// The customer.
        customer: String,
        /// The request.
        request: u64,
        /// What the call costs.
        cost: u64,
    },
    /// A customer: owner, epoch, plan, balance, the requests whose calls were recorded.
    Read(String),
    /// The same; null if nobody serves the customer.
    FinalRead(String),
    /// Who owns what.
    Routing,
    /// What each data node holds and serves.
    Load,
    /// Customers who are read one after another, evenly in time, to see who serves them: a part of the steady load at the
    /// end, with its number.
    Visit(u64, Vec<String>),
}

impl From<TelecomOp> for Op {
    fn from(op: TelecomOp) -> Op {
        let (f, key, value) = match op {
            TelecomOp::Put { customer, request, cost } => ("put", Some(customer), json!([request, cost])),
            TelecomOp::Again { customer, request, cost } => {
                ("put-again", Some(customer), json!([request, cost]))
            }
            TelecomOp::Read(customer) => ("read", Some(customer), Value::Null),
            TelecomOp::FinalRead(customer) => ("final-read", Some(customer), Value::Null),
            TelecomOp::Routing => ("routing", None, Value::Null),
            TelecomOp::Load => ("load", None, Value::Null),
            TelecomOp::Visit(part, customers) => ("visit", None, json!([part, customers])),
        };
        Op { f: f.into(), key: key.map(Key::Text), value }
    }
}

impl TryFrom<&Op> for TelecomOp {
    type Error = NotMine;

    fn try_from(op: &Op) -> Result<Self, NotMine> {
        let not_mine = || NotMine::new(NAME, op);
        let customer = match &op.key {
            Some(Key::Text(customer)) => Some(customer.clone()),
            Some(_) => return Err(not_mine()),
            None => None,
        };
        let asked = || <(u64, u64)>::deserialize(&op.value).map_err(|_| not_mine());
        match (&*op.f, customer) {
            ("put", Some(customer)) => {
                asked().map(|(request, cost)| TelecomOp::Put { customer, request, cost })
            }
            ("put-again", Some(customer)) => {
                asked().map(|(request, cost)| TelecomOp::Again { customer, request, cost })
            }
            ("read", Some(customer)) => Ok(TelecomOp::Read(customer)),
            ("final-read", Some(customer)) => Ok(TelecomOp::FinalRead(customer)),
            ("routing", None) => Ok(TelecomOp::Routing),
            ("load", None) => Ok(TelecomOp::Load),
            ("visit", None) => {
                let (part, customers) = Deserialize::deserialize(&op.value).map_err(|_| not_mine())?;
                Ok(TelecomOp::Visit(part, customers))
            }
            _ => Err(not_mine()),
        }
    }
}

/// The `telecom` workload.
#[derive(Clone, Copy, Debug, Default)]
pub struct Telecom;

impl Workload for Telecom {
    fn name(&self) -> &'static str {
        NAME
    }

    fn about(&self) -> &'static str {
        ABOUT
    }

    fn usual_faults(&self) -> Option<&'static str> {
        Some("partition, kill, join")
    }

    fn generator(&self, plan: &Plan) -> Box<dyn Generator> {
        Box::new(load::Load::new(plan))
    }

    fn final_generator(&self, plan: &Plan) -> Box<dyn Generator> {
        Box::new(load::Finals::new(plan))
    }

    fn checkers(&self, plan: &Plan) -> Vec<Box<dyn Checker>> {
        let calls = Linearizable::new(AppendList).only(|f| matches!(f, "append" | "read"));
        vec![
            Box::new(as_list(calls)),
            Box::new(Records),
            Box::new(Owners),
            Box::new(Routings),
            Box::new(Balance { parts: load::parts(plan) }),
            Box::new(Leftovers),
            Box::new(Handovers),
            Box::new(Stats),
        ]
    }

    fn mutates(&self, f: &str) -> bool {
        matches!(f, "put" | "put-again")
    }
}
