//! Which files the kernel knows, and by what names they are reached.
//!
//! The kernel speaks of inodes, the files lie below names. A file's number is that of its inode on the real
//! file system. It stays that file's for as long as the kernel remembers it, because the file stays: by one
//! of its names, as an unlinked file that is parked until its unlinking is synced, or at the least by an
//! open descriptor (the anchor).
//!
//! Nobody else changes names while the disk is mounted, so that they can be kept: a renamed directory
//! renames everything known below it.

use std::collections::HashMap;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::errno::Errno;

use super::journal::DirOp;

/// The number by which FUSE knows the root.
pub(super) const ROOT: u64 = 1;

/// All that is known about names.
#[derive(Debug, Default)]
pub(super) struct Tree {
    nodes: HashMap<u64, Node>,
    /// By inode, the numbers under which unlinked names of it are parked.
    parked: HashMap<u64, Vec<u64>>,
    /// Directory operations that a power loss would undo, in order.
    pub(super) log: Vec<DirOp>,
    pub(super) next_parked: u64,
}

#[derive(Debug)]
struct Node {
    /// Below the root.
    names: Vec<PathBuf>,
    /// The name it had last, if it has none any more.
    last: PathBuf,
    /// How often the kernel was told of it, less how often it forgot.
    lookups: u64,
    anchor: Option<Arc<OwnedFd>>,
}

/// Where a file can be reached now.
#[derive(Debug)]
pub(super) enum Place {
    /// Below the root, by this name.
    Named(PathBuf),
    /// Among the parked ones, by this number.
    Parked(u64),
    /// By this descriptor alone.
    Anchored(Arc<OwnedFd>),
}

impl Tree {
    /// The kernel has been told of the file once more, by this name.
    pub(super) fn remember(&mut self, ino: u64, name: PathBuf) {
        let node = self.nodes.entry(ino).or_insert_with(|| Node {
            names: Vec::new(),
            last: PathBuf::new(),
            lookups: 0,
            anchor: None,
        });
        node.lookups += 1;
        if !node.names.contains(&name) {
            node.names.push(name);
        }
    }

    pub(super) fn forget(&mut self, ino: u64, lookups: u64) {
        if let Some(node) = self.nodes.get_mut(&ino) {
            node.lookups = node.lookups.saturating_sub(lookups);
            if node.lookups == 0 {
                self.nodes.remove(&ino);
            }
        }
    }

    /// Every file that the kernel remembers.
    pub(super) fn known(&self) -> Vec<u64> {
        self.nodes.keys().copied().collect()
    }

    pub(super) fn place(&self, ino: u64) -> Result<Place, Errno> {
        if ino == ROOT {
            return Ok(Place::Named(PathBuf::new()));
        }
        let node = self.nodes.get(&ino);
        if let Some(name) = node.and_then(|node| node.names.first()) {
            return Ok(Place::Named(name.clone()));
        }
        if let Some(&number) = self.parked.get(&ino).and_then(|numbers| numbers.last()) {
            return Ok(Place::Parked(number));
        }
        let anchor = node.and_then(|node| node.anchor.as_ref());
        anchor.map(|fd| Place::Anchored(Arc::clone(fd))).ok_or(Errno::ESTALE)
    }

    /// The name of something in a directory.
    pub(super) fn name_in(&self, directory: u64, name: &Path) -> Result<PathBuf, Errno> {
        match self.place(directory)? {
            Place::Named(path) => Ok(path.join(name)),
            // It was removed: nothing is in it, and nothing can be made there.
            Place::Parked(_) | Place::Anchored(_) => Err(Errno::ENOENT),
        }
    }

    /// The name of the file for those who match names: the last it had, if it has none.
    pub(super) fn live_name(&self, ino: u64) -> PathBuf {
        let node = self.nodes.get(&ino);
        node.map(|node| node.names.first().unwrap_or(&node.last).clone()).unwrap_or_default()
    }

    /// How many of the links that the real file system counts are only parked.
    pub(super) fn parked_links(&self, ino: u64) -> u64 {
        self.parked.get(&ino).map_or(0, |numbers| numbers.len() as u64)
    }

    pub(super) fn unlinked(&mut self, ino: u64, name: &Path, number: u64) {
        self.drop_name(ino, name);
        self.parked.entry(ino).or_default().push(number);
    }

    fn drop_name(&mut self, ino: u64, name: &Path) {
        if let Some(node) = self.nodes.get_mut(&ino) {
            node.names.retain(|known| known != name);
            node.last = name.to_path_buf();
        }
    }

    /// Whether the file will have no name any more, parked or not, when this number is not parked any
    /// more, while the kernel still remembers it.
    pub(super) fn needs_anchor(&self, ino: u64) -> bool {
        self.nodes.get(&ino).is_some_and(|node| node.names.is_empty() && node.anchor.is_none())
            && self.parked_links(ino) <= 1
    }

    pub(super) fn anchor(&mut self, ino: u64, fd: OwnedFd) {
        if let Some(node) = self.nodes.get_mut(&ino) {
            node.anchor = Some(Arc::new(fd));
        }
    }

    /// The number is not parked any more.
    pub(super) fn unpark(&mut self, ino: u64, number: u64) {
        if let Some(numbers) = self.parked.get_mut(&ino) {
            numbers.retain(|parked| *parked != number);
            if numbers.is_empty() {
                self.parked.remove(&ino);
            }
        }
    }

    /// The file has a name again.
    pub(super) fn regained(&mut self, ino: u64, name: &Path) {
        if let Some(node) = self.nodes.get_mut(&ino) {
            node.names.push(name.to_path_buf());
        }
    }

    /// A file or directory has another name, and everything below it too.
    pub(super) fn renamed(&mut self, from: &Path, to: &Path) {
        for node in self.nodes.values_mut() {
            for name in &mut node.names {
                if let Some(moved) = moved(name, from, to) {
                    *name = moved;
                }
            }
        }
    }

    /// Two have changed their names.
    pub(super) fn swapped(&mut self, a: &Path, b: &Path) {
        for node in self.nodes.values_mut() {
            for name in &mut node.names {
                if let Some(moved) = moved(name, a, b).or_else(|| moved(name, b, a)) {
                    *name = moved;
                }
            }
        }
    }
}

/// What the name becomes when `from` becomes `to`, if it is that or lies below it.
fn moved(name: &Path, from: &Path, to: &Path) -> Option<PathBuf> {
    let rest = name.strip_prefix(from).ok()?;
    Some(if rest.as_os_str().is_empty() { to.to_path_buf() } else { to.join(rest) })
}

impl Place {
    /// The name by which an anchored file can be opened.
    pub(super) fn of_descriptor(fd: &OwnedFd) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()))
    }
}
