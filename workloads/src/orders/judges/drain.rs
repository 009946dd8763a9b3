//! What can no longer wait in the buffer: when no event has been sent for long enough, all that is not stamped too far ahead.

use ordeal_core::Operation;

use super::marks::{Marks, NS_PER_MS};
use super::observed::Observed;

/// How many windows, and milliseconds at least, nothing may be sent.
const QUIET_WINDOWS: u64 = 6;
const QUIET_MS_MIN: u64 = 3_000;
/// How many windows ahead of the agreed time an event may be stamped that still waits then.
const AHEAD_WINDOWS: u64 = 3;

/// What follows from the window that nodes declare.
pub(super) struct Drain {
    marks: Marks,
    window_ms: u64,
    /// When the last event had been sent and the nodes had reached each other, in nanoseconds.
    quiet_from_ns: u64,
}

impl Drain {
    /// `None` if no node declared its window.
    pub(super) fn of(observed: &Observed<'_>) -> Option<Self> {
        let window_ms = observed.window_ms()?;
        Some(Drain { marks: Marks::of(observed), window_ms, quiet_from_ns: observed.quiet_from_ns() })
    }

    /// All that was accepted and is stamped before this moment has been processed when the operation begins. `None` if
    /// anything may wait: it was not quiet for long enough, or there may be no agreed time.
    pub(super) fn until(&self, op: &Operation<'_>) -> Option<u64> {
        let quiet_ns = op.invoke.time.saturating_sub(self.quiet_from_ns);
        let needed_ms = QUIET_MS_MIN.max(self.window_ms.saturating_mul(QUIET_WINDOWS));
        let agreed = self.marks.agreed(op.invoke.time).filter(|_| quiet_ns / NS_PER_MS >= needed_ms)?;
        Some(agreed.saturating_add(self.window_ms.saturating_mul(AHEAD_WINDOWS)))
    }
}
