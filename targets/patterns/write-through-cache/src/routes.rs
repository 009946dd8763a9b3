//! The node's HTTP: the contract of the workload `scores`, and what nodes say to each other.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, State};
use axum::routing::{get, post, put};
use axum::{Json as Answer, Router};
use ordeal_kit::{ApiError, Id, InFlight, Json, Path, Query, strict};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::DATABASE;
use crate::cache::{Cache, refused};
use crate::database::Database;
use crate::leases::Holder;
use crate::messages::{
    AskEvents, AskLease, AskRead, AskWrite, EVENTS, Events, Found, Granted, INVALIDATE, Invalidate, LEASE,
    MESSAGE_BYTES_MAX, READ, Refusal, WRITE,
};
use crate::score::{Event, Score, Standing};

/// The longest body of a client.
pub(crate) const BODY_BYTES_MAX: usize = 64 << 10;
/// The longest text of an event, in bytes.
const EVENT_BYTES_MAX: usize = 1_000;
/// The highest score of a side.
const GOALS_MAX: u32 = 1_000_000;
/// Events in one answer.
const EVENTS_MAX: usize = 1_000;
/// Requests of clients at a time.
const REQUESTS_MAX: usize = 1024;
/// Requests of other nodes at a time.
const MESSAGES_MAX: usize = 4096;

/// What a node is.
#[derive(Clone)]
pub(crate) enum Role {
    Database(Arc<Database>),
    Cache(Arc<Cache>),
}

/// What the routes need.
pub(crate) struct Node {
    pub(crate) id: String,
    pub(crate) role: Role,
}

/// All routes.
pub(crate) fn router(node: Node) -> Router {
    let among_nodes = match &node.role {
        Role::Database(database) => database_routes(Arc::clone(database)),
        Role::Cache(cache) => cache_routes(Arc::clone(cache)),
    };
    let among_nodes = among_nodes.layer(DefaultBodyLimit::max(MESSAGE_BYTES_MAX));
    let clients = Router::new()
        .route("/matches/{id}", get(standing))
        .route("/matches/{id}/score", put(write))
        .route("/matches/{id}/events", get(events))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX));
    let router = Router::new()
        .route("/health", get(health))
        .merge(InFlight::new(REQUESTS_MAX).around(clients))
        .with_state(Arc::new(node))
        .merge(InFlight::new(MESSAGES_MAX).around(among_nodes));
    strict(router)
}

async fn health(State(node): State<Arc<Node>>) -> Answer<Value> {
    let leads = matches!(node.role, Role::Database(_));
    Answer(json!({ "id": node.id, "ready": true, "leads": leads }))
}

/// Whose copy is asked for.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Source {
    #[default]
    Any,
    Database,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReadQuery {
    #[serde(default)]
    from: Source,
}

#[derive(Serialize)]
struct ReadAnswer {
    #[serde(flatten)]
    standing: Standing,
    hit: bool,
}

async fn standing(
    State(node): State<Arc<Node>>,
    Path(of): Path<Id>,
    Query(query): Query<ReadQuery>,
) -> Result<Answer<ReadAnswer>, ApiError> {
    let (standing, hit) = match (&node.role, query.from) {
        (Role::Database(database), _) => (database.store.standing(&of)?, false),
        (Role::Cache(cache), Source::Any) => cache.read(of).await?,
        (Role::Cache(cache), Source::Database) => (cache.read_database(of).await?, false),
    };
    Ok(Answer(ReadAnswer { standing, hit }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Write {
    request_id: Id,
    home: u32,
    away: u32,
    event: String,
}

async fn write(
    State(node): State<Arc<Node>>,
    Path(of): Path<Id>,
    Json(write): Json<Write>,
) -> Result<Answer<Standing>, ApiError> {
    let Write { request_id, home, away, event } = write;
    if home.max(away) > GOALS_MAX {
        return Err(ApiError::malformed(format!("a side has at most {GOALS_MAX} goals")));
    }
    if event.is_empty() || event.len() > EVENT_BYTES_MAX {
        return Err(ApiError::malformed(format!("an event is told in 1 to {EVENT_BYTES_MAX} bytes")));
    }
    let score = Score { home, away, event };
    let standing = match &node.role {
        Role::Cache(cache) => cache.write(of, request_id, score).await?,
        Role::Database(database) => {
            let holder = Holder { cache: DATABASE, session: None };
            let written = database.write(AskWrite { of, request_id, score, holder }).await?;
            written.map_err(refused)?.standing
        }
    };
    Ok(Answer(standing))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EventsQuery {
    #[serde(default)]
    from: u64,
}

#[derive(Serialize)]
struct EventsAnswer {
    events: Vec<Event>,
    /// Where to go on; null if these were the last.
    next: Option<u64>,
}

async fn events(
    State(node): State<Arc<Node>>,
    Path(of): Path<Id>,
    Query(EventsQuery { from }): Query<EventsQuery>,
) -> Result<Answer<EventsAnswer>, ApiError> {
    let ask = AskEvents { of, from, limit: EVENTS_MAX };
    let events = match &node.role {
        Role::Database(database) => database.events(&ask)?,
        Role::Cache(cache) => cache.events(&ask).await?,
    };
    let more = events.len() == EVENTS_MAX;
    let next = events.last().filter(|_| more).map(|last| last.sequence + 1);
    Ok(Answer(EventsAnswer { events, next }))
}

fn database_routes(database: Arc<Database>) -> Router {
    Router::new()
        .route(LEASE, post(lease))
        .route(READ, post(read_for_cache))
        .route(WRITE, post(write_for_cache))
        .route(EVENTS, post(events_for_cache))
        .with_state(database)
}

async fn lease(
    State(database): State<Arc<Database>>,
    Json(ask): Json<AskLease>,
) -> Result<Answer<Granted>, ApiError> {
    database.known(ask.cache)?;
    Ok(Answer(database.lease(&ask)))
}

async fn read_for_cache(
    State(database): State<Arc<Database>>,
    Json(ask): Json<AskRead>,
) -> Result<Answer<Found>, ApiError> {
    database.known(ask.holder.cache)?;
    Ok(Answer(database.read(&ask)?))
}

async fn write_for_cache(
    State(database): State<Arc<Database>>,
    Json(ask): Json<AskWrite>,
) -> Result<Answer<Result<Found, Refusal>>, ApiError> {
    database.known(ask.holder.cache)?;
    Ok(Answer(database.write(ask).await?))
}

async fn events_for_cache(
    State(database): State<Arc<Database>>,
    Json(ask): Json<AskEvents>,
) -> Result<Answer<Events>, ApiError> {
    Ok(Answer(database.events(&ask)?))
}

fn cache_routes(cache: Arc<Cache>) -> Router {
    Router::new().route(INVALIDATE, post(invalidate)).with_state(cache)
}

async fn invalidate(State(cache): State<Arc<Cache>>, Json(message): Json<Invalidate>) -> Answer<()> {
    cache.invalidate(&message);
    Answer(())
}
