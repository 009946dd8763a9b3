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
mod monitors;
mod phases;
mod recovery;
mod set_durability;
mod stats;
#[cfg(test)]
mod testing;
pub mod verify;
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

/// How to judge, as far as a person may say.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// What a search may use.
    pub budget: Budget,
    /// Judge every key, also after a violation was found.
    pub all: bool,
    /// The state before anything happened, where the model has several to choose from.
    pub initial: Option<serde_json::Value>,
}

/// A way to judge a history file, chosen by name.
#[derive(Clone, Copy, Debug)]
pub struct JudgeEntry {
    /// Its name and what it judges.
    pub about: About,
    /// Other names by which it is known elsewhere.
    pub aliases: &'static [&'static str],
    /// Makes the judge, over operations with their usual names.
    pub judge: fn(&Options) -> Box<dyn Checker>,
}

/// The sequential specifications against which linearizability is judged.
pub const MODELS: &[JudgeEntry] = &[
    JudgeEntry {
        about: models::register::ABOUT,
        aliases: &["cas-register", "cas"],
        judge: |options| Box::new(Linearizable::new(Register::default()).with_options(options)),
    },
    JudgeEntry {
        about: models::versioned_register::ABOUT,
        aliases: &[],
        judge: |options| Box::new(Linearizable::new(VersionedRegister::default()).with_options(options)),
    },
    JudgeEntry {
        about: models::grow_set::ABOUT,
        aliases: &[],
        judge: |options| Box::new(Linearizable::new(GrowSet::default()).with_options(options)),
    },
];

/// Judges of other promises that a history file can be shown to.
pub const JUDGES: &[JudgeEntry] = &[];

/// The judge of this name, among [`MODELS`] and [`JUDGES`].
pub fn judge_named(name: &str) -> Option<&'static JudgeEntry> {
    let mut entries = MODELS.iter().chain(JUDGES);
    entries.find(|entry| entry.about.name == name || entry.aliases.contains(&name))
}
