//! What the simulator draws: SplitMix64 (Steele, Lea & Flood 2014) and the distribution of keys.
//!
//! Whole numbers only, so that a seed gives the same history on every machine. The harness's own
//! generator is another one: the histories of the shared benchmark suite are defined by this one.

/// A seeded generator of pseudo-random numbers.
#[derive(Clone, Debug)]
pub(crate) struct Draws(u64);

impl Draws {
    pub(crate) fn new(seed: u64) -> Self {
        Draws(seed)
    }

    fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number in `0..bound`; 0 if there is none.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// True so many times in a million.
    pub(crate) fn per_million(&mut self, times: u64) -> bool {
        self.below(1_000_000) < times
    }
}

/// Which keys are asked for how often.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Spread {
    /// All alike.
    #[default]
    Uniform,
    /// The i-th as often as 1/i says.
    Zipf,
    /// Nine of ten operations are about one key in ten, and at least one.
    Hot,
}

/// Draws keys.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    spread: Spread,
    count: u64,
    /// For [`Spread::Zipf`]: the weight of each key and all before it.
    sums: Vec<u64>,
}

impl Keys {
    pub(crate) fn new(spread: Spread, count: u64) -> Self {
        let mut sums = Vec::new();
        if spread == Spread::Zipf {
            let weights = (1..=count).map(|rank| (1 << 32) / rank);
            sums.extend(weights.scan(0, |sum, weight: u64| {
                *sum += weight.max(1);
                Some(*sum)
            }));
        }
        Keys { spread, count, sums }
    }

    pub(crate) fn draw(&self, draws: &mut Draws) -> usize {
        let key = match self.spread {
            Spread::Uniform => draws.below(self.count),
            Spread::Zipf => {
                let at = draws.below(self.sums.last().copied().unwrap_or(1));
                self.sums.partition_point(|&sum| sum <= at) as u64
            }
            Spread::Hot => {
                let hot = (self.count / 10).max(1);
                if draws.below(10) < 9 { draws.below(hot) } else { draws.below(self.count) }
            }
        };
        key as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_spread_as_named() {
        let count = |spread| {
            let (keys, mut draws, mut seen) = (Keys::new(spread, 20), Draws::new(1), [0_u32; 20]);
            (0..20_000).for_each(|_| seen[keys.draw(&mut draws)] += 1);
            seen
        };
        let uniform = count(Spread::Uniform);
        assert!(uniform.iter().all(|n| (800..1_200).contains(n)), "{uniform:?}");
        let zipf = count(Spread::Zipf);
        assert!(zipf[0] > zipf[1] * 3 / 2 && zipf[1] > zipf[9] * 3 && zipf[19] > 0, "{zipf:?}");
        let hot = count(Spread::Hot);
        assert!(hot[0] + hot[1] > 18_000 && hot[19] > 0, "{hot:?}");
    }
}
