//! The client of the `inventory` contract (`openapi.yaml`).

use std::collections::BTreeMap;
use std::net::SocketAddr;

use ordeal_core::{BoxFuture, Client, Op, Outcome};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::InventoryOp;
use super::answers::{Done, Stock, request_id};
use crate::http::{Effect, HttpClient, Method, judge, kept, outcome, result};
use crate::waiting::wait;

/// Pages of one list of conflicts that are asked for.
const PAGES_MAX: usize = 1_000;

/// A client of the node at `base`.
pub fn client(base: SocketAddr) -> Box<dyn Client> {
    Box::new(InventoryClient { http: HttpClient::new(base) })
}

struct InventoryClient {
    http: HttpClient,
}

#[derive(Serialize)]
struct Movement {
    request_id: String,
    delta: i64,
}

#[derive(Serialize)]
struct Count {
    request_id: String,
    level: i64,
}

#[derive(Deserialize)]
struct Conflicts {
    conflicts: Vec<Conflict>,
    #[serde(deserialize_with = "Option::deserialize")]
    next: Option<u64>,
}

#[derive(Deserialize)]
struct Conflict {
    sku: String,
    stock_takes: [Dot; 2],
}

#[derive(Deserialize)]
struct Dot {
    warehouse: String,
    number: u64,
}

impl InventoryClient {
    async fn ask(&mut self, op: InventoryOp) -> Outcome {
        let http = &mut self.http;
        match op {
            InventoryOp::Move { sku, delta, request } => {
                let body = Movement { request_id: request_id(request), delta };
                let answer = http.json(Method::POST, &format!("/stock/{sku}/movements"), &body).await;
                outcome(Effect::Mutation, answer, kept::<Done>)
            }
            InventoryOp::Count { sku, level, request } => {
                let body = Count { request_id: request_id(request), level };
                let answer = http.json(Method::PUT, &format!("/stock/{sku}/count"), &body).await;
                outcome(Effect::Mutation, answer, kept::<Done>)
            }
            InventoryOp::Read { sku } => {
                let answer = http.get(&format!("/stock/{sku}")).await;
                outcome(Effect::Read, answer, kept::<Stock>)
            }
            InventoryOp::Conflicts => self.conflicts().await.map_or_else(|failed| failed, Outcome::Ok),
            InventoryOp::Wait(ms) => wait(ms).await,
        }
    }

    /// All conflicts, page by page, by SKU.
    async fn conflicts(&mut self) -> Result<Value, Outcome> {
        let mut found: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        let mut from = 0;
        for _ in 0..PAGES_MAX {
            let answer = self.http.get(&format!("/conflicts?from={from}")).await;
            let page: Conflicts = result(Effect::Read, judge(answer), |body| serde_json::from_slice(body))?;
            for Conflict { sku, stock_takes } in page.conflicts {
                let pair = stock_takes.map(|Dot { warehouse, number }| json!([warehouse, number]));
                found.entry(sku).or_default().push(json!(pair));
            }
            match page.next {
                Some(next) => from = next,
                None => return Ok(json!(found)),
            }
        }
        Err(Outcome::Fail(format!("there are more than {PAGES_MAX} pages of conflicts")))
    }
}

impl Client for InventoryClient {
    fn invoke<'a>(&'a mut self, op: &'a Op) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            match InventoryOp::try_from(op) {
                Ok(op) => self.ask(op).await,
                Err(e) => Outcome::Fail(e.to_string()),
            }
        })
    }
}

#[cfg(test)]
mod tests;
