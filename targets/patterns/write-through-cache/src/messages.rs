//! What the nodes say to each other.

use ordeal_kit::{Id, PeerOptions};
use serde::{Deserialize, Serialize};

use crate::clock::Terms;
use crate::leases::Holder;
use crate::score::{Event, Score, Standing};

/// Where the database is asked for a lease.
pub(crate) const LEASE: &str = "/database/lease";
/// Where the database is asked for a match.
pub(crate) const READ: &str = "/database/read";
/// Where the database is written.
pub(crate) const WRITE: &str = "/database/write";
/// Where the database is asked for events.
pub(crate) const EVENTS: &str = "/database/events";
/// Where a cache is told that a match is about to be written.
pub(crate) const INVALIDATE: &str = "/cache/invalidate";

/// The longest message between nodes, in bytes: a page of events.
pub(crate) const MESSAGE_BYTES_MAX: usize = 16 << 20;

/// A cache asks for a lease: to renew this session, or without one to begin a new session, having no copies.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AskLease {
    pub(crate) cache: usize,
    pub(crate) session: Option<u64>,
}

/// The session that is granted; none if the one that was asked for is over.
pub(crate) type Granted = Option<u64>;

/// A cache asks for a match.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AskRead {
    pub(crate) of: Id,
    pub(crate) holder: Holder,
}

/// A match, and whether the cache may keep a copy.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Found {
    pub(crate) standing: Standing,
    pub(crate) may_copy: bool,
}

/// A cache passes a write on.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AskWrite {
    pub(crate) of: Id,
    pub(crate) request_id: Id,
    pub(crate) score: Score,
    pub(crate) holder: Holder,
}

/// Why the database certainly did not write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Refusal {
    /// The request id stands for another score.
    Reused,
    /// Too much is to be written already.
    Busy,
}

/// A cache passes a question for events on.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AskEvents {
    pub(crate) of: Id,
    pub(crate) from: u64,
    pub(crate) limit: usize,
}

/// The events from that number on.
pub(crate) type Events = Vec<Event>;

/// The event of this number is about to be written; what is older must not be served any more.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Invalidate {
    pub(crate) of: Id,
    pub(crate) sequence: u64,
}

/// The limits of what is said about leases and copies.
pub(crate) fn coherence_options(terms: Terms) -> PeerOptions {
    let patience = terms.patience();
    PeerOptions { connect_timeout: patience, ..PeerOptions::usual(patience, MESSAGE_BYTES_MAX) }
}
