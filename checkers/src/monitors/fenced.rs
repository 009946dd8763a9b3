//! A lock whose tokens strictly grow: O(n log n).
//!
//! Conditions: every completed acquisition says its token, and no completed release is of a token that only
//! an acquisition without an answer can have got.
//!
//! Sort acquisitions by token. Each but the last must be followed by the release of its token before the next
//! one, and that is the only order there is, so [`levels`](super::levels) decides. A token can be held once:
//! of its releases at most one takes effect, the completed one, else the open one that began first, for they
//! all end alike (never). An open acquisition would never be released, so it is best left out; so is an open
//! release of a token that nobody is known to have got.
//!
//! A violation is told by two calls, or by an acquisition, what came too early, and the open releases of the
//! token, all of which began too late.

use ordeal_core::{Answer, Timed};

use super::levels;

/// A call on the lock; the token where it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    /// Gets the lock, with this token.
    Acquire(Option<i64>),
    /// Gives it back.
    Release(i64),
}

/// What is known of one token.
#[derive(Clone, Copy, Default)]
struct Held {
    acquire: Option<u32>,
    release: Option<u32>,
}

/// Judges a lock that is free in the beginning.
pub(crate) fn judge<C>(calls: &[Timed<C>], deed: impl Fn(&C) -> Deed) -> Option<Answer> {
    let mut tokens: Vec<(i64, u32)> = Vec::with_capacity(calls.len());
    let mut open_acquires = false;
    for (at, call) in (0_u32..).zip(calls) {
        match deed(&call.call) {
            Deed::Acquire(_) if call.is_open() => open_acquires = true,
            Deed::Acquire(None) => return None,
            Deed::Acquire(Some(token)) | Deed::Release(token) => tokens.push((token, at)),
        }
    }
    tokens.sort_unstable();
    let mut places: Vec<(u32, u32)> = Vec::with_capacity(tokens.len());
    let mut level = 0;
    let mut unreleased: Option<u32> = None;
    for same in tokens.chunk_by(|a, b| a.0 == b.0) {
        let mut held = Held::default();
        for &(_, at) in same {
            let place = match deed(&calls[at as usize].call) {
                Deed::Acquire(_) => &mut held.acquire,
                Deed::Release(_) => &mut held.release,
            };
            match *place {
                None => *place = Some(at),
                // Of two open ones the first; of a completed and an open one the completed.
                Some(_) if calls[at as usize].is_open() => {}
                Some(other) if calls[other as usize].is_open() => *place = Some(at),
                Some(other) => return Some(Answer::Illegal(vec![other, at])),
            }
        }
        match (held.acquire, held.release) {
            (Some(acquire), release) => {
                if let Some(before) = unreleased {
                    return Some(Answer::Illegal(vec![before.min(acquire), before.max(acquire)]));
                }
                places.push((level, acquire));
                places.extend(release.map(|release| (level + 1, release)));
                unreleased = if release.is_none() { Some(acquire) } else { None };
                level += 2;
            }
            (None, Some(release)) if calls[release as usize].is_open() => {}
            (None, Some(release)) if !open_acquires => return Some(Answer::Illegal(vec![release])),
            (None, _) => return None,
        }
    }
    // A last release that nobody knows of need not have been.
    places.retain(|&(at, call)| at + 1 < level || !calls[call as usize].is_open());
    Some(match levels::arrange(calls, places) {
        Ok(order) => Answer::Legal(order),
        Err((early, late)) => {
            let mut core = vec![early, late];
            if calls[late as usize].is_open()
                && let Deed::Release(token) = deed(&calls[late as usize].call)
            {
                core = tokens.iter().filter(|other| other.0 == token).map(|other| other.1).collect();
                core.push(early);
            }
            core.sort_unstable();
            core.dedup();
            Answer::Illegal(core)
        }
    })
}

#[cfg(test)]
mod tests {
    use ordeal_core::{Model, Operation, Rng};

    use super::super::draw::history;
    use super::*;
    use crate::models::FencedLock;
    use crate::models::fenced_lock::FencedCall;
    use crate::testing::differential;

    fn draw(rng: &mut Rng, most: u64) -> Vec<Timed<FencedCall>> {
        let (mut held, mut last) = (None, 0);
        let p_spoilt = *rng.pick(&[0.0, 0.05, 0.2]);
        let p_unknown = *rng.pick(&[0.0, 0.0, 0.02]);
        history(rng, most, |rng, turn| {
            let spoilt = rng.chance(p_spoilt);
            let deed = match held {
                Some(token) if !spoilt => {
                    held = held.filter(|_| !turn.effect);
                    Deed::Release(token)
                }
                _ if spoilt && rng.chance(0.5) => Deed::Release(rng.between(1, 5) as i64),
                _ if turn.open && (!turn.effect || rng.chance(0.5)) => Deed::Acquire(None),
                _ if turn.open => Deed::Release(last),
                _ => {
                    last += rng.between(1, 2) as i64 * i64::from(!spoilt);
                    held = Some(last);
                    Deed::Acquire(Some(last).filter(|_| !rng.chance(p_unknown)))
                }
            };
            FencedCall::new(deed)
        })
    }

    #[test]
    fn agrees_with_every_order() {
        let tally = differential(&FencedLock, 200_000, |rng| draw(rng, 9));
        assert!(tally.outside < 40_000, "{tally:?}");
    }

    #[test]
    #[ignore = "long"]
    fn agrees_with_every_order_of_ten_million() {
        differential(&FencedLock, 10_000_000, |rng| draw(rng, 12));
    }

    fn judged(calls: &[(Deed, u64, u64)]) -> Option<Answer> {
        let calls: Vec<_> = calls
            .iter()
            .map(|&(deed, start, end)| Timed { call: FencedCall::new(deed), start, end })
            .collect();
        FencedLock.monitor(&calls)
    }

    fn get(token: i64) -> Deed {
        Deed::Acquire(Some(token))
    }

    use Deed::Release as give;

    #[test]
    fn every_kind_of_violation_has_its_small_core() {
        let illegal = |core: &[u32]| Some(Answer::Illegal(core.to_vec()));
        // A token given twice, given back twice, given back though nobody got it.
        assert_eq!(judged(&[(get(1), 0, 1), (get(1), 2, 3)]), illegal(&[0, 1]));
        assert_eq!(judged(&[(get(1), 0, 1), (give(1), 2, 3), (give(1), 4, 5)]), illegal(&[1, 2]));
        assert_eq!(judged(&[(get(1), 0, 1), (give(2), 2, 3)]), illegal(&[1]));
        // Two hold it at once; tokens that shrink; a release that comes too late.
        assert_eq!(judged(&[(get(1), 0, 1), (get(2), 2, 3), (give(2), 4, 5)]), illegal(&[0, 1]));
        let shrinking = [(get(2), 0, 1), (give(2), 2, 3), (get(1), 4, 5), (give(1), 6, 7)];
        assert_eq!(judged(&shrinking), illegal(&[0, 3]));
        let late = [(get(1), 0, 1), (get(2), 2, 3), (give(1), 4, 5)];
        assert_eq!(judged(&late), illegal(&[1, 2]));
        let open = [(get(1), 0, 1), (get(2), 2, 3), (give(1), 4, Operation::OPEN)];
        assert_eq!(judged(&open), illegal(&[0, 1, 2]));
    }

    #[test]
    fn open_calls_take_effect_where_they_must() {
        let open = Operation::OPEN;
        let calls = [(get(1), 0, 1), (give(1), 2, open), (get(5), 3, 4), (Deed::Acquire(None), 5, open)];
        assert_eq!(judged(&calls), Some(Answer::Legal(vec![0, 1, 2])));
        assert_eq!(judged(&[(Deed::Acquire(None), 0, open), (give(3), 2, 4)]), None, "got token 3, it seems");
    }
}
