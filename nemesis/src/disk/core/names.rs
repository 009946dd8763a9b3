//! Operations on directories: what they do, and what is noted to undo them.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, RenameFlags, openat, renameat, renameat2};
use nix::libc::{S_IFDIR, S_IFMT, S_IFREG, S_ISGID};
use nix::sys::stat::{FileStat, Mode, SFlag, mkdirat, mknodat};
use nix::unistd::{linkat, symlinkat};

use super::super::journal::{DirOp, Store, remove};
use super::super::tree::{Place, Tree};
use super::{Core, Spot};

/// Who makes something, and with what mode. The caller's mask has been applied.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Caller {
    pub(in super::super) uid: u32,
    pub(in super::super) gid: u32,
    pub(in super::super) mode: u32,
}

impl Core {
    /// Makes an empty file, and opens it for reading and writing.
    pub(in super::super) fn create(
        &self,
        directory: u64,
        name: &Path,
        caller: Caller,
    ) -> Result<(FileStat, OwnedFd), Errno> {
        let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        self.make(directory, name, Some(caller), |_, name| {
            openat(&self.store.root, name, flags, Mode::from_bits_truncate(caller.mode & 0o7777))
        })
    }

    pub(in super::super) fn make_node(
        &self,
        directory: u64,
        name: &Path,
        caller: Caller,
        device: u64,
    ) -> Result<FileStat, Errno> {
        let kind = SFlag::from_bits_truncate(caller.mode & S_IFMT);
        let made = self.make(directory, name, Some(caller), |_, name| {
            mknodat(&self.store.root, name, kind, Mode::from_bits_truncate(caller.mode & 0o7777), device)
        });
        made.map(|made| made.0)
    }

    pub(in super::super) fn make_directory(
        &self,
        directory: u64,
        name: &Path,
        caller: Caller,
    ) -> Result<FileStat, Errno> {
        let made = self.make(directory, name, Some(caller), |_, name| {
            mkdirat(&self.store.root, name, Mode::from_bits_truncate(caller.mode & 0o7777))
        });
        made.map(|made| made.0)
    }

    pub(in super::super) fn make_symlink(
        &self,
        directory: u64,
        name: &Path,
        target: &Path,
        caller: Caller,
    ) -> Result<FileStat, Errno> {
        let made =
            self.make(directory, name, Some(caller), |_, name| symlinkat(target, &self.store.root, name));
        made.map(|made| made.0)
    }

    /// Gives a file another name.
    pub(in super::super) fn link(&self, ino: u64, directory: u64, name: &Path) -> Result<FileStat, Errno> {
        let Store { root, park } = &self.store;
        let made = self.make(directory, name, None, |tree, name| match tree.place(ino)? {
            Place::Named(old) => linkat(root, &old, root, name, AtFlags::empty()),
            Place::Parked(number) => linkat(park, number.to_string().as_str(), root, name, AtFlags::empty()),
            Place::Anchored(fd) => {
                let old = Place::of_descriptor(&fd);
                linkat(AT_FDCWD, &old, root, name, AtFlags::AT_SYMLINK_FOLLOW)
            }
        });
        made.map(|made| made.0)
    }

    /// Makes something under a new name, and notes it. With a caller, it is a new file, and the caller's.
    fn make<T>(
        &self,
        directory: u64,
        name: &Path,
        caller: Option<Caller>,
        make: impl FnOnce(&Tree, &Path) -> Result<T, Errno>,
    ) -> Result<(FileStat, T), Errno> {
        let _alive = self.alive()?;
        let mut tree = self.tree();
        let name = tree.name_in(directory, name)?;
        let made = make(&tree, &name)?;
        let settled = self.settle(&mut tree, &name, caller);
        match settled {
            Ok(stat) => {
                tree.log.push(DirOp::Made(name));
                Ok((stat, made))
            }
            Err(e) => {
                let _ = remove(&self.store.root, &name);
                Err(e)
            }
        }
    }

    /// Gives what was just made its owner and mode, and makes it known.
    fn settle(&self, tree: &mut Tree, name: &Path, caller: Option<Caller>) -> Result<FileStat, Errno> {
        let spot = Spot::named(&self.store, name);
        let stat = spot.stat()?;
        if let Some(caller) = caller {
            self.own(&spot, &stat, caller)?;
            if stat.st_mode & S_IFMT == S_IFREG {
                // The number may have been another file's before.
                self.contents().remove(&stat.st_ino);
            }
        }
        self.remembered(tree, name.to_path_buf())
    }

    /// The real file was made by the harness: now it becomes the caller's. In a directory with the
    /// set-group-ID bit the group is the directory's, as the real file system has seen to.
    fn own(&self, spot: &Spot<'_>, stat: &FileStat, caller: Caller) -> Result<(), Errno> {
        let parent = spot.name.parent().unwrap_or(Path::new(""));
        let inherits = Spot::named(&self.store, parent).stat()?.st_mode & S_ISGID != 0;
        let uid = (stat.st_uid != caller.uid).then_some(caller.uid);
        let gid = (stat.st_gid != caller.gid && !inherits).then_some(caller.gid);
        if uid.is_some() || gid.is_some() {
            spot.set_owner(uid, gid)?;
        }
        let kind = stat.st_mode & S_IFMT;
        let mut mode = caller.mode & 0o7777;
        if kind == S_IFDIR {
            mode |= stat.st_mode & S_ISGID;
        }
        // The harness's own mask may have taken bits away.
        if kind != nix::libc::S_IFLNK && stat.st_mode & 0o7777 != mode {
            spot.set_mode(mode)?;
        }
        Ok(())
    }

    pub(in super::super) fn unlink(&self, directory: u64, name: &Path) -> Result<(), Errno> {
        let _alive = self.alive()?;
        let mut tree = self.tree();
        let name = tree.name_in(directory, name)?;
        let parked = self.park(&mut tree, &name)?;
        tree.log.push(DirOp::Removed { name, parked });
        Ok(())
    }

    pub(in super::super) fn remove_directory(&self, directory: u64, name: &Path) -> Result<(), Errno> {
        let _alive = self.alive()?;
        let mut tree = self.tree();
        let name = tree.name_in(directory, name)?;
        self.must_be_empty(&name)?;
        let parked = self.park(&mut tree, &name)?;
        tree.log.push(DirOp::Removed { name, parked });
        Ok(())
    }

    /// Takes away a name, and parks what it names. Returns its number there.
    fn park(&self, tree: &mut Tree, name: &Path) -> Result<u64, Errno> {
        let ino = Spot::named(&self.store, name).stat()?.st_ino;
        let number = tree.next_parked;
        self.store.park(name, number)?;
        tree.next_parked += 1;
        tree.unlinked(ino, name, number);
        Ok(number)
    }

    fn must_be_empty(&self, name: &Path) -> Result<(), Errno> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let mut directory = Dir::openat(&self.store.root, name, flags, Mode::empty())?;
        for entry in directory.iter() {
            if !matches!(entry?.file_name().to_bytes(), b"." | b"..") {
                return Err(Errno::ENOTEMPTY);
            }
        }
        Ok(())
    }

    /// Renames, replacing what has the new name.
    pub(in super::super) fn rename(
        &self,
        (from_directory, from): (u64, &Path),
        (to_directory, to): (u64, &Path),
        flags: RenameFlags,
    ) -> Result<(), Errno> {
        let _alive = self.alive()?;
        let mut tree = self.tree();
        let (from, to) = (tree.name_in(from_directory, from)?, tree.name_in(to_directory, to)?);
        if flags == RenameFlags::RENAME_EXCHANGE {
            renameat2(&self.store.root, &from, &self.store.root, &to, flags)?;
            tree.swapped(&from, &to);
            tree.log.push(DirOp::Swapped { a: from, b: to });
            return Ok(());
        }
        if !(flags - RenameFlags::RENAME_NOREPLACE).is_empty() {
            return Err(Errno::EINVAL);
        }
        let old = Spot::named(&self.store, &from).stat()?;
        let target = match Spot::named(&self.store, &to).stat() {
            Ok(_) if flags.contains(RenameFlags::RENAME_NOREPLACE) => return Err(Errno::EEXIST),
            Ok(target) if target.st_ino == old.st_ino => return Ok(()),
            Ok(target) => Some(target),
            Err(Errno::ENOENT) => None,
            Err(e) => return Err(e),
        };
        let replaced = target.map(|target| self.replace(&mut tree, &old, &target, &to)).transpose()?;
        if let Err(e) = renameat(&self.store.root, &from, &self.store.root, &to) {
            if let Some(number) = replaced {
                self.unpark(&mut tree, number, &to);
            }
            return Err(e);
        }
        tree.renamed(&from, &to);
        tree.log.push(DirOp::Moved { from, to, replaced });
        Ok(())
    }

    /// Parks what a rename replaces.
    fn replace(&self, tree: &mut Tree, old: &FileStat, target: &FileStat, to: &Path) -> Result<u64, Errno> {
        let is_directory = |stat: &FileStat| stat.st_mode & S_IFMT == S_IFDIR;
        match (is_directory(old), is_directory(target)) {
            (true, false) => return Err(Errno::ENOTDIR),
            (false, true) => return Err(Errno::EISDIR),
            (true, true) => self.must_be_empty(to)?,
            (false, false) => {}
        }
        self.park(tree, to)
    }

    /// Puts back what was parked for an operation that failed.
    fn unpark(&self, tree: &mut Tree, number: u64, name: &Path) {
        if self.store.take_back(number, name).is_ok()
            && let Ok(stat) = Spot::named(&self.store, name).stat()
        {
            tree.unpark(stat.st_ino, number);
            tree.regained(stat.st_ino, name);
        }
    }
}

impl Spot<'_> {
    /// Opens the file only to keep it.
    pub(super) fn hold(&self) -> Result<OwnedFd, Errno> {
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        openat(self.base, self.name, flags, Mode::empty())
    }

    /// Opens the file. What is only to be written is also read, to put aside what it holds.
    pub(super) fn open(&self, writable: bool) -> Result<OwnedFd, Errno> {
        let access = if writable { OFlag::O_RDWR } else { OFlag::O_RDONLY };
        let link = if self.follow { OFlag::empty() } else { OFlag::O_NOFOLLOW };
        openat(self.base, self.name, access | link | OFlag::O_CLOEXEC, Mode::empty())
    }

    /// The entries of a directory.
    pub(super) fn list(&self) -> Result<Dir, Errno> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        Dir::openat(self.base, self.name, flags, Mode::empty())
    }

    pub(super) fn join(&self, name: &Path) -> PathBuf {
        self.name.join(name)
    }
}
