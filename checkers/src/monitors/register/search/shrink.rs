//! From a call that can have no place to fewer calls that contradict one another.

use std::collections::HashSet;

use super::super::calls::{Act, Calls};
use super::problem::Problem;
use super::{Outcome, decide, refute};

/// So many configurations all attempts together may look at, and one of them.
const BUDGET: u64 = 1_000_000;
const ATTEMPT: u64 = 200_000;
/// Of more calls that contradict one another only because open calls take effect no more than once, this is
/// not found out.
const SMALL: usize = 200;

/// A contradiction, in positions of the history: the whole of it if nothing less is found.
pub(super) fn core(calls: &Calls, stuck: u32) -> Vec<u32> {
    let mut attempts = Attempts { calls, left: BUDGET };
    let mut kept = attempts.guess(stuck);
    let mut chunk = kept.len().div_ceil(2);
    while chunk > 0 {
        let mut at = 0;
        while at < kept.len() {
            let end = (at + chunk).min(kept.len());
            let fewer = [&kept[..at], &kept[end..]].concat();
            if attempts.contradicts(&fewer) {
                kept = fewer;
            } else {
                at = end;
            }
        }
        chunk = if chunk == 1 { 0 } else { chunk.div_ceil(2) };
    }
    kept.into_iter().map(|i| calls.calls[i as usize].at).collect()
}

struct Attempts<'a> {
    calls: &'a Calls,
    left: u64,
}

impl Attempts<'_> {
    /// The last calls that began before the stuck one ended, and all that leave the value it needs: most
    /// violations are close by, but what is released can bring about its value at any time.
    fn guess(&mut self, stuck: u32) -> Vec<u32> {
        let list = &self.calls.calls;
        let last = &list[stuck as usize];
        let began = list.partition_point(|c| c.start <= last.end);
        let leaves_needed = |i: &u32| match (list[*i as usize].act, last.act) {
            (Act::Write(to) | Act::Swap(_, to), Act::Read(v) | Act::Swap(v, _)) => to == v,
            _ => false,
        };
        let mut near = 8;
        while near < began {
            let from = (began - near) as u32;
            let keep = |i: &u32| (from..began as u32).contains(i) || *i == stuck || leaves_needed(i);
            let kept: Vec<u32> = (0..list.len() as u32).filter(keep).collect();
            if self.contradicts(&kept) {
                return kept;
            }
            near *= 8;
        }
        let before: Vec<u32> = (0..began as u32).collect();
        if before.len() < list.len() && self.contradicts(&before) {
            return before;
        }
        (0..list.len() as u32).collect()
    }

    fn contradicts(&mut self, kept: &[u32]) -> bool {
        let cost = self.calls.calls.len() as u64;
        if self.left <= cost {
            return false;
        }
        let positions: HashSet<u32> = kept.iter().map(|&i| self.calls.calls[i as usize].at).collect();
        let released = self.calls.releasing(|c| positions.contains(&c.at));
        let problem = Problem::of(&released);
        let budget = self.left.min(ATTEMPT);
        let (outcome, spent) = match released.calls.len() {
            0..=SMALL => decide(&problem, budget),
            _ => refute(&problem, budget),
        };
        self.left = self.left.saturating_sub(spent + cost);
        matches!(outcome, Outcome::Stuck(_))
    }
}
