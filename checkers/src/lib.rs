//! Judges of histories.
//!
//! Every checker sees a [`History`](ordeal_core::History) and nothing else, and answers with a
//! [`Finding`](ordeal_core::Finding). Three rules hold for all of them:
//!
//! - what cannot be read or decided is `Unknown`, what taught nothing is `Vacuous`; neither ever passes
//!   for `Valid`, and neither hides a violation found elsewhere;
//! - an anomaly cites the indices of the events at fault and says in words what to look at;
//! - the same history gets the same finding, except that a time budget may end a search early.
//!
//! One file a checker. [`CHECKERS`] is the registry that lists and help read.

use ordeal_core::Checker;

mod convergence;
mod crashes;
mod faults;
pub mod linearizability;
pub mod models;
mod phases;
mod recovery;
mod set_durability;
mod stats;
mod words;

pub use convergence::Convergence;
pub use crashes::{Crashes, panics_in_log};
pub use faults::Faults;
pub use linearizability::{Budget, Linearizable};
pub use models::{GrowSet, Register, VersionedRegister};
pub use recovery::Recovery;
pub use set_durability::SetDurability;
pub use stats::Stats;

/// A checker as lists and help show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct About {
    /// Its name.
    pub name: &'static str,
    /// What it judges, in one line.
    pub about: &'static str,
}

/// All checkers.
pub const CHECKERS: &[About] = &[
    linearizability::ABOUT,
    set_durability::ABOUT,
    convergence::ABOUT,
    faults::ABOUT,
    crashes::ABOUT,
    recovery::ABOUT,
    stats::ABOUT,
];

/// A sequential specification in the registry.
#[derive(Clone, Copy, Debug)]
pub struct ModelEntry {
    /// Its name and what it specifies.
    pub about: About,
    /// Makes `linearizable(NAME)` over operations with the model's usual names.
    pub judge: fn() -> Box<dyn Checker>,
}

/// The sequential specifications that come with the crate.
pub const MODELS: &[ModelEntry] = &[
    ModelEntry { about: models::register::ABOUT, judge: || Box::new(Linearizable::new(Register::default())) },
    ModelEntry {
        about: models::versioned_register::ABOUT,
        judge: || Box::new(Linearizable::new(VersionedRegister::default())),
    },
    ModelEntry { about: models::grow_set::ABOUT, judge: || Box::new(Linearizable::new(GrowSet::default())) },
];

/// A judge of linearizability against the model of this name.
pub fn model_checker(name: &str) -> Option<Box<dyn Checker>> {
    let entry = MODELS.iter().find(|entry| entry.about.name == name)?;
    Some((entry.judge)())
}
