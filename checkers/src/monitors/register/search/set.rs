//! A set of slots: small numbers that calls have while they run.

/// A set of numbers below 64 `N`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Set<const N: usize>([u64; N]);

impl<const N: usize> Default for Set<N> {
    fn default() -> Self {
        Set([0; N])
    }
}

impl<const N: usize> Set<N> {
    pub(super) fn has(&self, slot: u32) -> bool {
        self.0[slot as usize / 64] >> (slot % 64) & 1 != 0
    }

    pub(super) fn insert(&mut self, slot: u32) {
        self.0[slot as usize / 64] |= 1 << (slot % 64);
    }

    pub(super) fn remove(&mut self, slot: u32) {
        self.0[slot as usize / 64] &= !(1 << (slot % 64));
    }

    fn zip(&self, other: &Self, f: impl Fn(u64, u64) -> u64) -> Self {
        Set(std::array::from_fn(|i| f(self.0[i], other.0[i])))
    }

    pub(super) fn and(&self, other: &Self) -> Self {
        self.zip(other, |a, b| a & b)
    }

    pub(super) fn or(&self, other: &Self) -> Self {
        self.zip(other, |a, b| a | b)
    }

    pub(super) fn minus(&self, other: &Self) -> Self {
        self.zip(other, |a, b| a & !b)
    }

    pub(super) fn within(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).all(|(a, b)| a & !b == 0)
    }

    pub(super) fn len(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }

    pub(super) fn hash(&self) -> u64 {
        self.0
            .iter()
            .fold(0, |hash: u64, &word| (hash.rotate_left(5) ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = u32> + use<N> {
        let words = self.0;
        let mut at = 0;
        let mut rest = words.first().copied().unwrap_or(0);
        std::iter::from_fn(move || {
            while rest == 0 {
                at += 1;
                rest = *words.get(at)?;
            }
            let bit = rest.trailing_zeros();
            rest &= rest - 1;
            Some(at as u32 * 64 + bit)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_of_several_words() {
        let mut set = Set::<3>::default();
        [0, 63, 64, 190].iter().for_each(|&slot| set.insert(slot));
        assert_eq!(set.iter().collect::<Vec<_>>(), [0, 63, 64, 190]);
        assert_eq!(set.len(), 4);
        let mut fewer = set;
        fewer.remove(64);
        assert!(fewer.within(&set) && !set.within(&fewer) && !fewer.has(64));
        assert_eq!(set.minus(&fewer).iter().collect::<Vec<_>>(), [64]);
        assert_eq!(set.and(&fewer), fewer);
        assert_eq!(set.or(&fewer), set);
        assert_eq!(set.minus(&set).len(), 0);
    }
}
