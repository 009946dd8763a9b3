//! Judges of transactions and of sessions.
//!
//! A transaction is an operation `txn` whose value is a list of steps: `["append", key, element]`,
//! `["w", key, value]`, `["r", key, result]`. A plain operation on one object (`read`, `write`, `cas`,
//! `append`) counts as a transaction of one or two steps. What every judge here relies on is that a value
//! says who wrote it: no value is written twice to one key (where one is, and it matters, the verdict is
//! unknown, never valid).
//!
//! - `list_append`: serializability of appends to lists, decided in near-linear time;
//! - `rw_register`: serializability of reads and writes, by a search that learns;
//! - `weak`: read committed, read atomic, causal consistency;
//! - `sessions`: the guarantees of single sessions;
//! - `long_fork` and `bank`: two classical tests.

pub(crate) mod bank;
mod cycles;
mod graph;
pub(crate) mod list_append;
pub(crate) mod long_fork;
mod order;
pub(crate) mod rw_register;
pub(crate) mod sessions;
mod steps;
#[cfg(test)]
mod testing;
pub(crate) mod versions;
pub(crate) mod weak;

pub use bank::Bank;
pub use list_append::ListAppend;
pub use long_fork::LongFork;
pub use rw_register::RwRegister;
pub use sessions::Sessions;
pub use weak::{Isolation, WeakIsolation};

use serde_json::Value;

/// Which orders of the transactions are allowed to explain a history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Any order.
    Serializable,
    /// Orders in which the transactions of each process come one after another.
    StrongSession,
    /// Orders in which what ended before something else began comes before it.
    #[default]
    Strict,
}

impl Level {
    /// All levels, the weakest first.
    pub const ALL: [Level; 3] = [Level::Serializable, Level::StrongSession, Level::Strict];

    /// Its usual name.
    pub fn name(self) -> &'static str {
        match self {
            Level::Serializable => "serializable",
            Level::StrongSession => "strong-session-serializable",
            Level::Strict => "strict-serializable",
        }
    }

    /// The level of this name.
    ///
    /// # Errors
    /// The names there are.
    pub fn named(name: &str) -> Result<Level, String> {
        Level::ALL.into_iter().find(|level| level.name() == name).ok_or_else(|| {
            let known = Level::ALL.map(Level::name).join(", ");
            format!("there is no level `{name}`; there are: {known}")
        })
    }
}

/// The value before anything happened, `null` unless a person says otherwise.
pub(crate) fn initial_value(initial: Option<&Value>) -> crate::models::Atom {
    initial.map_or(crate::models::Atom::NULL, crate::models::Atom::from)
}
