//! The disks: a file system of our own under each node's data directory, on which power fails, calls fail
//! or are late, bits flip, and space runs out.
//!
//! Mechanism: a pass-through FUSE file system is mounted at the node's `data`; the files really live in
//! `disk` beside it. Writes go straight there, and an undo log keeps what a power loss would take back:
//! the former contents of pages that are not synced, and directory operations that are not. So reads merge
//! nothing, memory is only needed for what is not synced, and pages can survive torn. Nothing is really
//! synced to the machine's disk, since only processes die; that makes tests faster than the disk.
//!
//! What counts as synced: a file by fsync, fdatasync, msync or a write with `O_SYNC` or `O_DSYNC`, and with
//! it every earlier operation on directories, as on ext4; those alone by fsync of a directory. Not by
//! sync(2), syncfs(2) and sync_file_range(2), which promise less or never reach a FUSE file system.
//!
//! Proof is for the faults that use it: [`Disk::struck`], [`Disk::unsynced`], [`Lost`], [`Sprung`] and the
//! files themselves.
//!
//! Sources: the kernel's `Documentation/filesystems/fuse.rst`; LazyFS (Ramos et al., VLDB 2024) and ALICE
//! (Pillai et al., OSDI 2014) for what power losses leave behind.

mod attributes;
mod core;
mod fs;
mod journal;
mod mount;
mod rules;
#[cfg(test)]
mod tests;
mod traps;
mod tree;
mod undo;

use std::collections::BTreeMap;
use std::fs as files;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use ordeal_core::Cluster;
use serde::{Deserialize, Serialize};

use self::core::Core;
pub(crate) use self::core::{Lost, Unsynced};
use self::fs::Hazards;
use self::mount::Mounted;
pub(crate) use self::rules::matches;
use self::traps::Spring;

/// All nodes' disks, shared by the disk faults of one run.
#[derive(Debug, Default)]
pub struct Disks {
    /// Held while disks are mounted or unmounted.
    busy: tokio::sync::Mutex<()>,
    /// By node; none before they are mounted and after.
    mounted: Mutex<Vec<Arc<Disk>>>,
}

impl Disks {
    fn mounted(&self) -> MutexGuard<'_, Vec<Arc<Disk>>> {
        self.mounted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Mounts a disk on every node's data directory, once per run however many faults ask. Before the first
    /// node starts.
    pub(crate) async fn mount_all(&self, cluster: &dyn Cluster) -> Result<(), String> {
        let _busy = self.busy.lock().await;
        if !self.mounted().is_empty() {
            return Ok(());
        }
        let directories: Vec<PathBuf> = cluster.spec().nodes.iter().map(|n| n.data_dir.clone()).collect();
        *self.mounted() = blocking(move || mount_each(&directories)).await?;
        Ok(())
    }

    /// The disk of a node.
    pub(crate) fn of(&self, node: usize) -> Result<Arc<Disk>, String> {
        self.mounted().get(node).cloned().ok_or_else(|| format!("no disk is mounted for node {node}"))
    }

    /// After the last node has ended: unmounts, and moves the files to where the node believed them to be.
    /// Idempotent.
    pub(crate) async fn unmount_all(&self, _: &dyn Cluster) -> Result<(), String> {
        let _busy = self.busy.lock().await;
        let mounted = std::mem::take(&mut *self.mounted());
        blocking(move || {
            let errors: Vec<String> = mounted.iter().filter_map(|disk| disk.unmount().err()).collect();
            if errors.is_empty() { Ok(()) } else { Err(errors.join("; ")) }
        })
        .await
    }
}

async fn blocking<T: Send + 'static>(
    act: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    tokio::task::spawn_blocking(act).await.map_err(|e| e.to_string())?
}

fn mount_each(directories: &[PathBuf]) -> Result<Vec<Arc<Disk>>, String> {
    raise_file_limit()?;
    let mut disks: Vec<Arc<Disk>> = Vec::new();
    for directory in directories {
        match Disk::mount(directory) {
            Ok(disk) => disks.push(Arc::new(disk)),
            Err(why) => {
                // What failed is the news; what is left goes with the sandbox.
                disks.iter().for_each(|disk| drop(disk.unmount()));
                return Err(why);
            }
        }
    }
    Ok(disks)
}

/// Every file that a node has open is open in the harness too.
fn raise_file_limit() -> Result<(), String> {
    let raise = |(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(raise);
    raised.map_err(|e| format!("cannot raise the limit of open files: {e}"))
}

/// A kind of call, as a program makes it. What makes anything but a directory counts as [`Call::Create`],
/// links among them; fallocate is a write, removing a directory is an unlink.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Call {
    Open,
    Create,
    Read,
    Write,
    Fsync,
    Rename,
    Unlink,
    Truncate,
    Mkdir,
}

/// What happens to some calls.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rule {
    /// To these; empty: all.
    pub(crate) calls: Vec<Call>,
    /// To those about files whose name below the mount matches now: `*` stands for any characters, `?` for one.
    pub(crate) path: Option<String>,
    /// With this chance.
    pub(crate) chance: f64,
    /// This.
    pub(crate) action: Action,
}

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Action {
    /// The call fails and has no effect.
    Error(Errno),
    /// The call takes effect so much later, in microseconds.
    Delay { us: u64 },
    /// A bit flips in what is read or written.
    FlipBit,
    /// The disk has no space left: what needs some fails, and statfs says so.
    Full,
}

/// A point at which a node dies.
pub(crate) struct Trap {
    /// At a call of this kind
    pub(crate) call: Call,
    /// about such a file,
    pub(crate) path: Option<String>,
    /// the nth from now on, from 1.
    pub(crate) nth: u64,
    /// Kills the node. Is called while the call waits.
    pub(crate) kill: Box<dyn Fn() + Send + Sync>,
}

/// A trap that has sprung.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sprung {
    pub(crate) call: Call,
    /// The name of the file.
    pub(crate) path: String,
    /// Which call it was.
    pub(crate) count: u64,
}

/// A trap that is set; dropping it takes it away.
#[derive(Debug)]
pub(crate) struct Armed {
    hazards: Arc<Hazards>,
    spring: Arc<Spring>,
}

impl Armed {
    /// Waits until it has sprung. Blocking.
    pub(crate) fn wait(&self, timeout: Duration) -> Option<Sprung> {
        self.spring.wait(timeout)
    }
}

impl Drop for Armed {
    fn drop(&mut self) {
        self.hazards.traps.disarm(&self.spring);
    }
}

/// The disk of one node.
#[derive(Debug)]
pub(crate) struct Disk {
    /// Where the node has its files.
    point: PathBuf,
    /// Where they are.
    files: PathBuf,
    /// Where unlinked ones are until that is synced.
    parked: PathBuf,
    hazards: Arc<Hazards>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    core: Arc<Core>,
    /// `None` between two mounts, and in the end.
    mounted: Option<Mounted>,
}

impl Disk {
    /// Moves what is in the directory, if anything, and mounts a disk there.
    fn mount(point: &Path) -> Result<Self, String> {
        let fail = |what: &str, e: std::io::Error| format!("{}: cannot {what}: {e}", point.display());
        let (files, parked) = (point.with_file_name("disk"), point.with_file_name("disk-unlinked"));
        if point.exists() {
            files::rename(point, &files).map_err(|e| fail("move the files", e))?;
        }
        for directory in [point, &files, &parked] {
            files::create_dir_all(directory).map_err(|e| fail("make a directory", e))?;
        }
        let core = Core::new(&files, &parked).map_err(|e| fail("open the files", e))?;
        let state = Mutex::new(State { core: Arc::new(core), mounted: None });
        let disk = Disk { point: point.to_path_buf(), files, parked, hazards: Arc::default(), state };
        let mounted = disk.remount(&mut disk.state());
        mounted.map(|()| disk)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts the disk on with a fresh core.
    fn remount(&self, state: &mut State) -> Result<(), String> {
        let core = Core::new(&self.files, &self.parked);
        let core = core.map_err(|e| format!("{}: cannot open the files: {e}", self.files.display()))?;
        state.core = Arc::new(core);
        state.mounted = Some(Mounted::new(&state.core, &self.hazards, &self.point)?);
        Ok(())
    }

    /// Takes the disk off. Everything counts as synced.
    fn take_off(&self, state: &mut State) -> Result<(), String> {
        let Some(mounted) = state.mounted.take() else { return Ok(()) };
        let flushed = mounted.flush();
        state.core.die();
        let settled = state.core.settle_all();
        mounted.unmount()?;
        flushed?;
        settled.map_err(|e| format!("{}: cannot delete what was unlinked: {e}", self.parked.display()))
    }

    fn unmount(&self) -> Result<(), String> {
        self.take_off(&mut self.state())?;
        if !self.files.exists() {
            return Ok(());
        }
        let fail = |e: std::io::Error| format!("{}: cannot move the files back: {e}", self.point.display());
        files::remove_dir(&self.point).map_err(fail)?;
        files::rename(&self.files, &self.point).map_err(fail)?;
        files::remove_dir_all(&self.parked).map_err(fail)
    }

    /// Sets the rules of one owner, in place of those it had, and begins to count anew.
    pub(crate) fn set_rules(&self, owner: &'static str, rules: Vec<Rule>, seed: u64) {
        let before = self.hazards.rules.touch_reads(owner);
        self.hazards.rules.set(owner, rules, seed);
        if before || self.hazards.rules.touch_reads(owner) {
            self.forget_contents();
        }
    }

    /// Takes the rules of one owner away. Calls that wait go on.
    pub(crate) fn clear_rules(&self, owner: &'static str) {
        let touched_reads = self.hazards.rules.touch_reads(owner);
        self.hazards.rules.clear(owner);
        if touched_reads {
            self.forget_contents();
        }
    }

    fn forget_contents(&self) {
        // Whoever holds it is about to mount anew, and then nothing is known.
        let Ok(state) = self.state.try_lock() else { return };
        if let Some(mounted) = &state.mounted {
            mounted.forget_contents(state.core.known());
        }
    }

    /// How many calls rules of this owner have struck since `set_rules`, by call.
    pub(crate) fn struck(&self, owner: &'static str) -> BTreeMap<Call, u64> {
        self.hazards.rules.struck(owner)
    }

    /// Springs at the nth (from 1) such call from now on: the node is killed before the call takes effect,
    /// and the call then fails.
    pub(crate) fn arm(&self, trap: Trap) -> Armed {
        Armed { hazards: Arc::clone(&self.hazards), spring: self.hazards.traps.arm(trap) }
    }

    /// What a power loss would lose now.
    pub(crate) fn unsynced(&self) -> Unsynced {
        self.state().core.unsynced()
    }

    /// The power fails: the caller has killed every process of the node. What was not synced is undone,
    /// except that each unsynced page survives with the chance `torn` (and of the directory operations a
    /// random prefix if `torn` is not 0). Mounts anew, so that no cache survives. Blocking.
    pub(crate) fn crash(&self, torn: f64, seed: u64) -> Result<Lost, String> {
        let mut state = self.state();
        // What the kernel has not written by now is lost like the rest.
        state.core.die();
        let unmounted = state.mounted.take().map_or(Ok(()), Mounted::unmount);
        let lost = state.core.roll_back(torn, seed).map_err(|why| format!("{}: {why}", self.point.display()));
        // Whatever went wrong, the node must find its disk when it is started again.
        self.remount(&mut state)?;
        unmounted.and(lost)
    }

    /// With the node down: everything that was written counts as synced, the disk is taken off, `act` may
    /// change the files themselves, and the disk is put back. Blocking.
    pub(crate) fn offline<T>(&self, act: impl FnOnce(&Path) -> Result<T, String>) -> Result<T, String> {
        let mut state = self.state();
        let acted = self.take_off(&mut state).and_then(|()| act(&self.files));
        self.remount(&mut state)?;
        acted
    }
}
