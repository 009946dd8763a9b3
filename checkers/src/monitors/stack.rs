//! Stacks, in O(n log n) and the square of how many calls ran at once.
//!
//! A value that can be pushed and popped in one instant never matters. Any other was certainly there between
//! the end of its push and the beginning of its pop; these open intervals form runs of overlapping ones.
//!
//! 1. A legal order can be cut at every instant outside the runs, so that nothing is there: of values that
//!    are there then each is nested in the one below it, and can be pushed later, or popped earlier, just at
//!    the cut, one of which its calls allow. So each run can be judged on its own, and pops that found
//!    nothing take effect at such instants ([`instants`]).
//! 2. In a run from `from` to `to` something is there all the time, so some value is at the bottom all the
//!    time: its push began before `from` and its pop ended after `to`.
//! 3. Any value like that will do. Without it the rest is legal if the whole is, for all calls about one
//!    value can be left out; and if the rest is, so is the whole, with that value below it.
//!
//! So this takes away one such value after another, and goes on with the runs that the others leave, from
//! left to right (Lee & Mathur, OOPSLA 2025, have the third step). Candidates are those whose push is running
//! at `from`. Where a run ends is found in a tree over the ends of pushes (+1) and beginnings of pops (-1)
//! of the values that are left.
//!
//! Pops of unknown result: an order without them is legal with them; and if there is none even without the
//! values that nobody is known to have popped, there is none at all. In between two guesses are made which
//! of them popped what, and if neither leads to an order, this judge says nothing.

use ordeal_core::{Answer, Timed};

use super::container::{Container, NONE, instants};
use super::excess::Excess;
use crate::models::ContainerCall;

/// Judges the calls of a stack.
pub(crate) fn judge(calls: &[Timed<ContainerCall>]) -> Option<Answer> {
    let mut container = match Container::of(calls) {
        Ok(container) if container.peeks.is_empty() => container,
        Ok(_) => return None,
        Err(decided) => return decided.into(),
    };
    let answer = attempt(&container);
    let left = container.left();
    if matches!(answer, Answer::Legal(_)) || container.unknown.is_empty() || left.is_empty() {
        return Some(answer);
    }
    container.hide(&left);
    let without = attempt(&container);
    container.unhide(&left);
    if matches!(without, Answer::Illegal(_)) {
        return Some(without);
    }
    for guess in [last_in, first_in] {
        guess(&mut container, &left);
        let answer = attempt(&container);
        if matches!(answer, Answer::Legal(_)) {
            return Some(answer);
        }
        container.unassign();
    }
    None
}

/// The earliest pop of unknown result takes out what was pushed first.
fn first_in(container: &mut Container, left: &[u32]) {
    for (place, &value) in left.iter().enumerate().take(container.unknown.len()) {
        container.assign(container.unknown[place], value);
    }
}

/// Each pop of unknown result takes out what was pushed last when it began, or else what is pushed next.
fn last_in(container: &mut Container, left: &[u32]) {
    let mut left = left.iter().copied().peekable();
    let mut there = Vec::new();
    for place in 0..container.unknown.len() {
        let call = container.unknown[place];
        let now = container.start[call as usize];
        there.extend(std::iter::from_fn(|| left.next_if(|&value| container.put_end(value) < now)));
        if let Some(value) = there.pop().or_else(|| left.next()) {
            container.assign(call, value);
        }
    }
}

/// Judges, taking for granted which calls of unknown result took out what.
fn attempt(container: &Container) -> Answer {
    let found = instants(container).map_err(|(call, values)| (Some(call), values)).and_then(|instants| {
        let nested = Nesting::of(container).find().map_err(|values| (None, values))?;
        Ok(merge(container, &nested, &instants))
    });
    match found {
        Ok(order) => Answer::Legal(order),
        Err((call, values)) => {
            let mut core: Vec<u32> = values.iter().flat_map(|&v| container.calls_of(v)).collect();
            core.extend(call);
            core.sort_unstable();
            Answer::Illegal(core)
        }
    }
}

/// The search for which value lies on which.
struct Nesting<'a> {
    container: &'a Container,
    /// The values that were certainly there at some time, each where its push ended and where its pop began,
    /// in order of time; and for each value these two places.
    ends: Vec<u32>,
    places: Vec<(u32, u32)>,
    /// Steps up and down at these places, for the values that are not placed.
    excess: Excess,
    /// Values whose pushes are running.
    running: Vec<Candidate>,
    next_push: u32,
    /// The calls with the ranks at which they take effect.
    order: Vec<(u32, u32)>,
    /// The values that are there, and when they are popped.
    there: Vec<(u32, u32)>,
}

/// A value that may lie at the bottom of a run.
#[derive(Clone, Copy)]
struct Candidate {
    value: u32,
    push_end: u32,
    pop_end: u32,
}

impl<'a> Nesting<'a> {
    fn of(container: &'a Container) -> Self {
        let mut ends = Vec::new();
        let mut places = vec![(NONE, NONE); container.put.len()];
        let mut steps = Vec::new();
        for &event in &container.events {
            let ended = event & 1 == 1;
            let value = match ended {
                true => container.value_put(event >> 1),
                false => container.value_taken(event >> 1),
            };
            if value == NONE || container.put_end(value) >= container.take_start(value) {
                continue;
            }
            let place = &mut places[value as usize];
            *(if ended { &mut place.0 } else { &mut place.1 }) = ends.len() as u32;
            ends.push(value);
            steps.push(if ended { 1 } else { -1 });
        }
        Nesting {
            container,
            ends,
            places,
            excess: Excess::of(steps),
            running: Vec::new(),
            next_push: 0,
            order: Vec::new(),
            there: Vec::new(),
        }
    }

    /// The calls of all values that were certainly there at some time, in order, with the ranks at which they
    /// take effect; or values that cannot be nested.
    fn find(mut self) -> Result<Vec<(u32, u32)>, Vec<u32>> {
        let c = self.container;
        for place in 0..self.ends.len() {
            // A value that is not placed is the first of a run of those that are not, up to `to`.
            while self.excess.rises(place) {
                let from = c.put_end(self.ends[place]);
                let to = self.excess.falls_back(place);
                let to = to.map_or(c.never(), |end| c.take_start(self.ends[end]));
                self.pop_until(from);
                self.begin_until(from);
                let Some(value) = self.bottom(to) else {
                    return Err(self.contradiction(place, to));
                };
                let (push, pop) = self.places[value as usize];
                self.excess.flatten(push as usize);
                if pop != NONE {
                    self.excess.flatten(pop as usize);
                }
                self.order.push((from, c.put[value as usize]));
                self.there.push((value, to));
            }
        }
        self.pop_until(c.never());
        Ok(self.order)
    }

    /// Pops what is popped before `now`.
    fn pop_until(&mut self, now: u32) {
        while let Some((value, at)) = self.there.pop_if(|&mut (_, at)| at < now) {
            self.order.push((at, self.container.take[value as usize]));
        }
    }

    /// Looks at the pushes that began before `now`.
    fn begin_until(&mut self, now: u32) {
        let c = self.container;
        while self.next_push < c.values().end && c.put_start(self.next_push) <= now {
            let value = self.next_push;
            self.next_push += 1;
            if self.places[value as usize].0 != NONE {
                let (push_end, pop_end) = (c.put_end(value), last_pop(c, value));
                self.running.push(Candidate { value, push_end, pop_end });
            }
        }
    }

    /// Takes the value, of those that can lie at the bottom of the run up to `to`, that can stay longest.
    fn bottom(&mut self, to: u32) -> Option<u32> {
        let fits = |(_, c): &(usize, &Candidate)| c.push_end < to && c.pop_end >= to;
        let longest = self.running.iter().enumerate().filter(fits).max_by_key(|(_, c)| c.pop_end);
        let at = longest?.0;
        Some(self.running.swap_remove(at).value)
    }

    /// Few values of a run without a bottom that have none either: as few as possible that make up the run,
    /// and of these the fewest neighbours.
    fn contradiction(&self, place: usize, to: u32) -> Vec<u32> {
        let c = self.container;
        let first = self.ends[place];
        let mut chain = vec![first];
        let (mut covered_to, mut best) = (c.take_start(first), None);
        for at in place + 1..self.ends.len() {
            let value = self.ends[at];
            if covered_to >= to {
                break;
            }
            if !self.excess.rises(at) {
                continue;
            }
            if c.put_end(value) >= covered_to
                && let Some((taken, value)) = best.take()
            {
                chain.push(value);
                covered_to = taken;
            }
            let taken = c.take_start(value);
            if taken > best.map_or(covered_to, |(taken, _)| taken) {
                best = Some((taken, value));
            }
        }
        if covered_to < to {
            chain.extend(best.map(|(_, value)| value));
        }
        let bottomless = |part: &&[u32]| {
            let (from, to) = (c.put_end(part[0]), c.take_start(part[part.len() - 1]));
            !part.iter().any(|&v| c.put_start(v) <= from && last_pop(c, v) >= to)
        };
        let lengths = 2..chain.len().min(LONGEST);
        let shorter = lengths.into_iter().find_map(|length| chain.windows(length).find(bottomless));
        shorter.map_or_else(|| chain.clone(), <[u32]>::to_vec)
    }
}

/// Longer parts of a run are not looked at for a contradiction of their own.
const LONGEST: usize = 64;

/// When the value has certainly been popped. A pop of unknown result need not have taken effect.
fn last_pop(container: &Container, value: u32) -> u32 {
    match container.take_end(value) {
        end if end == container.forever() => container.never(),
        end => end,
    }
}

/// Adds what takes effect in an instant: values that are pushed and popped as soon as both have begun, and
/// pops that found nothing.
fn merge(container: &Container, nested: &[(u32, u32)], instants: &[u32]) -> Vec<u32> {
    let mut order = Vec::with_capacity(container.start.len());
    let mut nested = nested.iter().peekable();
    let mut empties = container.empty.iter().zip(instants).peekable();
    for (now, &event) in (0..).zip(&container.events) {
        order.extend(std::iter::from_fn(|| nested.next_if(|&&(at, _)| at <= now)).map(|&(_, call)| call));
        let value = container.value[(event >> 1) as usize];
        if value != NONE && now == container.take_start(value).max(container.put_start(value)) {
            let (put, take) = (container.put[value as usize], container.take[value as usize]);
            if container.put_end(value) > now {
                order.extend([put, take]);
            }
        }
        order.extend(std::iter::from_fn(|| empties.next_if(|&(_, &at)| at == now)).map(|(&call, _)| call));
    }
    order
}

#[cfg(test)]
mod tests {
    use ordeal_core::Model;

    use super::super::draw_containers::{Draw, common_violations, illegal, legal, put, take, unknown};
    use crate::models::Stack;
    use crate::testing::differential;

    #[test]
    fn violations_name_what_contradicts_itself() {
        common_violations(&Stack);
        let crossed = [put(1, 0, 1), put(2, 2, 3), put(3, 2, 9), take(1, 4, 5), take(2, 6, 7), take(3, 8, 9)];
        illegal(&Stack, &crossed, &[0, 1, 3, 4]);
        illegal(&Stack, &[put(1, 0, 1), put(2, 2, 3), take(1, 4, 5)], &[0, 1, 2]);
        // Each two of these can be nested.
        let three = [put(1, 0, 1), put(2, 2, 4), put(3, 3, 6), take(1, 5, 8), take(2, 7, 10), take(3, 9, 11)];
        illegal(&Stack, &three, &[0, 1, 2, 3, 4, 5]);
        let nested =
            [put(1, 0, 1), put(2, 2, 3), put(3, 4, 5), take(3, 6, 7), take(2, 8, 9), take(1, 10, 11)];
        legal(&Stack, &nested);
    }

    #[test]
    fn pops_of_unknown_result_may_have_taken_what_is_in_the_way() {
        legal(&Stack, &[put(1, 0, 1), put(2, 2, 3), unknown(3), take(1, 4, 5)]);
        legal(&Stack, &[put(1, 0, 1), put(2, 2, 3), take(2, 4, 5), unknown(6)]);
        let too_late = [put(1, 0, 1), put(2, 2, 3), take(1, 4, 5), unknown(6)];
        assert_eq!(Stack.monitor(&too_late), None, "left to others");
        let anyhow = [put(1, 0, 1), put(2, 2, 3), take(1, 4, 5), take(2, 6, 7), put(3, 8, 9), unknown(10)];
        illegal(&Stack, &anyhow, &[0, 1, 2, 3]);
    }

    #[test]
    fn it_agrees_with_brute_force() {
        let tally = differential(&Stack, 200_000, |rng| Draw { longest: 9, peeks: false }.calls(&Stack, rng));
        assert!(tally.outside < 2_000, "{tally:?}");
    }

    #[test]
    #[ignore = "long"]
    fn it_agrees_with_brute_force_at_length() {
        let longest = |rng: &mut ordeal_core::Rng| if rng.chance(0.02) { 12 } else { 9 };
        let tally = differential(&Stack, 10_000_000, |rng| {
            let draw = Draw { longest: longest(rng), peeks: false };
            draw.calls(&Stack, rng)
        });
        assert!(tally.outside < 100_000, "{tally:?}");
    }
}
