//! Which entries run at one moment of a history, and which open ones have begun.

use ordeal_core::Model;

use super::bits::Bits;
use super::hash::NONE;
use super::problem::{Event, Kind, Problem};

/// The moment before one event. It can go forward and back.
pub(super) struct Board<B> {
    /// The position of the next event.
    pub(super) next: usize,
    /// The entry in each slot.
    slots: Vec<u32>,
    /// The slots of running entries, by what they do.
    pub(super) readers: B,
    pub(super) overwrites: B,
    pub(super) adds: B,
    pub(super) others: B,
    /// How many open entries of each class have begun.
    pub(super) begun: Vec<u32>,
    /// How many entries have ended.
    pub(super) ended: usize,
    /// Changes whenever other reads run.
    pub(super) reads_changed: u32,
}

impl<B: Bits> Board<B> {
    pub(super) fn new<M: Model>(problem: &Problem<'_, M>) -> Self {
        Board {
            next: 0,
            slots: vec![NONE; problem.width as usize],
            readers: B::default(),
            overwrites: B::default(),
            adds: B::default(),
            others: B::default(),
            begun: vec![0; problem.classes.len()],
            ended: 0,
            reads_changed: 0,
        }
    }

    /// The entry in a slot that is in use.
    pub(super) fn entry(&self, slot: u32) -> u32 {
        self.slots[slot as usize]
    }

    /// Goes past one event.
    pub(super) fn forward<M: Model>(&mut self, problem: &Problem<'_, M>) {
        self.pass(problem, problem.events[self.next], true);
        self.next += 1;
    }

    /// Goes to where the event of this position is the next.
    pub(super) fn seek<M: Model>(&mut self, problem: &Problem<'_, M>, position: usize) {
        while self.next < position {
            self.forward(problem);
        }
        while self.next > position {
            self.next -= 1;
            self.pass(problem, problem.events[self.next], false);
        }
    }

    fn pass<M: Model>(&mut self, problem: &Problem<'_, M>, event: Event, forward: bool) {
        let Event { entry, slot, is_end } = event;
        let begins = is_end != forward;
        let about = problem.entries[entry as usize];
        if slot == NONE {
            let begun = &mut self.begun[about.class as usize];
            *begun = if begins { *begun + 1 } else { *begun - 1 };
            return;
        }
        if is_end {
            self.ended = if forward { self.ended + 1 } else { self.ended - 1 };
        }
        let running = match about.kind {
            Kind::Reads(_) => {
                self.reads_changed += 1;
                &mut self.readers
            }
            Kind::Overwrites => &mut self.overwrites,
            Kind::Adds(_) => &mut self.adds,
            Kind::Other => &mut self.others,
        };
        if begins {
            running.insert(slot);
            self.slots[slot as usize] = entry;
        } else {
            running.remove(slot);
            self.slots[slot as usize] = NONE;
        }
    }
}
