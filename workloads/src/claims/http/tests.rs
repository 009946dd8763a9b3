//! The client against a server that gives the contract's answers.

use axum::extract::{Path, Query};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use ordeal_core::Key;
use tokio::net::TcpListener;

use super::*;

type Answer = (StatusCode, Json<Value>);

fn ok(value: Value) -> Answer {
    (StatusCode::OK, Json(value))
}

fn absent() -> Answer {
    (StatusCode::NOT_FOUND, Json(json!({ "error": "there is none", "definite": true })))
}

fn policy(holder: &str) -> Value {
    json!({ "holder": holder, "premium": 10_000, "changed": 4 })
}

async fn put(Json(body): Json<Value>) -> Answer {
    assert_eq!(body["request_id"], body["holder"]);
    assert_eq!(body["premium"], FIRST_PREMIUM);
    ok(json!({ "version": 4, "policy": policy(body["holder"].as_str().unwrap()) }))
}

async fn read(Query(query): Query<serde_json::Map<String, Value>>) -> Answer {
    match query["from"].as_str().unwrap() {
        "core" => ok(json!({ "version": 5, "policy": null })),
        _ => {
            let version: u64 = query["version"].as_str().unwrap().parse().unwrap();
            ok(json!({ "version": version + 1, "policy": policy("h1"), "node": "n4" }))
        }
    }
}

async fn add(Json(body): Json<Value>) -> Answer {
    let (document, version) = (&body["request_id"], &body["version"]);
    assert_eq!(body["text"].as_str().unwrap().len(), DOCUMENT_BYTES);
    ok(json!({
        "document": document, "version": version,
        "terms": { "version": 9, "policy": policy("h1"), "node": "n4" },
    }))
}

async fn list() -> Answer {
    let document = |id: &str, text: String| json!({ "document": id, "version": 3, "text": text });
    ok(json!({
        "documents": [document("d1", text_of("d1")), document("d2", "other".to_owned())],
        "terms": { "version": 9, "policy": policy("h1"), "node": "n4" },
    }))
}

async fn document(Path((_, id)): Path<(String, String)>) -> Answer {
    match id.as_str() {
        "d9" => absent(),
        _ => ok(json!({
            "document": id, "version": 3, "text": text_of(&id),
            "terms": { "version": 9, "policy": null, "node": "n5" },
        })),
    }
}

async fn submit(Json(body): Json<Value>) -> Answer {
    match body["claim"].as_str().unwrap() {
        "c9" => (StatusCode::CONFLICT, Json(json!({ "error": "there is one", "definite": true }))),
        claim => ok(json!({ "version": 6, "claim": claim, "status": "submitted", "amount": body["amount"] })),
    }
}

async fn claim(Path(id): Path<String>) -> Answer {
    match id.as_str() {
        "c9" => absent(),
        _ => ok(json!({ "version": 7, "status": "approved", "confirmations": { "finance": "approve" } })),
    }
}

async fn confirm(Json(body): Json<Value>) -> Answer {
    assert_eq!(body.as_object().unwrap().len(), 3);
    (StatusCode::GATEWAY_TIMEOUT, Json(json!({ "error": "late", "definite": false })))
}

async fn adjust(Json(body): Json<Value>) -> Answer {
    assert_eq!(body["policies"], json!(["p1"]));
    ok(json!({ "version": 8, "premiums": { "p1": 10_007 } }))
}

async fn serve() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new()
        .route("/policies/{id}", get(read).put(put))
        .route("/policies/{id}/documents", get(list).post(add))
        .route("/policies/{id}/documents/{document}", get(document))
        .route("/claims", post(submit))
        .route("/claims/{id}", get(claim))
        .route("/claims/{id}/confirmations", post(confirm))
        .route("/premium-adjustments", post(adjust));
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

async fn ask(client: &mut Box<dyn Client>, op: ClaimOp) -> Outcome {
    client.invoke(&Op::from(op)).await
}

#[tokio::test]
async fn answers_are_read_as_the_contract_has_them() {
    let mut client = client(serve().await);
    let p1 = || "p1".to_owned();
    let h1 = json!({ "holder": "h1", "premium": 10_000, "changed": 4 });
    let terms = json!({ "version": 9, "policy": h1, "node": "n4" });
    let document = json!({ "document": "d1", "version": 3 });
    let cases = [
        (ClaimOp::PutPolicy(p1(), "h1".to_owned()), json!({ "version": 4, "policy": h1 })),
        (ClaimOp::ReadPolicy(p1()), json!({ "version": 5, "policy": null })),
        (ClaimOp::ReadCopy(p1(), 8), terms.clone()),
        (
            ClaimOp::AddDocument(p1(), Document { document: "d1".to_owned(), version: 3 }),
            json!({ "document": "d1", "version": 3, "terms": terms }),
        ),
        (
            ClaimOp::ReadDocuments(p1()),
            json!({
                "documents": [document, { "document": "d2", "version": 3, "other_text": "other" }],
                "terms": terms,
            }),
        ),
        (
            ClaimOp::ReadDocument(p1(), "d1".to_owned()),
            json!({
                "document": "d1", "version": 3,
                "terms": { "version": 9, "policy": null, "node": "n5" },
            }),
        ),
        (ClaimOp::ReadDocument(p1(), "d9".to_owned()), Value::Null),
        (ClaimOp::ReadClaim("c1".to_owned()), json!({ "version": 7, "status": "approved" })),
        (ClaimOp::ReadClaim("c9".to_owned()), Value::Null),
        (
            ClaimOp::Adjust(Adjustment { id: "a1".to_owned(), amount: 7, policies: vec![p1()] }),
            json!({ "version": 8, "premiums": { "p1": 10_007 } }),
        ),
    ];
    for (op, expected) in cases {
        assert_eq!(ask(&mut client, op.clone()).await, Outcome::Ok(expected), "{op:?}");
    }
}

#[tokio::test]
async fn refusals_are_definite_and_timeouts_are_not() {
    let mut client = client(serve().await);
    let new = NewClaim { request_id: "r1".to_owned(), policy: "p1".to_owned(), amount: 5 };
    let refused = ask(&mut client, ClaimOp::Submit("c9".to_owned(), new.clone())).await;
    assert!(matches!(refused, Outcome::Fail(_)), "{refused:?}");
    let taken = ask(&mut client, ClaimOp::Submit("c1".to_owned(), new)).await;
    assert_eq!(taken, Outcome::Ok(json!({ "version": 6, "status": "submitted" })));
    let (request_id, department, verdict) = ("r2".to_owned(), "finance".to_owned(), "approve".to_owned());
    let said = Confirmation { request_id, department, verdict };
    let late = ask(&mut client, ClaimOp::Confirm("c1".to_owned(), said)).await;
    assert!(matches!(late, Outcome::Info(_)), "{late:?}");
    let foreign = client.invoke(&Op::new("erase", Key::Text("p1".to_owned()), Value::Null)).await;
    assert!(matches!(foreign, Outcome::Fail(_)), "{foreign:?}");
}
