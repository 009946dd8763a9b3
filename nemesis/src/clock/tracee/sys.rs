//! The system calls behind the tracing of a process. Source: ptrace(2), waitpid(2).

use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc::{self, c_int};

use super::Trouble;

pub(super) type Registers = libc::user_regs_struct;

/// Of the missing constants of libc.
const PTRACE_GETSIGMASK: i32 = 0x420a;
const PTRACE_SETSIGMASK: i32 = 0x420b;
/// The size of the kernel's signal mask, in bytes.
const MASK_BYTES: usize = 8;
/// The event of a thread that stopped because it was interrupted, or with its process.
const EVENT_STOP: c_int = 128;
/// So long a stop is awaited with the processor: most come at once.
const SPIN: Duration = Duration::from_millis(1);
const POLL: Duration = Duration::from_micros(50);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Request {
    Seize,
    Interrupt,
    Continue,
    Step,
    Detach,
}

/// Why a traced thread stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// It was interrupted, or its process is stopped.
    Event,
    /// It is about to take a signal.
    Signal(c_int),
}

/// A request whose last argument is a number: a signal to be taken, or options.
pub(super) fn trace(request: Request, tid: i32, data: usize) -> Result<(), Errno> {
    let number = match request {
        Request::Seize => libc::PTRACE_SEIZE,
        Request::Interrupt => libc::PTRACE_INTERRUPT,
        Request::Continue => libc::PTRACE_CONT,
        Request::Step => libc::PTRACE_SINGLESTEP,
        Request::Detach => libc::PTRACE_DETACH,
    };
    // SAFETY: none of these requests takes an address in this process.
    Errno::result(unsafe { libc::ptrace(number as _, tid, 0_usize, data) }).map(drop)
}

pub(super) fn registers(tid: i32) -> Result<Registers, Errno> {
    // SAFETY: they are plain numbers, for which zero is a value.
    let mut registers: Registers = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes one such structure there.
    Errno::result(unsafe { libc::ptrace(libc::PTRACE_GETREGS as _, tid, 0_usize, &raw mut registers) })?;
    Ok(registers)
}

pub(super) fn set_registers(tid: i32, registers: &Registers) -> Result<(), Errno> {
    // SAFETY: the kernel reads one such structure from there.
    Errno::result(unsafe { libc::ptrace(libc::PTRACE_SETREGS as _, tid, 0_usize, &raw const *registers) })
        .map(drop)
}

/// The signals that the thread has blocked, as bits.
pub(super) fn mask(tid: i32) -> Result<u64, Errno> {
    let mut mask = 0_u64;
    // SAFETY: the kernel writes so many bytes there.
    Errno::result(unsafe { libc::ptrace(PTRACE_GETSIGMASK as _, tid, MASK_BYTES, &raw mut mask) })?;
    Ok(mask)
}

pub(super) fn set_mask(tid: i32, mask: u64) -> Result<(), Errno> {
    // SAFETY: the kernel reads so many bytes from there.
    Errno::result(unsafe { libc::ptrace(PTRACE_SETSIGMASK as _, tid, MASK_BYTES, &raw const mask) }).map(drop)
}

/// Writes into the memory of a stopped thread in whole words, for kernels that allow it in no other way.
pub(super) fn poke(tid: i32, address: u64, bytes: &[u8]) -> Result<(), Errno> {
    for (at, chunk) in (address..).step_by(8).zip(bytes.chunks(8)) {
        let mut word = [0_u8; 8];
        if chunk.len() < 8 {
            Errno::clear();
            // SAFETY: reads from the other process; the answer is a value, also if it is -1 without an error.
            let read = unsafe { libc::ptrace(libc::PTRACE_PEEKDATA as _, tid, at as usize, 0_usize) };
            if read == -1 && Errno::last_raw() != 0 {
                return Err(Errno::last());
            }
            word = read.to_ne_bytes();
        }
        word[..chunk.len()].copy_from_slice(chunk);
        let word = usize::from_ne_bytes(word);
        // SAFETY: writes into the other process only.
        Errno::result(unsafe { libc::ptrace(libc::PTRACE_POKEDATA as _, tid, at as usize, word) })?;
    }
    Ok(())
}

/// Waits until the thread stands. `None`: it did not until the deadline.
///
/// # Errors
/// [`Trouble::Gone`] if it has ended.
pub(super) fn wait(tid: i32, deadline: Instant) -> Result<Option<Stop>, Trouble> {
    let start = Instant::now();
    loop {
        let mut status = 0;
        // SAFETY: the kernel writes the status there.
        let waited = unsafe { libc::waitpid(tid, &raw mut status, libc::__WALL | libc::WNOHANG) };
        match Errno::result(waited) {
            Ok(0) => {}
            Ok(_) if !libc::WIFSTOPPED(status) => return Err(Trouble::Gone),
            Ok(_) if status >> 16 == EVENT_STOP => return Ok(Some(Stop::Event)),
            Ok(_) => return Ok(Some(Stop::Signal(libc::WSTOPSIG(status)))),
            Err(Errno::EINTR) => continue,
            // It is not, or no longer, our tracee.
            Err(_) => return Err(Trouble::Gone),
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        if start.elapsed() < SPIN { std::thread::yield_now() } else { std::thread::sleep(POLL) }
    }
}
