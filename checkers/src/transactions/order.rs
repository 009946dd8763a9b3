//! The order that sessions and real time impose on transactions, in a linear number of edges; and whether
//! an order keeps to it.

use std::collections::HashMap;

use super::Level;
use super::steps::Txn;

/// Edges between transactions and further nodes that stand for instants.
#[derive(Debug, Default)]
pub(crate) struct Imposed {
    /// How many nodes there are beyond the transactions.
    pub(crate) instants: usize,
    /// From and to; a node beyond the transactions is an instant.
    pub(crate) edges: Vec<(u32, u32)>,
}

/// What `level` imposes on those transactions for which `part` holds.
pub(crate) fn imposed(level: Level, txns: &[Txn], part: impl Fn(usize) -> bool) -> Imposed {
    match level {
        Level::Serializable => Imposed::default(),
        Level::StrongSession => Imposed { instants: 0, edges: sessions(txns, part) },
        Level::Strict => real_time(txns, 0, part),
    }
}

/// The transactions for which `part` holds, by process, in the order in which it ran them.
pub(crate) fn by_session(txns: &[Txn], part: impl Fn(usize) -> bool) -> Vec<u32> {
    let mut order: Vec<u32> = (0..txns.len() as u32).filter(|&t| part(t as usize)).collect();
    order.sort_by_key(|&t| {
        let txn = &txns[t as usize];
        (txn.process, txn.lane, txn.start, txn.end, txn.index)
    });
    order
}

/// Each transaction after the last one of its process that ended. One of unknown outcome may take effect
/// long after the next began, so nothing follows on it.
fn sessions(txns: &[Txn], part: impl Fn(usize) -> bool) -> Vec<(u32, u32)> {
    let mut edges = Vec::with_capacity(txns.len());
    let mut last: Option<u32> = None;
    for t in by_session(txns, part) {
        let same = |&before: &u32| txns[before as usize].process == txns[t as usize].process;
        let before = last.filter(same);
        edges.extend(before.map(|before| (before, t)));
        last = if txns[t as usize].is_open() { before } else { Some(t) };
    }
    edges
}

/// Each transaction after those that ended more than `late` before it began.
///
/// An instant is put wherever a beginning follows an end. Every transaction that ended leads to the next
/// instant, each instant to the next and to the transactions that begin before that: of an interval order
/// this is all, in at most three edges a transaction.
pub(crate) fn real_time(txns: &[Txn], late: u64, part: impl Fn(usize) -> bool) -> Imposed {
    let mut starts: Vec<u32> = (0..txns.len() as u32).filter(|&t| part(t as usize)).collect();
    let mut ends: Vec<u32> = starts.iter().copied().filter(|&t| !txns[t as usize].is_open()).collect();
    starts.sort_unstable_by_key(|&t| txns[t as usize].start);
    ends.sort_unstable_by_key(|&t| txns[t as usize].end);
    let mut imposed = Imposed { instants: 0, edges: Vec::with_capacity(2 * starts.len()) };
    let mut ended = ends.into_iter().peekable();
    for t in starts {
        let start = txns[t as usize].start;
        let mut fresh = false;
        while let Some(before) = ended.next_if(|&e| txns[e as usize].end.saturating_add(late) < start) {
            let instant = (txns.len() + imposed.instants) as u32;
            imposed.edges.push((before, instant));
            fresh = true;
        }
        if fresh {
            let instant = (txns.len() + imposed.instants) as u32;
            if imposed.instants > 0 {
                imposed.edges.push((instant - 1, instant));
            }
            imposed.instants += 1;
        }
        if imposed.instants > 0 {
            imposed.edges.push(((txns.len() + imposed.instants - 1) as u32, t));
        }
    }
    imposed
}

/// Whether an order of transactions keeps to what `level` imposes. Looks at the times again, not at edges.
pub(crate) fn keeps_to(level: Level, txns: &[Txn], order: &[u32]) -> bool {
    match level {
        Level::Serializable => true,
        Level::Strict => {
            let mut latest_start = 0;
            order.iter().all(|&t| {
                let txn = &txns[t as usize];
                latest_start = latest_start.max(txn.start);
                txn.end >= latest_start
            })
        }
        Level::StrongSession => {
            // After what began later in the same process, only one of unknown outcome may follow.
            let mut latest: HashMap<u64, (u64, u64, u64)> = HashMap::new();
            order.iter().all(|&t| {
                let txn = &txns[t as usize];
                let own = (txn.start, txn.end, txn.index);
                let latest = latest.entry(txn.process).or_insert(own);
                let late = own < *latest && !txn.is_open();
                *latest = own.max(*latest);
                !late
            })
        }
    }
}
