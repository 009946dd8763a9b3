//! All updates that clients asked for, by SKU: what became of each, a retry taken with the request that it repeats.

use std::collections::{BTreeMap, HashMap};

use ordeal_core::{EventKind, Key, Operation};
use serde::Deserialize;

use crate::inventory::answers::{Done, Dot};
use crate::inventory::asked;
use crate::report::{Report, node, told};

/// An update, with all its attempts.
pub(super) struct Update<'h> {
    /// The first attempt.
    pub(super) op: Operation<'h>,
    /// What was moved; nothing by a stock-take.
    pub(super) delta: i64,
    /// What was counted; nothing by a movement.
    pub(super) counted: Option<i64>,
    pub(super) request: u64,
    /// The first answer that says that it was done.
    pub(super) done: Option<Done>,
    /// Whether nobody knows of an attempt.
    unknown: bool,
}

/// The updates of a SKU.
#[derive(Default)]
pub(super) struct Updates<'h> {
    all: BTreeMap<u64, Update<'h>>,
}

/// All updates by SKU, and the warehouse that each node calls itself.
pub(super) struct Gathered<'h> {
    pub(super) skus: BTreeMap<&'h Key, Updates<'h>>,
    warehouses: HashMap<&'h str, String>,
}

impl<'h> Gathered<'h> {
    /// Of the operations, those that update. A request that was done twice is an anomaly.
    pub(super) fn of(operations: &[Operation<'h>], report: &mut Report) -> Self {
        let mut gathered = Gathered { skus: BTreeMap::new(), warehouses: HashMap::new() };
        for op in operations.iter().filter(|op| matches!(op.f(), "move" | "count")) {
            if let (Some(key), Some(asked)) = (op.key(), asked(op.input())) {
                gathered.take(key, *op, asked, report);
            }
        }
        gathered
    }

    fn take(&mut self, key: &'h Key, op: Operation<'h>, asked: (i64, u64), report: &mut Report) {
        let (amount, request) = asked;
        let done = op.output().and_then(|output| Done::deserialize(output).ok());
        if let Some(done) = &done {
            self.warehouses.insert(node(&op), done.warehouse.clone());
        }
        let unknown = done.is_none() && op.kind() != EventKind::Fail;
        let counts = op.f() == "count";
        let update = self.skus.entry(key).or_default().all.entry(request).or_insert_with(|| Update {
            op,
            delta: if counts { 0 } else { amount },
            counted: counts.then_some(amount),
            request,
            done: None,
            unknown: false,
        });
        update.unknown |= unknown;
        match (&update.done, done) {
            (Some(before), Some(again)) if before.dot() != again.dot() => {
                report.note("applied-twice", Some(key), &[&update.op, &op], || { format!(
                    "{} and its retry, {}, were done as updates {} and {} of {}: one request has had two effects.",
                    told(&update.op),
                    told(&op),
                    before.number,
                    again.number,
                    again.warehouse
                ) });
            }
            (None, Some(done)) => update.done = Some(done),
            _ => {}
        }
    }

    /// The warehouse that the update was asked of.
    pub(super) fn warehouse(&self, update: &Update<'h>) -> &str {
        let node = node(&update.op);
        self.warehouses.get(node).map_or(node, String::as_str)
    }
}

impl<'h> Updates<'h> {
    /// Those that certainly were done.
    pub(super) fn done(&self) -> impl Iterator<Item = (&Update<'h>, &Done)> {
        self.all.values().filter_map(|update| Some((update, update.done.as_ref()?)))
    }

    /// Those of which nobody knows whether they were done.
    pub(super) fn unknown(&self) -> impl Iterator<Item = &Update<'h>> {
        self.all.values().filter(|update| update.done.is_none() && update.unknown)
    }

    /// The stock-takes that certainly were done, by their numbers.
    pub(super) fn counts(&self) -> BTreeMap<Dot, (&Update<'h>, &Done)> {
        let counts = self.done().filter(|(update, _)| update.counted.is_some());
        counts.map(|(update, done)| (done.dot(), (update, done))).collect()
    }
}
