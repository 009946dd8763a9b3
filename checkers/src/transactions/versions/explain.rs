//! Words for what contradicts itself without any order.

use ordeal_core::{Anomaly, Key};
use serde_json::json;

use super::{Fault, Raw, RawStep, Versions};
use crate::models::Atom;
use crate::transactions::steps::Txn;

/// How many anomalies of a kind are told.
const TOLD: usize = 8;

impl Versions {
    /// How many contradictions there are that need no order to be seen, and words for some of each kind.
    pub(crate) fn direct_anomalies(&self, raw: &Raw) -> (usize, Vec<Anomaly>) {
        let mut told = Vec::new();
        for kind in [Fault::Unwritten, Fault::Intermediate, Fault::Internal] {
            let of_kind = self.faults.iter().filter(|f| f.2 == kind).take(TOLD);
            told.extend(of_kind.map(|&(txn, step, kind)| self.tell(raw, txn, step, kind)));
        }
        (self.faults.len(), told)
    }

    fn tell(&self, raw: &Raw, txn: u32, step: usize, fault: Fault) -> Anomaly {
        let RawStep { key, value, .. } = raw.steps[step];
        let (of, name) = (raw.txns[txn as usize], raw.keys[key as usize]);
        let reader = of.name();
        match fault {
            Fault::Unwritten => match raw.failed.get(&(key, value)) {
                Some(failed) => {
                    let message = format!(
                        "key {name}: {reader} read {value}, which {} failed to write.",
                        failed.name()
                    );
                    anomaly("G1a", name, message, &[*failed, of])
                }
                None => {
                    let message = format!("key {name}: {reader} read {value}, which nobody wrote.");
                    anomaly("unwritten-read", name, message, &[of])
                }
            },
            Fault::Intermediate => {
                let writer = self.writer[self.of_step[step] as usize];
                let message = format!(
                    "key {name}: {reader} read {value}, which its own writer overwrote: {}.",
                    raw.did(writer)
                );
                anomaly("G1b", name, message, &[raw.txns[writer as usize], of])
            }
            Fault::Internal => {
                let message = format!(
                    "key {name}: {reader} read {value}, which contradicts what it itself wrote: {}.",
                    raw.did(txn)
                );
                anomaly("internal", name, message, &[of])
            }
        }
    }

    /// Words for reads of two versions by one transaction, and how many there are.
    pub(crate) fn unrepeatable_anomalies(&self, raw: &Raw, name: &str) -> (usize, Vec<Anomaly>) {
        let told = self.unrepeatable.iter().take(TOLD).map(|&(txn, step)| {
            let key = raw.keys[raw.steps[step].key as usize];
            let message = format!(
                "key {key}: {} read two different values: {}.",
                raw.txns[txn as usize].name(),
                raw.did(txn)
            );
            anomaly(name, key, message, &[raw.txns[txn as usize]])
        });
        (self.unrepeatable.len(), told.collect())
    }

    /// Why nothing can be said, if a value that was read was written more than once.
    pub(crate) fn why_ambiguous(&self, raw: &Raw) -> Option<String> {
        let &(key, value, one, other) = self.ambiguous.first()?;
        let who = |t: u32| raw.txns.get(t as usize).map_or_else(|| "the beginning".to_owned(), Txn::name);
        Some(format!(
            "key {}: {value} was written more than once, by {} and {}, and read: nobody can say whose it is",
            raw.keys[key as usize],
            who(one),
            who(other)
        ))
    }
}

/// An anomaly about one key.
pub(crate) fn anomaly(name: &str, key: Atom, message: String, of: &[Txn]) -> Anomaly {
    let key = match key {
        Atom::NULL => None,
        key => Some(key.as_int().map_or_else(|| Key::Text(key.to_string()), Key::Int)),
    };
    let events = of.iter().flat_map(Txn::events).collect();
    Anomaly { name: name.to_owned(), message, key, events, details: json!(null) }
}
