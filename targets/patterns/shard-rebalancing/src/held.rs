//! Which shards a data node holds, and how: what decides whether it serves a customer, and what it does of what it is
//! told; pure. It is kept on disk, and changed in the same commit as the rows it is about.
//!
//! An order may come twice, and late. Each names epochs, and has no effect on what is newer:
//! - nobody but the node itself ends its ownership: it is frozen, on disk, before the routing names another one, so two
//!   nodes never own a customer at once, and no clock is needed to be sure of that;
//! - a node owns a shard only from an epoch that the metadata nodes have committed;
//! - of a shard that is gone, or that was to be deleted and never came, the epoch is kept, so that no late order brings it
//!   back, and that it is gone is seen in a report, not concluded from its absence.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::bugs::Bug;
use crate::key::{Key, Range};
use crate::routing::{FIRST_EPOCH, ShardId};
use crate::steps;

/// How a shard is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum State {
    /// Served.
    Owned,
    /// Not served any more; the target has it, or will get it.
    Frozen,
    /// A copy in the making. `taken`: how many customers have come, in all rounds. `behind`: how many came with the last
    /// whole round, so about how many are lacking.
    Incoming { taken: u64, behind: u64, whole: bool },
    /// Not held any more.
    Gone,
}

impl State {
    /// What it is called; none if the shard is not held.
    pub(crate) fn name(self) -> Option<&'static str> {
        match self {
            State::Owned => Some("owned"),
            State::Frozen => Some("frozen"),
            State::Incoming { .. } => Some("incoming"),
            State::Gone => None,
        }
    }
}

/// A shard as a data node holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    #[serde(flatten)]
    pub(crate) range: Range,
    /// Owned or frozen: since when it is owned. Incoming: since when the source owns it. Gone: since when it is another's.
    pub(crate) epoch: u64,
    /// Changes of customers so far; of a copy, those that it has.
    pub(crate) seq: u64,
    pub(crate) state: State,
}

/// Where a copy stands at the end of a round.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    /// The change up to which it goes.
    pub(crate) seq: u64,
    /// How many customers the round had.
    pub(crate) behind: u64,
    /// There will be no more.
    pub(crate) whole: bool,
}

/// What a data node is told to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Order {
    /// Own one of the first shards.
    Create { shard: ShardId, range: Range },
    /// Split an owned shard, for this epoch.
    Split { shard: ShardId, right: ShardId, at: Key, epoch: u64 },
    /// Copy a shard from its owner, who has it since this epoch.
    Copy { shard: ShardId, range: Range, epoch: u64, source: String },
    /// Stop serving a shard that is owned since exactly this epoch.
    Freeze { shard: ShardId, epoch: u64 },
    /// Own a shard of which there is a whole copy of what it was at the epoch `copied`.
    Activate { shard: ShardId, copied: u64, epoch: u64 },
    /// Own a shard again, from this epoch on, that did not move after all.
    Keep { shard: ShardId, epoch: u64 },
    /// Delete what is left of a shard that is another's since this epoch.
    Delete { shard: ShardId, epoch: u64 },
}

/// What obeying an order led to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Obeyed {
    /// Something was changed.
    pub(crate) changed: bool,
    /// The step of a change that was done, and of which shard.
    pub(crate) step: Option<(steps::Name, ShardId)>,
    /// The rows that are to be deleted in the same commit.
    pub(crate) delete: Option<Range>,
}

/// Why a customer is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// This node does not hold the customer.
    Elsewhere,
    /// The shard is on its way, to or from this node.
    Moving,
    /// The request names an older epoch than the owner's, which this is.
    Older(u64),
    /// The request names an epoch that the owner has not heard of yet.
    Newer,
}

/// All that a data node holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Held {
    pub(crate) records: BTreeMap<ShardId, Record>,
}

impl Held {
    /// The record of the shard that serves the customer, for a request that names this epoch, or none.
    pub(crate) fn serving(
        &self,
        key: &Key,
        epoch: Option<u64>,
        bug: Option<Bug>,
    ) -> Result<(ShardId, &Record), Refusal> {
        let holds = |record: &Record| {
            let beside = bug == Some(Bug::BoundaryTwice) && record.range.to.as_ref() == Some(key);
            record.state != State::Gone && (record.range.contains(key) || beside)
        };
        let held = self.records.iter().find(|(_, record)| holds(record));
        let (shard, record) = held.ok_or(Refusal::Elsewhere)?;
        let served_frozen =
            bug == Some(Bug::TwoOwners) || (bug == Some(Bug::OldEpoch) && epoch == Some(record.epoch));
        match (record.state, epoch) {
            (State::Owned, Some(older)) if older < record.epoch => Err(Refusal::Older(record.epoch)),
            (State::Owned, Some(newer)) if newer > record.epoch => Err(Refusal::Newer),
            (State::Owned, _) => Ok((*shard, record)),
            (State::Frozen, _) if served_frozen => Ok((*shard, record)),
            _ => Err(Refusal::Moving),
        }
    }

    /// The shard, if it can be copied from here: it is owned, or frozen, since exactly this epoch. And whether it will not
    /// change any more.
    pub(crate) fn source(&self, shard: ShardId, epoch: u64) -> Option<(&Record, bool)> {
        let record = self.records.get(&shard).filter(|record| record.epoch == epoch)?;
        match record.state {
            State::Owned => Some((record, false)),
            State::Frozen => Some((record, true)),
            State::Incoming { .. } | State::Gone => None,
        }
    }

    /// Notes that so many customers of a copy have come, and where it stands if a round ends with them; false if this node
    /// does not make that copy.
    pub(crate) fn copied(&mut self, shard: ShardId, epoch: u64, rows: u64, mark: Option<Mark>) -> bool {
        let Some(record) = self.copying(shard, epoch) else { return false };
        let State::Incoming { taken, behind, whole } = record.state else { return false };
        let Mark { seq, behind, whole } = mark.unwrap_or(Mark { seq: record.seq, behind, whole });
        record.seq = seq;
        record.state = State::Incoming { taken: taken + rows, behind, whole };
        true
    }

    /// The copy of what the shard was at this epoch, if it is in the making.
    fn copying(&mut self, shard: ShardId, epoch: u64) -> Option<&mut Record> {
        let record = self.records.get_mut(&shard)?;
        (record.epoch == epoch && matches!(record.state, State::Incoming { .. })).then_some(record)
    }

    /// Does what it is told, or nothing.
    pub(crate) fn obey(&mut self, order: &Order) -> Obeyed {
        match order {
            Order::Create { shard, range } => self.create(*shard, range),
            Order::Split { shard, right, at, epoch } => self.split(*shard, *right, at, *epoch),
            Order::Copy { shard, range, epoch, .. } => self.copy(*shard, range, *epoch),
            Order::Freeze { shard, epoch } => self.freeze(*shard, *epoch),
            Order::Activate { shard, copied, epoch } => self.activate(*shard, *copied, *epoch),
            Order::Keep { shard, epoch } => self.keep(*shard, *epoch),
            Order::Delete { shard, epoch } => self.delete(*shard, *epoch),
        }
    }

    fn create(&mut self, shard: ShardId, range: &Range) -> Obeyed {
        // A node that has ever held the shard keeps a record of it.
        if self.records.contains_key(&shard) || self.holds_any_of(range) {
            return Obeyed::default();
        }
        let record = Record { range: range.clone(), epoch: FIRST_EPOCH, seq: 0, state: State::Owned };
        self.records.insert(shard, record);
        Obeyed { changed: true, ..Obeyed::default() }
    }

    fn holds_any_of(&self, range: &Range) -> bool {
        self.records.values().any(|other| other.state != State::Gone && other.range.overlaps(range))
    }

    fn split(&mut self, shard: ShardId, right: ShardId, at: &Key, epoch: u64) -> Obeyed {
        let splits = |record: &&mut Record| {
            record.state == State::Owned && record.epoch < epoch && record.range.contains(at)
        };
        let Some(record) = self.records.get_mut(&shard).filter(splits) else { return Obeyed::default() };
        let (left, rest) = record.range.split(at);
        record.range = left;
        record.epoch = epoch;
        let rest = Record { range: rest, ..record.clone() };
        self.records.insert(right, rest);
        Obeyed { changed: true, step: Some((steps::SPLIT, shard)), delete: None }
    }

    fn copy(&mut self, shard: ShardId, range: &Range, epoch: u64) -> Obeyed {
        match self.records.get(&shard) {
            Some(record) if record.state != State::Gone || record.epoch > epoch => Obeyed::default(),
            _ if self.holds_any_of(range) => Obeyed::default(),
            _ => {
                let state = State::Incoming { taken: 0, behind: u64::MAX, whole: false };
                self.records.insert(shard, Record { range: range.clone(), epoch, seq: 0, state });
                let delete = Some(range.clone());
                Obeyed { changed: true, step: Some((steps::COPY_BEGUN, shard)), delete }
            }
        }
    }

    fn freeze(&mut self, shard: ShardId, epoch: u64) -> Obeyed {
        let owned = |record: &&mut Record| record.state == State::Owned && record.epoch == epoch;
        let Some(record) = self.records.get_mut(&shard).filter(owned) else { return Obeyed::default() };
        record.state = State::Frozen;
        Obeyed { changed: true, step: Some((steps::FROZEN, shard)), delete: None }
    }

    fn activate(&mut self, shard: ShardId, copied: u64, epoch: u64) -> Obeyed {
        match self.copying(shard, copied) {
            Some(record) if matches!(record.state, State::Incoming { whole: true, .. }) => {
                record.epoch = epoch;
                record.state = State::Owned;
                Obeyed { changed: true, step: Some((steps::ACTIVATED, shard)), delete: None }
            }
            _ => Obeyed::default(),
        }
    }

    fn keep(&mut self, shard: ShardId, epoch: u64) -> Obeyed {
        let older = |record: &&mut Record| {
            matches!(record.state, State::Owned | State::Frozen) && record.epoch < epoch
        };
        let Some(record) = self.records.get_mut(&shard).filter(older) else { return Obeyed::default() };
        record.epoch = epoch;
        record.state = State::Owned;
        Obeyed { changed: true, step: Some((steps::KEPT, shard)), delete: None }
    }

    fn delete(&mut self, shard: ShardId, epoch: u64) -> Obeyed {
        // Also of what never came a record is kept: it may still be on its way.
        let never = Record { range: Range::default(), epoch: 0, seq: 0, state: State::Gone };
        let record = self.records.entry(shard).or_insert(never);
        if record.state == State::Owned || record.epoch >= epoch {
            return Obeyed::default();
        }
        record.epoch = epoch;
        if record.state == State::Gone {
            return Obeyed { changed: true, ..Obeyed::default() };
        }
        record.state = State::Gone;
        let delete = Some(std::mem::take(&mut record.range));
        Obeyed { changed: true, step: Some((steps::DELETED, shard)), delete }
    }
}

#[cfg(test)]
mod tests;
