//! `inventory`: stock levels in warehouses that go on while they are cut off (version vectors).
//!
//! Every warehouse takes movements and stock-takes for every SKU at any time, and answers with the version vector of
//! what it has seen. The promise: both sides of a partition keep accepting; when it is healed all warehouses
//! come to the same level, vector and siblings; no acknowledged movement is lost; two stock-takes are reported as
//! a conflict if and only if neither had seen the other; and at one warehouse nothing that was seen is unseen.
//!
//! SKUs of even number are resolved by merging, those of odd number by the priority of the first warehouse. Every
//! request number is unique in a run. The contract is `openapi.yaml` beside this file; [`client`] speaks it.

mod answers;
mod http;
mod judges;
mod load;

pub use http::client;

use ordeal_checkers::{Convergence, Stats};
use ordeal_core::{Checker, EachThread, Generator, Key, Op, Plan, Sequence, Workload};
use serde_json::{Value, json};

use crate::{NotMine, waiting};
use answers::Rule;
use judges::{Availability, Conflicts, Levels, Sessions};
use load::Load;

/// The workload's name.
pub const NAME: &str = "inventory";

/// The workload in one line.
pub const ABOUT: &str = "stock levels in warehouses: movements and stock-takes, also while cut off";

/// How the SKUs begin that are resolved by the priority of [`PRIORITY_WAREHOUSE`]; the others begin otherwise.
pub const PRIORITY_PREFIX: &str = "p";
/// Whose stock-take wins there.
pub const PRIORITY_WAREHOUSE: &str = "n1";
/// The bound on convergence: how long after healing the warehouses may differ, in milliseconds.
pub const CONVERGENCE_MS: u64 = 3_000;

/// The SKU of this number.
fn sku(n: u64) -> String {
    if n.is_multiple_of(2) { format!("m{n}") } else { format!("{PRIORITY_PREFIX}{n}") }
}

/// How stock-takes of this SKU are resolved.
fn rule(sku: &str) -> Rule {
    match sku.starts_with(PRIORITY_PREFIX) {
        true => Rule::Priority { warehouse: PRIORITY_WAREHOUSE.to_owned() },
        false => Rule::Merge,
    }
}

/// An operation.
#[derive(Clone, Debug, PartialEq)]
pub enum InventoryOp {
    /// So many of a SKU come in, or go out; answered with the update's warehouse, number, vector and level.
    Move {
        /// The SKU.
        sku: String,
        /// How many.
        delta: i64,
        /// The request, unique in a run.
        request: u64,
    },
    /// So many of a SKU were counted; answered like a movement.
    Count {
        /// The SKU.
        sku: String,
        /// How many.
        level: i64,
        /// The request, unique in a run.
        request: u64,
    },
    /// Level, vector, rule and siblings of a SKU.
    Read {
        /// The SKU.
        sku: String,
    },
    /// All conflicts that the warehouse reports: `{sku: [[[warehouse, number], [warehouse, number]], …]}`.
    Conflicts,
    /// Nothing for so many milliseconds: after that, warehouses that are not cut off agree.
    Wait(u64),
}

impl From<InventoryOp> for Op {
    fn from(op: InventoryOp) -> Op {
        match op {
            InventoryOp::Move { sku, delta, request } => {
                Op::new("move", Key::Text(sku), json!([delta, request]))
            }
            InventoryOp::Count { sku, level, request } => {
                Op::new("count", Key::Text(sku), json!([level, request]))
            }
            InventoryOp::Read { sku } => Op::new("read", Key::Text(sku), Value::Null),
            InventoryOp::Conflicts => Op { f: "conflicts".into(), key: None, value: Value::Null },
            InventoryOp::Wait(ms) => Op { f: "wait".into(), key: None, value: json!(ms) },
        }
    }
}

impl TryFrom<&Op> for InventoryOp {
    type Error = NotMine;

    fn try_from(op: &Op) -> Result<Self, NotMine> {
        let not_mine = || NotMine::new(NAME, op);
        let sku = match &op.key {
            None if op.f == "conflicts" => return Ok(InventoryOp::Conflicts),
            None if op.f == "wait" => return op.value.as_u64().map(InventoryOp::Wait).ok_or_else(not_mine),
            Some(Key::Text(sku)) => sku.clone(),
            _ => return Err(not_mine()),
        };
        match (&*op.f, asked(&op.value)) {
            ("move", Some((delta, request))) => Ok(InventoryOp::Move { sku, delta, request }),
            ("count", Some((level, request))) => Ok(InventoryOp::Count { sku, level, request }),
            ("read", _) => Ok(InventoryOp::Read { sku }),
            _ => Err(not_mine()),
        }
    }
}

/// Reads what an update asks: `[amount, request]`.
fn asked(value: &Value) -> Option<(i64, u64)> {
    match value.as_array().map(Vec::as_slice) {
        Some([amount, request]) => Some((amount.as_i64()?, request.as_u64()?)),
        _ => None,
    }
}

/// The `inventory` workload.
#[derive(Clone, Copy, Debug, Default)]
pub struct Inventory;

impl Workload for Inventory {
    fn name(&self) -> &'static str {
        NAME
    }

    fn about(&self) -> &'static str {
        ABOUT
    }

    fn generator(&self, plan: &Plan) -> Box<dyn Generator> {
        Box::new(Load::new(plan))
    }

    fn final_generator(&self, plan: &Plan) -> Box<dyn Generator> {
        let skus = plan.keys;
        let waits = waiting::steps_ms(plan, CONVERGENCE_MS);
        Box::new(EachThread::new(move || {
            let reads = (0..skus).map(|n| InventoryOp::Read { sku: sku(n) });
            let all = waits.clone().map(InventoryOp::Wait).chain(reads);
            Sequence::new(all.chain([InventoryOp::Conflicts]).map(Into::into).collect())
        }))
    }

    fn checkers(&self, _plan: &Plan) -> Vec<Box<dyn Checker>> {
        vec![
            Box::new(Convergence::new(["read"])),
            Box::new(Levels),
            Box::new(Conflicts),
            Box::new(Sessions),
            Box::new(Availability),
            Box::new(Stats),
        ]
    }

    fn mutates(&self, f: &str) -> bool {
        matches!(f, "move" | "count")
    }
}
