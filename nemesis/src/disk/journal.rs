//! Directory operations that a power loss undoes, from the last to the first.
//!
//! Each is noted with the names at its time. When it is undone all later ones have been, so the names are
//! right again. What was unlinked or replaced is not deleted but parked, until the operation is synced.

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, RenameFlags, openat, renameat, renameat2};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, unlinkat};

/// A directory operation that is not synced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum DirOp {
    /// A file, directory, link or anything else has this new name.
    Made(PathBuf),
    /// This name is gone; what it named is parked.
    Removed { name: PathBuf, parked: u64 },
    /// A name became another; what that named before is parked.
    Moved { from: PathBuf, to: PathBuf, replaced: Option<u64> },
    /// Two names were exchanged.
    Swapped { a: PathBuf, b: PathBuf },
}

impl DirOp {
    /// The number under which it has something parked.
    pub(super) fn parked(&self) -> Option<u64> {
        match self {
            DirOp::Removed { parked, .. } => Some(*parked),
            DirOp::Moved { replaced, .. } => *replaced,
            DirOp::Made(_) | DirOp::Swapped { .. } => None,
        }
    }
}

/// The two directories in which a disk keeps its files.
#[derive(Debug)]
pub(super) struct Store {
    /// Those that have names.
    pub(super) root: OwnedFd,
    /// Those that have none any more, but would have one again after a power loss; named by number.
    pub(super) park: OwnedFd,
}

impl Store {
    pub(super) fn open(root: &Path, park: &Path) -> io::Result<Self> {
        Ok(Store { root: directory(root)?, park: directory(park)? })
    }

    /// Takes away a name, and parks what it names.
    pub(super) fn park(&self, name: &Path, number: u64) -> Result<(), Errno> {
        renameat(&self.root, name, &self.park, number.to_string().as_str())
    }

    /// Puts what is parked back to a name.
    pub(super) fn take_back(&self, number: u64, name: &Path) -> Result<(), Errno> {
        renameat(&self.park, number.to_string().as_str(), &self.root, name)
    }

    /// Deletes for good what is parked.
    pub(super) fn discard(&self, number: u64) -> Result<(), Errno> {
        remove(&self.park, Path::new(&number.to_string()))
    }

    /// Undoes the operation, which must be the last that is left.
    pub(super) fn undo(&self, op: &DirOp) -> Result<(), Errno> {
        match op {
            DirOp::Made(name) => remove(&self.root, name),
            DirOp::Removed { name, parked } => self.take_back(*parked, name),
            DirOp::Moved { from, to, replaced } => {
                renameat(&self.root, to, &self.root, from)?;
                replaced.map_or(Ok(()), |number| self.take_back(number, to))
            }
            DirOp::Swapped { a, b } => renameat2(&self.root, a, &self.root, b, RenameFlags::RENAME_EXCHANGE),
        }
    }
}

fn directory(path: &Path) -> io::Result<OwnedFd> {
    let opened = openat(nix::fcntl::AT_FDCWD, path, DIRECTORY, Mode::empty());
    opened.map_err(io::Error::from)
}

const DIRECTORY: OFlag = OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_CLOEXEC);

/// Removes a name, be it of a file or of an empty directory.
pub(super) fn remove(base: &OwnedFd, name: &Path) -> Result<(), Errno> {
    match unlinkat(base, name, UnlinkatFlags::NoRemoveDir) {
        Err(Errno::EISDIR | Errno::EPERM) => unlinkat(base, name, UnlinkatFlags::RemoveDir),
        done => done,
    }
}

/// The files below a directory, by inode; one of its names each.
pub(super) fn files_below(root: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let (mut files, mut directories) = (Vec::new(), vec![root.to_path_buf()]);
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                directories.push(entry.path());
            } else if kind.is_file() {
                files.push((entry.metadata()?.ino(), entry.path()));
            }
        }
    }
    Ok(files)
}

/// Opens a file whose contents are to be rolled back.
pub(super) fn open_for_rollback(path: &Path) -> io::Result<File> {
    File::options().read(true).write(true).open(path)
}
