//! `orders`: the events of a flash sale, told out of order and processed in the order in which they happened (temporal
//! decoupling).
//!
//! Promotions, orders and movements of stock come from sources whose clocks disagree, delayed, reordered and more than
//! once, at any node. The promise: every accepted event is processed once, in the order of source timestamps and after what
//! it depends on, and at every node alike; an order costs what the promotion in force at its timestamp says, and
//! stock is never negative; an event that comes too late is told so, for a good reason, and never processed; a
//! full buffer refuses instead of dropping; and nothing waits longer than event time asks for.
//!
//! Every event is unique in a run, its id is that of the request. Sequences and the status are what one node has; orders
//! and stock are read linearizably. The contract is `openapi.yaml` beside this file; [`client`] speaks it.

mod event;
mod http;
mod judges;
mod load;

pub use event::{Event, What};
pub use http::client;

use ordeal_checkers::Stats;
use ordeal_core::{Checker, Generator, Key, Op, Plan, Workload};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::NotMine;
use judges::{Delays, Outcomes, Promises, Sequences};

/// The workload's name.
pub const NAME: &str = "orders";

/// The workload in one line.
pub const ABOUT: &str =
    "flash sale: promotions, orders and stock told out of order, processed in the order of their timestamps";

/// The option of a target that says how late events may come, in milliseconds.
pub const WINDOW_MS: &str = "window-ms";
/// How late, unless the option says otherwise.
pub const USUAL_WINDOW_MS: u64 = 1_000;

/// How many windows, and milliseconds at least, the buffer may need to drain after the last event; waited for twice, before
/// each round of final reads. Event time then goes on with the time that passes, and has the window and the lead of the
/// source that is furthest ahead to go, and the time for which nothing could be accepted before. The contract asks for six
/// in all; a little more, and hardly an event waits that it excepts.
const DRAIN_WINDOWS: u64 = 5;
const DRAIN_MS_MIN: u64 = 1_500;

/// The window of the plan, in milliseconds.
fn window_ms(plan: &Plan) -> u64 {
    plan.options.get(WINDOW_MS).and_then(|text| text.parse().ok()).unwrap_or(USUAL_WINDOW_MS)
}

/// How long the buffer may need to drain, in milliseconds.
fn drain_ms(plan: &Plan) -> u64 {
    DRAIN_MS_MIN.max(DRAIN_WINDOWS * window_ms(plan))
}

/// An operation.
#[derive(Clone, Debug, PartialEq)]
pub enum OrderOp {
    /// Tell an event.
    Send(Event),
    /// How far the order of this SKU and id has come.
    Order(String, String),
    /// The stock of a SKU.
    Stock(String),
    /// What the node has processed from this position on.
    Processed(u64),
    /// All that the node has processed.
    Sequence,
    /// How full its buffer is, and how far event time has come.
    Status,
    /// Nothing for so many milliseconds.
    Wait(u64),
}

impl From<OrderOp> for Op {
    fn from(op: OrderOp) -> Op {
        let (f, value) = match op {
            OrderOp::Send(event) => return Op::new("send", Key::Text(event.sku().to_owned()), json!(event)),
            OrderOp::Order(sku, id) => return Op::new("order", Key::Text(sku), json!(id)),
            OrderOp::Stock(sku) => return Op::new("stock", Key::Text(sku), Value::Null),
            OrderOp::Processed(from) => ("processed", json!(from)),
            OrderOp::Sequence => ("sequence", Value::Null),
            OrderOp::Status => ("status", Value::Null),
            OrderOp::Wait(ms) => ("wait", json!(ms)),
        };
        Op { f: f.into(), key: None, value }
    }
}

impl TryFrom<&Op> for OrderOp {
    type Error = NotMine;

    fn try_from(op: &Op) -> Result<Self, NotMine> {
        let not_mine = || NotMine::new(NAME, op);
        match (&*op.f, &op.key) {
            ("send", Some(Key::Text(sku))) => {
                let event = Event::deserialize(&op.value).ok().filter(|event| event.sku() == sku);
                event.map(OrderOp::Send).ok_or_else(not_mine)
            }
            ("order", Some(Key::Text(sku))) => {
                let id = op.value.as_str().ok_or_else(not_mine)?;
                Ok(OrderOp::Order(sku.clone(), id.to_owned()))
            }
            ("stock", Some(Key::Text(sku))) => Ok(OrderOp::Stock(sku.clone())),
            ("processed", None) => op.value.as_u64().map(OrderOp::Processed).ok_or_else(not_mine),
            ("sequence", None) => Ok(OrderOp::Sequence),
            ("status", None) => Ok(OrderOp::Status),
            ("wait", None) => op.value.as_u64().map(OrderOp::Wait).ok_or_else(not_mine),
            _ => Err(not_mine()),
        }
    }
}

/// The SKU of this number.
fn sku_name(n: u64) -> String {
    format!("p{n}")
}

/// The `orders` workload.
#[derive(Clone, Copy, Debug, Default)]
pub struct Orders;

impl Workload for Orders {
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
        let nodes = plan.nodes;
        vec![
            Box::new(Sequences { nodes }),
            Box::new(Promises),
            Box::new(Outcomes),
            Box::new(Delays { nodes }),
            Box::new(Stats),
        ]
    }

    fn mutates(&self, f: &str) -> bool {
        f == "send"
    }

    fn usual_faults(&self) -> Option<&'static str> {
        Some("partition, kill, clock-step, clock-drift")
    }
}
