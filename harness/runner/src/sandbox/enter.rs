//! Entering the sandbox.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::OnceLock;
use std::time::Duration;

use caps::{CapSet, Capability};
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::resource::{Resource, getrlimit, rlim_t};
use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, kill, signal, sigprocmask};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork, getegid, geteuid, pipe, setpgid};

use super::SandboxError;

/// Which side of the sandbox's wall the caller came out on.
#[derive(Debug)]
pub enum Entered {
    /// Inside, as process 1: go on with the audit.
    Inside,
    /// Outside, after everything inside has ended: leave with this exit code. `None`: what was inside
    /// was killed by this signal.
    Outside(Result<i32, Signal>),
}

/// What the harness needs inside its user namespace, and hands on to helpers such as iptables.
const POWERS: [Capability; 6] = [
    Capability::CAP_NET_ADMIN,
    Capability::CAP_NET_RAW,
    Capability::CAP_NET_BIND_SERVICE,
    Capability::CAP_SYS_ADMIN,
    Capability::CAP_SYS_CHROOT,
    Capability::CAP_SYS_PTRACE,
];

/// The limits of open files, lower and upper, with which the harness was started. Faults may raise its own;
/// nodes must not notice.
static FILE_LIMITS: OnceLock<(rlim_t, rlim_t)> = OnceLock::new();

/// The limits of open files that nodes are to have; `None` outside the sandbox.
pub(super) fn file_limits() -> Option<(rlim_t, rlim_t)> {
    FILE_LIMITS.get().copied()
}

/// Enters the sandbox: the caller goes on twice, inside and (when that has ended) outside.
///
/// Must be called first thing in `main`, while the process has one thread.
///
/// # Errors
/// When the kernel refuses a namespace; the error names the remedy. Some refusals only show inside, so
/// both sides must expect one.
pub fn enter() -> Result<Entered, SandboxError> {
    // A parent may have left it ignored; then the end of the child would never be told.
    // SAFETY: restoring the default installs no code of ours.
    let _ = unsafe { signal(Signal::SIGCHLD, SigHandler::SigDfl) };
    if let Ok(limits) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = FILE_LIMITS.set(limits);
    }
    let root = geteuid().is_root();
    let (uid, gid) = (geteuid(), getegid());
    let rest = CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWPID;
    // Root may lack the power (in a container): then a user namespace may still be had.
    let own_user = !root || unshare(rest).is_err();
    if own_user {
        unshare(rest | CloneFlags::CLONE_NEWUSER).map_err(|e| SandboxError::new("create namespaces", e))?;
        // Users are mapped to themselves: some servers refuse to run as root.
        write_own("setgroups", "deny")?;
        write_own("uid_map", &format!("{uid} {uid} 1"))?;
        write_own("gid_map", &format!("{gid} {gid} 1"))?;
    }
    let waited = waited_signals();
    let unblocked = block(&waited);
    let (alive_inside, alive_outside) = pipe().map_err(|e| SandboxError::new("create a pipe", e))?;
    // SAFETY: the process has one thread, so the child may do anything.
    match unsafe { fork() }.map_err(|e| SandboxError::new("fork", e))? {
        ForkResult::Parent { child } => {
            drop(alive_inside);
            let end = supervise(child, &waited);
            drop(alive_outside);
            Ok(Entered::Outside(end))
        }
        ForkResult::Child => {
            drop(alive_outside);
            restore(&unblocked);
            settle_in(&alive_inside, own_user && !root)?;
            Ok(Entered::Inside)
        }
    }
}

fn write_own(file: &str, text: &str) -> Result<(), SandboxError> {
    std::fs::write(format!("/proc/self/{file}"), text).map_err(|e| {
        let errno = e.raw_os_error().map_or(Errno::EIO, Errno::from_raw);
        SandboxError::new("map the user into the namespace", errno)
    })
}

/// The first steps inside: die with the parent, own process group (the parent passes Ctrl-C on), private
/// mounts, a /proc of the new PID namespace, and powers that survive an exec.
fn settle_in(parent: &OwnedFd, raise: bool) -> Result<(), SandboxError> {
    set_pdeathsig(Signal::SIGKILL).map_err(|e| SandboxError::new("tie the sandbox to its parent", e))?;
    // The parent may have died before that took hold; then its end of the pipe is closed.
    let mut fds = [PollFd::new(parent.as_fd(), PollFlags::empty())];
    if poll(&mut fds, PollTimeout::ZERO).unwrap_or(0) > 0 {
        std::process::exit(4);
    }
    let _ = setpgid(Pid::from_raw(0), Pid::from_raw(0));
    make_mounts_private()?;
    mount_proc()?;
    if raise {
        for power in POWERS {
            let raised = caps::raise(None, CapSet::Inheritable, power)
                .and_then(|()| caps::raise(None, CapSet::Ambient, power));
            raised.map_err(|_| {
                SandboxError::new("keep capabilities inside the user namespace", Errno::EPERM)
            })?;
        }
    }
    Ok(())
}

pub(super) fn make_mounts_private() -> Result<(), SandboxError> {
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
        .map_err(|e| SandboxError::new("make mounts private", e))
}

pub(super) fn mount_proc() -> Result<(), SandboxError> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("proc"), "/proc", Some("proc"), flags, None::<&str>)
        .map_err(|e| SandboxError::new("mount /proc inside the sandbox", e))
}

fn waited_signals() -> SigSet {
    [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGCHLD].into_iter().collect()
}

fn block(signals: &SigSet) -> SigSet {
    let mut before = SigSet::empty();
    let _ = sigprocmask(SigmaskHow::SIG_BLOCK, Some(signals), Some(&mut before));
    before
}

fn restore(signals: &SigSet) {
    let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(signals), None);
}

/// The parent's whole life: pass signals on, wait for the end. Whoever asks a third time, or with SIGQUIT,
/// does not want to wait for good order.
fn supervise(child: Pid, signals: &SigSet) -> Result<i32, Signal> {
    let mut asked = 0;
    loop {
        match waitpid(child, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(_, code)) => return Ok(code),
            Ok(WaitStatus::Signaled(_, signal, _)) => return Err(signal),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return Err(Signal::SIGKILL),
        }
        match signals.wait() {
            Ok(Signal::SIGCHLD) => {}
            Ok(signal) => {
                asked += 1;
                let at_once = asked > 2 || signal == Signal::SIGQUIT;
                let _ = kill(child, if at_once { Signal::SIGKILL } else { signal });
            }
            Err(_) => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}
