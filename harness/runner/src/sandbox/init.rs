//! The init process of a node: a small shim around the node's program.
//!
//! Every node lives in a PID, mount, IPC and UTS namespace of its own. Process 1 of a PID namespace must
//! reap orphans and is immune to the default action of signals, which no server expects of itself; so the
//! harness runs itself again as the shim. When the shim (or the node's main program) dies the kernel
//! kills everything that the node ever started, daemonised or not.
//!
//! The node's mount namespace begins as a copy of the harness's, with all nodes' disks (file systems of kind
//! [`DISK_KIND`]). Each keeps its own alone: no node may see another's, and a copy would keep alive a disk
//! that the harness has taken off.
//!
//! ```text
//! harness ─► outer shim (waits, reports) ─► inner shim = pid 1 of the node ─► the node's program
//! ```

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use caps::CapSet;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::mount::{MntFlags, umount2};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork, geteuid, sethostname, setsid};

use super::SandboxError;
use super::enter::{file_limits, make_mounts_private, mount_proc};

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
    let limits = file_limits();
    let enter = move || {
        // A limit that may only be lowered cannot be refused.
        limits.map_or(Ok(()), |(soft, hard)| setrlimit(Resource::RLIMIT_NOFILE, soft, hard))?;
        enter_namespaces(network, report)
    };
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
    let prepared = make_mounts_private().and_then(|()| mount_proc()).and_then(|()| see_to_disks());
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

/// The kind of file system that faults put under nodes' data directories.
const DISK_KIND: &str = "fuse.ordeal";
/// Where the files of such a file system really lie, in the node's directory.
const DISK_FILES: [&str; 2] = ["disk", "disk-unlinked"];

/// Takes off the disks of all other nodes. This node's is below its working directory; if its files lie
/// there but the disk is not on, the node must not start: it would find nothing of what it wrote.
fn see_to_disks() -> Result<(), SandboxError> {
    let failed = |e: std::io::Error| {
        SandboxError::new("list the node's mounts", e.raw_os_error().map_or(Errno::EIO, Errno::from_raw))
    };
    let home = std::env::current_dir().map_err(failed)?;
    let mounts = std::fs::read("/proc/self/mountinfo").map_err(failed)?;
    let (own, others): (Vec<PathBuf>, _) =
        disks(&mounts).into_iter().partition(|point| point.starts_with(&home));
    if own.is_empty() && DISK_FILES.iter().all(|files| home.join(files).is_dir()) {
        return Err(SandboxError::new("find the node's disk, which is off", Errno::ENODEV));
    }
    for point in others {
        match umount2(&point, MntFlags::MNT_DETACH) {
            // The harness may have taken it off for everybody.
            Ok(()) | Err(Errno::EINVAL | Errno::ENOENT) => {}
            Err(e) => return Err(SandboxError::new("take off another node's disk", e)),
        }
    }
    Ok(())
}

/// Where disks are mounted, by proc_pid_mountinfo(5): the fifth field is the place, and the kind stands
/// behind a lone dash.
fn disks(mounts: &[u8]) -> Vec<PathBuf> {
    let point = |line: &[u8]| {
        let fields: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
        let dash = fields.iter().position(|field| *field == b"-")?;
        let is_disk = fields.get(dash + 1) == Some(&DISK_KIND.as_bytes());
        if is_disk { Some(PathBuf::from(OsString::from_vec(unescape(fields.get(4)?)))) } else { None }
    };
    mounts.split(|byte| *byte == b'\n').filter_map(point).collect()
}

/// Blanks and the like are written as a backslash and three octal digits.
fn unescape(field: &[u8]) -> Vec<u8> {
    let (mut plain, mut rest) = (Vec::new(), field);
    while let [first, after @ ..] = rest {
        let digits = after.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) if *first == b'\\' => {
                plain.push(byte);
                rest = &after[3..];
            }
            _ => {
                plain.push(*first);
                rest = after;
            }
        }
    }
    plain
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
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return 4,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disks_are_told_from_other_mounts() {
        let mounts = b"22 1 0:20 / /proc rw,nosuid shared:5 - proc proc rw\n\
            90 22 0:50 / /runs/a\\040b\\134/n1/data rw,nodev - fuse.ordeal ordeal rw,user_id=0\n\
            91 22 0:51 / /runs/n2/data rw shared:1 master:2 - fuse.ordeal ordeal rw\n\
            92 22 0:52 / /mnt/fuse.ordeal rw - fuse.other fuse.ordeal rw\n\
            cut short\n";
        let expected = [PathBuf::from("/runs/a b\\/n1/data"), PathBuf::from("/runs/n2/data")];
        assert_eq!(disks(mounts), expected);
    }
}
