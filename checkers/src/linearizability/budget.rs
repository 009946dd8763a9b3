//! What judging may use, and who keeps count.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

/// What one check may use. A search that runs out of it ends in `Unknown`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// The time for judging, over all keys.
    pub time_ms: u64,
    /// The memory for searches, over all keys judged at once.
    pub memory_bytes: usize,
    /// The time, on top, for shrinking violations to a core.
    pub shrink_ms: u64,
}

impl Default for Budget {
    fn default() -> Self {
        Budget { time_ms: 60_000, memory_bytes: 1 << 30, shrink_ms: 2_000 }
    }
}

/// Why a search stopped without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    Time,
    Memory,
    Configurations,
    /// Its answer is no longer wanted.
    Beaten,
}

impl Stop {
    pub(super) fn words(self) -> &'static str {
        match self {
            Stop::Time => "out of time",
            Stop::Memory => "out of memory budget",
            Stop::Configurations => "out of configurations",
            Stop::Beaten => "no longer needed",
        }
    }
}

/// What the searches for one object share.
#[derive(Clone, Copy)]
pub(super) struct Limits<'a> {
    pub(super) deadline: Option<Instant>,
    pub(super) memory_bytes: usize,
    /// How many configurations one search may explore.
    pub(super) configurations: u64,
    /// Whether nobody waits for the answer any more.
    pub(super) unwanted: &'a (dyn Fn() -> bool + Sync),
}

impl Limits<'_> {
    pub(super) fn out_of_time(&self) -> bool {
        self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }
}

/// The memory that the searches for one object hold together, and whether one of them has the answer.
#[derive(Default)]
pub(super) struct Pot {
    held: AtomicUsize,
    runners: AtomicUsize,
    pub(super) won: AtomicBool,
}

/// How many configurations are explored between two looks at the clock.
const CLOCK_EVERY: u64 = 256;

/// Keeps count for one search. What it holds is given back when it is dropped.
pub(super) struct Meter<'a> {
    limits: &'a Limits<'a>,
    pot: &'a Pot,
    pub(super) explored: u64,
    held: usize,
    /// It leaves at least half of the memory to the other search, as long as there is one.
    modest: bool,
}

impl<'a> Meter<'a> {
    pub(super) fn new(limits: &'a Limits<'a>, pot: &'a Pot, modest: bool) -> Self {
        pot.runners.fetch_add(1, Ordering::Relaxed);
        Meter { limits, pot, explored: 0, held: 0, modest }
    }

    /// Counts one configuration, the search holding so many `bytes` now; an error once too much is used.
    pub(super) fn spend(&mut self, bytes: usize) -> Result<(), Stop> {
        self.explored += 1;
        let much = bytes > self.held + self.limits.memory_bytes / 64;
        if much || self.explored % CLOCK_EVERY == 1 { self.look(bytes) } else { Ok(()) }
    }

    /// Compares with all limits.
    pub(super) fn look(&mut self, bytes: usize) -> Result<(), Stop> {
        let all = if bytes >= self.held {
            self.pot.held.fetch_add(bytes - self.held, Ordering::Relaxed) + (bytes - self.held)
        } else {
            self.pot.held.fetch_sub(self.held - bytes, Ordering::Relaxed) - (self.held - bytes)
        };
        self.held = bytes;
        let limit = self.limits.memory_bytes;
        let alone = self.pot.runners.load(Ordering::Relaxed) < 2;
        // Where two searches run, the modest one gives way.
        let too_much = match (alone, self.modest) {
            (true, _) => all > limit,
            (false, true) => all > limit || bytes > limit / 2,
            (false, false) => all > limit && bytes > limit / 2,
        };
        if self.pot.won.load(Ordering::Relaxed) || (self.limits.unwanted)() {
            Err(Stop::Beaten)
        } else if too_much {
            Err(Stop::Memory)
        } else if self.limits.out_of_time() {
            Err(Stop::Time)
        } else if self.explored > self.limits.configurations {
            Err(Stop::Configurations)
        } else {
            Ok(())
        }
    }
}

impl Drop for Meter<'_> {
    fn drop(&mut self) {
        self.pot.held.fetch_sub(self.held, Ordering::Relaxed);
        self.pot.runners.fetch_sub(1, Ordering::Relaxed);
    }
}
