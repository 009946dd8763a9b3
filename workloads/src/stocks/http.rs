//! The client of the `stocks` contract (`openapi.yaml`).

use std::net::SocketAddr;

use ordeal_core::{BoxFuture, Client, Op, Outcome};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::StockOp;
use crate::http::{Effect, HttpClient, Method, judge, outcome, result};

/// Pieces of one audit feed that are asked for.
const PIECES_MAX: usize = 10_000;

/// A client of the node at `base`.
pub fn client(base: SocketAddr) -> Box<dyn Client> {
    Box::new(StocksClient { http: HttpClient::new(base) })
}

struct StocksClient {
    http: HttpClient,
}

#[derive(Serialize)]
struct Token {
    token: u64,
}

#[derive(Serialize)]
struct NewPrice {
    request_id: String,
    price: u64,
    token: u64,
}

#[derive(Deserialize)]
struct Grant {
    token: u64,
}

#[derive(Deserialize)]
struct Lease {
    #[serde(deserialize_with = "Option::deserialize")]
    token: Option<u64>,
    #[serde(deserialize_with = "Option::deserialize")]
    holder: Option<String>,
}

#[derive(Deserialize)]
struct Quote {
    token: u64,
    /// Null before the first update; a body without the field is not an answer.
    #[serde(deserialize_with = "Option::deserialize")]
    price: Option<u64>,
}

#[derive(Deserialize)]
struct Feed {
    entries: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    position: u64,
    token: u64,
    price: u64,
}

/// Reads a grant.
fn granted(body: &[u8]) -> Result<Value, serde_json::Error> {
    serde_json::from_slice(body).map(|Grant { token }| json!(token))
}

impl StocksClient {
    async fn ask(&mut self, symbol: &str, op: StockOp) -> Outcome {
        let http = &mut self.http;
        let (lease, price) = (format!("/leases/{symbol}"), format!("/prices/{symbol}"));
        match op {
            StockOp::Acquire => {
                let answer = http.send(Method::POST, &lease, Vec::new()).await;
                outcome(Effect::Mutation, answer, granted)
            }
            StockOp::Renew(token) => {
                let answer = http.json(Method::PUT, &lease, &Token { token }).await;
                outcome(Effect::Mutation, answer, granted)
            }
            StockOp::Release(token) => {
                let answer = http.json(Method::DELETE, &lease, &Token { token }).await;
                outcome(Effect::Mutation, answer, |_| Ok(json!(token)))
            }
            StockOp::Lookup => {
                let answer = http.get(&lease).await;
                outcome(Effect::Read, answer, |body| {
                    let Lease { token, holder } = serde_json::from_slice(body)?;
                    Ok(token.zip(holder).map_or(Value::Null, |lease| json!(lease)))
                })
            }
            StockOp::Update { token, price: new } => {
                let body = NewPrice { request_id: format!("u{new}"), price: new, token };
                let answer = http.json(Method::PUT, &price, &body).await;
                outcome(Effect::Mutation, answer, |_| Ok(json!([token, new])))
            }
            StockOp::Read => {
                let answer = http.get(&format!("{price}?consistency=strong")).await;
                outcome(Effect::Read, answer, |body| {
                    serde_json::from_slice(body).map(|Quote { token, price }| json!([token, price]))
                })
            }
            StockOp::ReadLocal => {
                let answer = http.get(&format!("{price}?consistency=local")).await;
                outcome(Effect::Read, answer, |body| {
                    serde_json::from_slice(body).map(|Quote { price, .. }| json!(price))
                })
            }
            StockOp::Audit => self.audit(symbol).await,
        }
    }

    /// The whole feed, piece by piece.
    async fn audit(&mut self, symbol: &str) -> Outcome {
        let mut feed: Vec<(u64, u64)> = Vec::new();
        for _ in 0..PIECES_MAX {
            let from = feed.len() as u64;
            let judged = judge(self.http.get(&format!("/audit/{symbol}?from={from}")).await);
            let piece = result(Effect::Read, judged, |body| serde_json::from_slice::<Feed>(body));
            let entries = match piece {
                Ok(Feed { entries }) => entries,
                Err(failed) => return failed,
            };
            if entries.is_empty() {
                return Outcome::Ok(json!(feed));
            }
            for (entry, position) in entries.into_iter().zip(from..) {
                if entry.position != position {
                    let found = entry.position;
                    return Outcome::Fail(format!("entry {position} of the feed says that it is {found}"));
                }
                feed.push((entry.token, entry.price));
            }
        }
        Outcome::Fail(format!("the feed has more than {PIECES_MAX} pieces"))
    }
}

impl Client for StocksClient {
    fn invoke<'a>(&'a mut self, op: &'a Op) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            match StockOp::read(op) {
                Ok((symbol, asked)) => self.ask(symbol, asked).await,
                Err(e) => Outcome::Fail(e.to_string()),
            }
        })
    }
}

#[cfg(test)]
mod tests;
