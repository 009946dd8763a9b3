//! A set that only grows, whole-set reads: near-linear in the total size of the reads.
//!
//! Condition: no element is added by two calls.
//!
//! The contents of reads must form a chain by inclusion. That fixes the place of every read up to equal
//! ones, and of every element that a read contains: between the last read without it and the first with it.
//! A completed addition that no read contains comes after all reads; an open one is left out. The calls in
//! one place commute, so [`levels`](super::levels) decides the rest. This is the specialisation to one
//! growing set of the fact that distinct values and a known order of effects leave only real time to check
//! (Gibbons & Korach 1997, section 5).
//!
//! A violation is told by one to three calls: a read of what was never added; two reads of which neither
//! contains the other; two calls in the wrong order in time; or two additions in the wrong order, with a
//! read that has the later and lacks the earlier.

use ordeal_core::{Answer, Timed};

use super::levels;
use crate::models::Atom;

/// What the calls of one set are: additions, and reads with their elements sorted by word and distinct, each
/// with its position.
pub(crate) struct Calls<'c> {
    pub(crate) adds: Vec<(Atom, u32)>,
    pub(crate) reads: Vec<(&'c [Atom], u32)>,
}

/// The place of an element that no read contains.
const UNREAD: u32 = u32::MAX;

/// Judges.
pub(crate) fn judge<C>(calls: &[Timed<C>], parts: Calls<'_>) -> Option<Answer> {
    let Calls { mut adds, mut reads } = parts;
    adds.sort_unstable_by_key(|add| add.0.word());
    if adds.windows(2).any(|pair| pair[0].0 == pair[1].0) {
        return None;
    }
    reads.sort_by_key(|read| read.0.len());
    let mut place_of = vec![UNREAD; adds.len()];
    let mut places: Vec<(u32, u32)> = Vec::with_capacity(calls.len());
    // The first read on each even level.
    let mut firsts: Vec<u32> = vec![UNREAD];
    let mut before: (&[Atom], u32) = (&[], UNREAD);
    for &(elements, at) in &reads {
        match news(before.0, elements) {
            Err(()) => return Some(Answer::Illegal(vec![before.1.min(at), before.1.max(at)])),
            Ok(news) if !news.is_empty() => {
                let level = 2 * firsts.len() as u32 - 1;
                for element in news {
                    match adds.binary_search_by_key(&element.word(), |add| add.0.word()) {
                        Ok(add) => place_of[add] = level,
                        Err(_) => return Some(Answer::Illegal(vec![at])),
                    }
                }
                firsts.push(at);
            }
            Ok(_) if firsts[firsts.len() - 1] == UNREAD => firsts = vec![at],
            Ok(_) => {}
        }
        places.push((2 * (firsts.len() as u32 - 1), at));
        before = (elements, at);
    }
    let top = 2 * firsts.len() as u32 - 1;
    for (&(_, at), &level) in adds.iter().zip(&place_of) {
        match level {
            UNREAD if calls[at as usize].is_open() => {}
            UNREAD => places.push((top, at)),
            _ => places.push((level, at)),
        }
    }
    Some(match levels::arrange(calls, places) {
        Ok(order) => Answer::Legal(order),
        Err((early, late)) => {
            let level_of = |at| {
                let add = adds.iter().position(|add| add.1 == at)?;
                Some(if place_of[add] == UNREAD { top } else { place_of[add] })
            };
            let mut core = vec![early, late];
            if let (Some(_), Some(level)) = (level_of(early), level_of(late)) {
                core.push(firsts[level.div_ceil(2) as usize]);
            }
            core.sort_unstable();
            Answer::Illegal(core)
        }
    })
}

/// The elements of `read` that are not in `before`, both sorted by word; an error if it lacks one of them.
fn news(before: &[Atom], read: &[Atom]) -> Result<Vec<Atom>, ()> {
    let mut news = Vec::new();
    let mut rest = before.iter().copied().peekable();
    for &element in read {
        match rest.peek() {
            Some(&known) if known == element => drop(rest.next()),
            Some(&known) if known.word() < element.word() => return Err(()),
            _ => news.push(element),
        }
    }
    if rest.peek().is_some() { Err(()) } else { Ok(news) }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ordeal_core::{Model, Operation, Rng};

    use super::super::draw::history;
    use super::*;
    use crate::models::GrowSet;
    use crate::models::grow_set::GrowSetCall;
    use crate::testing::differential;

    fn read(elements: &[i64]) -> GrowSetCall {
        GrowSetCall::Read(elements.iter().copied().map(Atom::int).collect())
    }

    fn draw(rng: &mut Rng, most: u64) -> Vec<Timed<GrowSetCall>> {
        let (mut set, mut next) = (Vec::new(), 0);
        let p_add = *rng.pick(&[0.3, 0.5, 0.7]);
        let p_spoilt = *rng.pick(&[0.0, 0.1, 0.4]);
        let same = rng.chance(0.05);
        history(rng, most, |rng, turn| {
            if turn.open || rng.chance(p_add) {
                next += i64::from(!same || rng.chance(0.7));
                if turn.effect {
                    set.push(Atom::int(next));
                }
                return GrowSetCall::Add(Atom::int(next));
            }
            let mut seen: Vec<Atom> = set.clone();
            if rng.chance(p_spoilt) && !seen.is_empty() {
                seen.swap_remove(rng.below(seen.len() as u64) as usize);
            }
            if rng.chance(p_spoilt) {
                seen.push(Atom::int(rng.between(1, 4) as i64));
            }
            seen.sort_unstable();
            seen.dedup();
            GrowSetCall::Read(Arc::from(seen))
        })
    }

    #[test]
    fn agrees_with_every_order() {
        let tally = differential(&GrowSet::default(), 200_000, |rng| draw(rng, 9));
        assert!(tally.outside < 20_000, "{tally:?}");
    }

    #[test]
    #[ignore = "long"]
    fn agrees_with_every_order_of_ten_million() {
        differential(&GrowSet::default(), 10_000_000, |rng| draw(rng, 12));
    }

    fn judged(calls: &[(GrowSetCall, u64, u64)]) -> Option<Answer> {
        let timed =
            |(call, start, end): &(_, u64, u64)| Timed { call: Clone::clone(call), start: *start, end: *end };
        let calls: Vec<_> = calls.iter().map(timed).collect();
        GrowSet::default().monitor(&calls)
    }

    #[test]
    fn every_kind_of_violation_has_its_small_core() {
        let add = |n| GrowSetCall::Add(Atom::int(n));
        let illegal = |core: &[u32]| Some(Answer::Illegal(core.to_vec()));
        // Never added.
        assert_eq!(judged(&[(add(1), 0, 1), (read(&[1, 2]), 2, 3)]), illegal(&[1]));
        // No chain.
        let calls = [(add(1), 0, 9), (add(2), 0, 9), (read(&[1]), 1, 8), (read(&[2]), 2, 7)];
        assert_eq!(judged(&calls), illegal(&[2, 3]));
        // Read before it was added; lost after it was; reads in the wrong order.
        assert_eq!(judged(&[(read(&[1]), 0, 1), (add(1), 2, 3)]), illegal(&[0, 1]));
        assert_eq!(judged(&[(add(1), 0, 1), (read(&[]), 2, 3)]), illegal(&[0, 1]));
        let calls = [(add(1), 0, 9), (read(&[1]), 1, 2), (read(&[]), 3, 4)];
        assert_eq!(judged(&calls), illegal(&[1, 2]));
        // Additions in the wrong order, as a read that overlaps both shows.
        let calls = [(read(&[2]), 0, 9), (add(1), 1, 2), (add(2), 3, 4)];
        assert_eq!(judged(&calls), illegal(&[0, 1, 2]));
        let calls = [(read(&[2]), 0, 9), (add(1), 1, 2), (add(2), 3, 4), (read(&[1, 2]), 5, 6)];
        assert_eq!(judged(&calls), illegal(&[0, 1, 2]));
    }

    #[test]
    fn open_and_touching_calls_are_given_what_they_may_have() {
        let add = |n| GrowSetCall::Add(Atom::int(n));
        let legal = |calls: &[_]| matches!(judged(calls), Some(Answer::Legal(_)));
        assert!(legal(&[(add(1), 0, Operation::OPEN), (read(&[]), 2, 3), (read(&[1]), 4, 5)]));
        assert!(legal(&[(add(1), 0, 2), (read(&[]), 2, 3), (read(&[1]), 3, 5)]));
        assert_eq!(judged(&[(add(1), 0, 1), (add(1), 2, 3)]), None, "an element that is added twice");
    }
}
