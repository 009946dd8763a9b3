//! What is asked: of coordinators who holds a lease, of price nodes everything else.

use std::collections::{BTreeMap, HashMap};

use ordeal_core::{Ask, Event, EventKind, Generator, Key, Next, Op, Plan, Rng};

use super::{StockOp, coordinators, two_numbers};
use crate::draw::{Keys, only_reads};

/// How often a client of a coordinator that could ask does: most of the load is for the price nodes.
const COORDINATORS_ASKED: f64 = 0.01;
/// How often a client that could not write goes for a symbol that its node holds instead.
const TO_WHERE_IT_CAN: f64 = 0.5;
/// How many former tokens of a symbol are remembered, to try whether they still open anything.
const FORMER_MAX: usize = 8;

/// What the clients know of a symbol.
#[derive(Default)]
struct Known {
    /// Its holder and the token, as far as they know.
    grant: Option<(usize, u64)>,
    /// The tokens before, oldest first.
    former: Vec<u64>,
}

/// The load.
pub(super) struct Load {
    rng: Rng,
    symbols: Keys,
    nodes: usize,
    coordinators: usize,
    /// Prices handed out; every one of a run is another one.
    prices: u64,
    known: BTreeMap<String, Known>,
    /// The node that a client is bound to.
    clients: HashMap<u64, usize>,
}

impl Load {
    pub(super) fn new(plan: &Plan) -> Self {
        Load {
            rng: Rng::fork(plan.seed, "operations"),
            symbols: Keys::new(plan.keys),
            nodes: plan.nodes,
            coordinators: coordinators(plan),
            prices: 0,
            known: BTreeMap::new(),
            clients: HashMap::new(),
        }
    }

    fn update(&mut self, token: u64) -> StockOp {
        self.prices += 1;
        StockOp::Update { token, price: self.prices }
    }

    /// A symbol, most often the one that all go for; sometimes, if that is not this node's, one that is.
    fn symbol(&mut self, node: usize, writes: bool) -> String {
        let symbol = format!("s{}", self.symbols.next(&mut self.rng));
        let is_its = |known: &Known| known.grant.is_some_and(|(holder, _)| holder == node);
        if !writes || self.known.get(&symbol).is_some_and(is_its) || !self.rng.chance(TO_WHERE_IT_CAN) {
            return symbol;
        }
        let its: Vec<&String> =
            self.known.iter().filter(|(_, known)| is_its(known)).map(|(s, _)| s).collect();
        if its.is_empty() { symbol } else { (*self.rng.pick(&its)).clone() }
    }

    /// What somebody does who may write, at this price node.
    fn trade(&mut self, symbol: &str, node: usize) -> StockOp {
        let known = self.known.entry(symbol.to_owned()).or_default();
        let former = (!known.former.is_empty()).then(|| *self.rng.pick(&known.former));
        let grant = known.grant;
        let draw = self.rng.below(100);
        match (grant, former) {
            (Some((holder, token)), _) if holder == node => match draw {
                0..60 => self.update(token),
                60..68 => self.update(former.unwrap_or(token)),
                68..74 => StockOp::Renew(token),
                74..78 => StockOp::Release(token),
                _ => StockOp::Read,
            },
            // What somebody else may do, or somebody before.
            (Some((_, token)), _) if draw < 10 => self.update(token),
            (_, Some(former)) if draw < 15 => self.update(former),
            (_, Some(former)) if draw < 20 => StockOp::Renew(former),
            _ if draw < 65 => StockOp::Acquire,
            _ => StockOp::Read,
        }
    }
}

impl Generator for Load {
    fn next(&mut self, ask: Ask) -> Next {
        self.clients.insert(ask.process, ask.node);
        let coordinator = ask.node < self.coordinators;
        if coordinator && !self.rng.chance(COORDINATORS_ASKED) {
            return Next::Pending;
        }
        let writes = !coordinator && !only_reads(ask, self.nodes);
        let symbol = self.symbol(ask.node, writes);
        let asked = if coordinator {
            StockOp::Lookup
        } else if !writes {
            if self.rng.chance(0.6) { StockOp::Read } else { StockOp::ReadLocal }
        } else {
            self.trade(&symbol, ask.node)
        };
        Next::Op(asked.on(symbol))
    }

    fn observe(&mut self, event: &Event) {
        let (Some(Key::Text(symbol)), Some(process)) = (&event.key, event.process.client()) else { return };
        let node = match event.kind {
            // That client never acts again.
            EventKind::Info => self.clients.remove(&process),
            _ => self.clients.get(&process).copied(),
        };
        let Some(node) = node else { return };
        let known = self.known.entry(symbol.clone()).or_default();
        let token = event.value.as_u64().or_else(|| two_numbers(&event.value).map(|(token, _)| token));
        match (&*event.f, event.kind, token) {
            ("acquire", EventKind::Ok, Some(token)) => {
                let before = known.grant.replace((node, token)).map(|(_, before)| before);
                known.former.extend(before.filter(|before| *before != token));
                if known.former.len() > FORMER_MAX {
                    known.former.remove(0);
                }
            }
            // It is over, or nobody knows: somebody will ask.
            ("release", _, Some(token)) | ("update" | "renew", EventKind::Fail, Some(token))
                if known.grant == Some((node, token)) =>
            {
                known.grant = None;
                known.former.push(token);
            }
            _ => {}
        }
    }
}

/// The reads at the end: every price from every price node in both ways, with its audit feed, and every
/// lease from every coordinator.
pub(super) struct Finals {
    coordinators: usize,
    symbols: u64,
    /// How far each thread is.
    done: HashMap<usize, u64>,
}

impl Finals {
    pub(super) fn new(plan: &Plan) -> Self {
        Finals { coordinators: coordinators(plan), symbols: plan.keys, done: HashMap::new() }
    }

    fn op(&self, node: usize, at: u64) -> Option<Op> {
        let all = [StockOp::Read, StockOp::ReadLocal, StockOp::Audit];
        let asked = if node < self.coordinators { &[StockOp::Lookup][..] } else { &all };
        let (symbol, which) = (at / asked.len() as u64, at as usize % asked.len());
        (symbol < self.symbols).then(|| asked[which].clone().on(format!("s{symbol}")))
    }
}

impl Generator for Finals {
    fn next(&mut self, ask: Ask) -> Next {
        let at = *self.done.get(&ask.thread).unwrap_or(&0);
        self.done.insert(ask.thread, at + 1);
        self.op(ask.node, at).map_or(Next::Exhausted, Next::Op)
    }
}
