//! JSON values in a form that is cheap to copy, compare and hash.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use serde_json::Value;

/// A JSON value in one word. Two are equal if and only if their JSON texts (with sorted keys) are equal.
///
/// A whole number is held as it is, shifted by one; any other value is a number in a table of texts that
/// belongs to the process and only grows, marked by the lowest bit.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Atom(u64);

/// The texts of values that are no small whole numbers. The first is `null`.
static TEXTS: LazyLock<RwLock<Texts>> = LazyLock::new(|| {
    let mut texts = Texts::default();
    texts.number("null");
    RwLock::new(texts)
});

#[derive(Default)]
struct Texts {
    numbers: HashMap<Arc<str>, u64>,
    texts: Vec<Arc<str>>,
}

impl Texts {
    fn number(&mut self, text: &str) -> u64 {
        if let Some(&number) = self.numbers.get(text) {
            return number;
        }
        let (number, text) = (self.texts.len() as u64, Arc::from(text));
        self.texts.push(Arc::clone(&text));
        self.numbers.insert(text, number);
        number
    }
}

impl Atom {
    /// `null`: never written.
    pub const NULL: Atom = Atom(1);

    /// A whole number.
    pub fn int(n: i64) -> Atom {
        match (n << 1) >> 1 == n {
            true => Atom((n << 1) as u64),
            false => Atom::json(&n.to_string()),
        }
    }

    /// The number, if it is a whole one that fits.
    pub fn as_int(self) -> Option<i64> {
        match self.0 & 1 {
            0 => Some(self.0 as i64 >> 1),
            _ => self.text().parse().ok(),
        }
    }

    /// Whether it is `null`.
    pub fn is_null(self) -> bool {
        self == Atom::NULL
    }

    /// The word: whole numbers that fit are even and in order, other values odd, and close together.
    pub(crate) fn rank(self) -> i64 {
        self.0 as i64
    }

    /// A number of its own, for orders and tables that nobody sees.
    pub(crate) fn word(self) -> u64 {
        self.0
    }

    /// The value of which this is the JSON text.
    fn json(text: &str) -> Atom {
        let known = TEXTS.read().unwrap_or_else(PoisonError::into_inner).numbers.get(text).copied();
        let number =
            known.unwrap_or_else(|| TEXTS.write().unwrap_or_else(PoisonError::into_inner).number(text));
        Atom(number << 1 | 1)
    }

    /// The JSON text of a value that is not a small number.
    fn text(self) -> Arc<str> {
        let texts = TEXTS.read().unwrap_or_else(PoisonError::into_inner);
        texts.texts.get((self.0 >> 1) as usize).map_or_else(|| Arc::from("?"), Arc::clone)
    }
}

impl From<&Value> for Atom {
    fn from(value: &Value) -> Self {
        match (value, value.as_i64()) {
            (Value::Null, _) => Atom::NULL,
            (_, Some(n)) => Atom::int(n),
            _ => Atom::json(&value.to_string()),
        }
    }
}

/// Numbers first, by size; then texts. Only for showing things in the same order every time.
impl Ord for Atom {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.0 & 1, other.0 & 1) {
            (0, 0) => (self.0 as i64).cmp(&(other.0 as i64)),
            (1, 1) if self != other => self.text().cmp(&other.text()),
            (a, b) => a.cmp(&b),
        }
    }
}

impl PartialOrd for Atom {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Atom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 & 1 {
            0 => write!(f, "{}", self.0 as i64 >> 1),
            _ => f.write_str(&self.text()),
        }
    }
}

impl fmt::Debug for Atom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_equal_when_their_texts_are() {
        let same =
            [(json!(i64::MAX), json!(i64::MAX)), (json!("a"), json!("a")), (json!([1, 2]), json!([1, 2]))];
        for (a, b) in same {
            assert_eq!(Atom::from(&a), Atom::from(&b));
            assert_eq!(Atom::from(&a).to_string(), a.to_string());
        }
        let different =
            [json!(null), json!(0), json!("0"), json!(-1), json!(i64::MIN), json!("null"), json!(1.5)];
        for (i, a) in different.iter().enumerate() {
            for (j, b) in different.iter().enumerate() {
                assert_eq!(Atom::from(a) == Atom::from(b), i == j, "{a} {b}");
            }
        }
    }

    #[test]
    fn numbers_come_back_and_are_in_order() {
        for n in [0, 1, -1, i64::MAX, i64::MIN, 1 << 62, -(1 << 62), (1 << 62) - 1] {
            assert_eq!(Atom::int(n).as_int(), Some(n));
            assert_eq!(Atom::int(n), Atom::from(&json!(n)));
        }
        assert!(Atom::int(-5) < Atom::int(3) && Atom::int(3) < Atom::NULL);
        assert!(Atom::from(&json!(null)).is_null());
    }
}
