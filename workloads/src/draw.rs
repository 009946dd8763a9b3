//! Draws that workloads share: which key, and who only reads.

use ordeal_core::{Ask, Rng};

/// How often the next operation stays with the key of the one before. Operations on one key come in
/// bursts, several clients at a time: races need company.
const STAY: f64 = 0.75;

/// Draws keys.
pub(crate) struct Keys {
    count: u64,
    current: u64,
}

impl Keys {
    /// Keys `0..count`; at least one.
    pub(crate) fn new(count: u64) -> Self {
        Keys { count: count.max(1), current: 0 }
    }

    /// The next key.
    pub(crate) fn next(&mut self, rng: &mut Rng) -> u64 {
        if !rng.chance(STAY) {
            self.current = rng.below(self.count);
        }
        self.current
    }
}

/// Whether the asking client only reads: every second client of a node does. When a node is cut off its
/// writers hang until they time out, and without readers nobody would see what it still answers.
pub(crate) fn only_reads(ask: Ask, nodes: usize) -> bool {
    ask.thread / nodes.max(1) % 2 == 1
}
