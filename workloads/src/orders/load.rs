//! What is told and asked: events of sources whose clocks disagree, delayed, twice, too late; and reads.

use std::collections::{BTreeMap, HashMap, VecDeque};

use ordeal_core::{Ask, Event as Happened, EventKind, Generator, Next, Op, Plan, Rng};

use super::{Event, OrderOp, What, drain_ms, sku_name, window_ms};
use crate::waiting;

/// The first moment of event time; sources whose clocks are behind need some room.
const EPOCH_MS: u64 = 1_000_000;
/// By how much the clocks of the sources are ahead, in percent of the window. The last one is wrong by so much that it
/// must not decide alone how far event time has come.
const AHEAD: [i64; 4] = [-30, -10, 10, 80];
/// The source that is ahead of all others.
const FASTEST: usize = AHEAD.len() - 1;
/// Every so often orders pour in, placed ahead of time at the fastest source, until so many events found the buffer full, or
/// for so long.
const BURST_EVERY_MS: u64 = 6_000;
const BURST_MS_MAX: u64 = 2_500;
const BURST_REFUSALS: u64 = 15;
/// By how much they are ahead of that source's clock, in percent of the window.
const BURST_AHEAD: u64 = 130;

/// How often a draw makes an event, of a hundred; the others are reads.
const EVENTS: u64 = 58;
/// Of a hundred events: promotions, and movements of stock.
const PROMOTIONS: u64 = 15;
const MOVEMENTS: u64 = 22;
/// How often an event is delayed within the window, and beyond it.
const DELAYED: f64 = 0.25;
const TOO_LATE: f64 = 0.07;
/// How often an event has the timestamp of the one before, and an order that of the end or the beginning of a promotion.
const TIED: f64 = 0.12;
const AT_AN_EDGE: f64 = 0.2;
/// How often an order depends on a promotion of its SKU, and on an event that never comes.
const DEPENDENT: f64 = 0.3;
const ORPHANED: f64 = 0.03;
/// How often an event is sent again: after an answer, after none, and after a refusal.
const AGAIN: f64 = 0.1;
const AGAIN_IF_UNKNOWN: f64 = 0.6;
const AGAIN_IF_REFUSED: f64 = 0.4;
/// Promotions of a SKU, and orders, that are remembered.
const PROMOTIONS_KEPT: usize = 4;
const ORDERS_KEPT: usize = 100;
/// So many steps before the last one seen does a consumer go on reading.
const READ_BACK: u64 = 5;

/// A promotion that orders can depend on.
struct Promotion {
    id: String,
    from: u64,
    until: u64,
}

/// The load.
pub(super) struct Load {
    rng: Rng,
    skus: u64,
    window_ms: u64,
    /// The time of the last completion, in milliseconds since the run began.
    now_ms: u64,
    /// Events so far.
    events: u64,
    last_timestamp: u64,
    promotions: HashMap<String, VecDeque<Promotion>>,
    orders: VecDeque<(String, String)>,
    /// Events on their way, by when they arrive and in what order they left.
    on_their_way: BTreeMap<(u64, u64), Event>,
    departures: u64,
    /// Events that found the buffer full in this burst.
    refusals: u64,
    /// What each client has sent.
    open: HashMap<u64, Event>,
    /// The last position of the sequence that any consumer has seen.
    seen: u64,
}

impl Load {
    pub(super) fn new(plan: &Plan) -> Self {
        Load {
            rng: Rng::fork(plan.seed, "operations"),
            skus: plan.keys.max(1),
            window_ms: window_ms(plan),
            now_ms: 0,
            events: 0,
            last_timestamp: 0,
            promotions: HashMap::new(),
            orders: VecDeque::new(),
            on_their_way: BTreeMap::new(),
            departures: 0,
            refusals: 0,
            open: HashMap::new(),
            seen: 0,
        }
    }

    fn draw(&mut self) -> OrderOp {
        if self.now_ms % BURST_EVERY_MS > BURST_MS_MAX {
            self.refusals = 0;
        } else if self.now_ms > BURST_EVERY_MS && self.refusals < BURST_REFUSALS && self.rng.chance(0.7) {
            let ahead = self.window_ms * BURST_AHEAD / 100;
            return OrderOp::Send(self.new_order(FASTEST, ahead));
        }
        if let Some(arrived) = self.on_their_way.first_entry().filter(|entry| entry.key().0 <= self.now_ms) {
            return OrderOp::Send(arrived.remove());
        }
        if self.rng.below(100) < EVENTS {
            let event = self.new_event();
            let delay_ms = self.delay_ms();
            if delay_ms == 0 {
                return OrderOp::Send(event);
            }
            self.depart(event, delay_ms);
        }
        self.draw_read()
    }

    fn draw_read(&mut self) -> OrderOp {
        match self.rng.below(10) {
            0..4 if !self.orders.is_empty() => {
                let (sku, id) = self.orders[self.rng.below(self.orders.len() as u64) as usize].clone();
                OrderOp::Order(sku, id)
            }
            0..7 => OrderOp::Stock(self.sku()),
            7..9 => OrderOp::Processed(self.seen.saturating_sub(READ_BACK)),
            _ => OrderOp::Status,
        }
    }

    fn sku(&mut self) -> String {
        sku_name(self.rng.below(self.skus))
    }

    /// How long an event is on its way.
    fn delay_ms(&mut self) -> u64 {
        if self.rng.chance(TOO_LATE) {
            self.rng.between(self.window_ms, self.window_ms * 3)
        } else if self.rng.chance(DELAYED) {
            self.rng.between(1, self.window_ms / 2 + 1)
        } else {
            0
        }
    }

    fn depart(&mut self, event: Event, delay_ms: u64) {
        self.departures += 1;
        self.on_their_way.insert((self.now_ms + delay_ms, self.departures), event);
    }

    fn new_event(&mut self) -> Event {
        let source = self.rng.below(AHEAD.len() as u64) as usize;
        match self.rng.below(100) {
            0..PROMOTIONS => self.new_promotion(source),
            draw if draw < PROMOTIONS + MOVEMENTS => self.new_movement(source),
            _ => self.new_order(source, 0),
        }
    }

    /// The time that the clock of this source shows.
    fn clock_of(&mut self, source: usize) -> u64 {
        let ahead = AHEAD[source] * self.window_ms as i64 / 100;
        let shown = (EPOCH_MS + self.now_ms).saturating_add_signed(ahead);
        if self.rng.chance(TIED) && self.last_timestamp.abs_diff(shown) < self.window_ms / 4 {
            return self.last_timestamp;
        }
        shown
    }

    fn event(&mut self, kind: char, source: usize, timestamp: u64, what: What) -> Event {
        self.events += 1;
        self.last_timestamp = timestamp;
        let id = format!("{kind}{}", self.events);
        Event { id, source: format!("s{}", source + 1), timestamp, depends_on: Vec::new(), what }
    }

    fn new_promotion(&mut self, source: usize) -> Event {
        let (sku, timestamp) = (self.sku(), self.clock_of(source));
        let from = timestamp + self.rng.below(self.window_ms / 4 + 1);
        let until = from + self.rng.between(self.window_ms / 5, self.window_ms * 2).max(1);
        let percent = self.rng.between(1, 9) * 10;
        let what = What::Promotion { sku: sku.clone(), percent, from, until };
        let event = self.event('m', source, timestamp, what);
        let of_sku = self.promotions.entry(sku).or_default();
        of_sku.push_back(Promotion { id: event.id.clone(), from, until });
        if of_sku.len() > PROMOTIONS_KEPT {
            of_sku.pop_front();
        }
        event
    }

    fn new_movement(&mut self, source: usize) -> Event {
        let (sku, timestamp) = (self.sku(), self.clock_of(source));
        let out = self.rng.chance(0.15);
        let delta = if out { -(self.rng.between(1, 4) as i64) } else { self.rng.between(2, 14) as i64 };
        self.event('k', source, timestamp, What::Stock { sku, delta })
    }

    fn new_order(&mut self, source: usize, ahead_ms: u64) -> Event {
        let (sku, mut timestamp) = (self.sku(), self.clock_of(source) + ahead_ms);
        let (quantity, price) = (self.rng.between(1, 4), self.rng.between(100, 9_999));
        if self.rng.chance(AT_AN_EDGE) {
            timestamp = self.edge_near(&sku, timestamp).unwrap_or(timestamp);
        }
        let mut event = self.event('o', source, timestamp, What::Order { sku: sku.clone(), quantity, price });
        if self.rng.chance(DEPENDENT)
            && let Some(promotions) = self.promotions.get(&sku)
        {
            let chosen = self.rng.below(promotions.len() as u64) as usize;
            event.depends_on.push(promotions[chosen].id.clone());
        }
        if self.rng.chance(ORPHANED) {
            event.depends_on.push(format!("never{}", self.events));
        }
        self.orders.push_back((sku, event.id.clone()));
        if self.orders.len() > ORDERS_KEPT {
            self.orders.pop_front();
        }
        event
    }

    /// The end, or the beginning, of a promotion of this SKU that is near this moment.
    fn edge_near(&self, sku: &str, moment: u64) -> Option<u64> {
        let near = |edge: &u64| edge.abs_diff(moment) < self.window_ms / 3;
        self.promotions.get(sku)?.iter().rev().flat_map(|of| [of.until, of.from]).find(near)
    }

    fn sent(&mut self, event: Event, how: &Happened) {
        let refused = how.error.as_deref().is_some_and(|why| why.starts_with("HTTP 429"));
        self.refusals += u64::from(refused);
        let (chance, delay_ms) = match (how.kind, how.value["status"].as_str()) {
            (EventKind::Ok, Some("accepted" | "late")) => (AGAIN, self.window_ms * 3),
            (EventKind::Info, _) => (AGAIN_IF_UNKNOWN, self.window_ms),
            (EventKind::Fail, _) if refused => (AGAIN_IF_REFUSED, self.window_ms / 4),
            (EventKind::Fail, _) => (AGAIN_IF_REFUSED, self.window_ms / 2),
            _ => return,
        };
        if self.rng.chance(chance) {
            let delay_ms = self.rng.below(delay_ms + 1);
            self.depart(event, delay_ms);
        }
    }
}

impl Generator for Load {
    fn next(&mut self, ask: Ask) -> Next {
        let op = self.draw();
        if let OrderOp::Send(event) = &op {
            self.open.insert(ask.process, event.clone());
        }
        Next::Op(op.into())
    }

    fn observe(&mut self, event: &Happened) {
        let Some(process) = event.process.client().filter(|_| event.kind != EventKind::Invoke) else {
            return;
        };
        self.now_ms = self.now_ms.max(event.time / 1_000_000);
        match &*event.f {
            "send" => {
                if let Some(sent) = self.open.remove(&process) {
                    self.sent(sent, event);
                }
            }
            "processed" if event.kind == EventKind::Ok => {
                let last =
                    event.value["events"].as_array().and_then(|events| events.last()?["position"].as_u64());
                self.seen = self.seen.max(last.unwrap_or(0));
            }
            _ => {}
        }
    }
}

/// The reads at the end: one client of each node waits until the buffer has had time to drain, then asks for all that its
/// node has processed, and for the stock.
pub(super) struct Finals {
    left: Vec<VecDeque<Op>>,
}

impl Finals {
    pub(super) fn new(plan: &Plan) -> Self {
        let waits = waiting::steps_ms(plan, drain_ms(plan)).map(OrderOp::Wait);
        let stock = (0..plan.keys.max(1)).map(|n| OrderOp::Stock(sku_name(n)));
        let whole = [OrderOp::Status, OrderOp::Sequence];
        let all: VecDeque<Op> = waits.chain(whole).chain(stock).map(Into::into).collect();
        Finals { left: vec![all; plan.nodes] }
    }
}

impl Generator for Finals {
    fn next(&mut self, ask: Ask) -> Next {
        let next = self.left.get_mut(ask.thread).and_then(VecDeque::pop_front);
        next.map_or(Next::Exhausted, Next::Op)
    }
}
