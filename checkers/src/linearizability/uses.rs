//! How many open operations of each class have taken effect, as numbers.

use super::hash::{FastMap, NONE, Table, hash_of};

/// Counts by class, classes at zero left out, in the order of the classes.
type Counts = Box<[(u32, u32)]>;

/// The counts that a search has met. Number 0 is the empty one.
pub(super) struct Uses {
    counts: Vec<Counts>,
    numbers: Table,
    more: FastMap<(u32, u32), u32>,
    held: usize,
}

impl Uses {
    /// Nothing used.
    pub(super) const NOTHING: u32 = 0;

    pub(super) fn new() -> Self {
        let mut uses = Uses { counts: Vec::new(), numbers: Table::new(), more: FastMap::default(), held: 0 };
        uses.number(Box::default());
        uses
    }

    fn number(&mut self, counts: Counts) -> u32 {
        let known = &self.counts;
        match self.numbers.find(hash_of(&counts), |n| known[n as usize] == counts) {
            Ok(place) => self.numbers.at(place),
            Err(place) => {
                let number = self.counts.len() as u32;
                self.held += size_of::<Counts>() + size_of_val(&*counts) + 16;
                self.counts.push(counts);
                let known = &self.counts;
                self.numbers.fill(place, number, |n| hash_of(&known[n as usize]));
                number
            }
        }
    }

    pub(super) fn of(&self, uses: u32, class: u32) -> u32 {
        let counts = &self.counts[uses as usize];
        match counts.binary_search_by_key(&class, |c| c.0) {
            Ok(at) => counts[at].1,
            Err(_) => 0,
        }
    }

    pub(super) fn with_one_more(&mut self, uses: u32, class: u32) -> u32 {
        if let Some(&known) = self.more.get(&(uses, class)) {
            return known;
        }
        let mut counts = self.counts[uses as usize].to_vec();
        match counts.binary_search_by_key(&class, |c| c.0) {
            Ok(at) => counts[at].1 += 1,
            Err(at) => counts.insert(at, (class, 1)),
        }
        let more = self.number(counts.into());
        self.more.insert((uses, class), more);
        more
    }

    pub(super) fn total(&self, uses: u32) -> usize {
        self.counts[uses as usize].iter().map(|c| c.1 as usize).sum()
    }

    pub(super) fn len(&self) -> usize {
        self.counts.len()
    }

    /// Whether no class has been used more often in `few` than in `many`.
    pub(super) fn within(&self, few: u32, many: u32) -> bool {
        if few == many || few == Uses::NOTHING {
            return true;
        }
        let (few, many) = (&self.counts[few as usize], &self.counts[many as usize]);
        let mut rest = many.iter();
        let mut enough = |&(class, n): &(u32, u32)| rest.find(|m| m.0 == class).is_some_and(|m| m.1 >= n);
        few.len() <= many.len() && few.iter().all(&mut enough)
    }

    /// Forgets all but those that are `kept`, and takes away from each what all of them have used. Says what
    /// that is, and what the new number of each is.
    pub(super) fn keep_only(
        &mut self,
        kept: impl Iterator<Item = u32> + Clone,
    ) -> (Vec<(u32, u32)>, Vec<u32>) {
        let mut common: Option<Vec<(u32, u32)>> = None;
        for uses in kept.clone() {
            match &mut common {
                None => common = Some(self.counts[uses as usize].to_vec()),
                Some(common) => {
                    common.iter_mut().for_each(|c| c.1 = c.1.min(self.of(uses, c.0)));
                    common.retain(|c| c.1 > 0);
                }
            }
        }
        let common = common.unwrap_or_default();
        let old = std::mem::replace(self, Uses::new());
        let mut renamed = vec![NONE; old.counts.len()];
        for uses in kept {
            if renamed[uses as usize] == NONE {
                let mut counts = old.counts[uses as usize].to_vec();
                let shared = |class| common.iter().find(|c| c.0 == class).map_or(0, |c| c.1);
                counts.iter_mut().for_each(|c| c.1 -= shared(c.0));
                counts.retain(|c| c.1 > 0);
                renamed[uses as usize] = self.number(counts.into());
            }
        }
        (common, renamed)
    }

    pub(super) fn bytes(&self) -> usize {
        self.held + self.numbers.bytes() + self.more.capacity() * 16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_compare_and_shrink_by_class() {
        let mut uses = Uses::new();
        let a = uses.with_one_more(Uses::NOTHING, 3);
        let b = uses.with_one_more(a, 1);
        let b = uses.with_one_more(b, 3);
        let other = uses.with_one_more(Uses::NOTHING, 1);
        assert!(uses.within(a, b) && !uses.within(b, a) && uses.within(Uses::NOTHING, a));
        assert!(uses.within(other, b) && !uses.within(other, a) && !uses.within(a, other));
        assert_eq!((uses.of(b, 3), uses.of(b, 1), uses.of(b, 2), uses.total(b)), (2, 1, 0, 3));
        let (common, renamed) = uses.keep_only([a, b].into_iter());
        assert_eq!(common, [(3, 1)]);
        assert_eq!(renamed[a as usize], Uses::NOTHING);
        let rest = renamed[b as usize];
        assert_eq!((uses.of(rest, 1), uses.of(rest, 3), uses.total(rest)), (1, 1, 2));
    }
}
