//! The client against a server of the contract that answers from a script.

use axum::extract::{Path, Query};
use axum::http::StatusCode;
use axum::routing::{get, post, put};
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

fn done() -> Value {
    json!({"warehouse": "n1", "number": 3, "vector": {"n1": 3, "n2": 1}, "level": -4})
}

fn sibling() -> Value {
    json!({"warehouse": "n1", "number": 2, "request_id": "r7", "counted": 9, "vector": {"n1": 2}})
}

async fn move_stock(Path(sku): Path<String>, Json(body): Json<Value>) -> Answer {
    assert_eq!(body, json!({"request_id": "r12", "delta": -4}));
    match &*sku {
        "stopping" => refused(StatusCode::SERVICE_UNAVAILABLE, true),
        "failing" => refused(StatusCode::INTERNAL_SERVER_ERROR, false),
        "garbled" => ok(json!({"level": 3})),
        _ => ok(done()),
    }
}

async fn count(Json(body): Json<Value>) -> Answer {
    assert_eq!(body, json!({"request_id": "r13", "level": 9}));
    ok(done())
}

async fn stock(Path(sku): Path<String>) -> Answer {
    let mut shown = sibling();
    // Not kept.
    shown["counted_at_ms"] = json!(5);
    match &*sku {
        "garbled" => ok(json!({"level": 3, "vector": {}})),
        "p1" => {
            let rule = json!({"kind": "priority", "warehouse": "n1"});
            ok(json!({"level": 9, "vector": {"n1": 2}, "rule": rule, "siblings": [shown]}))
        }
        _ => ok(json!({"level": 0, "vector": {}, "rule": {"kind": "merge"}, "siblings": []})),
    }
}

async fn conflicts(Query(query): Query<Vec<(String, u64)>>) -> Answer {
    let takes = |a: u64, b: u64| json!([{"warehouse": "n1", "number": a}, {"warehouse": "n2", "number": b}]);
    match query[0].1 {
        0 => ok(json!({"conflicts": [{"sku": "m0", "stock_takes": takes(1, 2)}], "next": 1})),
        _ => ok(json!({"conflicts": [{"sku": "m0", "stock_takes": takes(3, 4)}], "next": null})),
    }
}

async fn client_of_script() -> Box<dyn Client> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new()
        .route("/stock/{sku}", get(stock))
        .route("/stock/{sku}/movements", post(move_stock))
        .route("/stock/{sku}/count", put(count))
        .route("/conflicts", get(conflicts));
    tokio::spawn(async move { axum::serve(listener, router).await });
    client(address)
}

fn movement(sku: &str) -> Op {
    InventoryOp::Move { sku: sku.to_owned(), delta: -4, request: 12 }.into()
}

fn read(sku: &str) -> Op {
    InventoryOp::Read { sku: sku.to_owned() }.into()
}

#[tokio::test]
async fn answers_are_read_as_the_contract_says() {
    let mut client = client_of_script().await;
    let empty = json!({"level": 0, "vector": {}, "rule": {"kind": "merge"}, "siblings": []});
    let rule = json!({"kind": "priority", "warehouse": "n1"});
    let counted = json!({"level": 9, "vector": {"n1": 2}, "rule": rule, "siblings": [sibling()]});
    let cases: [(Op, Value); 6] = [
        (movement("m0"), done()),
        (InventoryOp::Count { sku: "m0".to_owned(), level: 9, request: 13 }.into(), done()),
        (read("m0"), empty),
        (read("p1"), counted),
        (InventoryOp::Conflicts.into(), json!({"m0": [[["n1", 1], ["n2", 2]], [["n1", 3], ["n2", 4]]]})),
        (InventoryOp::Wait(1).into(), Value::Null),
    ];
    for (op, answer) in cases {
        assert_eq!(client.invoke(&op).await, Outcome::Ok(answer));
    }
}

#[tokio::test]
async fn refusals_are_definite_and_failures_are_not() {
    let mut client = client_of_script().await;
    assert!(matches!(client.invoke(&movement("stopping")).await, Outcome::Fail(_)));
    assert!(matches!(client.invoke(&movement("failing")).await, Outcome::Info(_)));
    assert!(matches!(client.invoke(&movement("garbled")).await, Outcome::Info(_)), "it was done, but what?");
    assert!(matches!(client.invoke(&read("garbled")).await, Outcome::Fail(_)));
}
