//! A trade between two parties: `submit` of its details, `settle`, and `read` of `{"status"}` with details.
//!
//! A submission that succeeded found a majority with the same details: the trade is confirmed and stays so.
//! One of unknown outcome may leave it pending, which becomes confirmed at any later time, or never; a read
//! of a pending trade answers `pending`. Submitting the same again changes nothing; with other details it is
//! refused. Only a confirmed trade is settled, once: a second `settle` changes nothing. A read of `null`
//! means that there is no such trade.

use ordeal_core::{Model, Open, Operation};
use serde_json::Value;

use super::value::Atom;
use crate::About;

/// How lists show it.
pub const ABOUT: About =
    About { name: "trade", about: "a trade that a majority confirms: submit, settle, read" };

/// What a trade is about. A read need not repeat all of it.
const DETAILS: [&str; 3] = ["price", "volume", "counterparty"];

/// The model.
#[derive(Clone, Copy, Debug, Default)]
pub struct Trade;

/// How far a trade has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TradeStatus {
    /// Submitted; a majority may confirm it at any time.
    Pending,
    /// A majority has it.
    Confirmed,
    /// All settlement nodes have it.
    Settled,
}

/// A trade's status and its details.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TradeState {
    /// How far it has come.
    pub status: TradeStatus,
    /// Price, volume and counterparty.
    pub details: [Atom; 3],
}

/// A call on a trade.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TradeCall {
    /// Submits it; whether it is certain that it was confirmed.
    Submit([Atom; 3], bool),
    /// Settles it.
    Settle,
    /// Returns its status and those details that are not `null`; `None` if there is no such trade.
    Read(Option<TradeState>),
}

fn details(value: &Value) -> [Atom; 3] {
    DETAILS.map(|detail| value.get(detail).map_or(Atom::NULL, Atom::from))
}

fn seen(answer: &Value) -> Result<Option<TradeState>, String> {
    let status = answer.get("status").unwrap_or(answer);
    let status = match (status, status.as_str()) {
        (Value::Null, _) => return Ok(None),
        (_, Some("pending")) => TradeStatus::Pending,
        (_, Some("confirmed")) => TradeStatus::Confirmed,
        (_, Some("settled")) => TradeStatus::Settled,
        _ => return Err(format!("a trade is pending, confirmed or settled, not {answer}")),
    };
    Ok(Some(TradeState { status, details: details(answer) }))
}

impl Model for Trade {
    type State = Option<TradeState>;
    type Call = TradeCall;
    type Next = Option<Self::State>;

    fn name(&self) -> &'static str {
        ABOUT.name
    }

    fn init(&self) -> Self::State {
        None
    }

    fn call(&self, op: &Operation<'_>) -> Result<Option<TradeCall>, String> {
        match (op.f(), op.output()) {
            ("submit", answer) => Ok(Some(TradeCall::Submit(details(op.input()), answer.is_some()))),
            ("settle", _) => Ok(Some(TradeCall::Settle)),
            ("read", Some(answer)) => Ok(Some(TradeCall::Read(seen(answer)?))),
            _ => Ok(None),
        }
    }

    fn step(&self, state: &Self::State, call: &TradeCall) -> Option<Self::State> {
        match (*call, *state) {
            (TradeCall::Submit(details, certain), None) => {
                let status = if certain { TradeStatus::Confirmed } else { TradeStatus::Pending };
                Some(Some(TradeState { status, details }))
            }
            (TradeCall::Submit(details, certain), Some(trade)) => {
                let least = if certain { TradeStatus::Confirmed } else { TradeStatus::Pending };
                let status = trade.status.max(least);
                (details == trade.details).then_some(Some(TradeState { status, ..trade }))
            }
            (TradeCall::Settle, trade) => Some(Some(TradeState { status: TradeStatus::Settled, ..trade? })),
            (TradeCall::Read(None), trade) => trade.is_none().then_some(None),
            (TradeCall::Read(Some(seen)), trade) => {
                let mut trade = trade?;
                if (trade.status, seen.status) == (TradeStatus::Pending, TradeStatus::Confirmed) {
                    trade.status = TradeStatus::Confirmed;
                }
                let mut both = seen.details.iter().zip(&trade.details);
                let same = both.all(|(seen, held)| seen.is_null() || seen == held);
                (same && seen.status == trade.status).then_some(Some(trade))
            }
        }
    }

    fn describe(&self, call: &TradeCall) -> String {
        let named = |details: &[Atom; 3]| {
            let known = DETAILS.iter().zip(details).filter(|(_, value)| !value.is_null());
            known.map(|(name, value)| format!(", {name} {value}")).collect::<String>()
        };
        match call {
            TradeCall::Submit(details, _) => format!("submit{}", named(details)),
            TradeCall::Settle => "settle".to_owned(),
            TradeCall::Read(None) => "read: no such trade".to_owned(),
            TradeCall::Read(Some(seen)) => {
                format!("read: {}{}", format!("{:?}", seen.status).to_lowercase(), named(&seen.details))
            }
        }
    }

    /// A read that finds the trade confirmed may be what tells that it is.
    fn reads_only(&self, call: &TradeCall) -> bool {
        match call {
            TradeCall::Read(seen) => seen.is_none_or(|seen| seen.status != TradeStatus::Confirmed),
            TradeCall::Submit(..) | TradeCall::Settle => false,
        }
    }

    fn open_calls(&self, calls: &[TradeCall], open: &[usize]) -> Vec<Open> {
        super::alike(calls, open)
    }
}
