//! The judges of `inventory` that no other workload has use for.

mod availability;
mod conflicts;
mod levels;
mod sessions;
mod updates;

pub(super) use availability::Availability;
pub(super) use conflicts::Conflicts;
pub(super) use levels::Levels;
pub(super) use sessions::Sessions;

#[cfg(test)]
mod tests;
