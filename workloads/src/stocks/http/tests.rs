//! The client against a server of the contract that answers from a script.

use axum::extract::{Path, Query};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use tokio::net::TcpListener;

use super::*;

type Answer = (StatusCode, Json<Value>);

fn ok(body: Value) -> Answer {
    (StatusCode::OK, Json(body))
}

fn refused(status: StatusCode, definite: bool) -> Answer {
    (status, Json(json!({"error": "no", "definite": definite})))
}

async fn acquire(Path(symbol): Path<String>) -> Answer {
    match &*symbol {
        "held" => refused(StatusCode::CONFLICT, true),
        "slow" => refused(StatusCode::GATEWAY_TIMEOUT, false),
        _ => ok(json!({"holder": "n4", "token": 7, "expires_in_ms": 900})),
    }
}

async fn renew(Json(body): Json<Value>) -> Answer {
    assert_eq!(body, json!({"token": 7}));
    ok(json!({"holder": "n4", "token": 7, "expires_in_ms": 900}))
}

async fn release(Json(body): Json<Value>) -> Answer {
    ok(json!({"released": body["token"]}))
}

async fn lookup(Path(symbol): Path<String>) -> Answer {
    match &*symbol {
        "free" => ok(json!({"holder": null, "token": null})),
        "garbled" => ok(json!({})),
        _ => ok(json!({"holder": "n4", "token": 7})),
    }
}

async fn update(Json(body): Json<Value>) -> Answer {
    assert_eq!(body, json!({"request_id": "u12", "price": 12, "token": 7}));
    ok(json!({"token": 7}))
}

async fn read(Query(query): Query<Vec<(String, String)>>) -> Answer {
    assert_eq!(query.len(), 1);
    match &*query[0].1 {
        "strong" => ok(json!({"token": 7, "price": 12})),
        _ => ok(json!({"token": 7, "price": null})),
    }
}

async fn audit(Path(symbol): Path<String>, Query(query): Query<Vec<(String, u64)>>) -> Answer {
    let entry =
        |position: u64| json!({"position": position, "token": 7, "price": position + 1, "request_id": "r"});
    let from = query[0].1;
    match (&*symbol, from) {
        (_, 0) => ok(json!({"entries": [entry(0), entry(1)]})),
        ("gap", 2) => ok(json!({"entries": [entry(3)]})),
        (_, 2) => ok(json!({"entries": [entry(2)]})),
        _ => ok(json!({"entries": []})),
    }
}

async fn client_of_script() -> Box<dyn Client> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new()
        .route("/leases/{symbol}", post(acquire).put(renew).delete(release).get(lookup))
        .route("/prices/{symbol}", get(read).put(update))
        .route("/audit/{symbol}", get(audit));
    tokio::spawn(async move { axum::serve(listener, router).await });
    client(address)
}

#[tokio::test]
async fn answers_are_read_as_the_contract_says() {
    let mut client = client_of_script().await;
    let cases = [
        (StockOp::Acquire, json!(7)),
        (StockOp::Renew(7), json!(7)),
        (StockOp::Release(7), json!(7)),
        (StockOp::Lookup, json!([7, "n4"])),
        (StockOp::Update { token: 7, price: 12 }, json!([7, 12])),
        (StockOp::Read, json!([7, 12])),
        (StockOp::ReadLocal, Value::Null),
        (StockOp::Audit, json!([[7, 1], [7, 2], [7, 3]])),
    ];
    for (asked, answer) in cases {
        assert_eq!(client.invoke(&asked.on("s1".to_owned())).await, Outcome::Ok(answer));
    }
    assert_eq!(client.invoke(&StockOp::Lookup.on("free".to_owned())).await, Outcome::Ok(Value::Null));
}

#[tokio::test]
async fn refusals_are_definite_and_timeouts_are_not() {
    let mut client = client_of_script().await;
    let held = client.invoke(&StockOp::Acquire.on("held".to_owned())).await;
    assert!(matches!(held, Outcome::Fail(_)), "{held:?}");
    let slow = client.invoke(&StockOp::Acquire.on("slow".to_owned())).await;
    assert!(matches!(slow, Outcome::Info(_)), "{slow:?}");
    for (asked, symbol) in [(StockOp::Lookup, "garbled"), (StockOp::Audit, "gap")] {
        let unread = client.invoke(&asked.on(symbol.to_owned())).await;
        assert!(matches!(unread, Outcome::Fail(_)), "{unread:?}");
    }
}
