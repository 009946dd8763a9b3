//! The client of the `claims` contract (`openapi.yaml`).

use std::net::SocketAddr;

use ordeal_core::{BoxFuture, Client, Op, Outcome};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Adjustment, ClaimOp, Confirmation, Document, FIRST_PREMIUM, NewClaim};
use crate::http::{Effect, HttpClient, HttpError, Method, Reply, outcome};

/// The length of a document, in bytes.
const DOCUMENT_BYTES: usize = 400;

/// A client of the node at `base`.
pub fn client(base: SocketAddr) -> Box<dyn Client> {
    Box::new(ClaimsClient { http: HttpClient::new(base) })
}

struct ClaimsClient {
    http: HttpClient,
}

/// The text of a document: it follows from its id, so that a changed one is seen.
fn text_of(document: &str) -> String {
    document.chars().chain([' ']).cycle().take(DOCUMENT_BYTES).collect()
}

#[derive(Serialize, Deserialize)]
struct Policy {
    holder: String,
    premium: i64,
    changed: u64,
}

/// A policy at a version.
#[derive(Serialize, Deserialize)]
struct PolicyAt {
    version: u64,
    /// Null if there is none; an answer without the field is none.
    #[serde(deserialize_with = "Option::deserialize")]
    policy: Option<Policy>,
}

/// A policy as a data node has it.
#[derive(Serialize, Deserialize)]
struct Terms {
    version: u64,
    #[serde(deserialize_with = "Option::deserialize")]
    policy: Option<Policy>,
    node: String,
}

#[derive(Serialize, Deserialize)]
struct ClaimAt {
    version: u64,
    status: String,
}

#[derive(Serialize, Deserialize)]
struct Added {
    document: String,
    version: u64,
    terms: Terms,
}

#[derive(Deserialize)]
struct Text {
    document: String,
    version: u64,
    text: String,
    terms: Terms,
}

#[derive(Deserialize)]
struct Listed {
    document: String,
    version: u64,
    text: String,
}

#[derive(Deserialize)]
struct List {
    documents: Vec<Listed>,
    terms: Terms,
}

#[derive(Serialize, Deserialize)]
struct Adjusted {
    version: u64,
    premiums: serde_json::Map<String, Value>,
}

/// What of an answer goes into the history: the fields of `T`.
fn fields<T: Serialize + for<'de> Deserialize<'de>>(body: &[u8]) -> Result<Value, serde_json::Error> {
    serde_json::to_value(serde_json::from_slice::<T>(body)?)
}

/// A document as the history has it: the text is only told if it is not the one that was added.
fn seen(document: String, version: u64, text: &str) -> Value {
    match text == text_of(&document) {
        true => json!(Document { document, version }),
        false => json!({ "document": document, "version": version, "other_text": text }),
    }
}

/// Reads an answer to a question for something that may not be there: then it is null.
fn found(
    answer: Result<Reply, HttpError>,
    read: impl FnOnce(&[u8]) -> Result<Value, serde_json::Error>,
) -> Outcome {
    match answer {
        Ok(reply) if reply.status == 404 => Outcome::Ok(Value::Null),
        answer => outcome(Effect::Read, answer, read),
    }
}

impl ClaimsClient {
    async fn ask(&mut self, op: &ClaimOp) -> Outcome {
        let http = &mut self.http;
        match op {
            ClaimOp::PutPolicy(policy, holder) => {
                let body = json!({ "request_id": holder, "holder": holder, "premium": FIRST_PREMIUM });
                let answer = http.json(Method::PUT, &format!("/policies/{policy}"), &body).await;
                outcome(Effect::Mutation, answer, fields::<PolicyAt>)
            }
            ClaimOp::ReadPolicy(policy) => {
                let answer = http.get(&format!("/policies/{policy}?from=core")).await;
                outcome(Effect::Read, answer, fields::<PolicyAt>)
            }
            ClaimOp::ReadCopy(policy, version) => {
                let answer = http.get(&format!("/policies/{policy}?from=data&version={version}")).await;
                outcome(Effect::Read, answer, fields::<Terms>)
            }
            ClaimOp::AddDocument(policy, Document { document, version }) => {
                let text = text_of(document);
                let body = json!({ "request_id": document, "version": version, "text": text });
                let answer = http.json(Method::POST, &format!("/policies/{policy}/documents"), &body).await;
                outcome(Effect::Mutation, answer, fields::<Added>)
            }
            ClaimOp::ReadDocuments(policy) => {
                let answer = http.get(&format!("/policies/{policy}/documents")).await;
                outcome(Effect::Read, answer, |body| {
                    let List { documents, terms } = serde_json::from_slice(body)?;
                    let seen = |d: Listed| seen(d.document, d.version, &d.text);
                    let documents: Vec<Value> = documents.into_iter().map(seen).collect();
                    Ok(json!({ "documents": documents, "terms": terms }))
                })
            }
            ClaimOp::ReadDocument(policy, document) => {
                let answer = http.get(&format!("/policies/{policy}/documents/{document}")).await;
                found(answer, |body| {
                    let Text { document, version, text, terms } = serde_json::from_slice(body)?;
                    let mut value = seen(document, version, &text);
                    value["terms"] = json!(terms);
                    Ok(value)
                })
            }
            ClaimOp::Submit(claim, NewClaim { request_id, policy, amount }) => {
                let body =
                    json!({ "request_id": request_id, "claim": claim, "policy": policy, "amount": amount });
                let answer = http.json(Method::POST, "/claims", &body).await;
                outcome(Effect::Mutation, answer, fields::<ClaimAt>)
            }
            ClaimOp::Confirm(claim, said) => {
                let Confirmation { request_id, department, verdict } = said;
                let body = json!({ "request_id": request_id, "department": department, "verdict": verdict });
                let answer = http.json(Method::POST, &format!("/claims/{claim}/confirmations"), &body).await;
                outcome(Effect::Mutation, answer, fields::<ClaimAt>)
            }
            ClaimOp::ReadClaim(claim) => {
                found(http.get(&format!("/claims/{claim}")).await, fields::<ClaimAt>)
            }
            ClaimOp::Adjust(Adjustment { id, amount, policies }) => {
                let body = json!({ "request_id": id, "amount": amount, "policies": policies });
                let answer = http.json(Method::POST, "/premium-adjustments", &body).await;
                outcome(Effect::Mutation, answer, fields::<Adjusted>)
            }
        }
    }
}

impl Client for ClaimsClient {
    fn invoke<'a>(&'a mut self, op: &'a Op) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            match ClaimOp::try_from(op) {
                Ok(op) => self.ask(&op).await,
                Err(e) => Outcome::Fail(e.to_string()),
            }
        })
    }
}

#[cfg(test)]
mod tests;
