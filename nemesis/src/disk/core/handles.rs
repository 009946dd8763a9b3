//! Open files and directories.

use std::ffi::OsString;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use nix::dir::Type;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, FallocateFlags};
use nix::libc::{S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFSOCK};
use nix::sys::stat::fstatat;
use nix::unistd::{Whence, lseek};

use super::super::undo::Content;
use super::Core;

/// An open file or directory.
#[derive(Debug)]
pub(in super::super) enum Handle {
    /// A file.
    File {
        /// The real file.
        file: File,
        /// What of it is not synced.
        content: Arc<Content>,
    },
    /// A directory, with its entries as they were when it was last read from the beginning: those who read
    /// it while it changes must get every entry that stays, once.
    Directory {
        /// Its number.
        ino: u64,
        /// Its entries.
        entries: Mutex<Arc<Vec<Entry>>>,
    },
}

/// An entry of a directory.
#[derive(Clone, Debug)]
pub(in super::super) struct Entry {
    pub(in super::super) ino: u64,
    pub(in super::super) kind: Type,
    pub(in super::super) name: OsString,
}

/// Turns an error into its number.
fn number(error: &std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

impl Core {
    fn keep(&self, handle: Handle) -> u64 {
        let number = self.next_handle.fetch_add(1, Ordering::Relaxed);
        self.handles.write().unwrap_or_else(PoisonError::into_inner).insert(number, Arc::new(handle));
        number
    }

    fn handle(&self, number: u64) -> Result<Arc<Handle>, Errno> {
        let handles = self.handles.read().unwrap_or_else(PoisonError::into_inner);
        handles.get(&number).cloned().ok_or(Errno::EBADF)
    }

    /// Opens a file. Whether it may be has been checked by the kernel.
    pub(in super::super) fn open(&self, ino: u64, writable: bool) -> Result<u64, Errno> {
        let _alive = self.alive()?;
        let (file, content) = self.opened(ino, writable)?;
        Ok(self.keep(Handle::File { file, content }))
    }

    fn opened(&self, ino: u64, writable: bool) -> Result<(File, Arc<Content>), Errno> {
        self.at(ino, |spot| {
            let file = File::from(spot.open(writable)?);
            let content = self.content(ino, &file)?;
            Ok((file, content))
        })
    }

    /// The contents of a file. If they are not known, the file is closed and synced.
    fn content(&self, ino: u64, file: &File) -> Result<Arc<Content>, Errno> {
        let mut contents = self.contents();
        if let Some(content) = contents.get(&ino) {
            return Ok(Arc::clone(content));
        }
        let content = Content::synced(ino, file.metadata().map_err(|e| number(&e))?.len());
        contents.insert(ino, Arc::clone(&content));
        Ok(content)
    }

    /// Takes over a file that was just made.
    pub(in super::super) fn keep_new(&self, ino: u64, file: OwnedFd) -> Result<u64, Errno> {
        let file = File::from(file);
        let content = self.content(ino, &file)?;
        Ok(self.keep(Handle::File { file, content }))
    }

    pub(in super::super) fn open_directory(&self, ino: u64) -> u64 {
        self.keep(Handle::Directory { ino, entries: Mutex::default() })
    }

    pub(in super::super) fn release(&self, handle: u64) {
        let handle = self.handles.write().unwrap_or_else(PoisonError::into_inner).remove(&handle);
        let Some(Handle::File { file, content }) = handle.and_then(Arc::into_inner) else { return };
        // Of a file that is gone for good nothing can be lost.
        let gone = file.metadata().is_ok_and(|m| m.nlink() == 0);
        let ino = content.ino;
        drop(content);
        let mut contents = self.contents();
        let unused = |content: &Arc<Content>| Arc::strong_count(content) == 1 && (gone || content.is_clean());
        if contents.get(&ino).is_some_and(unused) {
            contents.remove(&ino);
        }
    }

    fn file<T>(
        &self,
        handle: u64,
        act: impl FnOnce(&File, &Content) -> std::io::Result<T>,
    ) -> Result<T, Errno> {
        let _alive = self.alive()?;
        match &*self.handle(handle)? {
            Handle::File { file, content } => act(file, content).map_err(|e| number(&e)),
            Handle::Directory { .. } => Err(Errno::EISDIR),
        }
    }

    /// Reads as much as there is, at most `size`.
    pub(in super::super) fn read(&self, handle: u64, at: u64, size: usize) -> Result<Vec<u8>, Errno> {
        self.file(handle, |file, _| {
            let (mut bytes, mut filled) = (vec![0; size], 0);
            while filled < size {
                match file.read_at(&mut bytes[filled..], at + filled as u64) {
                    Ok(0) => break,
                    Ok(n) => filled += n,
                    Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                    Err(e) => return Err(e),
                }
            }
            bytes.truncate(filled);
            Ok(bytes)
        })
    }

    /// Writes; with `sync`, that is synced at once.
    pub(in super::super) fn write(&self, handle: u64, at: u64, data: &[u8], sync: bool) -> Result<(), Errno> {
        self.file(handle, |file, content| content.write(file, at, data))?;
        if sync { self.sync(handle) } else { Ok(()) }
    }

    /// Changes the size of a file, which may be open.
    pub(in super::super) fn resize(&self, ino: u64, handle: Option<u64>, to: u64) -> Result<(), Errno> {
        if let Some(handle) = handle {
            return self.file(handle, |file, content| content.resize(file, to));
        }
        let _alive = self.alive()?;
        let (file, content) = self.opened(ino, true)?;
        content.resize(&file, to).map_err(|e| number(&e))
    }

    pub(in super::super) fn allocate(
        &self,
        handle: u64,
        at: u64,
        bytes: u64,
        mode: FallocateFlags,
    ) -> Result<(), Errno> {
        self.file(handle, |file, content| content.allocate(file, mode, at, bytes))
    }

    /// A file is synced, or a directory.
    pub(in super::super) fn sync(&self, handle: u64) -> Result<(), Errno> {
        let _alive = self.alive()?;
        if let Handle::File { content, .. } = &*self.handle(handle)? {
            content.sync();
        }
        // What was unlinked and cannot be deleted is the harness's trouble, not the node's.
        _ = self.commit(&mut self.tree());
        Ok(())
    }

    /// Whether writing there takes space that the file does not have yet.
    pub(in super::super) fn needs_space(&self, handle: u64, at: u64, bytes: u64) -> bool {
        let needs = self.file(handle, |file, content| {
            let end = at + bytes;
            if end > content.size() {
                return Ok(true);
            }
            let metadata = file.metadata()?;
            // Allocated in full; the real file system may tell of holes where it has space set aside.
            if metadata.blocks() * 512 >= metadata.len() {
                return Ok(false);
            }
            let hole = lseek(file.as_fd(), at as i64, Whence::SeekHole).map_err(std::io::Error::from)?;
            Ok((hole as u64) < end)
        });
        needs.unwrap_or(true)
    }

    /// The entries of a directory; read anew at the beginning.
    pub(in super::super) fn entries(&self, handle: u64, from_start: bool) -> Result<Arc<Vec<Entry>>, Errno> {
        let _alive = self.alive()?;
        let handle = self.handle(handle)?;
        let Handle::Directory { ino, entries } = &*handle else { return Err(Errno::ENOTDIR) };
        let mut entries = entries.lock().unwrap_or_else(PoisonError::into_inner);
        if from_start {
            *entries = Arc::new(self.list(*ino)?);
        }
        Ok(Arc::clone(&entries))
    }

    fn list(&self, ino: u64) -> Result<Vec<Entry>, Errno> {
        self.at(ino, |spot| {
            let mut entries = Vec::new();
            for entry in spot.list()?.iter() {
                let entry = entry?;
                let name = OsString::from_vec(entry.file_name().to_bytes().to_vec());
                let kind = entry.file_type().map_or_else(|| kind_of(&spot, Path::new(&name)), Ok)?;
                entries.push(Entry { ino: entry.ino(), kind, name });
            }
            Ok(entries)
        })
    }
}

/// Looks at a file where the file system does not tell kinds along with names.
fn kind_of(spot: &super::Spot<'_>, name: &Path) -> Result<Type, Errno> {
    let stat = fstatat(spot.base, &spot.join(name), AtFlags::AT_SYMLINK_NOFOLLOW)?;
    Ok(match stat.st_mode & S_IFMT {
        S_IFDIR => Type::Directory,
        S_IFLNK => Type::Symlink,
        S_IFIFO => Type::Fifo,
        S_IFSOCK => Type::Socket,
        S_IFCHR => Type::CharacterDevice,
        S_IFBLK => Type::BlockDevice,
        _ => Type::File,
    })
}
