//! The client of the `telecom` contract (`openapi.yaml`).
//!
//! It goes by a routing table of its own and by redirects, a bounded number of them: it asks the owner it knows, naming the
//! epoch, and when that one refuses it asks for the routing again. Now and then it asks its own node without looking at the
//! table, as somebody does who has none. A request whose end is unknown is sent once more, with the same request id.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::time::Duration;

use ordeal_core::{BoxFuture, Client, Op, Outcome};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::TelecomOp;
use super::answers::{Customer, Done, Load, Routing, Visited, in_order, plan_of, request_id, request_of};
use super::load::VISIT_EVERY_MS;
use crate::http::{Effect, Failure, HttpClient, HttpError, Method, Reply, judge, kept, outcome, result};

/// Requests that are sent for one operation: to the first node, after redirects, and after refusals that may pass.
const ATTEMPTS_MAX: usize = 10;
/// Before an attempt that follows a refusal.
const PAUSE: Duration = Duration::from_millis(30);
/// How long a customer is asked for in the end.
const FINAL_PATIENCE: Duration = Duration::from_millis(1_000);
/// Every so many-th operation goes to the client's own node.
const WITHOUT_TABLE: u64 = 8;

/// A client of the node at `base`.
pub fn client(base: SocketAddr) -> Box<dyn Client> {
    Box::new(TelecomClient { base, table: None, links: HashMap::new(), operations: 0 })
}

struct TelecomClient {
    base: SocketAddr,
    table: Option<Table>,
    /// A connection to each node that was asked.
    links: HashMap<SocketAddr, HttpClient>,
    operations: u64,
}

/// What a client keeps of the routing.
#[derive(Clone, Deserialize)]
struct Table {
    shards: Vec<Entry>,
}

#[derive(Clone, Deserialize)]
struct Entry {
    #[serde(deserialize_with = "Option::deserialize")]
    from: Option<String>,
    #[serde(deserialize_with = "Option::deserialize")]
    to: Option<String>,
    address: SocketAddr,
    epoch: u64,
}

impl Entry {
    fn contains(&self, customer: &str) -> bool {
        let key = in_order(customer);
        self.from.as_ref().is_none_or(|from| in_order(from) <= key)
            && self.to.as_ref().is_none_or(|to| key < in_order(to))
    }
}

#[derive(Serialize)]
struct NewCall {
    request_id: String,
    plan: String,
    cost: u64,
}

/// A customer as a node tells it.
#[derive(Deserialize)]
struct Told {
    #[serde(flatten)]
    customer: ToldCustomer,
    calls: Vec<Call>,
}

#[derive(Deserialize)]
struct ToldCustomer {
    #[serde(flatten)]
    by: super::answers::By,
    version: u64,
    #[serde(deserialize_with = "Option::deserialize")]
    plan: Option<String>,
    balance: i64,
}

#[derive(Deserialize)]
struct Call {
    id: String,
}

/// Reads a customer.
fn customer(body: &[u8]) -> Result<Customer, serde_json::Error> {
    let Told { customer: ToldCustomer { by, version, plan, balance }, calls } = serde_json::from_slice(body)?;
    let unknown = |id: &str| serde::de::Error::custom(format!("nobody has recorded a call {id:?}"));
    let calls = calls.iter().map(|call| request_of(&call.id).ok_or_else(|| unknown(&call.id)));
    Ok(Customer { by, version, plan, balance, calls: calls.collect::<Result<_, _>>()? })
}

/// Where to send a request: the node, and what to say of the epoch.
type To = (SocketAddr, Option<u64>);

/// Where a redirect leads.
fn location(reply: &Reply) -> Option<To> {
    #[derive(Deserialize)]
    struct Redirect {
        location: String,
    }
    let Redirect { location } = serde_json::from_slice(&reply.body).ok().filter(|_| reply.status == 307)?;
    let (address, path) = location.strip_prefix("http://")?.split_once('/')?;
    let epoch = path.split_once("?epoch=").and_then(|(_, epoch)| epoch.parse().ok());
    Some((address.parse().ok()?, epoch))
}

impl TelecomClient {
    fn link(&mut self, to: SocketAddr) -> &mut HttpClient {
        self.links.entry(to).or_insert_with(|| HttpClient::new(to))
    }

    async fn ask(&mut self, op: TelecomOp) -> Outcome {
        match op {
            TelecomOp::Put { customer, request, cost } | TelecomOp::Again { customer, request, cost } => {
                let call = NewCall { request_id: request_id(request), plan: plan_of(request), cost };
                let body = match serde_json::to_vec(&call) {
                    Ok(body) => body,
                    Err(e) => return Outcome::Fail(e.to_string()),
                };
                result(Effect::Mutation, self.at_owner(&customer, body).await, kept::<Done>)
                    .map_or_else(|failed| failed, Outcome::Ok)
            }
            TelecomOp::Read(name) => match self.read(&name).await {
                Ok(customer) => Outcome::Ok(json!(customer)),
                Err(failed) => failed,
            },
            TelecomOp::FinalRead(name) => Outcome::Ok(json!(self.read_patiently(&name).await)),
            TelecomOp::Routing => outcome(Effect::Read, self.get("/routing").await, kept::<Routing>),
            TelecomOp::Load => outcome(Effect::Read, self.get("/load").await, kept::<Load>),
            TelecomOp::Visit(_, customers) => Outcome::Ok(json!(self.visit(&customers).await)),
        }
    }

    async fn get(&mut self, path: &str) -> Result<Reply, HttpError> {
        self.link(self.base).get(path).await
    }

    async fn read(&mut self, name: &str) -> Result<Customer, Outcome> {
        result(Effect::Read, self.at_owner(name, Vec::new()).await, customer)
    }

    /// A customer who may just be moving; none if nobody serves it for a while.
    async fn read_patiently(&mut self, name: &str) -> Option<Customer> {
        let end = Instant::now() + FINAL_PATIENCE;
        loop {
            match self.read(name).await {
                Ok(customer) => return Some(customer),
                Err(_) if Instant::now() < end => {}
                Err(_) => return None,
            }
        }
    }

    /// Reads these customers one after another, evenly in time, and counts who serves them.
    async fn visit(&mut self, customers: &[String]) -> Visited {
        let start = Instant::now();
        let every = Duration::from_millis(VISIT_EVERY_MS);
        let end = start + every * 2 * customers.len() as u32;
        let mut served = BTreeMap::new();
        for (n, name) in (0..).zip(customers) {
            sleep_until((start + every * n).min(end)).await;
            if let Ok(Ok(customer)) = timeout_at(end, self.read(name)).await {
                *served.entry(customer.by.node).or_default() += 1;
            }
        }
        let unserved = customers.len() as u64 - served.values().sum::<u64>();
        Visited { served, unserved }
    }

    /// Has the owner of a customer answer; with a body it is a change.
    async fn at_owner(&mut self, name: &str, body: Vec<u8>) -> Result<Reply, Failure> {
        self.operations += 1;
        let without_table = self.operations.is_multiple_of(WITHOUT_TABLE);
        let mut to = if without_table { (self.base, None) } else { self.owner(name).await };
        let mut last = Failure::NotDone("no attempt was made".to_owned());
        let mut in_doubt = false;
        for _ in 0..ATTEMPTS_MAX {
            let reply = self.send(to, name, &body).await;
            if let Some(owner) = reply.as_ref().ok().and_then(location) {
                last = Failure::NotDone(format!("sent on to {}", owner.0));
                to = owner;
                continue;
            }
            let refused = reply.as_ref().is_ok_and(|reply| matches!(reply.status, 400..=420 | 422..=499));
            last = match judge(reply) {
                Ok(reply) => return Ok(reply),
                Err(failure) => failure,
            };
            let unknown = matches!(last, Failure::Unknown(_));
            if refused || (unknown && in_doubt) {
                break;
            }
            in_doubt |= unknown;
            sleep(PAUSE).await;
            self.learn().await;
            to = self.owner(name).await;
        }
        match last {
            // An attempt that was refused says nothing of the one before.
            Failure::NotDone(why) if in_doubt => Err(Failure::Unknown(why)),
            last => Err(last),
        }
    }

    async fn send(&mut self, to: To, name: &str, body: &[u8]) -> Result<Reply, HttpError> {
        let (address, epoch) = to;
        let epoch = epoch.map_or_else(String::new, |epoch| format!("?epoch={epoch}"));
        let method = if body.is_empty() { Method::GET } else { Method::PUT };
        self.link(address).send(method, &format!("/customers/{name}{epoch}"), body.to_vec()).await
    }

    /// Asks for the routing. If nobody tells it, the table stays what it was.
    async fn learn(&mut self) {
        let reply = self.get("/routing").await.ok().filter(|reply| reply.status == 200);
        if let Some(table) = reply.and_then(|reply| serde_json::from_slice(&reply.body).ok()) {
            self.table = Some(table);
        }
    }

    /// The owner by the client's table, which is asked for if there is none; without one, the client's own node.
    async fn owner(&mut self, name: &str) -> To {
        if self.table.is_none() {
            self.learn().await;
        }
        let entry = self.table.iter().flat_map(|table| &table.shards).find(|entry| entry.contains(name));
        entry.map_or((self.base, None), |entry| (entry.address, Some(entry.epoch)))
    }
}

impl Client for TelecomClient {
    fn invoke<'a>(&'a mut self, op: &'a Op) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            match TelecomOp::try_from(op) {
                Ok(op) => self.ask(op).await,
                Err(e) => Outcome::Fail(e.to_string()),
            }
        })
    }
}

#[cfg(test)]
mod tests;
