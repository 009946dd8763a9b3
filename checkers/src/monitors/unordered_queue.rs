//! Unordered queues (bags), in O(n log n); all but the sorting is linear.
//!
//! Values have nothing to do with one another, except that a dequeue which found nothing needs an instant at
//! which nothing was there. So each value is put in as late as possible and taken out as early as possible,
//! in one instant where these overlap; and the dequeues that found nothing take effect where nothing was
//! certainly there ([`instants`]).
//!
//! Dequeues of unknown result take out what nobody is known to have taken out: first in, first out, the
//! earliest dequeue first. To cross two of these pairs would only lengthen the time that they cover.

use ordeal_core::{Answer, Timed};

use super::container::{Container, NONE, instants};
use super::queue::never_empty;
use crate::models::ContainerCall;

/// Judges the calls of a bag.
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
    match instants(&container) {
        Ok(instants) => Some(Answer::Legal(order(&container, &instants))),
        Err((call, values)) => Some(never_empty(&container, &left, call, &values)),
    }
}

fn order(container: &Container, instants: &[u32]) -> Vec<u32> {
    let mut order = Vec::with_capacity(container.start.len());
    let mut empties = container.empty.iter().zip(instants).peekable();
    for (now, &event) in (0..).zip(&container.events) {
        let call = event >> 1;
        let value = container.value[call as usize];
        if value != NONE {
            let (put, take) = (container.put[value as usize], container.take[value as usize]);
            let put_end = container.put_end(value);
            // Taken out as it begins to be, or put in and taken out as both have begun.
            let (put_start, take_start) = (container.put_start(value), container.take_start(value));
            if now == put_end && put_end < take_start {
                order.push(put);
            } else if now == take_start.max(put_start) && take != NONE {
                order.extend((put_end > take_start).then_some(put));
                order.push(take);
            }
        }
        while let Some((&call, _)) = empties.next_if(|&(_, &at)| at == now) {
            order.push(call);
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::super::draw_containers::{
        Draw, common_violations, illegal, legal, nothing, put, take, unknown,
    };
    use crate::models::UnorderedQueue;
    use crate::testing::differential;

    #[test]
    fn violations_name_what_contradicts_itself() {
        common_violations(&UnorderedQueue);
        legal(&UnorderedQueue, &[put(1, 0, 1), put(2, 2, 3), take(2, 4, 5), take(1, 6, 7)]);
        let chain = [put(1, 0, 1), nothing(2, 7), put(2, 3, 4), take(1, 5, 6), take(2, 8, 9)];
        illegal(&UnorderedQueue, &chain, &[0, 1, 2, 3, 4]);
    }

    #[test]
    fn dequeues_of_unknown_result_may_have_taken_what_is_in_the_way() {
        illegal(&UnorderedQueue, &[put(7, 0, 9), put(1, 0, 1), nothing(2, 3), unknown(4)], &[1, 2, 3]);
        legal(&UnorderedQueue, &[put(1, 0, 1), put(2, 0, 1), unknown(2), take(1, 3, 4), nothing(5, 6)]);
        let two = [put(1, 0, 1), put(2, 0, 2), unknown(2), nothing(5, 6), unknown(7)];
        illegal(&UnorderedQueue, &two, &[0, 1, 3, 4]);
    }

    #[test]
    fn it_agrees_with_brute_force() {
        let tally = differential(&UnorderedQueue, 200_000, |rng| {
            Draw { longest: 9, peeks: false }.calls(&UnorderedQueue, rng)
        });
        assert!(tally.outside < 2_000, "{tally:?}");
    }

    #[test]
    #[ignore = "long"]
    fn it_agrees_with_brute_force_at_length() {
        let longest = |rng: &mut ordeal_core::Rng| if rng.chance(0.02) { 12 } else { 9 };
        let tally = differential(&UnorderedQueue, 10_000_000, |rng| {
            let draw = Draw { longest: longest(rng), peeks: false };
            draw.calls(&UnorderedQueue, rng)
        });
        assert!(tally.outside < 100_000, "{tally:?}");
    }
}
