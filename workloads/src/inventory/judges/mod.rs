//! The judges of `inventory` that no other workload has use for.

mod availability;
mod conflicts;
mod levels;
mod sessions;
mod updates;

pub(super) use availability::Availability;
pub(super) use conflicts::Conflicts;
pub(super) use levels::Levels;
use ordeal_checkers::{FINAL_READS, Phases};
use ordeal_core::{History, Operation};
pub(super) use sessions::Sessions;

/// When the reads at the end began, after everything was healed and had settled: time and index.
fn final_reads(history: &History) -> Option<(u64, u64)> {
    Phases::of(history).began(FINAL_READS)
}

/// Whether the operation began after this moment.
fn began_after(op: &Operation<'_>, moment: Option<(u64, u64)>) -> bool {
    moment.is_some_and(|moment| (op.invoke.time, op.index()) > moment)
}

#[cfg(test)]
mod tests;
