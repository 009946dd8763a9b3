//! Registers that count their writes, where every completed call says its version: O(n log n).
//!
//! Versions put the calls in a row of *levels*: the call that leaves version v, then the reads of version v,
//! then the call that leaves v + 1. So the calls are legal if and only if
//! - every level from 1 to the highest has one call that leaves it, and all calls agree on its value;
//! - no call of a later place in the row ended before one of an earlier place began.
//!
//! A level that no completed call leaves was left by an open one, which must have begun before any call of a
//! later place ended. Which open call it was matters little in practice, so it is looked for greedily: of the
//! writes that leave the value that was seen there the one that began first for the lowest level, then a
//! compare-and-set that fits; levels whose value nobody saw get any open write that is left. A way to fill
//! all levels is an order, whatever way it is.
//!
//! Conditions: every completed call says its version. If levels cannot be filled like this, nothing is said,
//! except where it is plain that there is no order: nobody leaves the value that was seen, or a version is
//! higher than there are calls that leave one.

use std::collections::HashMap;

use ordeal_core::{Answer, Operation, Timed};

use crate::models::{Atom, RegisterAction, RegisterCall};

const NONE: u32 = u32::MAX;

/// What is known of a version.
#[derive(Clone, Copy)]
struct Level {
    /// The call that leaves it.
    writer: u32,
    /// Its value, and the call that shows it.
    value: Option<(Atom, u32)>,
}

struct Row<'a> {
    calls: &'a [Timed<RegisterCall>],
    levels: Vec<Level>,
    /// Reads by version, then by start.
    reads: Vec<(u64, u32)>,
    /// Open calls that could be used up, by the value they leave, in order of their start, the first last.
    open: HashMap<Atom, Vec<u32>>,
}

/// Judges, if the conditions hold.
pub(crate) fn judge(initial: Atom, calls: &[Timed<RegisterCall>]) -> Option<Answer> {
    let silent = |c: &Timed<RegisterCall>| !c.is_open() && c.call.version.is_none();
    let strange = |c: &Timed<RegisterCall>| c.end < c.start || c.start == Operation::OPEN;
    let refused = |c: &Timed<RegisterCall>| matches!(c.call.action, RegisterAction::NotCas(_));
    if calls.iter().any(|c| silent(c) || strange(c) || refused(c)) || calls.len() >= NONE as usize {
        return None;
    }
    match Row::of(initial, calls).and_then(|row| row.complete()) {
        Ok(order) => order.map(Answer::Legal),
        Err(core) => Some(Answer::Illegal(core)),
    }
}

/// Calls that contradict one another.
type Core = Vec<u32>;

fn writes(call: &RegisterCall) -> Option<Atom> {
    match call.action {
        RegisterAction::Write(to) | RegisterAction::Cas(_, to) => Some(to),
        _ => None,
    }
}

impl<'a> Row<'a> {
    /// Puts the completed calls on their levels.
    fn of(initial: Atom, calls: &'a [Timed<RegisterCall>]) -> Result<Self, Core> {
        let most = calls.iter().filter(|c| writes(&c.call).is_some()).count() as u64;
        let highest = (0_u32..).zip(calls).filter_map(|(i, c)| Some((c.call.version?, i))).max();
        let (highest, at) = highest.unwrap_or((0, NONE));
        if highest > most {
            return Err(vec![at]);
        }
        let levels = vec![Level { writer: NONE, value: None }; highest as usize + 1];
        let mut row = Row { calls, levels, reads: Vec::new(), open: HashMap::new() };
        row.levels[0].value = Some((initial, NONE));
        for (at, timed) in (0_u32..).zip(calls) {
            let call = &timed.call;
            let Some(version) = call.version else {
                if let Some(to) = writes(call).filter(|&to| call.echo.is_none_or(|echo| echo == to)) {
                    row.open.entry(to).or_default().push(at);
                }
                continue;
            };
            if let Some(to) = writes(call) {
                row.write(at, version, to)?;
            } else if let RegisterAction::Read(value) = call.action {
                if call.echo.is_some_and(|echo| echo != value) {
                    return Err(vec![at]);
                }
                row.show(at, version, value)?;
                row.reads.push((version, at));
            }
        }
        row.open.values_mut().for_each(|calls| calls.reverse());
        row.reads.sort_unstable();
        Ok(row)
    }

    /// A call that left the version.
    fn write(&mut self, at: u32, version: u64, to: Atom) -> Result<(), Core> {
        let call = &self.calls[at as usize].call;
        if version == 0 || call.echo.is_some_and(|echo| echo != to) {
            return Err(vec![at]);
        }
        let before = std::mem::replace(&mut self.levels[version as usize].writer, at);
        if before != NONE {
            return Err(vec![before, at]);
        }
        if let RegisterAction::Cas(from, _) = call.action {
            self.show(at, version - 1, from)?;
        }
        self.show(at, version, to)
    }

    /// A call shows that this value was there at this version.
    fn show(&mut self, at: u32, version: u64, value: Atom) -> Result<(), Core> {
        let level = &mut self.levels[version as usize].value;
        match *level {
            None => *level = Some((value, at)),
            Some((other, by)) if other != value => {
                let both = [by, at].into_iter().filter(|&call| call != NONE);
                return Err(both.collect());
            }
            Some(_) => {}
        }
        Ok(())
    }

    /// The order, once the levels that are left are filled; nothing if that does not succeed.
    fn complete(mut self) -> Result<Option<Vec<u32>>, Core> {
        let row = self.in_a_row();
        self.keeps_to_time(&row)?;
        let missing: Vec<usize> = (1..self.levels.len()).filter(|&v| self.levels[v].writer == NONE).collect();
        if missing.is_empty() {
            return Ok(Some(row));
        }
        let deadlines = self.deadlines();
        let (seen, unseen): (Vec<usize>, Vec<usize>) =
            missing.into_iter().partition(|&v| self.levels[v].value.is_some());
        for version in seen {
            let Some((value, by)) = self.levels[version].value else { continue };
            if !self.calls.iter().any(|c| writes(&c.call) == Some(value)) {
                return Err(vec![by]);
            }
            let before = self.levels[version - 1].value.map(|(value, _)| value);
            let call = self.take(value, before, deadlines[version]);
            let Some(call) = call else { return Ok(None) };
            self.levels[version].writer = call;
        }
        let is_write =
            |&call: &u32| matches!(self.calls[call as usize].call.action, RegisterAction::Write(_));
        let mut left: Vec<u32> = self.open.values().flatten().copied().filter(is_write).collect();
        left.sort_unstable_by_key(|&call| std::cmp::Reverse((self.calls[call as usize].start, call)));
        for version in unseen {
            let call = left.pop().filter(|&call| self.calls[call as usize].start <= deadlines[version]);
            let Some(call) = call else { return Ok(None) };
            self.levels[version].writer = call;
        }
        Ok(Some(self.in_a_row()))
    }

    /// All calls that have a level, in their order.
    fn in_a_row(&self) -> Vec<u32> {
        let mut row = Vec::with_capacity(self.calls.len());
        let mut reads = self.reads.iter().peekable();
        for (version, level) in (0_u64..).zip(&self.levels) {
            if level.writer != NONE {
                row.push(level.writer);
            }
            while let Some(&(_, read)) = reads.next_if(|r| r.0 == version) {
                row.push(read);
            }
        }
        row
    }

    /// Whether no call ended before one that is placed before it began.
    fn keeps_to_time(&self, row: &[u32]) -> Result<(), Core> {
        let mut latest: Option<(u64, u32)> = None;
        for &call in row {
            let timed = &self.calls[call as usize];
            if let Some((_, earlier)) = latest.filter(|&(start, _)| timed.end < start) {
                return Err(vec![call, earlier]);
            }
            latest = latest.max(Some((timed.start, call)));
        }
        Ok(())
    }

    /// For each version the earliest end of what comes after the call that leaves it.
    fn deadlines(&self) -> Vec<u64> {
        let mut deadlines = vec![Operation::OPEN; self.levels.len()];
        for &(version, read) in &self.reads {
            let deadline = &mut deadlines[version as usize];
            *deadline = (*deadline).min(self.calls[read as usize].end);
        }
        for version in (1..self.levels.len()).rev() {
            let writer = self.levels[version].writer;
            let end = if writer == NONE { Operation::OPEN } else { self.calls[writer as usize].end };
            deadlines[version - 1] = deadlines[version - 1].min(end).min(deadlines[version]);
        }
        deadlines
    }

    /// Takes the open write of the value that began first, or else a compare-and-set from what is before.
    fn take(&mut self, value: Atom, before: Option<Atom>, deadline: u64) -> Option<u32> {
        let open = self.open.get_mut(&value)?;
        let in_time = |call: u32| self.calls[call as usize].start <= deadline;
        let action = |call: u32| self.calls[call as usize].call.action;
        let write = |&call: &u32| in_time(call) && matches!(action(call), RegisterAction::Write(_));
        let fits = |&call: &u32| {
            in_time(call) && matches!(action(call), RegisterAction::Cas(from, _) if Some(from) == before)
        };
        let at = open.iter().rposition(write).or_else(|| open.iter().rposition(fits))?;
        Some(open.remove(at))
    }
}

#[cfg(test)]
mod tests {
    use ordeal_core::{Model, Rng};

    use super::*;
    use crate::models::VersionedRegister;
    use crate::testing::{differential, intervals};

    /// Calls that take effect at some time while they run, some results changed afterwards.
    fn draw(rng: &mut Rng, values: u64) -> Vec<Timed<RegisterCall>> {
        let n = rng.between(2, 9) as usize;
        let (width, open) = (*rng.pick(&[2, 3, 9]), *rng.pick(&[0.0, 0.2, 0.5]));
        let mut times = intervals(rng, n, width, open);
        if rng.chance(0.15) {
            let all = times.iter_mut().flat_map(|t| [&mut t.0, &mut t.1]);
            all.filter(|t| **t != Operation::OPEN).for_each(|t| *t /= 2);
        }
        let some = |rng: &mut Rng| match rng.below(8) {
            0 => Atom::NULL,
            _ => Atom::int(rng.below(values) as i64),
        };
        let mut order: Vec<(u64, usize)> = Vec::new();
        for (i, &(start, end)) in times.iter().enumerate() {
            let last = if end == Operation::OPEN { 2 * n as u64 } else { end };
            order.push((rng.between(start, last.max(start)), i));
        }
        order.sort_unstable();
        let (mut version, mut value) = (0, Atom::NULL);
        let mut calls: Vec<Option<RegisterCall>> = vec![None; n];
        for (_, i) in order {
            let open = times[i].1 == Operation::OPEN;
            let action = match rng.below(10) {
                0..5 if !open => RegisterAction::Read(value),
                0..8 => RegisterAction::Write(some(rng)),
                _ if open => RegisterAction::Cas(some(rng), some(rng)),
                _ => RegisterAction::Cas(value, some(rng)),
            };
            if !open || rng.chance(0.5) {
                let after = action.apply(value);
                version += u64::from(after.is_some() && !matches!(action, RegisterAction::Read(_)));
                value = after.unwrap_or(value);
            }
            let echo = (!open && rng.chance(0.3))
                .then(|| writes(&RegisterCall { action, version: None, echo: None }));
            calls[i] =
                Some(RegisterCall { action, version: (!open).then_some(version), echo: echo.flatten() });
        }
        let calls = calls.into_iter().flatten().zip(times);
        let mut calls: Vec<_> = calls.map(|(call, (start, end))| Timed { call, start, end }).collect();
        if rng.chance(0.4) {
            let call = &mut calls[rng.below(n as u64) as usize].call;
            match (&mut call.action, &mut call.version) {
                (_, Some(version)) if rng.chance(0.5) => *version = rng.below(*version + 2),
                (RegisterAction::Read(v) | RegisterAction::Cas(v, _), Some(_)) => *v = some(rng),
                _ => {}
            }
        }
        calls
    }

    fn agrees(histories: u64) {
        for values in [2, 9] {
            let tally = differential(&VersionedRegister::default(), histories, |rng| draw(rng, values));
            assert!(tally.outside < histories / 8, "{tally:?}");
        }
    }

    #[test]
    fn agrees_with_trying_all_orders() {
        agrees(100_000);
    }

    #[test]
    #[ignore = "long"]
    fn agrees_with_trying_all_orders_of_millions() {
        agrees(5_000_000);
    }

    fn call(action: RegisterAction, version: u64, start: u64, end: u64) -> Timed<RegisterCall> {
        let version = (end != Operation::OPEN).then_some(version);
        Timed { call: RegisterCall { action, version, echo: None }, start, end }
    }

    #[test]
    fn violations_name_those_at_fault() {
        let (a, b) = (Atom::int(1), Atom::int(2));
        let (read, write) = (RegisterAction::Read, RegisterAction::Write);
        let open = Operation::OPEN;
        let cases: [(&[_], &[u32]); 7] = [
            (&[call(write(a), 1, 0, 1), call(write(b), 1, 2, 3)], &[0, 1]),
            (&[call(write(a), 1, 0, 1), call(read(b), 1, 2, 3)], &[0, 1]),
            (&[call(write(a), 1, 0, 1), call(read(a), 2, 2, 3)], &[1]),
            (&[call(write(a), 1, 0, 1), call(read(Atom::NULL), 0, 2, 3)], &[0, 1]),
            (&[call(read(a), 0, 0, 1)], &[0]),
            (&[call(write(a), 0, 0, open), call(read(b), 1, 2, 3)], &[1]),
            (&[call(write(a), 1, 0, 1), call(RegisterAction::Cas(b, a), 2, 2, 3)], &[0, 1]),
        ];
        for (calls, core) in cases {
            let Some(Answer::Illegal(mut found)) = VersionedRegister::default().monitor(calls) else {
                panic!("{calls:?} are illegal");
            };
            found.sort_unstable();
            assert_eq!(found, core, "{calls:?}");
        }
        let filled = [call(write(a), 0, 0, open), call(write(b), 2, 1, 2), call(read(b), 2, 3, 4)];
        let answer = VersionedRegister::default().monitor(&filled);
        assert_eq!(answer, Some(Answer::Legal(vec![0, 1, 2])));
    }
}
