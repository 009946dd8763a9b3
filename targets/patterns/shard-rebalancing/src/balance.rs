//! The load monitor's judgement: what to split or move, given what every node served lately; pure.
//!
//! A node is overloaded at 90 % of its declared capacity. It gives to the least loaded one the half of their difference at
//! most, so that no node becomes what another one was. If no shard of it is of that size, one is split first: at a customer
//! such that one side is.

use std::collections::BTreeMap;

use crate::key::{Key, Range};
use crate::routing::{Command, Routing, Shard, ShardId};

/// The share of its capacity from which on a node is overloaded.
const OVERLOADED: f64 = 0.9;
/// A node with more than so many times the mean is relieved, overloaded or not.
const UNEVEN: f64 = 1.12;
/// Below so many requests a second in all, nothing is worth a move.
const TRIVIAL: f64 = 20.0;
/// What is moved is within this share of what should be; else a shard is split first.
const NEAR: f64 = 0.3;
/// Less than this share of the mean is not worth a move.
const WORTH: f64 = 0.05;
/// Shards that there may be.
const SHARDS_MAX: usize = 128;

/// Requests a second that each node served, by customer, in order.
pub(crate) type Loads<'a> = BTreeMap<&'a str, &'a [(Key, f64)]>;

/// What a node served.
fn total(load: &[(Key, f64)]) -> f64 {
    load.iter().map(|(_, rate)| rate).sum()
}

/// What there was of a shard, by customer.
fn within<'a>(load: &'a [(Key, f64)], range: &Range) -> Vec<&'a (Key, f64)> {
    load.iter().filter(|(key, _)| range.contains(key)).collect()
}

/// What to begin, if anything; `capacity` is what a node can serve, in requests a second.
pub(crate) fn plan(routing: &Routing, loads: &Loads<'_>, capacity: f64) -> Option<Command> {
    let totals: BTreeMap<&str, f64> = loads.iter().map(|(node, load)| (*node, total(load))).collect();
    let mean = totals.values().sum::<f64>() / totals.len() as f64;
    let (&hot, &most) = totals.iter().max_by(|a, b| a.1.total_cmp(b.1))?;
    let (&cold, &least) = totals.iter().min_by(|a, b| a.1.total_cmp(b.1))?;
    let wanted = (most - mean).min(mean - least);
    let too_much = most > OVERLOADED * capacity || most > UNEVEN * mean;
    if !too_much || mean * totals.len() as f64 <= TRIVIAL || wanted < WORTH * mean {
        return None;
    }
    let load = loads.get(hot)?;
    let shards = || routing.shards.values().filter(|shard| shard.node == hot);
    let to = cold.to_owned();
    let best = shards()
        .map(|shard| (off(within(load, &shard.range).iter().map(|(_, rate)| rate).sum(), wanted), shard))
        .min_by(|a, b| a.0.total_cmp(&b.0));
    let moving = |shard: &Shard| Command::Move { shard: shard.shard, epoch: shard.epoch, to: to.clone() };
    let cut = shards().filter_map(|shard| cut(load, shard, wanted)).min_by(|a, b| a.0.total_cmp(&b.0));
    match (best, cut) {
        (Some((error, shard)), _) if error <= NEAR => Some(moving(shard)),
        (best, Some((error, shard, epoch, at)))
            if routing.shards.len() < SHARDS_MAX && best.is_none_or(|best| error < best.0) =>
        {
            Some(Command::Split { shard, epoch, at })
        }
        // At twice what should be moved the two nodes would change places.
        (Some((error, shard)), _) if error < 0.8 => Some(moving(shard)),
        _ => None,
    }
}

/// By how much what could be moved misses what should be, as a share of that.
fn off(rate: f64, wanted: f64) -> f64 {
    (rate - wanted).abs() / wanted
}

/// Where the shard is best split: how far one side then is from what is wanted, and at which customer.
fn cut(load: &[(Key, f64)], shard: &Shard, wanted: f64) -> Option<(f64, ShardId, u64, Key)> {
    let customers = within(load, &shard.range);
    let whole: f64 = customers.iter().map(|(_, rate)| rate).sum();
    let mut left = 0.0;
    let mut cuts = Vec::new();
    for (key, rate) in customers {
        if left > 0.0 {
            cuts.push((off(left, wanted).min(off(whole - left, wanted)), key));
        }
        left += rate;
    }
    let (error, at) = cuts.into_iter().min_by(|a, b| a.0.total_cmp(&b.0))?;
    Some((error, shard.shard, shard.epoch, at.clone()))
}

#[cfg(test)]
mod tests;
