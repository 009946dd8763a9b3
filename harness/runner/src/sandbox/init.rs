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
/// namespaces. On `report` arrive the lines `init PID`, the node's init as the caller's PID namespace sees
/// it, and `started ` when the program runs or `error WHY` when it could not be started.
pub fn wrap(
    harness: &OsStr,
    id: &str,
    network: BorrowedFd<'_>,
    report: BorrowedFd<'_>,
    program: &OsStr,
    args: &[String],
) -> Command {
    let mut command = Command::new(harness);
    command
        .arg0("ordeal")
        .arg(INIT_COMMAND)
        .arg(report.as_raw_fd().to_string())
        .arg(id)
        .arg(program)
        .args(args);
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
            say(report, &format!("init {child}"));
            wait_for(child)
        }
        Ok(ForkResult::Child) => init(report, id, program, args),
        Err(_) => 4,
    }
}

/// Process 1 of the node: start the program, reap everything, end when the program ends.
fn init(report: OwnedFd, id: &OsStr, program: &OsStr, args: &[OsString]) -> i32 {
    let _ = set_pdeathsig(Signal::SIGKILL);
    let _ = sethostname(id);
    // The node must not inherit it, or the harness would wait for its end.
    let _ = fcntl(&report, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC));
    let prepared = make_mounts_private().and_then(|()| mount_proc());
    if let Err(e) = prepared {
        say(report, &format!("error {e}"));
        return CANNOT_START;
    }
    if !geteuid().is_root() {
        // The node is an ordinary program: the harness's powers end here.
        for set in [CapSet::Ambient, CapSet::Inheritable] {
            let _ = caps::clear(None, set);
        }
    }
    let mut command = Command::new(program);
    if program == THIS_PROGRAM {
        // What a person sees in a list of processes.
        command.arg0("ordeal");
    }
    match command.args(args).spawn() {
        Ok(child) => {
            say(report, "started ");
            wait_for(Pid::from_raw(child.id() as i32))
        }
        Err(e) => {
            say(report, &format!("error cannot start {}: {e}", program.display()));
            CANNOT_START
        }
    }
}

/// The harness itself, by a name that stays true when another build takes its place on disk.
pub const THIS_PROGRAM: &str = "/proc/self/exe";

/// What a shell exits with when it cannot start a program.
const CANNOT_START: i32 = 127;

/// Tells the harness, which may be gone, and closes this end. Both shims write to one pipe: a line must go
/// out in one piece.
fn say(report: OwnedFd, line: &str) {
    let _ = std::fs::File::from(report).write_all(format!("{line}\n").as_bytes());
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
