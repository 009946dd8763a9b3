//! Directed graphs of millions of labelled edges: compact storage, strongly connected components, short
//! cycles.

use std::collections::{HashMap, VecDeque};

/// Why one transaction must come before another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Kind {
    /// The first wrote a version, the second the next one.
    Ww,
    /// The first wrote what the second read.
    Wr,
    /// The first read a version, the second wrote the next one.
    Rw,
    /// One process ran the first, then the second.
    Process,
    /// The first ended before the second began.
    RealTime,
    /// Goes on from a node that only stands for others.
    On,
}

impl Kind {
    const ALL: [Kind; 6] = [Kind::Ww, Kind::Wr, Kind::Rw, Kind::Process, Kind::RealTime, Kind::On];

    /// This kind in a set of kinds.
    pub(crate) const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// All kinds of edges.
pub(crate) const EVERY: u8 = 0x3f;

/// An edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Edge {
    pub(crate) from: u32,
    pub(crate) to: u32,
    pub(crate) kind: Kind,
    /// What the maker of the graph remembers the edge by.
    pub(crate) label: u32,
}

/// How many bits of a word hold the kind of an edge; the rest is its label.
const KIND_BITS: u32 = 3;
/// Labels are cut to this; whoever makes so many gets shorter explanations, not wrong verdicts.
pub(crate) const LABEL_MAX: u32 = u32::MAX >> KIND_BITS;

/// Edges by the node they leave.
#[derive(Debug, Default)]
pub(crate) struct Graph {
    offsets: Vec<u32>,
    to: Vec<u32>,
    labels: Vec<u32>,
}

impl Graph {
    /// The graph of so many nodes whose edges `each` tells, the same ones each time it is asked.
    pub(crate) fn build(nodes: usize, each: impl Fn(&mut dyn FnMut(Edge))) -> Graph {
        let mut offsets = vec![0_u32; nodes + 2];
        each(&mut |edge| offsets[edge.from as usize + 2] += 1);
        for i in 1..offsets.len() {
            offsets[i] += offsets[i - 1];
        }
        let total = offsets.last().map_or(0, |&n| n as usize);
        let (mut to, mut labels) = (vec![0; total], vec![0; total]);
        each(&mut |edge| {
            let at = &mut offsets[edge.from as usize + 1];
            to[*at as usize] = edge.to;
            labels[*at as usize] = edge.label.min(LABEL_MAX) << KIND_BITS | edge.kind as u32;
            *at += 1;
        });
        offsets.pop();
        Graph { offsets, to, labels }
    }

    pub(crate) fn nodes(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    fn edge(&self, from: u32, at: u32) -> Edge {
        let label = self.labels[at as usize];
        let kind = Kind::ALL[(label & ((1 << KIND_BITS) - 1)) as usize];
        Edge { from, to: self.to[at as usize], kind, label: label >> KIND_BITS }
    }

    /// The edges that leave a node.
    pub(crate) fn out(&self, from: u32) -> impl Iterator<Item = Edge> + '_ {
        let range = self.offsets[from as usize]..self.offsets[from as usize + 1];
        range.map(move |at| self.edge(from, at))
    }

    /// The part of the graph with these nodes and, of the edges between them, those of these kinds. Nodes
    /// are numbered by their place in the list.
    pub(crate) fn part(&self, nodes: &[u32], kinds: u8) -> Graph {
        let mut place = HashMap::with_capacity(nodes.len());
        for (i, &node) in (0_u32..).zip(nodes) {
            place.insert(node, i);
        }
        Graph::build(nodes.len(), |emit| {
            for (i, &node) in (0_u32..).zip(nodes) {
                for edge in self.out(node).filter(|e| kinds & e.kind.bit() != 0) {
                    if let Some(&to) = place.get(&edge.to) {
                        emit(Edge { from: i, to, ..edge });
                    }
                }
            }
        })
    }

    /// The strongly connected components by edges of these kinds, each after all those that it leads to
    /// (Tarjan 1972, without recursion).
    pub(crate) fn components(&self, kinds: u8) -> Components {
        let n = self.nodes();
        let mut found = Components { nodes: Vec::with_capacity(n), starts: vec![0] };
        // 0: not seen; otherwise one more than the order in which it was seen; MAX: in a component.
        let mut low = vec![0_u32; n];
        let mut seen = 0;
        let mut stack: Vec<u32> = Vec::new();
        let mut path: Vec<(u32, u32, u32)> = Vec::new();
        for root in 0..n as u32 {
            if low[root as usize] != 0 {
                continue;
            }
            path.push((root, self.offsets[root as usize], 0));
            while let Some((node, next, own)) = path.last_mut() {
                let v = *node as usize;
                if *own == 0 {
                    seen += 1;
                    *own = seen;
                    low[v] = seen;
                    stack.push(*node);
                }
                if *next < self.offsets[v + 1] {
                    let at = *next;
                    *next += 1;
                    if kinds != EVERY && kinds & (1 << (self.labels[at as usize] & 7)) == 0 {
                        continue;
                    }
                    let w = self.to[at as usize];
                    match low[w as usize] {
                        0 => path.push((w, self.offsets[w as usize], 0)),
                        u32::MAX => {}
                        other => low[v] = low[v].min(other),
                    }
                    continue;
                }
                let (own, reached) = (*own, low[v]);
                path.pop();
                if let Some((parent, ..)) = path.last() {
                    let parent = &mut low[*parent as usize];
                    *parent = (*parent).min(reached);
                }
                if reached == own {
                    while let Some(node) = stack.pop() {
                        low[node as usize] = u32::MAX;
                        found.nodes.push(node);
                        if node as usize == v {
                            break;
                        }
                    }
                    found.starts.push(found.nodes.len() as u32);
                }
            }
        }
        found
    }

    /// A shortest way from one node to another (or back to itself) by edges of these kinds. Edges that leave
    /// a node for which `free` holds do not count. Counts the edges it looks at down from `work` and gives
    /// up at none.
    pub(crate) fn way(
        &self,
        (from, to): (u32, u32),
        kinds: u8,
        free: impl Fn(u32) -> bool,
        work: &mut u64,
    ) -> Option<Vec<Edge>> {
        let mut reached: HashMap<u32, (u32, Edge)> = HashMap::new();
        let mut queue = VecDeque::from([(from, 0)]);
        while let Some((node, length)) = queue.pop_front() {
            match reached.get(&node) {
                Some(_) if node == to && length > 0 => break,
                Some(&(least, _)) if node != from && least < length => continue,
                _ => {}
            }
            for edge in self.out(node).filter(|e| kinds & e.kind.bit() != 0) {
                *work = work.checked_sub(1)?;
                let length = length + u32::from(!free(node));
                if reached.get(&edge.to).is_some_and(|&(least, _)| least <= length) {
                    continue;
                }
                reached.insert(edge.to, (length, edge));
                match free(node) {
                    true => queue.push_front((edge.to, length)),
                    false => queue.push_back((edge.to, length)),
                }
            }
        }
        let mut way = vec![reached.get(&to)?.1];
        while way[way.len() - 1].from != from {
            way.push(reached.get(&way[way.len() - 1].from)?.1);
        }
        way.reverse();
        Some(way)
    }
}

/// The strongly connected components of a graph.
#[derive(Debug)]
pub(crate) struct Components {
    nodes: Vec<u32>,
    starts: Vec<u32>,
}

impl Components {
    /// Those of more than one node. Whoever makes a graph leaves out edges from a node to itself.
    pub(crate) fn cyclic(&self) -> impl Iterator<Item = &[u32]> {
        self.starts.windows(2).filter(|s| s[1] - s[0] > 1).map(|s| &self.nodes[s[0] as usize..s[1] as usize])
    }

    /// All nodes, each before all those it leads to, if there is no cycle.
    pub(crate) fn order(&self) -> Option<impl Iterator<Item = u32> + '_> {
        let acyclic = self.starts.len() == self.nodes.len() + 1;
        acyclic.then(|| self.nodes.iter().rev().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ordeal_core::Rng;

    fn graph(nodes: usize, edges: &[(u32, u32, Kind)]) -> Graph {
        Graph::build(nodes, |emit| {
            for &(from, to, kind) in edges {
                emit(Edge { from, to, kind, label: from * 10 + to });
            }
        })
    }

    #[test]
    fn edges_keep_their_kind_and_label() {
        let g = graph(3, &[(0, 1, Kind::Ww), (2, 1, Kind::On), (0, 2, Kind::Rw)]);
        let out: Vec<Edge> = g.out(0).collect();
        assert_eq!(out.len(), 2);
        assert_eq!(out[1], Edge { from: 0, to: 2, kind: Kind::Rw, label: 2 });
        assert_eq!(g.out(2).next().unwrap().kind, Kind::On);
        assert_eq!(g.nodes(), 3);
    }

    #[test]
    fn components_agree_with_reachability_on_random_graphs() {
        for seed in 0..5_000 {
            let mut rng = Rng::new(seed);
            let n = rng.between(1, 8) as u32;
            let kinds = [Kind::Ww, Kind::Rw];
            let edges: Vec<_> = (0..rng.below(14))
                .map(|_| (rng.below(n.into()) as u32, rng.below(n.into()) as u32, *rng.pick(&kinds)))
                .filter(|e| e.0 != e.1)
                .collect();
            let g = graph(n as usize, &edges);
            for mask in [EVERY, Kind::Ww.bit()] {
                let reaches = |a, b| a == b || g.way((a, b), mask, |_| false, &mut 1_000).is_some();
                let components = g.components(mask);
                let mut of = vec![usize::MAX; n as usize];
                for (i, s) in components.starts.windows(2).enumerate() {
                    for &node in &components.nodes[s[0] as usize..s[1] as usize] {
                        of[node as usize] = i;
                    }
                }
                for a in 0..n {
                    for b in 0..n {
                        let same = of[a as usize] == of[b as usize];
                        assert_eq!(same, reaches(a, b) && reaches(b, a), "seed {seed}: {a} {b} {edges:?}");
                        assert!(!reaches(a, b) || of[a as usize] >= of[b as usize], "seed {seed}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_way_is_a_shortest_one() {
        let e = |a, b| (a, b, Kind::Ww);
        let g = graph(5, &[e(0, 1), e(1, 2), e(2, 3), e(3, 0), e(1, 3), (3, 1, Kind::Rw)]);
        let nodes = |way: Option<Vec<Edge>>| way.map(|w| w.iter().map(|e| e.to).collect::<Vec<_>>());
        let way = |from, to, kinds, mut work| nodes(g.way((from, to), kinds, |_| false, &mut work));
        assert_eq!(way(0, 0, EVERY, 100), Some(vec![1, 3, 0]));
        assert_eq!(way(1, 1, EVERY, 100), Some(vec![3, 1]));
        assert_eq!(way(1, 1, Kind::Ww.bit(), 100), Some(vec![3, 0, 1]));
        assert_eq!(way(0, 4, EVERY, 100), None);
        assert_eq!(way(0, 0, EVERY, 2), None);
        // From 1 on to 3 by way of 2 costs less than the edge, if what leaves 1 and 2 is free.
        let detour = graph(6, &[e(0, 5), e(5, 4), e(0, 1), e(1, 2), e(2, 3), e(3, 4)]);
        let free = |node| (1..=3).contains(&node);
        assert_eq!(nodes(detour.way((0, 4), EVERY, free, &mut 100)), Some(vec![1, 2, 3, 4]));
    }
}
