//! Customers and ranges of them. A shard is a range: neighbours in it are of one region, or of neighbouring ones.

use std::fmt;

use ordeal_kit::Id;
use serde::{Deserialize, Serialize};

/// A customer of a region, written `region/id`; ordered by region, then by id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Key {
    pub(crate) region: Id,
    pub(crate) id: Id,
}

impl Key {
    /// Before all customers of the region: no text that is an id comes before `-`.
    pub(crate) fn first_of(region: &Id) -> Result<Key, String> {
        Key::try_from(format!("{region}/-"))
    }
}

impl TryFrom<String> for Key {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let (region, id) = text.split_once('/').ok_or_else(|| format!("{text:?} is not region/id"))?;
        let id_of = |text: &str| text.parse::<Id>().map_err(|why| why.to_string());
        Ok(Key { region: id_of(region)?, id: id_of(id)? })
    }
}

impl From<Key> for String {
    fn from(key: Key) -> String {
        key.to_string()
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.region, self.id)
    }
}

/// Customers from `from` on, `to` and those behind it left out; none: no end on that side.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Range {
    pub(crate) from: Option<Key>,
    pub(crate) to: Option<Key>,
}

impl Range {
    pub(crate) fn contains(&self, key: &Key) -> bool {
        self.from.as_ref().is_none_or(|from| from <= key) && self.to.as_ref().is_none_or(|to| key < to)
    }

    /// Both sides of this customer, who belongs to the right one.
    pub(crate) fn split(&self, at: &Key) -> (Range, Range) {
        let left = Range { from: self.from.clone(), to: Some(at.clone()) };
        let right = Range { from: Some(at.clone()), to: self.to.clone() };
        (left, right)
    }

    pub(crate) fn overlaps(&self, other: &Range) -> bool {
        let before = |a: &Range, b: &Range| matches!((&a.to, &b.from), (Some(to), Some(from)) if to <= from);
        !before(self, other) && !before(other, self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Key {
        Key::try_from(text.to_owned()).unwrap()
    }

    #[test]
    fn customers_are_ordered_by_region_first() {
        assert!(key("r1/z") < key("r1-a/a") && key("r1/c10") < key("r1/c9"));
        assert!(
            Key::first_of(&"r2".parse().unwrap()).unwrap() < key("r2/.")
                && key("r1/~z".replace('~', "z").as_str()) < key("r2/-")
        );
        assert!(Key::try_from("r1".to_owned()).is_err() && Key::try_from("r1/a/b".to_owned()).is_err());
    }

    #[test]
    fn the_boundary_belongs_to_the_right_side_only() {
        let (left, right) = Range::default().split(&key("r1/c5"));
        assert!(!left.contains(&key("r1/c5")) && right.contains(&key("r1/c5")));
        assert!(left.contains(&key("r1/c4")) && !right.contains(&key("r1/c4")));
        assert!(!left.overlaps(&right) && !right.overlaps(&left) && left.overlaps(&Range::default()));
        assert!(Range::default().overlaps(&right));
    }
}
