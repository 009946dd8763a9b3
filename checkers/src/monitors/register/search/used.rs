//! How many open calls of each class a configuration has used up, as one number.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;

use super::super::values::Mix;

/// Classes with their counts, by class.
type Counts = Box<[(u32, u32)]>;

/// All combinations that were met. Number 0 is "none".
#[derive(Debug)]
pub(super) struct Combinations {
    lists: Vec<Counts>,
    numbers: HashMap<Counts, u32, BuildHasherDefault<Mix>>,
}

impl Combinations {
    pub(super) fn new() -> Self {
        let mut new = Combinations { lists: Vec::new(), numbers: HashMap::default() };
        new.number(Box::default());
        new
    }

    fn number(&mut self, list: Counts) -> u32 {
        if let Some(&number) = self.numbers.get(&list) {
            return number;
        }
        let number = self.lists.len() as u32;
        self.lists.push(list.clone());
        self.numbers.insert(list, number);
        number
    }

    fn list(&self, number: u32) -> &[(u32, u32)] {
        &self.lists[number as usize]
    }

    pub(super) fn count(&self, number: u32, class: u32) -> u32 {
        let list = self.list(number);
        list.binary_search_by_key(&class, |u| u.0).map_or(0, |at| list[at].1)
    }

    pub(super) fn one_more(&mut self, number: u32, class: u32) -> u32 {
        let mut list = self.list(number).to_vec();
        match list.binary_search_by_key(&class, |u| u.0) {
            Ok(at) => list[at].1 += 1,
            Err(at) => list.insert(at, (class, 1)),
        }
        self.number(list.into())
    }

    pub(super) fn total(&self, number: u32) -> u32 {
        self.list(number).iter().map(|u| u.1).sum()
    }

    /// Whether `a` has used no class more often than `b`.
    pub(super) fn within(&self, a: u32, b: u32) -> bool {
        if a == b || a == 0 {
            return true;
        }
        let mut rest = self.list(b).iter();
        self.list(a).iter().all(|&(class, n)| rest.any(|&(c, m)| c == class && n <= m))
    }

    pub(super) fn len(&self) -> usize {
        self.lists.len()
    }

    /// Forgets all but these, which get new numbers.
    pub(super) fn keep_only<'a>(&mut self, kept: impl Iterator<Item = &'a mut u32>) {
        let mut new = Combinations::new();
        for number in kept {
            *number = new.number(self.list(*number).into());
        }
        *self = new;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn combinations_are_numbered_and_compared() {
        let mut all = Combinations::new();
        let a = all.one_more(0, 7);
        let b = all.one_more(a, 3);
        let c = all.one_more(0, 3);
        assert_eq!(all.one_more(c, 7), b, "the same classes are the same number");
        assert!(all.within(a, b) && all.within(0, a) && !all.within(b, a) && !all.within(a, c));
        let (mut x, mut y) = (b, 0);
        all.keep_only([&mut x, &mut y].into_iter());
        assert_eq!((all.count(x, 3), all.count(x, 7), all.total(x), all.total(y)), (1, 1, 2, 0));
    }
}
