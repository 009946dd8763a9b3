//! What a person may watch while a run goes on.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use ordeal_core::EventKind;

use crate::Phase;

/// Counters and states of a run in progress, shared with whoever shows them.
#[derive(Debug, Default)]
pub struct Progress {
    ok: AtomicU64,
    fail: AtomicU64,
    info: AtomicU64,
    phase: Mutex<Option<Phase>>,
    faults: Mutex<BTreeMap<&'static str, String>>,
}

/// How many operations have ended, and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Took effect.
    pub ok: u64,
    /// Certainly did not.
    pub fail: u64,
    /// Unknown.
    pub info: u64,
}

impl Progress {
    pub(crate) fn ended(&self, kind: EventKind) {
        let counter = match kind {
            EventKind::Ok => &self.ok,
            EventKind::Fail => &self.fail,
            EventKind::Info => &self.info,
            EventKind::Invoke => return,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn enter(&self, phase: Phase) {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner) = Some(phase);
    }

    pub(crate) fn fault(&self, fault: &'static str, installed: Option<String>) {
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        match installed {
            Some(what) => faults.insert(fault, what),
            None => faults.remove(fault),
        };
    }

    /// The operations so far.
    pub fn totals(&self) -> Totals {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Totals { ok: read(&self.ok), fail: read(&self.fail), info: read(&self.info) }
    }

    /// The phase; `None` before the first.
    pub fn phase(&self) -> Option<Phase> {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The faults in force now, by name, with what each did.
    pub fn faults(&self) -> Vec<(&'static str, String)> {
        let faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        faults.iter().map(|(name, what)| (*name, what.clone())).collect()
    }
}
