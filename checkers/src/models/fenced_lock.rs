//! A lock with fencing tokens: `acquire` answers with a token, `release` gives the token back.
//!
//! Each token is larger than all before it. The next one need not be larger by one: systems count other
//! things with the same numbers. The lock is released only with the token it was acquired with.

use std::collections::HashSet;
use std::fmt;

use ordeal_core::{Answer, Model, Open, Operation, Timed};
use serde_json::Value;

use crate::About;
use crate::monitors::fenced::{self, Deed};

/// How lists show it.
pub const ABOUT: About =
    About { name: "fenced-lock", about: "a lock whose fencing tokens strictly grow: acquire, release" };

/// The model. An acquisition without an answer got some token; which one is told by its release at the
/// earliest.
#[derive(Clone, Copy, Debug, Default)]
pub struct FencedLock;

/// A call on a lock with tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FencedCall(Deed);

impl FencedCall {
    #[cfg(test)]
    pub(crate) fn new(deed: Deed) -> Self {
        FencedCall(deed)
    }
}

/// Who holds the lock.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fence {
    /// The largest token that is known.
    last: Option<i64>,
    /// It is held, with that token or with a larger one.
    held: Option<Token>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Token {
    Last,
    Larger,
}

impl fmt::Debug for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let last = self.last.map_or_else(|| "none".to_owned(), |last| last.to_string());
        match self.held {
            None => write!(f, "free, last token {last}"),
            Some(Token::Last) => write!(f, "held with token {last}"),
            Some(Token::Larger) => write!(f, "held with an unknown token after {last}"),
        }
    }
}

fn token(value: &Value) -> Result<i64, String> {
    value.as_i64().ok_or_else(|| format!("a token is a whole number, not {value}"))
}

impl Model for FencedLock {
    type State = Fence;
    type Call = FencedCall;
    type Next = Option<Fence>;

    fn name(&self) -> &'static str {
        ABOUT.name
    }

    fn init(&self) -> Fence {
        Fence { last: None, held: None }
    }

    fn call(&self, op: &Operation<'_>) -> Result<Option<FencedCall>, String> {
        let deed = match (op.f(), op.output()) {
            ("acquire", None | Some(Value::Null)) => Deed::Acquire(None),
            ("acquire", Some(answer)) => Deed::Acquire(Some(token(answer)?)),
            ("release", _) => Deed::Release(token(op.input())?),
            _ => return Ok(None),
        };
        Ok(Some(FencedCall(deed)))
    }

    fn step(&self, state: &Fence, call: &FencedCall) -> Option<Fence> {
        let larger = |token: i64| state.last.is_none_or(|last| token > last);
        match (call.0, state.held) {
            (Deed::Acquire(None), None) => Some(Fence { held: Some(Token::Larger), ..*state }),
            (Deed::Acquire(Some(token)), None) => {
                larger(token).then_some(Fence { last: Some(token), held: Some(Token::Last) })
            }
            (Deed::Release(token), Some(Token::Last)) => {
                (state.last == Some(token)).then_some(Fence { held: None, ..*state })
            }
            (Deed::Release(token), Some(Token::Larger)) => {
                larger(token).then_some(Fence { last: Some(token), held: None })
            }
            (Deed::Acquire(_), Some(_)) | (Deed::Release(_), None) => None,
        }
    }

    fn describe(&self, call: &FencedCall) -> String {
        match call.0 {
            Deed::Acquire(None) => "acquire".to_owned(),
            Deed::Acquire(Some(token)) => format!("acquire, which gave token {token}"),
            Deed::Release(token) => format!("release of token {token}"),
        }
    }

    fn contradict(&self, earlier: &FencedCall, later: &FencedCall) -> bool {
        match (earlier.0, later.0) {
            (Deed::Acquire(Some(earlier)), Deed::Release(later)) => later < earlier,
            (Deed::Acquire(Some(earlier)), Deed::Acquire(Some(later)))
            | (Deed::Release(earlier), Deed::Acquire(Some(later)) | Deed::Release(later)) => later <= earlier,
            (Deed::Acquire(None), _) | (_, Deed::Acquire(None)) => false,
        }
    }

    fn open_calls(&self, calls: &[FencedCall], open: &[usize]) -> Vec<Open> {
        // An acquisition that only its own end can release stands in the way of everything after it.
        let known = |call: &FencedCall| match call.0 {
            Deed::Acquire(token) => token,
            Deed::Release(_) => None,
        };
        let acquired: HashSet<i64> = calls.iter().filter_map(known).collect();
        let unknown =
            calls.iter().any(|call| matches!(call.0, Deed::Release(token) if !acquired.contains(&token)));
        let hint = |&i: &usize| match calls[i].0 {
            Deed::Acquire(None) if unknown => Open::Class(0),
            Deed::Acquire(None) => Open::Irrelevant,
            Deed::Acquire(Some(_)) | Deed::Release(_) => Open::Unique,
        };
        open.iter().map(hint).collect()
    }

    fn monitor(&self, calls: &[Timed<FencedCall>]) -> Option<Answer> {
        fenced::judge(calls, |call| call.0)
    }
}
