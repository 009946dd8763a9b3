//! The replicated machine: commands applied in log order, each request once, and its snapshots.
//!
//! Invariants:
//! - the state follows from the log alone: the same entries give the same state on every node;
//! - a request id seen before gets the answer of the first time; ids are forgotten only after
//!   [`REMEMBERED`] later commands, by position in the log, so that every node forgets the same ones;
//! - a snapshot file is whole or absent (written aside, synced, renamed), and carries a checksum.

use std::collections::{HashMap, VecDeque};
use std::fmt::Display;
use std::fs::File;
use std::io::{self, Cursor, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use openraft::storage::RaftStateMachine;
use openraft::{EntryPayload, OptionalSend, RaftSnapshotBuilder};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::watch;

use crate::types::{
    Applied, Entry, LogId, Position, Snapshot, SnapshotMeta, StorageError, StoredMembership, Types,
};

/// How many commands later a request id is forgotten. A client that retries has given up long before.
pub const REMEMBERED: usize = 100_000;

/// What is replicated. Its state must follow from the commands alone: no clock, no chance, no I/O. A machine
/// that needs the time, or a random number, gets it in the command, from whoever proposes it.
///
/// State, commands and answers are kept as JSON: the keys of a map must be texts or numbers.
pub trait Machine: Clone + Default + Serialize + DeserializeOwned + Send + Sync + 'static {
    /// What can be asked of it.
    type Command: Serialize + DeserializeOwned + Send + Sync + Clone + 'static;
    /// What it answers.
    type Answer: Serialize + DeserializeOwned + Send + 'static;

    /// Applies a command that stands at this position of the log.
    fn apply(&mut self, at: Position, command: Self::Command) -> Self::Answer;
}

/// What a node can be made to do wrong here.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct MachineDefects {
    /// A retried request has an effect again.
    pub(crate) no_dedupe: bool,
    /// Entries that reach the machine together are applied in the wrong order.
    pub(crate) out_of_order: bool,
}

/// A machine with what makes it a replica: where it stands in the log and which requests it has seen.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(bound = "")]
pub(crate) struct Replica<M: Machine> {
    pub(crate) machine: M,
    pub(crate) applied: Option<LogId>,
    membership: StoredMembership,
    answers: HashMap<String, Applied>,
    /// The request ids in the order in which they came.
    requests: VecDeque<String>,
}

impl<M: Machine> Default for Replica<M> {
    fn default() -> Self {
        Replica {
            machine: M::default(),
            applied: None,
            membership: StoredMembership::default(),
            answers: HashMap::new(),
            requests: VecDeque::new(),
        }
    }
}

impl<M: Machine> Replica<M> {
    /// The answer to a request that took effect already.
    pub(crate) fn answered(&self, request: &str) -> Option<&Applied> {
        self.answers.get(request)
    }

    fn apply(&mut self, entry: &Entry, defects: MachineDefects) -> Applied {
        self.applied = Some(entry.log_id);
        match &entry.payload {
            EntryPayload::Blank => Applied::default(),
            EntryPayload::Membership(membership) => {
                self.membership = StoredMembership::new(Some(entry.log_id), membership.clone());
                Applied::default()
            }
            EntryPayload::Normal(envelope) => {
                let seen = self.answers.get(&envelope.request).filter(|_| !defects.no_dedupe);
                if let Some(first) = seen {
                    return first.clone();
                }
                let applied = self.command(entry.log_id.into(), &envelope.command);
                self.remember(&envelope.request, &applied);
                applied
            }
        }
    }

    /// Applies a command, without regard to what asked for it.
    pub(crate) fn command(&mut self, at: Position, command: &Value) -> Applied {
        let answer = match serde_json::from_value(command.clone()) {
            Ok(command) => serde_json::to_value(self.machine.apply(at, command)).unwrap_or(Value::Null),
            // Written by another version of this program; the same on every node.
            Err(e) => {
                tracing::error!(index = at.index, %e, "a command in the log is unknown");
                Value::Null
            }
        };
        Applied { at, answer }
    }

    fn remember(&mut self, request: &str, applied: &Applied) {
        self.answers.insert(request.to_owned(), applied.clone());
        self.requests.push_back(request.to_owned());
        if self.requests.len() > REMEMBERED
            && let Some(oldest) = self.requests.pop_front()
        {
            self.answers.remove(&oldest);
        }
    }
}

/// The last entry that the saved snapshot covers, if there is a snapshot; `None` once one could not be saved.
pub(crate) type Covered = Option<Option<LogId>>;

/// The replica on its node: shared with those who read it, saved as snapshots.
pub(crate) struct Store<M: Machine> {
    shared: Arc<Shared<M>>,
}

/// What the store, its snapshot builder and readers share.
pub(crate) struct Shared<M: Machine> {
    replica: Mutex<Replica<M>>,
    applied: watch::Sender<u64>,
    dir: PathBuf,
    /// The last entry that the saved snapshot covers. Held while one is saved: building one and receiving one
    /// can happen at once.
    saved: Mutex<Option<LogId>>,
    /// The same, for those who wait for it.
    covered: watch::Sender<Covered>,
    defects: MachineDefects,
}

impl<M: Machine> Clone for Store<M> {
    fn clone(&self) -> Self {
        Store { shared: Arc::clone(&self.shared) }
    }
}

impl<M: Machine> Shared<M> {
    pub(crate) fn replica(&self) -> MutexGuard<'_, Replica<M>> {
        self.replica.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The index of the entry applied last; 0 before the first.
    pub(crate) fn applied(&self) -> u64 {
        self.replica().applied.map_or(0, |id| id.index)
    }

    /// Follows the index of the entry applied last.
    pub(crate) fn follow(&self) -> watch::Receiver<u64> {
        self.applied.subscribe()
    }

    /// Saves a snapshot, off the async threads, unless a newer one is there.
    async fn save(self: &Arc<Self>, snapshot: Saved) -> io::Result<()> {
        let shared = Arc::clone(self);
        let saving = tokio::task::spawn_blocking(move || {
            let mut newest = shared.saved.lock().unwrap_or_else(PoisonError::into_inner);
            if snapshot.meta.last_log_id >= *newest {
                save(&shared.dir, &snapshot)?;
                *newest = snapshot.meta.last_log_id;
                shared.covered.send_replace(Some(*newest));
            }
            Ok(())
        });
        let saved = saving.await.unwrap_or_else(|e| Err(io::Error::other(e)));
        saved.inspect_err(|_| self.not_saved())
    }

    /// A snapshot cannot be saved: nobody is to wait for it.
    fn not_saved(&self) {
        self.covered.send_replace(None);
    }

    /// The last entry that the saved snapshot covers. Waits for one that is being saved.
    pub(crate) fn saved(&self) -> Option<LogId> {
        *self.saved.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Follows what the saved snapshot covers.
    pub(crate) fn covered(&self) -> watch::Receiver<Covered> {
        self.covered.subscribe()
    }

    fn announce(&self) {
        self.applied.send_replace(self.applied());
    }
}

/// A snapshot as it is saved: a checksum of the rest, the length of the first part, what it covers as JSON,
/// the replica as JSON.
struct Saved {
    meta: SnapshotMeta,
    replica: Vec<u8>,
}

const SNAPSHOT: &str = "snapshot";

impl<M: Machine> Store<M> {
    /// Opens the store in this directory, with the state of its snapshot if there is one.
    pub(crate) fn open(dir: &Path, defects: MachineDefects) -> io::Result<Store<M>> {
        std::fs::create_dir_all(dir)?;
        let (replica, saved) = match load(dir)? {
            Some(Saved { meta, replica }) => {
                (serde_json::from_slice(&replica).map_err(|e| damaged(dir, e))?, meta.last_log_id)
            }
            None => (Replica::default(), None),
        };
        let shared = Shared {
            replica: Mutex::new(replica),
            applied: watch::Sender::new(0),
            dir: dir.to_owned(),
            saved: Mutex::new(saved),
            covered: watch::Sender::new(Some(saved)),
            defects,
        };
        shared.announce();
        Ok(Store { shared: Arc::new(shared) })
    }

    pub(crate) fn shared(&self) -> Arc<Shared<M>> {
        Arc::clone(&self.shared)
    }
}

/// An error that names the file.
fn in_file(dir: &Path, kind: io::ErrorKind, why: impl Display) -> io::Error {
    io::Error::new(kind, format!("{}: {why}", dir.join(SNAPSHOT).display()))
}

fn damaged(dir: &Path, why: impl Display) -> io::Error {
    in_file(dir, io::ErrorKind::InvalidData, format!("the snapshot is damaged: {why}"))
}

fn load(dir: &Path) -> io::Result<Option<Saved>> {
    let bytes = match std::fs::read(dir.join(SNAPSHOT)) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(in_file(dir, e.kind(), e)),
    };
    let parts = || {
        let (sum, rest) = bytes.split_first_chunk::<4>()?;
        let (length, parts) = rest.split_first_chunk::<4>()?;
        let whole = u32::from_le_bytes(*sum) == crc32fast::hash(rest);
        parts.split_at_checked(u32::from_le_bytes(*length) as usize).filter(|_| whole)
    };
    let (meta, replica) = parts().ok_or_else(|| damaged(dir, "its checksum is wrong"))?;
    let meta = serde_json::from_slice(meta).map_err(|e| damaged(dir, e))?;
    Ok(Some(Saved { meta, replica: replica.to_vec() }))
}

fn save(dir: &Path, saved: &Saved) -> io::Result<()> {
    let meta = serde_json::to_vec(&saved.meta)?;
    let bytes = [&(meta.len() as u32).to_le_bytes(), &*meta, &saved.replica].concat();
    let fresh = dir.join("snapshot.new");
    let mut file = File::create(&fresh)?;
    file.write_all(&crc32fast::hash(&bytes).to_le_bytes())?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    std::fs::rename(&fresh, dir.join(SNAPSHOT))?;
    File::open(dir)?.sync_all()
}

fn failed(e: &io::Error) -> StorageError {
    openraft::StorageIOError::write_snapshot(None, e).into()
}

impl<M: Machine> RaftSnapshotBuilder<Types> for Store<M> {
    async fn build_snapshot(&mut self) -> Result<Snapshot, StorageError> {
        let (bytes, meta) = {
            let replica = self.shared.replica();
            let position = replica.applied.map_or(0, |id| id.index);
            let meta = SnapshotMeta {
                last_log_id: replica.applied,
                last_membership: replica.membership.clone(),
                snapshot_id: format!("{position}"),
            };
            (serde_json::to_vec(&*replica), meta)
        };
        let bytes = bytes.map_err(|e| failed(&e.into()))?;
        let saved = Saved { meta: meta.clone(), replica: bytes.clone() };
        self.shared.save(saved).await.map_err(|e| failed(&e))?;
        Ok(Snapshot { meta, snapshot: Box::new(Cursor::new(bytes)) })
    }
}

impl<M: Machine> RaftStateMachine<Types> for Store<M> {
    type SnapshotBuilder = Store<M>;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), StorageError> {
        let replica = self.shared.replica();
        Ok((replica.applied, replica.membership.clone()))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<Applied>, StorageError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut entries: Vec<Entry> = entries.into_iter().collect();
        if self.shared.defects.out_of_order {
            entries.reverse();
        }
        let mut answers: Vec<Applied> = {
            let mut replica = self.shared.replica();
            entries.iter().map(|entry| replica.apply(entry, self.shared.defects)).collect()
        };
        if self.shared.defects.out_of_order {
            answers.reverse();
            let last = entries.first().map(|entry| entry.log_id);
            self.shared.replica().applied = last;
        }
        self.shared.announce();
        Ok(answers)
    }

    async fn get_snapshot_builder(&mut self) -> Store<M> {
        self.clone()
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<Cursor<Vec<u8>>>, StorageError> {
        Ok(Box::default())
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        snapshot: Box<Cursor<Vec<u8>>>,
    ) -> Result<(), StorageError> {
        let bytes = snapshot.into_inner();
        let replica = serde_json::from_slice(&bytes).inspect_err(|_| self.shared.not_saved());
        let replica: Replica<M> = replica.map_err(|e| failed(&e.into()))?;
        let saved = Saved { meta: meta.clone(), replica: bytes };
        self.shared.save(saved).await.map_err(|e| failed(&e))?;
        *self.shared.replica() = replica;
        self.shared.announce();
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot>, StorageError> {
        let saved = load(&self.shared.dir).map_err(|e| failed(&e))?;
        Ok(saved.map(|saved| Snapshot { meta: saved.meta, snapshot: Box::new(Cursor::new(saved.replica)) }))
    }
}
