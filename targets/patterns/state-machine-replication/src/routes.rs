//! The node's HTTP for clients: the contract of the workload `iot`.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, State as Node};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json as Answer, Router};
use ordeal_kit::{ApiError, Id, InFlight, Json, Path, Query};
use ordeal_raft::Consensus;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::factory::{Action, Command, Event, Factory, Page, Transition, Trimmed};
use crate::gate::Gate;
use crate::rules::{Kind, State, thousandths};
use crate::stream;

/// The longest body of a client.
const BODY_BYTES_MAX: usize = 16 << 10;
/// Requests of clients at a time.
const REQUESTS_MAX: usize = 512;
/// Machines in the factory.
const MACHINES_MAX: usize = 10_000;
/// Items on a page, at most, and unless asked otherwise.
const PAGE_MAX: usize = 1_000;

/// What the routes need.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) consensus: Consensus<Factory>,
    pub(crate) gate: Arc<Gate>,
    pub(crate) streams: stream::Streams,
}

/// The routes of clients, closed until the gate is open.
pub(crate) fn router(shared: Shared) -> Router {
    let gate = Arc::clone(&shared.gate);
    let routes = Router::new()
        .route("/machines/{id}", get(machine))
        .route("/machines/{id}/readings", post(reading))
        .route("/machines/{id}/reset", post(reset))
        .route("/log", get(log))
        .route("/events", get(events))
        .route("/events/stream", get(stream::stream))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(shared);
    InFlight::new(REQUESTS_MAX).around(Gate::around(gate, routes))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewReading {
    request_id: Id,
    sensor: Id,
    kind: Kind,
    value: f64,
}

async fn reading(
    Node(node): Node<Shared>,
    Path(machine): Path<Id>,
    Json(new): Json<NewReading>,
) -> Result<Answer<Done>, ApiError> {
    let NewReading { request_id, sensor, kind, value } = new;
    let value = thousandths(value).map_err(ApiError::malformed)?;
    propose(&node, request_id, machine, Action::Reading { sensor: sensor.into(), kind, value }).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewReset {
    request_id: Id,
}

async fn reset(
    Node(node): Node<Shared>,
    Path(machine): Path<Id>,
    Json(new): Json<NewReset>,
) -> Result<Answer<Done>, ApiError> {
    propose(&node, new.request_id, machine, Action::Reset).await
}

/// A machine after a transition.
#[derive(Serialize)]
struct Done {
    machine: String,
    state: State,
    index: u64,
    term: u64,
}

async fn propose(
    node: &Shared,
    request_id: Id,
    machine: Id,
    action: Action,
) -> Result<Answer<Done>, ApiError> {
    let command = Command { request_id: request_id.into(), machine: machine.into(), action };
    if !node.consensus.local(|factory| factory.has_room(&command.machine, MACHINES_MAX)) {
        return Err(ApiError::too_large(format!("the factory has {MACHINES_MAX} machines already")));
    }
    let done = node.consensus.propose(&command.request_id, &command).await?.answer;
    if (&done.machine, &done.action) != (&command.machine, &command.action) {
        return Err(ApiError::conflict(format!("{} was used for something else", command.request_id)));
    }
    let Transition { machine, after, index, term, .. } = done;
    Ok(Answer(Done { machine, state: after, index, term }))
}

async fn machine(Node(node): Node<Shared>, Path(id): Path<Id>) -> Result<Answer<Value>, ApiError> {
    let standing = node.consensus.read(|factory| factory.machine(id.as_str())).await?;
    Ok(Answer(json!({ "machine": id, "state": standing.state, "index": standing.index })))
}

/// How sure a page must be.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Consistency {
    /// What this node has applied.
    #[default]
    Local,
    /// Everything that was acknowledged before it was asked for.
    Strong,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PageQuery {
    from: Option<u64>,
    limit: Option<usize>,
    #[serde(default)]
    consistency: Consistency,
}

impl PageQuery {
    fn limit(&self) -> Result<usize, ApiError> {
        let limit = self.limit.unwrap_or(PAGE_MAX);
        let ok = (1..=PAGE_MAX).contains(&limit);
        ok.then_some(limit).ok_or_else(|| ApiError::malformed(format!("a limit is from 1 to {PAGE_MAX}")))
    }

    async fn look<T>(&self, node: &Shared, look: impl FnOnce(&Factory) -> T) -> Result<T, ApiError> {
        match self.consistency {
            Consistency::Local => Ok(node.consensus.local(look)),
            Consistency::Strong => Ok(node.consensus.read(look).await?),
        }
    }
}

/// 410: what was asked for is kept no more.
pub(crate) fn gone(trimmed: Trimmed) -> ApiError {
    ApiError::refused(StatusCode::GONE, format!("the oldest that is kept is {}", trimmed.oldest))
}

async fn log(Node(node): Node<Shared>, Query(query): Query<PageQuery>) -> Result<Answer<Value>, ApiError> {
    let limit = query.limit()?;
    let page = query.look(&node, |factory| factory.log(query.from, limit)).await?;
    let Page { from, next, applied, items } = page.map_err(gone)?;
    Ok(Answer(json!({ "from": from, "next": next, "applied": applied, "entries": items })))
}

async fn events(Node(node): Node<Shared>, Query(query): Query<PageQuery>) -> Result<Answer<Value>, ApiError> {
    let limit = query.limit()?;
    let page = query.look(&node, |factory| node.published(factory, query.from, limit)).await?;
    let Page { from, next, applied, items } = page.map_err(gone)?;
    Ok(Answer(json!({ "from": from, "next": next, "applied": applied, "events": items })))
}

impl Shared {
    /// A page of the event stream.
    pub(crate) fn published(
        &self,
        factory: &Factory,
        from: Option<u64>,
        limit: usize,
    ) -> Result<Page<Event>, Trimmed> {
        let mut page = factory.events(from, limit)?;
        if let Some(skipped) = self.gate.skipped() {
            page.items.retain(|event| event.number > skipped);
        }
        Ok(page)
    }
}
