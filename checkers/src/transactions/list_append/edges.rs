//! What must come before what, as edges of a graph.
//!
//! Of each key the longest list read says in which order its elements were appended. With `W` and `X` who
//! appended two neighbours in it: `W` comes before `X`; who read up to `W`'s comes after `W` and before `X`.
//! Whoever appended to the key what nobody read comes after everybody who appended what was read, and after
//! everybody who read the whole list. All of that is necessary; and any order that keeps to all of it
//! explains every read, if nothing was found without the graph, so it is sufficient.

use std::collections::HashSet;

use super::direct::Walk;
use super::lists::{Lists, NONE, Places};
use crate::transactions::graph::{Edge, Graph, Kind};
use crate::transactions::order::Imposed;

/// Who appended unread elements to one key.
#[derive(Debug)]
struct Tail {
    key: u32,
    /// The node between those who come before and those who come after: one of its own; or the one among
    /// the appenders that must come first, since it saw the list without the others' elements.
    middle: u32,
    /// How the middle leads to the appenders.
    onwards: Kind,
    /// The part of [`Walk::unread`].
    appenders: std::ops::Range<usize>,
}

/// Everything the edges follow from.
pub(super) struct Edges<'a> {
    places: &'a Places,
    walk: &'a Walk,
    imposed: &'a Imposed,
    imposed_as: Kind,
    tails: Vec<Tail>,
    nodes: usize,
}

impl<'a> Edges<'a> {
    pub(super) fn new(
        lists: &Lists,
        places: &'a Places,
        walk: &'a Walk,
        imposed: &'a Imposed,
        imposed_as: Kind,
    ) -> Self {
        let mut nodes = lists.txns.len() + imposed.instants;
        let whole: HashSet<(u32, u32)> = walk
            .reads
            .iter()
            .filter(|&&(_, behind)| places.writer[behind as usize] == NONE)
            .map(|&(txn, behind)| (behind, txn))
            .collect();
        let mut tails = Vec::new();
        let mut from = 0;
        for group in walk.unread.chunk_by(|a, b| a.0 == b.0) {
            let key = group[0].0;
            let appenders = from..from + group.len();
            from = appenders.end;
            let mut tail = Tail { key, middle: nodes as u32, onwards: Kind::On, appenders };
            let last = last_writer(places, key);
            let end = places.end(key);
            if group.iter().any(|&(_, txn)| txn == last) {
                (tail.middle, tail.onwards) = (last, Kind::Ww);
            } else if let Some(&(_, txn)) = group.iter().find(|&&(_, txn)| whole.contains(&(end, txn))) {
                (tail.middle, tail.onwards) = (txn, Kind::Rw);
            } else {
                nodes += 1;
            }
            tails.push(tail);
        }
        Edges { places, walk, imposed, imposed_as, tails, nodes }
    }

    pub(super) fn graph(&self) -> Graph {
        Graph::build(self.nodes, |emit| {
            let mut emit = |from: u32, to: u32, kind, label| {
                if from != to {
                    emit(Edge { from, to, kind, label });
                }
            };
            for &(from, to) in &self.imposed.edges {
                emit(from, to, self.imposed_as, 0);
            }
            self.writes(&mut emit);
            self.reads(&mut emit);
            self.tails(&mut emit);
        })
    }

    fn writes(&self, emit: &mut dyn FnMut(u32, u32, Kind, u32)) {
        for bounds in self.places.base.windows(2) {
            let mut before = NONE;
            for place in bounds[0]..bounds[1].saturating_sub(1) {
                let writer = self.places.writer[place as usize];
                if writer == NONE {
                    continue;
                }
                if before != NONE {
                    emit(before, writer, Kind::Ww, place);
                }
                before = writer;
            }
        }
    }

    fn reads(&self, emit: &mut dyn FnMut(u32, u32, Kind, u32)) {
        for &(txn, behind) in &self.walk.reads {
            // The place before the first of a key is the end of another, which belongs to nobody.
            let read = behind.checked_sub(1).map_or(NONE, |place| self.places.writer[place as usize]);
            if read != NONE {
                emit(read, txn, Kind::Wr, behind - 1);
            }
            let next = self.places.writer[behind as usize];
            if next != NONE && next != read {
                emit(txn, next, Kind::Rw, behind);
            } else if next == NONE {
                let key = self.places.key(behind);
                let tail = self.tails.binary_search_by_key(&key, |t| t.key).map(|at| &self.tails[at]);
                if let Ok(tail) = tail
                    && behind == self.places.end(key)
                {
                    emit(txn, tail.middle, Kind::Rw, behind);
                }
            }
        }
    }

    fn tails(&self, emit: &mut dyn FnMut(u32, u32, Kind, u32)) {
        for tail in &self.tails {
            let end = self.places.end(tail.key);
            let last = last_writer(self.places, tail.key);
            if last != NONE {
                emit(last, tail.middle, Kind::Ww, end);
            }
            for &(_, txn) in &self.walk.unread[tail.appenders.clone()] {
                emit(tail.middle, txn, tail.onwards, end);
            }
        }
    }
}

/// Who appended the last element of a key's longest list of which that is known.
fn last_writer(places: &Places, key: u32) -> u32 {
    let elements = places.base[key as usize] as usize..places.end(key) as usize;
    places.writer[elements].iter().rev().copied().find(|&w| w != NONE).unwrap_or(NONE)
}
