//! What the contract says must follow from events: their order, and what each of them does.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::super::event::{Event, Outcome, Reason, Status, What};

/// A moment at which an event may be processed: its turn, or, a window later, its failure for want of something it
/// depends on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Moment<'e> {
    at: u64,
    source: &'e str,
    id: &'e str,
    index: usize,
    fails: bool,
}

/// The places of these events in the order in which they must be processed, if all are. Those whose ids appear twice
/// count once.
pub(super) fn in_order(events: &[&Event], window_ms: u64) -> Vec<usize> {
    let turn = |index: usize| {
        let (at, source, id) = events[index].place();
        Moment { at, source, id, index, fails: false }
    };
    let mut agenda: BTreeSet<Moment<'_>> = (0..events.len()).map(turn).collect();
    let mut held: BTreeSet<Moment<'_>> = BTreeSet::new();
    let (mut done, mut order) = (HashSet::new(), Vec::new());
    while let Some(next) = agenda.pop_first() {
        if done.contains(next.id) {
            continue;
        }
        let ready = |moment: &&Moment<'_>, done: &HashSet<&str>| {
            events[moment.index].depends_on.iter().all(|id| done.contains(&**id))
        };
        if !next.fails && !ready(&&next, &done) {
            held.insert(next);
            agenda.insert(Moment { at: next.at.saturating_add(window_ms), fails: true, ..next });
            continue;
        }
        // It, and all that were held back for it, and for those, the least first.
        let mut freed = Some(next);
        while let Some(moment) = freed {
            held.retain(|other| other.index != moment.index);
            done.insert(moment.id);
            order.push(moment.index);
            freed = held.iter().find(|other| ready(other, &done)).copied();
        }
    }
    order
}

/// The shop as it must be after some events.
#[derive(Default)]
pub(super) struct Shop<'e> {
    done: HashSet<&'e str>,
    levels: HashMap<&'e str, i64>,
    /// By SKU, in the order in which they were processed.
    promotions: HashMap<&'e str, Vec<&'e Event>>,
}

impl<'e> Shop<'e> {
    /// Pieces in stock.
    pub(super) fn level(&self, sku: &str) -> i64 {
        self.levels.get(sku).copied().unwrap_or(0)
    }

    /// What must become of the event if it is next.
    pub(super) fn outcome(&self, event: &Event) -> Outcome {
        let rejected = |reason| Outcome { reason: Some(reason), ..plain(Status::Rejected) };
        if !event.depends_on.iter().all(|id| self.done.contains(&**id)) {
            return rejected(Reason::MissingDependency);
        }
        match &event.what {
            What::Promotion { .. } => plain(Status::Applied),
            What::Stock { sku, delta } if self.level(sku).saturating_add(*delta) < 0 => {
                rejected(Reason::SoldOut)
            }
            What::Stock { .. } => plain(Status::Applied),
            What::Order { sku, quantity, .. } if self.level(sku) < *quantity as i64 => {
                rejected(Reason::SoldOut)
            }
            What::Order { sku, quantity, price } => {
                let promotion = self.promotion_at(sku, event.timestamp);
                let percent = promotion.map_or(0, |(percent, _)| percent.min(100));
                Outcome {
                    price: Some(price.saturating_mul(*quantity).saturating_mul(100 - percent) / 100),
                    promotion: promotion.map(|(_, id)| id.to_owned()),
                    ..plain(Status::Confirmed)
                }
            }
        }
    }

    /// The promotion in force: percent and id of the one with the most percent, of several the first.
    fn promotion_at(&self, sku: &str, moment: u64) -> Option<(u64, &'e str)> {
        let mut best: Option<(u64, &str)> = None;
        for event in self.promotions.get(sku)? {
            if let What::Promotion { percent, from, until, .. } = event.what
                && (from..until).contains(&moment)
                && best.is_none_or(|(most, _)| percent > most)
            {
                best = Some((percent, &event.id));
            }
        }
        best
    }

    /// Goes on as if this had become of the event, right or wrong.
    pub(super) fn take(&mut self, event: &'e Event, outcome: &Outcome) {
        self.done.insert(&event.id);
        let mut change = |sku, delta| {
            let level: &mut i64 = self.levels.entry(sku).or_default();
            *level = level.saturating_add(delta);
        };
        match (&event.what, outcome.status) {
            (What::Promotion { sku, .. }, Status::Applied) => {
                self.promotions.entry(sku).or_default().push(event);
            }
            (What::Stock { sku, delta }, Status::Applied) => change(sku, *delta),
            (What::Order { sku, quantity, .. }, Status::Confirmed) => change(sku, -(*quantity as i64)),
            _ => {}
        }
    }
}

/// An outcome of which nothing more is to be said.
fn plain(status: Status) -> Outcome {
    Outcome { status, price: None, promotion: None, reason: None }
}
