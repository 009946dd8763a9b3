//! An insurance claim: `submit`, `confirm` of `{"department", "verdict"}`, `read` of the status.
//!
//! Three departments, `finance`, `policyholder` and `approval`, each say once whether they agree (`true` or
//! `"approve"`, `false` or `"reject"`). Two that agree approve the claim, two that do not reject it, and that
//! is final; the third may still be heard. Saying the same again changes nothing, saying something else is
//! refused, and so is a confirmation of what was never submitted. Answers are the status after it:
//! `submitted`, `approved`, `rejected`, or `null`, which for a `read` means that there is no such claim and
//! otherwise says nothing.

use ordeal_core::{Model, Open, Operation};
use serde_json::Value;

use crate::About;

/// How lists show it.
pub const ABOUT: About = About {
    name: "claim",
    about: "an insurance claim that two of three departments approve: submit, confirm, read",
};

/// The departments.
const DEPARTMENTS: [&str; 3] = ["finance", "policyholder", "approval"];

/// The model.
#[derive(Clone, Copy, Debug, Default)]
pub struct Claim;

/// What each department said; `None` if there is no claim yet.
pub type Verdicts = Option<[Option<bool>; 3]>;

/// Where a claim stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClaimStatus {
    /// Fewer than two departments agree, or disagree.
    Submitted,
    /// Two departments agree.
    Approved,
    /// Two departments do not.
    Rejected,
}

/// What a call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClaimAction {
    /// Hands the claim in.
    Submit,
    /// A department, by number, agrees or does not.
    Confirm(usize, bool),
    /// Asks for the status.
    Read,
}

/// A call on a claim, with the status it answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClaimCall {
    /// What it does.
    pub action: ClaimAction,
    /// The status, where it was said.
    pub status: Option<ClaimStatus>,
}

fn status_of(answer: &Value) -> Result<Option<ClaimStatus>, String> {
    let status = answer.get("status").unwrap_or(answer);
    match (status, status.as_str()) {
        (Value::Null, _) => Ok(None),
        (_, Some("submitted")) => Ok(Some(ClaimStatus::Submitted)),
        (_, Some("approved")) => Ok(Some(ClaimStatus::Approved)),
        (_, Some("rejected")) => Ok(Some(ClaimStatus::Rejected)),
        _ => Err(format!("a claim is submitted, approved or rejected, not {answer}")),
    }
}

fn confirmation(input: &Value) -> Result<ClaimAction, String> {
    let department = input["department"].as_str();
    let department = DEPARTMENTS.iter().position(|known| department == Some(*known));
    let verdict = match (&input["verdict"], input["verdict"].as_str()) {
        (Value::Bool(agrees), _) => Some(*agrees),
        (_, Some("approve")) => Some(true),
        (_, Some("reject")) => Some(false),
        _ => None,
    };
    match (department, verdict) {
        (Some(department), Some(agrees)) => Ok(ClaimAction::Confirm(department, agrees)),
        _ => Err(format!("`confirm` needs a department and its verdict, not {input}")),
    }
}

fn status(verdicts: [Option<bool>; 3]) -> ClaimStatus {
    let of = |verdict| verdicts.iter().filter(|said| **said == Some(verdict)).count();
    match (of(true), of(false)) {
        (2.., _) => ClaimStatus::Approved,
        (_, 2..) => ClaimStatus::Rejected,
        _ => ClaimStatus::Submitted,
    }
}

impl Model for Claim {
    type State = Verdicts;
    type Call = ClaimCall;
    type Next = Option<Verdicts>;

    fn name(&self) -> &'static str {
        ABOUT.name
    }

    fn init(&self) -> Verdicts {
        None
    }

    fn call(&self, op: &Operation<'_>) -> Result<Option<ClaimCall>, String> {
        let action = match (op.f(), op.output()) {
            ("submit", _) => ClaimAction::Submit,
            ("confirm", _) => confirmation(op.input())?,
            ("read", Some(_)) => ClaimAction::Read,
            _ => return Ok(None),
        };
        let status = op.output().map_or(Ok(None), status_of)?;
        Ok(Some(ClaimCall { action, status }))
    }

    fn step(&self, state: &Verdicts, call: &ClaimCall) -> Option<Verdicts> {
        let after = match call.action {
            ClaimAction::Read => {
                return (state.map(status) == call.status).then_some(*state);
            }
            ClaimAction::Submit => state.unwrap_or_default(),
            ClaimAction::Confirm(department, agrees) => {
                let mut verdicts = (*state)?;
                let said = verdicts.get_mut(department)?;
                if said.is_some_and(|said| said != agrees) {
                    return None;
                }
                *said = Some(agrees);
                verdicts
            }
        };
        call.status.is_none_or(|said| said == status(after)).then_some(Some(after))
    }

    fn describe(&self, call: &ClaimCall) -> String {
        let action = match call.action {
            ClaimAction::Submit => "submit".to_owned(),
            ClaimAction::Read => "read".to_owned(),
            ClaimAction::Confirm(department, agrees) => {
                let name = DEPARTMENTS.get(department).copied().unwrap_or_default();
                format!("{name} {}", if agrees { "agrees" } else { "disagrees" })
            }
        };
        match (call.status, call.action) {
            (Some(status), _) => format!("{action}: {}", format!("{status:?}").to_lowercase()),
            (None, ClaimAction::Read) => format!("{action}: no such claim"),
            (None, _) => action,
        }
    }

    fn reads_only(&self, call: &ClaimCall) -> bool {
        call.action == ClaimAction::Read
    }

    fn open_calls(&self, calls: &[ClaimCall], open: &[usize]) -> Vec<Open> {
        super::alike(calls, open)
    }
}
