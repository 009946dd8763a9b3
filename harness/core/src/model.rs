//! Sequential specifications, against which concurrent histories are judged.

use std::fmt::Debug;
use std::hash::Hash;

use crate::Operation;

/// A sequential specification: what a correct single-copy object would answer, one operation after another.
pub trait Model: Send + Sync {
    /// A state of the object.
    type State: Clone + Eq + Hash + Debug + Send + Sync;
    /// One operation with its argument and, where it is known, its result, ready for fast stepping.
    type Call: Clone + Debug + Send + Sync;

    /// The name of the model, e.g. `register`.
    fn name(&self) -> &'static str;

    /// The state before anything happened.
    fn init(&self) -> Self::State;

    /// Reads an operation of a history; `Ok(None)` leaves it out: not of this model, certainly without
    /// effect, or a read without a result.
    ///
    /// # Errors
    /// What is wrong with an argument or a result that the model cannot read.
    fn call(&self, op: &Operation<'_>) -> Result<Option<Self::Call>, String>;

    /// The state after `call` in `state`; `None` if its result is impossible there. A call without a
    /// result is possible wherever the operation itself is.
    fn step(&self, state: &Self::State, call: &Self::Call) -> Option<Self::State>;

    /// The operation in words, e.g. `write 3`.
    fn describe(&self, call: &Self::Call) -> String;

    /// Whether the call never changes any state. A search places such a call as soon as it fits.
    fn reads_only(&self, call: &Self::Call) -> bool {
        let _ = call;
        false
    }

    /// Whether no order whatsoever can have `later` somewhere after `earlier`, as their results alone show.
    /// Only used to find a short explanation of a violation that was found otherwise.
    fn contradict(&self, earlier: &Self::Call, later: &Self::Call) -> bool {
        let _ = (earlier, later);
        false
    }

    /// How much memory a state takes, in bytes, with everything it alone keeps alive. Memory budgets
    /// rely on it.
    fn state_bytes(&self, state: &Self::State) -> usize {
        size_of_val(state)
    }

    /// Looks over all calls of one object and says for each open one (an operation whose end is unknown)
    /// what a search may assume about it. The default assumes nothing.
    fn open_calls(&self, calls: &[Self::Call], open: &[usize]) -> Vec<Open> {
        let _ = calls;
        vec![Open::Unique; open.len()]
    }
}

/// What may be assumed about an operation whose end is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Open {
    /// Nothing: it may take effect at any time, or never.
    Unique,
    /// Whether and when it takes effect can make no difference to any result: it need not be placed.
    Irrelevant,
    /// Interchangeable with all others of the same class: only how many have taken effect matters, so the
    /// earliest is placed first.
    Class(u32),
}
