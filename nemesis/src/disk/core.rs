//! The file system itself, without FUSE: names, handles and contents over the real files, and what of them
//! a power loss would undo.
//!
//! Durability is that of ext4 with a journal: a synced file has its data and size for good, and with it
//! everything that was done to directories before, whatever the file. A synced directory does the latter
//! only. Contents count by file, not by name, so that links and renames change nothing about them.
//! Modes, owners and times of files are not undone. Nothing is ever really synced to the machine's disk:
//! only processes die here, and the kernel keeps what was written.
//!
//! Locks are taken in this order: `dead`, `tree`, `contents`, one content.

mod crash;
mod handles;
mod names;

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, readlinkat};
use nix::libc::nlink_t;
use nix::sys::stat::{FchmodatFlags, FileStat, Mode, UtimensatFlags, fchmodat, fstatat, utimensat};
use nix::sys::statvfs::{Statvfs, fstatvfs};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, fchownat};

pub(crate) use crash::{Lost, Unsynced};
use handles::Handle;
pub(super) use names::Caller;

use super::journal::Store;
use super::tree::{Place, ROOT, Tree};
use super::undo::Content;

/// The state of one mounted disk. Another one begins with each mount.
#[derive(Debug)]
pub(super) struct Core {
    root: PathBuf,
    store: Store,
    tree: Mutex<Tree>,
    /// By inode: files that are open, or not synced.
    contents: Mutex<HashMap<u64, Arc<Content>>>,
    handles: RwLock<HashMap<u64, Arc<Handle>>>,
    next_handle: AtomicU64,
    /// Whoever changes anything holds it for reading; after a crash nobody may any more.
    dead: RwLock<bool>,
}

impl Core {
    /// A disk whose files are below `root`, and all synced. `park` is an empty directory beside it.
    pub(super) fn new(root: &Path, park: &Path) -> io::Result<Self> {
        Ok(Core {
            root: root.to_path_buf(),
            store: Store::open(root, park)?,
            tree: Mutex::default(),
            contents: Mutex::default(),
            handles: RwLock::default(),
            next_handle: AtomicU64::new(1),
            dead: RwLock::new(false),
        })
    }

    fn tree(&self) -> MutexGuard<'_, Tree> {
        self.tree.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn contents(&self) -> MutexGuard<'_, HashMap<u64, Arc<Content>>> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds off a crash while something is done.
    fn alive(&self) -> Result<RwLockReadGuard<'_, bool>, Errno> {
        let dead = self.dead.read().unwrap_or_else(PoisonError::into_inner);
        if *dead { Err(Errno::EIO) } else { Ok(dead) }
    }

    /// Does something to the file where it is, while nobody changes names.
    fn at<T>(&self, ino: u64, act: impl FnOnce(Spot<'_>) -> Result<T, Errno>) -> Result<T, Errno> {
        let tree = self.tree();
        match tree.place(ino)? {
            Place::Named(name) => act(Spot::named(&self.store, &name)),
            Place::Parked(number) => {
                let name = PathBuf::from(number.to_string());
                act(Spot { base: self.store.park.as_fd(), name: &name, follow: false })
            }
            Place::Anchored(fd) => {
                act(Spot { base: AT_FDCWD, name: &Place::of_descriptor(&fd), follow: true })
            }
        }
    }

    pub(super) fn lookup(&self, directory: u64, name: &Path) -> Result<FileStat, Errno> {
        let _alive = self.alive()?;
        let mut tree = self.tree();
        let name = tree.name_in(directory, name)?;
        self.remembered(&mut tree, name)
    }

    /// Looks at what has this name, and counts that the kernel is told of it.
    fn remembered(&self, tree: &mut Tree, name: PathBuf) -> Result<FileStat, Errno> {
        let mut stat = Spot::named(&self.store, &name).stat()?;
        hide_parked(&mut stat, tree);
        tree.remember(stat.st_ino, name);
        Ok(stat)
    }

    pub(super) fn forget(&self, ino: u64, lookups: u64) {
        self.tree().forget(ino, lookups);
    }

    /// Every file that the kernel remembers.
    pub(super) fn known(&self) -> Vec<u64> {
        self.tree().known()
    }

    /// The name of a file, by its number, or of something in a directory.
    pub(super) fn live_name(&self, ino: u64, child: Option<&Path>) -> PathBuf {
        let name = self.tree().live_name(ino);
        child.map_or_else(|| name.clone(), |child| name.join(child))
    }

    pub(super) fn stat(&self, ino: u64) -> Result<FileStat, Errno> {
        let _alive = self.alive()?;
        let mut stat = self.at(ino, |spot| spot.stat())?;
        hide_parked(&mut stat, &self.tree());
        if ino == ROOT {
            stat.st_ino = ROOT;
        }
        Ok(stat)
    }

    pub(super) fn set_mode(&self, ino: u64, mode: u32) -> Result<(), Errno> {
        let _alive = self.alive()?;
        self.at(ino, |spot| spot.set_mode(mode))
    }

    pub(super) fn set_owner(&self, ino: u64, uid: Option<u32>, gid: Option<u32>) -> Result<(), Errno> {
        let _alive = self.alive()?;
        self.at(ino, |spot| spot.set_owner(uid, gid))
    }

    pub(super) fn set_times(&self, ino: u64, access: &TimeSpec, change: &TimeSpec) -> Result<(), Errno> {
        let _alive = self.alive()?;
        self.at(ino, |spot| {
            let follow =
                if spot.follow { UtimensatFlags::FollowSymlink } else { UtimensatFlags::NoFollowSymlink };
            utimensat(spot.base, spot.name, access, change, follow)
        })
    }

    pub(super) fn read_link(&self, ino: u64) -> Result<PathBuf, Errno> {
        let _alive = self.alive()?;
        self.at(ino, |spot| readlinkat(spot.base, spot.name).map(PathBuf::from))
    }

    pub(super) fn space(&self) -> Result<Statvfs, Errno> {
        fstatvfs(&self.store.root)
    }

    /// All directory operations so far are synced. Answers what could not be deleted, which is no affair of
    /// the node's.
    fn commit(&self, tree: &mut Tree) -> Result<(), Errno> {
        let mut first = Ok(());
        for op in std::mem::take(&mut tree.log) {
            if let Some(number) = op.parked() {
                first = first.and(self.discard(tree, number));
            }
        }
        first
    }

    /// Deletes for good what is parked under this number, but keeps hold of it if the kernel still may
    /// ask for it.
    fn discard(&self, tree: &mut Tree, number: u64) -> Result<(), Errno> {
        let name = PathBuf::from(number.to_string());
        let spot = Spot { base: self.store.park.as_fd(), name: &name, follow: false };
        let stat = spot.stat()?;
        if tree.needs_anchor(stat.st_ino) {
            tree.anchor(stat.st_ino, spot.hold()?);
        }
        tree.unpark(stat.st_ino, number);
        self.store.discard(number)?;
        if stat.st_nlink == 1 {
            let mut contents = self.contents();
            if contents.get(&stat.st_ino).is_some_and(|content| Arc::strong_count(content) == 1) {
                contents.remove(&stat.st_ino);
            }
        }
        Ok(())
    }
}

/// Links that are only parked are none.
fn hide_parked(stat: &mut FileStat, tree: &Tree) {
    stat.st_nlink = stat.st_nlink.saturating_sub(tree.parked_links(stat.st_ino) as nlink_t);
}

/// A way to a file that holds as long as nobody changes names.
#[derive(Clone, Copy, Debug)]
struct Spot<'a> {
    base: BorrowedFd<'a>,
    name: &'a Path,
    /// Whether the last name is one in `/proc/self/fd`, which stands for the file itself.
    follow: bool,
}

impl<'a> Spot<'a> {
    fn named(store: &'a Store, name: &'a Path) -> Self {
        let name = if name.as_os_str().is_empty() { Path::new(".") } else { name };
        Spot { base: store.root.as_fd(), name, follow: false }
    }

    fn flags(&self) -> AtFlags {
        if self.follow { AtFlags::empty() } else { AtFlags::AT_SYMLINK_NOFOLLOW }
    }

    fn stat(&self) -> Result<FileStat, Errno> {
        fstatat(self.base, self.name, self.flags())
    }

    fn set_mode(&self, mode: u32) -> Result<(), Errno> {
        // Links have no mode of their own, and the kernel follows none to get here.
        let mode = Mode::from_bits_truncate(mode & 0o7777);
        fchmodat(self.base, self.name, mode, FchmodatFlags::FollowSymlink)
    }

    fn set_owner(&self, uid: Option<u32>, gid: Option<u32>) -> Result<(), Errno> {
        fchownat(self.base, self.name, uid.map(Uid::from_raw), gid.map(Gid::from_raw), self.flags())
    }
}
