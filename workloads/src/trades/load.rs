//! What is asked: new trades, the same ones again (also elsewhere), others under the same id, settlements, reads.

use std::collections::{HashMap, VecDeque};

use ordeal_core::{Ask, Event, EventKind, Generator, Key, Next, Op, Plan, Rng};

use super::{CONVERGENCE_MS, Details, TradeOp, trade_name};
use crate::waiting;

/// How often each operation is drawn, of a hundred; the others are reads.
const NEW: u64 = 34;
const SETTLEMENTS: u64 = 18;
const WAITING_LISTS: u64 = 8;
/// The largest volume.
const VOLUME_MAX: u64 = 1_000;
/// How often others submit other details under the id of a new trade, at the same time, and how many at most.
const CONTESTED: f64 = 0.12;
const RIVALS_MAX: u64 = 3;
/// How often a request that was answered is sent again, and one of which nobody knows what will become of it.
const AGAIN: f64 = 0.08;
const AGAIN_IF_UNDECIDED: f64 = 0.5;
/// How often a settlement is asked for of any trade instead of a confirmed one.
const ANY_SETTLED: f64 = 0.1;
/// How often every node is asked what it has of a trade of which somebody was just told that it is confirmed or settled, and
/// how many such questions wait for a node at most.
const LOOKED_AT: f64 = 0.05;
const LOOKS_MAX: usize = 64;
/// Trades that are read or settled: so many, the newest.
const RECENT: u64 = 40;
/// Confirmed trades that are still to be settled.
const CONFIRMED_MAX: usize = 256;

/// The load.
pub(super) struct Load {
    rng: Rng,
    counterparties: u64,
    /// Trades so far.
    trades: u64,
    /// Submissions so far: a price of its own for each.
    submissions: u64,
    /// To be asked by the next clients, at whatever node they are.
    next_up: VecDeque<TradeOp>,
    /// Trades that a client knows to be confirmed and nobody has asked to settle.
    confirmed: VecDeque<String>,
    /// Trades of which each node is to show its copy.
    looks: Vec<VecDeque<String>>,
    /// What each client waits for.
    open: HashMap<u64, Op>,
}

impl Load {
    pub(super) fn new(plan: &Plan) -> Self {
        Load {
            rng: Rng::fork(plan.seed, "operations"),
            counterparties: plan.keys.max(1),
            trades: 0,
            submissions: 0,
            next_up: VecDeque::new(),
            confirmed: VecDeque::new(),
            looks: vec![VecDeque::new(); plan.nodes],
            open: HashMap::new(),
        }
    }

    fn draw(&mut self) -> TradeOp {
        let draw = self.rng.below(100);
        if draw < NEW || self.trades == 0 {
            self.new_trade()
        } else if draw < NEW + SETTLEMENTS {
            self.settlement()
        } else if draw < NEW + SETTLEMENTS + WAITING_LISTS {
            TradeOp::WaitingList
        } else {
            TradeOp::Read(self.recent())
        }
    }

    fn new_trade(&mut self) -> TradeOp {
        self.trades += 1;
        let trade = trade_name(self.trades);
        if self.rng.chance(CONTESTED) {
            for _ in 0..=self.rng.below(RIVALS_MAX) {
                let rival = self.submission(trade.clone());
                self.next_up.push_back(rival);
            }
        }
        self.submission(trade)
    }

    fn submission(&mut self, trade: String) -> TradeOp {
        self.submissions += 1;
        let counterparty = format!("p{}", self.rng.below(self.counterparties));
        let volume = self.rng.between(1, VOLUME_MAX);
        TradeOp::Submit(trade, Details { price: self.submissions, volume, counterparty })
    }

    fn settlement(&mut self) -> TradeOp {
        let confirmed = if self.rng.chance(ANY_SETTLED) { None } else { self.confirmed.pop_front() };
        TradeOp::Settle(confirmed.unwrap_or_else(|| self.recent()))
    }

    /// Somebody was told that a trade is confirmed, or even settled.
    fn told(&mut self, trade: &str, settled: bool) {
        if !settled && self.confirmed.len() < CONFIRMED_MAX {
            self.confirmed.push_back(trade.to_owned());
        }
        if self.rng.chance(LOOKED_AT) {
            for looks in self.looks.iter_mut().filter(|looks| looks.len() < LOOKS_MAX) {
                looks.push_back(trade.to_owned());
            }
        }
    }

    /// One of the newest trades, the newer the likelier.
    fn recent(&mut self) -> String {
        let back = self.rng.below(RECENT).min(self.rng.below(RECENT));
        trade_name(self.trades.saturating_sub(back).max(1))
    }
}

impl Generator for Load {
    fn next(&mut self, ask: Ask) -> Next {
        let look = self.looks.get_mut(ask.node).and_then(VecDeque::pop_front).map(TradeOp::Copy);
        let op: Op = look.or_else(|| self.next_up.pop_front()).unwrap_or_else(|| self.draw()).into();
        self.open.insert(ask.process, op.clone());
        Next::Op(op)
    }

    fn observe(&mut self, event: &Event) {
        let Some(process) = event.process.client().filter(|_| event.kind != EventKind::Invoke) else {
            return;
        };
        let Some(op) = self.open.remove(&process).filter(|op| matches!(&*op.f, "submit" | "settle")) else {
            return;
        };
        let chance = match (event.kind, event.value["status"].as_str()) {
            (EventKind::Info, _) | (EventKind::Ok, Some("pending")) => AGAIN_IF_UNDECIDED,
            (EventKind::Ok, Some(_)) => AGAIN,
            _ => 0.0,
        };
        if let (Some("confirmed" | "settled"), Some(Key::Text(trade))) =
            (event.value["status"].as_str(), &op.key)
        {
            self.told(trade, event.value["status"] == "settled");
        }
        if self.rng.chance(chance)
            && let Ok(op) = TradeOp::try_from(&op)
        {
            self.next_up.push_back(op);
        }
    }
}

/// How many trades the final reads look for, first ones first.
const FINAL_TRADES: u64 = 30;

/// The reads at the end: one client of each node waits until the nodes have had time to finish, then asks for all
/// that its node has, and reads some trades.
pub(super) struct Finals {
    left: Vec<VecDeque<Op>>,
}

impl Finals {
    pub(super) fn new(plan: &Plan) -> Self {
        let waits = waiting::steps_ms(plan, CONVERGENCE_MS).map(TradeOp::Wait);
        let whole = [TradeOp::WaitingList, TradeOp::Copies, TradeOp::Ledger];
        let reads = (1..=FINAL_TRADES).map(|n| TradeOp::Read(trade_name(n)));
        let all: VecDeque<Op> = waits.chain(whole).chain(reads).map(Into::into).collect();
        Finals { left: vec![all; plan.nodes] }
    }
}

impl Generator for Finals {
    fn next(&mut self, ask: Ask) -> Next {
        let next = self.left.get_mut(ask.thread).and_then(VecDeque::pop_front);
        next.map_or(Next::Exhausted, Next::Op)
    }
}
