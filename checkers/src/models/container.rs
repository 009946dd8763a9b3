//! What queues and stacks have in common: calls that put a value in, take one out or look at the next.
//!
//! Open calls: in any legal order of such a container, all calls about one value can be left out, with the
//! call of unknown result that took it out if there is one, and the rest is still legal. So an open call
//! about a value that no completed call names is irrelevant. Open calls of unknown result that take
//! something out differ in nothing but their beginnings.

use std::collections::{HashMap, HashSet};
use std::fmt;

use ordeal_core::{Open, Operation};

use super::Atom;
use crate::words::listed;

/// A call on a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ContainerCall {
    /// Puts this value in.
    Put(Atom),
    /// Takes out this value.
    Take(Atom),
    /// Would have taken something out, and found nothing.
    TakeNothing,
    /// Takes out whatever is next, if anything is there: the result is unknown.
    TakeUnknown,
    /// Looks at the next value and finds this one.
    Peek(Atom),
    /// Looks, and finds nothing.
    PeekNothing,
}

/// The functions of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ContainerNames {
    pub(super) put: &'static str,
    pub(super) take: &'static str,
    pub(super) peek: Option<&'static str>,
}

impl ContainerNames {
    /// Reads an operation; `None` leaves it out.
    pub(super) fn call(&self, op: &Operation<'_>) -> Result<Option<ContainerCall>, String> {
        let f = op.f();
        if f == self.put {
            return match op.input().is_null() {
                true => Err(format!("`{f}` needs a value; null means that there is none")),
                false => Ok(Some(ContainerCall::Put(op.input().into()))),
            };
        }
        let take = f == self.take;
        if !take && Some(f) != self.peek {
            return Ok(None);
        }
        Ok(match op.output().map(Atom::from) {
            Some(value) if value.is_null() && take => Some(ContainerCall::TakeNothing),
            Some(value) if value.is_null() => Some(ContainerCall::PeekNothing),
            Some(value) if take => Some(ContainerCall::Take(value)),
            Some(value) => Some(ContainerCall::Peek(value)),
            None => take.then_some(ContainerCall::TakeUnknown),
        })
    }

    /// In words.
    pub(super) fn describe(&self, call: &ContainerCall) -> String {
        let (put, take, peek) = (self.put, self.take, self.peek.unwrap_or("peek"));
        match call {
            ContainerCall::Put(v) => format!("{put} {v}"),
            ContainerCall::Take(v) => format!("{take} of {v}"),
            ContainerCall::TakeNothing => format!("{take} that found nothing"),
            ContainerCall::TakeUnknown => format!("{take} of unknown result"),
            ContainerCall::Peek(v) => format!("{peek} at {v}"),
            ContainerCall::PeekNothing => format!("{peek} that found nothing"),
        }
    }
}

impl ContainerCall {
    /// The value it names.
    pub(crate) fn value(self) -> Option<Atom> {
        match self {
            ContainerCall::Put(v) | ContainerCall::Take(v) | ContainerCall::Peek(v) => Some(v),
            _ => None,
        }
    }

    /// Whether it never changes anything.
    pub(super) fn reads_only(self) -> bool {
        matches!(self, ContainerCall::TakeNothing | ContainerCall::Peek(_) | ContainerCall::PeekNothing)
    }
}

/// What may be assumed about the open calls. See the module header for why.
pub(super) fn assume(calls: &[ContainerCall], open: &[usize]) -> Vec<Open> {
    let is_open: HashSet<usize> = open.iter().copied().collect();
    let closed = calls.iter().enumerate().filter(|(i, _)| !is_open.contains(i));
    let named: HashSet<Atom> = closed.filter_map(|(_, call)| call.value()).collect();
    let mut classes: HashMap<ContainerCall, u32> = HashMap::new();
    let hint = |&i: &usize| {
        let call = calls[i];
        if call.reads_only() || call.value().is_some_and(|v| !named.contains(&v)) {
            return Open::Irrelevant;
        }
        let next = classes.len() as u32;
        Open::Class(*classes.entry(call).or_insert(next))
    };
    open.iter().map(hint).collect()
}

/// What a link of a chain takes; all that one state adds to the one it came from.
pub(super) const LINK_BYTES: usize = 48;

/// What one state adds to the one it came from, where a path of a tree of so many keys is copied.
pub(super) fn path_bytes(keys: usize) -> usize {
    64 * (1 + 2 * keys.max(1).ilog2() as usize)
}

/// How many values a message shows before it counts the rest.
const SHOWN: usize = 12;

/// Shows the values of a state, the next one first.
pub(super) fn show<T: fmt::Display>(f: &mut fmt::Formatter<'_>, values: &[T]) -> fmt::Result {
    let values: Vec<String> = values.iter().map(ToString::to_string).collect();
    write!(f, "[{}]", listed(&values, SHOWN, ", "))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use ordeal_core::{Model, Rng};

    use super::*;
    use crate::models::persistent::mix;
    use crate::models::{PriorityQueue, Queue, Stack, UnorderedQueue};

    /// Walks at random beside a plain reference: all the contents that there may be.
    fn walk<M: Model<Call = ContainerCall>>(model: &M, next: Next) {
        let mut rng = Rng::new(11);
        for _ in 0..3_000 {
            let mut state = model.init();
            let mut contents: BTreeSet<Vec<i64>> = BTreeSet::from([Vec::new()]);
            let mut seen: Vec<(BTreeSet<Vec<i64>>, M::State)> = Vec::new();
            for _ in 0..12 {
                let value = rng.between(1, 3) as i64;
                let call = match rng.below(10) {
                    0..4 => ContainerCall::Put(Atom::int(value)),
                    4..6 => ContainerCall::Take(Atom::int(value)),
                    6 => ContainerCall::Peek(Atom::int(value)),
                    7 => ContainerCall::TakeNothing,
                    8 => ContainerCall::PeekNothing,
                    _ => ContainerCall::TakeUnknown,
                };
                contents = contents.iter().flat_map(|c| after(c, call, next)).collect();
                if matches!(next, Next::Greatest | Next::Any) {
                    // These have no order: the reference keeps them sorted.
                    contents = contents.into_iter().map(sorted).collect();
                }
                let Some(stepped) = model.step(&state, &call).into_iter().next() else {
                    assert!(contents.is_empty(), "{call:?} in {state:?} left {contents:?}");
                    break;
                };
                assert!(!contents.is_empty(), "{call:?} is impossible in {state:?}");
                state = stepped;
                for (before, earlier) in &seen {
                    if *earlier == state {
                        assert!(
                            *before == contents && mix(earlier) == mix(&state),
                            "{earlier:?} is {state:?}"
                        );
                    } else {
                        // A bag may remember calls of unknown result that no longer matter.
                        assert!(next == Next::Any || *before != contents, "{earlier:?} is not {state:?}");
                    }
                }
                seen.push((contents.clone(), state.clone()));
            }
        }
    }

    fn sorted(mut values: Vec<i64>) -> Vec<i64> {
        values.sort_unstable();
        values
    }

    /// Which value is next.
    #[derive(Clone, Copy, PartialEq)]
    enum Next {
        First,
        Last,
        Greatest,
        Any,
    }

    /// What may be there after a call. Where any value may be next, a call of unknown result need not have
    /// taken effect.
    fn after(contents: &[i64], call: ContainerCall, next: Next) -> Vec<Vec<i64>> {
        let same = contents.to_vec();
        let places = match next {
            Next::First => 0..same.len().min(1),
            Next::Last | Next::Greatest => same.len().saturating_sub(1)..same.len(),
            Next::Any => 0..same.len(),
        };
        let without = |place: usize| [&same[..place], &same[place + 1..]].concat();
        let mut is = places.clone().filter(|&place| call.value() == Some(Atom::int(same[place])));
        match call {
            ContainerCall::Put(value) => vec![same.into_iter().chain(value.as_int()).collect()],
            ContainerCall::Take(_) => is.map(without).collect(),
            ContainerCall::Peek(_) | ContainerCall::PeekNothing if next == Next::Any => Vec::new(),
            ContainerCall::Peek(_) => is.next().map(|_| same.clone()).into_iter().collect(),
            ContainerCall::TakeNothing | ContainerCall::PeekNothing if same.is_empty() => vec![same],
            ContainerCall::TakeNothing | ContainerCall::PeekNothing => Vec::new(),
            ContainerCall::TakeUnknown => {
                let void = (next == Next::Any || same.is_empty()).then(|| same.clone());
                places.map(without).chain(void).collect()
            }
        }
    }

    #[test]
    fn models_do_what_plain_containers_do() {
        walk(&Queue, Next::First);
        walk(&Stack, Next::Last);
        walk(&PriorityQueue, Next::Greatest);
        walk(&UnorderedQueue, Next::Any);
    }
}
