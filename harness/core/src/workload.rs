//! Workloads: what is asked of a system, and who judges the answers.

use crate::{Checker, Generator, Plan};

/// A use case: its operations, in what mix, what is read in the end, and the judges.
///
/// The workload's own module holds the enum of its operations and turns it into [`crate::Op`] and back;
/// the harness only sees the common form.
pub trait Workload: Send + Sync {
    /// Its name.
    fn name(&self) -> &'static str;

    /// What it is about, in one line.
    fn about(&self) -> &'static str;

    /// The operations under load. Everything random comes from the plan's seed.
    fn generator(&self, plan: &Plan) -> Box<dyn Generator>;

    /// The reads at the end, after everything is healed: each thread is bound to another node, there is
    /// one thread a node, and each operation is repeated until it succeeds or the time is up. Runs twice:
    /// the first round brings half-done writes to light, the second one sees the end state.
    fn final_generator(&self, plan: &Plan) -> Box<dyn Generator>;

    /// The judges of its histories.
    fn checkers(&self, plan: &Plan) -> Vec<Box<dyn Checker>>;

    /// Whether an operation with this function can change anything. One that cannot and that times out
    /// has certainly had no effect.
    fn mutates(&self, f: &str) -> bool;

    /// What is broken in a run of it if nothing else is asked for, as `--faults` takes it; `None` if it has no
    /// wish of its own.
    fn usual_faults(&self) -> Option<&'static str> {
        None
    }
}
