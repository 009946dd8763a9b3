//! Names that come from outside: resource names and request ids.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The longest id, in bytes.
pub const ID_BYTES_MAX: usize = 128;

/// Why a text is not an id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Nothing, or more than [`ID_BYTES_MAX`].
    #[error("an id has 1 to {ID_BYTES_MAX} bytes, this one has {0}")]
    Length(usize),
    /// Something other than a letter, a digit, `.`, `_` or `-`.
    #[error("an id is made of ASCII letters, digits, '.', '_' and '-', not {0:?}")]
    Character(char),
}

/// The name of a resource, or a client's request id: short, plain, and safe in paths, keys and logs.
///
/// As a field `request_id: Id` of a request body it is the extractor of the request id: a body without
/// one, or with a malformed one, is refused with 400 before the handler runs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Id(String);

impl Id {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Id {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, IdError> {
        if text.is_empty() || text.len() > ID_BYTES_MAX {
            return Err(IdError::Length(text.len()));
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        match text.chars().find(|c| !plain(*c)) {
            Some(other) => Err(IdError::Character(other)),
            None => Ok(Id(text)),
        }
    }
}

impl std::str::FromStr for Id {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        Id::try_from(text.to_owned())
    }
}

impl From<Id> for String {
    fn from(id: Id) -> String {
        id.0
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_short_and_plain() {
        assert!("r-1_2.A".parse::<Id>().is_ok());
        assert_eq!("".parse::<Id>(), Err(IdError::Length(0)));
        assert_eq!("x".repeat(129).parse::<Id>(), Err(IdError::Length(129)));
        assert_eq!("a/b".parse::<Id>(), Err(IdError::Character('/')));
        assert_eq!("a\u{e9}".parse::<Id>(), Err(IdError::Character('\u{e9}')));
        assert!(serde_json::from_str::<Id>("\"\"").is_err());
    }
}
