//! The init process of a node: a small shim around the node's program.
//!
//! Every node lives in a PID, mount, IPC and UTS namespace of its own. Process 1 of a PID namespace must
//! reap orphans and is immune to the default action of signals, which no server expects of itself; so the
//! harness runs itself again as the shim. When the shim (or the node's main program) dies the kernel
//! kills everything that the node ever started, daemonised or not.
//!
//! ```text
//! harness ─► outer shim (waits, reports) ─► inner shim = pid 1 of the node ─► the node's program
//! ```

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use caps::CapSet;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork, geteuid, sethostname, setsid};

use super::enter::{make_mounts_private, mount_proc};

/// The hidden command under which the harness runs itself as a node's init.
pub const INIT_COMMAND: &str = "__init";

/// A command that runs `program` in the network namespace `network` and in fresh PID, mount, IPC and UTS
/// namespaces. The process id of the node's init, as the caller's PID namespace sees it, arrives as a
/// decimal line on `report`.
pub fn wrap(
    harness: &OsStr,
    id: &str,
    network: BorrowedFd<'_>,
    report: BorrowedFd<'_>,
    program: &OsStr,
    args: &[String],
) -> Command {
    let mut command = Command::new(harness);
    command.arg(INIT_COMMAND).arg(report.as_raw_fd().to_string()).arg(id).arg(program).args(args);
    let (network, report) = (network.as_raw_fd(), report.as_raw_fd());
    let enter = move || enter_namespaces(network, report);
    // SAFETY: between fork and exec the closure only makes system calls.
    unsafe { command.pre_exec(enter) };
    command
}

fn enter_namespaces(network: RawFd, report: RawFd) -> std::io::Result<()> {
    // SAFETY: both descriptors were borrowed from the parent, which holds them open across the spawn.
    let (network, report) = unsafe { (BorrowedFd::borrow_raw(network), BorrowedFd::borrow_raw(report)) };
    setsid()?;
    setns(network, CloneFlags::CLONE_NEWNET)?;
    unshare(
        CloneFlags::CLONE_NEWPID
            | CloneFlags::CLONE_NEWNS
            | CloneFlags::CLONE_NEWIPC
            | CloneFlags::CLONE_NEWUTS,
    )?;
    fcntl(report, FcntlArg::F_SETFD(FdFlag::empty()))?;
    Ok(())
}

/// The shim's main: `__init REPORT_FD ID PROGRAM ARGS…`. Returns the exit code of the node.
pub fn init_main(args: &[OsString]) -> i32 {
    match args {
        [report, id, program, rest @ ..] => {
            let Some(fd) = report.to_str().and_then(|s| s.parse::<RawFd>().ok()) else {
                return 2;
            };
            // SAFETY: the harness passed this descriptor for the shim to own.
            let report = unsafe { OwnedFd::from_raw_fd(fd) };
            shim(report, id, program, rest)
        }
        _ => 2,
    }
}

fn shim(report: OwnedFd, id: &OsStr, program: &OsStr, args: &[OsString]) -> i32 {
    let _ = set_pdeathsig(Signal::SIGKILL);
    // SAFETY: the shim has one thread.
    match unsafe { fork() } {
        Ok(ForkResult::Parent { child }) => {
            let mut report = std::fs::File::from(report);
            let _ = writeln!(report, "{child}");
            drop(report);
            wait_for(child)
        }
        Ok(ForkResult::Child) => {
            drop(report);
            init(id, program, args)
        }
        Err(_) => 4,
    }
}

/// Process 1 of the node: start the program, reap everything, end when the program ends.
fn init(id: &OsStr, program: &OsStr, args: &[OsString]) -> i32 {
    let _ = set_pdeathsig(Signal::SIGKILL);
    let _ = sethostname(id);
    let prepared = make_mounts_private().and_then(|()| mount_proc());
    if let Err(e) = prepared {
        return complain(&format!("ordeal: {e}"));
    }
    if !geteuid().is_root() {
        // The node is an ordinary program: the harness's powers end here.
        for set in [CapSet::Ambient, CapSet::Inheritable] {
            let _ = caps::clear(None, set);
        }
    }
    match Command::new(program).args(args).spawn() {
        Ok(child) => wait_for(Pid::from_raw(child.id() as i32)),
        Err(e) => complain(&format!("ordeal: cannot start {}: {e}", program.display())),
    }
}

/// The shim has no logger; the node's own standard error is where a person will look.
fn complain(message: &str) -> i32 {
    let _ = writeln!(std::io::stderr(), "{message}");
    127
}

fn wait_for(child: Pid) -> i32 {
    loop {
        match waitpid(None, None) {
            Ok(WaitStatus::Exited(pid, code)) if pid == child => return code,
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == child => return 128 + signal as i32,
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(_) => return 4,
        }
    }
}
