//! Words for what was found.

use ordeal_core::{Anomaly, Key};
use serde_json::json;

use super::direct::Direct;
use super::lists::{NONE, OddRead, What};
use super::{Judgement, TOLD};
use crate::models::Atom;
use crate::transactions::graph::{Edge, Kind};
use crate::transactions::steps::Txn;

/// How many elements before the one that matters are shown.
const SHOWN: usize = 3;

impl Judgement {
    /// How many anomalies were found without a graph, and words for some of each kind.
    pub(super) fn direct_anomalies(&self) -> (usize, Vec<Anomaly>) {
        let mut told: Vec<Anomaly> = Vec::new();
        told.extend(self.lists.odd.iter().take(TOLD).map(|odd| self.incompatible(odd)));
        told.extend(self.places.repeated.iter().take(TOLD).map(|&(key, place)| self.repeated(key, place)));
        told.extend(self.places.unwritten.iter().take(TOLD).map(|&(key, place)| self.unwritten(key, place)));
        let mut by_kind: [usize; 4] = [0; 4];
        for direct in &self.walk.found {
            let kind = match direct {
                Direct::Internal { .. } => 0,
                Direct::OutOfOrder { .. } => 1,
                Direct::Lost { .. } => 2,
                Direct::Intermediate { .. } => 3,
            };
            by_kind[kind] += 1;
            if by_kind[kind] <= TOLD {
                told.push(self.direct(direct));
            }
        }
        let places = self.places.repeated.len() + self.places.unwritten.len();
        (self.lists.odd_reads + places + self.walk.found.len(), told)
    }

    /// Why nothing can be said.
    pub(super) fn explain_unclear(&self) -> String {
        match self.places.ambiguous.first() {
            Some(&(key, element, one, other)) => format!(
                "key {}: {element} was appended more than once, by {} and {}, and read: nobody can say \
                 whose it is",
                self.key(key),
                self.txn(one).name(),
                self.txn(other).name()
            ),
            None => "an order was found, but executing it gives other results".to_owned(),
        }
    }

    /// Why one transaction must come before another.
    pub(super) fn why(&self, edge: &Edge) -> String {
        let (from, to) = (self.txn(edge.from).name(), self.txn(edge.to).name());
        let place = edge.label;
        let key = self.places.key(place);
        let name = self.key(key);
        let list = &self.lists.keys[key as usize];
        let at = (place - self.places.base[key as usize]) as usize;
        let reader = if list.reader == NONE { "nobody".to_owned() } else { self.txn(list.reader).name() };
        match (edge.kind, list.list.get(at)) {
            (Kind::Wr, Some(element)) => format!("{to} read {element} in key {name}, which {from} appended"),
            (Kind::Ww, Some(element)) => format!(
                "{to} appended {element} to key {name} after {from}'s {}, as {reader} read {}",
                self.element_of(edge.from, key, at),
                shown(&list.list[..=at])
            ),
            (Kind::Ww, None) => format!(
                "{to} appended to key {name} what is not in {}, which ends with or after {from}'s and was \
                 read by {reader}",
                shown(&list.list)
            ),
            (Kind::Rw, Some(element)) => {
                format!("{from} read key {name} as {} without {to}'s {element}", shown(&list.list[..at]))
            }
            _ => format!("{from} read key {name} as {} without {to}'s", shown(&list.list)),
        }
    }

    /// The last element before `at` that a transaction appended.
    fn element_of(&self, txn: u32, key: u32, at: usize) -> String {
        let base = self.places.base[key as usize] as usize;
        let own = (0..at).rev().find(|&i| self.places.writer[base + i] == txn);
        own.map_or_else(|| "elements".to_owned(), |i| self.lists.keys[key as usize].list[i].to_string())
    }

    /// A transaction with its steps.
    pub(super) fn did(&self, txn: u32) -> String {
        let steps: Vec<String> = self
            .lists
            .steps_of(txn)
            .map(|step| {
                let step = &self.lists.steps[step];
                let name = self.key(step.key);
                match step.what {
                    What::Append(element) => format!("append {name} {element}"),
                    What::Read(len) => {
                        let list = &self.lists.keys[step.key as usize].list;
                        format!("r {name} {}", shown(list.get(..len as usize).unwrap_or(list)))
                    }
                    What::Odd => format!("r {name} […]"),
                }
            })
            .collect();
        let of = self.txn(txn);
        format!("{} (process {}): {}", of.name(), of.process, steps.join(", "))
    }

    fn txn(&self, txn: u32) -> &Txn {
        &self.lists.txns[txn as usize]
    }

    fn key(&self, key: u32) -> Atom {
        self.lists.keys[key as usize].key
    }

    fn anomaly(&self, name: &str, key: u32, message: String, of: &[Txn]) -> Anomaly {
        let key = match self.key(key) {
            Atom::NULL => None,
            atom => Some(atom.as_int().map_or_else(|| Key::Text(atom.to_string()), Key::Int)),
        };
        Anomaly {
            name: name.to_owned(),
            message,
            key,
            events: of.iter().flat_map(Txn::events).collect(),
            details: json!(null),
        }
    }

    fn incompatible(&self, odd: &OddRead) -> Anomaly {
        let list = &self.lists.keys[odd.key as usize].list;
        let (txn, other) = (self.txn(odd.txn), self.txn(odd.other));
        let message = format!(
            "key {}: {} read {} and {} read {}: neither list begins with the other.",
            self.key(odd.key),
            other.name(),
            shown(list.get(..=odd.at).unwrap_or(list)),
            txn.name(),
            shown(odd.list.get(..=odd.at).unwrap_or(&odd.list)),
        );
        self.anomaly("incompatible-order", odd.key, message, &[*other, *txn])
    }

    fn element(&self, key: u32, place: u32) -> Atom {
        let at = place - self.places.base[key as usize];
        self.lists.keys[key as usize].list[at as usize]
    }

    fn repeated(&self, key: u32, place: u32) -> Anomaly {
        let reader = self.txn(self.lists.keys[key as usize].reader);
        let element = self.element(key, place);
        let message = format!(
            "key {}: {} read {element} twice in one list, but it was appended once.",
            self.key(key),
            reader.name()
        );
        self.anomaly("duplicate-elements", key, message, &[*reader])
    }

    fn unwritten(&self, key: u32, place: u32) -> Anomaly {
        let reader = self.txn(self.lists.keys[key as usize].reader);
        let element = self.element(key, place);
        let (at, by) = (self.key(key), reader.name());
        match self.lists.failed.get(&(key, element)) {
            Some(failed) => {
                let message =
                    format!("key {at}: {by} read {element}, which {} failed to append.", failed.name());
                self.anomaly("G1a", key, message, &[*failed, *reader])
            }
            None => {
                let message = format!("key {at}: {by} read {element}, which nobody appended.");
                self.anomaly("unwritten-read", key, message, &[*reader])
            }
        }
    }

    fn direct(&self, direct: &Direct) -> Anomaly {
        match *direct {
            Direct::Internal { txn, step } => {
                let key = self.lists.steps[step].key;
                let message = format!(
                    "key {}: a read of {} contradicts what the transaction itself did: {}.",
                    self.key(key),
                    self.txn(txn).name(),
                    self.did(txn)
                );
                self.anomaly("internal", key, message, &[*self.txn(txn)])
            }
            Direct::OutOfOrder { txn, step } => {
                let key = self.lists.steps[step].key;
                let reader = self.lists.keys[key as usize].reader;
                let message = format!(
                    "key {}: {} is not the order in which {} appended: {}.",
                    self.key(key),
                    shown(&self.lists.keys[key as usize].list),
                    self.txn(txn).name(),
                    self.did(txn)
                );
                self.anomaly("out-of-order-appends", key, message, &[*self.txn(txn), *self.txn(reader)])
            }
            Direct::Lost { txn, step } => {
                let key = self.lists.steps[step].key;
                let reader = self.lists.keys[key as usize].reader;
                let message = format!(
                    "key {}: {} has a later append of {} but lacks an earlier one: {}.",
                    self.key(key),
                    shown(&self.lists.keys[key as usize].list),
                    self.txn(txn).name(),
                    self.did(txn)
                );
                self.anomaly("lost-append", key, message, &[*self.txn(txn), *self.txn(reader)])
            }
            Direct::Intermediate { txn, place } => {
                let key = self.places.key(place);
                let writer = self.places.writer[place as usize];
                let message = format!(
                    "key {}: {} read up to {}, which {} followed by further appends of its own: {}.",
                    self.key(key),
                    self.txn(txn).name(),
                    self.element(key, place),
                    self.txn(writer).name(),
                    self.did(writer)
                );
                self.anomaly("G1b", key, message, &[*self.txn(writer), *self.txn(txn)])
            }
        }
    }
}

/// `[.. 4 5 6]`: the last elements of a list.
fn shown(list: &[Atom]) -> String {
    let from = list.len().saturating_sub(SHOWN);
    let elements: Vec<String> = list[from..].iter().map(Atom::to_string).collect();
    let dots = if from > 0 { ".. " } else { "" };
    format!("[{dots}{}]", elements.join(" "))
}
