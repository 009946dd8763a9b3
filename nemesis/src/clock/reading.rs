//! What a clock shows: the harness's own, and that of a process as it was read inside it.

pub(super) use nix::time::ClockId;
use serde_json::{Value, json};

/// What the harness's own clock shows, in nanoseconds.
pub(super) fn now_ns(clock: ClockId) -> i64 {
    // Neither of the two clocks used can fail (clock_gettime(2)).
    clock.now().map_or(0, |time| time.tv_sec() * 1_000_000_000 + time.tv_nsec())
}

/// How far a clock of a process was off at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Off {
    /// The true time then.
    pub(super) at_ns: i64,
    pub(super) offset_ns: i64,
    /// So far the offset may be from what was measured.
    pub(super) error_ns: i64,
}

impl Off {
    /// From a reading between two true ones.
    #[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "nothing can be read there"))]
    pub(super) fn between(before_ns: i64, shown_ns: i64, after_ns: i64) -> Self {
        let at_ns = before_ns + (after_ns - before_ns) / 2;
        Off { at_ns, offset_ns: shown_ns - at_ns, error_ns: (after_ns - before_ns) / 2 + 1 }
    }

    /// Whether it may have been off by so much.
    pub(super) fn may_be(&self, offset_ns: i64) -> bool {
        (self.offset_ns - offset_ns).abs() <= 2 * self.error_ns + TOLERANCE_NS
    }
}

/// The arithmetic in the process and in here round differently. That a rate acts during the error as well is
/// why that counts twice.
const TOLERANCE_NS: i64 = 1_000;

/// Both clocks of a process at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) realtime: Off,
    pub(super) monotonic: Off,
}

impl Reading {
    pub(super) fn to_json(self) -> Value {
        json!({
            "offset_us": self.realtime.offset_ns / 1_000,
            "error_us": (self.realtime.error_ns + 999) / 1_000,
            "monotonic_offset_us": self.monotonic.offset_ns / 1_000,
        })
    }
}
