//! A set of instants that only loses members, an interval at a time: which is the next one from here on, or
//! the last one up to here? A tree of words, each bit saying whether the word below it has a member. What is
//! lost is lost once, so n intervals cost O(n log n) in all, and there are four levels at most in practice.

/// The instants that are left.
pub(super) struct Instants {
    /// From the single instants to the whole.
    levels: Vec<Vec<u64>>,
}

const BITS: u32 = u64::BITS;

impl Instants {
    /// All instants below `end`, which is not zero.
    pub(super) fn all(end: u32) -> Instants {
        let mut levels = Vec::new();
        let mut members = end as usize;
        loop {
            let mut words = vec![u64::MAX; members.div_ceil(BITS as usize)];
            if let (Some(last), rest @ 1..) = (words.last_mut(), members as u32 % BITS) {
                *last = (1 << rest) - 1;
            }
            members = words.len();
            levels.push(words);
            if members <= 1 {
                return Instants { levels };
            }
        }
    }

    /// The first one left that is not before `instant`.
    pub(super) fn next(&self, instant: u32) -> Option<u32> {
        let mut at = instant;
        for (height, words) in self.levels.iter().enumerate() {
            let word = words.get((at / BITS) as usize)? & (u64::MAX << (at % BITS));
            if word != 0 {
                at = at / BITS * BITS + word.trailing_zeros();
                for words in self.levels[..height].iter().rev() {
                    at = at * BITS + words[at as usize].trailing_zeros();
                }
                return Some(at);
            }
            at = at / BITS + 1;
        }
        None
    }

    /// The last one left that is not after `instant`, which is one of those there were.
    pub(super) fn last(&self, instant: u32) -> Option<u32> {
        let mut at = instant;
        for (height, words) in self.levels.iter().enumerate() {
            let word = words.get((at / BITS) as usize)? & (u64::MAX >> (BITS - 1 - at % BITS));
            if word != 0 {
                at = at / BITS * BITS + word.ilog2();
                for words in self.levels[..height].iter().rev() {
                    at = at * BITS + words[at as usize].ilog2();
                }
                return Some(at);
            }
            at = (at / BITS).checked_sub(1)?;
        }
        None
    }

    /// Takes away all between the two, without these.
    pub(super) fn block(&mut self, after: u32, before: u32) {
        let mut from = after + 1;
        while let Some(first) = self.next(from).filter(|&first| first < before) {
            let word = first / BITS;
            from = (word + 1) * BITS;
            let keep_above = match before < from {
                true => u64::MAX << (before % BITS),
                false => 0,
            };
            let keep_below = (1 << (first % BITS)) - 1;
            self.levels[0][word as usize] &= keep_above | keep_below;
            let mut at = word;
            for height in 1..self.levels.len() {
                if self.levels[height - 1][at as usize] != 0 {
                    break;
                }
                self.levels[height][(at / BITS) as usize] &= !(1 << (at % BITS));
                at /= BITS;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use ordeal_core::Rng;

    use super::*;

    #[test]
    fn it_finds_what_a_walk_finds() {
        let mut rng = Rng::new(3);
        for size in [1, 2, 63, 64, 65, 128, 4096, 4097, 9000] {
            let mut instants = Instants::all(size);
            let mut plain = vec![true; size as usize];
            for _ in 0..60 {
                let after = rng.below(u64::from(size)) as u32;
                let before = after + 1 + rng.below(1 + u64::from(size) / 10) as u32;
                instants.block(after, before);
                plain
                    .iter_mut()
                    .take(before as usize)
                    .skip(after as usize + 1)
                    .for_each(|free| *free = false);
                for _ in 0..20 {
                    let at = rng.below(u64::from(size)) as u32;
                    let next = (at..size).find(|&i| plain[i as usize]);
                    let last = (0..=at).rev().find(|&i| plain[i as usize]);
                    assert_eq!((instants.next(at), instants.last(at)), (next, last), "{at} of {size}");
                    assert_eq!(instants.next(size + at % 3), None);
                }
            }
        }
    }
}
