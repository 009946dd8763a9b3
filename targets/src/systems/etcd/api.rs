//! The part of etcd's JSON gateway that is used here: requests, answers, and what errors mean.
//!
//! Source: etcd's `rpc.proto` and grpc-gateway's JSON mapping. Bytes are base64, 64-bit numbers are
//! strings, and fields with their default value are left out.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ordeal_workloads::http::{Failure, HttpError, Reply, judge};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A read of one key: `POST /v3/kv/range`.
#[derive(Serialize)]
pub(super) struct Range<'a> {
    pub(super) key: &'a str,
    pub(super) serializable: bool,
}

/// A transaction: `POST /v3/kv/txn`.
#[derive(Serialize)]
pub(super) struct Txn<'a> {
    pub(super) compare: Vec<Compare<'a>>,
    pub(super) success: [Request<'a>; 2],
}

/// A condition of a transaction.
#[derive(Clone, Copy, Serialize)]
pub(super) struct Compare<'a> {
    key: &'a str,
    /// With it, every key from `key` up to this one is compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    range_end: Option<&'a str>,
    target: &'static str,
    result: &'static str,
    #[serde(flatten)]
    to: CompareTo<'a>,
}

#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "lowercase")]
enum CompareTo<'a> {
    Version(&'a str),
    Value(&'a str),
}

impl<'a> Compare<'a> {
    /// The key holds this value.
    pub(super) fn value(key: &'a str, value: &'a str) -> Self {
        Compare { key, range_end: None, target: "VALUE", result: "EQUAL", to: CompareTo::Value(value) }
    }

    /// Every key from `key` up to `end` has been written at least no times: always so, but the node has to
    /// look at them all.
    pub(super) fn whatever(key: &'a str, end: &'a str) -> Self {
        Compare {
            key,
            range_end: Some(end),
            target: "VERSION",
            result: "GREATER",
            to: CompareTo::Version("-1"),
        }
    }
}

/// A step of a transaction.
#[derive(Serialize)]
pub(super) enum Request<'a> {
    /// Write the key.
    #[serde(rename = "request_put")]
    Put { key: &'a str, value: &'a str },
    /// Read the key.
    #[serde(rename = "request_range")]
    Range { key: &'a str },
}

/// The answer to a read.
#[derive(Deserialize)]
pub(super) struct RangeReply {
    // Every answer has one; a body without it is none.
    #[serde(rename = "header")]
    _header: IgnoredAny,
    #[serde(default)]
    kvs: Vec<KeyValue>,
}

#[derive(Deserialize)]
struct KeyValue {
    version: String,
    #[serde(default)]
    value: String,
}

/// The answer to a transaction.
#[derive(Deserialize)]
pub(super) struct TxnReply {
    #[serde(rename = "header")]
    _header: IgnoredAny,
    /// Whether all conditions held.
    #[serde(default)]
    pub(super) succeeded: bool,
    #[serde(default)]
    responses: Vec<Response>,
}

#[derive(Deserialize)]
struct Response {
    response_range: Option<RangeReply>,
}

impl RangeReply {
    /// `[version, value]`; a key that does not exist has version 0 and value null. What no client can
    /// have written is passed on as it is: judging it is not the client's business.
    pub(super) fn versioned(&self) -> Value {
        let Some(kv) = self.kvs.first() else {
            return json!([0, null]);
        };
        let bytes = STANDARD.decode(&kv.value).unwrap_or_default();
        let value = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()));
        json!([kv.version.parse::<u64>().ok(), value])
    }
}

impl TxnReply {
    /// The result of the read in the transaction, as in [`RangeReply::versioned`].
    pub(super) fn versioned(&self) -> Option<Value> {
        let read = self.responses.iter().find_map(|r| r.response_range.as_ref());
        read.map(RangeReply::versioned)
    }
}

/// Bytes as the gateway wants them.
pub(super) fn base64(bytes: impl AsRef<[u8]>) -> String {
    STANDARD.encode(bytes)
}

/// What `GET /health` says.
pub(super) fn is_healthy(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Health {
        health: String,
    }
    serde_json::from_slice(body).is_ok_and(|h: Health| h.health == "true")
}

/// Whether the member that sent this status names itself as the leader.
pub(super) fn is_leader(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Header {
        member_id: String,
    }
    #[derive(Deserialize)]
    struct Status {
        header: Header,
        leader: String,
    }
    serde_json::from_slice(body).is_ok_and(|s: Status| s.leader == s.header.member_id)
}

/// The errors after which a transaction has certainly not been proposed to Raft: gRPC code, and the
/// beginning of the message. Everything else is in doubt. In particular `database space exceeded` is: a
/// member that finds its quota exhausted says so after it has applied the transaction. The HTTP status
/// says too little: the gateway gives a timeout and a refusal the same one.
///
/// Source: `etcdserver/v3_server.go`, `etcdserver/api/v3rpc/{key,quota,rpctypes/error}.go`,
/// `etcdserver/apply.go` (`quotaApplierV3`), `raft/raft.go` (`ErrProposalDropped`).
const NOT_PROPOSED: &[(u32, &str)] = &[
    // InvalidArgument: malformed, too many operations, too large.
    (3, ""),
    // ResourceExhausted, of which this kind is said before anything is proposed.
    (8, "etcdserver: too many requests"),
    // Unknown: Raft has no leader to give it to, or is handing over.
    (2, "raft proposal dropped"),
    // Unimplemented.
    (12, ""),
];

/// What an answer says about a transaction's effect: the transport's part of the table is the common
/// one, errors of etcd itself go by [`NOT_PROPOSED`].
pub(super) fn judge_reply(answer: Result<Reply, HttpError>) -> Result<Reply, Failure> {
    #[derive(Deserialize)]
    struct Error {
        code: u32,
        message: String,
    }
    let reply = match answer {
        Ok(reply) if reply.status != 200 => reply,
        other => return judge(other),
    };
    let not_proposed = serde_json::from_slice(&reply.body).is_ok_and(|error: Error| {
        let row = |&(code, message): &(u32, &str)| error.code == code && error.message.starts_with(message);
        NOT_PROPOSED.iter().any(row)
    });
    Err(match not_proposed {
        true => Failure::NotDone(reply.quote()),
        false => Failure::Unknown(reply.quote()),
    })
}
