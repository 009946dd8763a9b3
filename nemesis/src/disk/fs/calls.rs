//! What each call of the kernel is about, and what it does.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use fuser::{
    BsdFileFlags, FileHandle, Filesystem, FopenFlags, Generation, INodeNo, InitFlags, KernelConfig,
    LockOwner, OpenAccMode, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory,
    ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};
use nix::errno::Errno;
use nix::fcntl::FallocateFlags;
use nix::libc::{O_DSYNC, S_IFMT};

use super::super::Call;
use super::super::attributes::{kind, time};
use super::super::core::{Caller, Core};
use super::super::rules::Strike;
use super::{About, Refuse, Served, Space, answer};

/// For so long the kernel need not ask again: nobody but itself changes anything.
const TTL: Duration = Duration::from_secs(3_600);
/// The most a program's write can bring at once, in bytes.
const WRITE_MAX: u32 = 1 << 20;
/// Calls that the kernel sends ahead (reading ahead, writing behind) at the same time.
const BACKGROUND_MAX: u16 = 64;

fn caller(request: &Request, mode: u32) -> Caller {
    Caller { uid: request.uid(), gid: request.gid(), mode }
}

impl Filesystem for Served {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        // Each only makes it faster; a kernel that lacks one goes without.
        let _ = config.add_capabilities(InitFlags::FUSE_PARALLEL_DIROPS);
        let _ = config.add_capabilities(InitFlags::FUSE_CACHE_SYMLINKS);
        let _ = config.set_max_write(WRITE_MAX);
        let _ = config.set_max_background(BACKGROUND_MAX);
        Ok(())
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let found = self.core.lookup(parent.0, Path::new(name));
        answer(found, reply, |reply, stat| reply.entry(&TTL, &self.ids.attributes(&stat), Generation(0)));
    }

    fn forget(&self, _: &Request, ino: INodeNo, lookups: u64) {
        self.core.forget(ino.0, lookups);
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        let stat = self.core.stat(ino.0);
        answer(stat, reply, |reply, stat| reply.attr(&TTL, &self.ids.attributes(&stat)));
    }

    fn setattr(
        &self,
        request: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _: Option<SystemTime>,
        handle: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let ids = self.ids;
        let set = move |core: &Core| {
            if uid.is_some() || gid.is_some() {
                core.set_owner(ino.0, uid, gid)?;
            }
            if let Some(mode) = mode {
                core.set_mode(ino.0, mode)?;
            }
            if let Some(size) = size {
                core.resize(ino.0, handle.map(|handle| handle.0), size)?;
            }
            if atime.is_some() || mtime.is_some() {
                core.set_times(ino.0, &time(atime), &time(mtime))?;
            }
            core.stat(ino.0)
        };
        let act = move |core: &Core, _: &Strike, reply: ReplyAttr| {
            answer(set(core), reply, |reply, stat| reply.attr(&TTL, &ids.attributes(&stat)));
        };
        match size {
            Some(_) => self.serve(About::file(Call::Truncate, request, ino), reply, act),
            None => act(&self.core, &Strike::default(), reply),
        }
    }

    fn readlink(&self, _: &Request, ino: INodeNo, reply: ReplyData) {
        let target = self.core.read_link(ino.0);
        answer(target, reply, |reply, target| reply.data(target.as_os_str().as_encoded_bytes()));
    }

    fn mknod(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _: u32,
        device: u32,
        reply: ReplyEntry,
    ) {
        let (ids, caller, child) = (self.ids, caller(request, mode), PathBuf::from(name));
        let about = About::named(Call::Create, request, parent, name).taking(Space::Some);
        self.serve(about, reply, move |core, _, reply| {
            let made = core.make_node(parent.0, &child, caller, u64::from(device));
            answer(made, reply, |reply, stat| reply.entry(&TTL, &ids.attributes(&stat), Generation(0)));
        });
    }

    fn mkdir(&self, request: &Request, parent: INodeNo, name: &OsStr, mode: u32, _: u32, reply: ReplyEntry) {
        let (ids, caller, child) = (self.ids, caller(request, mode), PathBuf::from(name));
        let about = About::named(Call::Mkdir, request, parent, name).taking(Space::Some);
        self.serve(about, reply, move |core, _, reply| {
            let made = core.make_directory(parent.0, &child, caller);
            answer(made, reply, |reply, stat| reply.entry(&TTL, &ids.attributes(&stat), Generation(0)));
        });
    }

    fn symlink(&self, request: &Request, parent: INodeNo, name: &OsStr, target: &Path, reply: ReplyEntry) {
        let (ids, caller) = (self.ids, caller(request, 0));
        let (child, target) = (PathBuf::from(name), target.to_path_buf());
        let about = About::named(Call::Create, request, parent, name).taking(Space::Some);
        self.serve(about, reply, move |core, _, reply| {
            let made = core.make_symlink(parent.0, &child, &target, caller);
            answer(made, reply, |reply, stat| reply.entry(&TTL, &ids.attributes(&stat), Generation(0)));
        });
    }

    fn link(&self, request: &Request, ino: INodeNo, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let (ids, child) = (self.ids, PathBuf::from(name));
        let about = About::named(Call::Create, request, parent, name).taking(Space::Some);
        self.serve(about, reply, move |core, _, reply| {
            let made = core.link(ino.0, parent.0, &child);
            answer(made, reply, |reply, stat| reply.entry(&TTL, &ids.attributes(&stat), Generation(0)));
        });
    }

    fn unlink(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let child = PathBuf::from(name);
        self.serve(About::named(Call::Unlink, request, parent, name), reply, move |core, _, reply| {
            answer(core.unlink(parent.0, &child), reply, |reply, ()| reply.ok());
        });
    }

    fn rmdir(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let child = PathBuf::from(name);
        self.serve(About::named(Call::Unlink, request, parent, name), reply, move |core, _, reply| {
            answer(core.remove_directory(parent.0, &child), reply, |reply, ()| reply.ok());
        });
    }

    fn rename(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let (from, to) = (PathBuf::from(name), PathBuf::from(new_name));
        let flags = nix::fcntl::RenameFlags::from_bits_retain(flags.bits());
        let about = About::named(Call::Rename, request, parent, name);
        let about = About { to: Some((new_parent, new_name)), ..about };
        self.serve(about, reply, move |core, _, reply| {
            let renamed = core.rename((parent.0, &from), (new_parent.0, &to), flags);
            answer(renamed, reply, |reply, ()| reply.ok());
        });
    }

    fn open(&self, request: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let (writable, opened) = (flags.acc_mode() != OpenAccMode::O_RDONLY, self.opened_flags());
        self.serve(About::file(Call::Open, request, ino), reply, move |core, _, reply| {
            let handle = core.open(ino.0, writable);
            answer(handle, reply, |reply, handle| reply.opened(FileHandle(handle), opened));
        });
    }

    fn create(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _: u32,
        _: i32,
        reply: ReplyCreate,
    ) {
        let (ids, caller, child) = (self.ids, caller(request, mode & !S_IFMT), PathBuf::from(name));
        let opened = self.opened_flags();
        let about = About::named(Call::Create, request, parent, name).taking(Space::Some);
        self.serve(about, reply, move |core, _, reply| {
            let made = core.create(parent.0, &child, caller);
            let made = made.and_then(|(stat, file)| Ok((stat, core.keep_new(stat.st_ino, file)?)));
            answer(made, reply, |reply, (stat, handle)| {
                reply.created(&TTL, &ids.attributes(&stat), Generation(0), FileHandle(handle), opened);
            });
        });
    }

    fn read(
        &self,
        request: &Request,
        ino: INodeNo,
        handle: FileHandle,
        at: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        self.serve(About::file(Call::Read, request, ino), reply, move |core, strike, reply| {
            answer(core.read(handle.0, at, size as usize), reply, |reply, mut data| {
                strike.flip(&mut data);
                reply.data(&data);
            });
        });
    }

    fn write(
        &self,
        request: &Request,
        ino: INodeNo,
        handle: FileHandle,
        at: u64,
        data: &[u8],
        kind: WriteFlags,
        flags: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        // What was changed in memory is written by the kernel, by whatever handle it finds.
        let sync = flags.0 & O_DSYNC != 0 && !kind.contains(WriteFlags::FUSE_WRITE_CACHE);
        let size = data.len() as u32;
        if self.quiet() {
            let written = self.core.write(handle.0, at, data, sync);
            return answer(written, reply, |reply, ()| reply.written(size));
        }
        let space = Space::For { handle: handle.0, at, bytes: u64::from(size) };
        let mut data = data.to_vec();
        let about = About::file(Call::Write, request, ino).taking(space);
        self.serve(about, reply, move |core, strike, reply| {
            strike.flip(&mut data);
            let written = core.write(handle.0, at, &data, sync);
            answer(written, reply, |reply, ()| reply.written(size));
        });
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.refuse(Errno::ENOSYS);
    }

    fn release(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        self.core.release(handle.0);
        reply.ok();
    }

    fn fsync(&self, request: &Request, ino: INodeNo, handle: FileHandle, _: bool, reply: ReplyEmpty) {
        self.serve(About::file(Call::Fsync, request, ino), reply, move |core, _, reply| {
            answer(core.sync(handle.0), reply, |reply, ()| reply.ok());
        });
    }

    fn opendir(&self, _: &Request, ino: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(self.core.open_directory(ino.0)), FopenFlags::empty());
    }

    fn readdir(&self, _: &Request, _: INodeNo, handle: FileHandle, offset: u64, reply: ReplyDirectory) {
        let entries = self.core.entries(handle.0, offset == 0);
        answer(entries, reply, |mut reply, entries| {
            for (next, entry) in (1_u64..).zip(&*entries).skip(offset as usize) {
                if reply.add(INodeNo(entry.ino), next, kind(entry.kind), &entry.name) {
                    break;
                }
            }
            reply.ok();
        });
    }

    fn releasedir(&self, _: &Request, _: INodeNo, handle: FileHandle, _: OpenFlags, reply: ReplyEmpty) {
        self.core.release(handle.0);
        reply.ok();
    }

    fn fsyncdir(&self, request: &Request, ino: INodeNo, handle: FileHandle, _: bool, reply: ReplyEmpty) {
        self.serve(About::file(Call::Fsync, request, ino), reply, move |core, _, reply| {
            answer(core.sync(handle.0), reply, |reply, ()| reply.ok());
        });
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        let full = self.hazards.rules.full();
        answer(self.core.space(), reply, |reply, space| {
            let left = |blocks: u64| if full { 0 } else { blocks };
            reply.statfs(
                space.blocks(),
                left(space.blocks_free()),
                left(space.blocks_available()),
                space.files(),
                space.files_free(),
                space.block_size() as u32,
                space.name_max() as u32,
                space.fragment_size() as u32,
            );
        });
    }

    fn fallocate(
        &self,
        request: &Request,
        ino: INodeNo,
        handle: FileHandle,
        at: u64,
        bytes: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        let mode = FallocateFlags::from_bits_retain(mode);
        let frees = mode.contains(FallocateFlags::FALLOC_FL_PUNCH_HOLE);
        let space = if frees { Space::None } else { Space::For { handle: handle.0, at, bytes } };
        let about = About::file(Call::Write, request, ino).taking(space);
        self.serve(about, reply, move |core, _, reply| {
            answer(core.allocate(handle.0, at, bytes, mode), reply, |reply, ()| reply.ok());
        });
    }
}
