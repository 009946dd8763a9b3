//! What is to be done about the change that is under way: whom to tell what, and when it has come to its next step. Pure:
//! it follows from what is committed and from what data nodes report, so any leader can go on with it at any step, and
//! tell everybody everything again.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::bugs::Bug;
use crate::held::{Held, Order, Record, State};
use crate::key::Key;
use crate::routing::{Change, FIRST_EPOCH, Routing, ShardId, Step};

/// A copy that lacks so few customers is near enough for the source to be frozen: the rest takes one more round.
const CAUGHT_UP: u64 = 16;

/// What a data node says of itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) held: Held,
    /// Customers on disk, by shard.
    pub(crate) customers: BTreeMap<ShardId, u64>,
    /// Requests that were served, a second, by customer, in order.
    pub(crate) load: Vec<(Key, f64)>,
    /// Whether that was counted for long enough to mean something.
    pub(crate) counted: bool,
    /// The epoch of the routing that the node goes by.
    pub(crate) routing: u64,
}

/// What data nodes said last, by name.
pub(crate) type Reports = BTreeMap<String, Report>;

fn held<'r>(reports: &'r Reports, node: &str, shard: ShardId) -> Option<&'r Record> {
    reports.get(node)?.held.records.get(&shard)
}

/// Who is to be told what, as far as the reports do not show that it is done.
pub(crate) fn orders(routing: &Routing, reports: &Reports, bug: Option<Bug>) -> Vec<(String, Order)> {
    let Some(change) = &routing.change else { return first_shards(routing, reports) };
    let Some(shard) = routing.shards.get(&change.shard) else { return Vec::new() };
    let (id, owner) = (change.shard, &shard.node);
    let copy = |to: &String| {
        let (range, source) = (shard.range.clone(), owner.clone());
        (to.clone(), Order::Copy { shard: id, range, epoch: change.epoch, source })
    };
    let delete = |node: &String| (node.clone(), Order::Delete { shard: id, epoch: shard.epoch });
    match &change.step {
        Step::Splitting { right } => {
            let at = routing.shards.get(right).and_then(|right| right.range.from.clone());
            let split = |at| Order::Split { shard: id, right: *right, at, epoch: shard.epoch };
            at.map(|at| (owner.clone(), split(at))).into_iter().collect()
        }
        Step::Copying { to } => vec![copy(to)],
        Step::Freezing { to } => {
            let freeze = (owner.clone(), Order::Freeze { shard: id, epoch: change.epoch });
            let frozen = held(reports, owner, id).is_some_and(|record| record.state == State::Frozen);
            match frozen && bug == Some(Bug::DeletedEarly) {
                true => vec![(owner.clone(), Order::Delete { shard: id, epoch: shard.epoch + 1 })],
                false => vec![freeze, copy(to)],
            }
        }
        Step::Activating { .. } => {
            vec![(owner.clone(), Order::Activate { shard: id, copied: change.epoch, epoch: shard.epoch })]
        }
        Step::Deleting { from } => vec![delete(from)],
        Step::Aborting { to } => {
            vec![(owner.clone(), Order::Keep { shard: id, epoch: shard.epoch }), delete(to)]
        }
    }
}

/// The shards that were there from the beginning are made where nobody has heard of them.
fn first_shards(routing: &Routing, reports: &Reports) -> Vec<(String, Order)> {
    let first = routing.shards.values().filter(|shard| shard.epoch == FIRST_EPOCH);
    let unheard = first.filter(|shard| {
        reports.get(&shard.node).is_some_and(|report| !report.held.records.contains_key(&shard.shard))
    });
    let create = |range, shard| Order::Create { shard, range };
    unheard.map(|shard| (shard.node.clone(), create(shard.range.clone(), shard.shard))).collect()
}

/// Whether the reports show that the step that stands is done.
pub(crate) fn is_done(routing: &Routing, change: &Change, reports: &Reports) -> bool {
    let Some(shard) = routing.shards.get(&change.shard) else { return false };
    let owns = |id: ShardId| {
        held(reports, &shard.node, id)
            .is_some_and(|record| record.state == State::Owned && record.epoch == shard.epoch)
    };
    let copy = |to: &str| {
        let copy = held(reports, to, change.shard).filter(|record| record.epoch == change.epoch);
        copy.map(|record| record.state)
    };
    // A report may be older than an order that was obeyed since, so that it has no record says nothing.
    let gone = |node: &str| {
        held(reports, node, change.shard)
            .is_some_and(|record| record.state == State::Gone && record.epoch >= shard.epoch)
    };
    match &change.step {
        Step::Splitting { right } => owns(change.shard) && owns(*right),
        Step::Copying { to } => {
            matches!(copy(to), Some(State::Incoming { behind, whole, .. }) if whole || behind <= CAUGHT_UP)
        }
        Step::Freezing { to } => matches!(copy(to), Some(State::Incoming { whole: true, .. })),
        Step::Activating { .. } => owns(change.shard),
        Step::Deleting { from } => gone(from),
        Step::Aborting { to } => owns(change.shard) && gone(to),
    }
}

/// Whether every shard is held by its owner, and nothing else by anybody: only then something new is begun.
pub(crate) fn at_rest(routing: &Routing, reports: &Reports) -> bool {
    let whole = routing.nodes.iter().all(|node| reports.contains_key(node));
    let served = routing.shards.values().all(|shard| {
        held(reports, &shard.node, shard.shard).is_some_and(|record| {
            record.state == State::Owned && record.epoch == shard.epoch && record.range == shard.range
        })
    });
    let all = reports.values().flat_map(|report| report.held.records.values());
    let live = all.filter(|record| record.state != State::Gone).count();
    routing.change.is_none() && whole && served && live == routing.shards.len()
}

#[cfg(test)]
mod tests;
