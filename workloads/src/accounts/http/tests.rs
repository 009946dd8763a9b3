//! The client against a server of the contract that answers from a script.

use axum::extract::{Path, Query};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use tokio::net::TcpListener;

use super::super::{Opening, Transfer};
use super::*;

type Answered = (StatusCode, Json<Value>);

fn account(id: &str, balance: i64) -> Value {
    json!({"id": id, "balance": balance, "version": 2})
}

fn refused(status: StatusCode, definite: bool) -> Answered {
    (status, Json(json!({"error": "no", "definite": definite})))
}

async fn open(Json(body): Json<Value>) -> Answered {
    assert_eq!(body, json!({"request_id": "o1", "id": body["id"], "balance": 5}));
    match body["id"].as_str().unwrap() {
        "taken" => refused(StatusCode::CONFLICT, true),
        id => (StatusCode::OK, Json(account(id, 5))),
    }
}

async fn transfer(Json(body): Json<Value>) -> Answered {
    let request = body["request_id"].as_str().unwrap().to_owned();
    assert_eq!(body, json!({"request_id": request, "from": "a1", "to": "a2", "amount": 7}));
    match &*request {
        "poor" => refused(StatusCode::CONFLICT, true),
        "cut-off" => refused(StatusCode::SERVICE_UNAVAILABLE, true),
        "late" => refused(StatusCode::GATEWAY_TIMEOUT, false),
        "garbled" => (StatusCode::OK, Json(json!({"from": {}}))),
        _ => (StatusCode::OK, Json(receipt(&request))),
    }
}

fn receipt(request: &str) -> Value {
    json!({"request_id": request, "amount": 7, "from": account("a1", 3), "to": account("a2", 17)})
}

async fn read(Path(id): Path<String>) -> Answered {
    match &*id {
        "nobody" => refused(StatusCode::NOT_FOUND, true),
        "locked" => refused(StatusCode::SERVICE_UNAVAILABLE, true),
        _ => (StatusCode::OK, Json(account(&id, 3))),
    }
}

type Asked = std::collections::BTreeMap<String, String>;

async fn balances(Query(query): Query<Asked>) -> Json<Value> {
    assert_eq!(query["ids"], "a1,nobody");
    Json(json!({"balances": {"a1": account("a1", 3), "nobody": null}}))
}

async fn partitions(Query(query): Query<Asked>) -> Json<Value> {
    assert_eq!(query["ids"], "a1,nobody");
    Json(map())
}

fn map() -> Value {
    let owned = json!([{"partition": 0, "node": "n1", "epoch": 1}]);
    json!({"partitions": owned, "nodes": ["n1"], "accounts": {"a1": 0, "nobody": 0}})
}

async fn client_of_script() -> Box<dyn Client> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new()
        .route("/accounts", post(open))
        .route("/accounts/{id}", get(read))
        .route("/transfers", post(transfer))
        .route("/balances", get(balances))
        .route("/partitions", get(partitions));
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    client(address)
}

fn moved(request: &str) -> AccountOp {
    let (from, to) = ("a1".to_owned(), "a2".to_owned());
    AccountOp::Transfer(Transfer { request_id: request.to_owned(), from, to, amount: 7 })
}

#[tokio::test]
async fn everything_is_asked_as_the_contract_says_and_the_answer_is_kept() {
    let mut client = client_of_script().await;
    let opened =
        |id: &str| AccountOp::Open(id.to_owned(), Opening { request_id: "o1".to_owned(), balance: 5 });
    let both = || vec!["a1".to_owned(), "nobody".to_owned()];
    let balances = json!({"balances": {"a1": account("a1", 3), "nobody": null}});
    for (op, expected) in [
        (opened("a1"), account("a1", 5)),
        (moved("t1"), receipt("t1")),
        (AccountOp::Read("a1".to_owned()), account("a1", 3)),
        (AccountOp::Read("nobody".to_owned()), Value::Null),
        (AccountOp::Balances(both()), balances.clone()),
        (AccountOp::Snapshot(both()), balances),
        (AccountOp::Partitions(both()), map()),
        (AccountOp::Wait(1), Value::Null),
    ] {
        assert_eq!(client.invoke(&op.clone().into()).await, Outcome::Ok(expected), "{op:?}");
    }
    let failed = |outcome: Outcome| matches!(outcome, Outcome::Fail(_));
    for op in [opened("taken"), moved("poor"), moved("cut-off"), AccountOp::Read("locked".to_owned())] {
        assert!(failed(client.invoke(&op.clone().into()).await), "{op:?}");
    }
    for op in [moved("late"), moved("garbled")] {
        assert!(matches!(client.invoke(&op.clone().into()).await, Outcome::Info(_)), "{op:?}");
    }
    let foreign = Op { f: "withdraw".into(), key: None, value: Value::Null };
    assert!(failed(client.invoke(&foreign).await));
}
