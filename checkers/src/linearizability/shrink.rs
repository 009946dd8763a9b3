//! From a history without an order to the few operations that contradict one another.
//!
//! Operations are not removed but *released* (see [`entries`]): a released operation may take effect at any
//! time, or never, with any result. So what is kept contradicts itself whatever the others did, and
//! the core is a counterexample of the whole history for every model. Releasing more only ever allows
//! more orders, which makes one pass over single operations enough for a core from which no operation
//! can be spared (delta debugging, Zeller & Hildebrandt 2002, on a monotone property).

use std::collections::HashSet;
use std::time::Instant;

use ordeal_core::Model;

use super::entries::{Item, entries};
use super::search::{Limits, Outcome, search};

/// Operations that contradict one another.
#[derive(Debug)]
pub(super) struct Core {
    /// Their positions among the object's operations, in order of invocation.
    pub(super) ops: Vec<usize>,
    /// Whether it is certain that none of them can be spared.
    pub(super) minimal: bool,
}

struct Shrink<'a, M: Model> {
    model: &'a M,
    items: &'a [Item<M::Call>],
    limits: Limits,
    undecided: bool,
}

/// Shrinks the history, in which `failing` cannot be placed. `limits` bounds each search, the deadline
/// all of them.
pub(super) fn shrink<M: Model>(model: &M, items: &[Item<M::Call>], failing: usize, limits: Limits) -> Core {
    let mut shrink = Shrink { model, items, limits, undecided: false };
    let mut kept = pair(model, items, failing).unwrap_or_else(|| shrink.first_guess(failing));
    let mut chunk = kept.len().div_ceil(2);
    loop {
        shrink.undecided = false;
        let mut at = 0;
        while at < kept.len() {
            let end = (at + chunk).min(kept.len());
            let fewer: Vec<usize> = [&kept[..at], &kept[end..]].concat();
            if shrink.contradicts(&fewer) {
                kept = fewer;
            } else {
                at = end;
            }
        }
        if chunk <= 1 || shrink.out_of_time() {
            break;
        }
        chunk = chunk.div_ceil(2);
    }
    Core { ops: kept, minimal: chunk <= 1 && !shrink.undecided }
}

/// The failing operation and the nearest other one that it contradicts by itself, in every order that real
/// time allows for the two.
fn pair<M: Model>(model: &M, items: &[Item<M::Call>], failing: usize) -> Option<Vec<usize>> {
    let this = items.iter().find(|item| item.op == failing)?;
    let this_call = this.call.as_ref()?;
    let conflicts = |other: &&Item<M::Call>| {
        let Some(call) = other.call.as_ref().filter(|_| other.ok && other.op != failing) else {
            return false;
        };
        let first = this.end < other.start || model.contradict(call, this_call);
        let last = other.end < this.start || model.contradict(this_call, call);
        first && last
    };
    let distance = |other: &&Item<M::Call>| other.start.abs_diff(this.start);
    let other = items.iter().filter(conflicts).min_by_key(distance)?;
    Some(vec![failing.min(other.op), failing.max(other.op)])
}

impl<M: Model> Shrink<'_, M> {
    fn out_of_time(&self) -> bool {
        self.limits.deadline.is_some_and(|d| Instant::now() >= d)
    }

    /// The failing operation and so many before it that they contradict one another. Most contradictions
    /// are close by, so this tries ever more of the past.
    fn first_guess(&mut self, failing: usize) -> Vec<usize> {
        let end = self.items.iter().find(|i| i.op == failing).map_or(0, |i| i.end);
        let before = |i: &&Item<M::Call>| i.start < end && i.op != failing;
        let past: Vec<usize> = self.items.iter().filter(before).map(|i| i.op).collect();
        let mut take = 1;
        while take < past.len() * 2 && !self.out_of_time() {
            let mut guess = past[past.len().saturating_sub(take)..].to_vec();
            guess.push(failing);
            guess.sort_unstable();
            if self.contradicts(&guess) {
                return guess;
            }
            take *= 2;
        }
        // Operations that began later have a part in it.
        self.items.iter().map(|i| i.op).collect()
    }

    /// Whether there is no order when everything but `kept` is released.
    fn contradicts(&mut self, kept: &[usize]) -> bool {
        if self.out_of_time() {
            self.undecided = true;
            return false;
        }
        let kept: HashSet<usize> = kept.iter().copied().collect();
        let entries = entries(self.model, self.items, |op| kept.contains(&op));
        match search(self.model, &entries, self.limits).0 {
            Outcome::Legal => false,
            Outcome::Illegal(_) => true,
            Outcome::Undecided { .. } => {
                self.undecided = true;
                false
            }
        }
    }
}
