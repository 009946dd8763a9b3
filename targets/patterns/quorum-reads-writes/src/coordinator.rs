//! A clinic's side of every operation: drives the protocol over the replicas, within a deadline.
//!
//! Invariants:
//! - a definite error is only given before anything of a mutation left this function for a store;
//! - every request to a replica runs to its end even after the quorum is there, so that all N get every
//!   update that can reach them;
//! - the own store is in every first round, and has an update before any other node.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ordeal_kit::store::StoreError;
use ordeal_kit::{ApiError, Id};
use tokio::time::{Instant, timeout_at};

use crate::bugs::Bug;
use crate::gather::{Gathered, NoQuorum};
use crate::hints;
use crate::protocol::{
    Cell, Entries, Entry, PutPlan, Quorums, Register, RegisterRead, SetRead, Update, Version, VersionOrder,
    missing, newest, plan_put, read_register, read_set, union,
};
use crate::repair::Repairs;
use crate::replicas::{Parcel, Query, Replicas};
use crate::store::{Counter, Set};

/// How often a read proposes before it gives up on entries that keep arriving.
const ROUNDS_MAX: usize = 64;
/// How much text a patient's record takes.
const RECORD_BYTES_MAX: u64 = 4 << 20;

/// Coordinates clients' operations.
pub(crate) struct Coordinator {
    replicas: Arc<Replicas>,
    quorums: Quorums,
    order: VersionOrder,
    quorum_timeout: Duration,
    bug: Option<Bug>,
    repairs: Repairs,
}

impl Coordinator {
    pub(crate) fn new(
        replicas: Arc<Replicas>,
        quorums: Quorums,
        quorum_timeout: Duration,
        bug: Option<Bug>,
    ) -> Self {
        let order = version_order(bug);
        Coordinator {
            repairs: Repairs::new(Arc::clone(&replicas), order),
            replicas,
            quorums,
            order,
            quorum_timeout,
            bug,
        }
    }

    /// Adds an entry to a patient's record.
    pub(crate) async fn append(&self, patient: Id, id: Id, entry: Entry) -> Result<(), ApiError> {
        let deadline = Instant::now() + self.quorum_timeout;
        let (held, bytes) = self.replicas.store.entry(&patient, &id).map_err(not_done)?;
        match held {
            Some(held) if held != entry => {
                return Err(ApiError::conflict(format!("{id} was used for another entry")));
            }
            None if bytes + entry.text.len() as u64 > RECORD_BYTES_MAX => {
                return Err(ApiError::too_large("the patient's record is full"));
            }
            _ => {}
        }
        if held.is_none() {
            self.expect_quorum(&patient, deadline).await?;
        }
        let entries = Entries::from([(id, entry)]);
        self.store_everywhere(Update::Entries { patient, entries }, deadline).await
    }

    /// Replaces a patient's summary.
    pub(crate) async fn put(&self, patient: Id, request_id: Id, text: String) -> Result<Version, ApiError> {
        let deadline = Instant::now() + self.quorum_timeout;
        let own = self.replicas.store.register(&patient, Some(&request_id)).map_err(not_done)?;
        let answers = if own.known.is_some() {
            // A retry, and the version is here: nothing to ask for.
            vec![(self.replicas.own, own)]
        } else {
            let heard = self.query(own, &patient, Some(&request_id), self.quorums.read, deadline).await;
            heard.map_err(|why| ApiError::unavailable(why.to_string()))?.answers
        };
        let floor = match plan_put(&answers, &text) {
            PutPlan::Conflict => {
                return Err(ApiError::conflict(format!("{request_id} was used for another text")));
            }
            PutPlan::Resume(cell) => {
                let version = cell.version.clone();
                self.store_everywhere(Update::Summary { patient, cell }, deadline).await?;
                return Ok(version);
            }
            PutPlan::Issue { floor } => floor,
        };
        let counter = if self.bug == Some(Bug::WallClockVersions) {
            Counter::Exactly(wall_clock_us())
        } else {
            Counter::After(floor)
        };
        let issue = self.replicas.store.issue(patient.clone(), request_id, text.clone(), counter);
        let cell = timeout_at(deadline, issue).await.map_err(|_| own_store_late())??;
        if cell.text != text {
            // Another request with this id was quicker.
            return Err(ApiError::conflict(format!("{} was used for another text", cell.request_id)));
        }
        let version = cell.version.clone();
        let ready = vec![(self.replicas.own, ())];
        self.replicate(Update::Summary { patient, cell }, ready, deadline).await?;
        Ok(version)
    }

    /// A patient's summary.
    pub(crate) async fn summary(&self, patient: &Id) -> Result<Option<Cell>, ApiError> {
        let deadline = Instant::now() + self.quorum_timeout;
        let own = self.replicas.store.register(patient, None).map_err(not_done)?;
        let heard = self.query(own, patient, None, self.quorums.read, deadline).await;
        let Gathered { answers, late } = heard.map_err(|why| ApiError::unavailable(why.to_string()))?;
        if matches!(self.bug, Some(Bug::NoWriteBack | Bug::RPlusW)) {
            return Ok(newest(self.order, &answers).cloned());
        }
        match read_register(self.order, &answers, self.quorums.write) {
            RegisterRead::Settled(Some(cell)) => {
                self.repairs.summary(patient, &cell, answers, late);
                Ok(Some(cell))
            }
            RegisterRead::Settled(None) => Ok(None),
            RegisterRead::WriteBack { cell, holders } => {
                let parcel = Parcel::new(Update::Summary { patient: patient.clone(), cell: cell.clone() });
                let parcel = parcel.map_err(|why| ApiError::unavailable(why.to_string()))?;
                let ready = holders.into_iter().map(|node| (node, ())).collect();
                let written = self.replicas.gather(ready, self.quorums.write, deadline, |replicas, node| {
                    let parcel = Arc::clone(&parcel);
                    async move { replicas.update(node, &parcel).await }
                });
                written.await.map_err(|why| ApiError::unavailable(why.to_string()))?;
                Ok(Some(cell))
            }
        }
    }

    /// A patient's entries.
    pub(crate) async fn entries(&self, patient: &Id) -> Result<Arc<Entries>, ApiError> {
        let deadline = Instant::now() + self.quorum_timeout;
        let own = self.replicas.store.set(patient).map_err(not_done)?;
        let mut heard: Vec<Option<Arc<Entries>>> = vec![None; self.quorums.nodes];
        // In the first round nothing is proposed: the peers just compare with what this node has.
        let ready = vec![(self.replicas.own, Arc::clone(&own.entries))];
        let mut gathered = self.offer(patient, own, None, ready, deadline).await?;
        for _ in 0..ROUNDS_MAX {
            if matches!(self.bug, Some(Bug::NoWriteBack | Bug::RPlusW)) {
                return Ok(union(&gathered.answers));
            }
            match read_set(&gathered.answers, self.quorums.write) {
                SetRead::Settled(set) => {
                    self.repairs.entries(patient, &set, gathered.answers, gathered.late);
                    return Ok(set);
                }
                SetRead::Propose(union) => {
                    for (node, set) in gathered.answers {
                        heard[node] = Some(set);
                    }
                    let proposal = Set::new(union);
                    gathered = self.offer(patient, proposal, Some(&heard), Vec::new(), deadline).await?;
                }
            }
        }
        Err(ApiError::unavailable("entries kept arriving while they were read"))
    }

    /// One round of a read of entries. With `heard`, proposes the set to every replica, sending each what
    /// it lacked when last heard of.
    async fn offer(
        &self,
        patient: &Id,
        set: Set,
        heard: Option<&[Option<Arc<Entries>>]>,
        ready: Vec<(usize, Arc<Entries>)>,
        deadline: Instant,
    ) -> Result<Gathered<Arc<Entries>>, ApiError> {
        let need = if self.bug == Some(Bug::RPlusW) {
            self.quorums.read
        } else {
            self.quorums.read.max(self.quorums.write)
        };
        let round = self.replicas.gather(ready, need, deadline, |replicas, node| {
            let (patient, set) = (patient.clone(), set.clone());
            let lacking = match heard.map(|heard| &heard[node]) {
                None => Entries::new(),
                Some(None) => Entries::clone(&set.entries),
                Some(Some(held)) => missing(&set.entries, held),
            };
            async move { replicas.offer(node, &patient, lacking, &set).await }
        });
        round.await.map_err(|why| ApiError::unavailable(why.to_string()))
    }

    /// The first round of operations on summaries.
    async fn query(
        &self,
        own: Register,
        patient: &Id,
        request_id: Option<&Id>,
        need: usize,
        deadline: Instant,
    ) -> Result<Gathered<Register>, NoQuorum> {
        let query = Arc::new(Query { patient: patient.clone(), request_id: request_id.cloned() });
        let ready = vec![(self.replicas.own, own)];
        self.replicas
            .gather(ready, need, deadline, |replicas, node| {
                let query = Arc::clone(&query);
                async move { replicas.query(node, &query).await }
            })
            .await
    }

    /// When a write quorum seems out of reach, finds out before anything is stored: then the refusal is
    /// definite.
    async fn expect_quorum(&self, patient: &Id, deadline: Instant) -> Result<(), ApiError> {
        let need = self.acks_needed();
        if self.bug == Some(Bug::HintCounted) || self.replicas.answering() >= need {
            return Ok(());
        }
        let own = Register::default();
        let heard = self.query(own, patient, None, need, deadline).await;
        heard.map(|_| ()).map_err(|why| ApiError::unavailable(why.to_string()))
    }

    fn acks_needed(&self) -> usize {
        if self.bug == Some(Bug::W1) { 1 } else { self.quorums.write }
    }

    /// Stores the update here, then on a write quorum.
    async fn store_everywhere(&self, update: Update, deadline: Instant) -> Result<(), ApiError> {
        let stored = timeout_at(deadline, self.replicas.store.update(update.clone())).await;
        stored.map_err(|_| own_store_late())??;
        self.replicate(update, vec![(self.replicas.own, ())], deadline).await
    }

    /// Sends the update to all but the `ready` replicas, until a write quorum has it.
    async fn replicate(
        &self,
        update: Update,
        ready: Vec<(usize, ())>,
        deadline: Instant,
    ) -> Result<(), ApiError> {
        let parcel = Parcel::new(update).map_err(|why| ApiError::internal(why.to_string()))?;
        let sloppy = self.bug == Some(Bug::HintCounted);
        let acks = self.replicas.gather(ready, self.acks_needed(), deadline, |replicas, node| {
            let parcel = Arc::clone(&parcel);
            async move {
                if sloppy {
                    return hints::update_or_hint(&replicas, node, &parcel).await;
                }
                replicas.update(node, &parcel).await
            }
        });
        acks.await.map(|_| ()).map_err(|why| ApiError::maybe_done(why.to_string()))
    }
}

/// How the node compares versions.
pub(crate) fn version_order(bug: Option<Bug>) -> VersionOrder {
    if bug == Some(Bug::VersionTies) { VersionOrder::CounterOnly } else { VersionOrder::Total }
}

fn wall_clock_us() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64)
}

/// The own store failed a read, before anything was done.
#[allow(clippy::needless_pass_by_value, reason = "the signature map_err asks for")]
fn not_done(why: StoreError) -> ApiError {
    ApiError::unavailable(why.to_string())
}

fn own_store_late() -> ApiError {
    ApiError::maybe_done("the node's own store did not answer in time")
}
