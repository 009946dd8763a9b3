//! The calls of the kernel, handed to a [`Core`], with rules and traps in between.
//!
//! Not there on purpose, because the kernel has its own ways then: locks (it keeps them itself, which is
//! right as long as one kernel has the disk), flush, extended attributes, holes by seeking, copying by range.
//!
//! The kernel keeps what it has read, and asks again only for what it dropped. So when rules begin or
//! cease to act on reads it is made to forget everything.

mod calls;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use fuser::{
    FopenFlags, INodeNo, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry,
    ReplyOpen, ReplyStatfs, ReplyWrite, Request,
};
use nix::errno::Errno;

use super::Call;
use super::attributes::Ids;
use super::core::Core;
use super::rules::{Asked, Rules, Strike};
use super::traps::Traps;

/// Calls that may wait in threads of their own; further ones hold up the others.
const LATE_MAX: usize = 256;

/// What may happen to calls. Outlives mounts.
#[derive(Debug, Default)]
pub(super) struct Hazards {
    pub(super) rules: Rules,
    pub(super) traps: Traps,
    late: AtomicUsize,
}

/// A disk as FUSE sees it.
#[derive(Debug)]
pub(super) struct Served {
    core: Arc<Core>,
    hazards: Arc<Hazards>,
    ids: Ids,
}

/// What a call is about.
#[derive(Clone, Copy)]
struct About<'a> {
    call: Call,
    pid: u32,
    ino: INodeNo,
    /// Something in that directory, by its name.
    name: Option<&'a OsStr>,
    /// Where it is to be moved.
    to: Option<(INodeNo, &'a OsStr)>,
    space: Space,
}

/// Whether a call takes space on the disk.
#[derive(Clone, Copy)]
enum Space {
    None,
    Some,
    /// If this part of the file has none yet.
    For {
        handle: u64,
        at: u64,
        bytes: u64,
    },
}

/// The many kinds of answer have this in common.
trait Refuse: Send + 'static {
    fn refuse(self, errno: Errno);
}

macro_rules! refuse {
    ($($reply:ty)*) => { $(impl Refuse for $reply {
        fn refuse(self, errno: Errno) {
            self.error(fuser::Errno::from_i32(errno as i32));
        }
    })* };
}
refuse!(ReplyAttr ReplyCreate ReplyData ReplyDirectory ReplyEmpty ReplyEntry ReplyOpen ReplyStatfs ReplyWrite);

/// Answers with what was done, or the error.
fn answer<T, R: Refuse>(done: Result<T, Errno>, reply: R, tell: impl FnOnce(R, T)) {
    match done {
        Ok(value) => tell(reply, value),
        Err(errno) => reply.refuse(errno),
    }
}

impl<'a> About<'a> {
    fn file(call: Call, request: &Request, ino: INodeNo) -> Self {
        About { call, pid: request.pid(), ino, name: None, to: None, space: Space::None }
    }

    fn named(call: Call, request: &Request, directory: INodeNo, name: &'a OsStr) -> Self {
        About { name: Some(name), ..About::file(call, request, directory) }
    }

    fn taking(self, space: Space) -> Self {
        About { space, ..self }
    }
}

impl Served {
    pub(super) fn new(core: Arc<Core>, hazards: Arc<Hazards>) -> Self {
        Served { core, hazards, ids: Ids::here() }
    }

    fn quiet(&self) -> bool {
        self.hazards.rules.none() && self.hazards.traps.none()
    }

    /// Asks the traps and rules, then acts: at once, or later in a thread of its own, so that a call that
    /// waits does not hold up others.
    fn serve<R: Refuse>(
        &self,
        about: About<'_>,
        reply: R,
        act: impl FnOnce(&Core, &Strike, R) + Send + 'static,
    ) {
        if self.quiet() {
            return act(&self.core, &Strike::default(), reply);
        }
        let name = |ino: INodeNo, child: Option<&OsStr>| self.core.live_name(ino.0, child.map(Path::new));
        let mut names: Vec<PathBuf> = vec![name(about.ino, about.name)];
        names.extend(about.to.map(|(directory, to)| name(directory, Some(to))));
        if self.hazards.traps.step_on(about.call, &names, about.pid) {
            return reply.refuse(Errno::EIO);
        }
        let needs_space = || match about.space {
            Space::None => false,
            Space::Some => true,
            Space::For { handle, at, bytes } => self.core.needs_space(handle, at, bytes),
        };
        let asked = Asked { call: about.call, names: &names, needs_space: &needs_space };
        let strike = self.hazards.rules.strike(&asked);
        let act = move |core: &Core, strike: &Strike| match strike.error {
            Some(errno) => reply.refuse(errno),
            None => act(core, strike, reply),
        };
        if strike.waits.is_empty() { act(&self.core, &strike) } else { self.later(about.pid, strike, act) }
    }

    fn later(&self, pid: u32, strike: Strike, act: impl FnOnce(&Core, &Strike) + Send + 'static) {
        let (core, hazards) = (Arc::clone(&self.core), Arc::clone(&self.hazards));
        let late = move || {
            hazards.rules.wait(&strike.waits, pid);
            act(&core, &strike);
            hazards.late.fetch_sub(1, Ordering::Relaxed);
        };
        if self.hazards.late.fetch_add(1, Ordering::Relaxed) >= LATE_MAX {
            return late();
        }
        // Where there is no thread to be had, the call waits here, and others behind it.
        let shared = Arc::new(Mutex::new(Some(late)));
        let taken = Arc::clone(&shared);
        let take = move || take(&taken).map_or((), |late| late());
        if std::thread::Builder::new().name("disk-late".to_owned()).spawn(take).is_err()
            && let Some(late) = self::take(&shared)
        {
            late();
        }
    }

    /// How a file is opened: the kernel may use what it has of it, unless rules want to be asked.
    fn opened_flags(&self) -> FopenFlags {
        if self.hazards.rules.any_touch_reads() { FopenFlags::empty() } else { FopenFlags::FOPEN_KEEP_CACHE }
    }
}

fn take<T>(shared: &Mutex<Option<T>>) -> Option<T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner).take()
}
