//! Registers to which no value is written twice: reads, writes and successful compare-and-sets, with open
//! ones, in O(n log n).
//!
//! Every value has one call that leaves it, so all calls that see a value form a *group*: first the one that
//! leaves it, then the reads. A compare-and-set ties the group it starts from to the one it leaves; groups
//! tied together form a *chain*, and in a legal order the calls of a chain stand next to one another, group
//! after group. So an order is legal if and only if
//! - no chain forks (two compare-and-sets from one value), closes on itself or begins with a value that
//!   nobody wrote;
//! - in a chain, no call of a later group ended before one of an earlier group began, and no read ended
//!   before its write began;
//! - the chains can be put in a row. Chain C must be before D if some call of C ended before some call of D
//!   began, that is, if C's earliest end is before D's latest start. Two chains that must each be before the
//!   other are a violation, and without such a pair there is no longer circle either: of a shortest circle
//!   C1, C2, .. take any two that are not neighbours, Ci and Ck+1; then end(Ci) ≥ start(Ck+1), and following
//!   the circle gives end(C1) < start(C2) ≤ end(C3) < start(C4) ≤ .. ≤ end(C1).
//!
//! A chain whose earliest end is before its latest start is a *forward zone* between the two; one where all
//! calls overlap is a *backward zone*. Two chains exclude one another exactly if two forward zones overlap,
//! or a backward one lies within a forward one, which one sweep finds (Gibbons & Korach, "Testing shared
//! memories", 1997; zones as in Golab, Li & Shah, "Analyzing consistency properties for fun and profit",
//! 2011). The chain of the initial value comes before all others.
//!
//! An open call took effect if its value was seen by a completed call, or by an open compare-and-set that
//! took effect; any other can be left out, for in a legal order nothing but such calls comes between it and
//! the next write.
//!
//! Conditions: no call that was refused, and no value left twice by calls that took effect, nor the initial
//! value by any.

use ordeal_core::{Answer, Operation, Timed};

use super::values::{INITIAL, NONE, Values};
use crate::models::RegisterAction;

struct Zones<'a> {
    calls: &'a [Timed<RegisterAction>],
    values: &'a Values,
    /// Per value the call that leaves it.
    writer: Vec<u32>,
    /// Per value the one that a compare-and-set turns it into; empty if there are none.
    next: Vec<u32>,
    /// Per value a completed call that proves that it was there, if it was left by an open call.
    witness: Vec<u32>,
    /// Per value the earliest end and the latest start of its group.
    first_end: Vec<u64>,
    last_start: Vec<u64>,
    /// Per value the size of its group, later the place of its next read.
    size: Vec<u32>,
}

/// What a call is to a chain.
enum Part {
    Reads,
    Writes,
    Swaps(u32),
}

/// Judges, if the conditions hold.
pub(super) fn judge(calls: &[Timed<RegisterAction>], values: &Values) -> Option<Answer> {
    if calls.iter().any(|c| matches!(c.call, RegisterAction::NotCas(_))) {
        return None;
    }
    let mut zones = Zones {
        calls,
        values,
        writer: vec![NONE; values.count],
        next: Vec::new(),
        witness: Vec::new(),
        first_end: Vec::new(),
        last_start: Vec::new(),
        size: Vec::new(),
    };
    zones.see_open_calls();
    zones.find_writers()?;
    let answer = zones.group().and_then(|()| zones.in_a_row());
    Some(match answer {
        Ok(order) => Answer::Legal(order),
        Err(mut core) => {
            core.sort_unstable();
            core.dedup();
            Answer::Illegal(core)
        }
    })
}

/// Calls that contradict one another.
type Core = Vec<u32>;

impl Zones<'_> {
    fn part(&self, at: usize) -> Part {
        match self.calls[at].call {
            RegisterAction::Read(_) | RegisterAction::NotCas(_) => Part::Reads,
            RegisterAction::Write(_) => Part::Writes,
            // Sets what is there already.
            RegisterAction::Cas(..) if self.values.from(at) == self.values.to[at] => Part::Reads,
            RegisterAction::Cas(..) => Part::Swaps(self.values.from(at)),
        }
    }

    /// Whether the call certainly took effect.
    fn counts(&self, at: usize) -> bool {
        !self.calls[at].is_open()
            || (!matches!(self.part(at), Part::Reads)
                && self.witness.get(self.values.to[at] as usize).is_some_and(|&w| w != NONE))
    }

    /// Finds a witness for each value that must have been there.
    fn see_open_calls(&mut self) {
        let open = (0_u32..).zip(self.calls).filter(|(_, c)| c.is_open());
        let mut open: Vec<(u32, u32)> = open.map(|(i, _)| (self.values.to[i as usize], i)).collect();
        if open.is_empty() {
            return;
        }
        open.sort_unstable();
        self.witness = vec![NONE; self.values.count];
        for (at, call) in (0_u32..).zip(self.calls).filter(|(_, c)| !c.is_open()) {
            match call.call {
                RegisterAction::Write(_) => {}
                RegisterAction::Cas(..) => self.witness[self.values.from(at as usize) as usize] = at,
                _ => self.witness[self.values.to[at as usize] as usize] = at,
            }
        }
        let mut fresh: Vec<u32> = (0..self.values.count as u32).collect();
        fresh.retain(|&v| self.witness[v as usize] != NONE);
        while let Some(value) = fresh.pop() {
            let seen_by = self.witness[value as usize];
            let from = open.partition_point(|&(v, _)| v < value);
            for &(_, at) in open[from..].iter().take_while(|&&(v, _)| v == value) {
                if let Part::Swaps(before) = self.part(at as usize)
                    && self.witness[before as usize] == NONE
                {
                    self.witness[before as usize] = seen_by;
                    fresh.push(before);
                }
            }
        }
    }

    /// Finds who leaves each value; `None` if it is not one call.
    fn find_writers(&mut self) -> Option<()> {
        for (at, call) in (0_u32..).zip(self.calls) {
            if call.end < call.start || call.start == Operation::OPEN {
                return None;
            }
            let value = self.values.to[at as usize] as usize;
            if matches!(self.part(at as usize), Part::Reads) || !self.counts(at as usize) {
                continue;
            }
            if value == INITIAL as usize || self.writer[value] != NONE {
                return None;
            }
            self.writer[value] = at;
        }
        Some(())
    }

    /// A completed call that took effect only if this one did.
    fn proof(&self, at: u32) -> u32 {
        match self.calls[at as usize].is_open() {
            true => self.witness[self.values.to[at as usize] as usize],
            false => at,
        }
    }

    /// Measures the groups and ties them into chains.
    fn group(&mut self) -> Result<(), Core> {
        self.first_end = vec![Operation::OPEN; self.values.count];
        self.last_start = vec![0; self.values.count];
        self.size = vec![0; self.values.count];
        let exists = |writer: &[u32], v: u32| v == INITIAL || writer[v as usize] != NONE;
        for (at, call) in (0_u32..).zip(self.calls) {
            if !self.counts(at as usize) {
                continue;
            }
            let value = self.values.to[at as usize];
            let v = value as usize;
            match self.part(at as usize) {
                Part::Writes => {}
                Part::Reads => {
                    if !exists(&self.writer, value) {
                        return Err(vec![at]);
                    }
                    let writer = self.writer[v];
                    if writer != NONE && call.end < self.calls[writer as usize].start {
                        return Err(vec![at, writer]);
                    }
                }
                Part::Swaps(from) => {
                    if !exists(&self.writer, from) {
                        return Err(vec![self.proof(at)]);
                    }
                    if self.next.is_empty() {
                        self.next = vec![NONE; self.values.count];
                    }
                    let other = std::mem::replace(&mut self.next[from as usize], value);
                    if other != NONE {
                        let other = self.writer[other as usize];
                        return Err(vec![self.proof(at), self.proof(other)]);
                    }
                }
            }
            self.first_end[v] = self.first_end[v].min(call.end);
            // The calls come in order of their start.
            self.last_start[v] = call.start;
            self.size[v] += 1;
        }
        Ok(())
    }

    /// The values of a chain, beginning with `value`.
    fn chain(&self, value: u32) -> impl Iterator<Item = u32> {
        let next = |&v: &u32| self.next.get(v as usize).copied().filter(|&v| v != NONE);
        std::iter::successors(Some(value), next)
    }

    /// Earliest end, latest start and number of groups of the chain that begins with `value`.
    fn measure(&self, value: u32) -> Result<(u64, u64, usize), Core> {
        let (mut end, mut start, mut groups) = (Operation::OPEN, 0, 0);
        for v in self.chain(value) {
            let of_group = self.first_end[v as usize];
            if of_group < start {
                let before = self.chain(value).take_while(|&w| w != v);
                let calls = [self.ends_first(std::iter::once(v)), self.starts_last(before)];
                return Err(self.proven(&calls));
            }
            end = end.min(of_group);
            start = start.max(self.last_start[v as usize]);
            groups += 1;
        }
        Ok((end, start, groups))
    }

    /// Puts the chains in a row.
    fn in_a_row(&mut self) -> Result<Vec<u32>, Core> {
        let (_, initial_start, mut groups) = self.measure(INITIAL)?;
        // The place in the row, whether the zone is forward, and the first value.
        let mut row: Vec<(u64, u32)> = Vec::new();
        const FORWARD: u32 = 1 << 31;
        for value in 1..self.values.count as u32 {
            let writer = self.writer[value as usize];
            if writer == NONE || !matches!(self.part(writer as usize), Part::Writes) {
                continue;
            }
            let (end, start, in_chain) = self.measure(value)?;
            groups += in_chain;
            if end < initial_start {
                let ends = self.ends_first(self.chain(value));
                return Err(self.proven(&[ends, self.starts_last(self.chain(INITIAL))]));
            }
            row.push((end.min(start), value | if end < start { FORWARD } else { 0 }));
        }
        let written = self.writer.iter().filter(|&&w| w != NONE).count();
        if groups != written + 1 {
            return Err(self.circle());
        }
        row.sort_unstable();
        // Those before the last forward zone end before it begins.
        let mut forward = (INITIAL, 0, 0);
        for (_, entry) in &mut row {
            let is_forward = *entry & FORWARD != 0;
            *entry &= !FORWARD;
            let (end, start, _) = self.measure(*entry)?;
            if forward.1 < start && end < forward.2 {
                return Err(self.exclude(forward.0, *entry));
            }
            if is_forward {
                forward = (*entry, end, start);
            }
        }
        Ok(self.order(&row))
    }

    /// The order, chain after chain.
    fn order(&mut self, row: &[(u64, u32)]) -> Vec<u32> {
        let mut place = 0;
        let firsts = std::iter::once(INITIAL).chain(row.iter().map(|&(_, value)| value));
        for first in firsts {
            let mut value = first;
            while value != NONE {
                let v = value as usize;
                let size = std::mem::replace(&mut self.size[v], place + u32::from(self.writer[v] != NONE));
                place += size;
                value = self.next.get(v).copied().unwrap_or(NONE);
            }
        }
        let mut order = vec![0; place as usize];
        for at in 0..self.calls.len() {
            let v = self.values.to[at] as usize;
            if self.counts(at) && self.writer[v] != at as u32 {
                order[self.size[v] as usize] = at as u32;
                self.size[v] += 1;
            }
        }
        self.place_writers(row, &mut order);
        order
    }

    /// Puts each writer before the reads of its value.
    fn place_writers(&self, row: &[(u64, u32)], order: &mut [u32]) {
        let mut place = 0;
        let firsts = std::iter::once(INITIAL).chain(row.iter().map(|&(_, value)| value));
        for value in firsts.flat_map(|first| self.chain(first)) {
            let v = value as usize;
            if self.writer[v] != NONE
                && let Some(slot) = order.get_mut(place)
            {
                *slot = self.writer[v];
            }
            place = self.size[v] as usize;
        }
    }
}

/// What a violation is made of. Only reached once, so these look through all calls.
impl Zones<'_> {
    fn members(&self, values: impl Iterator<Item = u32>) -> impl Iterator<Item = u32> {
        let mut values: Vec<u32> = values.collect();
        values.sort_unstable();
        let of_chain = move |&at: &u32| values.binary_search(&self.values.to[at as usize]).is_ok();
        (0..self.calls.len() as u32).filter(|&at| self.counts(at as usize)).filter(of_chain)
    }

    fn ends_first(&self, values: impl Iterator<Item = u32>) -> Option<u32> {
        self.members(values).min_by_key(|&at| self.calls[at as usize].end)
    }

    fn starts_last(&self, values: impl Iterator<Item = u32>) -> Option<u32> {
        self.members(values).max_by_key(|&at| self.calls[at as usize].start)
    }

    /// These calls, with what proves that the open ones among them took effect.
    fn proven(&self, calls: &[Option<u32>]) -> Core {
        calls.iter().flatten().flat_map(|&at| [at, self.proof(at)]).collect()
    }

    /// Two chains that must each be before the other.
    fn exclude(&self, a: u32, b: u32) -> Core {
        let chain = |v| self.chain(v);
        let ends = [self.ends_first(chain(a)), self.ends_first(chain(b))];
        let starts = [self.starts_last(chain(a)), self.starts_last(chain(b))];
        self.proven(&[ends, starts].concat())
    }

    /// A compare-and-set that needs itself: its chain has no beginning.
    fn circle(&self) -> Core {
        let mut reached = vec![false; self.values.count];
        let roots = (0..self.values.count as u32).filter(|&v| {
            let writer = self.writer[v as usize];
            v == INITIAL || writer != NONE && matches!(self.part(writer as usize), Part::Writes)
        });
        for value in roots.flat_map(|root| self.chain(root)) {
            reached[value as usize] = true;
        }
        let left = (0..self.values.count).find(|&v| !reached[v] && self.writer[v] != NONE);
        left.map(|v| self.proof(self.writer[v])).into_iter().collect()
    }
}
