//! The client against a server of the contract that answers from a script.

use std::collections::BTreeMap;

use axum::extract::{Path, Query};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::Value;
use tokio::net::TcpListener;

use super::*;
use crate::orders::{Event, What};

type Answered = (StatusCode, Json<Value>);

fn event(id: &str) -> Event {
    let what = What::Order { sku: "p1".to_owned(), quantity: 2, price: 100 };
    Event {
        id: id.to_owned(),
        source: "s1".to_owned(),
        timestamp: 7,
        depends_on: vec!["m1".to_owned()],
        what,
    }
}

fn refused(status: StatusCode, definite: bool) -> Answered {
    (status, Json(json!({"error": "no", "definite": definite})))
}

async fn send(Json(body): Json<Value>) -> Answered {
    let id = body["id"].as_str().unwrap().to_owned();
    let expected = json!({"id": id, "source": "s1", "timestamp": 7, "depends_on": ["m1"], "kind": "order",
        "sku": "p1", "quantity": 2, "price": 100});
    assert_eq!(body, expected);
    match &*id {
        "full" => refused(StatusCode::TOO_MANY_REQUESTS, true),
        "other" => refused(StatusCode::CONFLICT, true),
        "failing" => refused(StatusCode::GATEWAY_TIMEOUT, false),
        "garbled" => (StatusCode::OK, Json(json!({"status": "accepted"}))),
        "late" => {
            (StatusCode::OK, Json(json!({"id": id, "status": "late", "watermark": 9, "reason": "too late"})))
        }
        _ => (StatusCode::OK, Json(json!({"id": id, "status": "accepted", "watermark": 5}))),
    }
}

fn confirmed() -> Value {
    json!({"status": "confirmed", "price": 150, "promotion": "m1", "reason": null})
}

async fn order(Path(id): Path<String>) -> Json<Value> {
    let mut order = confirmed();
    order["order"] = json!(id);
    order["position"] = json!(1);
    Json(order)
}

async fn stock(Path(sku): Path<String>) -> Json<Value> {
    Json(json!({"sku": sku, "level": 3, "processed": 2}))
}

fn step(position: u64) -> Value {
    json!({"position": position, "event": event("o1"), "outcome": confirmed()})
}

async fn processed(Query(query): Query<BTreeMap<String, u64>>) -> Json<Value> {
    let from = query["from"];
    let next = if from == 0 { json!(1) } else { Value::Null };
    assert!(query.get("limit").is_none_or(|limit| *limit == POLLED));
    Json(json!({"node": "n1", "from": from, "next": next, "events": [step(from)]}))
}

async fn status() -> Json<Value> {
    Json(
        json!({"node": "n1", "watermark": 5, "buffered": 1, "capacity": 9, "window_ms": 10, "idle_ms": 3, "accepted": 4}),
    )
}

async fn client_of_script() -> Box<dyn Client> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new()
        .route("/events", post(send))
        .route("/orders/{id}", get(order))
        .route("/stock/{sku}", get(stock))
        .route("/processed", get(processed))
        .route("/status", get(status));
    tokio::spawn(async move { axum::serve(listener, router).await });
    client(address)
}

#[tokio::test]
async fn answers_are_read_as_the_contract_says() {
    let mut client = client_of_script().await;
    let mut read = confirmed();
    read["order"] = json!("o1");
    read["position"] = json!(1);
    let cases = [
        (OrderOp::Send(event("o1")), json!({"id": "o1", "status": "accepted", "watermark": 5})),
        (OrderOp::Send(event("late")), json!({"id": "late", "status": "late", "watermark": 9})),
        (OrderOp::Order("p1".to_owned(), "o1".to_owned()), read),
        (OrderOp::Stock("p1".to_owned()), json!({"sku": "p1", "level": 3, "processed": 2})),
        (OrderOp::Processed(4), json!({"node": "n1", "events": [step(4)]})),
        (OrderOp::Sequence, json!({"node": "n1", "events": [step(0), step(1)]})),
        (
            OrderOp::Status,
            json!({"node": "n1", "watermark": 5, "buffered": 1, "capacity": 9, "window_ms": 10, "idle_ms": 3}),
        ),
        (OrderOp::Wait(1), Value::Null),
    ];
    for (op, answer) in cases {
        assert_eq!(client.invoke(&op.into()).await, Outcome::Ok(answer));
    }
}

#[tokio::test]
async fn refusals_are_definite_and_failures_are_not() {
    let mut client = client_of_script().await;
    for (id, definite) in [("full", true), ("other", true), ("failing", false), ("garbled", false)] {
        let outcome = client.invoke(&OrderOp::Send(event(id)).into()).await;
        let as_said = match definite {
            true => matches!(outcome, Outcome::Fail(_)),
            false => matches!(outcome, Outcome::Info(_)),
        };
        assert!(as_said, "{id}: {outcome:?}");
    }
}
