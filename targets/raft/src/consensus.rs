//! One node of the replicated machine: proposals, linearizable reads, and what others may ask of it.
//!
//! A proposal is made by the leader; any other node passes it on. It is done when the machine has applied it,
//! that is, when a majority holds it on disk. The request id makes passing it on again harmless, so a node
//! does that until its time is over. It then says honestly whether the command may still take effect.
//!
//! A read is linearizable by the read index (Ongaro 2014, section 6.4): the leader makes sure, with a round of
//! heartbeats, that it still leads, and the reader waits until its own machine has applied what was
//! committed by then. A leader that restarts within its term goes on leading, and does not know how far it had
//! committed: what it acknowledged just before may be known only from its log. openraft 0.9.25 takes what was
//! noted as committed before the restart, so reads could go back in time; here they wait for the whole log
//! that the leader came back with.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::DefaultBodyLimit;
use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use openraft::error::{ClientWriteError, RaftError};
use openraft::{BasicNode, Config, ServerState, SnapshotPolicy};
use ordeal_kit::{PeerClient, PeerError, PeerOptions, encode};
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout_at};

use crate::log::{Log, LogError, LogOptions};
use crate::machine::{Machine, MachineDefects, Shared, Store};
use crate::network::{self, MESSAGE_BYTES_MAX, Network};
use crate::options::{Defects, Options, Refused, StartError};
use crate::types::{Applied, Envelope, LogId, Position, Raft};

/// The longest command, in bytes of JSON.
pub const COMMAND_BYTES_MAX: usize = 64 << 10;
/// Entries in one message to a follower; so many of the longest must fit into [`MESSAGE_BYTES_MAX`].
const ENTRIES_PER_MESSAGE: u64 = 64;
/// Proposals that this node, as the leader, has taken on and not decided yet.
const PROPOSALS_MAX: usize = 1024;
/// Between two attempts to reach a leader.
const RETRY: Duration = Duration::from_millis(50);
/// Entries kept behind a snapshot for nodes that lag, as a share of those between two snapshots.
const KEPT_BEHIND_SNAPSHOT: u64 = 5;
/// The size of a piece of a snapshot on its way, in bytes.
const SNAPSHOT_PIECE_BYTES: u64 = 256 << 10;
/// For a piece to be received; for the last one, also for the snapshot to be saved.
const SNAPSHOT_PIECE_TIMEOUT_MS: u64 = 5_000;

const PROPOSE: &str = "/raft/propose";
const READ: &str = "/raft/read";
const STATUS: &str = "/raft/status";
const HEALTH: &str = "/health";

/// A command that took effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done<A> {
    /// Where in the log, the first time it was asked for.
    pub at: Position,
    /// What the machine answered.
    pub answer: A,
}

/// How a node stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// This node.
    pub id: String,
    /// Whether it leads, as far as it knows.
    pub leads: bool,
    /// The node that leads, as far as this one knows.
    pub leader: Option<String>,
    /// The current term.
    pub term: u64,
    /// The last entry that the machine has applied.
    pub applied: u64,
    /// The last entry in the log.
    pub last: u64,
    /// The last entry that was removed from the log because a snapshot covers it.
    pub purged: u64,
}

/// One node of a replicated machine.
pub struct Consensus<M: Machine> {
    raft: Raft,
    log: Log,
    /// The last entry of the log at the start.
    came_with: Option<LogId>,
    shared: Arc<Shared<M>>,
    proposals: Arc<Semaphore>,
    peers: Arc<PeerClient>,
    options: Arc<Options>,
}

impl<M: Machine> Clone for Consensus<M> {
    fn clone(&self) -> Self {
        Consensus {
            raft: self.raft.clone(),
            log: self.log.clone(),
            came_with: self.came_with,
            proposals: Arc::clone(&self.proposals),
            shared: Arc::clone(&self.shared),
            peers: Arc::clone(&self.peers),
            options: Arc::clone(&self.options),
        }
    }
}

/// What a leader says to a proposal that was passed on to it.
#[derive(Debug, Serialize, Deserialize)]
enum Passed {
    Done(Applied),
    /// It was not proposed.
    NotProposed(String),
    MaybeDone(String),
}

fn raft_error(e: impl Debug) -> StartError {
    StartError::Raft(format!("{e:?}"))
}

impl<M: Machine> Consensus<M> {
    /// Opens log and snapshot, replays what is known to be committed, and joins the others.
    ///
    /// # Errors
    /// See [`StartError`]; a damaged log or snapshot is one.
    pub async fn start(options: Options) -> Result<Self, StartError> {
        let Defects { lazy_log, .. } = options.defects;
        let log = Log::open(&options.dir, LogOptions { lazy: lazy_log })?;
        Self::start_on(log, options).await
    }

    /// Starts on a log that is open already.
    pub(crate) async fn start_on(log: Log, options: Options) -> Result<Self, StartError> {
        let Defects { no_dedupe, out_of_order, .. } = options.defects;
        let store = Store::<M>::open(&options.dir, MachineDefects { no_dedupe, out_of_order })
            .map_err(StartError::Snapshot)?;
        let shared = store.shared();
        if log.purged() > shared.saved() {
            let why = "the entries up to it were removed, but no snapshot covers them".to_owned();
            return Err(
                LogError::Damaged { at: log.purged().map_or(0, |id| id.index).to_string(), why }.into()
            );
        }
        log.keep_behind(shared.covered());
        let peer_options = PeerOptions::usual(options.timeout, MESSAGE_BYTES_MAX);
        let peers = Arc::new(PeerClient::new(&options.peers, peer_options).map_err(raft_error)?);
        let heartbeat = options.heartbeat.as_millis() as u64;
        let config = Config {
            heartbeat_interval: heartbeat,
            election_timeout_min: heartbeat * 5,
            election_timeout_max: heartbeat * 10,
            snapshot_policy: SnapshotPolicy::LogsSinceLast(options.snapshot_every),
            max_in_snapshot_log_to_keep: options.snapshot_every / KEPT_BEHIND_SNAPSHOT,
            snapshot_max_chunk_size: SNAPSHOT_PIECE_BYTES,
            install_snapshot_timeout: SNAPSHOT_PIECE_TIMEOUT_MS,
            max_payload_entries: ENTRIES_PER_MESSAGE,
            ..Config::default()
        };
        let came_with = log.last();
        let config = Arc::new(config.validate().map_err(raft_error)?);
        let network = Network { peers: Arc::clone(&peers) };
        let raft =
            Raft::new(options.own as u64, config, network, log.clone(), store).await.map_err(raft_error)?;
        if !raft.is_initialized().await.map_err(raft_error)? {
            let nodes = options.peers.iter().map(|peer| BasicNode::new(peer.address));
            let members: std::collections::BTreeMap<u64, BasicNode> = (0..).zip(nodes).collect();
            match raft.initialize(members).await {
                // Another node was faster, which is as good: all know the same members.
                Ok(()) | Err(RaftError::APIError(_)) => {}
                Err(e) => return Err(raft_error(e)),
            }
        }
        let proposals = Arc::new(Semaphore::new(PROPOSALS_MAX));
        Ok(Consensus { raft, log, came_with, shared, proposals, peers, options: Arc::new(options) })
    }

    /// The paths by which the other nodes reach this one, and two by which anybody learns how it stands:
    /// `GET /health` (`{"id", "ready"}`: it knows a leader) and `GET /raft/status` ([`Status`]).
    pub fn routes(&self) -> Router {
        let own = Router::new()
            .route(
                PROPOSE,
                post(async |State(node): State<Self>, Json(envelope): Json<Envelope>| {
                    Json(node.propose_here(envelope).await)
                }),
            )
            .route(READ, post(async |State(node): State<Self>| Json(node.read_index().await)))
            .route(STATUS, get(async |State(node): State<Self>| Json(node.status())))
            .route(
                HEALTH,
                get(async |State(node): State<Self>| {
                    let Status { id, leader, .. } = node.status();
                    Json(serde_json::json!({ "id": id, "ready": leader.is_some() }))
                }),
            )
            .layer(DefaultBodyLimit::max(MESSAGE_BYTES_MAX))
            .with_state(self.clone());
        own.merge(network::routes(self.raft.clone()))
    }

    /// Replicates a command and applies it, once for each request id.
    ///
    /// # Errors
    /// See [`Refused`].
    pub async fn propose(&self, request: &str, command: &M::Command) -> Result<Done<M::Answer>, Refused> {
        let command = serde_json::to_value(command).map_err(|e| Refused::NotDone(e.to_string()))?;
        if command.to_string().len() > COMMAND_BYTES_MAX {
            return Err(Refused::NotDone(format!("the command is longer than {COMMAND_BYTES_MAX} bytes")));
        }
        let envelope = Envelope { request: request.to_owned(), command };
        let deadline = Instant::now() + self.options.timeout;
        let mut maybe = None;
        loop {
            let late = |_| Passed::MaybeDone("no majority in time".to_owned());
            let why = match timeout_at(deadline, self.attempt(&envelope)).await.unwrap_or_else(late) {
                Passed::Done(Applied { at, answer }) => {
                    let unreadable = |e: serde_json::Error| Refused::MaybeDone(e.to_string());
                    return Ok(Done { at, answer: serde_json::from_value(answer).map_err(unreadable)? });
                }
                Passed::NotProposed(why) => why,
                Passed::MaybeDone(why) => maybe.insert(why).clone(),
            };
            if self.has_failed() || Instant::now() + RETRY >= deadline {
                // What was proposed once may be in a log, and so may yet be done.
                return Err(maybe.map_or(Refused::NotDone(why), Refused::MaybeDone));
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Proposes once: here, if this node leads, else where the leader is thought to be.
    async fn attempt(&self, envelope: &Envelope) -> Passed {
        match self.leader() {
            Some(leader) if leader == self.options.own => self.propose_here(envelope.clone()).await,
            Some(leader) => self.pass_on(leader, envelope).await,
            None => Passed::NotProposed("no leader is known".to_owned()),
        }
    }

    /// Looks at the machine as it was at some instant within this call, as all nodes agree on it.
    ///
    /// # Errors
    /// [`Refused::NotDone`] if that cannot be made sure in time.
    pub async fn read<T>(&self, look: impl FnOnce(&M) -> T) -> Result<T, Refused> {
        if self.options.defects.local_reads {
            return Ok(self.local(look));
        }
        let deadline = Instant::now() + self.options.timeout;
        let late = || Refused::NotDone("no leader could confirm the read in time".to_owned());
        let index = loop {
            match timeout_at(deadline, self.read_index_of_leader()).await {
                Ok(Some(index)) => break index,
                Ok(None) if !self.has_failed() && Instant::now() + RETRY < deadline => {
                    tokio::time::sleep(RETRY).await;
                }
                Ok(None) | Err(_) => return Err(late()),
            }
        };
        let mut applied = self.shared.follow();
        let reached = timeout_at(deadline, applied.wait_for(|applied| *applied >= index)).await;
        if !matches!(reached, Ok(Ok(_))) {
            return Err(late());
        }
        Ok(self.local(look))
    }

    /// Looks at the machine as far as this node has it; it may be behind.
    pub fn local<T>(&self, look: impl FnOnce(&M) -> T) -> T {
        look(&self.shared.replica().machine)
    }

    /// Follows the index of the last entry that this node has applied.
    pub fn follow(&self) -> watch::Receiver<u64> {
        self.shared.follow()
    }

    /// How this node stands.
    pub fn status(&self) -> Status {
        let metrics = self.raft.metrics().borrow().clone();
        Status {
            id: self.options.peers[self.options.own].id.clone(),
            leads: self.leads(),
            leader: self.leader().and_then(|at| self.options.peers.get(at)).map(|peer| peer.id.clone()),
            term: metrics.current_term,
            applied: self.shared.applied(),
            last: metrics.last_log_index.unwrap_or(0),
            purged: metrics.purged.map_or(0, |id| id.index),
        }
    }

    /// Whether this node leads, as far as it knows.
    pub fn leads(&self) -> bool {
        self.raft.metrics().borrow().state == ServerState::Leader
    }

    /// Completes when this node can do nothing any more, with the reason: its store failed.
    pub async fn failed(&self) -> String {
        let mut metrics = self.raft.metrics();
        loop {
            if let Err(fatal) = &metrics.borrow_and_update().running_state {
                return fatal.to_string();
            }
            if metrics.changed().await.is_err() {
                return "raft has stopped".to_owned();
            }
        }
    }

    fn has_failed(&self) -> bool {
        self.raft.metrics().borrow().running_state.is_err()
    }

    /// Stops taking part, and waits until nothing is written any more and the files are free.
    pub async fn shutdown(self) {
        if let Err(e) = self.raft.shutdown().await {
            tracing::warn!(%e, "raft did not stop cleanly");
        }
        self.log.close().await;
        let shared = self.shared;
        // Waits for a snapshot that is being saved. A panic in there has been reported already.
        let _ = tokio::task::spawn_blocking(move || shared.saved()).await;
    }

    fn leader(&self) -> Option<usize> {
        self.raft.metrics().borrow().current_leader.map(|leader| leader as usize)
    }

    /// What is committed for certain, if a leader can be asked that leads for certain.
    async fn read_index_of_leader(&self) -> Option<u64> {
        match self.leader()? {
            leader if leader == self.options.own => self.read_index().await,
            leader => self.peers.post(leader, READ, encode(&()).ok()?).await.ok()?,
        }
    }

    /// What is committed for certain, if this node leads for certain.
    async fn read_index(&self) -> Option<u64> {
        let confirmed = tokio::time::timeout(self.options.timeout, self.raft.get_read_log_id()).await;
        let (committed, _) = confirmed.ok()?.ok()?;
        let led_before =
            self.came_with.filter(|last| committed.is_some_and(|id| id.leader_id == last.leader_id));
        Some(committed.max(led_before).map_or(0, |id| id.index))
    }

    /// Proposes as the leader; if this node is none, says so.
    async fn propose_here(&self, envelope: Envelope) -> Passed {
        if !self.options.defects.no_dedupe
            && let Some(applied) = self.shared.replica().answered(&envelope.request)
        {
            return Passed::Done(applied.clone());
        }
        if !self.leads() {
            return Passed::NotProposed("the leader has changed".to_owned());
        }
        if self.options.defects.ack_early {
            return self.ack_early(envelope).await;
        }
        let Ok(permit) = Arc::clone(&self.proposals).try_acquire_owned() else {
            return Passed::NotProposed(format!("{PROPOSALS_MAX} proposals wait for a majority already"));
        };
        let raft = self.raft.clone();
        // Waited for to the end even if nobody asks any more: the limit is on what may yet have its effect.
        let decided = tokio::spawn(async move {
            let _permit = permit;
            raft.client_write(envelope).await
        });
        match decided.await {
            Ok(Ok(written)) => Passed::Done(written.data),
            // It may have been in the log of a leader that was deposed while it waited.
            Ok(Err(RaftError::APIError(ClientWriteError::ForwardToLeader(_)))) => {
                Passed::MaybeDone("the leader has changed".to_owned())
            }
            Ok(Err(e)) => Passed::MaybeDone(e.to_string()),
            Err(e) => Passed::MaybeDone(e.to_string()),
        }
    }

    /// The defect: answers as if the command were applied, while it is only on its way.
    async fn ack_early(&self, envelope: Envelope) -> Passed {
        let at = { self.shared.replica().applied.map(Position::from).unwrap_or_default() };
        let mut ahead = self.shared.replica().clone();
        let applied = ahead.command(Position { index: at.index + 1, ..at }, &envelope.command);
        match self.raft.client_write_ff(envelope).await {
            Ok(_) => Passed::Done(applied),
            Err(e) => Passed::MaybeDone(e.to_string()),
        }
    }

    async fn pass_on(&self, leader: usize, envelope: &Envelope) -> Passed {
        let body = match encode(envelope) {
            Ok(body) => body,
            Err(e) => return Passed::MaybeDone(e.to_string()),
        };
        match self.peers.post(leader, PROPOSE, body).await {
            Ok(passed) => passed,
            // Nothing was sent.
            Err(e @ (PeerError::Busy | PeerError::Unreachable)) => Passed::NotProposed(e.to_string()),
            Err(e) => Passed::MaybeDone(e.to_string()),
        }
    }
}
