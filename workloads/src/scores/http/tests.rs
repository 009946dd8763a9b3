//! The client against a server that answers by the script of the match's name.

use std::sync::{Arc, Mutex};

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::routing::{get, put};
use axum::{Json, Router};
use ordeal_core::Key;
use tokio::net::TcpListener;

use super::*;

/// Request ids in the order in which they came.
type Asked = Arc<Mutex<Vec<String>>>;
type Said = (StatusCode, Json<Value>);

async fn tell(State(asked): State<Asked>, Path(of): Path<String>, Json(body): Json<Value>) -> Said {
    let mut asked = asked.lock().unwrap();
    assert_eq!(body["request_id"], body["event"]);
    asked.push(body["request_id"].as_str().unwrap().to_owned());
    let score = json!({ "home": body["home"], "away": body["away"], "event": body["event"] });
    let error = |status, definite| (status, Json(json!({ "error": "", "definite": definite })));
    match (of.as_str(), asked.len()) {
        ("late-once", 1) | ("late-then-refused", 1) | ("late", _) => {
            error(StatusCode::GATEWAY_TIMEOUT, false)
        }
        ("late-then-refused" | "refused", _) => error(StatusCode::SERVICE_UNAVAILABLE, true),
        ("garbled", _) => (StatusCode::OK, Json(json!({ "sequence": 3 }))),
        _ => (StatusCode::OK, Json(json!({ "sequence": 3, "score": score }))),
    }
}

async fn show(Path(of): Path<String>, Query(query): Query<Value>) -> Json<Value> {
    Json(match (of.as_str(), query["from"].as_str()) {
        ("new", _) => json!({ "sequence": 0, "score": null, "hit": false }),
        ("garbled", _) => json!({ "sequence": 0, "hit": false }),
        (_, Some("database")) => {
            json!({ "sequence": 2, "score": { "home": 1, "away": 1, "event": "g2" }, "hit": false })
        }
        _ => json!({ "sequence": 1, "score": { "home": 1, "away": 0, "event": "g1" }, "hit": true }),
    })
}

/// Five events, two a page.
async fn events(Query(query): Query<Value>) -> Json<Value> {
    let from: u64 = query["from"].as_str().unwrap().parse().unwrap();
    let first = from.max(1);
    let event = |n| json!({ "sequence": n, "request_id": format!("g{n}"), "home": n, "away": 0, "event": format!("g{n}") });
    let events: Vec<Value> = (first..=5).take(2).map(event).collect();
    let next = (events.len() == 2).then_some(first + 2);
    Json(json!({ "events": events, "next": next }))
}

async fn serve() -> (Box<dyn Client>, Asked) {
    let asked = Asked::default();
    let routes = Router::new()
        .route("/matches/{id}/score", put(tell))
        .route("/matches/{id}", get(show))
        .route("/matches/{id}/events", get(events))
        .with_state(Arc::clone(&asked));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, routes).await });
    (client(address), asked)
}

async fn ask(of: &str, op: ScoreOp) -> (Outcome, usize) {
    let (mut client, asked) = serve().await;
    let outcome = client.invoke(&op.on(of.to_owned())).await;
    let sent = asked.lock().unwrap().len();
    (outcome, sent)
}

fn goal(n: u64) -> ScoreOp {
    ScoreOp::Goal(Score(2, 1, format!("g{n}")))
}

#[tokio::test]
async fn a_goal_is_told_once_more_if_its_end_is_unknown_or_now_and_then() {
    let done = |n: u64| Outcome::Ok(json!([3, [2, 1, format!("g{n}")]]));
    assert_eq!(ask("m1", goal(1)).await, (done(1), 1));
    assert_eq!(ask("m1", goal(8)).await, (done(8), 2));
    assert_eq!(ask("late-once", goal(1)).await, (done(1), 2));
    for (of, times) in [("late", 2), ("late-then-refused", 2), ("garbled", 1)] {
        let (outcome, sent) = ask(of, goal(1)).await;
        assert!(matches!(outcome, Outcome::Info(_)), "{of}: {outcome:?}");
        assert_eq!(sent, times, "{of}");
    }
    let (outcome, sent) = ask("refused", goal(8)).await;
    assert!(matches!(outcome, Outcome::Fail(_)) && sent == 1, "{outcome:?}");
}

#[tokio::test]
async fn scores_and_streams_are_kept_as_the_judges_read_them() {
    assert_eq!(ask("m1", ScoreOp::Read).await.0, Outcome::Ok(json!([1, [1, 0, "g1"], true])));
    assert_eq!(ask("m1", ScoreOp::ReadDatabase).await.0, Outcome::Ok(json!([2, [1, 1, "g2"], false])));
    assert_eq!(ask("new", ScoreOp::Read).await.0, Outcome::Ok(json!([0, null, false])));
    assert!(matches!(ask("garbled", ScoreOp::Read).await.0, Outcome::Fail(_)));
    let (outcome, _) = ask("m1", ScoreOp::Events(0)).await;
    let Outcome::Ok(Value::Array(events)) = outcome else { panic!("{outcome:?}") };
    assert_eq!((events.len(), &events[4]), (5, &json!([5, [5, 0, "g5"], "g5"])));
}

#[tokio::test]
async fn a_foreign_operation_is_not_sent() {
    let (mut client, _) = serve().await;
    let outcome = client.invoke(&Op::new("delete", Key::Int(1), Value::Null)).await;
    assert!(matches!(outcome, Outcome::Fail(_)));
}
