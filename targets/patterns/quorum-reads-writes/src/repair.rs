//! Read repair: what a read found settled is brought to the replicas that answered with less.
//!
//! In the background, and as far as it goes: no answer waits for it, and no promise rests on it.

use std::sync::Arc;

use ordeal_kit::Id;
use tokio::sync::{Semaphore, mpsc};

use crate::gather::Answer;
use crate::protocol::{Cell, Entries, Register, Update, VersionOrder, missing};
use crate::replicas::{Parcel, Replicas};

/// Read repairs at a time; a read that finds none free repairs nothing.
const REPAIRS_MAX: usize = 256;

/// Repairs replicas.
pub(crate) struct Repairs {
    replicas: Arc<Replicas>,
    order: VersionOrder,
    free: Arc<Semaphore>,
}

impl Repairs {
    pub(crate) fn new(replicas: Arc<Replicas>, order: VersionOrder) -> Self {
        Repairs { replicas, order, free: Arc::new(Semaphore::new(REPAIRS_MAX)) }
    }

    /// Brings a settled summary to the replicas that answered with an older one, in the background.
    pub(crate) fn summary(
        &self,
        patient: &Id,
        cell: &Cell,
        answers: Vec<(usize, Register)>,
        mut late: mpsc::Receiver<Answer<Register>>,
    ) {
        let Ok(permit) = Arc::clone(&self.free).try_acquire_owned() else {
            return;
        };
        let (replicas, order, patient, cell) =
            (Arc::clone(&self.replicas), self.order, patient.clone(), cell.clone());
        tokio::spawn(async move {
            let _permit = permit;
            let mut answers = answers.into_iter();
            while let Some((node, register)) = next(&mut answers, &mut late).await {
                if !order.replaces(&cell, register.cell.as_ref()) {
                    continue;
                }
                let (patient, cell) = (patient.clone(), cell.clone());
                mend(&replicas, node, Update::Summary { patient, cell }).await;
            }
        });
    }

    /// Brings settled entries to the replicas that answered without some of them, in the background.
    pub(crate) fn entries(
        &self,
        patient: &Id,
        set: &Arc<Entries>,
        answers: Vec<(usize, Arc<Entries>)>,
        mut late: mpsc::Receiver<Answer<Arc<Entries>>>,
    ) {
        let Ok(permit) = Arc::clone(&self.free).try_acquire_owned() else {
            return;
        };
        let (replicas, patient, set) = (Arc::clone(&self.replicas), patient.clone(), Arc::clone(set));
        tokio::spawn(async move {
            let _permit = permit;
            let mut answers = answers.into_iter();
            while let Some((node, held)) = next(&mut answers, &mut late).await {
                let entries = missing(&set, &held);
                if entries.is_empty() {
                    continue;
                }
                let patient = patient.clone();
                mend(&replicas, node, Update::Entries { patient, entries }).await;
            }
        });
    }
}

/// The next answer to look at: first those of the quorum, then those that come late.
async fn next<T>(
    answers: &mut std::vec::IntoIter<(usize, T)>,
    late: &mut mpsc::Receiver<Answer<T>>,
) -> Option<(usize, T)> {
    if let Some(answer) = answers.next() {
        return Some(answer);
    }
    loop {
        if let (node, Ok(answer)) = late.recv().await? {
            return Some((node, answer));
        }
    }
}

async fn mend(replicas: &Replicas, node: usize, update: Update) {
    let outcome = match Parcel::new(update) {
        Ok(parcel) => replicas.update(node, &parcel).await,
        Err(why) => Err(why.into()),
    };
    if let Err(why) = outcome {
        tracing::debug!(node, %why, "a replica was not repaired");
    }
}
