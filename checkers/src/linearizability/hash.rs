//! A cheap hash, and a table of numbers that is looked up by it.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};

/// A map whose order of iteration is the same in every run, and whose hash is cheap. Its keys are mostly
/// the search's own numbers; who chooses others to collide only slows down the judging of his own history.
pub(super) type FastMap<K, V> = HashMap<K, V, BuildHasherDefault<MixHasher>>;

/// Multiply and rotate (the scheme of FxHash, with a final mix for the table's high bits).
#[derive(Clone, Copy, Default)]
pub(super) struct MixHasher(u64);

/// One step of the hash.
pub(super) fn mix(hash: u64, word: u64) -> u64 {
    (hash.rotate_left(5) ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

impl Hasher for MixHasher {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u8(&mut self, word: u8) {
        self.write_u64(u64::from(word));
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = mix(self.0, word);
    }

    fn write_i64(&mut self, word: i64) {
        self.write_u64(word as u64);
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

/// The hash of one value.
pub(super) fn hash_of(value: &impl Hash) -> u64 {
    let mut hasher = MixHasher::default();
    value.hash(&mut hasher);
    hasher.finish()
}

/// Marks an empty place in a [`Table`]; no number may be this one.
pub(super) const NONE: u32 = u32::MAX;

/// Numbers found by a hash of what they stand for, which the owner keeps elsewhere (open addressing, linear
/// probing, at most half full).
#[derive(Debug)]
pub(super) struct Table {
    places: Vec<u32>,
    len: usize,
}

impl Table {
    pub(super) fn new() -> Self {
        Table { places: vec![NONE; 16], len: 0 }
    }

    fn first_place(&self, hash: u64) -> usize {
        // The product's high bits are the good ones.
        (hash.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - self.places.len().trailing_zeros())) as usize
    }

    /// The place of the number for which `is` holds, or the empty place where it belongs.
    pub(super) fn find(&self, hash: u64, is: impl Fn(u32) -> bool) -> Result<usize, usize> {
        let mut place = self.first_place(hash);
        loop {
            match self.places[place] {
                NONE => return Err(place),
                number if is(number) => return Ok(place),
                _ => place = (place + 1) & (self.places.len() - 1),
            }
        }
    }

    pub(super) fn at(&self, place: usize) -> u32 {
        self.places[place]
    }

    /// Puts another number in the place of an equal one.
    pub(super) fn replace(&mut self, place: usize, number: u32) {
        self.places[place] = number;
    }

    /// Fills an empty place that `find` just gave. `hash_of` tells the hash of every number in the table.
    pub(super) fn fill(&mut self, place: usize, number: u32, hash_of: impl Fn(u32) -> u64) {
        self.places[place] = number;
        self.len += 1;
        if self.len * 2 <= self.places.len() {
            return;
        }
        let bigger = vec![NONE; self.places.len() * 2];
        let old = std::mem::replace(&mut self.places, bigger);
        for number in old.into_iter().filter(|&n| n != NONE) {
            if let Err(place) = self.find(hash_of(number), |_| false) {
                self.places[place] = number;
            }
        }
    }

    pub(super) fn clear(&mut self) {
        // Clearing costs as much as the largest table there ever was, so that one is not kept.
        if self.places.len() > 1024 && self.places.len() > 32 * self.len {
            *self = Table::new();
        } else if self.len > 0 {
            self.places.fill(NONE);
            self.len = 0;
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.places.capacity() * size_of::<u32>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_finds_what_was_put_into_it_and_nothing_else() {
        let words: Vec<String> = (0..1_000).map(|n| format!("w{}", n * 7)).collect();
        let hash_at = |n: u32| hash_of(&words[n as usize]);
        let mut table = Table::new();
        for (n, word) in (0..500).zip(&words) {
            let place = table.find(hash_of(word), |m| words[m as usize] == *word).unwrap_err();
            table.fill(place, n, hash_at);
        }
        for (n, word) in (0..1_000_u32).zip(&words) {
            let found = table.find(hash_of(word), |m| words[m as usize] == *word);
            assert_eq!(found.ok().map(|place| table.at(place)), (n < 500).then_some(n));
        }
        table.clear();
        assert!(table.find(hash_at(3), |_| true).is_err());
    }
}
