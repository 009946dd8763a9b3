//! The client of the `iot` contract (`openapi.yaml`).

use std::net::SocketAddr;

use ordeal_core::{BoxFuture, Client, Op, Outcome};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::IotOp;
use crate::http::{Effect, Failure, HttpClient, Method, Reply, judge, outcome, result};

/// Items on a page of a whole read; the contract's largest.
const PAGE: usize = 1_000;
/// Pages of a whole read, at most.
const PAGES_MAX: usize = 10_000;
/// How long a consumer listens to the stream, and to how many events.
const LISTENS_MS: u64 = 100;
const LISTENS_TO: u64 = 50;

/// A client of the node at `base`.
pub fn client(base: SocketAddr) -> Box<dyn Client> {
    Box::new(IotClient { http: HttpClient::new(base) })
}

struct IotClient {
    http: HttpClient,
}

/// A machine after a transition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Done {
    state: String,
    index: u64,
    term: u64,
}

/// A machine as it stands.
#[derive(Serialize, Deserialize)]
struct Standing {
    state: String,
    index: u64,
}

/// A page of a list that only grows. What is on it is for the judges.
#[derive(Serialize, Deserialize)]
struct Page {
    from: u64,
    next: u64,
    applied: u64,
    #[serde(alias = "entries", alias = "events")]
    items: Vec<Value>,
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, serde_json::Error> {
    serde_json::from_slice(body)
}

impl IotClient {
    async fn ask(&mut self, op: &IotOp) -> Outcome {
        match op {
            IotOp::Reading { machine, request, sensor, kind, value, again } => {
                let path = format!("/machines/{machine}/readings");
                let body = json!({ "request_id": request, "sensor": sensor, "kind": kind, "value": value });
                self.change(&path, &body, *again).await
            }
            IotOp::Reset { machine, request, again } => {
                let path = format!("/machines/{machine}/reset");
                self.change(&path, &json!({ "request_id": request }), *again).await
            }
            IotOp::Read { machine } => {
                let answer = self.http.get(&format!("/machines/{machine}")).await;
                outcome(Effect::Read, answer, |body| serde_json::to_value(read::<Standing>(body)?))
            }
            IotOp::PollEvents { consumer, from } => self.poll("/events", *consumer, *from).await,
            IotOp::PollLog { consumer, from } => self.poll("/log", *consumer, *from).await,
            IotOp::FollowEvents { consumer, from } => self.follow(*consumer, *from).await,
            IotOp::ReadLog => self.whole("/log").await.map_or_else(|failed| failed, Outcome::Ok),
            IotOp::ReadEvents => self.whole("/events").await.map_or_else(|failed| failed, Outcome::Ok),
        }
    }

    /// A mutation. One whose end is unknown is sent once more, and one that was answered too, if asked for:
    /// with the same request id it has one effect.
    async fn change(&mut self, path: &str, body: &Value, again: bool) -> Outcome {
        let judged = match self.send(path, body).await {
            // If the second one was certainly not done, nothing more is known of the first.
            Err(unknown @ Failure::Unknown(_)) => self.send(path, body).await.map_err(|_| unknown),
            known => known,
        };
        let done: Done = match result(Effect::Mutation, judged, read) {
            Ok(done) => done,
            Err(outcome) => return outcome,
        };
        let mut answer = json!(done);
        if again && let Ok(reply) = self.send(path, body).await {
            answer["again"] = read::<Done>(&reply.body).map_or(Value::Null, |done| json!(done));
        }
        Outcome::Ok(answer)
    }

    async fn send(&mut self, path: &str, body: &Value) -> Result<Reply, Failure> {
        judge(self.http.json(Method::POST, path, body).await)
    }

    /// One page, of what the node has.
    async fn poll(&mut self, path: &str, consumer: usize, from: u64) -> Outcome {
        let answer = self.http.get(&format!("{path}?from={from}")).await;
        outcome(Effect::Read, answer, |body| {
            let mut page = json!(read::<Page>(body)?);
            page["consumer"] = json!(consumer);
            Ok(page)
        })
    }

    /// The stream, for a while.
    async fn follow(&mut self, consumer: usize, from: u64) -> Outcome {
        let path = format!("/events/stream?from={from}&limit={LISTENS_TO}&for_ms={LISTENS_MS}");
        let answer = self.http.get(&path).await;
        outcome(Effect::Read, answer, |body| {
            let items = messages(body)?;
            let last = items.iter().filter_map(|event| event["number"].as_u64()).max();
            let next = last.map_or(from, |last| from.max(last + 1));
            Ok(json!({ "consumer": consumer, "from": from, "next": next, "items": items }))
        })
    }

    /// All pages; the first one says how far they must go.
    async fn whole(&mut self, path: &str) -> Result<Value, Outcome> {
        let mut whole: Option<Page> = None;
        for _ in 0..PAGES_MAX {
            let from = whole.as_ref().map_or_else(String::new, |page| format!("&from={}", page.next));
            let answer = self.http.get(&format!("{path}?consistency=strong&limit={PAGE}{from}")).await;
            let page: Page = result(Effect::Read, judge(answer), read)?;
            let is_last = page.items.len() < PAGE;
            whole = Some(match whole {
                None => page,
                Some(mut all) => {
                    all.items.extend(page.items);
                    Page { next: page.next, applied: page.applied, ..all }
                }
            });
            if is_last {
                return Ok(json!(whole));
            }
        }
        Err(Outcome::Fail(format!("{path} has no end")))
    }
}

/// The data of server-sent events (WHATWG HTML, section 9.2): our events have one line each.
fn messages(body: &[u8]) -> Result<Vec<Value>, serde_json::Error> {
    let text = String::from_utf8_lossy(body);
    text.lines()
        .filter_map(|line| line.strip_prefix("data:"))
        .map(|data| serde_json::from_str(data.trim()))
        .collect()
}

impl Client for IotClient {
    fn invoke<'a>(&'a mut self, op: &'a Op) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            match IotOp::try_from(op) {
                Ok(op) => self.ask(&op).await,
                Err(e) => Outcome::Fail(e.to_string()),
            }
        })
    }
}

#[cfg(test)]
mod tests;
