//! A counter that only grows: near-linear for equal amounts, and fast while few amounts fit.
//!
//! Condition: no amount is negative, and no sum leaves the range of 64 bits.
//!
//! All reads of one value, a *class*, say two things: the sum must be there when the first of them ends, and
//! must not go on before the last of them has begun. Since the sum never shrinks, and takes every value but
//! once, that is all they say: no addition may jump over the value of a class. What is left is which addition
//! takes effect between which classes. Ends of additions and of classes are looked at in order of time, with
//! all sets of additions that explain the past. An addition is placed at the latest when it ends, or when a
//! class needs it (just in time: Lowe 2017). What keeps the sets to a handful, and to one if all amounts are
//! the same:
//!
//! - Additions between two classes commute, so only the one in question is placed in the last gap, and every
//!   gap before it is filled exactly.
//! - Of running additions of one amount the first to end goes first, then open ones: if an order uses another
//!   now and this one later, they can change places.
//! - A set is dropped if another one has only some of its additions, and no class in between: the other may
//!   add them at any time. Or if the sums are the same, and what the other has left over of open ones can
//!   be grouped to the amounts that this one has left (where 5 is left, 2 and 3 do as well).
//!
//! There is no short way in general: with arbitrary amounts this is the subset sum problem. Beyond its limits
//! the monitor gives up.

mod core;
mod cover;
mod run;

use ordeal_core::{Answer, Timed};

use run::{Run, TooMany};

/// What a call does with the sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    /// Adds this.
    Add(i64),
    /// Finds this sum.
    Read(i64),
}

/// All reads of one value.
#[derive(Clone, Copy, Debug)]
struct Class {
    value: i64,
    /// The end of the first of them to end, and which it is.
    until: (u64, u32),
    /// The beginning of the last of them to begin, and which it is.
    from: (u64, u32),
}

/// Judges a counter that is `initial` in the beginning. The calls are sorted by their beginning.
pub(crate) fn judge(calls: &[Timed<Deed>], initial: i64) -> Option<Answer> {
    let mut total = i128::from(initial);
    for call in calls {
        match call.call {
            Deed::Add(amount) if amount < 0 => return None,
            Deed::Add(amount) => total += i128::from(amount),
            Deed::Read(_) => {}
        }
    }
    let total = i64::try_from(total).ok()?;
    let classes = classes(calls);
    if let Some(beyond) = classes.iter().find(|class| class.value < initial || class.value > total) {
        return Some(Answer::Illegal(vec![beyond.until.1]));
    }
    if let Some(core) = core::shrinking(&classes) {
        return Some(Answer::Illegal(core));
    }
    match run(calls, &classes, initial)? {
        Ok(order) => Some(Answer::Legal(order)),
        Err(failed) => Some(Answer::Illegal(core::of(calls, initial, failed))),
    }
}

/// The classes, by value.
fn classes(calls: &[Timed<Deed>]) -> Vec<Class> {
    let mut reads: Vec<(i64, u32)> = Vec::with_capacity(calls.len());
    for (at, call) in (0_u32..).zip(calls) {
        if let (Deed::Read(value), false) = (call.call, call.is_open()) {
            reads.push((value, at));
        }
    }
    reads.sort_unstable();
    let class = |same: &[(i64, u32)]| {
        let ends = same.iter().map(|&(_, at)| (calls[at as usize].end, at));
        let starts = same.iter().map(|&(_, at)| (calls[at as usize].start, at));
        Some(Class { value: same.first()?.0, until: ends.min()?, from: starts.max()? })
    };
    reads.chunk_by(|a, b| a.0 == b.0).filter_map(class).collect()
}

/// A legal order, or when it became certain that there is none; nothing if that is too much work.
fn run(calls: &[Timed<Deed>], classes: &[Class], initial: i64) -> Option<Result<Vec<u32>, u64>> {
    match Run::<1>::new(calls, classes, initial).judge() {
        Err(TooMany::Running) => {}
        other => return other.ok(),
    }
    match Run::<4>::new(calls, classes, initial).judge() {
        Err(TooMany::Running) => Run::<32>::new(calls, classes, initial).judge().ok(),
        other => other.ok(),
    }
}

#[cfg(test)]
mod tests;
