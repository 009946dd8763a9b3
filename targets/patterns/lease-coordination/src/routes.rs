//! A price node's HTTP: the contract of the workload `stocks`, and what price nodes say to each other.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, State};
use axum::routing::{get, post, put};
use axum::{Json as Answer, Router};
use ordeal_kit::{ApiError, Id, InFlight, Json, Path, Query};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::desk::Desk;
use crate::leases::Lease;
use crate::prices::Holding;
use crate::replicas::{FENCE, FOLLOW, Fence, MESSAGE_BYTES_MAX, Quote, Quotes, READ, Said, TAKE, Take};
use crate::store::{Audited, Untaken};
use crate::upkeep::Copies;

/// The longest body of a client.
const BODY_BYTES_MAX: usize = 4 << 10;
/// Requests at a time, of clients and of other nodes each.
pub(crate) const REQUESTS_MAX: usize = 1_024;
/// Entries of an audit feed in one answer.
const AUDITED_MAX: usize = 1_000;

/// A lease as its holder has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Grant {
    pub(crate) holder: Id,
    pub(crate) token: u64,
    /// For so long the holder relies on it.
    pub(crate) expires_in_ms: u64,
}

/// A lease as the coordinators have it. Both fields are null if nobody holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct LeaseAnswer {
    holder: Option<Id>,
    token: Option<u64>,
}

impl From<Option<Lease>> for LeaseAnswer {
    fn from(lease: Option<Lease>) -> Self {
        let (holder, token) = lease.map(|lease| (lease.holder, lease.period.token)).unzip();
        LeaseAnswer { holder, token }
    }
}

/// What the routes need.
pub(crate) struct Node {
    pub(crate) desk: Arc<Desk>,
    pub(crate) copies: Arc<Copies>,
}

/// All routes of a price node.
pub(crate) fn router(node: Node) -> Router {
    let clients = Router::new()
        .route("/leases/{symbol}", get(lookup).post(acquire).put(renew).delete(release))
        .route("/prices/{symbol}", put(update).get(read))
        .route("/audit/{symbol}", get(audit))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX));
    let nodes = Router::new()
        .route(FENCE, post(fence))
        .route(TAKE, post(take))
        .route(READ, post(read_here))
        .route(FOLLOW, post(quotes))
        .layer(DefaultBodyLimit::max(MESSAGE_BYTES_MAX));
    Router::new()
        .route("/health", get(health))
        .merge(InFlight::new(REQUESTS_MAX).around(clients))
        .merge(InFlight::new(REQUESTS_MAX).around(nodes))
        .with_state(Arc::new(node))
}

type Shared = State<Arc<Node>>;

async fn health(State(node): Shared) -> Answer<Value> {
    Answer(json!({ "id": node.desk.id, "ready": node.desk.in_touch() }))
}

async fn lookup(State(node): Shared, Path(symbol): Path<Id>) -> Result<Answer<LeaseAnswer>, ApiError> {
    let unknown = || ApiError::unavailable("no coordinator can be reached");
    let mut leases = node.desk.look_up().await.ok_or_else(unknown)?;
    Ok(Answer(leases.0.remove(&symbol).into()))
}

async fn acquire(State(node): Shared, Path(symbol): Path<Id>) -> Result<Answer<Grant>, ApiError> {
    node.desk.acquire(&symbol).await.map(Answer)
}

/// Which lease is meant.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Token {
    token: u64,
}

async fn renew(
    State(node): Shared,
    Path(symbol): Path<Id>,
    Json(Token { token }): Json<Token>,
) -> Result<Answer<Grant>, ApiError> {
    node.desk.renew_one(&symbol, token).await.map(Answer)
}

async fn release(
    State(node): Shared,
    Path(symbol): Path<Id>,
    Json(Token { token }): Json<Token>,
) -> Result<Answer<Value>, ApiError> {
    node.desk.release(&symbol, token).await?;
    Ok(Answer(json!({ "released": token })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewPrice {
    request_id: Id,
    price: u64,
    token: u64,
}

async fn update(
    State(node): Shared,
    Path(symbol): Path<Id>,
    Json(NewPrice { request_id, price, token }): Json<NewPrice>,
) -> Result<Answer<Value>, ApiError> {
    let token = node.desk.update(&symbol, token, price, request_id).await?;
    Ok(Answer(json!({ "token": token })))
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Consistency {
    #[default]
    Strong,
    Local,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReadQuery {
    #[serde(default)]
    consistency: Consistency,
}

async fn read(
    State(node): Shared,
    Path(symbol): Path<Id>,
    Query(query): Query<ReadQuery>,
) -> Result<Answer<Quote>, ApiError> {
    let quote = match query.consistency {
        Consistency::Strong => read_strong(&node.desk, &symbol).await,
        Consistency::Local => node.copies.read(&symbol),
    };
    let unknown = || ApiError::unavailable("no holder can be reached, or the copy here is too old");
    quote.map(Answer).ok_or_else(unknown)
}

/// From memory if this node holds the lease, else from whoever is thought to.
async fn read_strong(desk: &Desk, symbol: &Id) -> Option<Quote> {
    if let Some(quote) = desk.quote(symbol) {
        return Some(quote);
    }
    let holder = desk.holder(symbol)?;
    let at = desk.replicas.others().find(|&at| desk.replicas.names[at] == holder.as_str())?;
    desk.replicas.post::<Option<Quote>>(at, READ, symbol).await?
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AuditQuery {
    #[serde(default)]
    from: u64,
}

#[derive(Serialize)]
struct AuditEntry {
    position: u64,
    token: u64,
    price: u64,
    request_id: Id,
}

async fn audit(
    State(node): Shared,
    Path(symbol): Path<Id>,
    Query(AuditQuery { from }): Query<AuditQuery>,
) -> Result<Answer<Value>, ApiError> {
    let read = tokio::task::spawn_blocking(move || node.desk.store.audit(&symbol, from, AUDITED_MAX));
    let entries = match read.await {
        Ok(Ok(entries)) => entries,
        Ok(Err(why)) => return Err(ApiError::internal(why.to_string())),
        Err(why) => return Err(ApiError::internal(why.to_string())),
    };
    let entry = |Audited { position, cell }: Audited| AuditEntry {
        position,
        token: cell.version.token,
        price: cell.price,
        request_id: cell.request_id,
    };
    let entries: Vec<AuditEntry> = entries.into_iter().map(entry).collect();
    Ok(Answer(json!({ "entries": entries })))
}

fn said<T>(stored: Result<T, Untaken>) -> Result<Answer<Said<T>>, ApiError> {
    match stored {
        Ok(done) => Ok(Answer(Ok(done))),
        Err(Untaken::Fenced(fenced)) => Ok(Answer(Err(fenced))),
        Err(why) => Err(why.into()),
    }
}

async fn fence(State(node): Shared, Json(asked): Json<Fence>) -> Result<Answer<Said<Holding>>, ApiError> {
    said(node.desk.store.fence(&asked.symbol, asked.token).await)
}

async fn take(State(node): Shared, Json(asked): Json<Take>) -> Result<Answer<Said<()>>, ApiError> {
    said(node.desk.store.take(&asked.symbol, asked.cell, asked.audit).await)
}

async fn read_here(State(node): Shared, Json(symbol): Json<Id>) -> Answer<Option<Quote>> {
    Answer(node.desk.quote(&symbol))
}

async fn quotes(State(node): Shared) -> Answer<BTreeMap<Id, Quote>> {
    let quotes: Quotes = node.desk.quotes();
    Answer(quotes)
}
