use super::*;
use crate::score::Score;

const TERMS: Terms = Terms { lease: Duration::from_millis(1_000), drift_percent: 5 };

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn of() -> Id {
    "m1".parse().unwrap()
}

fn standing(sequence: u64) -> Standing {
    Standing { sequence, score: Some(Score { home: 1, away: 0, event: format!("g{sequence}") }) }
}

/// With session 7, granted at 0.
fn copies(bug: Option<Bug>) -> Copies {
    let mut copies = Copies::new(TERMS, bug);
    copies.granted(7, None, ms(0));
    copies
}

fn sequence(copies: &Copies, now: u64) -> Option<u64> {
    copies.hit(&of(), ms(now)).map(|standing| standing.sequence)
}

#[test]
fn a_copy_is_served_while_the_lease_lasts() {
    let mut without = Copies::new(TERMS, None);
    without.fill(&of(), standing(1), 7);
    assert_eq!(sequence(&without, 0), None);
    let mut copies = copies(None);
    assert_eq!(sequence(&copies, 0), None);
    copies.fill(&of(), standing(1), 7);
    assert_eq!((sequence(&copies, 949), sequence(&copies, 950)), (Some(1), None));
    copies.granted(7, Some(7), ms(900));
    assert_eq!(sequence(&copies, 1_849), Some(1), "it was renewed");
    copies.end();
    assert_eq!(sequence(&copies, 950), None);
    let mut defect = self::copies(Some(Bug::ServesPastLease));
    defect.fill(&of(), standing(1), 7);
    assert_eq!(sequence(&defect, 5_000), Some(1));
}

#[test]
fn what_is_older_than_an_invalidation_is_dropped_and_not_taken_again() {
    let mut copies = copies(None);
    copies.fill(&of(), standing(1), 7);
    copies.invalidate(&of(), 2);
    assert_eq!(sequence(&copies, 1), None);
    copies.fill(&of(), standing(1), 7);
    assert_eq!(sequence(&copies, 1), None, "the invalidation has overtaken it");
    copies.fill(&of(), standing(2), 7);
    assert_eq!(sequence(&copies, 1), Some(2));
    copies.invalidate(&of(), 2);
    assert_eq!(sequence(&copies, 1), Some(2), "it came twice");
    copies.fill(&of(), standing(1), 7);
    assert_eq!(sequence(&copies, 1), Some(2));
}

#[test]
fn nothing_is_kept_from_one_session_to_the_next() {
    for (bug, kept) in [(None, None), (Some(Bug::MissedInvalidationsKept), Some(1))] {
        let mut copies = copies(bug);
        copies.fill(&of(), standing(1), 7);
        copies.end();
        copies.granted(8, None, ms(100));
        assert_eq!(sequence(&copies, 101), kept);
        copies.fill(&of(), standing(9), 7);
        assert_eq!(sequence(&copies, 101), kept, "it was asked for under the session before");
    }
}

#[test]
fn with_too_many_matches_it_begins_anew() {
    let mut copies = copies(None);
    for n in 0..MATCHES_MAX {
        copies.invalidate(&format!("x{n}").parse().unwrap(), 2);
    }
    copies.invalidate(&"x0".parse().unwrap(), 3);
    assert_eq!(copies.session(), Some(7), "that one is known already");
    copies.fill(&of(), standing(1), 7);
    assert_eq!(copies.session(), None);
    copies.granted(7, Some(7), ms(1));
    assert_eq!(copies.session(), None, "the answer to a renewal that was under way brings nothing back");
    copies.granted(8, None, ms(2));
    assert_eq!(copies.session(), Some(8));
}
