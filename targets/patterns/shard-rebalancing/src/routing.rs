//! What the metadata nodes agree on: which customers are in which shard, which node owns it at which epoch, and the one
//! change that is under way; pure.
//!
//! Invariants:
//! - the shards' ranges cover every customer once;
//! - every change of an owner or of a range makes a new epoch, so an epoch says who owned what;
//! - one split or move at a time. A command that moves it on names the step that stands ([`Change`]); if another one
//!   stands by then, nothing happens. So it does not matter who proposes, how often, or how late.

use std::collections::{BTreeMap, BTreeSet};

use ordeal_kit::Id;
use ordeal_raft::{Machine, Position};
use serde::{Deserialize, Serialize};

use crate::key::{Key, Range};

/// The number of a shard.
pub(crate) type ShardId = u64;

/// The epoch of the first shards.
pub(crate) const FIRST_EPOCH: u64 = 1;

/// A shard, and who owns it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Shard {
    pub(crate) shard: ShardId,
    #[serde(flatten)]
    pub(crate) range: Range,
    pub(crate) node: String,
    /// Since when it is owned by this node with this range.
    pub(crate) epoch: u64,
}

/// How far a change of a shard has come.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Step {
    /// The routing has both halves; the owner is to split what it holds.
    Splitting { right: ShardId },
    /// The target copies, while the source goes on serving.
    Copying { to: String },
    /// The source is to stop serving; the target copies the rest.
    Freezing { to: String },
    /// The routing names the target; it is to serve.
    Activating { from: String },
    /// The target serves; the source is to delete what it has.
    Deleting { from: String },
    /// Given up: the source is to serve, at a new epoch; the target is to delete what it has.
    Aborting { to: String },
}

/// The change that is under way. A shard, the epoch at which it began and the step name it once and for all.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Change {
    pub(crate) shard: ShardId,
    /// The shard's epoch before the change.
    pub(crate) epoch: u64,
    pub(crate) step: Step,
}

/// What can be proposed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Command {
    /// The first data nodes and shards: one a region, in turn.
    Begin { nodes: Vec<String>, regions: Vec<Id> },
    /// A data node is one of the cluster from now on.
    Join { node: String },
    /// Split a shard that is at this epoch.
    Split { shard: ShardId, epoch: u64, at: Key },
    /// Move a shard that is at this epoch.
    Move { shard: ShardId, epoch: u64, to: String },
    /// This step is done.
    Advance { change: Change },
    /// This step is given up.
    Abort { change: Change },
}

/// The replicated state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Routing {
    /// Of the newest change; 0 before the beginning.
    pub(crate) epoch: u64,
    pub(crate) shards: BTreeMap<ShardId, Shard>,
    /// The data nodes.
    pub(crate) nodes: BTreeSet<String>,
    pub(crate) change: Option<Change>,
    /// Shards that ever were.
    numbered: ShardId,
    /// How many splits and moves there were, and how many moves were given up.
    pub(crate) splits: u64,
    pub(crate) moves: u64,
    pub(crate) aborts: u64,
}

impl Machine for Routing {
    type Command = Command;
    /// Whether it had an effect.
    type Answer = bool;

    fn apply(&mut self, _at: Position, command: Command) -> bool {
        match command {
            Command::Begin { nodes, regions } => self.begin(nodes, &regions),
            Command::Join { node } => {
                let new = self.epoch > 0 && self.nodes.insert(node);
                self.epoch += u64::from(new);
                new
            }
            Command::Split { shard, epoch, at } => self.split(shard, epoch, &at),
            Command::Move { shard, epoch, to } => self.plan_move(shard, epoch, to),
            Command::Advance { change } => self.change.as_ref() == Some(&change) && self.advance(change),
            Command::Abort { change } => self.change.as_ref() == Some(&change) && self.abort(change),
        }
    }
}

impl Routing {
    fn begin(&mut self, nodes: Vec<String>, regions: &[Id]) -> bool {
        let bounds: Result<Vec<Key>, _> = regions.iter().skip(1).map(Key::first_of).collect();
        let Some(bounds) = bounds.ok().filter(|_| self.epoch == 0 && !nodes.is_empty()) else { return false };
        self.epoch = FIRST_EPOCH;
        let mut rest = Range::default();
        let owner = |n: usize| nodes[n % nodes.len()].clone();
        for (n, bound) in bounds.iter().enumerate() {
            let (left, right) = rest.split(bound);
            self.add(left, owner(n));
            rest = right;
        }
        self.add(rest, owner(bounds.len()));
        self.nodes = nodes.into_iter().collect();
        true
    }

    /// Adds a shard at the newest epoch.
    fn add(&mut self, range: Range, node: String) -> ShardId {
        self.numbered += 1;
        let shard = self.numbered;
        self.shards.insert(shard, Shard { shard, range, node, epoch: self.epoch });
        shard
    }

    /// The shard, if it is at this epoch and nothing is under way.
    fn at_rest(&self, shard: ShardId, epoch: u64) -> Option<Shard> {
        self.shards.get(&shard).filter(|shard| self.change.is_none() && shard.epoch == epoch).cloned()
    }

    fn split(&mut self, shard: ShardId, epoch: u64, at: &Key) -> bool {
        let Some(whole) = self.at_rest(shard, epoch) else { return false };
        if !whole.range.contains(at) || whole.range.from.as_ref() == Some(at) {
            return false;
        }
        let (left, right) = whole.range.split(at);
        self.epoch += 1;
        self.shards.insert(shard, Shard { range: left, epoch: self.epoch, ..whole.clone() });
        let right = self.add(right, whole.node);
        self.change = Some(Change { shard, epoch, step: Step::Splitting { right } });
        self.splits += 1;
        true
    }

    fn plan_move(&mut self, shard: ShardId, epoch: u64, to: String) -> bool {
        let Some(whole) = self.at_rest(shard, epoch) else { return false };
        if whole.node == to || !self.nodes.contains(&to) {
            return false;
        }
        self.change = Some(Change { shard, epoch, step: Step::Copying { to } });
        true
    }

    fn advance(&mut self, change: Change) -> bool {
        let step = match change.step {
            Step::Splitting { .. } | Step::Aborting { .. } => None,
            Step::Deleting { .. } => {
                self.moves += 1;
                None
            }
            Step::Copying { to } => Some(Step::Freezing { to }),
            Step::Freezing { to } => {
                self.epoch += 1;
                let Some(shard) = self.shards.get_mut(&change.shard) else { return false };
                shard.epoch = self.epoch;
                Some(Step::Activating { from: std::mem::replace(&mut shard.node, to) })
            }
            Step::Activating { from } => Some(Step::Deleting { from }),
        };
        self.change = step.map(|step| Change { step, ..change });
        true
    }

    /// Only before the routing names the target.
    fn abort(&mut self, change: Change) -> bool {
        let (Step::Copying { to } | Step::Freezing { to }) = change.step else { return false };
        let Some(shard) = self.shards.get_mut(&change.shard) else { return false };
        self.epoch += 1;
        shard.epoch = self.epoch;
        self.aborts += 1;
        self.change = Some(Change { step: Step::Aborting { to }, ..change });
        true
    }
}

#[cfg(test)]
mod tests;
