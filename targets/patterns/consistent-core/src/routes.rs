//! The node's HTTP: the contract of the workload `claims`, and what nodes say to each other.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, State};
use axum::routing::{get, post, put};
use axum::{Json as Answer, Router};
use ordeal_kit::{ApiError, Id, InFlight, Json, Path, Query, strict};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::adjusting::PREMIUM_MAX;
use crate::claim::{Department, Verdict};
use crate::messages::{
    ASK, Ask, CoreAsk, DataAsk, Document, FETCH, Failure, Fetched, HELD, Held, Reply, STORE, Store, WATCH,
    Watch, Watched,
};
use crate::pass::{Node, Role};

/// The longest body of a client.
pub(crate) const BODY_BYTES_MAX: usize = 48 << 10;
/// The longest message between nodes.
pub(crate) const MESSAGE_BYTES_MAX: usize = 64 << 20;
/// Requests of clients at a time.
const REQUESTS_MAX: usize = 512;
/// Requests of other nodes at a time.
const MESSAGES_MAX: usize = 2048;
/// The longest name of a policy's holder, in bytes.
const HOLDER_BYTES_MAX: usize = 1024;
/// Policies in one adjustment.
const ADJUSTED_MAX: usize = 200;

/// What clients and data nodes ask.
pub(crate) fn router(node: Arc<Node>) -> Router {
    let clients = Router::new()
        .route("/policies/{id}", put(put_policy).get(policy))
        .route("/policies/{id}/documents", post(add_document).get(documents))
        .route("/policies/{id}/documents/{document}", get(document))
        .route("/claims", post(submit))
        .route("/claims/{id}", get(claim))
        .route("/claims/{id}/confirmations", post(confirm))
        .route("/premium-adjustments", post(adjust))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX));
    let nodes = Router::new()
        .route(ASK, post(ask))
        .route(WATCH, post(watch))
        .route(FETCH, post(fetch))
        .route(STORE, post(store))
        .route(HELD, post(held))
        .layer(DefaultBodyLimit::max(MESSAGE_BYTES_MAX));
    let own = InFlight::new(REQUESTS_MAX)
        .around(clients)
        .merge(InFlight::new(MESSAGES_MAX).around(nodes))
        .with_state(Arc::clone(&node));
    // The core's health and status are those of its consensus.
    strict(match &node.role {
        Role::Core(core) => own.merge(core.core.routes()),
        Role::Data(_) => own.route("/health", get(health).with_state(node)),
    })
}

type Shared = State<Arc<Node>>;

async fn health(State(node): Shared) -> Answer<Value> {
    let ready = matches!(&node.role, Role::Data(data) if data.view.ready());
    Answer(json!({ "id": node.id, "ready": ready }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewPolicy {
    request_id: Id,
    holder: String,
    premium: i64,
}

async fn put_policy(
    State(node): Shared,
    Path(policy): Path<Id>,
    Json(new): Json<NewPolicy>,
) -> Result<Answer<Value>, ApiError> {
    let NewPolicy { request_id, holder, premium } = new;
    if holder.len() > HOLDER_BYTES_MAX {
        return Err(ApiError::too_large(format!("the holder is longer than {HOLDER_BYTES_MAX} bytes")));
    }
    if !(0..=PREMIUM_MAX).contains(&premium) {
        return Err(ApiError::malformed(format!("a premium is 0 to {PREMIUM_MAX} cents")));
    }
    node.ask(Ask::Core(CoreAsk::PutPolicy { policy, request_id, holder, premium })).await.map(Answer)
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "lowercase")]
enum From {
    #[default]
    Core,
    Data,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyQuery {
    #[serde(default)]
    from: From,
    #[serde(default)]
    version: u64,
}

async fn policy(
    State(node): Shared,
    Path(policy): Path<Id>,
    Query(query): Query<PolicyQuery>,
) -> Result<Answer<Value>, ApiError> {
    let ask = match query.from {
        // The core is never behind a version that it has named.
        From::Core => Ask::Core(CoreAsk::Policy { policy }),
        From::Data => Ask::Data(DataAsk::Policy { policy, version: query.version }),
    };
    node.ask(ask).await.map(Answer)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewDocument {
    request_id: Id,
    version: u64,
    text: String,
}

async fn add_document(
    State(node): Shared,
    Path(policy): Path<Id>,
    Json(new): Json<NewDocument>,
) -> Result<Answer<Value>, ApiError> {
    let NewDocument { request_id, version, text } = new;
    let document = Document { document: request_id, version, text };
    node.ask(Ask::Data(DataAsk::AddDocument { policy, document })).await.map(Answer)
}

async fn documents(State(node): Shared, Path(policy): Path<Id>) -> Result<Answer<Value>, ApiError> {
    node.ask(Ask::Data(DataAsk::Documents { policy })).await.map(Answer)
}

async fn document(
    State(node): Shared,
    Path((policy, document)): Path<(Id, Id)>,
) -> Result<Answer<Value>, ApiError> {
    node.ask(Ask::Data(DataAsk::Document { policy, document })).await.map(Answer)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewClaim {
    request_id: Id,
    claim: Id,
    policy: Id,
    amount: u64,
}

async fn submit(State(node): Shared, Json(new): Json<NewClaim>) -> Result<Answer<Value>, ApiError> {
    let NewClaim { request_id, claim, policy, amount } = new;
    node.ask(Ask::Core(CoreAsk::Submit { claim, request_id, policy, amount })).await.map(Answer)
}

async fn claim(State(node): Shared, Path(claim): Path<Id>) -> Result<Answer<Value>, ApiError> {
    node.ask(Ask::Core(CoreAsk::Claim { claim })).await.map(Answer)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Confirmation {
    request_id: Id,
    department: Department,
    verdict: Verdict,
}

async fn confirm(
    State(node): Shared,
    Path(claim): Path<Id>,
    Json(new): Json<Confirmation>,
) -> Result<Answer<Value>, ApiError> {
    let Confirmation { request_id, department, verdict } = new;
    node.ask(Ask::Core(CoreAsk::Confirm { claim, request_id, department, verdict })).await.map(Answer)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewAdjustment {
    request_id: Id,
    amount: i64,
    policies: Vec<Id>,
}

async fn adjust(State(node): Shared, Json(new): Json<NewAdjustment>) -> Result<Answer<Value>, ApiError> {
    let NewAdjustment { request_id, amount, policies } = new;
    if policies.len() > ADJUSTED_MAX {
        return Err(ApiError::too_large(format!("an adjustment is of {ADJUSTED_MAX} policies at most")));
    }
    let twice = (1..policies.len()).any(|n| policies[..n].contains(&policies[n]));
    if policies.is_empty() || twice {
        return Err(ApiError::malformed("an adjustment names at least one policy, and each once"));
    }
    if !(-PREMIUM_MAX..=PREMIUM_MAX).contains(&amount) {
        return Err(ApiError::malformed(format!("an amount is {PREMIUM_MAX} cents at most")));
    }
    node.ask(Ask::Core(CoreAsk::Adjust { request_id, amount, policies })).await.map(Answer)
}

async fn ask(State(node): Shared, Json(ask): Json<Ask>) -> Answer<Reply> {
    Answer(node.answer(ask).await.map_err(Failure::from))
}

async fn watch(State(node): Shared, Json(watch): Json<Watch>) -> Result<Answer<Watched>, ApiError> {
    match &node.role {
        Role::Core(core) => Ok(Answer(core.watch(watch.after).await)),
        Role::Data(_) => Err(not_mine()),
    }
}

async fn fetch(State(node): Shared) -> Result<Answer<Fetched>, ApiError> {
    match &node.role {
        Role::Core(core) => Ok(Answer(core.fetch())),
        Role::Data(_) => Err(not_mine()),
    }
}

async fn store(State(node): Shared, Json(new): Json<Store>) -> Result<Answer<Result<(), Failure>>, ApiError> {
    match &node.role {
        Role::Data(data) => Ok(Answer(data.take(new.policy, new.document).await.map_err(Failure::from))),
        Role::Core(_) => Err(not_mine()),
    }
}

async fn held(
    State(node): Shared,
    Json(held): Json<Held>,
) -> Result<Answer<Result<Vec<Document>, Failure>>, ApiError> {
    match &node.role {
        Role::Data(data) => Ok(Answer(data.held(&held).map_err(Failure::from))),
        Role::Core(_) => Err(not_mine()),
    }
}

fn not_mine() -> ApiError {
    ApiError::malformed("this node has another role")
}
