//! Checkers: judges of a history.

use crate::{Finding, History, Operation};

/// A judge. It sees the history and nothing else: no cluster, no clock, no files.
pub trait Checker: Send + Sync {
    /// Its name, e.g. `linearizable(register)`.
    fn name(&self) -> String;

    /// Judges. A history the checker cannot read is `Unknown` with the reason, never `Valid`, and a
    /// checker does not panic.
    fn check(&self, history: &History) -> Finding;

    /// For checkers that look at clients' operations only: judges them as they are read from a file, one
    /// after another, remembering no more than it must. `None` if the whole history is needed.
    fn intake(&self) -> Option<Box<dyn Intake + '_>> {
        None
    }
}

/// A checker at work on a history that is read operation by operation.
pub trait Intake {
    /// Looks at one operation, completed or open. They come in any order; what of it must be kept is copied.
    fn take(&mut self, op: &Operation<'_>);

    /// Judges what was taken. Anything that could not be read makes the finding `Unknown`.
    fn finish(self: Box<Self>) -> Finding;
}

/// Shows a whole history to an intake: how a checker that has one implements [`Checker::check`].
pub fn check_operations(name: String, mut intake: Box<dyn Intake + '_>, history: &History) -> Finding {
    match history.operations() {
        Ok(operations) => operations.iter().for_each(|op| intake.take(op)),
        Err(e) => return Finding::new(name, crate::Verdict::Unknown, e.to_string()),
    }
    intake.finish()
}
