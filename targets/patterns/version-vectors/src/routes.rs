//! The node's HTTP: the contract of the workload `inventory`, and what nodes say to each other.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, State};
use axum::routing::{get, post, put};
use axum::{Json as Answer, Router};
use ordeal_kit::{ApiError, Id, InFlight, Json, Path, Query, strict};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::bugs::Bug;
use crate::exchange::{self, Exchange, Pull, Pulled};
use crate::rule::{Priority, Rule, rule_of};
use crate::stock::StockTake;
use crate::store::{Conflict, Receipt, Update};
use crate::vector::{Dot, Vector};

/// The longest body of a client.
pub(crate) const BODY_BYTES_MAX: usize = 64 << 10;
/// The largest movement, in either direction, and the largest count.
const AMOUNT_MAX: i64 = 1_000_000_000;
/// Conflicts in one answer.
const CONFLICTS_MAX: usize = 1_000;
/// Requests of clients at a time.
const REQUESTS_MAX: usize = 1024;
/// Requests of other nodes at a time.
const MESSAGES_MAX: usize = 256;

/// What the routes need.
pub(crate) struct Node {
    pub(crate) id: String,
    pub(crate) priorities: Vec<Priority>,
    pub(crate) exchange: Arc<Exchange>,
}

/// All routes.
pub(crate) fn router(node: Node) -> Router {
    let clients = Router::new()
        .route("/stock/{sku}", get(stock))
        .route("/stock/{sku}/movements", post(move_stock))
        .route("/stock/{sku}/count", put(count_stock))
        .route("/conflicts", get(conflicts))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX));
    let nodes = Router::new()
        .route(exchange::PULL, post(pull))
        .layer(DefaultBodyLimit::max(exchange::MESSAGE_BYTES_MAX));
    let router = Router::new()
        .route("/health", get(health))
        .merge(InFlight::new(REQUESTS_MAX).around(clients))
        .merge(InFlight::new(MESSAGES_MAX).around(nodes))
        .with_state(Arc::new(node));
    strict(router)
}

async fn health(State(node): State<Arc<Node>>) -> Answer<Value> {
    Answer(json!({ "id": node.id, "ready": true }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Movement {
    request_id: Id,
    delta: i64,
}

async fn move_stock(
    State(node): State<Arc<Node>>,
    Path(sku): Path<Id>,
    Json(movement): Json<Movement>,
) -> Result<Answer<Done>, ApiError> {
    let Movement { request_id, delta } = movement;
    if !(-AMOUNT_MAX..=AMOUNT_MAX).contains(&delta) {
        return Err(ApiError::malformed(format!("a movement is at most {AMOUNT_MAX} in either direction")));
    }
    node.update(sku, request_id, Update::Movement(delta)).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Count {
    request_id: Id,
    level: i64,
}

async fn count_stock(
    State(node): State<Arc<Node>>,
    Path(sku): Path<Id>,
    Json(count): Json<Count>,
) -> Result<Answer<Done>, ApiError> {
    let Count { request_id, level } = count;
    if !(0..=AMOUNT_MAX).contains(&level) {
        return Err(ApiError::malformed(format!("what is counted is from 0 to {AMOUNT_MAX}")));
    }
    node.update(sku, request_id, Update::Count(level)).await
}

/// An update that was done.
#[derive(Serialize)]
struct Done {
    #[serde(flatten)]
    dot: Dot,
    vector: Vector,
    level: i64,
}

impl Node {
    /// Needs nobody but the own store, so a warehouse that is cut off does it too.
    async fn update(&self, sku: Id, request_id: Id, update: Update) -> Result<Answer<Done>, ApiError> {
        if self.exchange.bug == Some(Bug::MajorityNeeded) && !self.exchange.majority() {
            return Err(ApiError::unavailable("no majority of the warehouses can be reached"));
        }
        let done = self.exchange.store.update(sku, request_id, update).await?;
        let reused = || ApiError::conflict("this request id was used for something else");
        let Receipt { dot, vector, level, .. } = done.ok_or_else(reused)?;
        Ok(Answer(Done { dot, vector, level }))
    }
}

#[derive(Serialize)]
struct StockAnswer {
    level: i64,
    vector: Vector,
    rule: Rule,
    siblings: Vec<Sibling>,
}

/// A stock-take as clients see it.
#[derive(Serialize)]
struct Sibling {
    #[serde(flatten)]
    dot: Dot,
    request_id: Id,
    counted: i64,
    vector: Vector,
    counted_at_ms: u64,
}

impl From<&StockTake> for Sibling {
    fn from(take: &StockTake) -> Sibling {
        let StockTake { dot, request_id, counted, vector, counted_at_ms, .. } = take.clone();
        Sibling { dot, request_id, counted, vector, counted_at_ms }
    }
}

async fn stock(State(node): State<Arc<Node>>, Path(sku): Path<Id>) -> Result<Answer<StockAnswer>, ApiError> {
    let stock = node.exchange.store.stock(&sku)?;
    let rule = rule_of(&sku, &node.priorities);
    let level = rule.level(&stock, node.exchange.bug);
    let siblings = stock.siblings().iter().map(Sibling::from).collect();
    Ok(Answer(StockAnswer { level, vector: stock.vector, rule, siblings }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConflictsQuery {
    #[serde(default)]
    from: u64,
}

#[derive(Serialize)]
struct ConflictsAnswer {
    conflicts: Vec<Conflict>,
    /// Where to go on; null if these were the last.
    next: Option<u64>,
}

async fn conflicts(
    State(node): State<Arc<Node>>,
    Query(query): Query<ConflictsQuery>,
) -> Result<Answer<ConflictsAnswer>, ApiError> {
    let conflicts = node.exchange.store.conflicts(query.from, CONFLICTS_MAX)?;
    let next = (conflicts.len() == CONFLICTS_MAX).then(|| query.from.saturating_add(CONFLICTS_MAX as u64));
    Ok(Answer(ConflictsAnswer { conflicts, next }))
}

async fn pull(State(node): State<Arc<Node>>, Json(pull): Json<Pull>) -> Result<Answer<Pulled>, ApiError> {
    Ok(Answer(node.exchange.answer(&pull)?))
}
