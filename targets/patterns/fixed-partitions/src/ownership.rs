//! Which partitions this node owns, on its own disk: what it may serve follows from nothing else.
//!
//! A partition is handed over in steps, each durable before the next:
//!
//! 1. the source stops taking new work (*draining*) and waits until no transfer of the partition is undecided;
//! 2. it copies all rows to the target, which keeps them (*staged*) and serves nothing of them;
//! 3. the source gives the partition up (*sealed*): from here on there is no way back;
//! 4. the map passes to the target, at the next epoch;
//! 5. the target, which learns that from the map, serves; the source, which learns it too, deletes (*gone*).
//!
//! Before step 3 the source may change its mind and serve again. Each attempt has a number, so that a copy of an earlier
//! attempt that was held up on the way does not replace a later one. A row is kept also of what is gone: an owner of
//! the first epoch begins with nothing, and must not do so twice.

use std::collections::BTreeMap;

use ordeal_kit::store::StoreError;
use serde::{Deserialize, Serialize};

use crate::bugs::Bug;
use crate::map::{Map, Owner, Part};
use crate::rows::{self, Look, Row, Rows, get, put, under};

/// How a node stands to a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Stage {
    Serving,
    Draining,
    Sealed,
    Staged,
    Gone,
}

/// What a node knows of a partition that is, was or will be its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Own {
    pub(crate) stage: Stage,
    /// The epoch at which it owns the partition, or will; of what is gone, at which somebody else does.
    pub(crate) epoch: u64,
    /// Attempts to hand it over at this epoch; of what is staged, the one that it came with.
    pub(crate) attempt: u64,
    /// Who it is handed to.
    pub(crate) to: Option<usize>,
}

/// What this node knows of the partition.
pub(crate) fn own(look: &(impl Look + ?Sized), partition: usize) -> Result<Option<Own>, StoreError> {
    get(look, &rows::own(partition))
}

/// Whether this node may change the partition at this epoch.
pub(crate) fn serves(look: &(impl Look + ?Sized), part: Part, bug: Option<Bug>) -> Result<bool, StoreError> {
    let unfenced = bug == Some(Bug::HandoffWithoutFencing);
    let may = |own: Own| match own.stage {
        Stage::Serving => true,
        Stage::Draining | Stage::Sealed => unfenced,
        Stage::Staged | Stage::Gone => false,
    };
    Ok(own(look, part.partition)?.is_some_and(|own| own.epoch == part.epoch && may(own)))
}

/// Whether this node may answer what is in the partition at this epoch.
pub(crate) fn shows(look: &(impl Look + ?Sized), part: Part, bug: Option<Bug>) -> Result<bool, StoreError> {
    let draining = own(look, part.partition)?;
    let draining = draining.is_some_and(|own| own.stage == Stage::Draining && own.epoch == part.epoch);
    Ok(draining || serves(look, part, bug)?)
}

/// All that this node knows of partitions.
pub(crate) fn all(look: &(impl Look + ?Sized)) -> Result<BTreeMap<usize, Own>, StoreError> {
    let rows = under::<Own>(look, rows::OWN)?;
    // Only numbers are ever written.
    Ok(rows.into_iter().filter_map(|(partition, own)| Some((partition.parse().ok()?, own))).collect())
}

/// The partitions that this node is to begin to serve, or to delete, as the map says; with the stage that they come to.
pub(crate) fn behind(known: &BTreeMap<usize, Own>, map: &Map, node: usize) -> Vec<(usize, Stage)> {
    let change = |partition: usize, owner: &Owner| match known.get(&partition) {
        None if owner.node == node && owner.epoch == 1 => Some(Stage::Serving),
        Some(own) if owner.node == node => {
            (own.stage == Stage::Staged && own.epoch == owner.epoch).then_some(Stage::Serving)
        }
        Some(own) => passed_on(*own, owner.epoch).then_some(Stage::Gone),
        None => None,
    };
    let owners = map.owners.iter().enumerate();
    owners.filter_map(|(partition, owner)| Some((partition, change(partition, owner)?))).collect()
}

/// Does what the map says: begins to serve what has become this node's, and deletes what has passed on. True if anything
/// was to be done.
pub(crate) fn follow(rows: &mut dyn Rows, map: &Map, node: usize) -> Result<bool, StoreError> {
    let changes = behind(&all(rows)?, map, node);
    for &(partition, stage) in &changes {
        if stage == Stage::Gone {
            for (key, _) in rows.rows(&rows::partition(partition))? {
                rows.remove(&key)?;
            }
        }
        let own = Own { stage, epoch: map.owners[partition].epoch, attempt: 0, to: None };
        put(rows, &rows::own(partition), &own)?;
    }
    Ok(!changes.is_empty())
}

/// Whether the partition, somebody else's at this epoch, is no longer what this node has it as.
fn passed_on(own: Own, epoch: u64) -> bool {
    match own.stage {
        Stage::Gone => false,
        // It was staged for this epoch, and then handed to somebody else.
        Stage::Staged => own.epoch <= epoch,
        Stage::Serving | Stage::Draining | Stage::Sealed => own.epoch < epoch,
    }
}

/// Step 1: takes no new work; answers with the number of the attempt. `None`: this node does not serve the partition.
pub(crate) fn drain(rows: &mut dyn Rows, part: Part, to: usize) -> Result<Option<u64>, StoreError> {
    let Some(own) =
        own(rows, part.partition)?.filter(|own| own.stage == Stage::Serving && own.epoch == part.epoch)
    else {
        return Ok(None);
    };
    let attempt = own.attempt + 1;
    put(rows, &rows::own(part.partition), &Own { stage: Stage::Draining, attempt, to: Some(to), ..own })?;
    Ok(Some(attempt))
}

/// Whether no transfer of the partition is undecided.
pub(crate) fn drained(look: &(impl Look + ?Sized), partition: usize) -> Result<bool, StoreError> {
    Ok(look.rows(&rows::locks(partition))?.is_empty())
}

/// Serves again what is not sealed.
pub(crate) fn undrain(rows: &mut dyn Rows, partition: usize) -> Result<(), StoreError> {
    match own(rows, partition)? {
        Some(own) if own.stage == Stage::Draining => {
            put(rows, &rows::own(partition), &Own { stage: Stage::Serving, to: None, ..own })
        }
        _ => Ok(()),
    }
}

/// Step 2 at the source: everything there is about the partition.
pub(crate) fn copy(
    look: &(impl Look + ?Sized),
    partition: usize,
    bug: Option<Bug>,
) -> Result<Vec<Row>, StoreError> {
    let mut copied = look.rows(&rows::partition(partition))?;
    if bug == Some(Bug::RequestsLeftBehind) {
        let requests = rows::requests(partition);
        copied.retain(|(key, _)| !key.starts_with(&requests));
    }
    Ok(copied)
}

/// Step 2 at the target: keeps the rows, to be served at this epoch. False: it has the partition, or knows of a later
/// attempt.
pub(crate) fn stage(
    rows: &mut dyn Rows,
    part: Part,
    attempt: u64,
    copied: &[Row],
) -> Result<bool, StoreError> {
    let prefix = rows::partition(part.partition);
    let outdated = match own(rows, part.partition)? {
        None => false,
        Some(own) => match own.stage {
            Stage::Gone => own.epoch >= part.epoch,
            Stage::Staged => (own.epoch, own.attempt) >= (part.epoch, attempt),
            Stage::Serving | Stage::Draining | Stage::Sealed => true,
        },
    };
    if outdated || copied.iter().any(|(key, _)| !key.starts_with(&prefix)) {
        return Ok(false);
    }
    for (key, _) in rows.rows(&prefix)? {
        rows.remove(&key)?;
    }
    for (key, row) in copied {
        rows.put_row(key, row)?;
    }
    let staged = Own { stage: Stage::Staged, epoch: part.epoch, attempt, to: None };
    put(rows, &rows::own(part.partition), &staged)?;
    Ok(true)
}

/// Step 3. False: the attempt is not under way any more.
pub(crate) fn seal(rows: &mut dyn Rows, partition: usize, attempt: u64) -> Result<bool, StoreError> {
    match own(rows, partition)? {
        Some(own) if own.stage == Stage::Draining && own.attempt == attempt => {
            put(rows, &rows::own(partition), &Own { stage: Stage::Sealed, ..own })?;
            Ok(true)
        }
        _ => Ok(false),
    }
}

#[cfg(test)]
mod tests;
