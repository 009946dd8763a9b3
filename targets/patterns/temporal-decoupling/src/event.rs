//! Events: what sources tell, and what becomes of it.

use ordeal_kit::Id;
use serde::{Deserialize, Serialize};

/// The latest timestamp, in milliseconds; sums of a few of them stay far below what fits.
const TIMESTAMP_MAX: u64 = 1 << 50;
/// The largest price of a piece in cents, and the largest quantity or movement.
const PRICE_MAX: u64 = 1_000_000_000;
const PIECES_MAX: u64 = 1_000_000;
/// Events that one event may depend on.
const DEPENDENCIES_MAX: usize = 16;

/// Something that happened at a source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Event {
    pub(crate) id: Id,
    pub(crate) source: Id,
    /// When it happened by the clock of its source, in milliseconds.
    pub(crate) timestamp: u64,
    /// Events that must have been processed before.
    #[serde(default)]
    pub(crate) depends_on: Vec<Id>,
    #[serde(flatten)]
    pub(crate) what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(crate) enum What {
    /// Orders of this SKU cost less from one moment up to another, which is not part of it.
    Promotion { sku: Id, percent: u8, from: u64, until: u64 },
    /// Somebody wants so many pieces, at this price for one.
    Order { sku: Id, quantity: u64, price: u64 },
    /// Pieces came in, or, if there are fewer than none, went out.
    Stock { sku: Id, delta: i64 },
}

/// Where an event belongs: by timestamp, then by source, then by id.
pub(crate) type Place<'a> = (u64, &'a Id, &'a Id);

impl Event {
    /// Where the event belongs.
    pub(crate) fn place(&self) -> Place<'_> {
        (self.timestamp, &self.source, &self.id)
    }

    /// What is wrong with the event.
    pub(crate) fn flaw(&self) -> Option<String> {
        if self.timestamp > TIMESTAMP_MAX {
            return Some(format!("a timestamp is {TIMESTAMP_MAX} at most"));
        }
        if self.depends_on.len() > DEPENDENCIES_MAX || self.depends_on.contains(&self.id) {
            return Some(format!("an event depends on {DEPENDENCIES_MAX} others at most"));
        }
        let (right, rule) = match &self.what {
            What::Promotion { percent, from, until, .. } => (
                (1..=99).contains(percent) && from < until && *until <= TIMESTAMP_MAX,
                "a promotion has 1 to 99 percent, and ends after it began",
            ),
            What::Order { quantity, price, .. } => (
                (1..=PIECES_MAX).contains(quantity) && *price <= PRICE_MAX,
                "an order is of at least one piece; quantity or price is too large",
            ),
            What::Stock { delta, .. } => (
                (1..=PIECES_MAX).contains(&delta.unsigned_abs()),
                "a movement is of at least one piece, and not of too many",
            ),
        };
        (!right).then(|| rule.to_owned())
    }
}

/// What became of an event that was processed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) status: Status,
    /// Of a confirmed order: what all its pieces cost, in cents.
    pub(crate) price: Option<u64>,
    /// Of a confirmed order: the promotion that was applied.
    pub(crate) promotion: Option<Id>,
    /// Why it was rejected.
    pub(crate) reason: Option<Reason>,
}

/// Whether an event had an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    /// A promotion, or a movement of stock.
    Applied,
    /// An order.
    Confirmed,
    /// It had none.
    Rejected,
}

/// Why an event had no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Reason {
    SoldOut,
    MissingDependency,
}

impl Outcome {
    pub(crate) const APPLIED: Outcome =
        Outcome { status: Status::Applied, price: None, promotion: None, reason: None };

    pub(crate) fn confirmed(price: u64, promotion: Option<Id>) -> Outcome {
        Outcome { status: Status::Confirmed, price: Some(price), promotion, reason: None }
    }

    pub(crate) fn rejected(reason: Reason) -> Outcome {
        Outcome { status: Status::Rejected, price: None, promotion: None, reason: Some(reason) }
    }
}
