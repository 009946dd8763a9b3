//! Operations and events: what clients are asked, what they answered, and how both are written down.
//!
//! Names and meaning are Jepsen's (`jepsen.history`): an invocation opens an operation; `ok` means it
//! took effect, `fail` that it certainly did not, `info` that nobody knows and nobody ever may.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The process name under which faults and phases are recorded.
pub const NEMESIS: &str = "nemesis";

/// The object an operation is about; operations on different keys are independent of one another.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Key {
    /// A numbered object.
    Int(i64),
    /// A named object.
    Text(String),
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Key::Int(n) => write!(f, "{n}"),
            Key::Text(s) => f.write_str(s),
        }
    }
}

/// One request to a system: a function name, the key it is about, and its argument.
#[derive(Clone, Debug, PartialEq)]
pub struct Op {
    /// What is asked, e.g. `read`, `write`, `cas`.
    pub f: Cow<'static, str>,
    /// The object it is about.
    pub key: Option<Key>,
    /// The argument; `null` for a read.
    pub value: Value,
}

impl Op {
    /// An operation on `key`.
    pub fn new(f: &'static str, key: Key, value: Value) -> Self {
        Op { f: Cow::Borrowed(f), key: Some(key), value }
    }
}

/// How an operation ended, as the client saw it.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It took effect, with this result.
    Ok(Value),
    /// It certainly did not take effect, for this reason.
    Fail(String),
    /// Nobody knows: it may have taken effect, may yet, or may never.
    Info(String),
}

/// Who did something: a client, numbered, or a named actor of the harness.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Process {
    /// A client. A client whose operation ended `info` never acts again under the same number.
    Client(u64),
    /// The harness itself; [`NEMESIS`] is the only one.
    Named(Cow<'static, str>),
}

impl Process {
    /// The process under which faults and phases are recorded.
    pub fn nemesis() -> Self {
        Process::Named(Cow::Borrowed(NEMESIS))
    }

    /// The number of a client; `None` for the harness's own actors.
    pub fn client(&self) -> Option<u64> {
        match self {
            Process::Client(n) => Some(*n),
            Process::Named(_) => None,
        }
    }
}

/// What an event says about its operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventKind {
    /// The operation begins.
    Invoke,
    /// It took effect.
    Ok,
    /// It did not take effect.
    Fail,
    /// Unknown; also every event of the nemesis.
    Info,
}

/// One line of a history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Position in the history, dense from 0.
    pub index: u64,
    /// Nanoseconds since the run began, stamped at the client's edge from one monotonic clock.
    pub time: u64,
    /// Who.
    pub process: Process,
    /// What the event says about its operation.
    #[serde(rename = "type")]
    pub kind: EventKind,
    /// The function.
    pub f: Cow<'static, str>,
    /// The argument in an invocation, the result in an `ok`.
    #[serde(default)]
    pub value: Value,
    /// The object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Key>,
    /// The node that was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<Cow<'static, str>>,
    /// Why it failed, or why nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}
