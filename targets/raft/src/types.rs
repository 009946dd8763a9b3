//! The words that this crate and openraft speak with one another.

use std::io::Cursor;

use openraft::{BasicNode, TokioRuntime};
use serde::{Deserialize, Serialize};
use serde_json::Value;

openraft::declare_raft_types!(
    /// One kind of Raft for every machine: commands and answers are JSON.
    pub(crate) Types:
        D = Envelope,
        R = Applied,
        NodeId = u64,
        Node = BasicNode,
        Entry = openraft::Entry<Types>,
        SnapshotData = Cursor<Vec<u8>>,
        AsyncRuntime = TokioRuntime,
);

/// A command on its way through the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Envelope {
    /// The client's name for the request; the same one again has no second effect.
    pub(crate) request: String,
    /// The command as the machine wrote it.
    pub(crate) command: Value,
}

/// What became of a command. Entries without a command have no answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Applied {
    /// Where the command took effect first.
    pub(crate) at: Position,
    /// The machine's answer.
    pub(crate) answer: Value,
}

/// A place in the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Position {
    /// The term in which the entry was proposed.
    pub term: u64,
    /// Its number in the log.
    pub index: u64,
}

pub(crate) type LogId = openraft::LogId<u64>;
pub(crate) type Vote = openraft::Vote<u64>;
pub(crate) type Entry = openraft::Entry<Types>;
pub(crate) type StorageError = openraft::StorageError<u64>;
pub(crate) type SnapshotMeta = openraft::SnapshotMeta<u64, BasicNode>;
pub(crate) type StoredMembership = openraft::StoredMembership<u64, BasicNode>;
pub(crate) type Snapshot = openraft::Snapshot<Types>;
pub(crate) type Raft = openraft::Raft<Types>;

impl From<LogId> for Position {
    fn from(id: LogId) -> Self {
        Position { term: id.leader_id.term, index: id.index }
    }
}
