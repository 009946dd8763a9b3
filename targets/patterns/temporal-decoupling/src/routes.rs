//! The node's HTTP for clients: the contract of the workload `orders`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::{DefaultBodyLimit, State};
use axum::routing::{get, post};
use axum::{Json as Answered, Router};
use ordeal_kit::{ApiError, Id, InFlight, Json, Path, Query};
use ordeal_raft::Consensus;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::bugs::Bug;
use crate::event::Event;
use crate::machine::{Answer, Command, Order, Rules, Sale};

/// The longest body of a client.
const BODY_BYTES_MAX: usize = 16 << 10;
/// Requests of clients at a time.
const REQUESTS_MAX: usize = 512;
/// Steps of the sequence on a page, at most, and unless asked otherwise.
const PAGE_MAX: usize = 1_000;

/// What the routes need.
pub(crate) struct Node {
    pub(crate) id: String,
    pub(crate) consensus: Consensus<Sale>,
    pub(crate) rules: Rules,
    /// After how long without an event time goes on by itself.
    pub(crate) idle_ms: u64,
    /// Unique to this life of the node.
    pub(crate) life: String,
    /// Requests so far.
    pub(crate) requests: AtomicU64,
    /// A planted defect: by how much the wall clock is ahead of event time.
    pub(crate) clock_ahead: OnceLock<u64>,
}

type Shared = State<Arc<Node>>;

/// The routes of clients.
pub(crate) fn router(node: Arc<Node>) -> Router {
    let routes = Router::new()
        .route("/events", post(submit))
        .route("/orders/{id}", get(order))
        .route("/stock/{sku}", get(stock))
        .route("/processed", get(processed))
        .route("/status", get(status))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(node);
    InFlight::new(REQUESTS_MAX).around(routes)
}

async fn submit(State(node): Shared, Json(event): Json<Event>) -> Result<Answered<Value>, ApiError> {
    if let Some(flaw) = event.flaw() {
        return Err(ApiError::malformed(flaw));
    }
    let id = event.id.clone();
    let clock = node.rules.has(Bug::WatermarkFromClock).then(|| node.by_own_clock(event.timestamp));
    let command = Command::Submit { event, clock, rules: node.rules };
    // Not the event's id: whether an event is there already is for the machine to say, which does not remember
    // those that found the buffer full.
    let request = format!("{}-{}", node.life, node.requests.fetch_add(1, Ordering::Relaxed));
    match node.consensus.propose(&request, &command).await?.answer {
        Answer::Accepted { watermark } => {
            Ok(Answered(json!({ "id": id, "status": "accepted", "watermark": watermark })))
        }
        Answer::Late { watermark } => {
            let reason = format!("events up to {watermark} have been processed");
            Ok(Answered(json!({ "id": id, "status": "late", "watermark": watermark, "reason": reason })))
        }
        Answer::Full => Err(ApiError::busy(format!("{} events wait already", node.rules.capacity))),
        Answer::OtherEvent => Err(ApiError::conflict(format!("{id} is the id of another event"))),
        Answer::TooMany => Err(ApiError::too_large("no more events, or sources, are kept")),
        Answer::Noted => Err(ApiError::internal("the machine answered something else")),
    }
}

impl Node {
    /// The moment it is by this node's wall clock, which was right about the first event that it took: a planted defect.
    fn by_own_clock(&self, timestamp: u64) -> u64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
        now.saturating_sub(*self.clock_ahead.get_or_init(|| now.saturating_sub(timestamp)))
    }
}

async fn order(State(node): Shared, Path(id): Path<Id>) -> Result<Answered<Order>, ApiError> {
    Ok(Answered(node.consensus.read(|sale| sale.order(&id)).await?))
}

async fn stock(State(node): Shared, Path(sku): Path<Id>) -> Result<Answered<Value>, ApiError> {
    let (level, processed) = node.consensus.read(|sale| (sale.level(&sku), sale.processed())).await?;
    Ok(Answered(json!({ "sku": sku, "level": level, "processed": processed })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PageQuery {
    #[serde(default)]
    from: u64,
    limit: Option<usize>,
}

async fn processed(State(node): Shared, Query(query): Query<PageQuery>) -> Result<Answered<Value>, ApiError> {
    let limit = query.limit.unwrap_or(PAGE_MAX);
    if !(1..=PAGE_MAX).contains(&limit) {
        return Err(ApiError::malformed(format!("a limit is from 1 to {PAGE_MAX}")));
    }
    let from = query.from;
    let (events, processed) = node.consensus.local(|sale| (sale.page(from, limit), sale.processed()));
    let next = events.last().map(|last| last.position + 1).filter(|next| *next < processed);
    Ok(Answered(json!({ "node": node.id, "from": from, "next": next, "events": events })))
}

async fn status(State(node): Shared) -> Answered<Value> {
    let Rules { window_ms, capacity, .. } = node.rules;
    let (id, idle_ms) = (&node.id, node.idle_ms);
    Answered(node.consensus.local(|sale| {
        json!({
            "node": id, "watermark": sale.watermark(), "buffered": sale.buffered(), "capacity": capacity,
            "window_ms": window_ms, "idle_ms": idle_ms, "accepted": sale.accepted(),
            "processed": sale.processed(),
        })
    }))
}
