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
        let alive = |pid| Process::read(pid).filter(|p| !p.is_dead());
        Ok(self.pids()?.into_iter().filter_map(alive).collect())
    }

    /// The numbers of its processes, dead ones that nobody has waited for yet among them, in ascending order.
    pub(crate) fn pids(&self) -> io::Result<Vec<i32>> {
        let mut found = numbers::<i32>("/proc")?;
        found.retain(|&pid| self.contains(pid));
        found.sort_unstable();
        Ok(found)
    }
}

/// Reading `/proc` is many short system calls; they must not hold up the clients' thread.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, String> {
    tokio::task::spawn_blocking(work).await.map_err(|e| e.to_string())
}

/// Why `/proc` could not be read.
pub(crate) fn unreadable(error: &io::Error) -> String {
    format!("cannot read /proc: {error}")
}

/// The node's main program: the oldest child of its init process, which starts nothing else itself but
/// inherits orphans.
pub(crate) fn main_program(init: i32, processes: &[Process]) -> Option<i32> {
    let children = processes.iter().filter(|p| p.parent == init);
    children.min_by_key(|p| (p.started, p.pid)).map(|p| p.pid)
}

/// Whether the process exists and has not died: a zombie has.
pub(crate) fn runs(pid: i32) -> bool {
    Process::read(pid).is_some_and(|p| !p.is_dead())
}

/// A process as it was at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    /// The process that started it, or whoever inherited it.
    pub(crate) parent: i32,
    /// When it began, in clock ticks since the machine did. With its number it names a process for good.
    pub(crate) started: u64,
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
        let Stat { parent, started, ticks, .. } = Stat::parse(&read(&format!("/proc/{pid}/stat"))?)?;
        let tasks = format!("/proc/{pid}/task");
        let states: String = numbers::<i32>(&tasks)
            .ok()?
            .into_iter()
            .filter_map(|tid| Some(Stat::parse(&read(&format!("{tasks}/{tid}/stat"))?)?.state))
            .collect();
        // Of one that has begun to stop it is of no interest any more.
        let stop_pending = !states.contains('T')
            && shared_pending(&read(&format!("/proc/{pid}/status"))?) & SIGSTOP_BIT != 0;
        Some(Process { pid, parent, started, ticks, states, stop_pending })
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
        self.states.chars().all(|s| match s {
            'T' | 'Z' | 'X' => true,
            'D' => self.is_stopping(),
            _ => false,
        })
    }

    /// Whether it stands still or is about to: the next thread of it that gets a processor stops there
    /// instead of running on. On a loaded machine that may take a while.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stop_pending || self.is_stopped()
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

/// What is of interest in a line of `stat`.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    state: char,
    parent: i32,
    ticks: u64,
    started: u64,
}

impl Stat {
    /// The name, second in the line, may hold blanks and brackets; it ends at the last bracket.
    fn parse(line: &str) -> Option<Self> {
        let fields: Vec<&str> = line.rsplit_once(')')?.1.split_ascii_whitespace().collect();
        let number = |i: usize| fields.get(i)?.parse::<u64>().ok();
        Some(Stat {
            state: fields.first()?.chars().next()?,
            parent: fields.get(1)?.parse().ok()?,
            ticks: number(11)? + number(12)?,
            started: number(19)?,
        })
    }
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
        Process { pid: 1, parent: 0, started: 0, ticks: 0, states: states.to_owned(), stop_pending }
    }

    #[test]
    fn stat_is_read_past_a_malicious_name() {
        let line = "7 (a) R 1 (b) T 3 7 7 0 -1 4194560 99 0 0 0 31 11 0 0 20 0 1 0 5 0 0";
        assert_eq!(Stat::parse(line), Some(Stat { state: 'T', parent: 3, ticks: 42, started: 5 }));
        assert_eq!(Stat::parse("7 (cut short) R"), None);
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
        assert!(!process("S", true).is_held() && process("R", true).is_stopping());
        assert!(process("TR", false).is_stopping() && !process("RD", false).is_stopping());
    }

    #[test]
    fn the_main_program_is_the_oldest_child_of_init() {
        let child = |pid, parent, started| Process { pid, parent, started, ..process("S", false) };
        // Numbers wrap around; an orphan has gone to init; a grandchild is older than the orphan.
        let all = [child(5, 1, 30), child(9, 1, 10), child(7, 9, 20), child(1, 0, 0)];
        assert_eq!(main_program(1, &all), Some(9));
        assert_eq!(main_program(2, &all), None);
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
