//! What is asked: movements, now and then a stock-take, reads, and some updates a second time.

use std::collections::HashMap;

use ordeal_core::{Ask, Event, EventKind, Generator, Next, Op, Plan, Rng};

use super::{InventoryOp, sku};
use crate::draw::{Keys, only_reads};

/// How often each operation is drawn by the clients that do not only read, of a hundred.
const MOVEMENTS: u64 = 72;
const COUNTS: u64 = 10;
/// The largest movement, and the largest count.
const MOVED_MAX: u64 = 50;
const COUNTED_MAX: u64 = 500;
/// How often an update that was answered is sent again, and one of which nobody knows. The answer may have been
/// lost on the way to the client, so a retry must have no second effect.
const AGAIN: f64 = 0.08;
const AGAIN_IF_UNKNOWN: f64 = 0.5;

/// The load.
pub(super) struct Load {
    rng: Rng,
    skus: Keys,
    nodes: usize,
    /// Requests handed out; every one of a run is another one.
    requests: u64,
    /// The update that each client waits for, with the node that it asked.
    open: HashMap<u64, (usize, Op)>,
    /// What is to be sent again to a node.
    again: HashMap<usize, Op>,
}

impl Load {
    pub(super) fn new(plan: &Plan) -> Self {
        Load {
            rng: Rng::fork(plan.seed, "operations"),
            skus: Keys::new(plan.keys),
            nodes: plan.nodes,
            requests: 0,
            open: HashMap::new(),
            again: HashMap::new(),
        }
    }

    fn draw(&mut self, writes: bool) -> InventoryOp {
        let sku = sku(self.skus.next(&mut self.rng));
        let draw = self.rng.below(100);
        if !writes || draw >= MOVEMENTS + COUNTS {
            return InventoryOp::Read { sku };
        }
        self.requests += 1;
        let request = self.requests;
        if draw < COUNTS {
            return InventoryOp::Count { sku, level: self.rng.below(COUNTED_MAX + 1) as i64, request };
        }
        let moved = 1 + self.rng.below(MOVED_MAX) as i64;
        let delta = if self.rng.chance(0.5) { moved } else { -moved };
        InventoryOp::Move { sku, delta, request }
    }
}

impl Generator for Load {
    fn next(&mut self, ask: Ask) -> Next {
        let writes = !only_reads(ask, self.nodes);
        let again = if writes { self.again.remove(&ask.node) } else { None };
        let op = again.unwrap_or_else(|| self.draw(writes).into());
        if matches!(&*op.f, "move" | "count") {
            self.open.insert(ask.process, (ask.node, op.clone()));
        }
        Next::Op(op)
    }

    fn observe(&mut self, event: &Event) {
        let Some(process) = event.process.client().filter(|_| event.kind != EventKind::Invoke) else {
            return;
        };
        let Some((node, op)) = self.open.remove(&process) else { return };
        let chance = match event.kind {
            EventKind::Ok if event.value.get("vector").is_some() => AGAIN,
            EventKind::Info => AGAIN_IF_UNKNOWN,
            _ => 0.0,
        };
        if self.rng.chance(chance) {
            self.again.insert(node, op);
        }
    }
}
