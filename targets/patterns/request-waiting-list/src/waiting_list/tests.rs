//! The list stepped by hand and at random.

use std::sync::{Arc, Mutex};

use super::*;
use crate::condition::{Mark, Tally};
use crate::trade::{Decision, TradeCopy};

type Replies = Arc<Mutex<Vec<(usize, Reply)>>>;

fn details(price: u64) -> Details {
    Details { price, volume: 1, counterparty: "p".parse().unwrap() }
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Adds the request of client `n` about the trade `tn`, with the price `n`.
fn add(
    list: &mut WaitingList,
    n: usize,
    condition: Condition,
    [since, until]: [u64; 2],
    replies: &Replies,
) -> u64 {
    let replies = Arc::clone(replies);
    let waiting = Waiting {
        trade: format!("t{n}").parse().unwrap(),
        asked: details(n as u64),
        purpose: Purpose::Confirmation,
        condition,
        since: ms(since),
        until: ms(until),
    };
    list.add(waiting, Box::new(move |reply| replies.lock().unwrap().push((n, reply)))).unwrap()
}

fn votes(n: usize) -> Condition {
    Condition::Votes(Tally::new(3, details(n as u64), None))
}

fn vote(n: usize) -> Confirmation {
    Confirmation::Held(TradeCopy { vote: Some(details(n as u64)), ..TradeCopy::default() })
}

fn run(ready: impl IntoIterator<Item = Ready>) {
    ready.into_iter().for_each(Ready::run);
}

fn outcomes(replies: &Replies) -> Vec<(usize, String, Outcome)> {
    replies.lock().unwrap().iter().map(|(n, r)| (*n, r.trade.to_string(), r.outcome.clone())).collect()
}

fn confirmed(n: usize) -> Outcome {
    Outcome::Decided(Decision::Confirmed(details(n as u64)))
}

#[test]
fn confirmations_in_any_order_answer_the_request_they_are_for() {
    let replies = Replies::default();
    let mut list = WaitingList::new(None);
    let [one, two] = [1, 2].map(|n| add(&mut list, n, votes(n), [0, 100], &replies));
    for (correlation, node, n) in [(two, 0, 2), (one, 2, 1), (two, 1, 2), (two, 2, 2), (one, 0, 1)] {
        run(list.confirm(correlation, node, vote(n)));
    }
    let expected = [(2, "t2".to_owned(), confirmed(2)), (1, "t1".to_owned(), confirmed(1))];
    assert_eq!(outcomes(&replies), expected);
    assert!(list.pending(ms(50)).is_empty() && !list.has(one));
}

#[test]
fn what_waits_is_shown_with_its_age_and_leaves_when_its_time_is_up() {
    let replies = Replies::default();
    let mut list = WaitingList::new(None);
    let one = add(&mut list, 1, votes(1), [10, 110], &replies);
    add(&mut list, 2, Condition::Kept(Mark::of(2)), [50, 150], &replies);
    run(list.confirm(one, 0, vote(1)));
    let shown: Vec<_> = list.pending(ms(60)).iter().map(|p| (p.age_ms, p.heard, p.needed)).collect();
    assert_eq!(shown, [(50, 1, 2), (10, 0, 2)]);
    run(list.expire(ms(109)));
    assert!(outcomes(&replies).is_empty());
    run(list.expire(ms(110)));
    assert_eq!(outcomes(&replies), [(1, "t1".to_owned(), Outcome::Expired)]);
    run(list.confirm(one, 1, vote(1)));
    assert_eq!((outcomes(&replies).len(), list.pending(ms(110)).len()), (1, 1), "too late");
}

#[test]
fn a_full_list_takes_no_more() {
    let mut list = WaitingList::new(None);
    let replies = Replies::default();
    for n in 0..ENTRIES_MAX {
        add(&mut list, n, votes(n), [0, 1], &replies);
    }
    let waiting = Waiting {
        trade: "t".parse().unwrap(),
        asked: details(1),
        purpose: Purpose::Settlement,
        condition: votes(1),
        since: ms(0),
        until: ms(1),
    };
    assert!(list.add(waiting, Box::new(drop)).is_none());
}

#[test]
fn bugs_leak_and_swap() {
    let replies = Replies::default();
    let mut leaking = WaitingList::new(Some(Bug::EntryLeaks));
    add(&mut leaking, 1, votes(1), [0, 100], &replies);
    for _ in 0..2 {
        run(leaking.expire(ms(200)));
    }
    assert_eq!((outcomes(&replies).len(), leaking.pending(ms(200))[0].age_ms), (1, 200));
    let mut swapping = WaitingList::new(Some(Bug::RepliesSwapped));
    let [_, four] = [3, 4].map(|n| add(&mut swapping, n, votes(n), [0, 100], &replies));
    for node in 0..2 {
        run(swapping.confirm(four, node, vote(4)));
    }
    assert_eq!(outcomes(&replies)[1], (3, "t4".to_owned(), confirmed(4)));
}

/// Requests, confirmations and time in any order: every request is answered once, with an outcome of its own, and
/// what waits is never older than it may.
#[test]
fn every_request_is_answered_once_and_for_itself() {
    for seed in 0..200_u64 {
        let mut bits = seed;
        let mut below = |n: u64| {
            bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (bits >> 33) % n
        };
        let replies = Replies::default();
        let mut list = WaitingList::new(None);
        let (mut now, mut added) = (0, Vec::new());
        for _ in 0..300 {
            match below(6) {
                0 => added.push(add(&mut list, added.len(), votes(added.len()), [now, now + 50], &replies)),
                1 => {
                    now += below(20);
                    run(list.expire(ms(now)));
                    assert!(list.pending(ms(now)).iter().all(|entry| entry.age_ms < 50), "seed {seed}");
                }
                _ if added.is_empty() => {}
                _ => {
                    let n = below(added.len() as u64) as usize;
                    run(list.confirm(added[n], below(3) as usize, vote(n)));
                }
            }
        }
        run(list.expire(ms(now + 50)));
        let mut answered = outcomes(&replies);
        answered.sort_by_key(|(n, _, _)| *n);
        assert_eq!(answered.len(), added.len(), "seed {seed}");
        for (n, (client, trade, outcome)) in answered.into_iter().enumerate() {
            assert_eq!((client, trade), (n, format!("t{n}")), "seed {seed}");
            assert!(outcome == Outcome::Expired || outcome == confirmed(n), "seed {seed}: {outcome:?}");
        }
    }
}
