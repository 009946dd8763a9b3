//! Checkers: judges of a history.

use crate::{Finding, History};

/// A judge. It sees the history and nothing else: no cluster, no clock, no files.
pub trait Checker: Send + Sync {
    /// Its name, e.g. `linearizable(register)`.
    fn name(&self) -> String;

    /// Judges. A history the checker cannot read is `Unknown` with the reason, never `Valid`, and a
    /// checker does not panic.
    fn check(&self, history: &History) -> Finding;
}
