//! Linearizability: is there one order of all operations, in keeping with real time, that a single copy
//! of the object could have produced (Herlihy & Wing 1990)?
//!
//! Each key and each part of it is judged on its own, for a history is linearizable if and only if each
//! object's part is (Horn & Kroening 2015, P-compositionality). `intake` sorts the calls by object, `work`
//! judges the objects on all cores, `judge` judges one: by the model's own fast judge, whose answers are
//! checked, or by `search`, which races `frontier` (in breadth) with `depth`. Both follow the rules of
//! `engine`. `shrink` cuts a violation down to a core, `finding` and `explain` word it.

mod bits;
mod board;
mod budget;
mod candidates;
mod cite;
mod depth;
mod engine;
mod explain;
mod explained;
mod finding;
mod frontier;
mod hash;
mod intake;
mod judge;
mod order;
mod problem;
mod search;
mod seen;
mod shrink;
mod states;
#[cfg(test)]
mod tests;
mod uses;
mod work;

use ordeal_core::{Checker, Finding, History, Intake, Model, check_operations};

use crate::{About, Options};
pub use budget::Budget;
use intake::Taking;
pub use judge::{Decision, Violation, judge_calls};

/// How lists show it.
pub const ABOUT: About = About {
    name: "linearizable(MODEL)",
    about: "one order of all operations, in keeping with real time, explains every answer",
};

type Filter = Box<dyn Fn(&str) -> bool + Send + Sync>;

/// Judges whether a history is linearizable with respect to a model.
pub struct Linearizable<M> {
    model: M,
    budget: Budget,
    all: bool,
    order: bool,
    only: Option<Filter>,
}

impl<M: Model> Linearizable<M> {
    /// A judge with the default budget that looks at every operation the model reads, and stops at the
    /// first violation.
    pub fn new(model: M) -> Self {
        Linearizable { model, budget: Budget::default(), all: false, order: false, only: None }
    }

    /// Sets the budget.
    #[must_use]
    pub fn with_budget(mut self, budget: Budget) -> Self {
        self.budget = budget;
        self
    }

    /// Sets what a person may say.
    #[must_use]
    pub fn with_options(mut self, options: &Options) -> Self {
        self.budget = options.budget;
        self.all = options.all;
        self.order = options.order;
        self
    }

    /// Judges only operations whose function passes.
    #[must_use]
    pub fn only(mut self, passes: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        self.only = Some(Box::new(passes));
        self
    }
}

impl<M: Model> Checker for Linearizable<M> {
    fn name(&self) -> String {
        format!("linearizable({})", self.model.name())
    }

    fn limit(&mut self, limits: &ordeal_core::Limits) {
        self.budget.time_ms = limits.time_ms.unwrap_or(self.budget.time_ms);
        self.budget.memory_bytes = limits.memory_bytes.unwrap_or(self.budget.memory_bytes);
    }

    fn check(&self, history: &History) -> Finding {
        check_operations(self.name(), Box::new(Taking::new(self)), history)
    }

    fn intake(&self) -> Option<Box<dyn Intake + '_>> {
        Some(Box::new(Taking::new(self)))
    }
}
