//! Which calls contradict one another.
//!
//! Two reads whose values shrink do, and so do two reads between which more was added than the second one
//! shows. Anything else depends on what could *not* have been added, and so on every addition of the history:
//! a released one could be what is missing. Then the core is every call, or in a short history what is left
//! after leaving out as many as possible.

use ordeal_core::{Operation, Timed};

use super::super::shrink::shrink;
use super::{Class, Deed, classes, run};

/// A history of so many calls is shrunk.
const SHORT: usize = 300;
/// How often.
const TRIES: usize = 2_000;
/// So many reads to each side of the moment of failure are looked at.
const NEAR: usize = 48;

/// A read that ended before one of a smaller value began, and that one.
pub(super) fn shrinking(classes: &[Class]) -> Option<Vec<u32>> {
    let mut latest: Option<(u64, u32)> = None;
    for class in classes {
        if let Some(low) = latest.filter(|low| class.until.0 < low.0) {
            return Some(vec![class.until.1.min(low.1), class.until.1.max(low.1)]);
        }
        latest = latest.max(Some(class.from));
    }
    None
}

/// The core of a history in which nothing explains the past at the moment `failed`.
pub(super) fn of(calls: &[Timed<Deed>], initial: i64, failed: u64) -> Vec<u32> {
    if let Some(core) = too_much(calls, initial, failed) {
        return core;
    }
    let everything: Vec<u32> = (0..calls.len() as u32).collect();
    if calls.len() > SHORT {
        return everything;
    }
    shrink(everything, TRIES, |kept| {
        let released = release(calls, kept);
        matches!(run(&released, &classes(&released), initial), Some(Err(_)))
    })
}

/// The calls with all but `kept`, which is sorted, released.
fn release(calls: &[Timed<Deed>], kept: &[u32]) -> Vec<Timed<Deed>> {
    let (mut released, mut bound) = (Vec::with_capacity(calls.len()), Vec::with_capacity(kept.len()));
    let mut rest = kept.iter().peekable();
    for (at, call) in (0_u32..).zip(calls) {
        if rest.next_if_eq(&&at).is_some() {
            bound.push(call.clone());
        } else if matches!(call.call, Deed::Add(_)) {
            released.push(Timed { call: call.call, start: 0, end: Operation::OPEN });
        }
    }
    released.extend(bound);
    released
}

/// Two reads near the moment of failure, or the beginning and a read, and additions that ran between them
/// which together are more than the difference.
fn too_much(calls: &[Timed<Deed>], initial: i64, failed: u64) -> Option<Vec<u32>> {
    let read = |(at, call): (u32, &Timed<Deed>)| match call.call {
        Deed::Read(value) if !call.is_open() => Some((at, value)),
        Deed::Read(_) | Deed::Add(_) => None,
    };
    let reads: Vec<(u32, i64)> = (0_u32..).zip(calls).filter_map(read).collect();
    let middle = reads.partition_point(|&(at, _)| calls[at as usize].start <= failed);
    let near = &reads[middle.saturating_sub(NEAR)..(middle + NEAR).min(reads.len())];
    let mut best: Option<Vec<u32>> = None;
    for &(late, shown) in near {
        let start = calls[late as usize].start;
        let earlier = near.iter().filter(|&&(early, _)| calls[early as usize].end < start);
        let firsts = earlier.map(|&(early, value)| (Some(early), calls[early as usize].end, value));
        for (early, end, value) in firsts.chain([(None, 0, initial)]) {
            // From the beginning on only in a history of which that is near.
            if early.is_none() && middle > NEAR {
                continue;
            }
            let from = calls.partition_point(|call| call.start <= end && early.is_some());
            let until = calls.partition_point(|call| call.start < start);
            let Some(between) = calls.get(from..until) else {
                continue;
            };
            let added = (from as u32..).zip(between).filter_map(|(at, call)| match call.call {
                Deed::Add(amount) if call.end < start => Some((amount, at)),
                Deed::Add(_) | Deed::Read(_) => None,
            });
            let mut added: Vec<(i64, u32)> = added.collect();
            added.sort_unstable_by(|a, b| b.cmp(a));
            let mut over = i128::from(value) - i128::from(shown);
            let mut core: Vec<u32> = early.into_iter().chain([late]).collect();
            for (amount, at) in added {
                if over > 0 {
                    break;
                }
                over += i128::from(amount);
                core.push(at);
            }
            if over > 0 && best.as_ref().is_none_or(|best| core.len() < best.len()) {
                core.sort_unstable();
                best = Some(core);
            }
        }
    }
    best
}
