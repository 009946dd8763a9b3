//! Traps: a node dies exactly at its n-th call of a kind, before the call takes effect.
//!
//! The handler kills the node and holds the call back until the caller is sure to die, so that it never
//! sees an answer: a thread that waits for a file system takes no signal until it is answered.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::rules::is_about;
use super::{Call, Sprung, Trap};

/// The longest that a call is held back for its caller to be killed.
const DOOM_TIMEOUT: Duration = Duration::from_secs(1);
const DOOM_POLL: Duration = Duration::from_micros(100);
/// `SIGKILL` in the signal masks of `/proc/P/status`.
const SIGKILL_BIT: u64 = 1 << (nix::libc::SIGKILL - 1);

/// The traps of one disk.
#[derive(Debug, Default)]
pub(super) struct Traps {
    any: AtomicBool,
    armed: Mutex<Vec<Arc<Spring>>>,
}

pub(super) struct Spring {
    trap: Trap,
    state: Mutex<State>,
    sprung: Condvar,
}

#[derive(Debug, Default)]
struct State {
    count: u64,
    sprung: Option<Sprung>,
}

impl Spring {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts the call if it is one of the trap's; true for the one it is meant for.
    fn counts(&self, call: Call, names: &[PathBuf]) -> bool {
        if call != self.trap.call || !is_about(self.trap.path.as_deref(), names) {
            return false;
        }
        let mut state = self.state();
        state.count += 1;
        state.count == self.trap.nth
    }

    fn spring(&self, call: Call, names: &[PathBuf]) {
        (self.trap.kill)();
        let path = names.first().map(|name| name.display().to_string()).unwrap_or_default();
        let mut state = self.state();
        state.sprung = Some(Sprung { call, path, count: state.count });
        self.sprung.notify_all();
    }

    /// Waits until it has sprung.
    pub(super) fn wait(&self, timeout: Duration) -> Option<Sprung> {
        let state = self.state();
        let waited = self.sprung.wait_timeout_while(state, timeout, |state| state.sprung.is_none());
        waited.unwrap_or_else(PoisonError::into_inner).0.sprung.clone()
    }
}

impl std::fmt::Debug for Spring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spring").field("call", &self.trap.call).field("nth", &self.trap.nth).finish()
    }
}

impl Traps {
    fn armed(&self) -> MutexGuard<'_, Vec<Arc<Spring>>> {
        self.armed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn arm(&self, trap: Trap) -> Arc<Spring> {
        let spring = Arc::new(Spring { trap, state: Mutex::default(), sprung: Condvar::new() });
        let mut armed = self.armed();
        armed.push(Arc::clone(&spring));
        self.any.store(true, Ordering::Release);
        spring
    }

    pub(super) fn disarm(&self, spring: &Arc<Spring>) {
        let mut armed = self.armed();
        armed.retain(|other| !Arc::ptr_eq(other, spring));
        self.any.store(!armed.is_empty(), Ordering::Release);
    }

    /// Whether there are none.
    pub(super) fn none(&self) -> bool {
        !self.any.load(Ordering::Acquire)
    }

    /// Counts a call, and kills if it is the one. Then the call must fail.
    pub(super) fn step_on(&self, call: Call, names: &[PathBuf], pid: u32) -> bool {
        if self.none() {
            return false;
        }
        let mut springs = self.armed().clone();
        springs.retain(|spring| spring.counts(call, names));
        for spring in &springs {
            spring.spring(call, names);
        }
        if !springs.is_empty() {
            let deadline = Instant::now() + DOOM_TIMEOUT;
            while !is_doomed(pid) && Instant::now() < deadline {
                std::thread::sleep(DOOM_POLL);
            }
        }
        !springs.is_empty()
    }
}

/// Whether the process or thread has been killed, or is gone. `pid` 0 is the kernel itself.
pub(super) fn is_doomed(pid: u32) -> bool {
    if pid == 0 {
        return false;
    }
    // Fails for one that is gone.
    let Ok(status) = std::fs::read(format!("/proc/{pid}/status")) else { return true };
    let status = String::from_utf8_lossy(&status);
    status.lines().any(|line| {
        let mask = line.strip_prefix("SigPnd:").or_else(|| line.strip_prefix("ShdPnd:"));
        let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
        mask.is_some_and(|mask| mask & SIGKILL_BIT != 0)
    })
}
