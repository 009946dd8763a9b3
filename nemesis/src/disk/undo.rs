//! What a file has lost if the power fails now: the former contents of every page that was changed since
//! the file was last synced, and its former size.
//!
//! Writes go straight to the file; before a page is changed for the first time, what it holds is put
//! aside. So a read needs no merging, and memory is only needed for what is not synced.
//!
//! Invariant, for `synced` the size that survives: every byte below `synced` that would survive is in
//! `before` if its page has been changed, and in the file if not.
//!
//! A torn failure keeps some of the changed pages. Three rules keep it to what a journalling file system
//! can really leave behind (ext4 `data=ordered`, XFS): a page is old or new as a whole; a file that was
//! cut off and grew again has other blocks beyond the cut, so old and new do not mix there unless the cut
//! itself is lost, which takes everything beyond it along; a lost page before a kept one at the end of a
//! grown file is a hole that reads as zeros.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::fcntl::{FallocateFlags, fallocate};
use ordeal_core::Rng;

/// The grain in which contents survive, in bytes.
pub(super) const PAGE: u64 = 4096;

/// The contents of one file, by whatever names and handles it is reached.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) ino: u64,
    changes: Mutex<Changes>,
}

#[derive(Debug, Default)]
struct Changes {
    /// The size now.
    size: u64,
    /// The size that would survive.
    synced: u64,
    /// The smallest size since the last sync, and at most `synced`: what lies beyond was cut off in between.
    low: u64,
    /// By page number, what would survive of each changed page that reaches below `synced`.
    before: BTreeMap<u64, Box<[u8]>>,
}

/// What one file lost when the power failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Loss {
    /// Changed pages that are as they were before.
    pub(super) pages: u64,
    /// Changed pages that survived.
    pub(super) pages_kept: u64,
    /// By how much the file became shorter.
    pub(super) tail_bytes: u64,
}

impl Content {
    /// A file whose contents are synced up to this size, which is its size.
    pub(super) fn synced(ino: u64, size: u64) -> Arc<Self> {
        let changes = Changes { size, synced: size, low: size, before: BTreeMap::new() };
        Arc::new(Content { ino, changes: Mutex::new(changes) })
    }

    fn changes(&self) -> MutexGuard<'_, Changes> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The size now.
    pub(super) fn size(&self) -> u64 {
        self.changes().size
    }

    /// Whether the power could fail without a loss.
    pub(super) fn is_clean(&self) -> bool {
        self.changes().is_clean()
    }

    /// How many bytes would be lost.
    pub(super) fn unsynced_bytes(&self) -> u64 {
        let changes = self.changes();
        let changed: usize = changes.before.values().map(|bytes| bytes.len()).sum();
        changed as u64 + changes.size.saturating_sub(changes.synced)
    }

    pub(super) fn write(&self, file: &File, at: u64, data: &[u8]) -> io::Result<()> {
        let mut changes = self.changes();
        changes.put_aside(file, at, data.len() as u64)?;
        match file.write_all_at(data, at) {
            Ok(()) => changes.size = changes.size.max(at + data.len() as u64),
            Err(e) => {
                // Part of it may have been written.
                changes.size = file.metadata()?.len();
                return Err(e);
            }
        }
        Ok(())
    }

    pub(super) fn resize(&self, file: &File, to: u64) -> io::Result<()> {
        let mut changes = self.changes();
        if to < changes.size {
            let gone = changes.size - to;
            changes.put_aside(file, to, gone)?;
        }
        file.set_len(to)?;
        changes.size = to;
        changes.low = changes.low.min(to);
        Ok(())
    }

    pub(super) fn allocate(&self, file: &File, mode: FallocateFlags, at: u64, bytes: u64) -> io::Result<()> {
        let mut changes = self.changes();
        if mode.intersects(FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_ZERO_RANGE) {
            changes.put_aside(file, at, bytes)?;
        }
        fallocate(file, mode, at as i64, bytes as i64)?;
        if !mode.contains(FallocateFlags::FALLOC_FL_KEEP_SIZE) {
            changes.size = changes.size.max(at + bytes);
        }
        Ok(())
    }

    /// From now on everything survives as it is.
    pub(super) fn sync(&self) {
        let mut changes = self.changes();
        changes.before.clear();
        changes.synced = changes.size;
        changes.low = changes.size;
    }

    /// The power fails: each changed page survives with the chance `torn`.
    pub(super) fn roll_back(&self, file: &File, torn: f64, rng: &mut Rng) -> io::Result<Loss> {
        let mut changes = self.changes();
        let size = changes.size;
        let mut loss = Loss::default();
        let end = if changes.low < changes.synced && !rng.chance(torn) {
            changes.without_cut(file, torn, rng, &mut loss)?
        } else {
            changes.with_cut(file, torn, rng, &mut loss)?
        };
        loss.tail_bytes = size.saturating_sub(end);
        *changes = Changes { size: end, synced: end, low: end, before: BTreeMap::new() };
        Ok(loss)
    }
}

impl Changes {
    fn is_clean(&self) -> bool {
        self.before.is_empty() && self.size == self.synced && self.low == self.synced
    }

    /// Puts aside what would survive of the pages that are about to change.
    fn put_aside(&mut self, file: &File, at: u64, bytes: u64) -> io::Result<()> {
        let end = at.saturating_add(bytes).min(self.synced);
        if at >= end {
            return Ok(());
        }
        for page in at / PAGE..end.div_ceil(PAGE) {
            if self.before.contains_key(&page) {
                continue;
            }
            let start = page * PAGE;
            let mut bytes = vec![0; (self.synced - start).min(PAGE) as usize];
            file.read_exact_at(&mut bytes, start)?;
            self.before.insert(page, bytes.into_boxed_slice());
        }
        Ok(())
    }

    /// Nothing was cut off: beyond the lowest size everything is as it was. Returns the size.
    fn without_cut(&self, file: &File, torn: f64, rng: &mut Rng, loss: &mut Loss) -> io::Result<u64> {
        file.set_len(self.synced)?;
        for (&page, bytes) in &self.before {
            let below = (page + 1) * PAGE <= self.low;
            self.restore(file, page, bytes, below && rng.chance(torn), loss)?;
        }
        Ok(self.synced)
    }

    /// Whatever was cut off is gone: beyond the lowest size there are only new pages. Returns the size.
    fn with_cut(&self, file: &File, torn: f64, rng: &mut Rng, loss: &mut Loss) -> io::Result<u64> {
        let first = self.low / PAGE;
        for (&page, bytes) in self.before.range(..first) {
            self.restore(file, page, bytes, rng.chance(torn), loss)?;
        }
        let (mut end, mut lost) = (self.low, Vec::new());
        for page in first..self.size.div_ceil(PAGE) {
            if torn > 0.0 && rng.chance(torn) {
                loss.pages_kept += 1;
                end = self.size.min((page + 1) * PAGE);
            } else {
                loss.pages += 1;
                lost.push(page);
            }
        }
        for page in lost {
            let start = page * PAGE;
            if start < self.low
                && let Some(bytes) = self.before.get(&page)
            {
                file.write_all_at(&bytes[..(self.low - start) as usize], start)?;
            }
            let (from, to) = (start.max(self.low), end.min(start + PAGE));
            if from < to {
                file.write_all_at(&vec![0; (to - from) as usize], from)?;
            }
        }
        file.set_len(end)?;
        Ok(end)
    }

    fn restore(&self, file: &File, page: u64, bytes: &[u8], keep: bool, loss: &mut Loss) -> io::Result<()> {
        if keep {
            loss.pages_kept += 1;
            return Ok(());
        }
        loss.pages += 1;
        file.write_all_at(bytes, page * PAGE)
    }
}
