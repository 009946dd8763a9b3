//! What the judges of queues, stacks and priority queues have in common: calls by value, times as ranks,
//! and when a container was certainly not empty.
//!
//! Conditions: every value is put in at most once, and only calls that take something out with an unknown
//! result, or that put something in, are open. Four contradictions are found here: a value that was never
//! put in, was taken out twice, was found before it was put in, or after it was taken out.
//!
//! A value that an open call put in and that nobody ever saw is left out: in any legal order it can be left
//! out, with the call of unknown result that took it out if there is one.

use std::collections::HashMap;

use ordeal_core::{Answer, Timed};

use crate::models::{Atom, ContainerCall};

/// No call, no value.
pub(super) const NONE: u32 = u32::MAX;

/// The calls of a container, ordered and paired. Times are ranks: places in the order of all beginnings and
/// ends, a beginning before an end at the same instant. So no two are the same, and one call ended before
/// another began if and only if the rank of its end is smaller.
#[derive(Default)]
pub(super) struct Container {
    /// When each call began and ended; [`forever`](Container::forever) if it is open.
    pub(super) start: Vec<u32>,
    pub(super) end: Vec<u32>,
    /// For each rank the call, times two, and one more if it is the end.
    pub(super) events: Vec<u32>,
    /// The value a call is about, by number.
    pub(super) value: Vec<u32>,
    /// For each value the call that put it in. Values are numbered in the order in which these began.
    pub(super) put: Vec<u32>,
    /// The call that is known to have taken it out, or one of unknown result that was said to.
    pub(super) take: Vec<u32>,
    /// Calls that found nothing, as they began.
    pub(super) empty: Vec<u32>,
    /// Calls that looked and found a value, as they began.
    pub(super) peeks: Vec<u32>,
    /// Open calls that take something out, as they began.
    pub(super) unknown: Vec<u32>,
}

/// Why there is nothing to go on with.
pub(super) enum Decided {
    /// These calls contradict one another.
    Illegal(Vec<u32>),
    /// The conditions do not hold.
    Outside,
}

impl From<Decided> for Option<Answer> {
    fn from(decided: Decided) -> Self {
        match decided {
            Decided::Illegal(core) => Some(Answer::Illegal(core)),
            Decided::Outside => None,
        }
    }
}

impl Container {
    /// Orders and pairs the calls.
    pub(super) fn of(calls: &[Timed<ContainerCall>]) -> Result<Container, Decided> {
        let mut container = Container::default();
        container.rank(calls)?;
        container.pair(calls)?;
        Ok(container)
    }

    /// The end of an open call: later than every rank.
    pub(super) fn forever(&self) -> u32 {
        self.events.len() as u32
    }

    /// When a value is taken out that never is: after all else.
    pub(super) fn never(&self) -> u32 {
        self.forever() + 1
    }

    fn rank(&mut self, calls: &[Timed<ContainerCall>]) -> Result<(), Decided> {
        let in_order = calls.is_sorted_by_key(|c| c.start) && calls.iter().all(|c| c.start <= c.end);
        if !in_order || calls.len() >= 1 << 30 {
            return Err(Decided::Outside);
        }
        let ends = sorted_ends(calls);
        self.events.reserve_exact(calls.len() + ends.len());
        self.start = vec![0; calls.len()];
        self.end = vec![(calls.len() + ends.len()) as u32; calls.len()];
        let mut begun = 0;
        for at in ends {
            let end = calls[at as usize].end;
            while calls.get(begun).is_some_and(|c| c.start <= end) {
                self.start[begun] = self.events.len() as u32;
                self.events.push((begun as u32) << 1);
                begun += 1;
            }
            self.end[at as usize] = self.events.len() as u32;
            self.events.push(at << 1 | 1);
        }
        for at in begun..calls.len() {
            self.start[at] = self.events.len() as u32;
            self.events.push((at as u32) << 1);
        }
        Ok(())
    }

    fn pair(&mut self, calls: &[Timed<ContainerCall>]) -> Result<(), Decided> {
        self.value = vec![NONE; calls.len()];
        let mut numbers = Numbers::for_values(calls);
        for (at, timed) in (0_u32..).zip(calls) {
            if let ContainerCall::Put(value) = timed.call {
                let number = self.put.len() as u32;
                if numbers.put(value, number) {
                    return Err(Decided::Outside);
                }
                self.value[at as usize] = number;
                self.put.push(at);
            }
        }
        self.take = vec![NONE; self.put.len()];
        for (at, timed) in (0_u32..).zip(calls) {
            match timed.call {
                ContainerCall::Put(_) => continue,
                ContainerCall::TakeUnknown if timed.is_open() => self.unknown.push(at),
                _ if timed.is_open() => return Err(Decided::Outside),
                ContainerCall::TakeUnknown => return Err(Decided::Outside),
                ContainerCall::TakeNothing | ContainerCall::PeekNothing => self.empty.push(at),
                ContainerCall::Take(value) | ContainerCall::Peek(value) => {
                    let number = numbers.get(value);
                    if number == NONE {
                        return Err(Decided::Illegal(vec![at]));
                    }
                    self.value[at as usize] = number;
                    let put = self.put[number as usize];
                    if self.end[at as usize] < self.start[put as usize] {
                        return Err(Decided::Illegal(vec![put, at]));
                    }
                    if matches!(timed.call, ContainerCall::Peek(_)) {
                        self.peeks.push(at);
                    } else {
                        let take = std::mem::replace(&mut self.take[number as usize], at);
                        if take != NONE {
                            return Err(Decided::Illegal(vec![take, at]));
                        }
                    }
                }
            }
        }
        let late = |&&peek: &&u32| {
            let take = self.take[self.value[peek as usize] as usize];
            take != NONE && self.end[take as usize] < self.start[peek as usize]
        };
        match self.peeks.iter().find(late) {
            Some(&peek) => Err(Decided::Illegal(vec![self.take[self.value[peek as usize] as usize], peek])),
            None => Ok(()),
        }
    }

    pub(super) fn values(&self) -> std::ops::Range<u32> {
        0..self.put.len() as u32
    }

    pub(super) fn put_start(&self, value: u32) -> u32 {
        self.start[self.put[value as usize] as usize]
    }

    pub(super) fn put_end(&self, value: u32) -> u32 {
        self.end[self.put[value as usize] as usize]
    }

    pub(super) fn take_start(&self, value: u32) -> u32 {
        match self.take[value as usize] {
            NONE => self.never(),
            take => self.start[take as usize],
        }
    }

    pub(super) fn take_end(&self, value: u32) -> u32 {
        match self.take[value as usize] {
            NONE => self.never(),
            take => self.end[take as usize],
        }
    }

    /// The calls that put in a value and took it out.
    pub(super) fn calls_of(&self, value: u32) -> impl Iterator<Item = u32> {
        let both = [self.put[value as usize], self.take[value as usize]];
        both.into_iter().filter(|&call| call != NONE)
    }

    /// Whether nobody ever saw the value, and it need not have been put in.
    pub(super) fn unseen(&self, value: u32) -> bool {
        self.take[value as usize] == NONE && self.put_end(value) == self.forever()
    }

    /// The values whose putting in certainly took effect, as these calls ended, and that nobody is known to
    /// have taken out.
    pub(super) fn left(&self) -> Vec<u32> {
        let ended = self.events.iter().filter(|&&event| event & 1 == 1);
        let values = ended.map(|&event| self.value_put(event >> 1));
        values.filter(|&value| value != NONE && self.take[value as usize] == NONE).collect()
    }

    /// The value that a call put in, unless that is hidden.
    pub(super) fn value_put(&self, call: u32) -> u32 {
        match self.value[call as usize] {
            value if value != NONE && self.put[value as usize] == call => value,
            _ => NONE,
        }
    }

    /// The value that a call took out.
    pub(super) fn value_taken(&self, call: u32) -> u32 {
        match self.value[call as usize] {
            value if value != NONE && self.take[value as usize] == call => value,
            _ => NONE,
        }
    }

    /// Lets these values, which nobody is known to have taken out, be as if they had never been put in.
    pub(super) fn hide(&mut self, values: &[u32]) {
        for &value in values {
            self.value[self.put[value as usize] as usize] = NONE;
        }
    }

    /// Undoes [`hide`](Container::hide).
    pub(super) fn unhide(&mut self, values: &[u32]) {
        for &value in values {
            self.value[self.put[value as usize] as usize] = value;
        }
    }

    /// Says that the open call took out `value`.
    pub(super) fn assign(&mut self, call: u32, value: u32) {
        self.take[value as usize] = call;
        self.value[call as usize] = value;
    }

    /// Takes back all that [`assign`](Container::assign) said.
    pub(super) fn unassign(&mut self) {
        for &call in &self.unknown {
            let value = std::mem::replace(&mut self.value[call as usize], NONE);
            if value != NONE {
                self.take[value as usize] = NONE;
            }
        }
    }
}

/// The completed calls in order of their ends.
fn sorted_ends(calls: &[Timed<ContainerCall>]) -> Vec<u32> {
    let closed = (0_u32..).zip(calls).filter(|(_, call)| !call.is_open());
    let latest = closed.clone().map(|(_, call)| call.end).max().unwrap_or(0);
    if latest <= 4 * calls.len() as u64 {
        // Times are places in the history, as they mostly are: they are counted.
        let mut next = vec![0_u32; latest as usize + 2];
        closed.clone().for_each(|(_, call)| next[call.end as usize + 1] += 1);
        for end in 1..next.len() {
            next[end] += next[end - 1];
        }
        let mut ends = vec![0; next[latest as usize + 1] as usize];
        for (at, call) in closed {
            let place = &mut next[call.end as usize];
            ends[*place as usize] = at;
            *place += 1;
        }
        return ends;
    }
    let mut ends: Vec<(u64, u32)> = closed.map(|(at, call)| (call.end, at)).collect();
    ends.sort_unstable();
    ends.iter().map(|end| end.1).collect()
}

/// Numbers for values: a table if they are whole numbers that lie close together.
enum Numbers {
    Table { low: i64, numbers: Vec<u32> },
    Map(HashMap<Atom, u32>),
}

impl Numbers {
    fn for_values(calls: &[Timed<ContainerCall>]) -> Numbers {
        let mut range = Some((i64::MAX, i64::MIN));
        let mut puts = 0;
        for timed in calls {
            if let ContainerCall::Put(value) = timed.call {
                puts += 1;
                range = range.zip(value.as_int()).map(|((low, high), n)| (low.min(n), high.max(n)));
            }
        }
        let table = range.and_then(|(low, high)| Some((low, high.checked_sub(low)?.checked_add(1)?)));
        match table.filter(|&(_, width)| width > 0 && width <= 8 * puts + 1024) {
            Some((low, width)) => Numbers::Table { low, numbers: vec![NONE; width as usize] },
            None => Numbers::Map(HashMap::with_capacity(puts as usize)),
        }
    }

    /// Whether the value had a number before.
    fn put(&mut self, value: Atom, number: u32) -> bool {
        match self {
            Numbers::Table { low, numbers } => {
                let place = value.as_int().and_then(|n| numbers.get_mut(n.checked_sub(*low)? as usize));
                place.is_none_or(|place| std::mem::replace(place, number) != NONE)
            }
            Numbers::Map(numbers) => numbers.insert(value, number).is_some(),
        }
    }

    fn get(&self, value: Atom) -> u32 {
        let number = match self {
            Numbers::Table { low, numbers } => {
                let place = value.as_int().and_then(|n| n.checked_sub(*low));
                place.and_then(|place| numbers.get(usize::try_from(place).ok()?))
            }
            Numbers::Map(numbers) => numbers.get(&value),
        };
        number.copied().unwrap_or(NONE)
    }
}

/// Finds for each call that found nothing an instant at which no value was certainly there: between the end
/// of putting it in and the beginning of taking it out. Answers with these instants, rising, or with a call
/// that has none and few values that cover it.
///
/// What is certain is an open interval of ranks, so the end of a run of overlapping ones is free.
pub(super) fn instants(container: &Container) -> Result<Vec<u32>, (u32, Vec<u32>)> {
    let mut instants = Vec::with_capacity(container.empty.len());
    if container.empty.is_empty() {
        return Ok(instants);
    }
    let by_end = container.events.iter().filter(|&&event| event & 1 == 1);
    let values = by_end.map(|&event| container.value_put(event >> 1)).filter(|&value| value != NONE);
    let mut values = values.peekable();
    let mut covered_to = 0;
    for &call in &container.empty {
        let start = container.start[call as usize];
        while let Some(value) = values.next_if(|&v| container.put_end(v) < start.max(covered_to)) {
            covered_to = covered_to.max(container.take_start(value));
        }
        let instant = start.max(covered_to);
        if instant > container.end[call as usize] {
            return Err((call, cover(container, start, container.end[call as usize])));
        }
        instants.push(instant);
    }
    Ok(instants)
}

/// As few values as possible of which at every instant between the two one was certainly there.
fn cover(container: &Container, from: u32, to: u32) -> Vec<u32> {
    let by_end = container.events.iter().filter(|&&event| event & 1 == 1);
    let values = by_end.map(|&event| container.value_put(event >> 1)).filter(|&value| value != NONE);
    let mut chosen = Vec::new();
    let (mut covered_to, mut best) = (from, None);
    for value in values {
        if container.put_end(value) >= covered_to {
            chosen.extend(best.take().map(|(taken, best)| {
                covered_to = taken;
                best
            }));
            if covered_to > to {
                break;
            }
        }
        let taken = container.take_start(value);
        if taken > best.map_or(covered_to, |(taken, _)| taken) {
            best = Some((taken, value));
        }
    }
    if covered_to <= to {
        chosen.extend(best.map(|(_, value)| value));
    }
    chosen
}

/// Where calls of unknown result are said to have taken out what was left, first in first out: the calls
/// that show that at an instant at which `value` was certainly there one of the values was that had been
/// put in by then. With so many calls of unknown result before, one more value is named than they can have
/// taken out, and all that began later.
pub(super) fn justify(container: &Container, left: &[u32], value: u32, instant: u32) -> Vec<u32> {
    let Some(place) = left.iter().position(|&v| v == value) else {
        return container.calls_of(value).collect();
    };
    let began = container.unknown.partition_point(|&call| container.start[call as usize] <= instant);
    let values = &left[place.saturating_sub(began)..=place];
    let puts = values.iter().map(|&v| container.put[v as usize]);
    puts.chain(container.unknown[began..].iter().copied()).collect()
}
