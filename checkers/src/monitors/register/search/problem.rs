//! The calls in order of time, with a slot for each that runs and a class for each that is open.

use super::super::calls::{Act, Call, Calls};
use super::super::values::NONE;

/// Open calls that do the same: which of them takes effect makes no difference but by its start.
#[derive(Debug)]
pub(super) struct Class {
    pub(super) act: Act,
    /// The calls, in order of their start.
    pub(super) calls: Vec<u32>,
    /// The events at which they began.
    pub(super) begins: Vec<u32>,
}

/// What the search goes through.
#[derive(Debug)]
pub(super) struct Problem<'a> {
    pub(super) calls: &'a [Call],
    /// Beginnings and ends in order of time, beginnings first: twice the call, and one more for an end.
    pub(super) events: Vec<u32>,
    /// For each call its slot, or its class if it is open.
    pub(super) slots: Vec<u32>,
    /// How many slots there are.
    pub(super) width: usize,
    pub(super) classes: Vec<Class>,
    /// For each value the classes that leave it.
    pub(super) into: Vec<Vec<u32>>,
}

impl<'a> Problem<'a> {
    /// Equal open calls are one class.
    pub(super) fn of(list: &'a Calls) -> Self {
        Self::with(list, |class, act| class.act == act)
    }

    /// Each open call is a class of its own.
    pub(super) fn one_by_one(list: &'a Calls) -> Self {
        Self::with(list, |_, _| false)
    }

    fn with(list: &'a Calls, belongs: impl Fn(&Class, Act) -> bool) -> Self {
        let calls = &list.calls;
        let mut problem = Problem {
            calls,
            events: events(calls),
            slots: vec![NONE; calls.len()],
            width: 0,
            classes: Vec::new(),
            into: Vec::new(),
        };
        let mut open: Vec<u32> = (0..calls.len() as u32).filter(|&i| calls[i as usize].is_open()).collect();
        open.sort_by_key(|&i| calls[i as usize].act);
        for i in open {
            let act = calls[i as usize].act;
            if !problem.classes.last().is_some_and(|class| belongs(class, act)) {
                problem.classes.push(Class { act, calls: Vec::new(), begins: Vec::new() });
            }
            problem.slots[i as usize] = problem.classes.len() as u32 - 1;
            if let Some(class) = problem.classes.last_mut() {
                class.calls.push(i);
            }
        }
        problem.number_slots();
        if !problem.classes.is_empty() {
            problem.into = vec![Vec::new(); list.values];
            for (number, class) in (0..).zip(&problem.classes) {
                if let Act::Write(to) | Act::Swap(_, to) = class.act {
                    problem.into[to as usize].push(number);
                }
            }
        }
        problem
    }

    fn number_slots(&mut self) {
        let mut free: Vec<u32> = Vec::new();
        for (number, &event) in (0..).zip(&self.events) {
            let call = (event / 2) as usize;
            if event % 2 == 1 {
                free.push(self.slots[call]);
            } else if self.calls[call].is_open() {
                self.classes[self.slots[call] as usize].begins.push(number);
            } else {
                self.slots[call] = free.pop().unwrap_or(self.width as u32);
                self.width = self.width.max(self.slots[call] as usize + 1);
            }
        }
    }
}

fn events(calls: &[Call]) -> Vec<u32> {
    let mut ends: Vec<(u64, u32)> =
        (0..).zip(calls).filter(|(_, c)| !c.is_open()).map(|(i, c)| (c.end, i)).collect();
    ends.sort_unstable();
    let mut ends = ends.into_iter().peekable();
    let mut events = Vec::with_capacity(calls.len() * 2);
    for (i, call) in (0_u32..).zip(calls) {
        while let Some((_, ended)) = ends.next_if(|&(end, _)| end < call.start) {
            events.push(ended * 2 + 1);
        }
        events.push(i * 2);
    }
    events.extend(ends.map(|(_, ended)| ended * 2 + 1));
    events
}
