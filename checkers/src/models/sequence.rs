//! A list of values that shares its front with the lists it was made from, so that a search may keep a
//! state for every operation.
//!
//! Full chunks in a chain, the newest first, and a short tail. Where chunks end depends on the length alone,
//! so two lists are compared chunk by chunk, and shared fronts are found equal at a glance.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::Atom;

/// How many values a chunk holds.
const CHUNK: usize = 32;

/// A list.
#[derive(Clone)]
pub struct Sequence {
    full: Option<Arc<Chunk>>,
    tail: Arc<[Atom]>,
    len: usize,
    hash: u64,
}

struct Chunk {
    items: Arc<[Atom]>,
    before: Option<Arc<Chunk>>,
}

impl Drop for Chunk {
    /// Lets go of the chain link by link: a long one would overflow the stack otherwise.
    fn drop(&mut self) {
        let mut next = self.before.take();
        while let Some(mut chunk) = next.and_then(Arc::into_inner) {
            next = chunk.before.take();
        }
    }
}

impl Default for Sequence {
    fn default() -> Self {
        Sequence { full: None, tail: Arc::from([]), len: 0, hash: 0 }
    }
}

impl Sequence {
    /// How many values it has.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// With one more at the end.
    #[must_use]
    pub fn with(&self, value: Atom) -> Sequence {
        let tail: Arc<[Atom]> = self.tail.iter().copied().chain([value]).collect();
        let hash = (self.hash.rotate_left(5) ^ value.word()).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let len = self.len + 1;
        if tail.len() < CHUNK {
            return Sequence { full: self.full.clone(), tail, len, hash };
        }
        let full = Some(Arc::new(Chunk { items: tail, before: self.full.clone() }));
        Sequence { full, tail: Arc::from([]), len, hash }
    }

    /// Whether these are its values.
    pub fn is(&self, values: &[Atom]) -> bool {
        if values.len() != self.len {
            return false;
        }
        let (mut front, tail) = values.split_at(self.len - self.tail.len());
        let mut chunk = self.full.as_deref();
        let mut same = *tail == *self.tail;
        while let (true, Some(this)) = (same, chunk) {
            let (before, items) = front.split_at(front.len() - CHUNK);
            same = *items == *this.items;
            (front, chunk) = (before, this.before.as_deref());
        }
        same
    }

    /// Its values.
    pub fn values(&self) -> Vec<Atom> {
        let mut chunks = Vec::new();
        let mut chunk = self.full.as_deref();
        while let Some(this) = chunk {
            chunks.push(&*this.items);
            chunk = this.before.as_deref();
        }
        let mut values: Vec<Atom> = Vec::with_capacity(self.len);
        chunks.iter().rev().for_each(|items| values.extend_from_slice(items));
        values.extend_from_slice(&self.tail);
        values
    }

    /// About how much memory a list takes that differs from others in its end.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<Sequence>() + 16 + size_of_val(&*self.tail) + size_of::<Atom>() + 3
    }
}

impl PartialEq for Sequence {
    fn eq(&self, other: &Self) -> bool {
        if self.len != other.len || self.hash != other.hash || self.tail != other.tail {
            return false;
        }
        let (mut a, mut b) = (self.full.as_ref(), other.full.as_ref());
        while let (Some(x), Some(y)) = (a, b) {
            if Arc::ptr_eq(x, y) {
                return true;
            }
            if x.items != y.items {
                return false;
            }
            (a, b) = (x.before.as_ref(), y.before.as_ref());
        }
        true
    }
}

impl Eq for Sequence {}

impl Hash for Sequence {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.len, self.hash).hash(state);
    }
}

/// How many values a message shows of the end of a list.
const SHOWN: usize = 12;

/// Values in words, e.g. `[1, 2]`; of a long list the end.
pub(super) fn bracketed(values: &[Atom]) -> String {
    let hidden = values.len().saturating_sub(SHOWN);
    let names: Vec<String> = values[hidden..].iter().map(ToString::to_string).collect();
    let head = if hidden == 0 { String::new() } else { format!("{hidden} more, then ") };
    format!("[{head}{}]", names.join(", "))
}

impl fmt::Debug for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&bracketed(&self.values()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_compare_by_their_values() {
        let build = |n: i64| (0..n).fold(Sequence::default(), |list, v| list.with(Atom::int(v)));
        for n in [0, 1, 31, 32, 33, 64, 200] {
            let (a, b) = (build(n), build(n));
            let values: Vec<Atom> = (0..n).map(Atom::int).collect();
            assert!(a == b && a.is(&values) && a.values() == values && a.len() == values.len());
            assert!(!a.with(Atom::int(n)).is(&values) && a.with(Atom::int(7)) != a.with(Atom::int(8)));
            for changed in 0..values.len() {
                let mut other = values.clone();
                other[changed] = Atom::int(-1);
                assert!(!a.is(&other), "{changed} of {n}");
                let other = other.iter().fold(Sequence::default(), |list, &v| list.with(v));
                assert!(a != other);
            }
        }
    }

    #[test]
    fn a_long_list_is_let_go_of_without_a_deep_stack() {
        let list = (0..2_000_000).fold(Sequence::default(), |list, v| list.with(Atom::int(v)));
        assert_eq!(format!("{list:?}").len(), "[1999988 more, then ]".len() + 12 * 7 + 11 * 2);
    }
}
