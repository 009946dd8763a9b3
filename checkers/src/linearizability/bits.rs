//! Sets of slots: small numbers given to operations while they run, and used again afterwards.

use super::hash::mix;

/// A set of slots.
pub(super) trait Bits: Clone + Default + Eq + Send + Sync {
    fn has(&self, slot: u32) -> bool;
    fn insert(&mut self, slot: u32);
    fn remove(&mut self, slot: u32);
    fn includes(&self, other: &Self) -> bool;
    fn without(&self, other: &Self) -> Self;
    fn and(&self, other: &Self) -> Self;
    fn or(&self, other: &Self) -> Self;
    fn lowest(&self) -> Option<u32>;
    fn mixed_into(&self, hash: u64) -> u64;
    /// What it takes beyond its own size.
    fn heap_bytes(&self) -> usize;

    fn is_empty(&self) -> bool {
        self.lowest().is_none()
    }

    /// Its slots, rising.
    fn slots(&self) -> impl Iterator<Item = u32> + use<Self> {
        let mut rest = self.clone();
        std::iter::from_fn(move || {
            let slot = rest.lowest()?;
            rest.remove(slot);
            Some(slot)
        })
    }
}

/// Up to 128 operations at once, which need no memory of their own.
impl Bits for u128 {
    fn has(&self, slot: u32) -> bool {
        self >> slot & 1 != 0
    }

    fn insert(&mut self, slot: u32) {
        *self |= 1 << slot;
    }

    fn remove(&mut self, slot: u32) {
        *self &= !(1 << slot);
    }

    fn includes(&self, other: &Self) -> bool {
        other & !self == 0
    }

    fn without(&self, other: &Self) -> Self {
        self & !other
    }

    fn and(&self, other: &Self) -> Self {
        self & other
    }

    fn or(&self, other: &Self) -> Self {
        self | other
    }

    fn lowest(&self) -> Option<u32> {
        (*self != 0).then(|| self.trailing_zeros())
    }

    fn mixed_into(&self, hash: u64) -> u64 {
        mix(mix(hash, *self as u64), (self >> 64) as u64)
    }

    fn heap_bytes(&self) -> usize {
        0
    }
}

/// Any number of operations at once. Never ends in a zero, so equal sets are equal in form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wide(Vec<u64>);

impl Wide {
    fn trimmed(mut words: Vec<u64>) -> Self {
        while words.last() == Some(&0) {
            words.pop();
        }
        Wide(words)
    }
}

impl Bits for Wide {
    fn has(&self, slot: u32) -> bool {
        self.0.get(slot as usize / 64).is_some_and(|word| word >> (slot % 64) & 1 != 0)
    }

    fn insert(&mut self, slot: u32) {
        let word = slot as usize / 64;
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= 1 << (slot % 64);
    }

    fn remove(&mut self, slot: u32) {
        if let Some(word) = self.0.get_mut(slot as usize / 64) {
            *word &= !(1 << (slot % 64));
        }
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
    }

    fn includes(&self, other: &Self) -> bool {
        other.0.len() <= self.0.len() && other.0.iter().zip(&self.0).all(|(o, s)| o & !s == 0)
    }

    fn without(&self, other: &Self) -> Self {
        let others = other.0.iter().copied().chain(std::iter::repeat(0));
        Wide::trimmed(self.0.iter().zip(others).map(|(s, o)| s & !o).collect())
    }

    fn and(&self, other: &Self) -> Self {
        Wide::trimmed(self.0.iter().zip(&other.0).map(|(s, o)| s & o).collect())
    }

    fn or(&self, other: &Self) -> Self {
        let (long, short) = if self.0.len() < other.0.len() { (other, self) } else { (self, other) };
        let mut words = long.0.clone();
        words.iter_mut().zip(&short.0).for_each(|(l, s)| *l |= s);
        Wide(words)
    }

    fn lowest(&self) -> Option<u32> {
        let at = self.0.iter().position(|&word| word != 0)?;
        Some(at as u32 * 64 + self.0[at].trailing_zeros())
    }

    fn mixed_into(&self, hash: u64) -> u64 {
        self.0.iter().fold(hash, |hash, &word| mix(hash, word))
    }

    fn heap_bytes(&self) -> usize {
        self.0.capacity() * 8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both_forms(slots: &[u32]) -> (u128, Wide) {
        let mut both = (0, Wide::default());
        for &slot in slots {
            both.0.insert(slot);
            both.1.insert(slot);
        }
        both
    }

    #[test]
    fn both_forms_do_the_same() {
        let sets: [&[u32]; 5] = [&[], &[0, 63, 64, 127], &[64], &[0, 63], &[1, 64, 100]];
        for a in sets {
            let (narrow_a, wide_a) = both_forms(a);
            assert_eq!(narrow_a.slots().collect::<Vec<_>>(), a);
            assert_eq!(wide_a.slots().collect::<Vec<_>>(), a);
            for b in sets {
                let (narrow_b, wide_b) = both_forms(b);
                let same = |narrow: u128, wide: Wide| narrow.slots().eq(wide.slots());
                assert!(same(narrow_a.without(&narrow_b), wide_a.without(&wide_b)));
                assert!(same(narrow_a.and(&narrow_b), wide_a.and(&wide_b)));
                assert!(same(narrow_a.or(&narrow_b), wide_a.or(&wide_b)));
                assert_eq!(narrow_a.includes(&narrow_b), wide_a.includes(&wide_b));
                let mut fewer = wide_a.clone();
                b.iter().for_each(|&slot| fewer.remove(slot));
                assert_eq!(fewer, wide_a.without(&wide_b), "equal sets are equal in form");
                assert!(!fewer.has(64) || !b.contains(&64));
            }
        }
    }
}
