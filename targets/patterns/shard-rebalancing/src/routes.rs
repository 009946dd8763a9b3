//! The node's HTTP: the contract of the workload `telecom`, and what nodes say to each other.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json as Answer, Router};
use ordeal_kit::{ApiError, Id, InFlight, Json, Path, Query, strict};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::conduct::Report;
use crate::customer::Update;
use crate::data_node::Elsewhere;
use crate::key::Key;
use crate::messages::{ASK, Ask, Failure, MESSAGE_BYTES_MAX, Page, ROWS, RowsOf, TELL, Tell};
use crate::node::{Node, Role};
use crate::store::Put;

/// The longest body of a client.
pub(crate) const BODY_BYTES_MAX: usize = 64 << 10;
/// The longest name of a plan.
const PLAN_BYTES_MAX: usize = 128;
/// The most that a call costs, in cents.
const COST_MAX: u64 = 1_000_000_000;
/// Requests of clients, and of other nodes, at a time.
const REQUESTS_MAX: usize = 1024;
const MESSAGES_MAX: usize = 256;

type Shared = State<Arc<Node>>;

/// All routes.
pub(crate) fn router(node: Arc<Node>) -> Router {
    let clients = Router::new()
        .route("/customers/{region}/{id}", get(read).put(put))
        .route("/routing", get(routing))
        .route("/load", get(load))
        .route("/nodes", post(join))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX));
    let nodes = Router::new()
        .route(TELL, post(tell))
        .route(ROWS, post(rows))
        .route(ASK, post(ask))
        .layer(DefaultBodyLimit::max(MESSAGE_BYTES_MAX));
    let own = match &node.role {
        // `/health` comes with the Raft.
        Role::Metadata(metadata) => metadata.core.routes(),
        Role::Data(_) => Router::new().route("/health", get(health)).with_state(Arc::clone(&node)),
    };
    let router = Router::new()
        .merge(InFlight::new(REQUESTS_MAX).around(clients))
        .merge(InFlight::new(MESSAGES_MAX).around(nodes))
        .with_state(node);
    strict(router.merge(own))
}

async fn health(State(node): Shared) -> Answer<Value> {
    Answer(json!({ "id": node.id, "ready": node.is_ready() }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    /// The epoch at which the client knows the owner.
    epoch: Option<u64>,
}

async fn read(
    State(node): Shared,
    Path((region, id)): Path<(Id, Id)>,
    Query(named): Query<Named>,
) -> Result<Response, ApiError> {
    let key = Key { region, id };
    let Some(data) = node.data() else { return redirect(&node, &key).await };
    match data.read(&key, named.epoch) {
        Ok(served) => {
            let customer = served.answer;
            let body = json!({
                "node": node.id, "shard": served.shard, "epoch": served.epoch, "version": customer.calls.len(),
                "plan": customer.plan, "balance": customer.balance, "calls": customer.calls,
            });
            Ok(Answer(body).into_response())
        }
        Err(Elsewhere::Error(why)) => Err(why),
        Err(Elsewhere::Look) => redirect(&node, &key).await,
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewCall {
    request_id: Id,
    plan: String,
    cost: u64,
}

async fn put(
    State(node): Shared,
    Path((region, id)): Path<(Id, Id)>,
    Query(named): Query<Named>,
    Json(new): Json<NewCall>,
) -> Result<Response, ApiError> {
    let NewCall { request_id, plan, cost } = new;
    if plan.len() > PLAN_BYTES_MAX {
        return Err(ApiError::too_large(format!("the plan is longer than {PLAN_BYTES_MAX} bytes")));
    }
    if cost > COST_MAX {
        return Err(ApiError::malformed(format!("a call costs 0 to {COST_MAX} cents")));
    }
    let key = Key { region, id };
    let Some(data) = node.data() else { return redirect(&node, &key).await };
    let update = Update { plan, cost };
    let put = Put { key: key.clone(), epoch: named.epoch, request: request_id.into(), update };
    match data.put(put).await {
        Ok(served) => {
            let receipt = served.answer;
            let body = json!({
                "node": node.id, "shard": served.shard, "epoch": served.epoch, "version": receipt.version,
                "plan": receipt.update.plan, "balance": receipt.balance,
            });
            Ok(Answer(body).into_response())
        }
        Err(Elsewhere::Error(why)) => Err(why),
        Err(Elsewhere::Look) => redirect(&node, &key).await,
    }
}

/// Sends the client to the owner, as far as this node knows it; nothing was done.
async fn redirect(node: &Node, key: &Key) -> Result<Response, ApiError> {
    let table = node.table().await?;
    let owner = table.shard_of(key).ok_or_else(|| ApiError::unavailable("the customer has no owner"))?;
    if owner.node == node.id {
        return Err(ApiError::unavailable("this node is to serve the customer, and does not yet"));
    }
    let location = format!("http://{}/customers/{key}?epoch={}", owner.address, owner.epoch);
    let body = json!({
        "error": format!("{} serves the customer", owner.node), "definite": true, "location": location,
    });
    Ok((StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, location)], Answer(body)).into_response())
}

async fn routing(State(node): Shared) -> Result<Answer<Value>, ApiError> {
    node.ask(Ask::Routing).await.map(Answer)
}

async fn load(State(node): Shared) -> Result<Answer<Value>, ApiError> {
    node.ask(Ask::Load { passed_on: false }).await.map(Answer)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewNode {
    request_id: Id,
    id: Id,
}

async fn join(State(node): Shared, Json(new): Json<NewNode>) -> Result<Answer<Value>, ApiError> {
    let NewNode { request_id, id } = new;
    node.ask(Ask::Join { request_id: request_id.into(), node: id.into() }).await.map(Answer)
}

async fn tell(State(node): Shared, Json(tell): Json<Tell>) -> Result<Answer<Report>, ApiError> {
    Ok(Answer(node.data().ok_or_else(not_mine)?.told(tell).await?))
}

async fn rows(State(node): Shared, Json(of): Json<RowsOf>) -> Result<Answer<Page>, ApiError> {
    Ok(Answer(node.data().ok_or_else(not_mine)?.rows(&of)?))
}

async fn ask(State(node): Shared, Json(ask): Json<Ask>) -> Result<Answer<Result<Value, Failure>>, ApiError> {
    let Role::Metadata(metadata) = &node.role else { return Err(not_mine()) };
    let failure =
        |why: ApiError| Failure { status: why.status.as_u16(), error: why.reason, definite: why.definite };
    Ok(Answer(metadata.answer(ask).await.map_err(failure)))
}

fn not_mine() -> ApiError {
    ApiError::malformed("this node has another role")
}
