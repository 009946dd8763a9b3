//! Checkers: judges of a history.

use crate::{Event, Finding, History, Operation};

/// A judge. It sees the history and nothing else: no cluster, no clock, no files.
pub trait Checker: Send + Sync {
    /// Its name, e.g. `linearizable(register)`.
    fn name(&self) -> String;

    /// Judges. A history the checker cannot read is `Unknown` with the reason, never `Valid`, and a
    /// checker does not panic.
    fn check(&self, history: &History) -> Finding;

    /// Sets how much it may use, for checkers that search. Others need not listen.
    fn limit(&mut self, limits: &Limits) {
        let _ = limits;
    }

    /// For checkers that look at clients' operations, and at the harness's own events at most: judges them as
    /// they are read from a file, one after another, remembering no more than it must. `None` if the whole
    /// history is needed.
    fn intake(&self) -> Option<Box<dyn Intake + '_>> {
        None
    }
}

/// How much a judge may use, as far as a person has said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// The time to judge in.
    pub time_ms: Option<u64>,
    /// The memory to judge in.
    pub memory_bytes: Option<usize>,
    /// Judge everything, also after a violation was found.
    pub all: bool,
}

/// A checker at work on a history that is read operation by operation.
pub trait Intake {
    /// Looks at one operation, completed or open. They come in any order; what of it must be kept is copied.
    fn take(&mut self, op: &Operation<'_>);

    /// Looks at an event that is no client's, e.g. the mark of a phase. It comes before every operation that
    /// was invoked after it in the history.
    fn mark(&mut self, event: &Event) {
        let _ = event;
    }

    /// Judges what was taken. Anything that could not be read makes the finding `Unknown`.
    fn finish(self: Box<Self>) -> Finding;
}

/// Judges the operations of a history; one whose events do not pair up is `Unknown`.
pub fn judge_operations<'h>(
    name: impl Into<String>,
    history: &'h History,
    judge: impl FnOnce(Vec<Operation<'h>>) -> Finding,
) -> Finding {
    match history.operations() {
        Ok(operations) => judge(operations),
        Err(e) => Finding::new(name, crate::Verdict::Unknown, e.to_string()),
    }
}

/// Shows a whole history to an intake: how a checker that has one implements [`Checker::check`].
pub fn check_operations(name: String, mut intake: Box<dyn Intake + '_>, history: &History) -> Finding {
    judge_operations(name, history, |operations| {
        history.events.iter().filter(|e| e.process.client().is_none()).for_each(|e| intake.mark(e));
        operations.iter().for_each(|op| intake.take(op));
        intake.finish()
    })
}
