//! What nodes say to one another; not part of the contract.

use axum::http::StatusCode;
use ordeal_kit::store::StoreError;
use ordeal_kit::{ApiError, Id};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::book::{Account, Order, Outcome, Refusal};
use crate::map::{Answer, Command, Map, Part};
use crate::rows::Row;

/// A client's request on its way to the owner of a partition. The answer is a [`Reply`].
pub(crate) const ASK: &str = "/node/ask";
/// The coordinator asks the other owner to take part. The answer is a `Result<Account, Refusal>`.
pub(crate) const PREPARE: &str = "/node/prepare";
/// The coordinator tells what it has decided. The answer, `()`, says that it is booked.
pub(crate) const FINISH: &str = "/node/finish";
/// A participant asks what was decided. The answer is an [`Outcome`].
pub(crate) const OUTCOME: &str = "/node/outcome";
/// Balances of accounts of one owner at one moment. The answer is a `Result<Vec<Option<Account>>, Refusal>`.
pub(crate) const LOOK: &str = "/node/look";
/// Whether the node answers at all. The answer is `()`.
pub(crate) const HELLO: &str = "/node/hello";
/// A copy of a partition for its next owner. The answer is whether it is kept.
pub(crate) const STAGE: &str = "/node/stage";
/// The map, as a founder knows it for certain. The answer is an `Option<Map>`.
pub(crate) const MAP: &str = "/map/read";
/// A change of the map. The answer is a [`Decided`].
pub(crate) const DECIDE: &str = "/map/decide";

/// What a client can ask of one account's owner.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Ask {
    Open { id: Id, balance: i64 },
    Read { id: Id },
    Transfer(Order),
}

impl Ask {
    /// The account whose owner answers.
    pub(crate) fn account(&self) -> &Id {
        match self {
            Ask::Open { id, .. } | Ask::Read { id } => id,
            Ask::Transfer(order) => &order.from,
        }
    }

    /// Whether it can change anything.
    pub(crate) fn mutates(&self) -> bool {
        !matches!(self, Ask::Read { .. })
    }
}

/// Body of [`ASK`].
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Asked {
    pub(crate) ask: Ask,
    /// Where the sender holds the account to be.
    pub(crate) part: Part,
    /// How long the sender waits, in milliseconds.
    pub(crate) within_ms: u64,
}

/// An owner's answer to [`ASK`].
pub(crate) type Reply = Result<Value, Failure>;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failure {
    status: u16,
    reason: String,
    /// Nothing was done.
    pub(crate) definite: bool,
    /// Asking again, there or elsewhere, may help.
    pub(crate) again: bool,
}

impl Failure {
    /// Nothing was done, and it is worth another try.
    pub(crate) fn again(why: impl Into<String>) -> Failure {
        Failure { again: true, ..ApiError::unavailable(why).into() }
    }

    /// Nobody said what became of it. Asking again does no harm: requests have ids.
    pub(crate) fn unclear(why: impl Into<String>) -> Failure {
        Failure { again: true, ..ApiError::maybe_done(why).into() }
    }

    /// What a client is told; `in_doubt`: an earlier attempt may have had its effect, or may yet.
    pub(crate) fn told(self, in_doubt: bool) -> ApiError {
        let Failure { status, reason, definite, .. } = self;
        match (in_doubt, definite) {
            (true, true) => ApiError::maybe_done(reason),
            (false, false) => ApiError::unavailable(reason),
            _ => ApiError {
                status: StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
                reason,
                definite,
            },
        }
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Failure {
        let ApiError { status, reason, definite } = error;
        Failure { status: status.as_u16(), reason, definite, again: false }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Failure {
        ApiError::from(error).into()
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Failure {
        let why = refusal.to_string();
        match refusal {
            Refusal::NotServed | Refusal::Locked => Failure::again(why),
            Refusal::NoAccount(_) => ApiError::refused(StatusCode::NOT_FOUND, why).into(),
            Refusal::AccountExists | Refusal::Funds(_) | Refusal::TooMuch | Refusal::RequestReused => {
                ApiError::conflict(why).into()
            }
        }
    }
}

/// Body of [`PREPARE`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Prepare {
    pub(crate) tx: String,
    pub(crate) coordinator: usize,
    pub(crate) part: Part,
    pub(crate) account: Id,
    pub(crate) amount: i64,
}

/// The answer to [`PREPARE`]: the account as it will be.
pub(crate) type Vote = Result<Account, Refusal>;

/// Body of [`FINISH`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Finish {
    pub(crate) tx: String,
    pub(crate) committed: bool,
}

/// Body of [`OUTCOME`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Which {
    pub(crate) tx: String,
}

/// The answer to [`OUTCOME`].
pub(crate) type Known = Outcome;

/// Body of [`LOOK`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct LookAt {
    pub(crate) accounts: Vec<(Id, Part)>,
}

/// The answer to [`LOOK`].
pub(crate) type Seen = Result<Vec<Option<Account>>, Refusal>;

/// Body of [`STAGE`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Stage {
    /// At the epoch at which the receiver is to serve it.
    pub(crate) part: Part,
    pub(crate) attempt: u64,
    pub(crate) rows: Vec<Row>,
}

/// The answer to [`MAP`].
pub(crate) type Shown = Option<Map>;

/// Body of [`DECIDE`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Decide {
    /// The same again has no second effect.
    pub(crate) request: String,
    pub(crate) command: Command,
}

/// The answer to [`DECIDE`].
pub(crate) type Decided = Result<Answer, Failure>;
