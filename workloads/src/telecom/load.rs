//! What is asked: calls and reads of customers, some requests again later, now and then the routing and the load; and at
//! the end a steady load, so that there is something to rebalance by.

use std::collections::{HashMap, VecDeque};

use ordeal_core::{Ask, Event, EventKind, Generator, Next, Op, Plan, Rng};

use super::customers::Customers;
use super::{TelecomOp, balance_ms};
use crate::draw::only_reads;

/// How often each operation is drawn, of a hundred; the others are reads.
const PUTS: u64 = 66;
const AGAIN: u64 = 5;
const ROUTING: u64 = 4;
const LOADS: u64 = 2;
/// What a call costs at most.
const COST_MAX: u64 = 500;
/// Requests that wait to be sent again: it is for so many later ones, so that their customers may have moved meanwhile.
const WAITING: usize = 25;
/// How often a request that was answered is to be sent again, and one of which nobody knows.
const AGAIN_IF_DONE: f64 = 0.1;
const AGAIN_IF_UNKNOWN: f64 = 0.5;

/// The load.
pub(super) struct Load {
    rng: Rng,
    customers: Customers,
    nodes: usize,
    /// Requests handed out; every one of a run is another one.
    requests: u64,
    /// What each client waits for.
    open: HashMap<u64, Op>,
    /// To be sent again.
    again: VecDeque<TelecomOp>,
}

impl Load {
    pub(super) fn new(plan: &Plan) -> Self {
        Load {
            rng: Rng::fork(plan.seed, "operations"),
            customers: Customers::of(plan),
            nodes: plan.all_nodes(),
            requests: 0,
            open: HashMap::new(),
            again: VecDeque::new(),
        }
    }

    fn draw(&mut self, writes: bool) -> TelecomOp {
        let draw = self.rng.below(100);
        match draw {
            _ if draw < ROUTING => TelecomOp::Routing,
            _ if draw < ROUTING + LOADS => TelecomOp::Load,
            _ if writes && draw < ROUTING + LOADS + PUTS => self.put(),
            _ if writes && draw < ROUTING + LOADS + PUTS + AGAIN && self.again.len() > WAITING => {
                self.again.pop_front().unwrap_or(TelecomOp::Routing)
            }
            _ => TelecomOp::Read(self.customers.draw(&mut self.rng)),
        }
    }

    fn put(&mut self) -> TelecomOp {
        self.requests += 1;
        let cost = self.rng.below(COST_MAX + 1);
        TelecomOp::Put { customer: self.customers.draw(&mut self.rng), request: self.requests, cost }
    }
}

impl Generator for Load {
    fn next(&mut self, ask: Ask) -> Next {
        let op: Op = self.draw(!only_reads(ask, self.nodes)).into();
        if op.f == "put" {
            self.open.insert(ask.process, op.clone());
        }
        Next::Op(op)
    }

    fn observe(&mut self, event: &Event) {
        let Some(process) = event.process.client().filter(|_| event.kind != EventKind::Invoke) else {
            return;
        };
        let Some(op) = self.open.remove(&process) else { return };
        let chance = match event.kind {
            EventKind::Ok => AGAIN_IF_DONE,
            EventKind::Info => AGAIN_IF_UNKNOWN,
            _ => 0.0,
        };
        if self.rng.chance(chance)
            && let Ok(TelecomOp::Put { customer, request, cost }) = TelecomOp::try_from(&op)
        {
            self.again.push_back(TelecomOp::Again { customer, request, cost });
        }
    }
}

/// Between two visits of one client.
pub(super) const VISIT_EVERY_MS: u64 = 25;
/// How long one part of the visits takes at most.
const PART_MS_MAX: u64 = 500;

/// How long one part of the visits takes: it is an operation, and must not time out.
fn part_ms(plan: &Plan) -> u64 {
    (plan.op_timeout_ms / 4).clamp(VISIT_EVERY_MS, PART_MS_MAX)
}

/// How many parts the visits have. The final reads take place twice: what is judged, the second half of the second time,
/// begins [`balance_ms`] after the last fault was healed.
pub(super) fn parts(plan: &Plan) -> u64 {
    (balance_ms(plan) * 2 / 3).div_ceil(part_ms(plan))
}

/// The end: a steady load of visits by one client a node, while the first one looks at what nodes hold; then every customer
/// is read, each by one client.
pub(super) struct Finals {
    left: Vec<VecDeque<Op>>,
}

impl Finals {
    pub(super) fn new(plan: &Plan) -> Self {
        let customers = Customers::of(plan);
        let in_part = (part_ms(plan) / VISIT_EVERY_MS).max(1) as usize;
        let threads = plan.all_nodes().max(1);
        let parts = parts(plan) as usize;
        let visits = customers.evenly(parts * in_part * threads);
        let of_thread = |thread: usize| {
            let own: Vec<&String> = visits.iter().skip(thread).step_by(threads).collect();
            let mut all = VecDeque::new();
            for (part, visits) in own.chunks(in_part).enumerate() {
                let customers = visits.iter().map(|name| (*name).clone()).collect();
                all.push_back(TelecomOp::Visit(part as u64, customers));
                if thread == 0 {
                    all.extend([TelecomOp::Routing, TelecomOp::Load]);
                }
            }
            let names = customers.0.iter().map(|(name, _)| name.clone());
            all.extend(names.skip(thread).step_by(threads).map(TelecomOp::FinalRead));
            all.into_iter().map(Op::from).collect()
        };
        Finals { left: (0..threads).map(of_thread).collect() }
    }
}

impl Generator for Finals {
    fn next(&mut self, ask: Ask) -> Next {
        let next = self.left.get_mut(ask.thread).and_then(VecDeque::pop_front);
        next.map_or(Next::Exhausted, Next::Op)
    }
}
