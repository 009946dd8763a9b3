//! Numbers for states, so that configurations stay small and most steps are computed once.

use ordeal_core::Model;

use super::hash::{NONE, Table, hash_of, mix};
use super::problem::Problem;

/// What may follow a state by an entry: nothing, one state, or several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct After(u32);

/// Marks the number of a list of states.
const SEVERAL: u32 = 1 << 31;

impl After {
    const NOTHING: After = After(NONE);

    pub(super) fn is_possible(self) -> bool {
        self != After::NOTHING
    }

    /// The state, if there is exactly one.
    pub(super) fn only(self) -> Option<u32> {
        (self.0 & SEVERAL == 0).then_some(self.0)
    }
}

/// The last step computed of all that fall on the same line of the cache.
#[derive(Clone, Copy)]
struct Line {
    state: u32,
    entry: u32,
    after: After,
}

const EMPTY: Line = Line { state: NONE, entry: NONE, after: After::NOTHING };

/// How many lines the cache of steps may have.
const LINES: usize = 1 << 14;

/// The states that a search has met.
pub(super) struct States<'a, M: Model> {
    model: &'a M,
    states: Vec<M::State>,
    levels: Vec<i64>,
    numbers: Table,
    lines: Vec<Line>,
    several: Vec<Box<[u32]>>,
    /// What the states take.
    held: usize,
}

impl<'a, M: Model> States<'a, M> {
    /// No states, with a cache for so many entries.
    pub(super) fn new(model: &'a M, entries: usize) -> Self {
        States {
            model,
            states: Vec::new(),
            levels: Vec::new(),
            numbers: Table::new(),
            lines: vec![EMPTY; (entries * 4).next_power_of_two().min(LINES)],
            several: Vec::new(),
            held: 0,
        }
    }

    pub(super) fn get(&self, number: u32) -> &M::State {
        &self.states[number as usize]
    }

    pub(super) fn level(&self, number: u32) -> i64 {
        self.levels[number as usize]
    }

    pub(super) fn len(&self) -> usize {
        self.states.len()
    }

    /// The number of `state`.
    pub(super) fn number(&mut self, state: M::State) -> u32 {
        let states = &self.states;
        match self.numbers.find(hash_of(&state), |n| states[n as usize] == state) {
            Ok(place) => self.numbers.at(place),
            Err(place) => {
                let number = self.states.len() as u32;
                self.held += self.model.state_bytes(&state) + size_of::<i64>() + 8;
                self.levels.push(self.model.level(&state));
                self.states.push(state);
                let states = &self.states;
                self.numbers.fill(place, number, |n| hash_of(&states[n as usize]));
                number
            }
        }
    }

    /// What may follow `state` by `entry`.
    pub(super) fn step(&mut self, problem: &Problem<'_, M>, state: u32, entry: u32) -> After {
        let line = (mix(u64::from(state), u64::from(entry)) >> 40) as usize & (self.lines.len() - 1);
        let known = self.lines[line];
        if known.state == state && known.entry == entry {
            return known.after;
        }
        let call = problem.call(entry);
        let mut next = self.model.step(self.get(state), call).into_iter();
        let after = match (next.next(), next.next()) {
            (None, _) => After::NOTHING,
            (Some(one), None) => After(self.number(one)),
            (Some(one), Some(other)) => {
                let mut several = Vec::new();
                for state in [one, other].into_iter().chain(next) {
                    let number = self.number(state);
                    // In the order in which the model gives them, for that is the same in every search.
                    if !several.contains(&number) {
                        several.push(number);
                    }
                }
                self.keep_several(several)
            }
        };
        self.lines[line] = Line { state, entry, after };
        after
    }

    fn keep_several(&mut self, several: Vec<u32>) -> After {
        if let [one] = several[..] {
            return After(one);
        }
        if self.several.len() >= LINES {
            self.forget_steps();
        }
        self.several.push(several.into());
        After((self.several.len() as u32 - 1) | SEVERAL)
    }

    fn forget_steps(&mut self) {
        self.lines.fill(EMPTY);
        self.several.clear();
    }

    /// The states of a step, by their place.
    pub(super) fn choice(&self, after: After, at: usize) -> Option<u32> {
        match after.only() {
            Some(one) => (at == 0).then_some(one),
            None if after.is_possible() => self.several[(after.0 & !SEVERAL) as usize].get(at).copied(),
            None => None,
        }
    }

    /// Forgets all states but those that are counted, and says what the new number of each is.
    pub(super) fn keep_only(&mut self, kept: impl Iterator<Item = u32>) -> Vec<u32> {
        let mut old: Vec<Option<M::State>> = std::mem::take(&mut self.states).into_iter().map(Some).collect();
        let mut renamed = vec![NONE; old.len()];
        self.levels.clear();
        self.numbers = Table::new();
        self.held = 0;
        self.forget_steps();
        for number in kept {
            if let Some(state) = old[number as usize].take() {
                renamed[number as usize] = self.number(state);
            }
        }
        renamed
    }

    pub(super) fn bytes(&self) -> usize {
        self.held
            + self.numbers.bytes()
            + self.lines.capacity() * size_of::<Line>()
            + self.several.iter().map(|s| s.len() * 4 + 16).sum::<usize>()
    }
}
