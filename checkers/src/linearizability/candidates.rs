//! What may be placed at one moment: the running calls and the open classes, and which of them do the same.

use ordeal_core::Model;

use super::bits::Bits;
use super::engine::Engine;
use super::problem::Kind;

/// A running call that may be placed.
pub(super) struct Candidate<B> {
    pub(super) slot: u32,
    pub(super) entry: u32,
    pub(super) kind: Kind,
    /// Those that must be placed before it.
    pub(super) first: B,
}

/// An open class of which some may be placed.
pub(super) struct OpenClass<B> {
    pub(super) class: u32,
    pub(super) kind: Kind,
    pub(super) first: B,
    /// The state that it always leaves.
    pub(super) leaves: Option<u32>,
}

/// By what one sees that two calls do the same.
#[derive(Clone, Copy, PartialEq)]
enum Likeness {
    Leaves(u32),
    Adds(i64),
}

impl<M: Model, B: Bits> Engine<'_, M, B> {
    /// Finds what may be placed at this moment: the running calls, what ends first first, and the classes.
    pub(super) fn prepare(&mut self, some_state: u32) {
        if self.prepared == self.board.next {
            return;
        }
        self.prepared = self.board.next;
        let board = &self.board;
        let running = board.overwrites.or(&board.adds).or(&board.others);
        let mut found: Vec<Candidate<B>> = Vec::with_capacity(self.candidates.len() + 1);
        for slot in running.slots() {
            let entry = board.entry(slot);
            let kind = self.problem.entries[entry as usize].kind;
            found.push(Candidate { slot, entry, kind, first: B::default() });
        }
        let end = |c: &Candidate<B>| (self.problem.entries[c.entry as usize].end, c.entry);
        found.sort_unstable_by_key(end);
        // What each does, as far as that shows which do the same.
        let mut same: Vec<(Likeness, B)> = Vec::new();
        for candidate in &mut found {
            let like = self.likeness(candidate.kind, candidate.entry, some_state);
            candidate.first = note(&mut same, like, Some(candidate.slot));
        }
        self.candidates = found;
        let mut open = Vec::new();
        for class in 0..self.problem.classes.len() {
            let settled = self.settled[class];
            if self.board.begun[class] > settled {
                let entry = self.problem.classes[class][settled as usize];
                let kind = self.problem.entries[entry as usize].kind;
                let like = self.likeness(kind, entry, some_state);
                let first = note(&mut same, like, None);
                let leaves = self.problem.model.leaves(self.problem.call(entry));
                let leaves = leaves.map(|state| self.states.number(state));
                open.push(OpenClass { class: class as u32, kind, first, leaves });
            }
        }
        self.open = open;
    }

    fn likeness(&mut self, kind: Kind, entry: u32, some_state: u32) -> Option<Likeness> {
        match kind {
            Kind::Overwrites => self.step(some_state, entry).only().map(Likeness::Leaves),
            Kind::Adds(n) => Some(Likeness::Adds(n)),
            _ => None,
        }
    }
}

/// Those noted before that do the same; then notes this one.
fn note<B: Bits>(same: &mut Vec<(Likeness, B)>, like: Option<Likeness>, slot: Option<u32>) -> B {
    let Some(like) = like else {
        return B::default();
    };
    let known = same.iter().position(|s| s.0 == like).unwrap_or_else(|| {
        same.push((like, B::default()));
        same.len() - 1
    });
    let before = same[known].1.clone();
    if let Some(slot) = slot {
        same[known].1.insert(slot);
    }
    before
}
