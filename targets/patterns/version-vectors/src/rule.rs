//! What the level is when stock-takes are concurrent.

use std::str::FromStr;

use ordeal_kit::Id;
use serde::Serialize;

use crate::bugs::Bug;
use crate::stock::Stock;

/// How the concurrent stock-takes of a SKU are resolved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(crate) enum Rule {
    /// Movements add up, and of the stock-takes the one stands that leaves the lowest level: nothing is promised
    /// that may not be there.
    Merge,
    /// The stock-take of this warehouse stands; if it has none among them, as for `merge`.
    Priority {
        /// Who wins.
        warehouse: String,
    },
}

impl Rule {
    /// The level of a SKU. A function of the state alone, so that nodes with the same state show the same level.
    pub(crate) fn level(&self, stock: &Stock, bug: Option<Bug>) -> i64 {
        let since = |take| stock.moved_since(take, bug);
        if let Rule::Priority { warehouse } = self
            && bug != Some(Bug::PriorityIgnored)
            && let Some(named) = stock.siblings().iter().find(|take| take.dot.warehouse == *warehouse)
        {
            return named.counted + since(Some(named));
        }
        let levels = stock.siblings().iter().map(|take| take.counted + since(Some(take)));
        levels.min().unwrap_or_else(|| since(None))
    }
}

/// SKUs whose names begin like this are resolved by the priority of this warehouse; written `PREFIX=WAREHOUSE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Priority {
    /// How the SKU begins.
    pub prefix: String,
    /// Who wins.
    pub warehouse: String,
}

impl FromStr for Priority {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (prefix, warehouse) = text.split_once('=').ok_or("it is written PREFIX=WAREHOUSE")?;
        let plain = |part: &str| Id::from_str(part).map(String::from).map_err(|why| why.to_string());
        Ok(Priority { prefix: plain(prefix)?, warehouse: plain(warehouse)? })
    }
}

/// The rule of this SKU: the first priority that fits, else `merge`.
pub(crate) fn rule_of(sku: &Id, priorities: &[Priority]) -> Rule {
    let fits = |priority: &&Priority| sku.as_str().starts_with(&priority.prefix);
    priorities
        .iter()
        .find(fits)
        .map_or(Rule::Merge, |priority| Rule::Priority { warehouse: priority.warehouse.clone() })
}
