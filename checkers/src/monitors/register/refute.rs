//! Reads of values that certainly were not there, found in O(n log n) whatever was written how often.
//!
//! Let `r` be a completed call that found the value v, in a read or a compare-and-set. Some call `p` that
//! leaves v, or the beginning for the initial value, comes before `r` with v still there. Let `x` be any
//! completed call that shows another value than v, before or after it. `x` cannot lie between `p` and `r`
//! in real time: the value would have had to come back by another call that leaves v, of which the same can
//! be said. So with D(p) the earliest end of such an `x` that began after `p` ended, one `p` must have
//! p.start ≤ r.end and r.start ≤ D(p). If none has, this is a violation of `r`, of all calls that leave v,
//! and of one `x`: the one that began last of those that ended before `r` began, for it began after all of
//! those `p` ended that did not begin after `r` ended.

use ordeal_core::Operation;

use super::calls::{Act, Call, Calls};
use super::values::{INITIAL, NONE};

/// The earliest end among some calls, the only value that call shows, and the earliest end among those
/// that show another.
#[derive(Clone, Copy)]
struct Ends {
    first: u64,
    shows: u32,
    other: u64,
}

impl Ends {
    const EMPTY: Ends = Ends { first: Operation::OPEN, shows: NONE, other: Operation::OPEN };

    fn with(mut self, end: u64, shows: u32) -> Ends {
        if end < self.first {
            if shows != self.shows || shows == NONE {
                self.other = self.first;
            }
            (self.first, self.shows) = (end, shows);
        } else if (shows != self.shows || shows == NONE) && end < self.other {
            self.other = end;
        }
        self
    }

    fn not_showing(&self, value: u32) -> u64 {
        if self.shows == value { self.other } else { self.first }
    }
}

/// The only value that is there during the call; [`NONE`] if several are. `None` if it shows nothing.
fn shows(call: &Call) -> Option<u32> {
    match call.act {
        _ if call.is_open() => None,
        Act::Read(v) | Act::Write(v) => Some(v),
        Act::Swap(..) => Some(NONE),
        Act::Not(_) => None,
    }
}

/// The value that the call finds, if it is completed.
fn finds(call: &Call) -> Option<u32> {
    match call.act {
        _ if call.is_open() => None,
        Act::Read(v) | Act::Swap(v, _) => Some(v),
        _ => None,
    }
}

fn leaves(call: &Call) -> Option<u32> {
    match call.act {
        Act::Write(v) | Act::Swap(_, v) => Some(v),
        _ => None,
    }
}

/// Looks for such a violation. Positions are of the history.
pub(super) fn judge(calls: &Calls) -> Option<Vec<u32>> {
    let list = &calls.calls;
    let mut after = vec![Ends::EMPTY; list.len() + 1];
    for (i, call) in list.iter().enumerate().rev() {
        after[i] = match shows(call) {
            Some(value) => after[i + 1].with(call.end, value),
            None => after[i + 1],
        };
    }
    // For each value its writers in order of their start, with the latest D up to there.
    let mut first = vec![0_u32; calls.values + 1];
    for value in list.iter().filter_map(leaves) {
        first[value as usize + 1] += 1;
    }
    for v in 0..calls.values {
        first[v + 1] += first[v];
    }
    let mut next = first.clone();
    let mut writers = vec![(0, 0); first[calls.values] as usize];
    for call in list {
        let Some(value) = leaves(call) else { continue };
        let until = match call.is_open() {
            true => Operation::OPEN,
            false => after[list.partition_point(|c| c.start <= call.end)].not_showing(value),
        };
        let place = &mut next[value as usize];
        let before = match *place > first[value as usize] {
            true => writers[*place as usize - 1].1,
            false => 0,
        };
        writers[*place as usize] = (call.start, until.max(before));
        *place += 1;
    }
    let initial_until = after[0].not_showing(INITIAL);
    let impossible = |call: &&Call| {
        let Some(value) = finds(call) else { return false };
        let v = value as usize;
        let of_value = &writers[first[v] as usize..first[v + 1] as usize];
        let began = of_value.partition_point(|&(start, _)| start <= call.end);
        let possible = began > 0 && call.start <= of_value[began - 1].1;
        !possible && (value != INITIAL || initial_until < call.start)
    };
    list.iter().find(impossible).map(|read| core(list, read))
}

/// The read, all that leave its value, and one that shows another.
fn core(list: &[Call], read: &Call) -> Vec<u32> {
    let value = finds(read);
    let writes = |c: &&Call| leaves(c) == value;
    let mut core: Vec<u32> = list.iter().filter(writes).map(|c| c.at).collect();
    let shows_other = |c: &&Call| c.end < read.start && shows(c).is_some_and(|v| Some(v) != value);
    if !core.is_empty() || value == Some(INITIAL) {
        core.extend(list.iter().filter(shows_other).max_by_key(|c| c.start).map(|c| c.at));
    }
    core.push(read.at);
    core.sort_unstable();
    core.dedup();
    core
}
