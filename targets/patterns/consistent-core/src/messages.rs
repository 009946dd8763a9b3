//! What a node can be asked, by a client or by a node that passes a client's request on; and what the nodes say to
//! one another (not part of the contract).

use axum::http::StatusCode;
use ordeal_kit::{ApiError, Id};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::claim::{Department, Verdict};
use crate::machine::{Change, Policies};

/// A client's request on its way to a node that can answer it.
pub(crate) const ASK: &str = "/node/ask";
/// A data node follows the core.
pub(crate) const WATCH: &str = "/core/watch";
/// A data node fetches all policies from the core.
pub(crate) const FETCH: &str = "/core/fetch";
/// A document for another home of its policy.
pub(crate) const STORE: &str = "/data/store";
/// The documents that a home holds.
pub(crate) const HELD: &str = "/data/held";

/// A client's request, as the contract has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Ask {
    Core(CoreAsk),
    Data(DataAsk),
}

/// What the core answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum CoreAsk {
    PutPolicy { policy: Id, request_id: Id, holder: String, premium: i64 },
    Policy { policy: Id },
    Submit { claim: Id, request_id: Id, policy: Id, amount: u64 },
    Confirm { claim: Id, request_id: Id, department: Department, verdict: Verdict },
    Claim { claim: Id },
    Adjust { request_id: Id, amount: i64, policies: Vec<Id> },
}

/// What data nodes answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum DataAsk {
    /// A policy, at this version or a later one.
    Policy {
        policy: Id,
        version: u64,
    },
    AddDocument {
        policy: Id,
        document: Document,
    },
    Documents {
        policy: Id,
    },
    Document {
        policy: Id,
        document: Id,
    },
}

impl Ask {
    /// Whether it can change anything.
    pub(crate) fn mutates(&self) -> bool {
        !matches!(
            self,
            Ask::Core(CoreAsk::Policy { .. } | CoreAsk::Claim { .. })
                | Ask::Data(DataAsk::Policy { .. } | DataAsk::Documents { .. } | DataAsk::Document { .. })
        )
    }
}

/// A bulk record. It never changes; its name is the request id of whoever added it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Document {
    pub(crate) document: Id,
    /// The core version it belongs to: its author knew the policy as of then.
    pub(crate) version: u64,
    pub(crate) text: String,
}

/// An [`ApiError`] between nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failure {
    status: u16,
    reason: String,
    definite: bool,
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Failure { status: error.status.as_u16(), reason: error.reason, definite: error.definite }
    }
}

impl From<Failure> for ApiError {
    fn from(failure: Failure) -> Self {
        let status = StatusCode::from_u16(failure.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        ApiError { status, reason: failure.reason, definite: failure.definite }
    }
}

/// The answer to [`ASK`].
pub(crate) type Reply = Result<Value, Failure>;

/// Body of [`WATCH`].
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Watch {
    /// What the data node has.
    pub(crate) after: u64,
}

/// The answer to [`WATCH`]: what came after, as far as it is kept. Nothing if nothing came for a while.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Watched {
    pub(crate) changes: Vec<Change>,
}

/// The answer to [`FETCH`].
pub(crate) type Fetched = Policies;

/// Body of [`STORE`]; the answer is `Result<(), Failure>`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Store {
    pub(crate) policy: Id,
    pub(crate) document: Document,
}

/// Body of [`HELD`]; the answer is `Result<Vec<Document>, Failure>`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Held {
    pub(crate) policy: Id,
    /// Only this one.
    pub(crate) document: Option<Id>,
}
