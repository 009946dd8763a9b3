//! Mounting: the connection between the kernel and a [`Core`].
//!
//! The harness has the power to mount in its own namespace, so no helper program is needed. The kind of
//! file system shows as `fuse.ordeal`; by that the nodes' init processes know whose disks to take off.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fuser::{BackgroundSession, Config, INodeNo, Notifier, Session, SessionACL};
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::unistd::{getegid, geteuid};

use super::core::Core;
use super::fs::{Hazards, Served};

/// The kind of file system, as `/proc/self/mountinfo` has it.
const KIND: &str = "fuse.ordeal";
/// Calls that are served at the same time.
const THREADS: usize = 2;
/// The longest wait for the kernel to let go of what was unmounted. A node that starts at that moment has a
/// copy of the mount until its init process takes it off.
const END_TIMEOUT: Duration = Duration::from_secs(5);
const END_POLL: Duration = Duration::from_micros(500);

/// A mounted disk.
#[derive(Debug)]
pub(super) struct Mounted {
    point: PathBuf,
    session: BackgroundSession,
}

impl Mounted {
    /// Mounts. From then on `core` is served.
    pub(super) fn new(core: &Arc<Core>, hazards: &Arc<Hazards>, point: &Path) -> Result<Self, String> {
        let fail = |what: &str, e: &dyn std::fmt::Display| format!("{}: cannot {what}: {e}", point.display());
        let device = OpenOptions::new().read(true).write(true).open("/dev/fuse");
        let device = device.map_err(|e| fail("open /dev/fuse", &e))?;
        let options = format!(
            "fd={},rootmode=40000,user_id={},group_id={},default_permissions,allow_other",
            device.as_raw_fd(),
            geteuid(),
            getegid()
        );
        let flags = MsFlags::MS_NODEV | MsFlags::MS_NOSUID;
        mount(Some("ordeal"), point, Some(KIND), flags, Some(options.as_str()))
            .map_err(|e| fail("mount", &e))?;
        let mut config = Config::default();
        config.acl = SessionACL::All;
        config.n_threads = Some(THREADS);
        config.clone_fd = true;
        let served = Served::new(Arc::clone(core), Arc::clone(hazards));
        let session = Session::from_fd(served, device.into(), SessionACL::All, config);
        match session.and_then(Session::spawn) {
            Ok(session) => Ok(Mounted { point: point.to_path_buf(), session }),
            Err(e) => {
                let _ = detach(point);
                Err(fail("serve the file system", &e))
            }
        }
    }

    /// Makes the kernel forget the contents that it keeps of these files.
    pub(super) fn forget_contents(&self, files: Vec<u64>) {
        let notifier: Notifier = self.session.notifier();
        // It may have to wait for reads that are under way, which rules may delay: nobody waits for it.
        let forget = move || files.iter().for_each(|&ino| drop(notifier.inval_inode(INodeNo(ino), 0, 0)));
        let _ = std::thread::Builder::new().name("disk-forget".to_owned()).spawn(forget);
    }

    /// Has the kernel write out what programs changed in memory.
    pub(super) fn flush(&self) -> Result<(), String> {
        let flushed =
            File::open(&self.point).and_then(|root| nix::unistd::syncfs(root).map_err(io::Error::from));
        flushed.map_err(|e| format!("{}: cannot write out: {e}", self.point.display()))
    }

    /// Takes the file system off, whoever still uses it, and waits until nobody serves it any more.
    pub(super) fn unmount(self) -> Result<(), String> {
        detach(&self.point).map_err(|e| format!("{}: cannot unmount: {e}", self.point.display()))?;
        let deadline = Instant::now() + END_TIMEOUT;
        while !self.session.guard.is_finished() {
            if Instant::now() >= deadline {
                return Err(format!(
                    "{}: still in use {END_TIMEOUT:?} after unmounting",
                    self.point.display()
                ));
            }
            std::thread::sleep(END_POLL);
        }
        // How its threads ended does not matter: the connection was cut under them.
        let _ = self.session.join();
        Ok(())
    }
}

/// Cuts the connection, so that whoever waits for an answer gets an error, and takes the mount off.
fn detach(point: &Path) -> Result<(), Errno> {
    let cut = umount2(point, MntFlags::MNT_FORCE | MntFlags::MNT_DETACH);
    match cut {
        // Older kernels let only the machine's root cut connections.
        Err(Errno::EPERM) => umount2(point, MntFlags::MNT_DETACH),
        done => done,
    }
}
