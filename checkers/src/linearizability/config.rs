//! The parts of a configuration, made to be copied, compared and hashed often.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};

/// A map whose order of iteration is the same in every run, and whose hash is cheap. Its keys are the
/// search's own numbers, so nobody can choose them to collide.
pub(super) type FastMap<K, V> = HashMap<K, V, BuildHasherDefault<MixHasher>>;

/// Multiply and rotate (the scheme of FxHash, with a final mix for the table's high bits).
#[derive(Clone, Copy, Default)]
pub(super) struct MixHasher(u64);

impl Hasher for MixHasher {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }

    fn write_u32(&mut self, word: u32) {
        self.write_u64(u64::from(word));
    }

    fn write_usize(&mut self, word: usize) {
        self.write_u64(word as u64);
    }

    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 29)
    }
}

/// A set of slots: small numbers given to operations while they run, and used again afterwards. The first
/// 64 need no memory of their own. `high` never ends in a zero, so equal sets are equal in form.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Slots {
    low: u64,
    high: Vec<u64>,
}

impl Slots {
    pub(super) fn has(&self, slot: u32) -> bool {
        let bit = 1 << (slot % 64);
        match (slot / 64) as usize {
            0 => self.low & bit != 0,
            word => self.high.get(word - 1).is_some_and(|w| w & bit != 0),
        }
    }

    pub(super) fn insert(&mut self, slot: u32) {
        let bit = 1 << (slot % 64);
        match (slot / 64) as usize {
            0 => self.low |= bit,
            word => {
                if self.high.len() < word {
                    self.high.resize(word, 0);
                }
                self.high[word - 1] |= bit;
            }
        }
    }

    pub(super) fn remove(&mut self, slot: u32) {
        let bit = 1 << (slot % 64);
        match (slot / 64) as usize {
            0 => self.low &= !bit,
            word => {
                if let Some(w) = self.high.get_mut(word - 1) {
                    *w &= !bit;
                }
                while self.high.last() == Some(&0) {
                    self.high.pop();
                }
            }
        }
    }

    pub(super) fn includes(&self, other: &Slots) -> bool {
        other.low & !self.low == 0
            && other.high.len() <= self.high.len()
            && other.high.iter().zip(&self.high).all(|(o, s)| o & !s == 0)
    }

    pub(super) fn len(&self) -> u32 {
        self.low.count_ones() + self.high.iter().map(|w| w.count_ones()).sum::<u32>()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = u32> {
        let words = std::iter::once(&self.low).chain(&self.high);
        words.zip(0_u32..).flat_map(|(&word, at)| {
            let mut rest = word;
            std::iter::from_fn(move || {
                let bit = rest.trailing_zeros();
                (rest != 0).then(|| {
                    rest &= rest - 1;
                    at * 64 + bit
                })
            })
        })
    }

    fn heap_bytes(&self) -> usize {
        self.high.capacity() * 8
    }
}

/// How many open operations of each class have taken effect; classes at zero are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Used(Vec<(u32, u32)>);

impl Used {
    pub(super) fn of(&self, class: u32) -> u32 {
        match self.0.binary_search_by_key(&class, |u| u.0) {
            Ok(at) => self.0[at].1,
            Err(_) => 0,
        }
    }

    pub(super) fn with_one_more(&self, class: u32) -> Used {
        let mut more = self.clone();
        match more.0.binary_search_by_key(&class, |u| u.0) {
            Ok(at) => more.0[at].1 += 1,
            Err(at) => more.0.insert(at, (class, 1)),
        }
        more
    }

    pub(super) fn total(&self) -> usize {
        self.0.iter().map(|u| u.1 as usize).sum()
    }

    /// Whether no class has been used more often than in `other`.
    pub(super) fn within(&self, other: &Used) -> bool {
        self.0.len() <= other.0.len() && self.0.iter().all(|&(class, n)| n <= other.of(class))
    }

    /// What both have used.
    pub(super) fn common(&self, other: &Used) -> Used {
        let both = self.0.iter().map(|&(class, n)| (class, n.min(other.of(class))));
        Used(both.filter(|u| u.1 > 0).collect())
    }

    /// Takes away what `common` holds.
    pub(super) fn subtract(&mut self, common: &Used) {
        for u in &mut self.0 {
            u.1 -= common.of(u.0);
        }
        self.0.retain(|u| u.1 > 0);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, u32)> {
        self.0.iter().copied()
    }

    fn heap_bytes(&self) -> usize {
        self.0.capacity() * 8
    }
}

/// How many of the last linearized operations a configuration remembers, for the explanation.
pub(super) const REMEMBERED: usize = 10;

/// The entries linearized last, oldest first. Plays no part in equality.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Recent {
    entries: [u32; REMEMBERED],
    len: u8,
}

impl Recent {
    pub(super) fn push(&mut self, entry: u32) {
        let len = usize::from(self.len);
        if len == REMEMBERED {
            self.entries.copy_within(1.., 0);
            self.entries[REMEMBERED - 1] = entry;
        } else {
            self.entries[len] = entry;
            self.len += 1;
        }
    }

    pub(super) fn extend(&mut self, entries: impl IntoIterator<Item = u32>) {
        entries.into_iter().for_each(|entry| self.push(entry));
    }

    pub(super) fn as_slice(&self) -> &[u32] {
        &self.entries[..usize::from(self.len)]
    }
}

/// One way to explain everything seen so far.
#[derive(Clone, Debug)]
pub(super) struct Config {
    /// The state, by number.
    pub(super) state: u32,
    /// The running operations that have taken effect.
    pub(super) placed: Slots,
    /// The running reads that have been answered.
    pub(super) served: Slots,
    /// The open operations that have taken effect, beyond those that have in every configuration.
    pub(super) used: Used,
    /// What was linearized last.
    pub(super) recent: Recent,
}

impl Config {
    pub(super) fn heap_bytes(&self) -> usize {
        self.placed.heap_bytes() + self.served.heap_bytes() + self.used.heap_bytes()
    }

    /// How many of the running and open operations have taken effect.
    pub(super) fn linearized(&self) -> usize {
        (self.placed.len() + self.served.len()) as usize + self.used.total()
    }
}

/// Numbers for states, so that configurations stay small and each step is computed once.
pub(super) struct States<S> {
    numbers: HashMap<S, u32>,
    states: Vec<S>,
    steps: FastMap<(u32, u32), Option<u32>>,
    bytes: usize,
}

impl<S: Clone + Eq + Hash> States<S> {
    pub(super) fn new() -> Self {
        States { numbers: HashMap::new(), states: Vec::new(), steps: FastMap::default(), bytes: 0 }
    }

    pub(super) fn get(&self, number: u32) -> &S {
        &self.states[number as usize]
    }

    pub(super) fn len(&self) -> usize {
        self.states.len()
    }

    /// The number of `state`, which takes `bytes` of memory.
    pub(super) fn number(&mut self, state: S, bytes: usize) -> u32 {
        if let Some(&number) = self.numbers.get(&state) {
            return number;
        }
        let number = self.states.len() as u32;
        self.numbers.insert(state.clone(), number);
        self.states.push(state);
        self.bytes += 2 * bytes + 32;
        number
    }

    pub(super) fn known_step(&self, state: u32, entry: u32) -> Option<Option<u32>> {
        self.steps.get(&(state, entry)).copied()
    }

    pub(super) fn note_step(&mut self, state: u32, entry: u32, after: Option<u32>) {
        if self.steps.len() >= 1 << 16 {
            self.steps.clear();
        }
        self.steps.insert((state, entry), after);
    }

    /// Forgets all states that no configuration is in.
    pub(super) fn keep_only(&mut self, configs: &mut [Config], bytes_of: impl Fn(&S) -> usize) {
        let mut kept = States::new();
        for config in configs {
            let state = self.get(config.state).clone();
            let bytes = bytes_of(&state);
            config.state = kept.number(state, bytes);
        }
        *self = kept;
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes + self.steps.capacity() * 24
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_beyond_the_first_word_work_alike() {
        let mut slots = Slots::default();
        for slot in [0, 63, 64, 200] {
            slots.insert(slot);
        }
        assert_eq!(slots.iter().collect::<Vec<_>>(), [0, 63, 64, 200]);
        assert_eq!(slots.len(), 4);
        let mut fewer = slots.clone();
        fewer.remove(200);
        assert!(slots.includes(&fewer) && !fewer.includes(&slots));
        assert!(!fewer.has(200) && fewer.has(64));
        fewer.insert(200);
        assert_eq!(slots, fewer, "equal sets are equal in form");
    }

    #[test]
    fn used_counts_compare_and_shrink_by_class() {
        let a = Used::default().with_one_more(3);
        let b = a.with_one_more(1).with_one_more(3);
        assert!(a.within(&b) && !b.within(&a));
        let mut rest = b.clone();
        rest.subtract(&a.common(&b));
        assert_eq!((rest.of(1), rest.of(3), rest.total()), (1, 1, 2));
    }

    #[test]
    fn only_the_last_operations_are_remembered() {
        let mut recent = Recent::default();
        (0..15).for_each(|n| recent.push(n));
        assert_eq!(recent.as_slice(), (5..15).collect::<Vec<_>>());
    }
}
