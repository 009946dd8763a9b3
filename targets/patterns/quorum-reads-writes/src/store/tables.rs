//! The tables of the store, and how rows are read and written.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use ordeal_kit::Id;
use ordeal_kit::store::{StoreError, database_error};
use redb::{ReadTransaction, ReadableTable, Table, TableDefinition, WriteTransaction};

use super::{Digest, Hint, Set};
use crate::protocol::{Cell, Entries, Entry, Register, VersionOrder, takes};

/// Patient → the newest summary ([`Cell`] as JSON).
const SUMMARIES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("summaries");
/// Patient, request id → the newest [`Cell`] that the request led to, as JSON.
const REQUESTS: TableDefinition<'_, (&str, &str), &[u8]> = TableDefinition::new("requests");
/// Patient, request id → [`Entry`] as JSON.
const ENTRIES: TableDefinition<'_, (&str, &str), &[u8]> = TableDefinition::new("entries");
/// Patient → how many entries there are, two sums of their hashes, the bytes of their texts.
const DIGESTS: TableDefinition<'_, &str, (u64, u64, u64, u64)> = TableDefinition::new("digests");
/// Number → [`Hint`] as JSON.
const HINTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("hints");

/// The hashes of one entry. The hasher has fixed keys, so all nodes of one build agree; nodes that do not
/// agree merely send each other whole sets where a digest would do.
fn fingerprint(id: &Id, entry: &Entry) -> [u64; 2] {
    [0_u8, 1].map(|salt| {
        let mut hasher = DefaultHasher::new();
        (salt, id, entry).hash(&mut hasher);
        hasher.finish()
    })
}

/// The digest of a set.
pub(super) fn digest(entries: &Entries) -> Digest {
    let mut digest = Digest::default();
    for (id, entry) in entries {
        let [a, b] = fingerprint(id, entry);
        digest.entries += 1;
        digest.sums = [digest.sums[0].wrapping_add(a), digest.sums[1].wrapping_add(b)];
    }
    digest
}

fn cell_at(
    table: &impl ReadableTable<&'static str, &'static [u8]>,
    patient: &Id,
) -> Result<Option<Cell>, StoreError> {
    let row = table.get(patient.as_str()).map_err(database_error)?;
    Ok(row.map(|row| serde_json::from_slice(row.value())).transpose()?)
}

fn known_at(
    table: &impl ReadableTable<(&'static str, &'static str), &'static [u8]>,
    patient: &Id,
    request_id: &Id,
) -> Result<Option<Cell>, StoreError> {
    let row = table.get((patient.as_str(), request_id.as_str())).map_err(database_error)?;
    Ok(row.map(|row| serde_json::from_slice(row.value())).transpose()?)
}

fn digest_at(
    table: &impl ReadableTable<&'static str, (u64, u64, u64, u64)>,
    patient: &Id,
) -> Result<(Digest, u64), StoreError> {
    let row = table.get(patient.as_str()).map_err(database_error)?;
    let (entries, a, b, bytes) = row.map_or((0, 0, 0, 0), |row| row.value());
    let digest = Digest { entries, sums: [a, b] };
    Ok((digest, bytes))
}

/// One moment of the store.
pub(super) struct Reading(pub(super) ReadTransaction);

impl Reading {
    pub(super) fn register(&self, patient: &Id, request_id: Option<&Id>) -> Result<Register, StoreError> {
        let summaries = self.0.open_table(SUMMARIES).map_err(database_error)?;
        let known = match request_id {
            Some(id) => known_at(&self.0.open_table(REQUESTS).map_err(database_error)?, patient, id)?,
            None => None,
        };
        Ok(Register { cell: cell_at(&summaries, patient)?, known })
    }

    /// The digest of the entries, and the size of their texts.
    pub(super) fn digest(&self, patient: &Id) -> Result<(Digest, u64), StoreError> {
        digest_at(&self.0.open_table(DIGESTS).map_err(database_error)?, patient)
    }

    pub(super) fn entry(&self, patient: &Id, id: &Id) -> Result<Option<Entry>, StoreError> {
        let table = self.0.open_table(ENTRIES).map_err(database_error)?;
        let row = table.get((patient.as_str(), id.as_str())).map_err(database_error)?;
        Ok(row.map(|row| serde_json::from_slice(row.value())).transpose()?)
    }

    pub(super) fn set(&self, patient: &Id) -> Result<Set, StoreError> {
        let table = self.0.open_table(ENTRIES).map_err(database_error)?;
        let mut entries = Entries::new();
        for row in table.range((patient.as_str(), "")..).map_err(database_error)? {
            let (key, value) = row.map_err(database_error)?;
            let (whose, id) = key.value();
            if whose != patient.as_str() {
                break;
            }
            // Only ids are ever stored, so a row that is none is damage.
            let id: Id = serde_json::from_value(id.into())?;
            entries.insert(id, serde_json::from_slice(value.value())?);
        }
        Ok(Set { entries: entries.into(), digest: self.digest(patient)?.0 })
    }

    pub(super) fn hints(&self, limit: usize) -> Result<Vec<(u64, Hint)>, StoreError> {
        let table = self.0.open_table(HINTS).map_err(database_error)?;
        let mut hints = Vec::new();
        for row in table.range::<u64>(..).map_err(database_error)?.take(limit) {
            let (number, hint) = row.map_err(database_error)?;
            hints.push((number.value(), serde_json::from_slice(hint.value())?));
        }
        Ok(hints)
    }
}

/// The tables, in a write transaction.
pub(super) struct Writing<'t> {
    summaries: Table<'t, &'static str, &'static [u8]>,
    requests: Table<'t, (&'static str, &'static str), &'static [u8]>,
    entries: Table<'t, (&'static str, &'static str), &'static [u8]>,
    digests: Table<'t, &'static str, (u64, u64, u64, u64)>,
    hints: Table<'t, u64, &'static [u8]>,
}

impl<'t> Writing<'t> {
    pub(super) fn open(transaction: &'t WriteTransaction) -> Result<Self, StoreError> {
        Ok(Writing {
            summaries: transaction.open_table(SUMMARIES).map_err(database_error)?,
            requests: transaction.open_table(REQUESTS).map_err(database_error)?,
            entries: transaction.open_table(ENTRIES).map_err(database_error)?,
            digests: transaction.open_table(DIGESTS).map_err(database_error)?,
            hints: transaction.open_table(HINTS).map_err(database_error)?,
        })
    }

    pub(super) fn summary(&self, patient: &Id) -> Result<Option<Cell>, StoreError> {
        cell_at(&self.summaries, patient)
    }

    pub(super) fn known(&self, patient: &Id, request_id: &Id) -> Result<Option<Cell>, StoreError> {
        known_at(&self.requests, patient, request_id)
    }

    /// Keeps the cell if it is newer, and remembers its request either way. Says whether anything changed.
    pub(super) fn put_summary(
        &mut self,
        patient: &Id,
        cell: &Cell,
        order: VersionOrder,
    ) -> Result<bool, StoreError> {
        let mut changed = false;
        let row = serde_json::to_vec(cell)?;
        if order.replaces(cell, self.known(patient, &cell.request_id)?.as_ref()) {
            let key = (patient.as_str(), cell.request_id.as_str());
            self.requests.insert(key, row.as_slice()).map_err(database_error)?;
            changed = true;
        }
        if order.replaces(cell, self.summary(patient)?.as_ref()) {
            self.summaries.insert(patient.as_str(), row.as_slice()).map_err(database_error)?;
            changed = true;
        }
        Ok(changed)
    }

    /// Adds the entries that are new. Says whether any were.
    pub(super) fn merge(&mut self, patient: &Id, offered: &Entries) -> Result<bool, StoreError> {
        let (mut digest, mut bytes) = digest_at(&self.digests, patient)?;
        let mut changed = false;
        for (id, entry) in offered {
            let key = (patient.as_str(), id.as_str());
            let held: Option<Entry> = match self.entries.get(key).map_err(database_error)? {
                Some(row) => serde_json::from_slice(row.value())?,
                None => None,
            };
            if !takes(held.as_ref(), entry) {
                continue;
            }
            let row = serde_json::to_vec(entry)?;
            self.entries.insert(key, row.as_slice()).map_err(database_error)?;
            if let Some(held) = held {
                let [a, b] = fingerprint(id, &held);
                digest.entries -= 1;
                digest.sums = [digest.sums[0].wrapping_sub(a), digest.sums[1].wrapping_sub(b)];
                bytes -= held.text.len() as u64;
            }
            let [a, b] = fingerprint(id, entry);
            digest.entries += 1;
            digest.sums = [digest.sums[0].wrapping_add(a), digest.sums[1].wrapping_add(b)];
            bytes += entry.text.len() as u64;
            changed = true;
        }
        if changed {
            let row = (digest.entries, digest.sums[0], digest.sums[1], bytes);
            self.digests.insert(patient.as_str(), row).map_err(database_error)?;
        }
        Ok(changed)
    }

    pub(super) fn add_hint(&mut self, hint: &Hint) -> Result<(), StoreError> {
        let last = self.hints.last().map_err(database_error)?.map_or(0, |(number, _)| number.value());
        let row = serde_json::to_vec(hint)?;
        self.hints.insert(last + 1, row.as_slice()).map_err(database_error)?;
        Ok(())
    }

    pub(super) fn drop_hint(&mut self, number: u64) -> Result<(), StoreError> {
        self.hints.remove(number).map_err(database_error)?;
        Ok(())
    }
}
