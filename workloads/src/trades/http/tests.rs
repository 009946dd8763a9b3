//! The client against a server of the contract that answers from a script.

use axum::extract::{Path, Query};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use tokio::net::TcpListener;

use super::*;

type Answered = (StatusCode, Json<Value>);

fn details() -> Details {
    Details { price: 7, volume: 10, counterparty: "p1".to_owned() }
}

fn trade(name: &str, status: &str, details: Option<&Details>) -> Value {
    json!({"correlation_id": name, "status": status, "details": details})
}

fn refused(status: StatusCode, definite: bool) -> Answered {
    (status, Json(json!({"error": "no", "definite": definite})))
}

fn answered(name: &str) -> Answered {
    match name {
        "other-details" => refused(StatusCode::CONFLICT, true),
        "no-majority" => refused(StatusCode::SERVICE_UNAVAILABLE, true),
        "failing" => refused(StatusCode::INTERNAL_SERVER_ERROR, false),
        "garbled" => (StatusCode::OK, Json(json!({"status": "confirmed"}))),
        "slow" => (StatusCode::ACCEPTED, Json(trade(name, "pending", Some(&details())))),
        _ => (StatusCode::OK, Json(trade(name, "confirmed", Some(&details())))),
    }
}

async fn submit(Json(body): Json<Value>) -> Answered {
    let name = body["correlation_id"].as_str().unwrap().to_owned();
    assert_eq!(body, json!({"correlation_id": name, "price": 7, "volume": 10, "counterparty": "p1"}));
    answered(&name)
}

async fn read(Path(name): Path<String>, Query(query): Query<BTreeMap<String, String>>) -> Answered {
    if query.get("from").is_some_and(|from| from == "local") {
        return (StatusCode::OK, Json(own_copy(&name, Some("settlement"))));
    }
    if name == "unheard-of" { (StatusCode::OK, Json(trade(&name, "none", None))) } else { answered(&name) }
}

async fn settle(Path(name): Path<String>, body: String) -> Answered {
    assert_eq!(body, "");
    answered(&name)
}

async fn waiting_list() -> Json<Value> {
    let pending =
        json!([{"correlation_id": "t1", "waits_for": "settlement", "age_ms": 3, "heard": 1, "needed": 2}]);
    Json(json!({"expiry_ms": 800, "pending": pending}))
}

async fn copies(Query(query): Query<BTreeMap<String, String>>) -> Json<Value> {
    let (name, next) = if query.is_empty() { ("t1", json!("t1")) } else { ("t2", Value::Null) };
    assert!(query.is_empty() || query["after"] == "t1");
    let copy = own_copy(name, None);
    Json(json!({"node": "n1", "role": "trading", "copies": [copy], "next": next}))
}

fn own_copy(name: &str, role: Option<&str>) -> Value {
    let mut copy = trade(name, "pending", None);
    copy["vote"] = json!(details());
    copy["settlement_confirmed"] = json!(false);
    if let Some(role) = role {
        copy["role"] = json!(role);
    }
    copy
}

fn booking(trade: &str, position: u64) -> Value {
    json!({"correlation_id": trade, "counterparty": "p1", "volume": 10, "position": position})
}

async fn ledger(Query(query): Query<BTreeMap<String, u64>>) -> Json<Value> {
    Json(match query["from"] {
        0 => json!({"node": "n1", "bookings": [booking("t1", 10)], "next": 1}),
        _ => json!({"node": "n1", "bookings": [booking("t2", 20)], "next": null}),
    })
}

async fn client_of_script() -> Box<dyn Client> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new()
        .route("/trades", post(submit))
        .route("/trades/{id}", get(read))
        .route("/trades/{id}/settlement", post(settle))
        .route("/waiting-list", get(waiting_list))
        .route("/copies", get(copies))
        .route("/ledger", get(ledger));
    tokio::spawn(async move { axum::serve(listener, router).await });
    client(address)
}

#[tokio::test]
async fn answers_are_read_as_the_contract_says() {
    let mut client = client_of_script().await;
    let confirmed = trade("t1", "confirmed", Some(&details()));
    let copy =
        json!({"status": "pending", "details": null, "vote": details(), "settlement_confirmed": false});
    let copies = json!({"node": "n1", "role": "trading", "copies": {"t1": copy, "t2": copy}});
    let mut own = copy.clone();
    own["role"] = json!("settlement");
    let ledger = json!({"node": "n1", "bookings": [booking("t1", 10), booking("t2", 20)]});
    let waiting = json!({"correlation_id": "t1", "waits_for": "settlement", "age_ms": 3});
    let cases = [
        (TradeOp::Submit("t1".to_owned(), details()), confirmed.clone()),
        (TradeOp::Submit("slow".to_owned(), details()), trade("slow", "pending", Some(&details()))),
        (TradeOp::Settle("t1".to_owned()), confirmed.clone()),
        (TradeOp::Read("t1".to_owned()), confirmed),
        (TradeOp::Read("unheard-of".to_owned()), trade("unheard-of", "none", None)),
        (TradeOp::Copy("t1".to_owned()), own),
        (TradeOp::WaitingList, json!({"expiry_ms": 800, "pending": [waiting]})),
        (TradeOp::Copies, copies),
        (TradeOp::Ledger, ledger),
        (TradeOp::Wait(1), Value::Null),
    ];
    for (op, answer) in cases {
        assert_eq!(client.invoke(&op.into()).await, Outcome::Ok(answer));
    }
}

#[tokio::test]
async fn refusals_are_definite_and_failures_are_not() {
    let mut client = client_of_script().await;
    for (name, definite) in
        [("other-details", true), ("no-majority", true), ("failing", false), ("garbled", false)]
    {
        for op in [TradeOp::Submit(name.to_owned(), details()), TradeOp::Settle(name.to_owned())] {
            let outcome = client.invoke(&op.into()).await;
            let as_said = if definite {
                matches!(outcome, Outcome::Fail(_))
            } else {
                matches!(outcome, Outcome::Info(_))
            };
            assert!(as_said, "{name}: {outcome:?}");
        }
        let read = client.invoke(&TradeOp::Read(name.to_owned()).into()).await;
        assert!(matches!(read, Outcome::Fail(_)), "{name}: {read:?}");
    }
}
