//! How a node is started, what it can be made to do wrong, and what it refuses.

use std::path::PathBuf;
use std::time::Duration;

use ordeal_kit::{ApiError, ArgsError, NodeArgs, Peer, PlantedBug};

use crate::log::LogError;

/// The arguments that every node of a replicated machine takes, beside those that every node takes.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct RaftArgs {
    /// Between two heartbeats of a leader; it is thought dead after five to ten of them.
    #[arg(long, value_name = "MS", default_value_t = 100, value_parser = clap::value_parser!(u64).range(10..=10_000))]
    pub heartbeat_ms: u64,
    /// Entries of the log between two snapshots.
    #[arg(long, value_name = "N", default_value_t = 5_000, value_parser = clap::value_parser!(u64).range(10..=1_000_000))]
    pub snapshot_every: u64,
    /// How long a request may wait for a leader and its majority.
    #[arg(long, value_name = "MS", default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    pub request_timeout_ms: u64,
}

/// How to start a node.
#[derive(Clone, Debug)]
pub struct Options {
    /// This node, as a position among the peers.
    pub own: usize,
    /// All nodes, in the same order on each.
    pub peers: Vec<Peer>,
    /// Where log and snapshots are kept.
    pub dir: PathBuf,
    /// Between two heartbeats of a leader; it is thought dead after five to ten of them.
    pub heartbeat: Duration,
    /// How long a proposal or a read may take.
    pub timeout: Duration,
    /// Entries between two snapshots.
    pub snapshot_every: u64,
    /// What the node does wrong on purpose.
    pub defects: Defects,
}

impl Options {
    /// As the node's arguments say.
    ///
    /// # Errors
    /// If they contradict each other.
    pub fn new<B: PlantedBug>(
        node: &NodeArgs<B>,
        raft: RaftArgs,
        defects: Defects,
    ) -> Result<Options, ArgsError> {
        Ok(Options {
            own: node.own()?,
            peers: node.peers.clone(),
            dir: node.data_dir.clone(),
            heartbeat: Duration::from_millis(raft.heartbeat_ms),
            timeout: Duration::from_millis(raft.request_timeout_ms),
            snapshot_every: raft.snapshot_every,
            defects,
        })
    }
}

/// What a node can be made to do wrong. All false: nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Defects {
    /// The leader answers before anybody else has the command.
    pub ack_early: bool,
    /// Reads are answered from what this node happens to have applied.
    pub local_reads: bool,
    /// Log and vote are acknowledged before they are on disk.
    pub lazy_log: bool,
    /// A retried request has an effect again.
    pub no_dedupe: bool,
    /// Entries that reach a node's machine together are applied in the wrong order.
    pub out_of_order: bool,
}

/// Why a node could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The snapshot, or the directory it is in.
    #[error("{0}")]
    Snapshot(std::io::Error),
    /// Raft itself.
    #[error("raft: {0}")]
    Raft(String),
}

impl StartError {
    /// Whether what is on disk is not what was written: starting again does not help, somebody must look.
    pub fn is_damage(&self) -> bool {
        match self {
            StartError::Log(why) => why.is_damage(),
            StartError::Snapshot(why) => why.kind() == std::io::ErrorKind::InvalidData,
            StartError::Raft(_) => false,
        }
    }
}

/// Why a proposal or a read was not answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It certainly had no effect, and will have none.
    #[error("{0}")]
    NotDone(String),
    /// It may have had its effect, or may yet.
    #[error("{0}")]
    MaybeDone(String),
}

impl From<Refused> for ApiError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::NotDone(why) => ApiError::unavailable(why),
            Refused::MaybeDone(why) => ApiError::maybe_done(why),
        }
    }
}
