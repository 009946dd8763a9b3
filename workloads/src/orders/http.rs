//! The client of the `orders` contract (`openapi.yaml`).

use std::net::SocketAddr;

use ordeal_core::{BoxFuture, Client, Op, Outcome};
use serde::Deserialize;
use serde_json::json;

use super::OrderOp;
use super::event::{Answer, NodeStatus, Order, Step, Steps, Stock};
use crate::http::{Effect, HttpClient, Method, judge, kept, outcome, result};
use crate::waiting::wait;

/// Steps on a page that is polled for.
const POLLED: u64 = 100;
/// Pages of one sequence that are asked for.
const PAGES_MAX: usize = 1_000;

/// A client of the node at `base`.
pub fn client(base: SocketAddr) -> Box<dyn Client> {
    Box::new(OrdersClient { http: HttpClient::new(base) })
}

struct OrdersClient {
    http: HttpClient,
}

#[derive(Deserialize)]
struct Page {
    node: String,
    events: Vec<Step>,
    #[serde(deserialize_with = "Option::deserialize")]
    next: Option<u64>,
}

impl OrdersClient {
    async fn ask(&mut self, op: OrderOp) -> Outcome {
        let http = &mut self.http;
        match op {
            OrderOp::Send(event) => {
                let answer = http.json(Method::POST, "/events", &event).await;
                outcome(Effect::Mutation, answer, kept::<Answer>)
            }
            OrderOp::Order(_, id) => {
                outcome(Effect::Read, http.get(&format!("/orders/{id}")).await, kept::<Order>)
            }
            OrderOp::Stock(sku) => {
                outcome(Effect::Read, http.get(&format!("/stock/{sku}")).await, kept::<Stock>)
            }
            OrderOp::Processed(from) => {
                let answer = http.get(&format!("/processed?from={from}&limit={POLLED}")).await;
                outcome(Effect::Read, answer, kept::<Steps>)
            }
            OrderOp::Sequence => self.sequence().await.unwrap_or_else(|failed| failed),
            OrderOp::Status => outcome(Effect::Read, http.get("/status").await, kept::<NodeStatus>),
            OrderOp::Wait(ms) => wait(ms).await,
        }
    }

    /// The whole sequence, page by page.
    async fn sequence(&mut self) -> Result<Outcome, Outcome> {
        let mut from = 0;
        let mut events = Vec::new();
        for _ in 0..PAGES_MAX {
            let answer = self.http.get(&format!("/processed?from={from}")).await;
            let page: Page = result(Effect::Read, judge(answer), |body| serde_json::from_slice(body))?;
            events.extend(page.events);
            match page.next {
                Some(next) => from = next,
                None => return Ok(Outcome::Ok(json!(Steps { node: page.node, events }))),
            }
        }
        Err(Outcome::Fail(format!("the sequence has more than {PAGES_MAX} pages")))
    }
}

impl Client for OrdersClient {
    fn invoke<'a>(&'a mut self, op: &'a Op) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            match OrderOp::try_from(op) {
                Ok(op) => self.ask(op).await,
                Err(e) => Outcome::Fail(e.to_string()),
            }
        })
    }
}

#[cfg(test)]
mod tests;
