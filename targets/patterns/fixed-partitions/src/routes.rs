//! The node's HTTP: the contract of the workload `accounts`, and what nodes say to each other.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json as Answer, Router};
use ordeal_kit::{ApiError, Id, InFlight, Json, Path, Query, strict};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::book::{self, Account, Order};
use crate::bugs::Bug;
use crate::map::{Command, Part};
use crate::messages::{
    ASK, Ask, Asked, DECIDE, Decide, Decided, FINISH, Failure, Finish, HELLO, Known, LOOK, LookAt, MAP,
    OUTCOME, PREPARE, Prepare, Reply, STAGE, Seen, Shown, Stage, Vote, Which,
};
use crate::node::Node;
use crate::ownership;

/// The longest body of a client.
pub(crate) const BODY_BYTES_MAX: usize = 64 << 10;
/// The longest message between nodes: a whole partition.
pub(crate) const MESSAGE_BYTES_MAX: usize = 64 << 20;
/// Requests of clients at a time.
const REQUESTS_MAX: usize = 512;
/// Requests of other nodes at a time.
const MESSAGES_MAX: usize = 2048;
/// The largest balance of a new account, and the largest amount, in cents.
const AMOUNT_MAX: i64 = 1_000_000_000_000_000;
/// Accounts in one question.
const ACCOUNTS_MAX: usize = 1_000;

/// What clients and nodes ask.
pub(crate) fn router(node: &Arc<Node>) -> Router {
    let clients = Router::new()
        .route("/accounts", post(open))
        .route("/accounts/{id}", get(account))
        .route("/transfers", post(transfer))
        .route("/balances", get(balances))
        .route("/partitions", get(partitions))
        .route("/nodes", post(join))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX));
    let nodes = Router::new()
        .route(ASK, post(ask))
        .route(PREPARE, post(prepare))
        .route(FINISH, post(finish))
        .route(OUTCOME, post(outcome))
        .route(LOOK, post(look))
        .route(HELLO, post(hello))
        .route(STAGE, post(stage))
        .route(MAP, post(map))
        .route(DECIDE, post(decide))
        .layer(DefaultBodyLimit::max(MESSAGE_BYTES_MAX));
    let own = InFlight::new(REQUESTS_MAX)
        .around(clients)
        .merge(InFlight::new(MESSAGES_MAX).around(nodes))
        .with_state(Arc::clone(node));
    // A founder's health and status are those of its consensus.
    strict(match &node.atlas.consensus {
        Some(consensus) => own.merge(consensus.routes()),
        None => own.route("/health", get(health).with_state(Arc::clone(node))),
    })
}

type Shared = State<Arc<Node>>;

/// Only of a node that is no founder: it serves as soon as it runs, by way of the others.
async fn health(State(node): Shared) -> Answer<Value> {
    Answer(json!({ "id": node.names[node.own], "ready": true }))
}

/// An amount of money that is possible.
fn amount(cents: i64, least: i64) -> Result<i64, ApiError> {
    match (least..=AMOUNT_MAX).contains(&cents) {
        true => Ok(cents),
        false => Err(ApiError::malformed(format!("an amount is from {least} to {AMOUNT_MAX}"))),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewAccount {
    /// The account's own name makes a retry one and the same request.
    #[serde(rename = "request_id")]
    _request_id: Id,
    id: Id,
    balance: i64,
}

async fn open(State(node): Shared, Json(new): Json<NewAccount>) -> Result<Answer<Value>, ApiError> {
    let balance = amount(new.balance, 0)?;
    node.ask(Ask::Open { id: new.id, balance }).await.map(Answer)
}

async fn account(State(node): Shared, Path(id): Path<Id>) -> Result<Answer<Value>, ApiError> {
    node.ask(Ask::Read { id }).await.map(Answer)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewTransfer {
    request_id: Id,
    from: Id,
    to: Id,
    amount: i64,
}

async fn transfer(State(node): Shared, Json(new): Json<NewTransfer>) -> Result<Answer<Value>, ApiError> {
    let NewTransfer { request_id, from, to, amount: cents } = new;
    if from == to {
        return Err(ApiError::malformed("a transfer is between two accounts"));
    }
    let amount = amount(cents, 1)?;
    node.ask(Ask::Transfer(Order { request_id, from, to, amount })).await.map(Answer)
}

/// `ids=a1,a2`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Accounts {
    #[serde(default)]
    ids: String,
}

impl Accounts {
    fn read(&self) -> Result<Vec<Id>, ApiError> {
        let named = self.ids.split(',').filter(|id| !id.is_empty());
        let ids: Vec<Id> = named
            .map(str::parse)
            .collect::<Result<_, _>>()
            .map_err(|e: ordeal_kit::IdError| ApiError::malformed(e.to_string()))?;
        match ids.len() > ACCOUNTS_MAX {
            true => {
                Err(ApiError::too_large(format!("at most {ACCOUNTS_MAX} accounts can be asked for at once")))
            }
            false => Ok(ids),
        }
    }
}

#[derive(Serialize)]
struct BalancesAnswer {
    balances: BTreeMap<Id, Option<Account>>,
}

async fn balances(
    State(node): Shared,
    Query(accounts): Query<Accounts>,
) -> Result<Answer<BalancesAnswer>, ApiError> {
    let ids = accounts.read()?;
    if ids.is_empty() {
        return Err(ApiError::malformed("name at least one account: ids=a1,a2"));
    }
    Ok(Answer(BalancesAnswer { balances: node.balances(&ids).await? }))
}

#[derive(Serialize)]
struct PartitionsAnswer<'a> {
    partitions: Vec<PartitionAt<'a>>,
    nodes: Vec<&'a str>,
    accounts: BTreeMap<String, usize>,
}

#[derive(Serialize)]
struct PartitionAt<'a> {
    partition: usize,
    node: &'a str,
    epoch: u64,
}

async fn partitions(
    State(node): Shared,
    Query(accounts): Query<Accounts>,
) -> Result<Answer<Value>, ApiError> {
    let ids = accounts.read()?;
    let nobody = || ApiError::unavailable("the founders cannot say for certain");
    let map = node.atlas.certain().await.ok_or_else(nobody)?;
    let name = |at: usize| node.names[at].as_str();
    let owners = map.owners.iter().enumerate();
    let answer = PartitionsAnswer {
        partitions: owners
            .map(|(partition, owner)| PartitionAt { partition, node: name(owner.node), epoch: owner.epoch })
            .collect(),
        nodes: map.nodes.iter().map(|&at| name(at)).collect(),
        accounts: node.partitions_of(&ids, &map),
    };
    serde_json::to_value(answer).map(Answer).map_err(|e| ApiError::internal(e.to_string()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewNode {
    /// The node's own name makes a retry one and the same request.
    #[serde(rename = "request_id")]
    _request_id: Id,
    id: Id,
}

async fn join(State(node): Shared, Json(new): Json<NewNode>) -> Result<Answer<Value>, ApiError> {
    let place = node.names.iter().position(|name| name == new.id.as_str());
    let unknown = || ApiError::refused(StatusCode::NOT_FOUND, format!("{} is not among --peers", new.id));
    let deal_anew = node.bug == Some(Bug::AllPartitionsMoved);
    let command = Command::Join { node: place.ok_or_else(unknown)?, deal_anew };
    node.atlas.decide(Decide { request: format!("join-{}", new.id), command }).await?;
    Ok(Answer(json!({ "id": new.id })))
}

async fn ask(State(node): Shared, Json(asked): Json<Asked>) -> Answer<Reply> {
    Answer(node.answer(asked).await)
}

async fn prepare(State(node): Shared, Json(prepare): Json<Prepare>) -> Result<Answer<Vote>, ApiError> {
    Ok(Answer(node.prepare(prepare).await?))
}

async fn finish(State(node): Shared, Json(finish): Json<Finish>) -> Result<Answer<()>, ApiError> {
    Ok(Answer(node.finish(finish).await?))
}

async fn outcome(State(node): Shared, Json(which): Json<Which>) -> Result<Answer<Known>, ApiError> {
    Ok(Answer(book::outcome(&node.store.look()?, &which.tx)?))
}

async fn look(State(node): Shared, Json(at): Json<LookAt>) -> Result<Answer<Seen>, ApiError> {
    Ok(Answer(node.seen(&at)?))
}

async fn hello(Json(()): Json<()>) -> Answer<()> {
    Answer(())
}

async fn stage(State(node): Shared, Json(stage): Json<Stage>) -> Result<Answer<bool>, ApiError> {
    let Stage { part, attempt, rows: copied } = stage;
    let Part { partition, epoch } = part;
    let kept = node.store.step(move |rows| ownership::stage(rows, part, attempt, &copied)).await?;
    tracing::info!(partition, epoch, attempt, kept, "staged");
    Ok(Answer(kept))
}

async fn map(State(node): Shared) -> Answer<Shown> {
    Answer(match &node.atlas.consensus {
        Some(_) => node.atlas.certain().await,
        None => None,
    })
}

async fn decide(State(node): Shared, Json(decide): Json<Decide>) -> Answer<Decided> {
    Answer(match &node.atlas.consensus {
        Some(_) => node.atlas.decide(decide).await.map_err(Failure::from),
        None => Err(ApiError::malformed("this node is no founder").into()),
    })
}
