//! The client against a server that answers by the script of the machine's name.

use std::sync::{Arc, Mutex};

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use tokio::net::TcpListener;

use super::*;

/// Request ids in the order in which they came.
type Asked = Arc<Mutex<Vec<String>>>;
type Said = (StatusCode, Json<Value>);

async fn reading(State(asked): State<Asked>, Path(id): Path<String>, Json(body): Json<Value>) -> Said {
    let mut asked = asked.lock().unwrap();
    asked.push(body["request_id"].as_str().unwrap().to_owned());
    let done =
        (StatusCode::OK, Json(json!({ "machine": id, "state": "alert", "index": asked.len(), "term": 1 })));
    let error = |status, definite| (status, Json(json!({ "error": "", "definite": definite })));
    match (id.as_str(), asked.len()) {
        ("late-once", 1) | ("late", _) => error(StatusCode::GATEWAY_TIMEOUT, false),
        ("late-then-refused", 1) => error(StatusCode::GATEWAY_TIMEOUT, false),
        ("late-then-refused" | "refused", _) => error(StatusCode::SERVICE_UNAVAILABLE, true),
        ("garbled", _) => (StatusCode::OK, Json(json!({ "machine": id }))),
        _ => done,
    }
}

#[derive(Deserialize)]
struct Asks {
    from: Option<u64>,
    limit: u64,
    consistency: String,
}

/// A log of 2500 entries, the indices even.
async fn log(Query(asks): Query<Asks>) -> Json<Value> {
    assert_eq!(asks.consistency, "strong");
    let from = asks.from.unwrap_or(0);
    let entries: Vec<Value> =
        (from.div_ceil(2)..2500).take(asks.limit as usize).map(|n| json!({ "index": 2 * n })).collect();
    let next = entries.last().map_or(from, |last| last["index"].as_u64().unwrap() + 1);
    Json(json!({ "from": from, "next": next, "applied": 4998, "entries": entries }))
}

async fn stream() -> &'static str {
    "id: 7\ndata: {\"number\":7}\n\n:\n\nid: 8\ndata: {\"number\":8}\n\n"
}

async fn serve() -> (Box<dyn Client>, Asked) {
    let asked = Asked::default();
    let routes = Router::new()
        .route("/machines/{id}", get(async || Json(json!({ "machine": "m", "state": "alert", "index": 3 }))))
        .route("/machines/{id}/readings", post(reading))
        .route("/events", get(async || Json(json!({ "from": 4, "next": 4, "applied": 9, "events": [] }))))
        .route("/events/stream", get(stream))
        .route("/log", get(log))
        .with_state(Arc::clone(&asked));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    (client(address), asked)
}

/// The outcome of a reading, and how often it was sent.
async fn sent(machine: &str, again: bool) -> (Outcome, usize) {
    let (mut client, asked) = serve().await;
    let (machine, request) = (machine.to_owned(), "r1".to_owned());
    let op =
        IotOp::Reading { machine, request, sensor: "s1".into(), kind: "energy".into(), value: 1.5, again };
    let outcome = client.invoke(&op.into()).await;
    let asked = asked.lock().unwrap();
    assert!(asked.iter().all(|id| id == "r1"));
    (outcome, asked.len())
}

#[tokio::test]
async fn a_reading_is_answered_with_the_state_and_the_place_in_the_log() {
    let done = json!({ "state": "alert", "index": 1, "term": 1 });
    assert_eq!(sent("m1", false).await, (Outcome::Ok(done), 1));
}

#[tokio::test]
async fn a_request_that_is_sent_again_on_purpose_shows_both_answers() {
    let (outcome, times) = sent("m1", true).await;
    let Outcome::Ok(answer) = outcome else { panic!("{outcome:?}") };
    assert_eq!((times, &answer["index"], &answer["again"]["index"]), (2, &json!(1), &json!(2)));
}

#[tokio::test]
async fn an_unknown_end_is_asked_for_once_more_and_no_refusal_makes_it_known() {
    let (outcome, times) = sent("late-once", false).await;
    assert!(matches!(outcome, Outcome::Ok(_)) && times == 2, "{outcome:?}");
    for machine in ["late", "late-then-refused"] {
        let (outcome, times) = sent(machine, false).await;
        assert!(matches!(outcome, Outcome::Info(_)) && times == 2, "{outcome:?}");
    }
    let (outcome, times) = sent("refused", false).await;
    assert!(matches!(outcome, Outcome::Fail(_)) && times == 1, "{outcome:?}");
    assert!(matches!(sent("garbled", false).await, (Outcome::Info(_), 1)));
}

#[tokio::test]
async fn pages_and_streams_say_where_the_consumer_goes_on() {
    let (mut client, _) = serve().await;
    let polled = client.invoke(&IotOp::PollEvents { consumer: 1, from: 4 }.into()).await;
    assert_eq!(
        polled,
        Outcome::Ok(json!({ "consumer": 1, "from": 4, "next": 4, "applied": 9, "items": [] }))
    );
    let followed = client.invoke(&IotOp::FollowEvents { consumer: 0, from: 7 }.into()).await;
    let items = json!([{ "number": 7 }, { "number": 8 }]);
    assert_eq!(followed, Outcome::Ok(json!({ "consumer": 0, "from": 7, "next": 9, "items": items })));
    let read = client.invoke(&IotOp::Read { machine: "m".into() }.into()).await;
    assert_eq!(read, Outcome::Ok(json!({ "state": "alert", "index": 3 })));
}

#[tokio::test]
async fn a_whole_log_is_read_page_by_page() {
    let (mut client, _) = serve().await;
    let Outcome::Ok(log) = client.invoke(&IotOp::ReadLog.into()).await else { panic!() };
    assert_eq!((&log["from"], &log["next"], &log["applied"]), (&json!(0), &json!(4999), &json!(4998)));
    let items = log["items"].as_array().unwrap();
    assert!(
        items.len() == 2500
            && items.windows(2).all(|pair| pair[0]["index"].as_u64() < pair[1]["index"].as_u64())
    );
}
