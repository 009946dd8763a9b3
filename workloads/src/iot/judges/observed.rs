//! What a history of `iot` shows, read once.

use ordeal_core::{EventKind, History, Key, Operation};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::iot::op::{FOLLOW_EVENTS, POLL_EVENTS, POLL_LOG, READ, READ_EVENTS, READ_LOG, READING, RESET};

/// A machine after a transition.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Done {
    pub(super) state: String,
    pub(super) index: u64,
    pub(super) term: u64,
}

/// The answer to a mutation.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Answer {
    #[serde(flatten)]
    pub(super) done: Done,
    /// What the same request was answered when it was sent again.
    #[serde(default)]
    pub(super) again: Option<Done>,
}

/// A reading or a reset that took effect, or did not, or may have.
pub(super) struct Request<'h> {
    pub(super) op: Operation<'h>,
    pub(super) id: &'h str,
    pub(super) machine: Key,
    pub(super) answer: Option<Answer>,
}

/// A machine as it was read.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Standing {
    pub(super) state: String,
    pub(super) index: u64,
}

/// A transition in the log.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(super) struct Transition {
    pub(super) index: u64,
    pub(super) term: u64,
    pub(super) request_id: String,
    pub(super) machine: Key,
    pub(super) action: String,
    pub(super) sensor: Option<String>,
    pub(super) kind: Option<String>,
    pub(super) value: Option<f64>,
    pub(super) before: String,
    pub(super) after: String,
}

/// A change of state in the event stream.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Change {
    pub(super) number: u64,
    pub(super) index: u64,
    pub(super) term: u64,
    pub(super) machine: Key,
    pub(super) before: String,
    pub(super) after: String,
}

/// A part of the log or of the stream that a node showed.
pub(super) struct Page<'h, T> {
    pub(super) op: Operation<'h>,
    pub(super) from: u64,
    pub(super) next: u64,
    /// The last transition that the node had applied, where it says so.
    pub(super) applied: Option<u64>,
    pub(super) items: Vec<T>,
    /// All there was, as of the time of asking.
    pub(super) whole: bool,
}

/// Everything the judges look at.
pub(super) struct Observed<'h> {
    pub(super) requests: Vec<Request<'h>>,
    pub(super) reads: Vec<(Operation<'h>, Key, Standing)>,
    pub(super) log: Vec<Page<'h, Transition>>,
    pub(super) events: Vec<Page<'h, Change>>,
}

impl Request<'_> {
    /// Whether nobody knows if it took effect.
    pub(super) fn is_open(&self) -> bool {
        self.op.kind() == EventKind::Info
    }
}

impl<'h> Observed<'h> {
    /// Reads a history.
    ///
    /// # Errors
    /// What cannot be read in it.
    pub(super) fn of(history: &'h History) -> Result<Observed<'h>, String> {
        let mut seen = Observed { requests: vec![], reads: vec![], log: vec![], events: vec![] };
        for op in history.operations().map_err(|e| e.to_string())? {
            seen.take(op).map_err(|why| format!("operation {}: {why}", op.index()))?;
        }
        Ok(seen)
    }

    fn take(&mut self, op: Operation<'h>) -> Result<(), String> {
        let machine = || op.key().cloned().ok_or("it names no machine");
        match (op.f(), op.output()) {
            (READING | RESET, answer) => {
                let id = op.input().get("request").and_then(Value::as_str).ok_or("it has no request id")?;
                let answer = answer.map(read).transpose()?;
                self.requests.push(Request { op, id, machine: machine()?, answer });
            }
            (READ, Some(answer)) => self.reads.push((op, machine()?, read(answer)?)),
            (POLL_LOG | READ_LOG, Some(answer)) => self.log.push(page(op, answer)?),
            (POLL_EVENTS | FOLLOW_EVENTS | READ_EVENTS, Some(answer)) => self.events.push(page(op, answer)?),
            _ => {}
        }
        Ok(())
    }
}

fn read<T: DeserializeOwned>(value: &Value) -> Result<T, String> {
    T::deserialize(value).map_err(|e| format!("{e} in {value}"))
}

fn page<'h, T: DeserializeOwned>(op: Operation<'h>, answer: &Value) -> Result<Page<'h, T>, String> {
    #[derive(Deserialize)]
    struct Raw<T> {
        from: u64,
        next: u64,
        applied: Option<u64>,
        items: Vec<T>,
    }
    let Raw { from, next, applied, items } = read(answer)?;
    let whole = matches!(op.f(), READ_LOG | READ_EVENTS);
    Ok(Page { op, from, next, applied, items, whole })
}
