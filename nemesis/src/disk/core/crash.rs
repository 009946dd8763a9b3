//! The power fails.

use std::collections::HashMap;
use std::sync::PoisonError;

use nix::errno::Errno;
use ordeal_core::Rng;
use serde::{Deserialize, Serialize};

use super::super::journal::{files_below, open_for_rollback};
use super::Core;

/// What a power loss would lose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Unsynced {
    /// Files with contents that are not synced.
    pub(crate) files: u64,
    /// The bytes of those.
    pub(crate) bytes: u64,
    /// Operations on directories that are not synced.
    pub(crate) directory_ops: u64,
}

/// What a power loss lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lost {
    /// Files with names that lost contents.
    pub(crate) files: u64,
    /// Changed pages that are as they were before.
    pub(crate) pages: u64,
    /// Changed pages that survived without having been synced.
    pub(crate) pages_kept: u64,
    /// By how much files became shorter, in sum.
    pub(crate) tail_bytes: u64,
    /// Operations on directories that were undone.
    pub(crate) directory_ops: u64,
}

impl Core {
    pub(in super::super) fn unsynced(&self) -> Unsynced {
        let directory_ops = self.tree().log.len() as u64;
        let mut unsynced = Unsynced { files: 0, bytes: 0, directory_ops };
        for content in self.contents().values().filter(|content| !content.is_clean()) {
            unsynced.files += 1;
            unsynced.bytes += content.unsynced_bytes();
        }
        unsynced
    }

    /// Nothing can be changed or read through this disk any more; what is under way has ended.
    pub(in super::super) fn die(&self) {
        *self.dead.write().unwrap_or_else(PoisonError::into_inner) = true;
    }

    /// Undoes what is not synced, after [`Core::die`].
    pub(in super::super) fn roll_back(&self, torn: f64, seed: u64) -> Result<Lost, String> {
        let rng = &mut Rng::new(seed);
        let mut tree = self.tree();
        let log = std::mem::take(&mut tree.log);
        let kept = if torn > 0.0 { rng.below(log.len() as u64 + 1) as usize } else { 0 };
        let mut lost = Lost { directory_ops: (log.len() - kept) as u64, ..Lost::default() };
        for op in log[kept..].iter().rev() {
            self.store.undo(op).map_err(|e| format!("cannot undo {op:?}: {e}"))?;
        }
        for number in log[..kept].iter().filter_map(|op| op.parked()) {
            self.store.discard(number).map_err(|e| format!("cannot delete what was unlinked: {e}"))?;
        }
        let mut changed: HashMap<u64, _> = self.contents().drain().collect();
        changed.retain(|_, content| !content.is_clean());
        if changed.is_empty() {
            return Ok(lost);
        }
        let mut files = files_below(&self.root).map_err(|e| format!("cannot list the files: {e}"))?;
        // The order decides which file draws which chances.
        files.sort_unstable_by(|a, b| a.1.cmp(&b.1));
        for (ino, path) in files {
            let Some(content) = changed.remove(&ino) else { continue };
            let loss = open_for_rollback(&path)
                .and_then(|file| content.roll_back(&file, torn, rng))
                .map_err(|e| format!("cannot roll back {}: {e}", path.display()))?;
            lost.pages += loss.pages;
            lost.pages_kept += loss.pages_kept;
            lost.tail_bytes += loss.tail_bytes;
            lost.files += u64::from(loss.pages > 0 || loss.tail_bytes > 0);
        }
        Ok(lost)
    }

    /// Everything is as good as synced, after [`Core::die`].
    pub(in super::super) fn settle_all(&self) -> Result<(), Errno> {
        self.contents().clear();
        self.commit(&mut self.tree())
    }
}
