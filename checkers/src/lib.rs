//! Judges of histories.
//!
//! Every checker sees a [`History`](ordeal_core::History) and nothing else, and answers with a
//! [`Finding`](ordeal_core::Finding). Three rules hold for all of them:
//!
//! - what cannot be read or decided is `Unknown`, what taught nothing is `Vacuous`; neither ever passes
//!   for `Valid`, and neither hides a violation found elsewhere;
//! - an anomaly cites the indices of the events at fault and says in words what to look at;
//! - the same history gets the same verdict, except that a budget may end a search early. Which of several
//!   violations is found first may differ, for keys are judged at once.
//!
//! One file a checker. [`CHECKERS`] is the list of them, [`MODELS`] and [`JUDGES`] are what a history file
//! can be shown to by name.

mod convergence;
mod counter_bounds;
mod crashes;
mod faults;
pub mod linearizability;
mod lock_exclusivity;
mod log_prefix;
pub mod models;
mod monitors;
mod phases;
mod recall;
mod recovery;
mod registry;
mod set_durability;
mod set_full;
mod staleness;
mod stats;
#[cfg(test)]
mod testing;
mod total_queue;
pub mod transactions;
mod unique_ids;
pub mod verify;
mod words;

pub use convergence::Convergence;
pub use counter_bounds::CounterBounds;
pub use crashes::{Crashes, panics_in_log};
pub use faults::Faults;
pub use linearizability::{Budget, Linearizable};
pub use lock_exclusivity::LockExclusivity;
pub use log_prefix::LogPrefix;
pub use models::{
    AppendList, Claim, Counter, FencedLock, GrowSet, KeyValue, Ledger, Lock, Machine, MultiRegister,
    PriorityQueue, Queue, Register, Set, Stack, Trade, UnorderedQueue, VersionedRegister,
};
pub use phases::{FINAL_READS, Phases};
pub use recovery::Recovery;
pub use registry::{CHECKERS, Choice, JUDGES, JudgeEntry, MODELS, Made, Options, judge_named};
pub use set_durability::SetDurability;
pub use set_full::SetFull;
pub use staleness::Staleness;
pub use stats::Stats;
pub use total_queue::TotalQueue;
pub use transactions::{Bank, Isolation, Level, ListAppend, LongFork, RwRegister, Sessions, WeakIsolation};
pub use unique_ids::UniqueIds;

/// A checker as lists and help show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct About {
    /// Its name.
    pub name: &'static str,
    /// What it judges, in one line.
    pub about: &'static str,
}
