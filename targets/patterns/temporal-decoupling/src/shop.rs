//! What events do to the shop, in the order in which they are processed.

use std::collections::BTreeMap;

use ordeal_kit::Id;
use serde::{Deserialize, Serialize};

use crate::bugs::Bug;
use crate::event::{Event, Outcome, Reason, What};
use crate::machine::Rules;

/// A promotion that was processed.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Promotion {
    id: Id,
    percent: u8,
    from: u64,
    until: u64,
}

/// What there is of one SKU, and what it costs less.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Shelf {
    level: i64,
    promotions: Vec<Promotion>,
}

/// All SKUs.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Shop {
    shelves: BTreeMap<Id, Shelf>,
}

impl Shop {
    /// Pieces in stock.
    pub(crate) fn level(&self, sku: &Id) -> i64 {
        self.shelves.get(sku).map_or(0, |shelf| shelf.level)
    }

    /// Gives effect to an event.
    pub(crate) fn take(&mut self, event: &Event, rules: &Rules) -> Outcome {
        match &event.what {
            What::Promotion { sku, percent, from, until } => {
                let promotion =
                    Promotion { id: event.id.clone(), percent: *percent, from: *from, until: *until };
                self.shelves.entry(sku.clone()).or_default().promotions.push(promotion);
                Outcome::APPLIED
            }
            What::Stock { sku, delta } => {
                let shelf = self.shelves.entry(sku.clone()).or_default();
                if shelf.level + delta < 0 {
                    return Outcome::rejected(Reason::SoldOut);
                }
                shelf.level += delta;
                Outcome::APPLIED
            }
            What::Order { sku, quantity, price } => {
                let shelf = self.shelves.entry(sku.clone()).or_default();
                let left = shelf.level - *quantity as i64;
                if left < 0 && !rules.has(Bug::Oversell) {
                    return Outcome::rejected(Reason::SoldOut);
                }
                shelf.level = left;
                let promotion = shelf.promotion_at(event.timestamp, rules);
                let percent = promotion.map_or(0, |promotion| promotion.percent);
                let price = price * quantity * (100 - u64::from(percent)) / 100;
                Outcome::confirmed(price, promotion.map(|promotion| promotion.id.clone()))
            }
        }
    }
}

impl Shelf {
    /// The promotion in force at this moment: the one with the most percent, and of several the first.
    fn promotion_at(&self, moment: u64, rules: &Rules) -> Option<&Promotion> {
        let ends_after = |promotion: &Promotion| match rules.has(Bug::PromotionAtItsEnd) {
            true => moment <= promotion.until,
            false => moment < promotion.until,
        };
        let in_force = |promotion: &&Promotion| promotion.from <= moment && ends_after(promotion);
        // Of equals `max_by_key` takes the last.
        self.promotions.iter().rev().filter(in_force).max_by_key(|promotion| promotion.percent)
    }
}

#[cfg(test)]
mod tests;
