//! The client against a server of the contract that keeps everything in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use ordeal_core::Key;
use serde_json::json;
use tokio::net::TcpListener;

use super::*;

#[derive(Default)]
struct Record {
    entries: BTreeMap<String, Value>,
    summary: Option<String>,
}

type Records = Arc<Mutex<BTreeMap<String, Record>>>;
type Answer = (StatusCode, Json<Value>);

fn text(body: &Value, field: &str) -> String {
    body[field].as_str().unwrap().to_owned()
}

async fn append(State(all): State<Records>, Path(id): Path<String>, Json(body): Json<Value>) -> Answer {
    match id.as_str() {
        "absent" => return (StatusCode::NOT_FOUND, Json(json!({"error": "no such patient"}))),
        "no-quorum" => return (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"definite": true}))),
        "slow-quorum" => return (StatusCode::GATEWAY_TIMEOUT, Json(json!({"definite": false}))),
        _ => {}
    }
    assert!(KINDS.contains(&body["kind"].as_str().unwrap()));
    let entry = text(&body, "request_id");
    let mut all = all.lock().unwrap();
    all.entry(id).or_default().entries.insert(entry.clone(), body);
    (StatusCode::OK, Json(json!({"entry": entry})))
}

async fn entries(State(all): State<Records>, Path(id): Path<String>) -> Json<Value> {
    let mut all = all.lock().unwrap();
    let ids: Vec<_> = all.entry(id).or_default().entries.keys().cloned().collect();
    Json(json!({"entries": ids}))
}

async fn put(State(all): State<Records>, Path(id): Path<String>, Json(body): Json<Value>) -> Json<Value> {
    assert_eq!(body.as_object().unwrap().len(), 2, "request id and text");
    assert!(!text(&body, "request_id").is_empty());
    all.lock().unwrap().entry(id).or_default().summary = Some(text(&body, "text"));
    Json(json!({"version": {"counter": 1, "node": "n1"}}))
}

async fn summary(State(all): State<Records>, Path(id): Path<String>) -> Json<Value> {
    let text = all.lock().unwrap().entry(id.clone()).or_default().summary.clone();
    match id.as_str() {
        "garbled" => Json(json!({"summary": "in another field"})),
        _ => Json(json!({"text": text, "version": null})),
    }
}

async fn serve() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new()
        .route("/patients/{id}/entries", get(entries).post(append))
        .route("/patients/{id}/summary", get(summary).put(put))
        .with_state(Records::default());
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

async fn ask(client: &mut Box<dyn Client>, f: &'static str, patient: &str, value: Value) -> Outcome {
    client.invoke(&Op::new(f, Key::Text(patient.to_owned()), value)).await
}

#[tokio::test]
async fn what_is_written_is_read() {
    let mut client = client(serve().await);
    let ok = Outcome::Ok;
    assert_eq!(ask(&mut client, "read-entries", "p1", Value::Null).await, ok(json!([])));
    assert_eq!(ask(&mut client, "read-summary", "p1", Value::Null).await, ok(Value::Null));
    for entry in ["e1", "e22", "e333"] {
        let appended = ask(&mut client, "append-entry", "p1", json!(entry)).await;
        assert_eq!(appended, ok(json!(entry)));
    }
    let written = ask(&mut client, "write-summary", "p1", json!("s1")).await;
    assert_eq!(written, ok(json!("s1")));
    let entries = ask(&mut client, "read-entries", "p1", Value::Null).await;
    assert_eq!(entries, ok(json!(["e1", "e22", "e333"])));
    assert_eq!(ask(&mut client, "read-summary", "p1", Value::Null).await, ok(json!("s1")));
    assert_eq!(ask(&mut client, "read-summary", "p2", Value::Null).await, ok(Value::Null));
}

#[tokio::test]
async fn refusals_are_definite_and_timeouts_are_not() {
    let mut client = client(serve().await);
    for (patient, definite) in [("absent", true), ("no-quorum", true), ("slow-quorum", false)] {
        let outcome = ask(&mut client, "append-entry", patient, json!("e1")).await;
        match definite {
            true => assert!(matches!(outcome, Outcome::Fail(_)), "{outcome:?}"),
            false => assert!(matches!(outcome, Outcome::Info(_)), "{outcome:?}"),
        }
    }
    let garbled = ask(&mut client, "read-summary", "garbled", Value::Null).await;
    assert!(matches!(garbled, Outcome::Fail(_)), "{garbled:?}");
    let foreign = ask(&mut client, "erase", "p1", Value::Null).await;
    assert!(matches!(foreign, Outcome::Fail(_)), "{foreign:?}");
}
