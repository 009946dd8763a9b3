//! Operations on a disk, as the kernel asks the core for them and as programs ask the kernel.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{AT_FDCWD, FallocateFlags, RenameFlags, fallocate, renameat2};

use super::super::core::{Caller, Core};
use super::super::tree::ROOT;
use super::Home;

/// The operations, by whatever way. A handle is chosen by the caller.
pub(super) trait Ops {
    fn create(&mut self, name: &Path, handle: usize);
    fn open(&mut self, name: &Path, handle: usize);
    fn close(&mut self, handle: usize);
    fn write(&mut self, handle: usize, at: u64, data: &[u8], sync: bool);
    fn punch(&mut self, handle: usize, at: u64, bytes: u64);
    fn truncate(&mut self, handle: usize, to: u64);
    fn truncate_by_name(&mut self, name: &Path, to: u64);
    fn read(&mut self, handle: usize) -> Vec<u8>;
    fn sync(&mut self, handle: usize);
    fn sync_directory(&mut self, name: &Path);
    fn mkdir(&mut self, name: &Path);
    fn link(&mut self, from: &Path, to: &Path);
    fn unlink(&mut self, name: &Path);
    fn rmdir(&mut self, name: &Path) -> bool;
    fn rename(&mut self, from: &Path, to: &Path, exchange: bool) -> bool;
    /// The kernel drops what it need not remember.
    fn forget(&mut self);
}

/// The core, asked as the kernel asks.
pub(super) struct Direct {
    pub(super) core: Core,
    handles: HashMap<usize, (u64, u64)>,
    lookups: BTreeMap<u64, u64>,
}

impl Direct {
    pub(super) fn new(home: &Path) -> Self {
        let (root, park) = (home.join("disk"), home.join("parked"));
        fs::create_dir_all(&root).unwrap();
        fs::create_dir_all(&park).unwrap();
        let core = Core::new(&root, &park).unwrap();
        Direct { core, handles: HashMap::new(), lookups: BTreeMap::new() }
    }

    fn told(&mut self, ino: u64) -> u64 {
        *self.lookups.entry(ino).or_default() += 1;
        ino
    }

    fn find(&mut self, name: &Path) -> u64 {
        name.iter().fold(ROOT, |directory, child| {
            let ino = self.core.lookup(directory, Path::new(child)).unwrap().st_ino;
            self.told(ino)
        })
    }

    fn split<'a>(&mut self, name: &'a Path) -> (u64, &'a Path) {
        let directory = self.find(name.parent().unwrap());
        (directory, Path::new(name.file_name().unwrap()))
    }
}

fn caller(mode: u32) -> Caller {
    let (uid, gid) = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
    Caller { uid, gid, mode }
}

impl Ops for Direct {
    fn create(&mut self, name: &Path, handle: usize) {
        let (directory, name) = self.split(name);
        let (stat, file) = self.core.create(directory, name, caller(0o600)).unwrap();
        self.told(stat.st_ino);
        let opened = self.core.keep_new(stat.st_ino, file).unwrap();
        self.handles.insert(handle, (stat.st_ino, opened));
    }

    fn open(&mut self, name: &Path, handle: usize) {
        let ino = self.find(name);
        self.handles.insert(handle, (ino, self.core.open(ino, true).unwrap()));
    }

    fn close(&mut self, handle: usize) {
        self.core.release(self.handles.remove(&handle).unwrap().1);
    }

    fn write(&mut self, handle: usize, at: u64, data: &[u8], sync: bool) {
        self.core.write(self.handles[&handle].1, at, data, sync).unwrap();
    }

    fn punch(&mut self, handle: usize, at: u64, bytes: u64) {
        let mode = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        self.core.allocate(self.handles[&handle].1, at, bytes, mode).unwrap();
    }

    fn truncate(&mut self, handle: usize, to: u64) {
        let (ino, handle) = self.handles[&handle];
        self.core.resize(ino, Some(handle), to).unwrap();
    }

    fn truncate_by_name(&mut self, name: &Path, to: u64) {
        let ino = self.find(name);
        self.core.resize(ino, None, to).unwrap();
    }

    fn read(&mut self, handle: usize) -> Vec<u8> {
        let (ino, handle) = self.handles[&handle];
        let size = self.core.stat(ino).unwrap().st_size as usize;
        self.core.read(handle, 0, size + 1).unwrap()
    }

    fn sync(&mut self, handle: usize) {
        self.core.sync(self.handles[&handle].1).unwrap();
    }

    fn sync_directory(&mut self, name: &Path) {
        let ino = self.find(name);
        let handle = self.core.open_directory(ino);
        self.core.sync(handle).unwrap();
        self.core.release(handle);
    }

    fn mkdir(&mut self, name: &Path) {
        let (directory, name) = self.split(name);
        let ino = self.core.make_directory(directory, name, caller(0o700)).unwrap().st_ino;
        self.told(ino);
    }

    fn link(&mut self, from: &Path, to: &Path) {
        let ino = self.find(from);
        let (directory, name) = self.split(to);
        self.core.link(ino, directory, name).unwrap();
        self.told(ino);
    }

    fn unlink(&mut self, name: &Path) {
        let (directory, name) = self.split(name);
        self.core.unlink(directory, name).unwrap();
    }

    fn rmdir(&mut self, name: &Path) -> bool {
        let (directory, name) = self.split(name);
        self.core.remove_directory(directory, name).is_ok()
    }

    fn rename(&mut self, from: &Path, to: &Path, exchange: bool) -> bool {
        let (from, to) = (self.split(from), self.split(to));
        let flags = if exchange { RenameFlags::RENAME_EXCHANGE } else { RenameFlags::empty() };
        self.core.rename(from, to, flags).is_ok()
    }

    fn forget(&mut self) {
        let open: BTreeSet<u64> = self.handles.values().map(|(ino, _)| *ino).collect();
        self.lookups.retain(|&ino, &mut lookups| {
            if !open.contains(&ino) {
                self.core.forget(ino, lookups);
            }
            open.contains(&ino)
        });
    }
}

/// System calls on a mounted disk.
pub(super) struct Mounted {
    pub(super) home: Home,
    pub(super) handles: HashMap<usize, File>,
}

impl Mounted {
    fn path(&self, name: &Path) -> PathBuf {
        self.home.path("").join(name)
    }
}

impl Ops for Mounted {
    fn create(&mut self, name: &Path, handle: usize) {
        let file = File::options().create_new(true).read(true).write(true).open(self.path(name)).unwrap();
        self.handles.insert(handle, file);
    }

    fn open(&mut self, name: &Path, handle: usize) {
        let file = File::options().read(true).write(true).open(self.path(name)).unwrap();
        self.handles.insert(handle, file);
    }

    fn close(&mut self, handle: usize) {
        self.handles.remove(&handle).unwrap();
    }

    fn write(&mut self, handle: usize, at: u64, data: &[u8], sync: bool) {
        let file = &self.handles[&handle];
        if sync {
            let again = format!("/proc/self/fd/{}", file.as_raw_fd());
            let again = OpenOptions::new().write(true).custom_flags(nix::libc::O_DSYNC).open(again);
            // An unlinked file cannot always be opened again.
            if let Ok(again) = again {
                return again.write_all_at(data, at).unwrap();
            }
        }
        file.write_all_at(data, at).unwrap();
        if sync {
            file.sync_data().unwrap();
        }
    }

    fn punch(&mut self, handle: usize, at: u64, bytes: u64) {
        let mode = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        fallocate(&self.handles[&handle], mode, at as i64, bytes as i64).unwrap();
    }

    fn truncate(&mut self, handle: usize, to: u64) {
        self.handles[&handle].set_len(to).unwrap();
    }

    fn truncate_by_name(&mut self, name: &Path, to: u64) {
        nix::unistd::truncate(&self.path(name), to as i64).unwrap();
    }

    fn read(&mut self, handle: usize) -> Vec<u8> {
        let file = &self.handles[&handle];
        let mut bytes = vec![0; file.metadata().unwrap().len() as usize];
        file.read_exact_at(&mut bytes, 0).unwrap();
        bytes
    }

    fn sync(&mut self, handle: usize) {
        self.handles[&handle].sync_all().unwrap();
    }

    fn sync_directory(&mut self, name: &Path) {
        File::open(self.path(name)).unwrap().sync_all().unwrap();
    }

    fn mkdir(&mut self, name: &Path) {
        fs::create_dir(self.path(name)).unwrap();
    }

    fn link(&mut self, from: &Path, to: &Path) {
        fs::hard_link(self.path(from), self.path(to)).unwrap();
    }

    fn unlink(&mut self, name: &Path) {
        fs::remove_file(self.path(name)).unwrap();
    }

    fn rmdir(&mut self, name: &Path) -> bool {
        fs::remove_dir(self.path(name)).is_ok()
    }

    fn rename(&mut self, from: &Path, to: &Path, exchange: bool) -> bool {
        let flags = if exchange { RenameFlags::RENAME_EXCHANGE } else { RenameFlags::empty() };
        renameat2(AT_FDCWD, &self.path(from), AT_FDCWD, &self.path(to), flags).is_ok()
    }

    fn forget(&mut self) {
        let _ = fs::write("/proc/sys/vm/drop_caches", "2");
    }
}
