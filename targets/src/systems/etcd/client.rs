//! The client of the `register` workload for etcd.

use std::net::SocketAddr;
use std::sync::Arc;

use ordeal_core::{BoxFuture, Client, Op, Outcome};
use ordeal_workloads::http::{Effect, HttpClient, Method, result};
use ordeal_workloads::register::RegisterOp;

use super::api::{Compare, Range, RangeReply, Request, Txn, TxnReply, base64, judge_reply};

/// What all clients of a run have in common.
pub(super) struct Settings {
    /// Reads are answered by the node alone, from what it has.
    serializable: bool,
    /// How many compares over all registers every write carries, and the range of keys they look at, in
    /// base64.
    guards: usize,
    range: (String, String),
}

impl Settings {
    pub(super) fn new(serializable: bool, guards: usize) -> Self {
        // `0` is the character after `/`: the range is everything that begins with the first.
        let range = (base64("ordeal/register/"), base64("ordeal/register0"));
        Settings { serializable, guards, range }
    }
}

/// A connection to one node.
pub(super) struct EtcdClient {
    http: HttpClient,
    settings: Arc<Settings>,
}

impl EtcdClient {
    pub(super) fn new(address: SocketAddr, settings: Arc<Settings>) -> Self {
        EtcdClient { http: HttpClient::new(address), settings }
    }

    /// Reads a key.
    pub(super) async fn read(&mut self, key: &str) -> Outcome {
        let range = Range { key: &base64(key), serializable: self.settings.serializable };
        let answer = self.http.json(Method::POST, "/v3/kv/range", &range).await;
        let reply =
            result(Effect::Read, judge_reply(answer), |body| serde_json::from_slice::<RangeReply>(body));
        reply.map_or_else(|failed| failed, |range| Outcome::Ok(range.versioned()))
    }

    /// Writes `to`, if `from` is given only if that is there. The transaction reads what it wrote, so
    /// that the answer has the version that this very write got.
    async fn write(&mut self, key: &str, from: Option<i64>, to: i64) -> Outcome {
        let key = base64(key);
        let (from, to) = (from.map(|v| base64(v.to_string())), base64(to.to_string()));
        let (first, end) = &self.settings.range;
        let guards = std::iter::repeat_n(Compare::whatever(first, end), self.settings.guards);
        let expected = from.as_ref().map(|from| Compare::value(&key, from));
        let txn = Txn {
            compare: guards.chain(expected).collect(),
            success: [Request::Put { key: &key, value: &to }, Request::Range { key: &key }],
        };
        let answer = self.http.json(Method::POST, "/v3/kv/txn", &txn).await;
        let reply =
            result(Effect::Mutation, judge_reply(answer), |body| serde_json::from_slice::<TxnReply>(body));
        match reply {
            Ok(txn) if !txn.succeeded => Outcome::Fail("the condition did not hold".to_owned()),
            Ok(txn) => match txn.versioned() {
                Some(versioned) => Outcome::Ok(versioned),
                None => Outcome::Info("etcd answered without the value it wrote".to_owned()),
            },
            Err(failed) => failed,
        }
    }
}

impl Client for EtcdClient {
    fn invoke<'a>(&'a mut self, op: &'a Op) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            let name = |key: i64| format!("ordeal/register/{key}");
            match RegisterOp::try_from(op) {
                Ok(RegisterOp::Read { key }) => self.read(&name(key)).await,
                Ok(RegisterOp::Write { key, value }) => self.write(&name(key), None, value).await,
                Ok(RegisterOp::Cas { key, from, to }) => self.write(&name(key), Some(from), to).await,
                Err(e) => Outcome::Fail(e.to_string()),
            }
        })
    }
}
