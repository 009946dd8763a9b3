//! Configurations, and those of them that no other one makes superfluous.

use super::set::Set;
use super::used::Combinations;

/// One way to explain everything seen so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Config<const N: usize> {
    /// The value of the register.
    pub(super) value: u32,
    /// When the last blind write was placed: the number of an event.
    pub(super) blind: u32,
    /// The open calls used up, by their number among the [`Combinations`].
    pub(super) used: u32,
    /// The last step of how this came about.
    pub(super) step: u32,
    /// The running calls that have a place.
    pub(super) placed: Set<N>,
    /// The running calls that began before the last blind write was placed: they can still be placed
    /// immediately before it.
    pub(super) free: Set<N>,
}

/// Which running calls are what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Running<const N: usize> {
    pub(super) reads: Set<N>,
    pub(super) writes: Set<N>,
    pub(super) swaps: Set<N>,
}

impl<const N: usize> Running<N> {
    pub(super) fn all(&self) -> Set<N> {
        self.reads.or(&self.writes).or(&self.swaps)
    }
}

/// Where in its closure a configuration is. Only those in the same place are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Nothing but compare-and-sets and reads so far.
    Before,
    /// After this event's blind write.
    After,
    /// Among calls placed before the last blind write, at this value; whether the ending call is there.
    Hidden(u32, bool),
}

struct Entry<const N: usize> {
    config: Config<N>,
    place: Place,
    /// The entry before it in the same bucket.
    next: u32,
    alive: bool,
}

/// What there is to be compared with.
pub(super) struct Pool<const N: usize> {
    entries: Vec<Entry<N>>,
    /// The last entry of each bucket, valid in this round only.
    heads: Vec<(u32, u32)>,
    round: u32,
    /// How many comparisons there were.
    pub(super) compared: u64,
}

const NONE: u32 = u32::MAX;

impl<const N: usize> Pool<N> {
    pub(super) fn new() -> Self {
        Pool { entries: Vec::new(), heads: vec![(0, 0); 64], round: 1, compared: 0 }
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
        self.round += 1;
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The entry, if nothing better has come up.
    pub(super) fn get(&self, at: usize) -> Option<(Config<N>, Place)> {
        self.entries.get(at).filter(|e| e.alive).map(|e| (e.config, e.place))
    }

    pub(super) fn best(&self) -> impl Iterator<Item = &Config<N>> {
        self.entries.iter().filter(|e| e.alive).map(|e| &e.config)
    }

    /// Adds a configuration, unless one that is at least as good is there; removes those it beats.
    pub(super) fn offer(
        &mut self,
        config: Config<N>,
        place: Place,
        running: &Running<N>,
        all: &Combinations,
    ) -> bool {
        if self.entries.len() * 2 > self.heads.len() {
            self.grow(running);
        }
        let bucket = self.bucket(&config, place, running);
        let (round, head) = self.heads[bucket];
        let head = if round == self.round { head } else { NONE };
        let mut at = head;
        while let Some(entry) = self.entries.get_mut(at as usize) {
            if entry.alive && entry.place == place {
                self.compared += 1;
                if beats(&entry.config, &config, running, all) {
                    return false;
                }
                entry.alive = !beats(&config, &entry.config, running, all);
            }
            at = entry.next;
        }
        self.heads[bucket] = (self.round, self.entries.len() as u32);
        self.entries.push(Entry { config, place, next: head, alive: true });
        true
    }

    fn bucket(&self, config: &Config<N>, place: Place, running: &Running<N>) -> usize {
        let place = match place {
            Place::Before => 0,
            Place::After => 1,
            Place::Hidden(value, _) => u64::from(value) + 2,
        };
        let values = u64::from(config.value) << 32 ^ place;
        let hash = config.placed.and(&running.swaps).hash() ^ values.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (hash ^ hash >> 32) as usize & (self.heads.len() - 1)
    }

    fn grow(&mut self, running: &Running<N>) {
        self.heads = vec![(self.round, NONE); self.heads.len() * 4];
        for at in 0..self.entries.len() {
            let entry = &self.entries[at];
            let bucket = self.bucket(&entry.config, entry.place, running);
            let head = std::mem::replace(&mut self.heads[bucket], (self.round, at as u32));
            self.entries[at].next = head.1;
        }
    }
}

/// Whether `a` can do everything that `b` can: they have the same value and the same compare-and-sets have
/// a place; `a` has answered the same reads or more, used up no more open calls, placed no write that `b`
/// still has, and those that `b` has placed and `a` has not `a` can place before the last blind write, which
/// changes nothing.
fn beats<const N: usize>(a: &Config<N>, b: &Config<N>, running: &Running<N>, all: &Combinations) -> bool {
    let (a_only, b_only) = (a.placed.minus(&b.placed), b.placed.minus(&a.placed));
    a.value == b.value
        && a_only.within(&running.reads)
        && b_only.within(&running.writes.and(&a.free))
        && b.free.within(&a.free)
        && b.blind <= a.blind
        && all.within(a.used, b.used)
}
