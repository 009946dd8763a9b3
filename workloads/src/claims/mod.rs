//! `claims`: an insurer whose decisions are made by a small consistent core beside many data nodes.
//!
//! Claims are confirmed by three departments and approved by two of them; policies get their premiums adjusted, many at
//! once and each adjustment once; documents are kept in bulk, and each names the core version that its author knew.
//! The promise: the core is linearizable, and what data nodes answer is what the core had at the version that
//! the answer names.
//!
//! Every answer names a core version, and versions are in one order, so most of it is judged by them
//! (`judges`). The contract is `openapi.yaml` beside this file; [`client`] speaks it.

mod http;
mod judges;
mod load;

pub use http::client;

use ordeal_checkers::{Claim, Linearizable, SetDurability, Stats};
use ordeal_core::{Checker, EachThread, Generator, Key, Op, Plan, Sequence, Workload};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::NotMine;

/// The workload's name.
pub const NAME: &str = "claims";

/// The workload in one line.
pub const ABOUT: &str = "insurance: claims approved by two of three, premiums adjusted once, documents that never contradict the core";

/// What every policy costs at first, in cents.
const FIRST_PREMIUM: i64 = 10_000;

/// How many claims of each policy the final reads look for, oldest first.
const FINAL_CLAIMS: u64 = 2;

/// A document, as it is added and as it is listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// Its id, unique in a run.
    pub document: String,
    /// The core version it belongs to.
    pub version: u64,
}

/// A premium adjustment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adjustment {
    /// Its id, unique in a run; the same one again is a retry.
    pub id: String,
    /// Added to every premium, in cents.
    pub amount: i64,
    /// The policies.
    pub policies: Vec<String>,
}

/// What a department says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmation {
    /// Unique in a run.
    pub request_id: String,
    /// `finance`, `policyholder` or `approval`.
    pub department: String,
    /// `approve` or `reject`.
    pub verdict: String,
}

/// A claim as it is handed in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewClaim {
    /// Unique in a run.
    pub request_id: String,
    /// The policy.
    pub policy: String,
    /// In cents.
    pub amount: u64,
}

/// An operation of the insurer. Every answer names a core version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimOp {
    /// Open a policy, or change its holder; the holder is unique in a run.
    PutPolicy(String, String),
    /// The policy as the core has it.
    ReadPolicy(String),
    /// The policy as a data node has it, at this version or a later one.
    ReadCopy(String, u64),
    /// Add a document to the policy.
    AddDocument(String, Document),
    /// The policy's documents, and the policy as the answering node has it.
    ReadDocuments(String),
    /// One document, by its id, and the policy as the answering node has it.
    ReadDocument(String, String),
    /// Hand in a claim.
    Submit(String, NewClaim),
    /// A department says what it thinks of a claim.
    Confirm(String, Confirmation),
    /// Where a claim stands; null if there is none.
    ReadClaim(String),
    /// Adjust premiums.
    Adjust(Adjustment),
}

impl From<ClaimOp> for Op {
    fn from(op: ClaimOp) -> Op {
        let (f, key, value) = match op {
            ClaimOp::PutPolicy(policy, holder) => ("put-policy", policy, Value::String(holder)),
            ClaimOp::ReadPolicy(policy) => ("read-policy", policy, Value::Null),
            ClaimOp::ReadCopy(policy, version) => ("read-copy", policy, Value::from(version)),
            ClaimOp::AddDocument(policy, document) => ("add-document", policy, json!(document)),
            ClaimOp::ReadDocuments(policy) => ("read-documents", policy, Value::Null),
            ClaimOp::ReadDocument(policy, document) => ("read-document", policy, Value::String(document)),
            ClaimOp::Submit(claim, new) => ("submit", claim, json!(new)),
            ClaimOp::Confirm(claim, said) => ("confirm", claim, json!(said)),
            ClaimOp::ReadClaim(claim) => ("read", claim, Value::Null),
            ClaimOp::Adjust(adjustment) => {
                return Op { f: "adjust".into(), key: None, value: json!(adjustment) };
            }
        };
        Op::new(f, Key::Text(key), value)
    }
}

impl TryFrom<&Op> for ClaimOp {
    type Error = NotMine;

    fn try_from(op: &Op) -> Result<Self, NotMine> {
        let not_mine = || NotMine::new(NAME, op);
        let text = || op.value.as_str().map(str::to_owned).ok_or_else(not_mine);
        let key = match &op.key {
            Some(Key::Text(key)) => key.clone(),
            None if op.f == "adjust" => return Ok(ClaimOp::Adjust(argument(op)?)),
            _ => return Err(not_mine()),
        };
        match &*op.f {
            "put-policy" => Ok(ClaimOp::PutPolicy(key, text()?)),
            "read-policy" => Ok(ClaimOp::ReadPolicy(key)),
            "read-copy" => Ok(ClaimOp::ReadCopy(key, op.value.as_u64().ok_or_else(not_mine)?)),
            "add-document" => Ok(ClaimOp::AddDocument(key, argument(op)?)),
            "read-documents" => Ok(ClaimOp::ReadDocuments(key)),
            "read-document" => Ok(ClaimOp::ReadDocument(key, text()?)),
            "submit" => Ok(ClaimOp::Submit(key, argument(op)?)),
            "confirm" => Ok(ClaimOp::Confirm(key, argument(op)?)),
            "read" => Ok(ClaimOp::ReadClaim(key)),
            _ => Err(not_mine()),
        }
    }
}

fn argument<T: for<'de> Deserialize<'de>>(op: &Op) -> Result<T, NotMine> {
    T::deserialize(&op.value).map_err(|_| NotMine::new(NAME, op))
}

/// The name of a policy.
fn policy_name(n: u64) -> String {
    format!("p{n}")
}

/// The name of a claim: claims of one policy follow one another.
fn claim_name(policy: u64, n: u64) -> String {
    format!("c{policy}-{n}")
}

/// The `claims` workload.
#[derive(Clone, Copy, Debug, Default)]
pub struct Claims;

impl Workload for Claims {
    fn name(&self) -> &'static str {
        NAME
    }

    fn about(&self) -> &'static str {
        ABOUT
    }

    fn generator(&self, plan: &Plan) -> Box<dyn Generator> {
        Box::new(load::Load::new(plan))
    }

    fn final_generator(&self, plan: &Plan) -> Box<dyn Generator> {
        let policies = plan.keys;
        Box::new(EachThread::new(move || {
            let of_policy = |n| {
                let claims = (0..FINAL_CLAIMS).map(move |claim| ClaimOp::ReadClaim(claim_name(n, claim)));
                let policy = policy_name(n);
                let reads = [
                    ClaimOp::ReadPolicy(policy.clone()),
                    ClaimOp::ReadCopy(policy.clone(), 0),
                    ClaimOp::ReadDocuments(policy),
                ];
                reads.into_iter().chain(claims).map(Op::from)
            };
            Sequence::new((0..policies).flat_map(of_policy).collect())
        }))
    }

    fn checkers(&self, _plan: &Plan) -> Vec<Box<dyn Checker>> {
        vec![
            Box::new(Linearizable::new(Claim).only(|f| matches!(f, "submit" | "confirm" | "read"))),
            Box::new(judges::Decisions),
            Box::new(judges::CoreVersions),
            Box::new(judges::Premiums),
            Box::new(judges::Documents),
            Box::new(SetDurability::new("add-document", "read-documents").in_field("documents")),
            Box::new(Stats),
        ]
    }

    fn mutates(&self, f: &str) -> bool {
        matches!(f, "put-policy" | "add-document" | "submit" | "confirm" | "adjust")
    }
}
