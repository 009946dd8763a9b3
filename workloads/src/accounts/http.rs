//! The client of the `accounts` contract (`openapi.yaml`).

use std::net::SocketAddr;

use ordeal_core::{BoxFuture, Client, Op, Outcome};
use serde_json::{Value, json};

use super::AccountOp;
use super::answers::{Account, Balances, Partitions, Receipt};
use crate::http::{Effect, HttpClient, Method, kept, outcome};
use crate::waiting::wait;

/// A client of the node at `base`.
pub fn client(base: SocketAddr) -> Box<dyn Client> {
    Box::new(AccountsClient { http: HttpClient::new(base) })
}

struct AccountsClient {
    http: HttpClient,
}

impl AccountsClient {
    async fn ask(&mut self, op: AccountOp) -> Outcome {
        let http = &mut self.http;
        match op {
            AccountOp::Open(id, opening) => {
                let body = json!({ "request_id": opening.request_id, "id": id, "balance": opening.balance });
                let answer = http.json(Method::POST, "/accounts", &body).await;
                outcome(Effect::Mutation, answer, kept::<Account>)
            }
            AccountOp::Transfer(transfer) => {
                let answer = http.json(Method::POST, "/transfers", &transfer).await;
                outcome(Effect::Mutation, answer, kept::<Receipt>)
            }
            AccountOp::Read(id) => match http.get(&format!("/accounts/{id}")).await {
                // There is no such account.
                Ok(reply) if reply.status == 404 => Outcome::Ok(Value::Null),
                answer => outcome(Effect::Read, answer, kept::<Account>),
            },
            AccountOp::Balances(ids) | AccountOp::Snapshot(ids) => {
                let answer = http.get(&format!("/balances?ids={}", ids.join(","))).await;
                outcome(Effect::Read, answer, kept::<Balances>)
            }
            AccountOp::Partitions(ids) => {
                let answer = http.get(&format!("/partitions?ids={}", ids.join(","))).await;
                outcome(Effect::Read, answer, kept::<Partitions>)
            }
            AccountOp::Wait(ms) => wait(ms).await,
        }
    }
}

impl Client for AccountsClient {
    fn invoke<'a>(&'a mut self, op: &'a Op) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            match AccountOp::try_from(op) {
                Ok(op) => self.ask(op).await,
                Err(e) => Outcome::Fail(e.to_string()),
            }
        })
    }
}

#[cfg(test)]
mod tests;
