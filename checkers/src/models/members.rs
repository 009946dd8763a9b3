//! A set of values that shares most of its memory with the sets it was made from, so that a search may keep
//! a state for every operation.
//!
//! A search tree with the values in the leaves, in the order of their words (Bayer & McCreight 1972; parts
//! that become empty are removed, others are not filled up again). A change copies one leaf and the branches
//! above it. Equal sets need not be equal in form, so they are compared value by value, after a look at
//! their sizes and a sum that does not depend on the order.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::Atom;
use crate::words::listed;

/// How many values a leaf holds, and how many parts a branch.
const LEAF: usize = 64;
const BRANCH: usize = 16;

/// The elements of a set.
#[derive(Clone)]
pub struct Members {
    root: Tree,
    len: usize,
    /// The exclusive or of all scrambled words.
    mix: u64,
}

#[derive(Clone)]
enum Tree {
    Leaf(Arc<[Atom]>),
    Branch(Arc<[Part]>),
}

/// A part of a branch, and a word above which, itself included, all its values are.
#[derive(Clone)]
struct Part {
    least: u64,
    tree: Tree,
}

/// Spreads a value's word over all bits.
fn scramble(element: Atom) -> u64 {
    let word = element.word();
    let word = (word ^ (word >> 32)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (word ^ (word >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9)
}

/// The part that values with this word belong to.
fn part_of(parts: &[Part], word: u64) -> usize {
    parts.partition_point(|part| part.least <= word).saturating_sub(1)
}

/// The two halves of what is too large for one.
fn halves<T: Clone>(all: &[T], most: usize) -> (Arc<[T]>, Option<Arc<[T]>>) {
    if all.len() <= most {
        return (Arc::from(all), None);
    }
    let (low, high) = all.split_at(all.len() / 2);
    (Arc::from(low), Some(Arc::from(high)))
}

impl Tree {
    fn has(&self, element: Atom) -> bool {
        let mut tree = self;
        loop {
            match tree {
                Tree::Leaf(held) => {
                    return held.binary_search_by_key(&element.word(), |held| held.word()).is_ok();
                }
                Tree::Branch(parts) => match parts.get(part_of(parts, element.word())) {
                    Some(part) => tree = &part.tree,
                    None => return false,
                },
            }
        }
    }

    /// With one more element, which it does not hold yet; in two parts if it became too large.
    fn with(&self, element: Atom) -> (Tree, Option<Part>) {
        let word = element.word();
        match self {
            Tree::Leaf(held) => {
                let at = held.partition_point(|held| held.word() < word);
                let more = [&held[..at], &[element], &held[at..]].concat();
                let (low, high) = halves(&more, LEAF);
                let part = |high: Arc<[Atom]>| {
                    let least = high.first().map_or(0, |first| first.word());
                    Part { least, tree: Tree::Leaf(high) }
                };
                (Tree::Leaf(low), high.map(part))
            }
            Tree::Branch(parts) => {
                let at = part_of(parts, word);
                let (tree, split) = parts[at].tree.with(element);
                let mut more = Vec::with_capacity(parts.len() + 1);
                more.extend_from_slice(parts);
                more[at].tree = tree;
                if let Some(split) = split {
                    more.insert(at + 1, split);
                }
                let (low, high) = halves(&more, BRANCH);
                let part = |high: Arc<[Part]>| {
                    let least = high.first().map_or(0, |first| first.least);
                    Part { least, tree: Tree::Branch(high) }
                };
                (Tree::Branch(low), high.map(part))
            }
        }
    }

    /// Without an element, which it holds; `None` if nothing is left.
    fn without(&self, element: Atom) -> Option<Tree> {
        match self {
            Tree::Leaf(held) => {
                let rest: Arc<[Atom]> = held.iter().copied().filter(|held| *held != element).collect();
                (!rest.is_empty()).then_some(Tree::Leaf(rest))
            }
            Tree::Branch(parts) => {
                let at = part_of(parts, element.word());
                let mut parts = parts.to_vec();
                match parts[at].tree.without(element) {
                    Some(tree) => parts[at].tree = tree,
                    None => drop(parts.remove(at)),
                }
                (!parts.is_empty()).then(|| Tree::Branch(parts.into()))
            }
        }
    }

    /// Shows the leaves to `see`, in order, as long as it says `true`.
    fn leaves<'t>(&'t self, see: &mut impl FnMut(&'t [Atom]) -> bool) -> bool {
        match self {
            Tree::Leaf(held) => see(held),
            Tree::Branch(parts) => parts.iter().all(|part| part.tree.leaves(see)),
        }
    }
}

impl Default for Members {
    fn default() -> Self {
        Members { root: Tree::Leaf(Arc::from([])), len: 0, mix: 0 }
    }
}

impl Members {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether this is one of them.
    pub fn contains(&self, element: Atom) -> bool {
        self.root.has(element)
    }

    /// With one more; the same set if it is there already.
    #[must_use]
    pub fn with(&self, element: Atom) -> Members {
        if self.contains(element) {
            return self.clone();
        }
        let root = match self.root.with(element) {
            (root, None) => root,
            (low, Some(high)) => Tree::Branch(Arc::from([Part { least: 0, tree: low }, high])),
        };
        Members { root, len: self.len + 1, mix: self.mix ^ scramble(element) }
    }

    /// With one less; the same set if it is not there.
    #[must_use]
    pub fn without(&self, element: Atom) -> Members {
        if !self.contains(element) {
            return self.clone();
        }
        match self.root.without(element) {
            Some(root) => Members { root, len: self.len - 1, mix: self.mix ^ scramble(element) },
            None => Members::default(),
        }
    }

    /// Whether these, all different and sorted by word, are exactly the members.
    pub fn are(&self, elements: &[Atom]) -> bool {
        let mut rest = elements;
        self.len == elements.len()
            && self.root.leaves(&mut |held| {
                let start = rest.strip_prefix(held);
                rest = start.unwrap_or(rest);
                start.is_some()
            })
    }

    /// All of them, sorted by word.
    fn by_word(&self) -> Vec<Atom> {
        let mut all = Vec::with_capacity(self.len);
        self.root.leaves(&mut |held| {
            all.extend_from_slice(held);
            true
        });
        all
    }

    /// All of them, in their natural order.
    pub fn sorted(&self) -> Vec<Atom> {
        let mut all = self.by_word();
        all.sort_unstable();
        all
    }

    /// About how much memory the newest of a family of sets takes: one leaf and the branches above.
    pub(crate) fn bytes(&self) -> usize {
        let levels = (self.len / LEAF).checked_ilog2().map_or(0, |log| log as usize / 3 + 1);
        let leaf = self.len.min(LEAF) * size_of::<Atom>() + 16;
        size_of::<Members>() + leaf + levels * (BRANCH * size_of::<Part>() + 16)
    }
}

impl PartialEq for Members {
    fn eq(&self, other: &Self) -> bool {
        let shared = match (&self.root, &other.root) {
            (Tree::Leaf(a), Tree::Leaf(b)) => Arc::ptr_eq(a, b),
            (Tree::Branch(a), Tree::Branch(b)) => Arc::ptr_eq(a, b),
            _ => false,
        };
        let alike = self.len == other.len && self.mix == other.mix;
        alike && (shared || self.are(&other.by_word()))
    }
}

impl Eq for Members {}

impl Hash for Members {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.mix.hash(state);
    }
}

/// How many elements a message shows before it counts the rest.
const SHOWN: usize = 12;

/// Elements in words, e.g. `{1, 2}`.
pub(super) fn braced(elements: &[Atom]) -> String {
    let names: Vec<String> = elements.iter().map(ToString::to_string).collect();
    format!("{{{}}}", listed(&names, SHOWN, ", "))
}

impl fmt::Debug for Members {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&braced(&self.sorted()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use ordeal_core::Rng;

    use super::*;

    #[test]
    fn sets_are_equal_however_they_came_about() {
        let mut rng = Rng::new(1);
        for round in 0..300 {
            let (mut set, mut plain) = (Members::default(), BTreeSet::new());
            let p_add = *rng.pick(&[0.5, 0.7, 1.0]);
            for _ in 0..rng.below(1 + 10 * round) {
                let element = Atom::int(rng.below(1 + 5 * round) as i64);
                if rng.chance(p_add) {
                    set = set.with(element);
                    plain.insert(element);
                } else {
                    set = set.without(element);
                    plain.remove(&element);
                }
            }
            let expected: Vec<Atom> = plain.iter().copied().collect();
            assert_eq!(set.sorted(), expected);
            assert!(set.are(&expected) && set.len() == expected.len());
            let again = expected.iter().rev().fold(Members::default(), |set, &e| set.with(e));
            assert!(set == again && set.mix == again.mix, "{set:?}");
            assert!(set.with(Atom::int(-1)) != set && !set.contains(Atom::int(-1)));
            if let Some(&last) = expected.last() {
                let less = set.without(last);
                assert!(!less.are(&expected) && less != set && less.with(last) == set);
            }
            let empty = expected.iter().fold(set, |set, &e| set.without(e));
            assert!(empty == Members::default() && empty.is_empty());
        }
    }

    #[test]
    fn long_sets_are_cut_short_in_words() {
        let set = (0..20).fold(Members::default(), |set, n| set.with(Atom::int(n)));
        assert_eq!(format!("{set:?}"), "{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 8 more}");
    }
}
