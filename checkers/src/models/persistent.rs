//! States that are cheap to copy: a list and a multiset that share what they have in common with the
//! states they came from. A search keeps thousands of them, and an order of a million operations is
//! replayed copy by copy.
//!
//! Both carry a hash of their contents that each change updates in constant time. Equality compares
//! contents, but stops where two of them share memory.

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// Multiply and rotate, with a final mix (the scheme of FxHash).
#[derive(Default)]
struct Mixer(u64);

impl Hasher for Mixer {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&b| self.write_u64(u64::from(b)));
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }

    fn write_u32(&mut self, word: u32) {
        self.write_u64(u64::from(word));
    }

    fn write_i64(&mut self, word: i64) {
        self.write_u64(word as u64);
    }

    fn finish(&self) -> u64 {
        let mixed = (self.0 ^ (self.0 >> 32)).wrapping_mul(0xD6E8_FEB8_6659_FD93);
        mixed ^ (mixed >> 32)
    }
}

/// A hash that looks random: equal values have equal ones.
pub(super) fn mix(value: &impl Hash) -> u64 {
    let mut mixer = Mixer::default();
    value.hash(&mut mixer);
    mixer.finish()
}

/// A list that grows and shrinks at its head.
#[derive(Debug)]
pub(super) struct Chain<T>(Option<Arc<Link<T>>>);

#[derive(Debug)]
struct Link<T> {
    value: T,
    rest: Chain<T>,
}

impl<T> Default for Chain<T> {
    fn default() -> Self {
        Chain(None)
    }
}

impl<T> Clone for Chain<T> {
    fn clone(&self) -> Self {
        Chain(self.0.clone())
    }
}

/// Takes long lists apart link by link: the derived way would recurse as deep as the list is long.
impl<T> Drop for Chain<T> {
    fn drop(&mut self) {
        let mut next = self.0.take();
        while let Some(link) = next.and_then(Arc::into_inner) {
            let mut link = link;
            next = link.rest.0.take();
        }
    }
}

impl<T: Copy + Eq> Chain<T> {
    pub(super) fn push(&self, value: T) -> Chain<T> {
        Chain(Some(Arc::new(Link { value, rest: self.clone() })))
    }

    /// The head and the rest.
    pub(super) fn split(&self) -> Option<(T, &Chain<T>)> {
        self.0.as_deref().map(|link| (link.value, &link.rest))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// From the head on.
    pub(super) fn iter(&self) -> impl Iterator<Item = T> {
        let mut at = self;
        std::iter::from_fn(move || {
            let (value, rest) = at.split()?;
            at = rest;
            Some(value)
        })
    }

    pub(super) fn reversed(&self) -> Chain<T> {
        self.iter().fold(Chain::default(), |turned, value| turned.push(value))
    }

    pub(super) fn same_memory(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (a, b) => a.is_none() && b.is_none(),
        }
    }
}

impl<T: Copy + Eq> PartialEq for Chain<T> {
    fn eq(&self, other: &Self) -> bool {
        let (mut a, mut b) = (self, other);
        while !a.same_memory(b) {
            match (a.split(), b.split()) {
                (Some((x, rest_a)), Some((y, rest_b))) if x == y => (a, b) = (rest_a, rest_b),
                _ => return false,
            }
        }
        true
    }
}

impl<T: Copy + Eq> Eq for Chain<T> {}

/// A multiset in order: a search tree that is a heap by the hashes of its keys (a treap; Seidel & Aragon
/// 1996), and so has the same form whatever order its keys were added in.
#[derive(Clone, Debug)]
pub(super) struct Multiset<K> {
    root: Tree<K>,
    len: usize,
    hash: u64,
}

type Tree<K> = Option<Arc<Node<K>>>;

#[derive(Debug)]
struct Node<K> {
    key: K,
    rank: u64,
    copies: u32,
    less: Tree<K>,
    more: Tree<K>,
}

impl<K> Default for Multiset<K> {
    fn default() -> Self {
        Multiset { root: None, len: 0, hash: 0 }
    }
}

fn node<K>(key: K, rank: u64, copies: u32, less: Tree<K>, more: Tree<K>) -> Tree<K> {
    Some(Arc::new(Node { key, rank, copies, less, more }))
}

impl<K: Copy + Ord + Hash> Multiset<K> {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn with(&self, key: K) -> Self {
        let rank = mix(&key);
        Multiset {
            root: insert(&self.root, key, rank),
            len: self.len + 1,
            hash: self.hash.wrapping_add(rank),
        }
    }

    /// `key` must be there.
    pub(super) fn without(&self, key: K) -> Self {
        let rank = mix(&key);
        Multiset {
            root: remove(&self.root, key),
            len: self.len.saturating_sub(1),
            hash: self.hash.wrapping_sub(rank),
        }
    }

    pub(super) fn max(&self) -> Option<K> {
        let mut at = self.root.as_deref()?;
        while let Some(more) = at.more.as_deref() {
            at = more;
        }
        Some(at.key)
    }

    /// The greatest key that is not above `bound`.
    pub(super) fn at_most(&self, bound: K) -> Option<K> {
        let (mut at, mut best) = (self.root.as_deref(), None);
        while let Some(node) = at {
            if node.key <= bound {
                best = Some(node.key);
                at = node.more.as_deref();
            } else {
                at = node.less.as_deref();
            }
        }
        best
    }

    /// All keys, rising, each as often as it is there.
    pub(super) fn keys(&self) -> Vec<K> {
        fn walk<K: Copy>(tree: &Tree<K>, keys: &mut Vec<K>) {
            if let Some(node) = tree {
                walk(&node.less, keys);
                keys.extend((0..node.copies).map(|_| node.key));
                walk(&node.more, keys);
            }
        }
        let mut keys = Vec::with_capacity(self.len);
        walk(&self.root, &mut keys);
        keys
    }
}

fn insert<K: Copy + Ord>(tree: &Tree<K>, key: K, rank: u64) -> Tree<K> {
    let Some(at) = tree else {
        return node(key, rank, 1, None, None);
    };
    if (rank, key) > (at.rank, at.key) {
        let (less, more) = split(tree, key);
        return node(key, rank, 1, less, more);
    }
    match key.cmp(&at.key) {
        Ordering::Equal => node(key, rank, at.copies + 1, at.less.clone(), at.more.clone()),
        Ordering::Less => node(at.key, at.rank, at.copies, insert(&at.less, key, rank), at.more.clone()),
        Ordering::Greater => node(at.key, at.rank, at.copies, at.less.clone(), insert(&at.more, key, rank)),
    }
}

/// What is below `key` and what is above; `key` itself is not there.
fn split<K: Copy + Ord>(tree: &Tree<K>, key: K) -> (Tree<K>, Tree<K>) {
    let Some(at) = tree else {
        return (None, None);
    };
    if at.key < key {
        let (less, more) = split(&at.more, key);
        (node(at.key, at.rank, at.copies, at.less.clone(), less), more)
    } else {
        let (less, more) = split(&at.less, key);
        (less, node(at.key, at.rank, at.copies, more, at.more.clone()))
    }
}

fn remove<K: Copy + Ord>(tree: &Tree<K>, key: K) -> Tree<K> {
    let at = tree.as_ref()?;
    match key.cmp(&at.key) {
        Ordering::Equal if at.copies > 1 => {
            node(at.key, at.rank, at.copies - 1, at.less.clone(), at.more.clone())
        }
        Ordering::Equal => join(&at.less, &at.more),
        Ordering::Less => node(at.key, at.rank, at.copies, remove(&at.less, key), at.more.clone()),
        Ordering::Greater => node(at.key, at.rank, at.copies, at.less.clone(), remove(&at.more, key)),
    }
}

/// Everything in `less` is below everything in `more`.
fn join<K: Copy + Ord>(less: &Tree<K>, more: &Tree<K>) -> Tree<K> {
    match (less, more) {
        (None, tree) | (tree, None) => tree.clone(),
        (Some(a), Some(b)) if (a.rank, a.key) > (b.rank, b.key) => {
            node(a.key, a.rank, a.copies, a.less.clone(), join(&a.more, more))
        }
        (Some(_), Some(b)) => node(b.key, b.rank, b.copies, join(less, &b.less), b.more.clone()),
    }
}

impl<K: Eq> PartialEq for Multiset<K> {
    fn eq(&self, other: &Self) -> bool {
        fn same<K: Eq>(a: &Tree<K>, b: &Tree<K>) -> bool {
            match (a, b) {
                (Some(a), Some(b)) => {
                    Arc::ptr_eq(a, b)
                        || a.key == b.key
                            && a.copies == b.copies
                            && same(&a.less, &b.less)
                            && same(&a.more, &b.more)
                }
                (a, b) => a.is_none() && b.is_none(),
            }
        }
        self.len == other.len && self.hash == other.hash && same(&self.root, &other.root)
    }
}

impl<K: Eq> Eq for Multiset<K> {}

impl<K> Hash for Multiset<K> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

#[cfg(test)]
mod tests {
    use ordeal_core::Rng;

    use super::*;

    #[test]
    fn a_long_chain_is_dropped_without_recursion() {
        let chain = (0..1_000_000).fold(Chain::default(), |chain, n| chain.push(n));
        assert_eq!(chain.reversed().iter().take(3).collect::<Vec<_>>(), [0, 1, 2]);
    }

    #[test]
    fn chains_are_equal_when_their_values_are() {
        let base = Chain::default().push(1).push(2);
        let again = Chain::default().push(1).push(2);
        assert_eq!(base.push(3), again.push(3));
        assert_ne!(base.push(3), again.push(4));
        assert_ne!(base.push(3), base);
    }

    #[test]
    fn a_multiset_is_a_sorted_vector() {
        let mut rng = Rng::new(5);
        for _ in 0..300 {
            let (mut set, mut vector) = (Multiset::default(), Vec::new());
            for _ in 0..60 {
                let key = rng.below(12) as i64;
                if rng.chance(0.6) {
                    set = set.with(key);
                    vector.push(key);
                } else if let Some(at) = vector.iter().position(|&k| k == key) {
                    set = set.without(key);
                    vector.remove(at);
                }
                vector.sort_unstable();
                assert_eq!(
                    (set.keys(), set.len(), set.max()),
                    (vector.clone(), vector.len(), vector.last().copied())
                );
                assert_eq!(set.at_most(key), vector.iter().rev().find(|&&k| k <= key).copied());
            }
            rng.shuffle(&mut vector);
            let again = vector.iter().fold(Multiset::default(), |set, &key| set.with(key));
            assert!(again == set && mix(&again) == mix(&set), "whatever the order");
            assert_ne!(again.with(1), set);
        }
    }
}
