//! A violation in words and as data.

use ordeal_core::{Anomaly, Key, Model, Operation};
use serde_json::{Value, json};

use super::entries::Item;
use super::search::Refutation;
use super::shrink::Core;
use crate::words::{as_data, cite, count, listed, of_key, who_when};

/// The name of the anomaly.
pub(super) const NAME: &str = "nonlinearizable";

/// How many operations of the core a message spells out.
const IN_MESSAGE: usize = 6;
/// How many operations the details list.
const IN_DETAILS: usize = 50;

/// Everything known about one object that has no order.
pub(super) struct Case<'a, 'h, M: Model> {
    pub(super) model: &'a M,
    pub(super) key: Option<&'a Key>,
    pub(super) ops: &'a [Operation<'h>],
    pub(super) items: &'a [Item<M::Call>],
    pub(super) refutation: &'a Refutation<M::State>,
    /// `None` if no core was found that is small enough to be read.
    pub(super) core: Option<&'a Core>,
}

/// A core of more operations than this explains nothing.
pub(super) const READABLE: usize = 40;

impl<M: Model> Case<'_, '_, M> {
    fn describe(&self, op: usize) -> String {
        let call =
            self.items.binary_search_by_key(&op, |i| i.op).ok().and_then(|at| self.items[at].call.as_ref());
        call.map_or_else(|| self.ops[op].f().to_owned(), |call| self.model.describe(call))
    }

    fn data(&self, ops: impl IntoIterator<Item = usize>) -> Value {
        ops.into_iter().take(IN_DETAILS).map(|op| as_data(&self.ops[op], &self.describe(op))).collect()
    }

    /// The judged operations that ran at the same time as the failing one.
    fn around(&self) -> impl Iterator<Item = usize> {
        let failing = &self.ops[self.refutation.op];
        let overlaps = move |op: &Operation<'_>| op.call < failing.ret && failing.call < op.ret;
        let items = self.items.iter().map(|i| i.op);
        items.filter(move |&op| op != self.refutation.op && overlaps(&self.ops[op]))
    }

    fn states(&self) -> Vec<String> {
        self.refutation.states.iter().map(|s| format!("{s:?}")).collect()
    }

    fn message(&self) -> String {
        let failing = self.refutation.op;
        let states = self.states();
        let more = match self.refutation.states_total - states.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let head = format!(
            "{}`{}` ({}) cannot be placed in any order: when it ended, the only possible states were {}{more}.",
            of_key(self.key),
            self.describe(failing),
            who_when(&self.ops[failing]),
            states.join("; "),
        );
        let Some(core) = self.core else {
            return head;
        };
        let core: Vec<String> = core
            .ops
            .iter()
            .map(|&op| format!("`{}` ({})", self.describe(op), who_when(&self.ops[op])))
            .collect();
        let verb = if core.len() == 1 { "contradicts the model by itself" } else { "contradict one another" };
        format!(
            "{head} {} {verb}, whatever else took effect and whenever: {}.",
            match core.len() {
                1 => "This operation".to_owned(),
                n => format!("These {n} operations"),
            },
            listed(&core, IN_MESSAGE, "; "),
        )
    }

    /// The anomaly.
    pub(super) fn anomaly(&self) -> Anomaly {
        let r = self.refutation;
        let cited: Vec<usize> = match self.core {
            Some(core) => core.ops.clone(),
            None => r.prefix.iter().copied().chain([r.op]).collect(),
        };
        let mut events: Vec<u64> = Vec::new();
        for op in cited.into_iter().chain([r.op]).take(IN_DETAILS) {
            for index in cite(&self.ops[op]) {
                if !events.contains(&index) {
                    events.push(index);
                }
            }
        }
        let core = self.core.map(|core| {
            json!({
                "operations": self.data(core.ops.iter().copied()),
                "total": core.ops.len(),
                "minimal": core.minimal,
                "meaning": "no order exists even if every other operation may take effect at any time or never",
            })
        });
        Anomaly {
            name: NAME.to_owned(),
            message: self.message(),
            key: self.key.cloned(),
            events,
            details: json!({
                "cannot_be_placed": as_data(&self.ops[r.op], &self.describe(r.op)),
                "possible_states": self.states(),
                "possible_states_total": r.states_total,
                "longest_order": {
                    "total": r.prefix_total,
                    "last": self.data(r.prefix.iter().copied()),
                },
                "at_the_same_time": self.data(self.around()),
                "core": core,
            }),
        }
    }
}

/// The line that sums a judgement up.
pub(super) fn summary(operations: usize, keys: usize, violating: &[String], undecided: &[String]) -> String {
    let judged = format!("{} on {}", count(operations, "operation"), count(keys, "key"));
    if !violating.is_empty() {
        return format!("not linearizable ({judged}): {}", listed(violating, 5, ", "));
    }
    if !undecided.is_empty() {
        return format!("undecided ({judged}): {}", listed(undecided, 3, "; "));
    }
    format!("linearizable: {judged}")
}
