//! The client of the `trades` contract (`openapi.yaml`).

use std::collections::BTreeMap;
use std::net::SocketAddr;

use ordeal_core::{BoxFuture, Client, Op, Outcome};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::TradeOp;
use super::answers::{Answer, Booking, Copies, Copy, Details, Ledger, OwnCopy, WaitingList};
use crate::http::{Effect, HttpClient, Method, judge, kept, outcome, result};
use crate::waiting::wait;

/// Pages of one list that are asked for.
const PAGES_MAX: usize = 1_000;

/// A client of the node at `base`.
pub fn client(base: SocketAddr) -> Box<dyn Client> {
    Box::new(TradesClient { http: HttpClient::new(base) })
}

struct TradesClient {
    http: HttpClient,
}

#[derive(Serialize)]
struct NewTrade {
    correlation_id: String,
    #[serde(flatten)]
    details: Details,
}

#[derive(Deserialize)]
struct CopiesPage {
    node: String,
    role: String,
    copies: Vec<CopyOf>,
    #[serde(deserialize_with = "Option::deserialize")]
    next: Option<String>,
}

#[derive(Deserialize)]
struct CopyOf {
    correlation_id: String,
    #[serde(flatten)]
    copy: Copy,
}

#[derive(Deserialize)]
struct LedgerPage {
    node: String,
    bookings: Vec<Booking>,
    #[serde(deserialize_with = "Option::deserialize")]
    next: Option<u64>,
}

impl TradesClient {
    async fn ask(&mut self, op: TradeOp) -> Outcome {
        let http = &mut self.http;
        match op {
            TradeOp::Submit(correlation_id, details) => {
                let body = NewTrade { correlation_id, details };
                let answer = http.json(Method::POST, "/trades", &body).await;
                outcome(Effect::Mutation, answer, kept::<Answer>)
            }
            TradeOp::Settle(trade) => {
                let answer =
                    http.send(Method::POST, &format!("/trades/{trade}/settlement"), Vec::new()).await;
                outcome(Effect::Mutation, answer, kept::<Answer>)
            }
            TradeOp::Read(trade) => {
                outcome(Effect::Read, http.get(&format!("/trades/{trade}")).await, kept::<Answer>)
            }
            TradeOp::Copy(trade) => {
                let answer = http.get(&format!("/trades/{trade}?from=local")).await;
                outcome(Effect::Read, answer, kept::<OwnCopy>)
            }
            TradeOp::WaitingList => {
                outcome(Effect::Read, http.get("/waiting-list").await, kept::<WaitingList>)
            }
            TradeOp::Copies => self.copies().await.map_or_else(|failed| failed, Outcome::Ok),
            TradeOp::Ledger => self.ledger().await.map_or_else(|failed| failed, Outcome::Ok),
            TradeOp::Wait(ms) => wait(ms).await,
        }
    }

    async fn page<T: for<'d> Deserialize<'d>>(&mut self, path: &str) -> Result<T, Outcome> {
        result(Effect::Read, judge(self.http.get(path).await), |body| serde_json::from_slice(body))
    }

    /// All copies, page by page.
    async fn copies(&mut self) -> Result<Value, Outcome> {
        let mut path = "/copies".to_owned();
        let mut copies = BTreeMap::new();
        for _ in 0..PAGES_MAX {
            let page: CopiesPage = self.page(&path).await?;
            copies.extend(page.copies.into_iter().map(|of| (of.correlation_id, of.copy)));
            match page.next {
                Some(next) => path = format!("/copies?after={next}"),
                None => return Ok(json!(Copies { node: page.node, role: page.role, copies })),
            }
        }
        Err(Outcome::Fail(format!("there are more than {PAGES_MAX} pages of copies")))
    }

    /// The whole ledger, page by page.
    async fn ledger(&mut self) -> Result<Value, Outcome> {
        let mut from = 0;
        let mut bookings = Vec::new();
        for _ in 0..PAGES_MAX {
            let page: LedgerPage = self.page(&format!("/ledger?from={from}")).await?;
            bookings.extend(page.bookings);
            match page.next {
                Some(next) => from = next,
                None => return Ok(json!(Ledger { node: page.node, bookings })),
            }
        }
        Err(Outcome::Fail(format!("there are more than {PAGES_MAX} pages of the ledger")))
    }
}

impl Client for TradesClient {
    fn invoke<'a>(&'a mut self, op: &'a Op) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            match TradeOp::try_from(op) {
                Ok(op) => self.ask(op).await,
                Err(e) => Outcome::Fail(e.to_string()),
            }
        })
    }
}

#[cfg(test)]
mod tests;
