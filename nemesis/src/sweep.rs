//! Stopping and continuing whole PID namespaces; shared by the faults that do.
//!
//! Mechanism: a signal (or what else is to be done) to every process, over and over until two sweeps in a row find none that needs it.
//! Two, because a process that was forked while a sweep was under way may have a lower number than the
//! sweep had reached. A process group would not do: daemons leave theirs. Everything in here blocks.

use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::nodes::Running;
use crate::processes::{PidNamespace, Process, unreadable};

/// The most sweeps before the nodes count as not to be caught.
const SWEEPS_MAX: usize = 3_000;
/// Between sweeps, so that signals sent take effect.
const SWEEP_INTERVAL: Duration = Duration::from_millis(1);

/// Stops everything. Answers the number of sweeps.
pub(crate) fn stop(targets: &[Running]) -> Result<usize, String> {
    sweep(targets, Signal::SIGSTOP, |p| !p.is_held())
}

/// Continues everything. Each process is told so once, whatever its state: one that was stopped on its
/// way out of the kernel does not look stopped, and only `SIGCONT` takes the stop back.
pub(crate) fn resume(targets: &[Running]) -> Result<usize, String> {
    for target in targets {
        once(&target.namespace, Signal::SIGCONT)?;
    }
    sweep(targets, Signal::SIGCONT, Process::is_stopped)
}

/// Sends the signal once to each process there is, and answers how many there were.
pub(crate) fn once(namespace: &PidNamespace, signal: Signal) -> Result<usize, String> {
    let pids = namespace.pids().map_err(|e| unreadable(&e))?;
    pids.iter().try_for_each(|&pid| send(pid, signal))?;
    Ok(pids.len())
}

/// Sends the signal to each process that needs it until none does. Answers the number of sweeps.
fn sweep(targets: &[Running], signal: Signal, needs_it: fn(&Process) -> bool) -> Result<usize, String> {
    until_quiet(|| {
        let mut sent = false;
        for target in targets {
            for process in target.processes()?.iter().filter(|p| needs_it(p)) {
                send(process.pid, signal)?;
                sent = true;
            }
        }
        Ok(sent)
    })
    .map_err(|why| format!("{signal}: {why}"))
}

/// Sweeps over and over until two sweeps in a row had nothing to do. Answers the number of sweeps.
pub(crate) fn until_quiet(mut sweep: impl FnMut() -> Result<bool, String>) -> Result<usize, String> {
    let mut quiet = 0;
    for sweeps in 1..=SWEEPS_MAX {
        quiet = if sweep()? { 0 } else { quiet + 1 };
        if quiet == 2 {
            return Ok(sweeps);
        }
        std::thread::sleep(SWEEP_INTERVAL);
    }
    Err(format!("after {SWEEPS_MAX} sweeps it had not taken effect on all processes"))
}

/// Sends a signal; fine if the process has died.
fn send(pid: i32, signal: Signal) -> Result<(), String> {
    match kill(Pid::from_raw(pid), signal) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(e) => Err(format!("cannot send {signal} to process {pid}: {e}")),
    }
}
