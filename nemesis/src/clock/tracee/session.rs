//! A process whose threads stand still, to be looked at, written to, and made to run a little of our code.
//!
//! What the process may not notice: the registers and the signal mask of the thread that ran our code are
//! restored; while it runs, signals wait; a system call out of which the thread was taken goes on, because
//! its number and its result (`-ERESTART…`) are among the registers. When the session ends, all threads
//! go on. What was stopped by a signal before is stopped again then, by the kernel.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc;

use super::Trouble;
use super::sys::{self, Registers, Request, Stop, trace};

/// The longest wait for a thread to stop. One that waits for a disk, or for a child between `vfork` and
/// `exec`, may take long.
const STOP_TIMEOUT: Duration = Duration::from_secs(1);
/// The longest that a bit of our code may take.
const STAND_TIMEOUT: Duration = Duration::from_secs(60);
/// The longest that it may run.
const RUN_TIMEOUT: Duration = Duration::from_millis(300);
/// Signals that the processor raises. To block them would make the kernel forget the process's handlers.
const SYNCHRONOUS: [i32; 5] = [libc::SIGTRAP, libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE];
/// In `eflags`: string instructions count downwards. Functions expect that they do not.
const DIRECTION: u64 = 1 << 10;

pub(super) struct Session {
    threads: Vec<i32>,
    memory: File,
    /// Threads that were about to be stopped by `SIGSTOP` while they ran our code.
    to_be_stopped: BTreeSet<i32>,
}

impl Session {
    /// Stops every thread of the process. Must end in the thread in which it began.
    pub(super) fn all(pid: i32) -> Result<Self, Trouble> {
        let mut session = Session::new(pid)?;
        let mut known = BTreeSet::new();
        // Threads that run may start others, until all stand.
        loop {
            let fresh: Vec<i32> = threads(pid)?.into_iter().filter(|tid| !known.contains(tid)).collect();
            if fresh.is_empty() {
                break;
            }
            let seized =
                fresh.iter().filter_map(|&tid| seize(tid).transpose()).collect::<Result<Vec<i32>, _>>()?;
            for tid in seized {
                session.settle(tid)?;
            }
            known.extend(fresh);
        }
        if session.threads.is_empty() { Err(Trouble::Gone) } else { Ok(session) }
    }

    /// Stops one thread of the process, one that sleeps in a system call if there is any: where such a thread
    /// stands is known, so it is not in the middle of anything that must not be interrupted.
    pub(super) fn one(pid: i32) -> Result<Self, Trouble> {
        let mut session = Session::new(pid)?;
        let (sleeping, others): (Vec<i32>, Vec<i32>) =
            threads(pid)?.into_iter().partition(|&tid| state(pid, tid) == Some('S'));
        for tid in sleeping.into_iter().chain(others) {
            if let Some(tid) = seize(tid)? {
                session.settle(tid)?;
            }
            if !session.threads.is_empty() {
                return Ok(session);
            }
        }
        Err(Trouble::Gone)
    }

    fn new(pid: i32) -> Result<Self, Trouble> {
        let memory = OpenOptions::new().read(true).write(true).open(format!("/proc/{pid}/mem"));
        Ok(Session {
            threads: Vec::new(),
            memory: memory.map_err(Trouble::from)?,
            to_be_stopped: BTreeSet::new(),
        })
    }

    /// Waits until a seized thread stands because it was interrupted. What it takes before are signals.
    fn settle(&mut self, tid: i32) -> Result<(), Trouble> {
        let deadline = Instant::now() + STOP_TIMEOUT;
        loop {
            match sys::wait(tid, deadline) {
                Ok(Some(Stop::Event)) => {
                    self.threads.push(tid);
                    return Ok(());
                }
                Ok(Some(Stop::Signal(signal))) => match trace(Request::Continue, tid, signal as usize) {
                    Ok(()) => {}
                    Err(Errno::ESRCH) => return Ok(()),
                    Err(e) => return Err(e.into()),
                },
                Ok(None) if matches!(state_of(tid), None | Some('Z' | 'X')) => return Ok(()),
                Ok(None) => {
                    return Err(Trouble::Failed(format!(
                        "its thread {tid} did not stop within {STOP_TIMEOUT:?}"
                    )));
                }
                Err(Trouble::Gone) => return Ok(()),
                Err(e) => return Err(e),
            }
        }
    }

    /// The threads that stand.
    pub(super) fn threads(&self) -> &[i32] {
        &self.threads
    }

    /// The thread that is to run our code: one in a system call if there is any.
    pub(super) fn worker(&self) -> Result<i32, Trouble> {
        let in_call =
            |tid: &&i32| sys::registers(**tid).is_ok_and(|registers| registers.orig_rax as i64 >= 0);
        let worker = self.threads.iter().find(in_call).or_else(|| self.threads.first());
        worker.copied().ok_or(Trouble::Gone)
    }

    pub(super) fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), Trouble> {
        self.memory.read_exact_at(bytes, address).map_err(Trouble::from)
    }

    /// Writes, whatever the protection of the memory is.
    pub(super) fn write(&self, address: u64, bytes: &[u8]) -> Result<(), Trouble> {
        match self.memory.write_all_at(bytes, address) {
            Ok(()) => Ok(()),
            // Some kernels forbid this way of forcing a write, but not the other.
            Err(_) => Ok(sys::poke(self.worker()?, address, bytes)?),
        }
    }

    /// Makes a thread do a system call, by the instruction at `syscall`.
    pub(super) fn call(
        &mut self,
        tid: i32,
        syscall: u64,
        number: i64,
        args: [u64; 6],
    ) -> Result<u64, Trouble> {
        let mut registers = sys::registers(tid)?;
        registers.rip = syscall;
        registers.rax = number as u64;
        [registers.rdi, registers.rsi, registers.rdx, registers.r10, registers.r8, registers.r9] = args;
        let result = self.run(tid, &registers, Request::Step)?.rax as i64;
        if (-4095..0).contains(&result) {
            return Err(Errno::from_raw(-result as i32).into());
        }
        Ok(result as u64)
    }

    /// Makes a thread run code up to its breakpoint, with these two registers and this stack. Answers the
    /// registers in the end.
    pub(super) fn execute(
        &mut self,
        tid: i32,
        code: u64,
        stack: u64,
        rbx: u64,
        r12: u64,
    ) -> Result<Registers, Trouble> {
        let mut registers = sys::registers(tid)?;
        (registers.rip, registers.rsp, registers.rbx, registers.r12) = (code, stack, rbx, r12);
        registers.eflags &= !DIRECTION;
        self.run(tid, &registers, Request::Continue)
    }

    /// Single-steps a thread while it stands where `inside` says.
    pub(super) fn step_out(&mut self, tid: i32, inside: impl Fn(u64) -> bool) -> Result<(), Trouble> {
        const STEPS_MAX: usize = 32;
        for _ in 0..STEPS_MAX {
            if !inside(sys::registers(tid)?.rip) {
                return Ok(());
            }
            let mask = block_signals(tid)?;
            let stepped = self.until_trap(tid, Request::Step);
            sys::set_mask(tid, mask)?;
            stepped?;
        }
        Err(Trouble::Failed(format!("its thread {tid} did not leave the beginning of a function")))
    }

    /// Runs a thread from these registers on until it traps; then it is as it was before.
    fn run(&mut self, tid: i32, from: &Registers, how: Request) -> Result<Registers, Trouble> {
        let before = sys::registers(tid)?;
        let mask = block_signals(tid)?;
        // Not in a system call that would have to be restarted.
        let set = sys::set_registers(tid, &Registers { orig_rax: u64::MAX, ..*from }).map_err(Trouble::from);
        let after = set.and_then(|()| self.until_trap(tid, how)).and_then(|()| Ok(sys::registers(tid)?));
        let restored = sys::set_registers(tid, &before);
        sys::set_mask(tid, mask)?;
        restored?;
        after
    }

    fn until_trap(&mut self, tid: i32, how: Request) -> Result<(), Trouble> {
        let deadline = Instant::now() + RUN_TIMEOUT;
        trace(how, tid, 0)?;
        loop {
            match sys::wait(tid, deadline)? {
                Some(Stop::Signal(libc::SIGTRAP)) => return Ok(()),
                // Together with SIGKILL the only one that cannot be blocked.
                Some(Stop::Signal(libc::SIGSTOP)) => _ = self.to_be_stopped.insert(tid),
                Some(Stop::Signal(signal)) => {
                    return Err(Trouble::Failed(format!(
                        "the code put into it was ended by signal {signal}"
                    )));
                }
                Some(Stop::Event) => {}
                None => {
                    self.stop_for_sure(tid)?;
                    return Err(Trouble::Failed(format!("the code put into it took over {RUN_TIMEOUT:?}")));
                }
            }
            trace(how, tid, 0)?;
        }
    }

    /// Waits until a thread that runs code of ours stands. It must not be let go before it has its own
    /// registers back: on a machine short of processors that may take a while.
    fn stop_for_sure(&self, tid: i32) -> Result<(), Trouble> {
        let give_up = Instant::now() + STAND_TIMEOUT;
        while Instant::now() < give_up {
            _ = trace(Request::Interrupt, tid, 0);
            if sys::wait(tid, Instant::now() + STOP_TIMEOUT)?.is_some() {
                return Ok(());
            }
        }
        Err(Trouble::Failed(format!("its thread {tid} did not stop within {STAND_TIMEOUT:?}")))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        for &tid in &self.threads {
            let signal = if self.to_be_stopped.contains(&tid) { libc::SIGSTOP } else { 0 };
            // One that is gone needs nothing.
            _ = trace(Request::Detach, tid, signal as usize);
        }
    }
}

fn block_signals(tid: i32) -> Result<u64, Trouble> {
    let mask = sys::mask(tid)?;
    let open = SYNCHRONOUS.iter().fold(0_u64, |open, signal| open | 1 << (signal - 1));
    sys::set_mask(tid, !open)?;
    Ok(mask)
}

/// Begins to trace a thread and asks it to stop; `None` if it is gone.
fn seize(tid: i32) -> Result<Option<i32>, Trouble> {
    let seized = trace(Request::Seize, tid, 0).and_then(|()| trace(Request::Interrupt, tid, 0));
    match seized {
        Ok(()) => Ok(Some(tid)),
        Err(Errno::ESRCH) => Ok(None),
        Err(Errno::EPERM) if matches!(state_of(tid), None | Some('Z' | 'X')) => Ok(None),
        Err(e) => Err(Trouble::Failed(format!("its thread {tid} cannot be traced: {e}"))),
    }
}

fn threads(pid: i32) -> Result<Vec<i32>, Trouble> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).map_err(Trouble::from)?;
    Ok(tasks.filter_map(|task| task.ok()?.file_name().to_str()?.parse().ok()).collect())
}

/// The state of a thread, by the letters of proc_pid_stat(5).
fn state(pid: i32, tid: i32) -> Option<char> {
    let stat = std::fs::read(format!("/proc/{pid}/task/{tid}/stat")).ok()?;
    String::from_utf8_lossy(&stat).rsplit_once(')')?.1.trim_start().chars().next()
}

fn state_of(tid: i32) -> Option<char> {
    // Threads are found under /proc by their own number as well.
    state(tid, tid)
}
