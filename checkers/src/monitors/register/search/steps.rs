//! How each configuration came about: a tree of steps, of which only what is still needed is kept.

/// What was placed in one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Placed {
    /// This call.
    Call(u32),
    /// One of the open calls of this class.
    Class(u32),
}

/// The tree. Step 0 is the beginning.
#[derive(Debug)]
pub(super) struct Steps {
    /// The step before, and what was placed: its number, whether it is a class, whether it is hidden.
    steps: Vec<(u32, u32)>,
    /// Tidied when there are so many.
    full: usize,
}

/// So many steps are kept without looking whether they are needed.
const FULL: usize = 1 << 20;

impl Steps {
    pub(super) fn new() -> Self {
        Steps { steps: vec![(0, 0)], full: FULL }
    }

    /// Adds a step; a hidden one is placed immediately before the last blind write that is not hidden.
    pub(super) fn push(&mut self, before: u32, placed: Placed, hidden: bool) -> u32 {
        let what = match placed {
            Placed::Call(call) => call << 2,
            Placed::Class(class) => class << 2 | 2,
        };
        self.steps.push((before, what | u32::from(hidden)));
        self.steps.len() as u32 - 1
    }

    /// All that was placed, in its order. `is_write` says of what is placed whether it is a blind write.
    pub(super) fn order(&self, last: u32, is_write: impl Fn(Placed) -> bool) -> Vec<Placed> {
        let (mut order, mut hidden) = (Vec::new(), Vec::new());
        let mut at = last;
        while at != 0 {
            let (before, what) = self.steps[at as usize];
            let placed = match what & 2 {
                0 => Placed::Call(what >> 2),
                _ => Placed::Class(what >> 2),
            };
            if what & 1 != 0 {
                hidden.push(placed);
            } else {
                order.push(placed);
                if is_write(placed) {
                    order.append(&mut hidden);
                }
            }
            at = before;
        }
        order.reverse();
        order
    }

    pub(super) fn is_full(&self) -> bool {
        self.steps.len() >= self.full
    }

    /// Forgets all steps that do not lead to one of these, which get new numbers.
    pub(super) fn keep_only<'a>(&mut self, ends: impl Iterator<Item = &'a mut u32>) {
        let ends: Vec<&mut u32> = ends.collect();
        let mut new = vec![0_u32; self.steps.len()];
        new[0] = 1;
        for end in &ends {
            new[**end as usize] = 1;
        }
        for at in (1..self.steps.len()).rev() {
            if new[at] != 0 {
                new[self.steps[at].0 as usize] = 1;
            }
        }
        let mut kept = 0;
        for at in 0..self.steps.len() {
            if new[at] != 0 {
                let (before, what) = self.steps[at];
                self.steps[kept] = (new[before as usize], what);
                new[at] = kept as u32;
                kept += 1;
            }
        }
        self.steps.truncate(kept);
        self.steps.shrink_to(FULL);
        for end in ends {
            *end = new[*end as usize];
        }
        self.full = FULL.max(2 * kept);
    }

    pub(super) fn len(&self) -> usize {
        self.steps.len()
    }
}
