//! The node's HTTP: the contract of the workload `patients`, and what nodes say to each other.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json as Answer, Router};
use ordeal_kit::store::StoreError;
use ordeal_kit::{ApiError, Id, InFlight, Json, Path, Query, strict};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::coordinator::Coordinator;
use crate::protocol::{Entry, Kind, Register, Update, Version};
use crate::replicas::{self, Holding, Offer, Stored, take_offer};
use crate::store::Store;

/// The longest body of a client.
pub(crate) const BODY_BYTES_MAX: usize = 64 << 10;
/// The longest message between nodes: a whole record, its text escaped.
pub(crate) const MESSAGE_BYTES_MAX: usize = 32 << 20;
/// The highest counter taken from another node: one can always be added to it.
const COUNTER_MAX: u64 = 1 << 62;
/// Requests of clients at a time.
pub(crate) const REQUESTS_MAX: usize = 1024;
/// Requests of other nodes at a time.
const MESSAGES_MAX: usize = 4096;

/// What the routes need.
pub(crate) struct Node {
    pub(crate) id: String,
    pub(crate) coordinator: Coordinator,
    pub(crate) store: Arc<Store>,
}

/// All routes.
pub(crate) fn router(node: Node) -> Router {
    let clients = Router::new()
        .route("/patients/{id}/entries", get(entries).post(append))
        .route("/patients/{id}/summary", get(summary).put(put_summary))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX));
    let nodes = Router::new()
        .route(replicas::QUERY, post(query))
        .route(replicas::UPDATE, post(update))
        .route(replicas::OFFER, post(offer))
        .layer(DefaultBodyLimit::max(MESSAGE_BYTES_MAX));
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
struct NewEntry {
    request_id: Id,
    kind: Kind,
    text: String,
}

async fn append(
    State(node): State<Arc<Node>>,
    Path(patient): Path<Id>,
    Json(new): Json<NewEntry>,
) -> Result<Answer<Value>, ApiError> {
    let NewEntry { request_id, kind, text } = new;
    node.coordinator.append(patient, request_id.clone(), Entry { kind, text }).await?;
    Ok(Answer(json!({ "entry": request_id })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EntriesQuery {
    #[serde(default)]
    full: bool,
}

#[derive(Serialize)]
struct FullEntry<'a> {
    entry: &'a Id,
    #[serde(flatten)]
    content: &'a Entry,
}

#[derive(Serialize)]
struct EntriesAnswer<T> {
    entries: Vec<T>,
}

async fn entries(
    State(node): State<Arc<Node>>,
    Path(patient): Path<Id>,
    Query(query): Query<EntriesQuery>,
) -> Result<Response, ApiError> {
    let set = node.coordinator.entries(&patient).await?;
    if !query.full {
        let entries = set.keys().collect();
        return Ok(Answer(EntriesAnswer { entries }).into_response());
    }
    let entries = set.iter().map(|(entry, content)| FullEntry { entry, content }).collect();
    Ok(Answer(EntriesAnswer { entries }).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewSummary {
    request_id: Id,
    text: String,
}

async fn put_summary(
    State(node): State<Arc<Node>>,
    Path(patient): Path<Id>,
    Json(new): Json<NewSummary>,
) -> Result<Answer<Value>, ApiError> {
    let version = node.coordinator.put(patient, new.request_id, new.text).await?;
    Ok(Answer(json!({ "version": version })))
}

#[derive(Serialize)]
struct SummaryAnswer {
    text: Option<String>,
    version: Option<Version>,
}

async fn summary(
    State(node): State<Arc<Node>>,
    Path(patient): Path<Id>,
) -> Result<Answer<SummaryAnswer>, ApiError> {
    let cell = node.coordinator.summary(&patient).await?;
    let (text, version) = cell.map(|cell| (cell.text, cell.version)).unzip();
    Ok(Answer(SummaryAnswer { text, version }))
}

async fn query(
    State(node): State<Arc<Node>>,
    Json(query): Json<replicas::Query>,
) -> Result<Answer<Register>, ApiError> {
    let register = node.store.register(&query.patient, query.request_id.as_ref());
    register.map(Answer).map_err(store_failed)
}

async fn update(
    State(node): State<Arc<Node>>,
    Json(update): Json<Update>,
) -> Result<Answer<Stored>, ApiError> {
    if let Update::Summary { cell, .. } = &update
        && cell.version.counter > COUNTER_MAX
    {
        return Err(ApiError::malformed(format!("no counter is above {COUNTER_MAX}")));
    }
    node.store.update(update).await.map_err(store_failed)?;
    Ok(Answer(Stored {}))
}

async fn offer(State(node): State<Arc<Node>>, Json(offer): Json<Offer>) -> Result<Answer<Holding>, ApiError> {
    let set = take_offer(&node.store, offer).await.map_err(store_failed)?;
    let entries = set.map(|set| Arc::unwrap_or_clone(set.entries));
    Ok(Answer(Holding { entries }))
}

#[allow(clippy::needless_pass_by_value, reason = "the signature map_err asks for")]
fn store_failed(why: StoreError) -> ApiError {
    match why {
        StoreError::Busy => ApiError::busy(why.to_string()),
        _ => ApiError::internal(why.to_string()),
    }
}
