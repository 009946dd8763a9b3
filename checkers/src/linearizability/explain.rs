//! A violation in words and as data.

use ordeal_core::{Anomaly, Key, Model, Timed};
use serde_json::{Value, json};

use super::cite::{Calls, Citations};
use super::judge::Violation;
use crate::verify::{Gone, gone};
use crate::words::{listed, of_key};

/// The name of the anomaly.
pub(super) const NAME: &str = "nonlinearizable";

/// How many operations of the core a message spells out.
const IN_MESSAGE: usize = 6;
/// How many operations the details list.
const IN_DETAILS: usize = 50;
/// A core of more operations than this explains nothing.
const READABLE: usize = 40;
/// How many of the last operations of the longest order are told.
const LAST: usize = 10;

/// Everything known about one object that has no order.
pub(super) struct Case<'a, M: Model> {
    pub(super) model: &'a M,
    pub(super) key: Option<&'a Key>,
    pub(super) calls: &'a Calls<M::Call>,
    pub(super) citations: &'a Citations,
    pub(super) violation: &'a Violation<M::State>,
}

impl<M: Model> Case<'_, M> {
    fn describe(&self, at: u32) -> String {
        self.model.describe(&self.calls.timed[at as usize].call)
    }

    fn in_words(&self, at: u32) -> String {
        let cite = &self.calls.cites[at as usize];
        format!("`{}` ({})", self.describe(at), self.citations.who_when(cite))
    }

    fn datum(&self, at: u32) -> Value {
        self.citations.as_data(&self.calls.cites[at as usize], &self.describe(at))
    }

    fn data(&self, calls: impl IntoIterator<Item = u32>) -> Value {
        calls.into_iter().take(IN_DETAILS).map(|at| self.datum(at)).collect()
    }

    /// The core, if it is small enough to be read.
    fn core(&self) -> Option<&[u32]> {
        self.violation.core.as_deref().filter(|core| core.len() <= READABLE)
    }

    /// What a longer core comes down to.
    fn gone(&self) -> Option<Gone> {
        let core = self.violation.core.as_deref().filter(|core| core.len() > READABLE)?;
        gone(self.model, &self.calls.timed, core)
    }

    /// The last operations of the longest order, oldest first.
    fn last(&self) -> &[u32] {
        let prefix = self.violation.prefix.as_deref().unwrap_or_default();
        &prefix[prefix.len().saturating_sub(LAST)..]
    }

    /// The calls that ran at the same time as this one.
    fn around(&self, failing: u32) -> impl Iterator<Item = u32> {
        let this = &self.calls.timed[failing as usize];
        let calls = (0_u32..).zip(&self.calls.timed);
        let overlap = move |call: &Timed<M::Call>| call.start <= this.end && this.start <= call.end;
        calls.filter(move |&(at, call)| at != failing && overlap(call)).map(|(at, _)| at)
    }

    fn states(&self) -> Vec<String> {
        self.violation.states.iter().map(|s| format!("{s:?}")).collect()
    }

    fn head(&self) -> String {
        let of_key = of_key(self.key);
        let Some(failing) = self.violation.failing else {
            return format!("{of_key}no order of the operations explains all answers.");
        };
        let states = self.states();
        let more = match self.violation.states_total - states.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        format!(
            "{of_key}{} cannot be placed in any order: when it ended, the only possible states were {}{more}.",
            self.in_words(failing),
            states.join("; "),
        )
    }

    fn message(&self) -> String {
        let head = self.head();
        if let Some(Gone { needy, other }) = self.gone() {
            let (needy, other) = (self.in_words(needy), self.in_words(other));
            return format!(
                "{head} {needy} found what was certainly gone: {other} shows something else and ended before, \
                 and everything that could have brought it back ended before that one began, or began later."
            );
        }
        let Some(core) = self.core() else {
            return head;
        };
        let core: Vec<String> = core.iter().map(|&at| self.in_words(at)).collect();
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

    /// The indices of the events that the anomaly cites.
    fn events(&self) -> Vec<u64> {
        let failing = self.violation.failing;
        let cited = match (self.core(), self.gone()) {
            (Some(core), _) => core.to_vec(),
            (None, Some(Gone { needy, other })) => vec![other, needy],
            (None, None) => self.last().to_vec(),
        };
        let mut cited: Vec<u32> = cited.into_iter().chain(failing).take(IN_DETAILS).collect();
        if cited.is_empty() {
            // Nothing is known but that there is no order: the operations begin here.
            cited.push(0);
        }
        let mut events: Vec<u64> = Vec::new();
        for at in cited {
            for index in self.citations.events(&self.calls.cites[at as usize]) {
                if !events.contains(&index) {
                    events.push(index);
                }
            }
        }
        events
    }

    /// The anomaly.
    pub(super) fn anomaly(&self) -> Anomaly {
        let violation = self.violation;
        let core = self.core().map(|core| {
            json!({
                "operations": self.data(core.iter().copied()),
                "total": core.len(),
                "minimal": violation.minimal,
                "proven": violation.proven,
                "meaning": "no order exists even if every other operation may take effect at any time or never",
            })
        });
        let longest = violation
            .prefix
            .as_ref()
            .map(|prefix| json!({ "total": prefix.len(), "last": self.data(self.last().iter().copied()) }));
        Anomaly {
            name: NAME.to_owned(),
            message: self.message(),
            key: self.key.cloned(),
            events: self.events(),
            details: json!({
                "cannot_be_placed": violation.failing.map(|at| self.datum(at)),
                "possible_states": self.states(),
                "possible_states_total": violation.states_total,
                "longest_order": longest,
                "at_the_same_time": violation.failing.map(|at| self.data(self.around(at))),
                "core": core,
            }),
        }
    }
}
