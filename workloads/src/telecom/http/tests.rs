//! The client against servers of the contract that answer from a script.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::Value;
use tokio::net::TcpListener;

use super::*;

type Answered = (StatusCode, Json<Value>);

/// A node: its name, where the other one is, and how often it was asked.
struct Script {
    node: &'static str,
    other: Option<SocketAddr>,
    owner: SocketAddr,
    asked: AtomicUsize,
}

fn refused(status: StatusCode, definite: bool) -> Answered {
    (status, Json(json!({"error": "no", "definite": definite})))
}

impl Script {
    fn answer(&self, id: &str, epoch: Option<u64>, done: Value) -> Answered {
        let times = self.asked.fetch_add(1, Ordering::Relaxed);
        if let Some(other) = self.other {
            let location = format!("http://{other}/customers/r1/{id}?epoch=7");
            let body = json!({"error": "elsewhere", "definite": true, "location": location});
            return (StatusCode::TEMPORARY_REDIRECT, Json(body));
        }
        match id {
            "stale" if epoch != Some(7) => refused(StatusCode::MISDIRECTED_REQUEST, true),
            "moving" if times < 2 => refused(StatusCode::SERVICE_UNAVAILABLE, true),
            "gone" => refused(StatusCode::SERVICE_UNAVAILABLE, true),
            "failing-once" if times == 0 => refused(StatusCode::INTERNAL_SERVER_ERROR, false),
            "failing" => refused(StatusCode::INTERNAL_SERVER_ERROR, false),
            "reused" => refused(StatusCode::CONFLICT, true),
            _ => (StatusCode::OK, Json(done)),
        }
    }

    fn by(&self) -> Value {
        json!({"node": self.node, "shard": 3, "epoch": 7, "version": 2, "plan": "p5", "balance": -9})
    }
}

type Epoch = Query<BTreeMap<String, u64>>;

async fn read(
    State(script): State<Arc<Script>>,
    Path((_, id)): Path<(String, String)>,
    Query(query): Epoch,
) -> Answered {
    let mut customer = script.by();
    customer["calls"] = json!([{"id": "c4", "cost": 2}, {"id": "c5", "cost": 7}]);
    script.answer(&id, query.get("epoch").copied(), customer)
}

async fn put(
    State(script): State<Arc<Script>>,
    Path((_, id)): Path<(String, String)>,
    Query(query): Epoch,
    Json(body): Json<Value>,
) -> Answered {
    assert_eq!(body, json!({"request_id": "c5", "plan": "p5", "cost": 7}));
    script.answer(&id, query.get("epoch").copied(), script.by())
}

async fn routing(State(script): State<Arc<Script>>) -> Json<Value> {
    let shard = |from: Option<&str>, to: Option<&str>, address: SocketAddr| json!({"shard": 3, "from": from, "to": to, "node": "n4", "address": address, "epoch": 7});
    let shards = [shard(None, Some("r1/b"), script.owner), shard(Some("r1/b"), None, script.owner)];
    Json(json!({"epoch": 9, "shards": shards, "nodes": ["n4"], "moves": 1}))
}

async fn load() -> Json<Value> {
    let shard = json!({"shard": 3, "epoch": 7, "state": "owned", "customers": 2, "rate": 1.5});
    let node = json!({"node": "n4", "capacity": 150, "rate": 1.5, "age_ms": 3, "shards": [shard]});
    Json(json!({"epoch": 9, "nodes": [node]}))
}

async fn serve(
    node: &'static str,
    listener: TcpListener,
    other: Option<SocketAddr>,
    owner: SocketAddr,
) -> Arc<Script> {
    let script = Arc::new(Script { node, other, owner, asked: AtomicUsize::new(0) });
    let router = Router::new()
        .route("/customers/{region}/{id}", get(read).put(put))
        .route("/routing", get(routing))
        .route("/load", get(load))
        .with_state(Arc::clone(&script));
    tokio::spawn(async move { axum::serve(listener, router).await });
    script
}

/// The client's own node, which sends it on, and the owner.
async fn cluster() -> (Box<dyn Client>, Arc<Script>, Arc<Script>) {
    let own = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let owner = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (base, to) = (own.local_addr().unwrap(), owner.local_addr().unwrap());
    let own = serve("n1", own, Some(to), to).await;
    (client(base), own, serve("n4", owner, None, to).await)
}

fn new_call(id: &str) -> TelecomOp {
    TelecomOp::Put { customer: format!("r1/{id}"), request: 5, cost: 7 }
}

fn done() -> Value {
    json!({"node": "n4", "shard": 3, "epoch": 7, "version": 2, "plan": "p5", "balance": -9})
}

fn found() -> Value {
    json!({"node": "n4", "shard": 3, "epoch": 7, "version": 2, "plan": "p5", "balance": -9, "calls": [4, 5]})
}

#[tokio::test]
async fn answers_are_read_as_the_contract_says() {
    let (mut client, own, _) = cluster().await;
    let shard =
        |from: Value, to: Value| json!({"shard": 3, "from": from, "to": to, "node": "n4", "epoch": 7});
    let shards = json!([shard(Value::Null, json!("r1/b")), shard(json!("r1/b"), Value::Null)]);
    let held = json!({"shard": 3, "epoch": 7, "state": "owned", "customers": 2, "rate": 1.5});
    let load =
        json!({"nodes": [{"node": "n4", "capacity": 150.0, "rate": 1.5, "age_ms": 3, "shards": [held]}]});
    let visited = json!({"served": {"n4": 2}, "unserved": 1});
    let visits = ["r1/a", "r1/b", "r1/gone"].map(str::to_owned).to_vec();
    let cases = [
        (new_call("a"), done()),
        (TelecomOp::Again { customer: "r1/a".to_owned(), request: 5, cost: 7 }, done()),
        (TelecomOp::Read("r1/b".to_owned()), found()),
        (TelecomOp::FinalRead("r1/a".to_owned()), found()),
        (TelecomOp::Routing, json!({"epoch": 9, "shards": shards, "nodes": ["n4"]})),
        (TelecomOp::Load, load),
        (TelecomOp::Visit(0, visits), visited),
    ];
    for (op, answer) in cases {
        assert_eq!(client.invoke(&op.into()).await, Outcome::Ok(answer));
    }
    assert_eq!(own.asked.load(Ordering::Relaxed), 0, "the table says who is to be asked");
    client.invoke(&TelecomOp::Read("r1/a".to_owned()).into()).await;
    assert_eq!(
        own.asked.load(Ordering::Relaxed),
        1,
        "every eighth time it asks its own node, and is sent on"
    );
    let nobody = client.invoke(&TelecomOp::FinalRead("r1/gone".to_owned()).into()).await;
    assert_eq!(nobody, Outcome::Ok(Value::Null));
}

#[tokio::test]
async fn what_passes_is_asked_for_again_and_what_is_in_doubt_stays_so() {
    for (id, wanted) in [("stale", true), ("moving", true), ("failing-once", true)] {
        let (mut client, _, _) = cluster().await;
        assert_eq!(client.invoke(&new_call(id).into()).await == Outcome::Ok(done()), wanted, "{id}");
    }
    for (id, definite, attempts) in [("gone", true, ATTEMPTS_MAX), ("reused", true, 1), ("failing", false, 2)]
    {
        let (mut client, _, owner) = cluster().await;
        let outcome = client.invoke(&new_call(id).into()).await;
        assert_eq!(matches!(outcome, Outcome::Fail(_)), definite, "{id}: {outcome:?}");
        assert_eq!(matches!(outcome, Outcome::Info(_)), !definite, "{id}: {outcome:?}");
        assert_eq!(owner.asked.load(Ordering::Relaxed), attempts, "{id}");
    }
    let (mut client, _, _) = cluster().await;
    let outcome = client.invoke(&TelecomOp::Read("r1/failing".to_owned()).into()).await;
    assert!(matches!(outcome, Outcome::Fail(_)), "{outcome:?}");
}

#[tokio::test]
async fn where_nobody_listens_nothing_was_done() {
    let mut client = client("127.0.0.1:9".parse().unwrap());
    for op in [new_call("a"), TelecomOp::Routing] {
        assert!(matches!(client.invoke(&op.into()).await, Outcome::Fail(_)));
    }
}
