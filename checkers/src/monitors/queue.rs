//! FIFO queues, in O(n log n); all but the sorting is linear.
//!
//! Every value has an interval in which it was put in and one in which it was taken out. In a legal order
//! the values are put in and taken out in one sequence, so this looks for a sequence that keeps to the
//! order of both kinds of intervals: the next value may be any whose putting in began before any other
//! left over ended being put in, and likewise for taking out. If there is none, take the value x left over
//! that ended being put in first, and the value y that ended being taken out first. As x cannot be next, y
//! was taken out before x began to be; as y cannot be next, x was put in before y began to be. That
//! contradicts itself, so no choice was wrong. (Henzinger, Sezgin & Vafeiadis, CONCUR 2013, has the
//! contradictions; Lee & Mathur, OOPSLA 2025, the idea of removing value by value.)
//!
//! A value is not put in after it has been taken out: the end of taking it out bounds both, and so does
//! the beginning of putting it in. With that, each call takes effect as soon as it and all before it in
//! sequence have begun, which is before any of them ends.
//!
//! A dequeue that found nothing takes effect at an instant at which nothing was certainly there
//! ([`instants`]). Such an instant counts as one more value, put in and taken out there; the argument above
//! holds for it too, as no value that was put in before it is taken out after it for certain.
//!
//! Dequeues of unknown result take out what nobody is known to have taken out, in the order in which it was
//! put in, the earliest dequeue first. An exchange of two changes no interval for the better: what was put
//! in earlier has to go earlier, and covers less of the time then.

use ordeal_core::{Answer, Timed};

use super::container::{Container, NONE, instants, justify};
use crate::models::ContainerCall;

/// Judges the calls of a queue.
pub(crate) fn judge(calls: &[Timed<ContainerCall>]) -> Option<Answer> {
    let mut container = match Container::of(calls) {
        Ok(container) if container.peeks.is_empty() => container,
        Ok(_) => return None,
        Err(decided) => return decided.into(),
    };
    let left = container.left();
    for (place, &value) in left.iter().enumerate().take(container.unknown.len()) {
        container.assign(container.unknown[place], value);
    }
    let instants = match instants(&container) {
        Ok(instants) => instants,
        Err((call, values)) => return Some(never_empty(&container, &left, call, &values)),
    };
    let seen = container.values().filter(|&value| !container.unseen(value));
    let expected = seen.count() + instants.len();
    match Sequence::of(&container, &instants).find() {
        Ok(sequence) if sequence.len() != expected => None,
        Ok(sequence) => Some(Answer::Legal(interleave(&container, &instants, &sequence))),
        Err((x, y)) => {
            let mut core = justify(&container, &left, x, container.take_end(y));
            core.extend(container.calls_of(y));
            core.sort_unstable();
            Some(Answer::Illegal(core))
        }
    }
}

/// The call that found nothing, and what shows that something was there.
pub(super) fn never_empty(container: &Container, left: &[u32], call: u32, values: &[u32]) -> Answer {
    let end = container.end[call as usize];
    let shown = |&value: &u32| justify(container, left, value, end.min(container.take_start(value) - 1));
    let mut core: Vec<u32> = values.iter().flat_map(shown).collect();
    core.push(call);
    core.sort_unstable();
    core.dedup();
    Answer::Illegal(core)
}

/// The search for a sequence of values. An instant at which nothing was there is [`NONE`].
struct Sequence<'a> {
    container: &'a Container,
    instants: std::slice::Iter<'a, u32>,
    /// How many of the two kinds of intervals still forbid the value; [`DONE`] once it is in the sequence.
    waits: Vec<u8>,
    ready: Vec<u32>,
    sequence: Vec<u32>,
}

const DONE: u8 = 3;

/// A walk through the values in order of one of their ranks. Those that are never taken out come last.
struct Walk<I: Iterator<Item = u32>> {
    values: std::iter::Peekable<I>,
}

impl<I: Iterator<Item = u32>> Walk<I> {
    /// The first that is left over.
    fn first(&mut self, waits: &[u8]) -> Option<u32> {
        while self.values.next_if(|&value| waits[value as usize] == DONE).is_some() {}
        self.values.peek().copied()
    }
}

impl<'a> Sequence<'a> {
    fn of(container: &'a Container, instants: &'a [u32]) -> Self {
        let values = container.values().len();
        let mut waits = vec![2; values];
        for value in container.values().filter(|&value| container.unseen(value)) {
            waits[value as usize] = DONE;
        }
        let sequence = Vec::with_capacity(values + instants.len());
        Sequence { container, instants: instants.iter(), waits, ready: Vec::new(), sequence }
    }

    fn admit(&mut self, value: u32) {
        let waits = &mut self.waits[value as usize];
        if *waits != DONE {
            *waits -= 1;
            if *waits == 0 {
                self.ready.push(value);
            }
        }
    }

    /// The sequence, or two values of which the first was put in before the second, and the second taken
    /// out before the first.
    fn find(mut self) -> Result<Vec<u32>, (u32, u32)> {
        let c = self.container;
        let never = c.never();
        let ends = || c.events.iter().filter(|&&event| event & 1 == 1).map(|&event| event >> 1);
        let begins = || c.events.iter().filter(|&&event| event & 1 == 0).map(|&event| event >> 1);
        let known = |&value: &u32| value != NONE;
        let open_takes = || c.unknown.iter().map(|&call| c.value_taken(call)).filter(known);
        let kept = || c.values().filter(|&value| c.take[value as usize] == NONE);
        let mut put_ends = Walk { values: ends().map(|call| c.value_put(call)).filter(known).peekable() };
        let take_ends = ends().map(|call| c.value_taken(call)).filter(known);
        let mut take_ends = Walk { values: take_ends.chain(open_takes()).peekable() };
        let mut put_begins = c.values().peekable();
        let take_begins = begins().map(|call| c.value_taken(call)).filter(known);
        let mut take_begins = take_begins.chain(kept()).peekable();
        let mut instant = self.instants.next();
        loop {
            let x = put_ends.first(&self.waits);
            let y = take_ends.first(&self.waits);
            let put_by = x.map_or(never, |x| c.put_end(x));
            let take_by = y.map_or(never, |y| c.take_end(y));
            if let Some(&at) = instant.filter(|&&at| at <= put_by && at <= take_by) {
                debug_assert!(at <= never, "instants are ranks");
                self.sequence.push(NONE);
                instant = self.instants.next();
                continue;
            }
            let take_by = instant.map_or(take_by, |&at| at.min(take_by));
            let put_by = put_by.min(take_by);
            while let Some(value) = put_begins.next_if(|&v| c.put_start(v) <= put_by) {
                self.admit(value);
            }
            while let Some(value) = take_begins.next_if(|&v| c.take_start(v) <= take_by) {
                self.admit(value);
            }
            match (self.ready.pop(), x, y) {
                (Some(value), ..) => {
                    self.waits[value as usize] = DONE;
                    self.sequence.push(value);
                }
                (None, Some(x), Some(y)) => return Err((x, y)),
                _ => return Ok(self.sequence),
            }
        }
    }
}

/// Puts in and takes out the values in sequence, each call as early as possible. What is never taken out is
/// at the end of the sequence.
fn interleave(container: &Container, instants: &[u32], sequence: &[u32]) -> Vec<u32> {
    debug_assert_eq!(instants.len(), container.empty.len());
    let mut order = Vec::with_capacity(container.start.len());
    let mut empty = container.empty.iter();
    // The values that have been put in and not taken out, as positions of the sequence, and how late it is.
    let mut next_out = 0;
    let (mut put_at, mut taken_at) = (0, 0);
    for (place, &value) in sequence.iter().enumerate() {
        put_at = if value == NONE { container.never() } else { put_at.max(container.put_start(value)) };
        while next_out < place {
            let out = sequence[next_out];
            let start = container.take_start(out).max(taken_at);
            if start >= put_at {
                break;
            }
            taken_at = start;
            order.push(container.take[out as usize]);
            next_out += 1;
        }
        if value == NONE {
            order.extend(empty.next());
            next_out += 1;
            put_at = 0;
        } else {
            order.push(container.put[value as usize]);
        }
    }
    let rest = sequence[next_out..].iter().map(|&value| container.take[value as usize]);
    order.extend(rest.filter(|&take| take != NONE));
    order
}

#[cfg(test)]
mod tests {
    use super::super::draw_containers::{
        Draw, common_violations, illegal, legal, nothing, put, take, unknown,
    };
    use crate::models::Queue;
    use crate::testing::differential;

    #[test]
    fn violations_name_what_contradicts_itself() {
        common_violations(&Queue);
        let order = [put(1, 0, 1), put(2, 2, 3), put(3, 2, 9), take(2, 4, 5), take(1, 6, 7)];
        illegal(&Queue, &order, &[0, 1, 3, 4]);
        illegal(&Queue, &[put(1, 0, 1), put(2, 2, 3), take(2, 4, 5)], &[0, 1, 2]);
        // One value after the other is there all the time.
        let chain = [put(1, 0, 1), nothing(2, 7), put(2, 3, 4), take(1, 5, 6), take(2, 8, 9)];
        illegal(&Queue, &chain, &[0, 1, 2, 3, 4]);
    }

    #[test]
    fn dequeues_of_unknown_result_may_have_taken_what_is_in_the_way() {
        illegal(&Queue, &[put(7, 0, 9), put(1, 0, 1), nothing(2, 3), unknown(4)], &[1, 2, 3]);
        legal(&Queue, &[put(1, 0, 1), unknown(2), put(2, 3, 4), take(2, 5, 6)]);
        illegal(&Queue, &[put(1, 0, 1), put(2, 3, 4), take(2, 5, 6), unknown(7)], &[0, 1, 2, 3]);
        // One came early enough, but there are two in the way.
        let two = [put(1, 0, 1), put(2, 0, 2), unknown(2), put(3, 3, 4), take(3, 5, 6), unknown(7)];
        illegal(&Queue, &two, &[0, 1, 3, 4, 5]);
    }

    #[test]
    fn it_agrees_with_brute_force() {
        let tally = differential(&Queue, 200_000, |rng| Draw { longest: 9, peeks: false }.calls(&Queue, rng));
        assert!(tally.outside < 2_000, "{tally:?}");
    }

    #[test]
    #[ignore = "long"]
    fn it_agrees_with_brute_force_at_length() {
        let longest = |rng: &mut ordeal_core::Rng| if rng.chance(0.02) { 12 } else { 9 };
        let tally = differential(&Queue, 10_000_000, |rng| {
            let draw = Draw { longest: longest(rng), peeks: false };
            draw.calls(&Queue, rng)
        });
        assert!(tally.outside < 100_000, "{tally:?}");
    }
}
