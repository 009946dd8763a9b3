//! The processes of PID namespaces, as `/proc` shows them to the harness.
//!
//! Source: proc_pid_stat(5), proc_pid_status(5), pid_namespaces(7).

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::str::FromStr;

/// `SIGSTOP` in the signal masks of `/proc/P/status`: bit 18 for signal 19.
const SIGSTOP_BIT: u64 = 1 << (nix::libc::SIGSTOP - 1);

/// A PID namespace. As long as this lives, the kernel cannot give the namespace's number to another one,
/// even when all its processes are dead: numbers are reused at once otherwise.
#[derive(Debug)]
pub(crate) struct PidNamespace {
    _pin: File,
    device: u64,
    inode: u64,
}

impl PidNamespace {
    /// The namespace in which the process lives.
    pub(crate) fn of(pid: i32) -> io::Result<Self> {
        let pin = File::open(format!("/proc/{pid}/ns/pid"))?;
        let at = pin.metadata()?;
        Ok(PidNamespace { _pin: pin, device: at.dev(), inode: at.ino() })
    }

    pub(crate) fn contains(&self, pid: i32) -> bool {
        fs::metadata(format!("/proc/{pid}/ns/pid"))
            .is_ok_and(|at| at.dev() == self.device && at.ino() == self.inode)
    }

    /// The processes in it that are not dead, in ascending order. Those of namespaces nested in it are not among them.
    pub(crate) fn processes(&self) -> io::Result<Vec<Process>> {
        let mut found = Vec::new();
        for pid in numbers::<i32>("/proc")? {
            if self.contains(pid)
                && let Some(process) = Process::read(pid)
                && !process.is_dead()
            {
                found.push(process);
            }
        }
        found.sort_unstable_by_key(|p| p.pid);
        Ok(found)
    }
}

/// Whether the process exists and has not died: a zombie has.
pub(crate) fn runs(pid: i32) -> bool {
    Process::read(pid).is_some_and(|p| !p.is_dead())
}

/// A process as it was at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    /// Processor time used since it began, by all its threads, in clock ticks.
    pub(crate) ticks: u64,
    /// The state of each thread, by the letters of proc_pid_stat(5).
    pub(crate) states: String,
    /// A `SIGSTOP` was sent to it that no thread has taken yet.
    pub(crate) stop_pending: bool,
}

impl Process {
    /// `None` if it is gone, or goes while it is being read.
    fn read(pid: i32) -> Option<Self> {
        let (_, ticks) = state_and_ticks(&read(&format!("/proc/{pid}/stat"))?)?;
        let tasks = format!("/proc/{pid}/task");
        let states: String = numbers::<i32>(&tasks)
            .ok()?
            .into_iter()
            .filter_map(|tid| Some(state_and_ticks(&read(&format!("{tasks}/{tid}/stat"))?)?.0))
            .collect();
        // Only a thread inside the kernel makes the pending signals worth the reading.
        let stop_pending =
            states.contains('D') && shared_pending(&read(&format!("/proc/{pid}/status"))?) & SIGSTOP_BIT != 0;
        Some(Process { pid, ticks, states, stop_pending })
    }

    fn is_dead(&self) -> bool {
        self.states.chars().all(|s| matches!(s, 'Z' | 'X'))
    }

    /// Whether none of its threads can execute a single instruction of its program.
    ///
    /// A thread in `D` waits inside the kernel and takes signals only on its way out; if a stop is on its
    /// way, it stops there. This is no rare case: `vfork` waits in `D` until its child calls exec, and so
    /// for ever if the child was stopped before it could.
    pub(crate) fn is_held(&self) -> bool {
        let stopping = self.stop_pending || self.states.contains('T');
        self.states.chars().all(|s| match s {
            'T' | 'Z' | 'X' => true,
            'D' => stopping,
            _ => false,
        })
    }

    /// Whether any of its threads is stopped.
    pub(crate) fn is_stopped(&self) -> bool {
        self.states.contains('T')
    }
}

/// The entries of a directory whose names are numbers.
fn numbers<T: FromStr>(directory: &str) -> io::Result<Vec<T>> {
    Ok(fs::read_dir(directory)?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect())
}

/// A file of a process; its command name need not be UTF-8.
fn read(file: &str) -> Option<String> {
    fs::read(file).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// Reads a line of `stat`. The name, second in it, may hold blanks and brackets; it ends at the last bracket.
fn state_and_ticks(stat: &str) -> Option<(char, u64)> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    let state = fields.first()?.chars().next()?;
    let ticks = |i: usize| fields.get(i)?.parse::<u64>().ok();
    Some((state, ticks(11)? + ticks(12)?))
}

/// The signals sent to a process as a whole that no thread has taken yet, out of its `status`.
fn shared_pending(status: &str) -> u64 {
    status
        .lines()
        .find_map(|line| u64::from_str_radix(line.strip_prefix("ShdPnd:")?.trim(), 16).ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(states: &str, stop_pending: bool) -> Process {
        Process { pid: 1, ticks: 0, states: states.to_owned(), stop_pending }
    }

    #[test]
    fn stat_is_read_past_a_malicious_name() {
        let line = "7 (a) R 1 (b) T 1 7 7 0 -1 4194560 99 0 0 0 31 11 0 0 20 0 1 0 5 0 0";
        assert_eq!(state_and_ticks(line), Some(('T', 42)));
        assert_eq!(state_and_ticks("7 (cut short) R"), None);
        assert_eq!(
            shared_pending("Name:\tx\nSigPnd:\t0000000000000001\nShdPnd:\t0000000000040000\n"),
            SIGSTOP_BIT
        );
    }

    #[test]
    fn a_process_is_held_only_if_every_thread_is() {
        assert!(process("TTZ", false).is_held());
        assert!(process("TD", false).is_held(), "its group stop has begun");
        assert!(process("D", true).is_held());
        assert!(!process("D", false).is_held(), "it comes back to run");
        assert!(!process("TTR", false).is_held());
        assert!(!process("S", true).is_held());
    }

    #[test]
    fn this_process_is_found_in_its_own_namespace_and_runs() {
        let pid = std::process::id() as i32;
        let namespace = PidNamespace::of(pid).unwrap();
        assert!(namespace.processes().unwrap().iter().any(|p| p.pid == pid && !p.is_held()));
        assert!(runs(pid));
        assert!(!runs(i32::MAX));
    }
}
