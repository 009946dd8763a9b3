//! What a warehouse knows of a SKU, and how two such states become one. No I/O; tests step it by hand.
//!
//! A SKU's state is a version vector; for each warehouse the total of its movements as far as the vector counts
//! them; and the *siblings*: the stock-takes that no other known stock-take had seen. An update takes the next
//! number of its warehouse, and a stock-take remembers the vector and the totals of its moment. A level follows:
//! what was counted, and all movements since that the stock-take had not seen, by whichever warehouse.
//!
//! Why merging is right: the updates of a warehouse are numbered without gaps, so a warehouse's total is a function
//! of its number in the vector, and the state with the higher number has the newer total. A stock-take whose number
//! the vector counts is either held or was replaced by one that had seen it. So states with one vector are equal,
//! and merging is commutative, associative and idempotent (tested below). The form is that of dotted version
//! vectors (Preguiça et al., "Dotted Version Vectors", 2010) and of state-based counters (Shapiro et al., 2011).

use std::collections::BTreeMap;

use ordeal_kit::Id;
use serde::{Deserialize, Serialize};

use crate::bugs::Bug;
use crate::vector::{Dot, NUMBER_MAX, Vector};

/// The movements of each warehouse, added up. Those without an entry have none.
pub(crate) type Totals = BTreeMap<String, i64>;

/// A stock-take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StockTake {
    #[serde(flatten)]
    pub(crate) dot: Dot,
    pub(crate) request_id: Id,
    pub(crate) counted: i64,
    /// All that it had seen, itself included.
    pub(crate) vector: Vector,
    /// The movements that it had seen.
    pub(crate) totals: Totals,
    /// The warehouse's wall clock in Unix milliseconds: for people, no rule looks at it.
    pub(crate) counted_at_ms: u64,
}

impl StockTake {
    /// Whether neither had seen the other.
    pub(crate) fn concurrent(&self, other: &StockTake) -> bool {
        !self.vector.contains(&other.dot) && !other.vector.contains(&self.dot)
    }
}

/// What is known of a SKU.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stock {
    pub(crate) vector: Vector,
    totals: Totals,
    siblings: Vec<StockTake>,
}

/// The state of a SKU at another warehouse, with the stock-takes that the asker has not seen.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct News {
    pub(crate) sku: Id,
    pub(crate) vector: Vector,
    pub(crate) totals: Totals,
    pub(crate) stock_takes: Vec<StockTake>,
}

impl News {
    /// Whether all numbers are such that one can be added to them.
    pub(crate) fn sound(&self) -> bool {
        let vectors = self.stock_takes.iter().map(|take| &take.vector).chain([&self.vector]);
        vectors.flat_map(Vector::entries).all(|(_, number)| number <= NUMBER_MAX)
    }
}

impl Stock {
    /// The stock-takes in force, in order of warehouse.
    pub(crate) fn siblings(&self) -> &[StockTake] {
        &self.siblings
    }

    /// Takes a movement under this number of the own warehouse.
    pub(crate) fn move_by(&mut self, own: &str, number: u64, delta: i64) {
        self.vector.set(own, number);
        let total = self.totals.entry(own.to_owned()).or_default();
        // The contract bounds a movement; some 10^10 of the largest are needed to get here.
        *total = total.saturating_add(delta);
    }

    /// Takes a stock-take under this number of the own warehouse; it has seen all that is known here.
    pub(crate) fn count(&mut self, dot: Dot, request_id: Id, counted: i64, counted_at_ms: u64) -> StockTake {
        self.vector.set(&dot.warehouse, dot.number);
        let (vector, totals) = (self.vector.clone(), self.totals.clone());
        let take = StockTake { dot, request_id, counted, vector, totals, counted_at_ms };
        self.siblings.clear();
        self.siblings.push(take.clone());
        take
    }

    /// What was moved that the stock-take, or if there is none nobody, had counted.
    pub(crate) fn moved_since(&self, take: Option<&StockTake>, bug: Option<Bug>) -> i64 {
        let seen = |warehouse: &String| take.and_then(|take| take.totals.get(warehouse)).unwrap_or(&0);
        let moved = self.totals.iter().map(|(warehouse, total)| total.saturating_sub(*seen(warehouse)));
        if bug == Some(Bug::MaximumInsteadOfSum) {
            return moved.max().unwrap_or(0);
        }
        moved.fold(0, i64::saturating_add)
    }

    /// What somebody with this vector lacks; `stock_takes` are all that are known here.
    pub(crate) fn news(&self, sku: Id, seen: &Vector, mut stock_takes: Vec<StockTake>) -> News {
        stock_takes.retain(|take| !seen.contains(&take.dot));
        News { sku, vector: self.vector.clone(), totals: self.totals.clone(), stock_takes }
    }

    /// Merges another warehouse's state. Answers with the stock-takes that were not known here.
    pub(crate) fn merge(&mut self, news: News, bug: Option<Bug>) -> Vec<StockTake> {
        let before = self.vector.clone();
        for (warehouse, number) in news.vector.entries() {
            if number <= before.get(warehouse) {
                continue;
            }
            let Some(total) = news.totals.get(warehouse) else { continue };
            let own = self.totals.entry(warehouse.to_owned()).or_insert(*total);
            *own = if bug == Some(Bug::MergeByMaximum) { *total.max(own) } else { *total };
        }
        let mut arrived = news.stock_takes;
        arrived.retain(|take| !before.contains(&take.dot));
        for take in &mut arrived {
            if bug == Some(Bug::CountWipesMovements) {
                take.totals.clone_from(&self.totals);
            }
            self.adopt(take.clone(), bug);
        }
        if bug != Some(Bug::VectorNotMerged) {
            self.vector.join(&news.vector);
        }
        arrived
    }

    /// Takes a stock-take of another warehouse among the siblings: those that it had seen go, and it stays out if
    /// one of them had seen it.
    fn adopt(&mut self, take: StockTake, bug: Option<Bug>) {
        if bug == Some(Bug::LastWriterWins) {
            self.siblings.push(take);
            let newest = self.siblings.iter().max_by_key(|take| (take.counted_at_ms, take.dot.clone()));
            self.siblings = newest.cloned().into_iter().collect();
            return;
        }
        self.siblings.retain(|held| !take.vector.contains(&held.dot));
        let crowded_out = bug == Some(Bug::SiblingDropped) && !self.siblings.is_empty();
        if !crowded_out && !self.siblings.iter().any(|held| held.vector.contains(&take.dot)) {
            self.siblings.push(take);
            self.siblings.sort_by(|a, b| a.dot.cmp(&b.dot));
        }
    }
}

/// With which of the known stock-takes of its SKU one that is new is in conflict.
pub(crate) fn conflicts(new: &StockTake, known: &[StockTake], bug: Option<Bug>) -> Vec<Dot> {
    let others = known.iter().filter(|other| other.dot != new.dot);
    let conflicting = others.filter(|other| match bug {
        Some(Bug::LastWriterWins) => false,
        Some(Bug::ConflictOnEveryCount) => other.dot.warehouse != new.dot.warehouse,
        _ => new.concurrent(other),
    });
    conflicting.map(|other| other.dot.clone()).collect()
}

#[cfg(test)]
mod tests;
