//! What is kept of a match.

use ordeal_kit::Id;
use serde::{Deserialize, Serialize};

/// A score, and what led to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Score {
    pub(crate) home: u32,
    pub(crate) away: u32,
    /// The goal in words.
    pub(crate) event: String,
}

/// A match as it stands. The first event has the number 1; 0 is a match of which nothing was ever told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Standing {
    /// The number of the last event.
    pub(crate) sequence: u64,
    /// Its score.
    pub(crate) score: Option<Score>,
}

/// An event of a match.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Event {
    pub(crate) sequence: u64,
    pub(crate) request_id: Id,
    #[serde(flatten)]
    pub(crate) score: Score,
}

impl From<Event> for Standing {
    fn from(event: Event) -> Standing {
        Standing { sequence: event.sequence, score: Some(event.score) }
    }
}
