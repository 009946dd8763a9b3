//! Events of a flash sale, and what nodes answer, as far as the history keeps it: the client writes it, the judges
//! read it.

use serde::{Deserialize, Serialize};

/// Something that happened at a source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Its id, which is that of the request, too.
    pub id: String,
    /// Where it happened.
    pub source: String,
    /// When, by the clock of the source, in milliseconds.
    pub timestamp: u64,
    /// Events that must have been processed before.
    #[serde(default)]
    pub depends_on: Vec<String>,
    /// What happened.
    #[serde(flatten)]
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum What {
    /// Orders cost less from one moment up to another, which is not part of it.
    Promotion {
        /// Orders of what.
        sku: String,
        /// By how much.
        percent: u64,
        /// The first moment.
        from: u64,
        /// The moment after the last one.
        until: u64,
    },
    /// Somebody wants something.
    Order {
        /// What.
        sku: String,
        /// How many.
        quantity: u64,
        /// What one costs without a promotion, in cents.
        price: u64,
    },
    /// Pieces came in, or went out.
    Stock {
        /// Of what.
        sku: String,
        /// How many.
        delta: i64,
    },
}

impl Event {
    /// What it is about.
    pub fn sku(&self) -> &str {
        match &self.what {
            What::Promotion { sku, .. } | What::Order { sku, .. } | What::Stock { sku, .. } => sku,
        }
    }

    /// Where it belongs among all events.
    pub(super) fn place(&self) -> (u64, &str, &str) {
        (self.timestamp, &self.source, &self.id)
    }
}

/// The answer to an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Answer {
    pub(super) id: String,
    pub(super) status: Taken,
    /// How far event time had come.
    pub(super) watermark: u64,
}

/// Whether an event will be processed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Taken {
    Accepted,
    Late,
}

/// What became of an event that was processed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Outcome {
    pub(super) status: Status,
    #[serde(deserialize_with = "Option::deserialize")]
    pub(super) price: Option<u64>,
    #[serde(deserialize_with = "Option::deserialize")]
    pub(super) promotion: Option<String>,
    #[serde(deserialize_with = "Option::deserialize")]
    pub(super) reason: Option<Reason>,
}

/// How far an event has come; only those from `Applied` on are processed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    None,
    Late,
    Buffered,
    Applied,
    Confirmed,
    Rejected,
}

/// Why an event had no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Reason {
    SoldOut,
    MissingDependency,
}

/// An order as it is read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) order: String,
    #[serde(flatten)]
    pub(super) outcome: Outcome,
    /// Where it is in the sequence.
    #[serde(deserialize_with = "Option::deserialize")]
    pub(super) position: Option<u64>,
}

/// The stock of a SKU as it is read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stock {
    pub(super) sku: String,
    pub(super) level: i64,
    /// How many events had been processed.
    pub(super) processed: u64,
}

/// An event that was processed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Step {
    pub(super) position: u64,
    pub(super) event: Event,
    pub(super) outcome: Outcome,
}

/// A part of the sequence of one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Steps {
    pub(super) node: String,
    pub(super) events: Vec<Step>,
}

/// How a node stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct NodeStatus {
    pub(super) node: String,
    pub(super) watermark: u64,
    pub(super) buffered: u64,
    pub(super) capacity: u64,
    pub(super) window_ms: u64,
    pub(super) idle_ms: u64,
}
