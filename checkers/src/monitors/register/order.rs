//! From the order of the calls that change a register to an order of all calls.

use super::calls::{Act, Call};
use super::values::INITIAL;

/// Puts every completed read into the order of the others, as early as it fits, and checks the whole.
/// `None` if that is no legal order. Numbers are positions in `calls`.
///
/// Each read must come after the changes and reads that ended before it began, and needs a place with a
/// value that it accepts. Taken in order of their start, the earliest place for one read leaves the most
/// room for all others; so if there is a way to place all reads, this is one.
pub(super) fn complete(calls: &[Call], changes: &[u32]) -> Option<Vec<u32>> {
    let mut value = INITIAL;
    let mut values = vec![value];
    for &change in changes {
        value = calls[change as usize].act.after(value);
        values.push(value);
    }
    // For each value the places where it is there: the number of changes before.
    let mut places: Vec<(u32, u32)> = (0..).zip(&values).map(|(place, &v)| (v, place)).collect();
    places.sort_unstable();
    let is_read = |&i: &u32| calls[i as usize].act.reads_only();
    let end = |i: u32| calls[i as usize].end;
    let mut changes_by_end: Vec<(u64, u32)> = (1..).zip(changes).map(|(place, &i)| (end(i), place)).collect();
    changes_by_end.sort_unstable();
    let reads: Vec<u32> = (0..calls.len() as u32).filter(is_read).collect();
    let mut by_end: Vec<(u64, u32)> = (0..).zip(&reads).map(|(r, &i)| (end(i), r)).collect();
    by_end.sort_unstable();
    let (mut ended_changes, mut ended_reads) = (changes_by_end.iter().peekable(), by_end.iter().peekable());
    let mut place_of: Vec<u32> = Vec::with_capacity(reads.len());
    let mut earliest = 0;
    for &read in &reads {
        let Call { act, start, .. } = calls[read as usize];
        while let Some(&(_, place)) = ended_changes.next_if(|&&(end, _)| end < start) {
            earliest = earliest.max(place);
        }
        while let Some(&(_, before)) = ended_reads.next_if(|&&(end, _)| end < start) {
            earliest = earliest.max(place_of[before as usize]);
        }
        place_of.push(match act {
            Act::Read(v) => {
                let at = places.partition_point(|&place| place < (v, earliest));
                places.get(at).filter(|&&(value, _)| value == v)?.1
            }
            _ => (earliest..values.len() as u32).find(|&place| act.accepts(values[place as usize]))?,
        });
    }
    let mut placed: Vec<(u32, u32)> = place_of.into_iter().zip(reads).collect();
    placed.sort_by_key(|&(place, _)| place);
    let mut placed = placed.into_iter().peekable();
    let mut order = Vec::with_capacity(calls.len());
    for (place, &change) in (0..).zip(changes) {
        while let Some((_, read)) = placed.next_if(|&(before, _)| before <= place) {
            order.push(read);
        }
        order.push(change);
    }
    order.extend(placed.map(|(_, read)| read));
    is_legal(calls, &order).then_some(order)
}

fn is_legal(calls: &[Call], order: &[u32]) -> bool {
    let mut placed = vec![false; calls.len()];
    let (mut value, mut latest) = (INITIAL, 0);
    let in_order = order.iter().all(|&i| {
        let call = &calls[i as usize];
        let fits = call.act.accepts(value) && call.end >= latest;
        value = call.act.after(value);
        latest = latest.max(call.start);
        fits && !std::mem::replace(&mut placed[i as usize], true)
    });
    in_order && calls.iter().zip(placed).all(|(call, placed)| placed || call.is_open())
}
