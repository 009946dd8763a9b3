//! The node's HTTP: the contract of the workload `trades`, and what nodes say to each other.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json as Answered, Router};
use ordeal_kit::store::StoreError;
use ordeal_kit::{ApiError, Id, InFlight, Json, Path, Query, strict};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::cluster::{self, Confirmed, Facts, Kept, Look, MESSAGE_BYTES_MAX, News, OfTrade, Since};
use crate::coordinator::{Answer, Coordinator, Status};
use crate::trade::{AMOUNT_MAX, Details, TradeCopy};
use crate::upkeep::FACTS_MAX;

/// The longest body of a client.
pub(crate) const BODY_BYTES_MAX: usize = 64 << 10;
/// Requests of clients at a time.
const REQUESTS_MAX: usize = 1024;
/// Requests of other nodes at a time.
const MESSAGES_MAX: usize = 4096;
/// Copies, or lines of the ledger, in one answer.
const PAGE: usize = 500;

/// What the routes need.
#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) id: String,
    pub(crate) coordinator: Arc<Coordinator>,
}

/// All routes.
pub(crate) fn router(node: Node) -> Router {
    let clients = Router::new()
        .route("/trades", post(submit))
        .route("/trades/{id}", get(read))
        .route("/trades/{id}/settlement", post(settle))
        .route("/waiting-list", get(waiting_list))
        .route("/copies", get(copies))
        .route("/ledger", get(ledger))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX));
    let nodes = Router::new()
        .route(cluster::VOTE, post(vote))
        .route(cluster::SETTLE, post(confirm_settlement))
        .route(cluster::LEARN, post(learn))
        .route(cluster::LOOK, post(look))
        .route(cluster::LEARNED, post(learned))
        .layer(DefaultBodyLimit::max(MESSAGE_BYTES_MAX));
    let router = Router::new()
        .route("/health", get(health))
        .merge(InFlight::new(REQUESTS_MAX).around(clients))
        .merge(InFlight::new(MESSAGES_MAX).around(nodes))
        .with_state(node);
    strict(router)
}

async fn health(State(node): State<Node>) -> Answered<Value> {
    let role = node.coordinator.desk.cluster.roles[node.coordinator.desk.cluster.own];
    Answered(json!({ "id": node.id, "ready": true, "role": role }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewTrade {
    correlation_id: Id,
    price: u64,
    volume: u64,
    counterparty: Id,
}

/// Carries a request through even if the client hangs up: it may have been accepted.
async fn carry_through(
    request: impl Future<Output = Result<Answer, ApiError>> + Send + 'static,
) -> Result<(StatusCode, Answered<Answer>), ApiError> {
    let answer = tokio::spawn(request).await.map_err(|why| ApiError::internal(why.to_string()))??;
    let status = if answer.status == Status::Pending { StatusCode::ACCEPTED } else { StatusCode::OK };
    Ok((status, Answered(answer)))
}

async fn submit(
    State(node): State<Node>,
    Json(new): Json<NewTrade>,
) -> Result<(StatusCode, Answered<Answer>), ApiError> {
    let NewTrade { correlation_id, price, volume, counterparty } = new;
    let amounts = 1..=AMOUNT_MAX;
    if !amounts.contains(&price) || !amounts.contains(&volume) {
        return Err(ApiError::malformed(format!("price and volume are from 1 to {AMOUNT_MAX}")));
    }
    carry_through(node.coordinator.submit(correlation_id, Details { price, volume, counterparty })).await
}

async fn settle(
    State(node): State<Node>,
    Path(trade): Path<Id>,
) -> Result<(StatusCode, Answered<Answer>), ApiError> {
    carry_through(node.coordinator.settle(trade)).await
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum From {
    #[default]
    Majority,
    Local,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReadQuery {
    #[serde(default)]
    from: From,
}

async fn read(
    State(node): State<Node>,
    Path(trade): Path<Id>,
    Query(query): Query<ReadQuery>,
) -> Result<Answered<Value>, ApiError> {
    let desk = &node.coordinator.desk;
    match query.from {
        From::Majority => node.coordinator.read(trade).await.map(|answer| Answered(json!(answer))),
        From::Local => {
            let copy = desk.cluster.store.copy(&trade).map_err(store_failed)?;
            let mut shown = json!(CopyOf::new((trade, copy)));
            shown["role"] = json!(desk.cluster.roles[desk.cluster.own]);
            Ok(Answered(shown))
        }
    }
}

async fn waiting_list(State(node): State<Node>) -> Answered<Value> {
    let expiry_ms = node.coordinator.expiry.as_millis() as u64;
    Answered(json!({ "expiry_ms": expiry_ms, "pending": node.coordinator.desk.pending() }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CopiesQuery {
    after: Option<Id>,
}

#[derive(Serialize)]
struct CopyOf {
    #[serde(flatten)]
    answer: Answer,
    /// The details that this node itself has confirmed.
    vote: Option<Details>,
    settlement_confirmed: bool,
}

impl CopyOf {
    fn new((trade, copy): (Id, TradeCopy)) -> Self {
        let (vote, settlement_confirmed) = (copy.vote.clone(), copy.settlement);
        CopyOf { answer: Answer::local(trade, copy), vote, settlement_confirmed }
    }
}

/// The node's own copies of all trades, page by page in the order of their names.
async fn copies(
    State(node): State<Node>,
    Query(query): Query<CopiesQuery>,
) -> Result<Answered<Value>, ApiError> {
    let coordinator = &node.coordinator;
    let after = query.after.as_ref().map_or("", Id::as_str);
    let copies = coordinator.desk.cluster.store.copies(after, PAGE).map_err(store_failed)?;
    let shown: Vec<CopyOf> = copies.into_iter().map(CopyOf::new).collect();
    let next = if shown.len() == PAGE { shown.last().map(|last| &last.answer.correlation_id) } else { None };
    let role = coordinator.desk.cluster.roles[coordinator.desk.cluster.own];
    Ok(Answered(json!({ "node": node.id, "role": role, "copies": shown, "next": next })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LedgerQuery {
    #[serde(default)]
    from: u64,
}

async fn ledger(
    State(node): State<Node>,
    Query(query): Query<LedgerQuery>,
) -> Result<Answered<Value>, ApiError> {
    let bookings = node.coordinator.desk.cluster.store.ledger(query.from, PAGE).map_err(store_failed)?;
    let next = (bookings.len() == PAGE).then(|| query.from + PAGE as u64);
    Ok(Answered(json!({ "node": node.id, "bookings": bookings, "next": next })))
}

async fn vote(State(node): State<Node>, Json(of): Json<OfTrade>) -> Result<Answered<TradeCopy>, ApiError> {
    let held = node.coordinator.desk.cluster.store.vote(of.trade, of.details).await;
    held.map(Answered).map_err(store_failed)
}

async fn confirm_settlement(
    State(node): State<Node>,
    Json(of): Json<OfTrade>,
) -> Result<Answered<Confirmed>, ApiError> {
    let confirmed = node.coordinator.desk.cluster.store.confirm_settlement(of.trade, of.details).await;
    Ok(Answered(Confirmed { confirmed: confirmed.map_err(store_failed)? }))
}

async fn learn(State(node): State<Node>, Json(news): Json<Facts>) -> Result<Answered<Kept>, ApiError> {
    node.coordinator.desk.cluster.store.learn(news.facts).await.map_err(store_failed)?;
    Ok(Answered(Kept {}))
}

async fn look(State(node): State<Node>, Json(asked): Json<Look>) -> Result<Answered<TradeCopy>, ApiError> {
    node.coordinator.desk.cluster.store.copy(&asked.trade).map(Answered).map_err(store_failed)
}

async fn learned(State(node): State<Node>, Json(since): Json<Since>) -> Result<Answered<News>, ApiError> {
    let (facts, next) =
        node.coordinator.desk.cluster.store.learned(since.from, FACTS_MAX).map_err(store_failed)?;
    Ok(Answered(News { facts, next }))
}

#[allow(clippy::needless_pass_by_value, reason = "the signature map_err asks for")]
fn store_failed(why: StoreError) -> ApiError {
    match why {
        StoreError::Busy => ApiError::busy(why.to_string()),
        _ => ApiError::internal(why.to_string()),
    }
}
