//! An append-only list, whole reads: near-linear in the total size of the reads.
//!
//! Conditions: no value is appended by two calls; and if an answer gives a position behind the longest read,
//! then every completed append is read or has a position.
//!
//! Every read must be a prefix of the longest one, L. A value's slot is its place in L or the position its
//! append answered with; slots and lengths of reads fix the order of these calls entirely. A completed append
//! without a slot comes after all of them; an open one is left out, unless a slot before a known position has
//! no call yet. Then it must have been an open append; all of those end alike (never), so slots take them in
//! the order of their beginning, each as soon as one may be that early, which leaves the most for the rest.
//! [`levels`](super::levels) decides what real time has to say.
//!
//! A violation is told by one to three calls, except where slots cannot be filled: that depends on every call.

use ordeal_core::{Answer, Timed};

use super::levels;
use crate::models::Atom;

/// One append, with the position it answered with.
pub(crate) struct Append {
    pub(crate) value: Atom,
    pub(crate) position: Option<u64>,
    pub(crate) at: u32,
}

/// What the calls of one list are.
pub(crate) struct Calls<'c> {
    pub(crate) appends: Vec<Append>,
    pub(crate) reads: Vec<(&'c [Atom], u32)>,
}

/// Judges.
pub(crate) fn judge<C>(calls: &[Timed<C>], parts: Calls<'_>) -> Option<Answer> {
    let Calls { mut appends, reads } = parts;
    appends.sort_unstable_by_key(|append| append.value.word());
    if appends.windows(2).any(|pair| pair[0].value == pair[1].value) || calls.len() >= 1 << 30 {
        return None;
    }
    let longest = reads.iter().copied().max_by_key(|read| read.0.len());
    let (list, reader) = longest.unwrap_or((&[], 0));
    if let Some(odd) = reads.iter().find(|read| !list.starts_with(read.0)) {
        return Some(contradiction([odd.1, reader]));
    }
    let mut log = Log { appends, list, reader, slots: Vec::new() };
    if let Err(answer) = log.assign() {
        return Some(answer);
    }
    let mut places: Vec<(u32, u32)> = Vec::with_capacity(calls.len());
    places.extend(reads.iter().map(|read| (2 * read.0.len() as u32, read.1)));
    let mut unread = Vec::new();
    for (append, &slot) in log.appends.iter().zip(&log.slots) {
        match slot {
            Some(slot) => places.push((2 * slot + 1, append.at)),
            None => unread.push(append.at),
        }
    }
    let (open, late): (Vec<u32>, Vec<u32>) = unread.iter().partition(|&&at| calls[at as usize].is_open());
    let slots = log.slots.iter().flatten().map(|slot| slot + 1).max().unwrap_or(0);
    if slots as usize > list.len() {
        if !late.is_empty() {
            return None;
        }
        let Some(filled) = fill(calls, &log, slots, open) else {
            return Some(Answer::Illegal((0..calls.len() as u32).collect()));
        };
        places.extend(filled);
    }
    places.extend(late.iter().map(|&at| (2 * slots + 1, at)));
    Some(match levels::arrange(calls, places) {
        Ok(order) => Answer::Legal(order),
        Err((early, late)) => log.misplaced(early, late),
    })
}

fn contradiction(core: impl IntoIterator<Item = u32>) -> Answer {
    let mut core: Vec<u32> = core.into_iter().collect();
    core.sort_unstable();
    core.dedup();
    Answer::Illegal(core)
}

struct Log<'c> {
    /// Sorted by word.
    appends: Vec<Append>,
    /// The longest read.
    list: &'c [Atom],
    /// Its position.
    reader: u32,
    /// The slot of each append, where it is known.
    slots: Vec<Option<u32>>,
}

impl Log<'_> {
    /// Gives each append its slot.
    fn assign(&mut self) -> Result<(), Answer> {
        self.slots = vec![None; self.appends.len()];
        for (slot, value) in self.list.iter().enumerate() {
            let found = self.appends.binary_search_by_key(&value.word(), |append| append.value.word());
            match found {
                // It is not in the list twice, and somebody appended it.
                Ok(append) if self.slots[append].is_none() => self.slots[append] = Some(slot as u32),
                _ => return Err(contradiction([self.reader])),
            }
        }
        let mut holders: Vec<Option<u32>> = vec![None; self.appends.len()];
        for (append, slot) in self.appends.iter().zip(&mut self.slots) {
            let Some(position) = append.position else {
                continue;
            };
            // So many others there are not.
            let Some(holder) = usize::try_from(position).ok().and_then(|at| holders.get_mut(at)) else {
                return Err(contradiction([append.at]));
            };
            if let Some(other) = holder.replace(append.at) {
                return Err(contradiction([other, append.at]));
            }
            let read_elsewhere = slot.is_some_and(|slot| u64::from(slot) != position);
            if read_elsewhere || (slot.is_none() && position < self.list.len() as u64) {
                return Err(contradiction([append.at, self.reader]));
            }
            *slot = Some(position as u32);
        }
        Ok(())
    }

    /// Why `early`, which ended before `late` began, cannot come after it.
    fn misplaced(&self, early: u32, late: u32) -> Answer {
        let of = |at| self.appends.iter().find(|append| append.at == at);
        match (of(early), of(late)) {
            // The longest read has the later one, and if it has the earlier one too then behind it.
            (Some(a), Some(b)) if a.position.is_none() || b.position.is_none() => {
                contradiction([early, late, self.reader])
            }
            _ => contradiction([early, late]),
        }
    }
}

/// Fills the slots before `slots` that no call is known to have taken with `open` appends.
fn fill<C>(calls: &[Timed<C>], log: &Log<'_>, slots: u32, mut open: Vec<u32>) -> Option<Vec<(u32, u32)>> {
    let mut ends: Vec<Option<u64>> = vec![None; slots as usize];
    for (append, slot) in log.appends.iter().zip(&log.slots) {
        if let Some(slot) = slot {
            ends[*slot as usize] = Some(calls[append.at as usize].end);
        }
    }
    // By when each slot must be taken: before any later one that is known was.
    let mut until = ends.clone();
    let mut first_end = u64::MAX;
    for (bound, end) in until.iter_mut().zip(&ends).rev() {
        *bound = Some(first_end);
        first_end = first_end.min(end.unwrap_or(u64::MAX));
    }
    open.sort_unstable();
    let mut open = open.into_iter();
    let empty = (0..slots).filter(|&slot| ends[slot as usize].is_none());
    let take = |slot: u32| {
        let at = open.next()?;
        (Some(calls[at as usize].start) <= until[slot as usize]).then_some((2 * slot + 1, at))
    };
    empty.map(take).collect()
}

#[cfg(test)]
mod tests {
    use ordeal_core::{Model, Operation, Rng};

    use super::super::draw::history;
    use super::*;
    use crate::models::AppendList;
    use crate::models::list::ListCall;
    use crate::testing::differential;

    fn draw(rng: &mut Rng, most: u64) -> Vec<Timed<ListCall>> {
        let (mut list, mut next) = (Vec::new(), 0);
        let p_append = *rng.pick(&[0.3, 0.6, 0.9]);
        let p_spoilt = *rng.pick(&[0.0, 0.1, 0.4]);
        let p_position = *rng.pick(&[0.0, 0.0, 0.5, 1.0]);
        let same = rng.chance(0.05);
        history(rng, most, |rng, turn| {
            if turn.open || rng.chance(p_append) {
                next += i64::from(!same || rng.chance(0.7));
                let mut position = list.len() as u64;
                if turn.effect {
                    list.push(Atom::int(next));
                }
                if rng.chance(p_spoilt / 2.0) {
                    position = rng.below(5);
                }
                let said = !turn.open && rng.chance(p_position);
                return ListCall::Append(Atom::int(next), said.then_some(position));
            }
            let mut seen = list.clone();
            if rng.chance(p_spoilt) && !seen.is_empty() {
                match rng.below(3) {
                    0 => drop(seen.pop()),
                    1 => drop(seen.remove(rng.below(seen.len() as u64) as usize)),
                    _ => rng.shuffle(&mut seen),
                }
            }
            if rng.chance(p_spoilt / 2.0) {
                seen.push(Atom::int(rng.between(1, 4) as i64));
            }
            ListCall::Read(seen.into())
        })
    }

    #[test]
    fn agrees_with_every_order() {
        let tally = differential(&AppendList, 200_000, |rng| draw(rng, 9));
        assert!(tally.outside < 30_000, "{tally:?}");
    }

    /// No longer ones: of more appends the verifier cannot try every order.
    #[test]
    #[ignore = "long"]
    fn agrees_with_every_order_of_ten_million() {
        differential(&AppendList, 10_000_000, |rng| draw(rng, 9));
    }

    fn judged(calls: &[(ListCall, u64, u64)]) -> Option<Answer> {
        let timed =
            |(call, start, end): &(_, u64, u64)| Timed { call: Clone::clone(call), start: *start, end: *end };
        let calls: Vec<_> = calls.iter().map(timed).collect();
        AppendList.monitor(&calls)
    }

    fn read(values: &[i64]) -> ListCall {
        ListCall::Read(values.iter().copied().map(Atom::int).collect())
    }

    fn append(value: i64) -> ListCall {
        ListCall::Append(Atom::int(value), None)
    }

    fn placed(value: i64, position: u64) -> ListCall {
        ListCall::Append(Atom::int(value), Some(position))
    }

    #[test]
    fn every_kind_of_violation_has_its_small_core() {
        let illegal = |core: &[u32]| Some(Answer::Illegal(core.to_vec()));
        // Never appended; twice in one read; no prefix.
        assert_eq!(judged(&[(append(1), 0, 1), (read(&[1, 2]), 2, 3)]), illegal(&[1]));
        assert_eq!(judged(&[(append(1), 0, 1), (read(&[1, 1]), 2, 3)]), illegal(&[1]));
        let calls = [(append(1), 0, 9), (append(2), 0, 9), (read(&[1]), 1, 8), (read(&[2, 1]), 2, 7)];
        assert_eq!(judged(&calls), illegal(&[2, 3]));
        // Real time: a read and an append, two reads, two appends that a read shows in the wrong order.
        assert_eq!(judged(&[(read(&[1]), 0, 1), (append(1), 2, 3)]), illegal(&[0, 1]));
        assert_eq!(judged(&[(append(1), 0, 1), (read(&[]), 2, 3)]), illegal(&[0, 1]));
        let calls = [(append(1), 0, 9), (read(&[1]), 1, 2), (read(&[]), 3, 4)];
        assert_eq!(judged(&calls), illegal(&[1, 2]));
        let calls = [(append(1), 0, 1), (append(2), 2, 3), (read(&[2, 1]), 4, 5)];
        assert_eq!(judged(&calls), illegal(&[0, 1, 2]));
        // Positions: taken twice, out of reach, against a read, against time.
        assert_eq!(judged(&[(placed(1, 0), 0, 9), (placed(2, 0), 1, 8)]), illegal(&[0, 1]));
        assert_eq!(judged(&[(placed(1, 7), 0, 9)]), illegal(&[0]));
        let calls = [(placed(1, 1), 0, 9), (append(2), 1, 8), (read(&[1, 2]), 2, 7)];
        assert_eq!(judged(&calls), illegal(&[0, 2]));
        assert_eq!(judged(&[(placed(1, 1), 0, 1), (placed(2, 0), 2, 3)]), illegal(&[0, 1]));
        // A slot that nobody can have taken in time.
        assert_eq!(judged(&[(placed(1, 1), 0, 1), (append(2), 2, Operation::OPEN)]), illegal(&[0, 1]));
    }

    #[test]
    fn open_appends_take_the_slots_that_are_left() {
        let open = |value, start| (append(value), start, Operation::OPEN);
        let calls = [open(1, 0), open(2, 1), (placed(3, 2), 2, 3), open(4, 4), (placed(5, 4), 5, 6)];
        let Some(Answer::Legal(order)) = judged(&calls) else {
            panic!("it is legal");
        };
        assert_eq!(order, [0, 1, 2, 3, 4]);
        assert_eq!(judged(&[(append(1), 0, 5), (placed(2, 1), 1, 6)]), None, "which slot it took is open");
    }
}
