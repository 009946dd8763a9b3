//! The map: which node owns which partition, with an epoch for each. The replicated machine of the founders.
//!
//! An epoch of a partition has one owner: whoever takes a partition over does so at the next epoch, and only from the
//! owner that the map names. Where partitions should be is decided once, when a node joins; each owner then moves what it
//! should no longer have.

use ordeal_raft::{Machine, Position};
use serde::{Deserialize, Serialize};

use crate::assign::{assign, deal};

/// Who owns a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Owner {
    /// A position among the peers.
    pub(crate) node: usize,
    /// From 1 on; another owner, another epoch.
    pub(crate) epoch: u64,
}

/// A partition at an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Part {
    pub(crate) partition: usize,
    pub(crate) epoch: u64,
}

/// The map.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Map {
    /// Grows with every change.
    pub(crate) version: u64,
    /// By partition. Empty until the cluster has begun.
    pub(crate) owners: Vec<Owner>,
    /// By partition: the node that it should be at.
    pub(crate) wanted: Vec<usize>,
    /// All members, in the order in which they came.
    pub(crate) nodes: Vec<usize>,
}

/// What can be asked of the machine.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Command {
    /// The cluster begins, with so many partitions at these nodes.
    Begin { partitions: usize, nodes: Vec<usize> },
    /// A node joins. `deal_anew` is the bug `all-partitions-moved`.
    Join { node: usize, deal_anew: bool },
    /// A partition passes from its owner at this epoch to another node.
    Move { from: usize, part: Part, to: usize },
}

/// What the machine answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Answer {
    Done,
    /// The partition has another owner or epoch.
    NotMoved,
}

impl Machine for Map {
    type Command = Command;
    type Answer = Answer;

    fn apply(&mut self, _at: Position, command: Command) -> Answer {
        self.version += 1;
        match command {
            Command::Begin { partitions, nodes } => {
                if self.owners.is_empty() {
                    self.wanted = deal(&nodes, partitions);
                    self.owners = self.wanted.iter().map(|&node| Owner { node, epoch: 1 }).collect();
                    self.nodes = nodes;
                }
                Answer::Done
            }
            Command::Join { node, deal_anew } => {
                if !self.nodes.contains(&node) {
                    self.nodes.push(node);
                    self.wanted = match deal_anew {
                        true => deal(&self.nodes, self.owners.len()),
                        false => assign(&self.nodes, &self.wanted),
                    };
                }
                Answer::Done
            }
            Command::Move { from, part, to } => match self.owners.get_mut(part.partition) {
                Some(owner) if *owner == (Owner { node: from, epoch: part.epoch }) => {
                    *owner = Owner { node: to, epoch: part.epoch + 1 };
                    Answer::Done
                }
                _ => Answer::NotMoved,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_passes_on_from_its_owner_at_its_epoch_only() {
        let mut map = Map::default();
        let mut ask = |command: Command| (map.apply(Position::default(), command), map.clone());
        let begin = |partitions| Command::Begin { partitions, nodes: vec![0, 1, 2] };
        ask(begin(8));
        let (_, map) = ask(begin(4));
        assert_eq!((map.owners.len(), map.wanted.as_slice()), (8, [0, 1, 2, 0, 1, 2, 0, 1].as_slice()));
        let (_, map) = ask(Command::Join { node: 3, deal_anew: false });
        let (_, again) = ask(Command::Join { node: 3, deal_anew: false });
        assert_eq!((&map.wanted, &map.owners), (&again.wanted, &again.owners));
        let leaving = (0..8).find(|&p| map.wanted[p] == 3).unwrap();
        let owner = map.owners[leaving];
        let part = Part { partition: leaving, epoch: owner.epoch };
        let to_n3 = |from, part| Command::Move { from, part, to: 3 };
        assert_eq!(ask(to_n3(owner.node + 1, part)).0, Answer::NotMoved);
        assert_eq!(ask(to_n3(owner.node, Part { epoch: 2, ..part })).0, Answer::NotMoved);
        assert_eq!(ask(to_n3(owner.node, Part { partition: 8, epoch: 1 })).0, Answer::NotMoved);
        let (answer, map) = ask(to_n3(owner.node, part));
        assert_eq!((answer, map.owners[leaving]), (Answer::Done, Owner { node: 3, epoch: 2 }));
        assert_eq!(ask(to_n3(owner.node, part)).0, Answer::NotMoved);
    }
}
