//! The configurations met while one operation ends: which are worth keeping, and which come next.

use super::config::{Config, FastMap, Slots, Used};

/// The configurations met while one operation ends, without those that another one dominates: with the
/// same state and the same placed operations, one that has served more reads and used up fewer open
/// operations can do everything the other can.
#[derive(Debug, Default)]
pub(super) struct Seen {
    best: FastMap<(u32, Slots), Vec<(Slots, Used)>>,
    bytes: usize,
}

impl Seen {
    pub(super) fn clear(&mut self) {
        // Clearing costs as much as the largest table there ever was, so that one is not kept.
        if self.best.capacity() > 1024 && self.best.capacity() > 16 * self.best.len() {
            self.best = FastMap::default();
        }
        self.best.clear();
        self.bytes = 0;
    }

    /// Notes the configuration; false if one noted before is at least as good.
    pub(super) fn offer(&mut self, config: &Config) -> bool {
        let rivals = self.best.entry((config.state, config.placed.clone())).or_default();
        let beaten =
            |(served, used): &(Slots, Used)| served.includes(&config.served) && used.within(&config.used);
        if rivals.iter().any(beaten) {
            return false;
        }
        rivals.retain(|(served, used)| !(config.served.includes(served) && config.used.within(used)));
        rivals.push((config.served.clone(), config.used.clone()));
        // The note, the configuration on its queue, and the table's own spare room.
        self.bytes += 4 * size_of::<Config>() + 2 * config.heap_bytes();
        true
    }

    /// Whether nothing better has come up since the configuration was noted.
    pub(super) fn holds(&self, config: &Config) -> bool {
        self.best.get(&(config.state, config.placed.clone())).is_some_and(|rivals| {
            rivals.iter().any(|(served, used)| *served == config.served && *used == config.used)
        })
    }

    /// The states of the noted configurations, possibly several times.
    pub(super) fn states(&self) -> impl Iterator<Item = u32> {
        self.best.keys().map(|key| key.0)
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

/// Configurations waiting to be expanded: those that used fewer open operations first, since they can
/// dominate the others.
#[derive(Default)]
pub(super) struct Waiting {
    by_used: Vec<Vec<Config>>,
    lowest: usize,
}

impl Waiting {
    pub(super) fn push(&mut self, config: Config) {
        let used = config.used.total();
        if self.by_used.len() <= used {
            self.by_used.resize_with(used + 1, Vec::new);
        }
        self.lowest = self.lowest.min(used);
        self.by_used[used].push(config);
    }

    pub(super) fn pop(&mut self) -> Option<Config> {
        while let Some(level) = self.by_used.get_mut(self.lowest) {
            if let Some(config) = level.pop() {
                return Some(config);
            }
            self.lowest += 1;
        }
        None
    }
}
