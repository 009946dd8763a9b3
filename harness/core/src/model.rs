//! Sequential specifications, against which concurrent histories are judged.

use std::fmt::Debug;
use std::hash::Hash;

use crate::Operation;

/// A sequential specification: what a correct single-copy object would answer, one operation after another.
/// [`init`](Model::init), [`call`](Model::call), [`step`](Model::step) and, where an object has independent
/// parts, [`partition`](Model::partition) define it. Everything else only makes judging faster or its words
/// better.
pub trait Model: Send + Sync {
    /// A state of the object.
    type State: Clone + Eq + Hash + Debug + Send + Sync;
    /// One operation with its argument and, where it is known, its result, ready for fast stepping.
    type Call: Clone + Debug + Send + Sync;
    /// The states that may follow a state: `Option<State>` for most models, `Vec<State>` for a
    /// non-deterministic one.
    type Next: IntoIterator<Item = Self::State>;

    /// The name of the model, e.g. `register`.
    fn name(&self) -> &'static str;

    /// The state before anything happened.
    fn init(&self) -> Self::State;

    /// Reads an operation of a history that took effect or may have; `Ok(None)` leaves it out: not of this
    /// model, or a read without a result.
    ///
    /// # Errors
    /// What is wrong with an argument or a result that the model cannot read.
    fn call(&self, op: &Operation<'_>) -> Result<Option<Self::Call>, String>;

    /// Reads a failed operation: a call that changes nothing and is possible only where the failure was
    /// right, for systems in which a failure proves something (a compare-and-set that failed because it
    /// found another value). Most failures prove nothing and are left out.
    ///
    /// # Errors
    /// As [`call`](Model::call).
    fn refusal(&self, op: &Operation<'_>) -> Result<Option<Self::Call>, String> {
        let _ = op;
        Ok(None)
    }

    /// The states that may follow `state` by `call`; none if its result is impossible there. A call without
    /// a result is possible wherever the operation itself is.
    fn step(&self, state: &Self::State, call: &Self::Call) -> Self::Next;

    /// The operation in words, e.g. `write 3`.
    fn describe(&self, call: &Self::Call) -> String;

    /// Which independent part of the object the call is about, e.g. the element of a set whose operations
    /// each name one. Calls of different parts must never influence one another; but part 0 is the whole
    /// object: if any of its calls is about that, its parts must not be judged apart.
    fn partition(&self, call: &Self::Call) -> u64 {
        let _ = call;
        0
    }

    /// Whether the call never changes any state. A search places such a call as soon as it fits.
    fn reads_only(&self, call: &Self::Call) -> bool {
        let _ = call;
        false
    }

    /// What is known of a call that is possible in every state, without a result that could be wrong.
    /// A search places such calls as late as it can, which spares it most orders.
    fn blind(&self, call: &Self::Call) -> Option<Blind> {
        let _ = call;
        None
    }

    /// The level of a state, which calls that are [`Blind::Adds`] raise by their number.
    fn level(&self, state: &Self::State) -> i64 {
        let _ = state;
        0
    }

    /// The only state in which the call is possible; `None` if there are several, or if that is not known.
    /// Lets a search see early that no call leaves what another one found.
    fn needs(&self, call: &Self::Call) -> Option<Self::State> {
        let _ = call;
        None
    }

    /// The state that a call which changes the state leaves wherever it is possible; `None` if that depends
    /// on what was before.
    fn leaves(&self, call: &Self::Call) -> Option<Self::State> {
        let _ = call;
        None
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

    /// Judges one part of an object in near-linear time, if these calls meet the conditions under which
    /// that is exact; `None` if they do not. The calls are sorted by their beginning.
    fn monitor(&self, calls: &[Timed<Self::Call>]) -> Option<Answer> {
        let _ = calls;
        None
    }
}

/// A call with its place in real time: it certainly ended before another began if and only if its `end` is
/// smaller than the other's `start`. No two starts or ends need be distinct.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timed<C> {
    /// The call.
    pub call: C,
    /// When it began.
    pub start: u64,
    /// When it ended; [`Operation::OPEN`] if it may take effect at any later time, or never.
    pub end: u64,
}

impl<C> Timed<C> {
    /// Whether its end is unknown.
    pub fn is_open(&self) -> bool {
        self.end == Operation::OPEN
    }
}

/// What a judge says about the calls of one object. Positions are into the calls it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// This order explains every result and keeps to real time. It holds every completed call, and those
    /// open ones that took effect in it.
    Legal(Vec<u32>),
    /// These calls contradict one another even if every other call had taken effect at any other time, with
    /// the result it has, or never. The fewer they are the better; they need not be as few as possible.
    Illegal(Vec<u32>),
}

/// What a call does that is possible in every state and leads to exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blind {
    /// It leaves the same state whatever was before, as a write of a register does.
    Overwrites,
    /// It adds this number, as an increment of a counter does: any two such calls leave the same state in
    /// either order, and two with the same number do the same.
    Adds(i64),
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
