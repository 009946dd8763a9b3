//! JSON values in a form that is cheap to copy, compare and hash.

use std::fmt;
use std::sync::Arc;

use serde_json::Value;

/// A JSON value. Two are equal if and only if their JSON texts (with sorted keys) are equal.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Atom {
    /// `null`: never written.
    Null,
    /// A whole number.
    Int(i64),
    /// The text of any other value.
    Text(Arc<str>),
}

impl From<&Value> for Atom {
    fn from(value: &Value) -> Self {
        match (value, value.as_i64()) {
            (Value::Null, _) => Atom::Null,
            (_, Some(n)) => Atom::Int(n),
            _ => Atom::Text(value.to_string().into()),
        }
    }
}

impl fmt::Display for Atom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Atom::Null => f.write_str("null"),
            Atom::Int(n) => write!(f, "{n}"),
            Atom::Text(text) => f.write_str(text),
        }
    }
}

impl fmt::Debug for Atom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
