//! The client of the `patients` contract (`openapi.yaml`).

use std::net::SocketAddr;

use ordeal_core::{BoxFuture, Client, Op, Outcome};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::PatientOp;
use crate::http::{Effect, HttpClient, Method, outcome};

/// The kinds of entry; the contract knows no others.
const KINDS: [&str; 3] = ["history", "lab", "prescription"];

/// A client of the node at `base`.
pub fn client(base: SocketAddr) -> Box<dyn Client> {
    Box::new(PatientsClient { http: HttpClient::new(base) })
}

struct PatientsClient {
    http: HttpClient,
}

#[derive(Serialize)]
struct NewEntry<'a> {
    request_id: &'a str,
    kind: &'a str,
    text: &'a str,
}

#[derive(Serialize)]
struct NewSummary<'a> {
    request_id: &'a str,
    text: &'a str,
}

#[derive(Deserialize)]
struct Entry {
    entry: String,
}

#[derive(Deserialize)]
struct Entries {
    entries: Vec<Value>,
}

#[derive(Deserialize)]
struct Summary {
    /// Null before the first write; a body without the field is not an answer.
    #[serde(deserialize_with = "Option::deserialize")]
    text: Option<String>,
}

impl PatientsClient {
    /// Does one operation. The unique value of a mutation is its request id too, and an entry's
    /// request id is the entry's id from then on.
    async fn ask(&mut self, op: &PatientOp) -> Outcome {
        let http = &mut self.http;
        match op {
            PatientOp::AppendEntry { patient, entry } => {
                let body =
                    NewEntry { request_id: entry, kind: KINDS[entry.len() % KINDS.len()], text: entry };
                let path = format!("/patients/{patient}/entries");
                let answer = http.json(Method::POST, &path, &body).await;
                outcome(Effect::Mutation, answer, |body| {
                    serde_json::from_slice(body).map(|e: Entry| Value::String(e.entry))
                })
            }
            PatientOp::ReadEntries { patient } => {
                let answer = http.get(&format!("/patients/{patient}/entries")).await;
                outcome(Effect::Read, answer, |body| {
                    serde_json::from_slice(body).map(|e: Entries| Value::Array(e.entries))
                })
            }
            PatientOp::WriteSummary { patient, text } => {
                let body = NewSummary { request_id: text, text };
                let path = format!("/patients/{patient}/summary");
                let answer = http.json(Method::PUT, &path, &body).await;
                outcome(Effect::Mutation, answer, |_| Ok(Value::String(text.clone())))
            }
            PatientOp::ReadSummary { patient } => {
                let answer = http.get(&format!("/patients/{patient}/summary")).await;
                outcome(Effect::Read, answer, |body| {
                    serde_json::from_slice(body).map(|s: Summary| s.text.map_or(Value::Null, Value::String))
                })
            }
        }
    }
}

impl Client for PatientsClient {
    fn invoke<'a>(&'a mut self, op: &'a Op) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            match PatientOp::try_from(op) {
                Ok(op) => self.ask(&op).await,
                Err(e) => Outcome::Fail(e.to_string()),
            }
        })
    }
}

#[cfg(test)]
mod tests;
