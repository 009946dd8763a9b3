//! What is asked: first all accounts are opened; then transfers, the same ones again (also at other nodes), and reads.

use std::collections::{HashMap, VecDeque};

use ordeal_core::{Ask, Event, EventKind, Generator, Key, Next, Op, Plan, Rng};

use super::{AccountOp, OPENING, Opening, Transfer, account_count, account_name, all_accounts};
use crate::draw::{Keys, only_reads};

/// What is drawn, of a hundred: by clients that also write, and by those that only read. The rest are reads of one account.
const TRANSFERS: u64 = 58;
const SNAPSHOTS: [u64; 2] = [10, 26];
const PAIRS: [u64; 2] = [8, 18];
const MAPS: [u64; 2] = [6, 10];
/// Accounts in a question for some of them.
const SOME: u64 = 3;
/// How often nobody has the amount.
const TOO_MUCH: f64 = 0.04;
/// From this amount on nobody has it.
const TOO_LARGE: i64 = 100_000_000_000_000;
/// How often a transfer that was made is asked for again, and one of which nobody knows.
const AGAIN: f64 = 0.12;
const AGAIN_IF_UNKNOWN: f64 = 0.7;
/// How often one that was made some time ago is asked for once more, and how many are remembered.
const LATE: f64 = 0.08;
const REMEMBERED: usize = 300;

/// The load.
pub(super) struct Load {
    rng: Rng,
    nodes: usize,
    all: Vec<String>,
    /// Accounts to be opened, and how many are not known to be open.
    to_open: VecDeque<String>,
    closed: u64,
    keys: Keys,
    transfers: i64,
    /// To be asked by the next clients that write, at whatever node they are.
    next_up: VecDeque<AccountOp>,
    /// Transfers that were made, the newest last.
    made: VecDeque<AccountOp>,
    /// What each client waits for.
    open: HashMap<u64, Op>,
}

impl Load {
    pub(super) fn new(plan: &Plan) -> Self {
        let all = all_accounts(plan);
        Load {
            rng: Rng::fork(plan.seed, "operations"),
            nodes: plan.all_nodes(),
            to_open: all.iter().cloned().collect(),
            all,
            closed: account_count(plan),
            keys: Keys::new(account_count(plan)),
            transfers: 0,
            next_up: VecDeque::new(),
            made: VecDeque::new(),
            open: HashMap::new(),
        }
    }

    fn draw(&mut self, reads: bool) -> AccountOp {
        if let Some(id) = self.to_open.pop_front() {
            let opening = Opening { request_id: format!("open-{id}"), balance: OPENING };
            return AccountOp::Open(id, opening);
        }
        let column = usize::from(reads);
        let mut draw = self.rng.below(100);
        let mut within = |share: u64| {
            let hit = draw < share;
            draw = draw.saturating_sub(share);
            hit
        };
        // While some accounts are not open there is nothing to move, and no total.
        if self.closed == 0 && !reads && within(TRANSFERS) {
            self.transfer()
        } else if self.closed == 0 && within(SNAPSHOTS[column]) {
            AccountOp::Snapshot(self.all.clone())
        } else if within(PAIRS[column]) {
            AccountOp::Balances(self.some())
        } else if within(MAPS[column]) {
            AccountOp::Partitions(self.some())
        } else {
            AccountOp::Read(account_name(self.keys.next(&mut self.rng)))
        }
    }

    fn transfer(&mut self) -> AccountOp {
        if let Some(again) = self.next_up.pop_front() {
            return again;
        }
        if self.rng.chance(LATE)
            && let Some(late) = self.made.get(self.rng.below(REMEMBERED as u64) as usize)
        {
            return late.clone();
        }
        self.transfers += 1;
        let from = self.keys.next(&mut self.rng);
        let others = self.all.len() as u64 - 1;
        let to = (from + 1 + self.rng.below(others)) % self.all.len() as u64;
        let least = if self.rng.chance(TOO_MUCH) { TOO_LARGE } else { 0 };
        AccountOp::Transfer(Transfer {
            request_id: format!("t{}", self.transfers),
            from: account_name(from),
            to: account_name(to),
            amount: least + self.transfers,
        })
    }

    /// A few accounts, each once.
    fn some(&mut self) -> Vec<String> {
        let first = self.keys.next(&mut self.rng);
        let step = 1 + self.rng.below(self.all.len() as u64 / SOME + 1);
        let count = self.all.len() as u64;
        let mut some: Vec<u64> = (0..SOME).map(|n| (first + n * step) % count).collect();
        some.sort_unstable();
        some.dedup();
        some.into_iter().map(account_name).collect()
    }
}

impl Generator for Load {
    fn next(&mut self, ask: Ask) -> Next {
        let op: Op = self.draw(only_reads(ask, self.nodes)).into();
        self.open.insert(ask.process, op.clone());
        Next::Op(op)
    }

    fn observe(&mut self, event: &Event) {
        let Some(process) = event.process.client().filter(|_| event.kind != EventKind::Invoke) else {
            return;
        };
        let Some(op) = self.open.remove(&process) else { return };
        match (&*op.f, event.kind, &op.key) {
            ("open", EventKind::Ok, _) => self.closed = self.closed.saturating_sub(1),
            ("open", _, Some(Key::Text(id))) => self.to_open.push_back(id.clone()),
            ("transfer", kind, _) => {
                let Ok(op) = AccountOp::try_from(&op) else { return };
                let made = kind == EventKind::Ok && event.value["request_id"].is_string();
                let chance = match kind {
                    EventKind::Info => AGAIN_IF_UNKNOWN,
                    _ if made => AGAIN,
                    _ => 0.0,
                };
                if self.rng.chance(chance) {
                    self.next_up.push_back(op.clone());
                }
                if made {
                    if self.made.len() == REMEMBERED {
                        self.made.pop_front();
                    }
                    self.made.push_back(op);
                }
            }
            _ => {}
        }
    }
}
