//! What a node keeps, as rows of a key and JSON: on disk in production, in a map in tests.
//!
//! Everything about a partition is under its own prefix, so that a partition is moved by moving its rows.

use std::collections::BTreeMap;

use ordeal_kit::store::StoreError;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A row as it is kept.
pub(crate) type Row = (String, String);

/// Rows that can be read.
pub(crate) trait Look {
    /// The row of this key.
    fn row(&self, key: &str) -> Result<Option<String>, StoreError>;

    /// All rows whose keys begin so, in order.
    fn rows(&self, prefix: &str) -> Result<Vec<Row>, StoreError>;
}

/// Rows that can be changed.
pub(crate) trait Rows: Look {
    /// Writes a row.
    fn put_row(&mut self, key: &str, row: &str) -> Result<(), StoreError>;

    /// Removes a row; it need not be there.
    fn remove(&mut self, key: &str) -> Result<(), StoreError>;
}

/// Reads a row.
pub(crate) fn get<T: DeserializeOwned>(
    look: &(impl Look + ?Sized),
    key: &str,
) -> Result<Option<T>, StoreError> {
    Ok(look.row(key)?.map(|row| serde_json::from_str(&row)).transpose()?)
}

/// Writes a row.
pub(crate) fn put(rows: &mut dyn Rows, key: &str, value: &impl Serialize) -> Result<(), StoreError> {
    rows.put_row(key, &serde_json::to_string(value)?)
}

/// All rows under a prefix, each with the rest of its key.
pub(crate) fn under<T: DeserializeOwned>(
    look: &(impl Look + ?Sized),
    prefix: &str,
) -> Result<Vec<(String, T)>, StoreError> {
    let rows = look.rows(prefix)?;
    rows.into_iter()
        .map(|(key, row)| Ok((key[prefix.len()..].to_owned(), serde_json::from_str(&row)?)))
        .collect()
}

/// Transfers that this node coordinates: by transaction.
pub(crate) const OUTGOING: &str = "out/";
/// Transfers that this node has promised to take part in: by transaction.
pub(crate) const INCOMING: &str = "in/";

/// How this node stands to partitions.
pub(crate) const OWN: &str = "own/";

/// How this node stands to the partition.
pub(crate) fn own(partition: usize) -> String {
    format!("{OWN}{partition:04}")
}

/// Everything about the partition.
pub(crate) fn partition(partition: usize) -> String {
    format!("p{partition:04}/")
}

/// An account.
pub(crate) fn account(in_partition: usize, id: &str) -> String {
    format!("{}account/{id}", partition(in_partition))
}

/// All records of requests of a partition.
pub(crate) fn requests(in_partition: usize) -> String {
    format!("{}request/", partition(in_partition))
}

/// The record of a request.
pub(crate) fn request(in_partition: usize, id: &str) -> String {
    format!("{}{id}", requests(in_partition))
}

/// All locks of a partition.
pub(crate) fn locks(in_partition: usize) -> String {
    format!("{}lock/", partition(in_partition))
}

/// The lock of an account.
pub(crate) fn lock(in_partition: usize, id: &str) -> String {
    format!("{}{id}", locks(in_partition))
}

/// Rows in memory.
impl Look for BTreeMap<String, String> {
    fn row(&self, key: &str) -> Result<Option<String>, StoreError> {
        Ok(self.get(key).cloned())
    }

    fn rows(&self, prefix: &str) -> Result<Vec<Row>, StoreError> {
        let from = self.range(prefix.to_owned()..);
        Ok(from.take_while(|(key, _)| key.starts_with(prefix)).map(|(k, v)| (k.clone(), v.clone())).collect())
    }
}

/// Rows in memory.
impl Rows for BTreeMap<String, String> {
    fn put_row(&mut self, key: &str, row: &str) -> Result<(), StoreError> {
        self.insert(key.to_owned(), row.to_owned());
        Ok(())
    }

    fn remove(&mut self, key: &str) -> Result<(), StoreError> {
        BTreeMap::remove(self, key);
        Ok(())
    }
}
