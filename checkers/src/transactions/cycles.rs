//! Cycles of dependencies: which to show, what they are called, how they are told.
//!
//! Names are those of Adya (1999) and Elle (Kingsbury & Alvaro, VLDB 2020): `G0` is a cycle of writes,
//! `G1c` one of writes and reads of what was written, `G-single` has one read of what was overwritten and
//! `G2-item` several. `-process` and `-realtime` tell that the order of a process, or real time, is needed.

use ordeal_core::Anomaly;
use serde_json::{Value, json};

use super::graph::{EVERY, Edge, Graph, Kind};
use super::steps::Txn;

/// How many edges a search for the gravest and shortest cycle may look at in one component.
const WORK: u64 = 5_000_000;
/// How many places such a search may begin at.
const STARTS: usize = 500;

/// A cycle among transactions: nodes that only stand for others are passed over.
#[derive(Clone, Debug)]
pub(crate) struct Cycle {
    pub(crate) edges: Vec<Edge>,
}

/// The gravest and, of those tried, shortest cycle in a strongly connected component.
pub(crate) fn gravest(graph: &Graph, component: &[u32], txns: &[Txn]) -> Option<Cycle> {
    let part = Part {
        graph: graph.part(component, EVERY),
        free: component.iter().map(|&node| node as usize >= txns.len()).collect(),
    };
    let mut work = WORK;
    let orders = [0, Kind::Process.bit(), Kind::Process.bit() | Kind::RealTime.bit()];
    let mut found = None;
    'search: for order in orders {
        let base = order | Kind::On.bit() | Kind::Ww.bit();
        for kinds in [base, base | Kind::Wr.bit()] {
            found = part.shortest(kinds, &mut work);
            if found.is_some() {
                break 'search;
            }
        }
        found = part.single(base | Kind::Wr.bit(), &mut work);
        found = found.or_else(|| part.shortest(base | Kind::Wr.bit() | Kind::Rw.bit(), &mut work));
        if found.is_some() {
            break;
        }
    }
    // Out of work: any cycle will do.
    let found = found.or_else(|| part.way((0, 0), EVERY, &mut u64::MAX.clone()))?;
    let whole = |e: Edge| Edge { from: component[e.from as usize], to: component[e.to as usize], ..e };
    tidy(found.into_iter().map(whole).collect(), txns)
}

/// A part of a graph, and which of its nodes only stand for others.
struct Part {
    graph: Graph,
    free: Vec<bool>,
}

impl Part {
    fn way(&self, ends: (u32, u32), kinds: u8, work: &mut u64) -> Option<Vec<Edge>> {
        self.graph.way(ends, kinds, |node| self.free[node as usize], work)
    }

    fn length(&self, way: &[Edge]) -> usize {
        way.iter().filter(|e| !self.free[e.from as usize]).count()
    }

    /// A shortest cycle by these kinds of edges, of those through the first so many nodes.
    fn shortest(&self, kinds: u8, work: &mut u64) -> Option<Vec<Edge>> {
        let components = self.graph.components(kinds);
        let mut best: Option<Vec<Edge>> = None;
        for nodes in components.cyclic() {
            for &node in nodes.iter().filter(|&&node| !self.free[node as usize]).take(STARTS) {
                let way = self.way((node, node), kinds, work);
                best = self.shorter(best, way);
                if *work == 0 {
                    return best;
                }
            }
        }
        best
    }

    /// A short cycle with one read of what was overwritten, the rest by these kinds of edges.
    fn single(&self, kinds: u8, work: &mut u64) -> Option<Vec<Edge>> {
        let mut best: Option<Vec<Edge>> = None;
        let all = (0..self.graph.nodes() as u32).flat_map(|node| self.graph.out(node));
        for edge in all.filter(|e| e.kind == Kind::Rw).take(STARTS) {
            let mut way = self.way((edge.to, edge.from), kinds, work);
            if let Some(way) = &mut way {
                way.insert(0, edge);
            }
            best = self.shorter(best, way);
        }
        best
    }

    fn shorter(&self, a: Option<Vec<Edge>>, b: Option<Vec<Edge>>) -> Option<Vec<Edge>> {
        match (a, b) {
            (Some(a), Some(b)) => Some(if self.length(&b) < self.length(&a) { b } else { a }),
            (a, b) => a.or(b),
        }
    }
}

/// Passes over nodes beyond the transactions, joins what real time joins, and begins where it is told best.
pub(crate) fn tidy(mut cycle: Vec<Edge>, txns: &[Txn]) -> Option<Cycle> {
    let is_txn = |node: u32| (node as usize) < txns.len();
    let first = cycle.iter().position(|e| is_txn(e.from))?;
    cycle.rotate_left(first);
    let mut edges: Vec<Edge> = Vec::with_capacity(cycle.len());
    for edge in cycle {
        match edges.last_mut() {
            Some(last) if !is_txn(last.to) => last.to = edge.to,
            Some(last) if last.kind == Kind::RealTime && edge.kind == Kind::RealTime => last.to = edge.to,
            _ => edges.push(edge),
        }
    }
    // The two ends of the list are neighbours as well.
    if let [first, .., last] = edges.as_mut_slice()
        && (first.kind, last.kind) == (Kind::RealTime, Kind::RealTime)
    {
        first.from = last.from;
        edges.pop();
    }
    for edge in &mut edges {
        let process = |t: u32| txns.get(t as usize).map(|t| t.process);
        if edge.kind == Kind::RealTime && process(edge.from) == process(edge.to) {
            edge.kind = Kind::Process;
        }
    }
    let earliest = (0..edges.len()).min_by_key(|&i| txns.get(edges[i].from as usize).map(|t| t.start))?;
    edges.rotate_left(earliest);
    Some(Cycle { edges })
}

impl Cycle {
    /// What it is called.
    pub(crate) fn name(&self) -> String {
        let count = |kind| self.edges.iter().filter(|e| e.kind == kind).count();
        let base = match (count(Kind::Rw), count(Kind::Wr)) {
            (0, 0) => "G0",
            (0, _) => "G1c",
            (1, _) => "G-single",
            _ => "G2-item",
        };
        let order = match (count(Kind::RealTime), count(Kind::Process)) {
            (0, 0) => "",
            (0, _) => "-process",
            _ => "-realtime",
        };
        format!("{base}{order}")
    }

    /// The anomaly, given why each edge holds and what each transaction did.
    pub(crate) fn anomaly(
        &self,
        name: String,
        txns: &[Txn],
        why: impl Fn(&Edge) -> String,
        did: impl Fn(u32) -> String,
    ) -> Anomaly {
        let reasons: Vec<String> = self.edges.iter().map(|edge| reason(edge, txns, &why)).collect();
        let story: Vec<String> = self
            .edges
            .iter()
            .zip(&reasons)
            .map(|(e, why)| format!("{} before {}, for {why}", of(txns, e.from), of(txns, e.to)))
            .collect();
        let links = self.edges.iter().zip(&reasons);
        let links: Vec<Value> = links
            .map(|(e, why)| {
                json!({
                    "from": of(txns, e.from), "to": of(txns, e.to), "kind": kind_name(e.kind), "why": why,
                })
            })
            .collect();
        let members: Vec<u32> = self.edges.iter().map(|e| e.from).collect();
        Anomaly {
            message: format!("{name}: no order of these transactions is possible: {}.", story.join("; ")),
            name,
            key: None,
            events: members.iter().filter_map(|&t| txns.get(t as usize)).flat_map(Txn::events).collect(),
            details: json!({
                "cycle": links,
                "transactions": members.iter().map(|&t| did(t)).collect::<Vec<_>>(),
            }),
        }
    }
}

fn of(txns: &[Txn], t: u32) -> String {
    txns.get(t as usize).map_or_else(|| "?".to_owned(), Txn::name)
}

fn reason(edge: &Edge, txns: &[Txn], why: &impl Fn(&Edge) -> String) -> String {
    let (from, to) = (of(txns, edge.from), of(txns, edge.to));
    match edge.kind {
        Kind::RealTime => format!("{from} ended before {to} began"),
        Kind::Process => {
            let process = txns.get(edge.from as usize).map_or(0, |t| t.process);
            format!("process {process} ran {from} before {to}")
        }
        _ => why(edge),
    }
}

fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Ww | Kind::On => "ww",
        Kind::Wr => "wr",
        Kind::Rw => "rw",
        Kind::Process => "process",
        Kind::RealTime => "realtime",
    }
}
