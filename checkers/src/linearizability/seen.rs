//! The configurations a search has met, without those that another one dominates: with the same state and
//! the same placed calls, one that has answered more reads, covers more, and has used up fewer open calls
//! can do everything the other can.

use super::bits::Bits;
use super::engine::{Config, Mood, Placed};
use super::hash::{NONE, Table, mix};
use super::uses::Uses;

/// A configuration met, and how.
pub(super) struct Node<B> {
    pub(super) config: Config<B>,
    /// The position of the event before which it was met.
    pub(super) event: u32,
    /// The node it came from; [`NONE`] for a first one.
    pub(super) parent: u32,
    /// What was placed to come here.
    pub(super) placed: Placed,
    pub(super) mood: Mood,
    /// Another one dominates it.
    pub(super) dead: bool,
    /// The next node with the same event, state, placed calls and mood.
    next: u32,
}

impl<B> Node<B> {
    pub(super) fn new(config: Config<B>, event: usize, parent: u32, placed: Placed, mood: Mood) -> Self {
        Node { config, event: event as u32, parent, placed, mood, dead: false, next: NONE }
    }
}

/// All nodes of a search, or of one closure of it.
pub(super) struct Seen<B> {
    pub(super) nodes: Vec<Node<B>>,
    table: Table,
    heap_bytes: usize,
}

fn hash<B: Bits>(node: &Node<B>) -> u64 {
    let word = u64::from(node.event) << 34 | u64::from(node.config.state) << 2 | node.mood as u64;
    node.config.placed.mixed_into(mix(u64::from(node.event), word))
}

fn alike<B: Bits>(a: &Node<B>, b: &Node<B>) -> bool {
    a.config.state == b.config.state
        && a.event == b.event
        && a.mood == b.mood
        && a.config.placed == b.config.placed
}

impl<B: Bits> Seen<B> {
    pub(super) fn new() -> Self {
        Seen { nodes: Vec::new(), table: Table::new(), heap_bytes: 0 }
    }

    pub(super) fn clear(&mut self) {
        if self.nodes.capacity() > 1024 && self.nodes.capacity() > 32 * self.nodes.len() {
            self.nodes = Vec::new();
        }
        self.nodes.clear();
        self.table.clear();
        self.heap_bytes = 0;
    }

    /// Notes the node and gives its number; `None` if one noted before is at least as good.
    pub(super) fn offer(&mut self, mut node: Node<B>, uses: &Uses) -> Option<u32> {
        let number = self.nodes.len() as u32;
        let hash_now = hash(&node);
        let nodes = &self.nodes;
        match self.table.find(hash_now, |n| alike(&nodes[n as usize], &node)) {
            Err(place) => {
                self.push(node);
                let nodes = &self.nodes;
                self.table.fill(place, number, |n| hash(&nodes[n as usize]));
            }
            Ok(place) => {
                let first = self.table.at(place);
                let better = |n: &Node<B>| {
                    n.config.good.includes(&node.config.good) && uses.within(n.config.used, node.config.used)
                };
                if self.list(first).any(|n| better(&self.nodes[n as usize])) {
                    return None;
                }
                node.next = self.drop_worse(first, &node, uses);
                self.push(node);
                self.table.replace(place, number);
            }
        }
        Some(number)
    }

    /// The nodes of a list, by number.
    fn list(&self, first: u32) -> impl Iterator<Item = u32> {
        let next = |&n: &u32| Some(self.nodes[n as usize].next).filter(|&next| next != NONE);
        std::iter::successors(Some(first), next)
    }

    /// Takes those out of a list that the new node dominates, and gives its new beginning.
    fn drop_worse(&mut self, first: u32, new: &Node<B>, uses: &Uses) -> u32 {
        let (mut rival, mut kept) = (first, NONE);
        while rival != NONE {
            let met = &mut self.nodes[rival as usize];
            let rest = met.next;
            if new.config.good.includes(&met.config.good) && uses.within(new.config.used, met.config.used) {
                met.dead = true;
            } else {
                met.next = kept;
                kept = rival;
            }
            rival = rest;
        }
        kept
    }

    fn push(&mut self, node: Node<B>) {
        self.heap_bytes += node.config.placed.heap_bytes() + node.config.good.heap_bytes();
        self.nodes.push(node);
    }

    /// What was placed on the way to a node, earliest first, and the first node of that way.
    pub(super) fn way(&self, mut at: u32) -> (u32, Vec<Placed>) {
        let mut way = Vec::new();
        loop {
            let node = &self.nodes[at as usize];
            if node.placed != Placed::NOTHING {
                way.push(node.placed);
            }
            if node.parent == NONE {
                way.reverse();
                return (at, way);
            }
            at = node.parent;
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.nodes.capacity() * size_of::<Node<B>>() + self.table.bytes() + self.heap_bytes
    }
}
