//! What warehouses answer, as far as the history keeps it; the client writes it, the judges read it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How many updates of each warehouse something has seen; one that is not named: none.
pub(super) type Vector = BTreeMap<String, u64>;

/// One update: its warehouse, and its number there.
pub(super) type Dot = (String, u64);

/// The number of this warehouse.
pub(super) fn number_of(vector: &Vector, warehouse: &str) -> u64 {
    vector.get(warehouse).copied().unwrap_or(0)
}

/// Whether the vector counts this update.
pub(super) fn contains(vector: &Vector, dot: &Dot) -> bool {
    number_of(vector, &dot.0) >= dot.1
}

/// An update that was done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Done {
    pub(super) warehouse: String,
    pub(super) number: u64,
    /// Just after it.
    pub(super) vector: Vector,
    /// Just after it.
    pub(super) level: i64,
}

impl Done {
    pub(super) fn dot(&self) -> Dot {
        (self.warehouse.clone(), self.number)
    }
}

/// A SKU as a warehouse knows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Stock {
    pub(super) level: i64,
    pub(super) vector: Vector,
    pub(super) rule: Rule,
    pub(super) siblings: Vec<Sibling>,
}

/// How concurrent stock-takes are resolved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(super) enum Rule {
    /// The one that leaves the lowest level.
    Merge,
    /// That of this warehouse, if it is among them; else as for `Merge`.
    Priority { warehouse: String },
}

/// A stock-take that no other one had seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Sibling {
    pub(super) warehouse: String,
    pub(super) number: u64,
    pub(super) request_id: String,
    pub(super) counted: i64,
    pub(super) vector: Vector,
}

impl Sibling {
    pub(super) fn dot(&self) -> Dot {
        (self.warehouse.clone(), self.number)
    }
}

/// The request id of a request, whose number is unique in a run.
pub(super) fn request_id(request: u64) -> String {
    format!("r{request}")
}
