//! The one log that all pages together show.

use std::collections::BTreeMap;

use super::observed::{Page, Transition};

/// A transition, with the first page that showed it.
pub(super) struct Shown<'o> {
    pub(super) transition: &'o Transition,
    pub(super) page: usize,
}

/// Every transition that any page shows, and which indices the pages speak of.
pub(super) struct Agreed<'o> {
    pub(super) entries: BTreeMap<u64, Shown<'o>>,
    /// Indices of which it is known what is there, as disjoint `from..next` in order.
    covered: Vec<(u64, u64)>,
}

impl<'o> Agreed<'o> {
    pub(super) fn of(pages: &'o [Page<'_, Transition>]) -> Agreed<'o> {
        let mut entries = BTreeMap::new();
        for (page, shown) in pages.iter().enumerate() {
            for transition in &shown.items {
                entries.entry(transition.index).or_insert(Shown { transition, page });
            }
        }
        let mut spans: Vec<(u64, u64)> = pages.iter().map(|page| (page.from, page.next)).collect();
        spans.sort_unstable();
        let mut covered: Vec<(u64, u64)> = Vec::new();
        for (from, next) in spans {
            match covered.last_mut() {
                Some(last) if from <= last.1 => last.1 = last.1.max(next),
                _ => covered.push((from, next)),
            }
        }
        Agreed { entries, covered }
    }

    /// Whether it is known of every index from the one up to the other, both included, what is there.
    pub(super) fn covers(&self, from: u64, to: u64) -> bool {
        let after = self.covered.partition_point(|span| span.0 <= from);
        after.checked_sub(1).is_some_and(|at| to < self.covered[at].1)
    }

    /// The first change of state between two indices, neither included, if all of them are covered.
    pub(super) fn change_between(&self, after: u64, before: u64) -> Option<&Shown<'o>> {
        if after + 1 >= before || !self.covers(after + 1, before - 1) {
            return None;
        }
        let mut between = self.entries.range(after + 1..before).map(|(_, shown)| shown);
        between.find(|shown| shown.transition.before != shown.transition.after)
    }
}
