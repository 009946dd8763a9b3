//! One entry of a key-value map: `put`, `get`, `append` (texts only) and `delete`. The entry is the
//! operation's key, so entries are judged apart.
//!
//! What is not there reads as `null` or as the empty text, whichever the system says. What `put`, `append`
//! and `delete` answer is not looked at.

use std::sync::Arc;

use ordeal_core::{Model, Open, Operation};
use serde_json::Value;

use crate::About;

/// How lists show it.
pub const ABOUT: About =
    About { name: "kv", about: "the entries of a key-value map: put, get, append, delete" };

/// The model. The state is the JSON text of the value.
#[derive(Clone, Copy, Debug, Default)]
pub struct KeyValue;

/// A call on an entry; values as JSON texts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum KvCall {
    /// Sets it.
    Put(Arc<str>),
    /// Returns it; `None` if nothing was there.
    Get(Option<Arc<str>>),
    /// Adds a text at its end.
    Append(Arc<str>),
    /// Removes it.
    Delete,
}

const EMPTY: &str = "\"\"";

impl Model for KeyValue {
    type State = Option<Arc<str>>;
    type Call = KvCall;
    type Next = Option<Self::State>;

    fn name(&self) -> &'static str {
        ABOUT.name
    }

    fn init(&self) -> Self::State {
        None
    }

    fn call(&self, op: &Operation<'_>) -> Result<Option<KvCall>, String> {
        let text = |value: &Value| Arc::from(value.to_string());
        Ok(Some(match (op.f(), op.input(), op.output()) {
            ("put", value, _) => KvCall::Put(text(value)),
            ("get", _, Some(Value::Null)) => KvCall::Get(None),
            ("get", _, Some(value)) => KvCall::Get(Some(text(value))),
            ("append", value @ Value::String(_), _) => KvCall::Append(text(value)),
            ("append", value, _) => return Err(format!("`append` adds a text, not {value}")),
            ("delete", ..) => KvCall::Delete,
            _ => return Ok(None),
        }))
    }

    fn step(&self, state: &Self::State, call: &KvCall) -> Option<Self::State> {
        match call {
            KvCall::Put(value) => Some(Some(Arc::clone(value))),
            KvCall::Delete => Some(None),
            KvCall::Get(seen) => {
                let same = seen == state;
                let nothing = state.is_none() && seen.as_deref() == Some(EMPTY);
                (same || nothing).then(|| state.clone())
            }
            KvCall::Append(more) => match state {
                None => Some(Some(Arc::clone(more))),
                // Both are texts in quotes.
                Some(text) => {
                    let head = text.strip_suffix('"').filter(|_| text.starts_with('"'))?;
                    Some(Some(Arc::from([head, more.get(1..)?].concat())))
                }
            },
        }
    }

    fn describe(&self, call: &KvCall) -> String {
        match call {
            KvCall::Put(value) => format!("put {value}"),
            KvCall::Get(Some(seen)) => format!("get {seen}"),
            KvCall::Get(None) => "get null".to_owned(),
            KvCall::Append(more) => format!("append {more}"),
            KvCall::Delete => "delete".to_owned(),
        }
    }

    fn reads_only(&self, call: &KvCall) -> bool {
        matches!(call, KvCall::Get(_))
    }

    fn state_bytes(&self, state: &Self::State) -> usize {
        size_of_val(state) + state.as_ref().map_or(0, |text| text.len() + 16)
    }

    fn open_calls(&self, calls: &[KvCall], open: &[usize]) -> Vec<Open> {
        super::alike(calls, open)
    }
}
