//! Words for a refutation.

use std::collections::{HashSet, VecDeque};

use ordeal_core::Anomaly;
use serde_json::json;

use super::super::cycles::{Cycle, tidy};
use super::super::graph::{Edge, Kind};
use super::super::steps::Txn;
use super::super::versions::{Raw, Versions};
use super::search::{Link, Reason, Refutation, Why};
use crate::models::Atom;

/// How many reasons for what was learned are given.
const REASONS: usize = 30;

/// Why learned edges hold.
#[derive(Default)]
struct Because {
    told: Vec<String>,
    /// The transactions that it takes.
    members: Vec<u32>,
    /// Whether something was found by trying both ways.
    tried: bool,
}

struct Words<'a> {
    raw: &'a Raw,
    versions: &'a Versions,
    refutation: &'a Refutation,
}

/// The anomaly for a circle in what must come before what.
pub(super) fn anomaly(raw: &Raw, versions: &Versions, refutation: &Refutation) -> Anomaly {
    let words = Words { raw, versions, refutation };
    let edges: Vec<Edge> = refutation.cycle.iter().map(edge).collect();
    // A circle cannot be of instants alone, so there is always something to tell.
    let cycle = tidy(edges, &raw.txns).unwrap_or(Cycle { edges: Vec::new() });
    let because = words.because(&cycle);
    let name = if because.tried { "nonserializable".to_owned() } else { cycle.name() };
    let mut anomaly = cycle.anomaly(name, &raw.txns, |edge| words.why(edge), |t| raw.did(t));
    let Because { told: because, members, tried } = because;
    if tried {
        anomaly.message = format!(
            "{} Not all of this follows directly: where the results leave open which write came first, both \
             ways were tried.",
            anomaly.message
        );
    }
    if !because.is_empty() {
        anomaly.message = format!("{} Also: {}.", anomaly.message, because.join("; "));
    }
    let more = members.iter().filter_map(|&t| raw.txns.get(t as usize)).flat_map(Txn::events);
    for event in more {
        if !anomaly.events.contains(&event) {
            anomaly.events.push(event);
        }
    }
    let more: Vec<String> = members.iter().map(|&t| raw.did(t)).collect();
    if !more.is_empty() {
        anomaly.details["further_transactions"] = json!(more);
    }
    anomaly
}

fn edge(link: &Link) -> Edge {
    let label = match link.why {
        Why::Known(_, version) | Why::Overwrites(version) => version,
        Why::Learned(number) => number,
    };
    Edge { from: link.from, to: link.to, kind: link.kind(), label }
}

impl Words<'_> {
    fn name(&self, t: u32) -> String {
        self.raw.txns.get(t as usize).map_or_else(|| "?".to_owned(), Txn::name)
    }

    fn version(&self, version: u32) -> (Atom, Atom) {
        let key = self.versions.key[version as usize];
        (self.versions.value[version as usize], self.raw.keys[key as usize])
    }

    fn why(&self, edge: &Edge) -> String {
        let (from, to) = (self.name(edge.from), self.name(edge.to));
        match edge.kind {
            Kind::Wr => {
                let (value, key) = self.version(edge.label);
                format!("{to} read key {key} as {value}, which {from} wrote")
            }
            Kind::Rw => {
                let (value, key) = self.version(edge.label);
                format!("{from} read key {key} as {value}, which {to} overwrote")
            }
            _ => self.why_learned(edge.label),
        }
    }

    fn why_learned(&self, number: u32) -> String {
        let Some(learned) = self.refutation.learned.get(number as usize) else {
            return "it was found".to_owned();
        };
        let (from, to) = (self.name(learned.from), self.name(learned.to));
        match &learned.reason {
            Reason::Chosen { version } => {
                let (value, key) = self.version(*version);
                format!("the contrary was tried, by those who read key {key} as {value}, and is impossible")
            }
            Reason::Between { version, way } => {
                let (value, key) = self.version(*version);
                let reader = way.last().map_or_else(String::new, |link| self.name(link.to));
                format!(
                    "both wrote key {key}, {reader} read {value} of {to}'s, and {from} came before {reader}"
                )
            }
        }
    }

    /// Why the learned edges of a cycle hold, and those they rest on.
    fn because(&self, cycle: &Cycle) -> Because {
        let number = |e: &Edge| (e.kind == Kind::Ww).then_some(e.label);
        let mut work: VecDeque<u32> = cycle.edges.iter().filter_map(number).collect();
        let (mut because, mut done) = (Because::default(), HashSet::new());
        while let Some(learned) = work.pop_front() {
            let Some(learned) =
                self.refutation.learned.get(learned as usize).filter(|_| done.insert(learned))
            else {
                continue;
            };
            let Reason::Between { way, .. } = &learned.reason else {
                because.tried = true;
                continue;
            };
            let path = self.path(way);
            work.extend(path.iter().filter_map(number));
            for step in path {
                let why = match step.kind {
                    Kind::RealTime => "ended before it began".to_owned(),
                    Kind::Process => "same process".to_owned(),
                    _ => self.why(&step),
                };
                let text = format!("{} before {}: {why}", self.name(step.from), self.name(step.to));
                if because.told.len() < REASONS && !because.told.contains(&text) {
                    because.told.push(text);
                    because.members.extend([step.from, step.to]);
                }
            }
        }
        let in_cycle: HashSet<u32> = cycle.edges.iter().map(|e| e.from).collect();
        because.members.retain(|t| !in_cycle.contains(t));
        because.members.sort_unstable();
        because.members.dedup();
        because
    }

    /// A way, without the instants on it.
    fn path(&self, way: &[Link]) -> Vec<Edge> {
        let is_txn = |node: u32| (node as usize) < self.raw.txns.len();
        let mut path: Vec<Edge> = Vec::new();
        for link in way {
            match path.last_mut() {
                Some(last) if !is_txn(last.to) => last.to = link.to,
                _ => path.push(edge(link)),
            }
        }
        path
    }
}
