//! From what a search placed to an order of all calls.

use ordeal_core::Model;

use super::bits::Bits;
use super::engine::{Engine, Placed};
use super::hash::NONE;
use super::problem::{Kind, Problem};

/// What each configuration of a frontier has placed: chains that share what they have in common.
pub(super) struct Links {
    links: Vec<(u32, Placed)>,
    /// Beyond so many it is worth forgetting what no configuration has placed.
    tidy_at: usize,
}

impl Links {
    pub(super) fn new() -> Self {
        Links { links: Vec::new(), tidy_at: 4096 }
    }

    /// The chain that goes on from another one, or begins if that is [`NONE`].
    pub(super) fn longer(&mut self, chain: u32, placed: Placed) -> u32 {
        self.links.push((chain, placed));
        self.links.len() as u32 - 1
    }

    pub(super) fn is_worth_tidying(&self) -> bool {
        self.links.len() >= self.tidy_at
    }

    /// Forgets what no chain of `ends` contains, and gives them their new numbers. A link always comes
    /// after the one it goes on from, so one pass from the end finds all, and one from the start moves them.
    pub(super) fn tidy<'e>(&mut self, ends: impl Iterator<Item = &'e mut u32>) {
        let mut renamed = vec![NONE; self.links.len()];
        let ends: Vec<&mut u32> = ends.filter(|end| **end != NONE).collect();
        ends.iter().for_each(|end| renamed[**end as usize] = 0);
        for at in (0..self.links.len()).rev() {
            let from = self.links[at].0;
            if renamed[at] != NONE && from != NONE {
                renamed[from as usize] = 0;
            }
        }
        let mut kept = 0;
        for at in 0..self.links.len() {
            if renamed[at] != NONE {
                let (from, placed) = self.links[at];
                let from = if from == NONE { NONE } else { renamed[from as usize] };
                self.links[kept] = (from, placed);
                renamed[at] = kept as u32;
                kept += 1;
            }
        }
        self.links.truncate(kept);
        if self.links.capacity() > 8192 && self.links.capacity() > 4 * kept {
            self.links.shrink_to(2 * kept);
        }
        self.tidy_at = 4096.max(2 * kept);
        ends.into_iter().for_each(|end| *end = renamed[*end as usize]);
    }

    /// What a chain has placed, earliest first.
    pub(super) fn chain(&self, mut at: u32) -> Vec<Placed> {
        let mut chain = Vec::new();
        while at != NONE {
            let (from, placed) = self.links[at as usize];
            chain.push(placed);
            at = from;
        }
        chain.reverse();
        chain
    }

    pub(super) fn bytes(&self) -> usize {
        self.links.capacity() * size_of::<(u32, Placed)>()
    }
}

/// An order in the making. Calls may still be put in before the latest overwrite.
#[derive(Default)]
struct Order {
    before: Vec<u32>,
    from_overwrite: Vec<u32>,
}

/// The order of calls, by position, that a search found by placing these in turn: it also contains the
/// reads, which are answered as soon as they can be. It ends where there is nothing more to place, and is
/// then an order of the whole history or of as much of it as was explained. `None` if what was placed does
/// not fit, which would be an error of the search.
pub(super) fn order<M: Model, B: Bits>(problem: &Problem<'_, M>, placed: &[Placed]) -> Option<Vec<u32>> {
    let mut engine: Engine<'_, M, B> = Engine::new(problem);
    let mut config = engine.first();
    let mut placed = placed.iter().copied().peekable();
    let mut slot_of = vec![NONE; problem.entries.len()];
    let mut order = Order::default();
    // Of an open class the search did not always count which ones it placed.
    let mut used = vec![0; problem.classes.len()];
    let at = |entry: u32| problem.entries[entry as usize].at;
    while let Some(event) = problem.events.get(engine.board.next) {
        if !event.is_end {
            engine.board.forward(problem);
            slot_of[event.entry as usize] = event.slot;
            let reads = matches!(problem.entries[event.entry as usize].kind, Kind::Reads(_));
            if reads && event.slot != NONE && engine.is_answered(config.state, event.entry) {
                config.good.insert(event.slot);
                order.from_overwrite.push(at(event.entry));
            }
            continue;
        }
        let is_read = engine.board.readers.has(event.slot);
        let mut done = config.placed.has(event.slot) || is_read && config.good.has(event.slot);
        while !done {
            let Some(mut next) = placed.next() else {
                return Some([order.before, order.from_overwrite].concat());
            };
            if next.is_hidden() {
                order.before.push(at(next.entry));
                done = next.entry == event.entry;
                continue;
            }
            let about = problem.entries[next.entry as usize];
            if about.class != NONE {
                let class = about.class as usize;
                next.entry =
                    *problem.classes[class][..engine.board.begun[class] as usize].get(used[class])?;
                used[class] += 1;
            }
            if about.kind == Kind::Overwrites {
                order.before.append(&mut order.from_overwrite);
            }
            order.from_overwrite.push(at(next.entry));
            let slot = Some(slot_of[next.entry as usize]).filter(|&slot| slot != NONE);
            let answered = engine.replay(&mut config, slot, next)?;
            let read = |slot| at(engine.board.entry(slot));
            order.from_overwrite.extend(answered.slots().map(read));
            done = config.placed.has(event.slot) || is_read && config.good.has(event.slot);
        }
        config.placed.remove(event.slot);
        config.good.remove(event.slot);
        engine.board.forward(problem);
    }
    Some([order.before, order.from_overwrite].concat())
}
