//! From the calls of one object to what a search works on.

use ordeal_core::{Blind, Model, Open, Operation, Timed};

use super::hash::{FastMap, NONE};

/// What a search knows about an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It never changes any state, and is possible only at this level, if that is known.
    Reads(Option<i64>),
    /// It is always possible and leaves the same state whatever was before.
    Overwrites,
    /// It is always possible and raises the level, and nothing but such calls changes the state.
    Adds(i64),
    Other,
}

/// A call to be placed in an order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    /// Its position among the object's calls.
    pub(super) at: u32,
    /// Among which open ones it is interchangeable; [`NONE`] if its end is known.
    pub(super) class: u32,
    /// When it ends, for comparing.
    pub(super) end: u64,
    pub(super) kind: Kind,
}

/// The beginning or the end of an entry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Event {
    pub(super) entry: u32,
    /// The slot that it has while it runs; [`NONE`] for an open one, which only ever begins.
    pub(super) slot: u32,
    pub(super) is_end: bool,
}

/// The calls of one object, in the form a search needs.
pub(super) struct Problem<'a, M: Model> {
    pub(super) model: &'a M,
    calls: &'a [Timed<M::Call>],
    pub(super) entries: Vec<Entry>,
    /// In order of time; at one instant what begins comes first, so that calls that touch overlap.
    pub(super) events: Vec<Event>,
    /// The open entries of each class, in order of their beginning.
    pub(super) classes: Vec<Vec<u32>>,
    /// How many slots there are: how many entries run at once.
    pub(super) width: u32,
    /// How many entries have an end.
    pub(super) ends: usize,
    /// Only additions of numbers not below zero change the state, and every read needs a level.
    pub(super) climbs: bool,
}

impl<'a, M: Model> Problem<'a, M> {
    /// The problem of ordering all calls, which are sorted by their beginning.
    pub(super) fn new(model: &'a M, calls: &'a [Timed<M::Call>]) -> Self {
        Problem::of(model, calls, (0..calls.len() as u32).map(|at| (at, true)))
    }

    /// The problem of ordering these calls, of which those that are not kept are *released*: each may take
    /// effect at any time, from the very beginning on, with the result it has, or never.
    ///
    /// Releasing is sound for every model: an order that explains the whole history explains it with some
    /// calls released too, so if there is no order with them released there is none at all.
    pub(super) fn of(
        model: &'a M,
        calls: &'a [Timed<M::Call>],
        members: impl Iterator<Item = (u32, bool)>,
    ) -> Self {
        // A read whose end is unknown, or that may be left out, tells nothing.
        let tells = |&(at, kept): &(u32, bool)| {
            let call = &calls[at as usize];
            kept && !call.is_open() || !model.reads_only(&call.call)
        };
        let mut members: Vec<(u32, bool)> = members.filter(tells).collect();
        let is_open = |&(at, kept): &(u32, bool)| !kept || calls[at as usize].is_open();
        let open: Vec<usize> = (0..members.len()).filter(|&i| is_open(&members[i])).collect();
        let mut class_of: Vec<Option<u32>> = Vec::new();
        if !open.is_empty() {
            let all: Vec<M::Call> = members.iter().map(|m| calls[m.0 as usize].call.clone()).collect();
            class_of = class_numbers(&model.open_calls(&all, &open), open.len());
            let mut classes = class_of.iter();
            let relevant = |m: &(u32, bool)| !is_open(m) || classes.next().is_some_and(Option::is_some);
            members.retain(relevant);
        }
        let mut classes = class_of.into_iter().flatten();
        let entry = |&(at, kept): &(u32, bool)| {
            let call = &calls[at as usize];
            let open = is_open(&(at, kept));
            let kind = match model.blind(&call.call) {
                _ if model.reads_only(&call.call) => {
                    Kind::Reads(model.needs(&call.call).map(|state| model.level(&state)))
                }
                Some(Blind::Overwrites) => Kind::Overwrites,
                Some(Blind::Adds(n)) => Kind::Adds(n),
                None => Kind::Other,
            };
            let class = if open { classes.next().unwrap_or(NONE) } else { NONE };
            Entry { at, class, end: if open { Operation::OPEN } else { call.end }, kind }
        };
        let mut entries: Vec<Entry> = members.iter().map(entry).collect();
        // The rules about additions hold among themselves. Beside calls that change the state in other ways
        // an addition is a call like any other.
        let only_adds = entries.iter().all(|e| matches!(e.kind, Kind::Adds(_) | Kind::Reads(_)));
        if !only_adds {
            let adds = entries.iter_mut().filter(|e| matches!(e.kind, Kind::Adds(_)));
            adds.for_each(|e| e.kind = Kind::Other);
        }
        let start = |i: u32| match members[i as usize] {
            (at, true) => calls[at as usize].start,
            (_, false) => 0,
        };
        let climbs = entries.iter().all(|e| match e.kind {
            Kind::Adds(n) => n >= 0,
            Kind::Reads(level) => level.is_some(),
            _ => false,
        });
        let (events, width) = in_time(&entries, start);
        let classes = by_class(&entries, &events);
        let ends = entries.iter().filter(|e| e.class == NONE).count();
        Problem { model, calls, entries, events, classes, width, ends, climbs }
    }

    pub(super) fn call(&self, entry: u32) -> &'a M::Call {
        &self.calls[self.entries[entry as usize].at as usize].call
    }

    /// The positions of all calls that matter.
    pub(super) fn members(&self) -> Vec<u32> {
        self.entries.iter().map(|entry| entry.at).collect()
    }

    pub(super) fn bytes(&self) -> usize {
        let classes: usize = self.classes.iter().map(|c| c.capacity() * 4 + 24).sum();
        self.entries.capacity() * size_of::<Entry>() + self.events.capacity() * size_of::<Event>() + classes
    }

    /// What the problem of so many calls will take about, before it is made.
    pub(super) fn bytes_for(calls: usize) -> usize {
        calls * (size_of::<Entry>() + 2 * size_of::<Event>())
    }
}

/// Numbers of the search's own for the classes: one for each class of the model's, one for each call of
/// which nothing may be assumed, none for what is irrelevant.
fn class_numbers(hints: &[Open], open: usize) -> Vec<Option<u32>> {
    let mut numbers: FastMap<u32, u32> = FastMap::default();
    let mut next = 0;
    let mut fresh = || {
        next += 1;
        next - 1
    };
    let number = |i: usize| match hints.get(i).copied().unwrap_or(Open::Unique) {
        Open::Irrelevant => None,
        Open::Class(class) => Some(*numbers.entry(class).or_insert_with(&mut fresh)),
        Open::Unique => Some(fresh()),
    };
    (0..open).map(number).collect()
}

/// The events in order of time, with a slot for every entry that ends, and how many slots that takes.
fn in_time(entries: &[Entry], start: impl Fn(u32) -> u64) -> (Vec<Event>, u32) {
    let all = 0..entries.len() as u32;
    let mut begins: Vec<u32> = all.clone().collect();
    if !begins.is_sorted_by_key(|&i| start(i)) {
        begins.sort_by_key(|&i| start(i));
    }
    let mut ends: Vec<u32> = all.filter(|&i| entries[i as usize].class == NONE).collect();
    ends.sort_unstable_by_key(|&i| (entries[i as usize].end, i));
    let mut slot_of = vec![NONE; entries.len()];
    let (mut free, mut width) = (Vec::new(), 0);
    let mut events = Vec::with_capacity(begins.len() + ends.len());
    let mut begins = begins.into_iter().peekable();
    for end in ends {
        while let Some(entry) = begins.next_if(|&b| start(b) <= entries[end as usize].end) {
            let mut slot = NONE;
            if entries[entry as usize].class == NONE {
                slot = free.pop().unwrap_or(width);
                width = width.max(slot + 1);
                slot_of[entry as usize] = slot;
            }
            events.push(Event { entry, slot, is_end: false });
        }
        let slot = slot_of[end as usize];
        free.push(slot);
        events.push(Event { entry: end, slot, is_end: true });
    }
    // What begins after everything has ended is open, and changes nothing any more.
    (events, width)
}

fn by_class(entries: &[Entry], events: &[Event]) -> Vec<Vec<u32>> {
    let count = entries.iter().map(|e| e.class).filter(|&c| c != NONE).max().map_or(0, |c| c + 1);
    let mut classes = vec![Vec::new(); count as usize];
    for event in events.iter().filter(|e| e.slot == NONE) {
        classes[entries[event.entry as usize].class as usize].push(event.entry);
    }
    classes
}
