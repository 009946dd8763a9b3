//! Linearizability: is there one order of all operations, in keeping with real time, that a single copy
//! of the object could have produced (Herlihy & Wing 1990)?
//!
//! Each key is judged on its own, for a history is linearizable if and only if each object's part is.
//! `search` looks for the order, `shrink` cuts a violation down to a core, `explain` words it.
//! A faster way for a special kind of object belongs into `judge_object`, before the search.

mod config;
mod entries;
mod explain;
mod search;
mod seen;
mod shrink;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ordeal_core::{Anomaly, Checker, Finding, History, Key, Model, Operation, Verdict};

use crate::words::of_key;
use crate::{About, Options};
use explain::Case;
use search::{Limits, Outcome};

/// How lists show it.
pub const ABOUT: About = About {
    name: "linearizable(MODEL)",
    about: "one order of all operations, in keeping with real time, explains every answer",
};

/// What one check may use. A search that runs out of it ends in `Unknown`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// The time for the search, over all keys.
    pub time_ms: u64,
    /// The memory for the search, over all keys judged at once.
    pub memory_bytes: usize,
    /// The time, on top, for shrinking violations to a core.
    pub shrink_ms: u64,
}

impl Default for Budget {
    fn default() -> Self {
        Budget { time_ms: 60_000, memory_bytes: 1 << 30, shrink_ms: 5_000 }
    }
}

/// How many violating keys are shrunk and explained in full.
const EXPLAINED: usize = 5;
/// How many violating keys get an anomaly at all; the rest are counted.
const REPORTED: usize = 50;
/// How many configurations one attempt at shrinking may explore.
const SHRINK_CONFIGURATIONS: u64 = 50_000;
/// Below so many operations threads cost more than they save.
const WORTH_THREADS: usize = 2_000;

type Filter = Box<dyn Fn(&str) -> bool + Send + Sync>;

/// Judges whether a history is linearizable with respect to a model.
pub struct Linearizable<M> {
    model: M,
    budget: Budget,
    only: Option<Filter>,
}

impl<M: Model> Linearizable<M> {
    /// A judge with the default budget that looks at every operation the model reads.
    pub fn new(model: M) -> Self {
        Linearizable { model, budget: Budget::default(), only: None }
    }

    /// Sets the budget.
    #[must_use]
    pub fn with_budget(mut self, budget: Budget) -> Self {
        self.budget = budget;
        self
    }

    /// Sets what a person may say.
    #[must_use]
    pub fn with_options(self, options: &Options) -> Self {
        self.with_budget(options.budget)
    }

    /// Judges only operations whose function passes.
    #[must_use]
    pub fn only(mut self, passes: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        self.only = Some(Box::new(passes));
        self
    }
}

/// The operations on one object, in order of invocation.
struct Object<'h> {
    key: Option<&'h Key>,
    ops: Vec<Operation<'h>>,
}

/// What was found about one object.
struct Judged<S> {
    operations: usize,
    ok: usize,
    explored: u64,
    result: Result<Outcome<S>, String>,
}

impl<M: Model> Checker for Linearizable<M> {
    fn name(&self) -> String {
        format!("linearizable({})", self.model.name())
    }

    fn check(&self, history: &History) -> Finding {
        let operations = match history.operations() {
            Ok(operations) => operations,
            Err(e) => return Finding::new(self.name(), Verdict::Unknown, e.to_string()),
        };
        let objects = self.objects(operations);
        let judged = self.judge_all(&objects);
        self.conclude(&objects, &judged)
    }
}

impl<M: Model> Linearizable<M> {
    fn objects<'h>(&self, operations: Vec<Operation<'h>>) -> Vec<Object<'h>> {
        let mut by_key: BTreeMap<Option<&Key>, Vec<Operation<'h>>> = BTreeMap::new();
        for op in operations {
            if self.only.as_ref().is_none_or(|passes| passes(op.f())) {
                by_key.entry(op.key()).or_default().push(op);
            }
        }
        by_key
            .into_iter()
            .map(|(key, mut ops)| {
                ops.sort_by_key(|op| op.call);
                Object { key, ops }
            })
            .collect()
    }

    /// Judges all objects, the largest first, on as many threads as there are cores.
    fn judge_all(&self, objects: &[Object<'_>]) -> Vec<Judged<M::State>> {
        let total: usize = objects.iter().map(|o| o.ops.len()).sum();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let workers = if total < WORTH_THREADS { 1 } else { cores.min(objects.len()).max(1) };
        let limits = Limits {
            deadline: Instant::now().checked_add(Duration::from_millis(self.budget.time_ms)),
            memory_bytes: self.budget.memory_bytes / workers,
            configurations: u64::MAX,
        };
        let mut order: Vec<usize> = (0..objects.len()).collect();
        order.sort_by_key(|&i| std::cmp::Reverse(objects[i].ops.len()));
        let next = AtomicUsize::new(0);
        let work = || {
            let mut done = Vec::new();
            while let Some(&i) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
                done.push((i, self.judge_object(&objects[i], limits)));
            }
            done
        };
        let done = std::thread::scope(|scope| {
            // A thread that cannot be started is no loss: this one does the work that is left.
            let helpers: Vec<_> = (1..workers)
                .filter_map(|_| std::thread::Builder::new().spawn_scoped(scope, work).ok())
                .collect();
            let mut done = work();
            for helper in helpers {
                done.extend(helper.join().unwrap_or_default());
            }
            done
        });
        let lost = || unjudged("the search did not come back".to_owned());
        let mut judged: Vec<_> = objects.iter().map(|_| lost()).collect();
        for (i, result) in done {
            judged[i] = result;
        }
        judged
    }

    /// Judges one object. A model that panics leaves it undecided.
    fn judge_object(&self, object: &Object<'_>, limits: Limits) -> Judged<M::State> {
        let judge = || {
            let items = match entries::read(&self.model, &object.ops) {
                Ok(items) => items,
                Err(why) => return unjudged(why),
            };
            let entries = entries::entries(&self.model, &items, |_| true);
            let (outcome, explored) = search::search(&self.model, &entries, limits);
            Judged {
                operations: items.len(),
                ok: items.iter().filter(|i| i.ok).count(),
                explored,
                result: Ok(outcome),
            }
        };
        catch_unwind(AssertUnwindSafe(judge))
            .unwrap_or_else(|_| unjudged(format!("the model {} panicked", self.model.name())))
    }

    fn conclude(&self, objects: &[Object<'_>], judged: &[Judged<M::State>]) -> Finding {
        let shrink_until = Instant::now().checked_add(Duration::from_millis(self.budget.shrink_ms));
        let (mut violating, mut undecided) = (Vec::new(), Vec::new());
        let mut anomalies = Vec::new();
        for (object, judged) in objects.iter().zip(judged) {
            let name = object.key.map_or_else(|| "the object".to_owned(), |k| format!("key {k}"));
            match &judged.result {
                Ok(Outcome::Legal) => {}
                Ok(Outcome::Illegal(refutation)) => {
                    violating.push(name);
                    if anomalies.len() < REPORTED {
                        let until = shrink_until.filter(|_| anomalies.len() < EXPLAINED);
                        anomalies.extend(self.explain(object, refutation, until));
                    }
                }
                Ok(Outcome::Undecided { why, ended, of }) => undecided
                    .push(format!("{}{why} after {ended} of {of} completed operations", of_key(object.key))),
                Err(why) => undecided.push(format!("{}{why}", of_key(object.key))),
            }
        }
        let operations = judged.iter().map(|j| j.operations).sum();
        let ok: usize = judged.iter().map(|j| j.ok).sum();
        let mut summary = explain::summary(operations, objects.len(), &violating, &undecided);
        let verdict = if !violating.is_empty() {
            Verdict::Invalid
        } else if !undecided.is_empty() {
            Verdict::Unknown
        } else if ok == 0 {
            summary = "no operation that this model judges succeeded".to_owned();
            Verdict::Vacuous
        } else {
            Verdict::Valid
        };
        let mut finding = Finding::new(self.name(), verdict, summary)
            .with("operations", operations)
            .with("operations_ok", ok)
            .with("keys", objects.len())
            .with("keys_violating", violating.len())
            .with("keys_undecided", undecided.len())
            .with("configurations_explored", judged.iter().map(|j| j.explored).sum::<u64>())
            .with("budget_time_ms", self.budget.time_ms)
            .with("budget_memory_bytes", self.budget.memory_bytes);
        finding.anomalies = anomalies;
        finding
    }

    /// The anomaly, with a core if there is time for one. A model that panics only spoils the core.
    fn explain(
        &self,
        object: &Object<'_>,
        refutation: &search::Refutation<M::State>,
        shrink_until: Option<Instant>,
    ) -> Option<Anomaly> {
        let items = entries::read(&self.model, &object.ops).ok()?;
        let core = shrink_until.and_then(|until| {
            let limits = Limits {
                deadline: Some(until),
                memory_bytes: self.budget.memory_bytes,
                configurations: SHRINK_CONFIGURATIONS,
            };
            let shrink = || shrink::shrink(&self.model, &items, refutation.op, limits);
            catch_unwind(AssertUnwindSafe(shrink)).ok()
        });
        let case = Case {
            model: &self.model,
            key: object.key,
            ops: &object.ops,
            items: &items,
            refutation,
            core: core.as_ref().filter(|core| core.ops.len() <= explain::READABLE),
        };
        Some(case.anomaly())
    }
}

fn unjudged<S>(why: String) -> Judged<S> {
    Judged { operations: 0, ok: 0, explored: 0, result: Err(why) }
}
