//! What must commit before what, for causal consistency: vector clocks over sessions.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::super::versions::NONE;
use super::Case;
use super::edges::Derived;

/// Where each transaction stands: its session, and its place there, from 1. One of unknown outcome, which
/// nothing in its process follows, is a session of its own.
struct Sessions {
    of: Vec<u32>,
    place: Vec<u32>,
    count: usize,
}

/// The transactions that write one key in one session, by place.
struct Group {
    session: u32,
    begin: u32,
    end: u32,
}

/// Clocks that are still needed, in one piece of memory each.
struct Clocks {
    width: usize,
    all: Vec<u32>,
    free: Vec<u32>,
    of: Vec<u32>,
    /// How many transactions still need each one's clock.
    needed: Vec<u32>,
}

impl Clocks {
    fn of(&self, txn: u32) -> &[u32] {
        let at = self.of[txn as usize] as usize * self.width;
        self.all.get(at..at + self.width).unwrap_or(&[])
    }

    fn keep(&mut self, txn: u32, clock: &[u32]) {
        if self.needed[txn as usize] == 0 {
            return;
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            self.all.resize(self.all.len() + self.width, 0);
            (self.all.len() / self.width) as u32 - 1
        });
        self.of[txn as usize] = slot;
        let at = slot as usize * self.width;
        self.all[at..at + self.width].copy_from_slice(clock);
    }

    fn release(&mut self, txn: u32) {
        let needed = &mut self.needed[txn as usize];
        *needed -= 1;
        if *needed == 0 {
            self.free.push(self.of[txn as usize]);
        }
    }
}

/// For each read of a key and each session, the last transaction there that writes the key and on which
/// the reader depends; those before it lead to it. What is so anyway is left out. The dependencies must
/// have no cycle.
///
/// # Errors
/// If the clocks take more memory than there is.
pub(super) fn causal(case: &Case<'_>, memory_bytes: usize) -> Result<Vec<Derived>, String> {
    let sessions = number(case);
    let (writers, groups, first_group) = writers(case, &sessions);
    let n = case.raw.txns.len();
    let mut clocks = Clocks {
        width: sessions.count.max(1),
        all: Vec::new(),
        free: Vec::new(),
        of: vec![NONE; n],
        needed: vec![0; n],
    };
    for &t in &case.sessions {
        causes(case, t, |cause| clocks.needed[cause as usize] += 1);
    }
    let mut derived = Vec::new();
    let mut clock = vec![0_u32; clocks.width];
    for txn in in_order(case, &clocks.needed) {
        clock.fill(0);
        causes(case, txn, |cause| {
            for (own, &other) in clock.iter_mut().zip(clocks.of(cause)) {
                *own = (*own).max(other);
            }
            let own = &mut clock[sessions.of[cause as usize] as usize];
            *own = (*own).max(sessions.place[cause as usize]);
        });
        for &version in case.versions.reads.of(txn) {
            let key = case.versions.key[version as usize] as usize;
            let to = case.versions.writer[version as usize];
            for group in &groups[first_group[key] as usize..first_group[key + 1] as usize] {
                let until = clock[group.session as usize];
                let places = &writers[group.begin as usize..group.end as usize];
                let known = places.partition_point(|&(place, _)| place <= until);
                let Some(&(place, from)) = known.checked_sub(1).and_then(|i| places.get(i)) else {
                    continue;
                };
                let anyway =
                    to != NONE && clocks.of(to).get(group.session as usize).is_some_and(|&c| place <= c);
                if !anyway {
                    case.derive(&mut derived, from, txn, version);
                }
            }
        }
        causes(case, txn, |cause| clocks.release(cause));
        clocks.keep(txn, &clock);
        if (clocks.all.len() + 4 * derived.len()) * size_of::<u32>() > memory_bytes {
            return Err(format!("out of memory budget with {} sessions", sessions.count));
        }
    }
    Ok(derived)
}

/// What a transaction directly depends on: the one before it in its session, those it reads of, and what
/// else it was said to.
fn causes(case: &Case<'_>, txn: u32, visit: impl FnMut(u32)) {
    let reads = case.versions.reads.of(txn).iter().map(|&v| case.versions.writer[v as usize]);
    let also = case.also.get(txn as usize).copied();
    reads.chain([case.before[txn as usize]]).chain(also).filter(|&cause| cause != NONE).for_each(visit);
}

fn number(case: &Case<'_>) -> Sessions {
    let n = case.raw.txns.len();
    let mut sessions = Sessions { of: vec![0; n], place: vec![0; n], count: 0 };
    for &t in &case.sessions {
        let before = case.before[t as usize];
        let (session, place) = if before == NONE || case.raw.txns[t as usize].is_open() {
            sessions.count += 1;
            (sessions.count as u32 - 1, 1)
        } else {
            (sessions.of[before as usize], sessions.place[before as usize] + 1)
        };
        sessions.of[t as usize] = session;
        sessions.place[t as usize] = place;
    }
    sessions
}

/// Who writes each key: place and transaction, in groups by session; and each key's first group.
fn writers(case: &Case<'_>, sessions: &Sessions) -> (Vec<(u32, u32)>, Vec<Group>, Vec<u32>) {
    let mut all: Vec<(u32, u32, u32, u32)> = Vec::with_capacity(case.versions.writes.len());
    for &t in &case.sessions {
        let (session, place) = (sessions.of[t as usize], sessions.place[t as usize]);
        let keys = case.versions.writes.of(t).iter().map(|&v| case.versions.key[v as usize]);
        all.extend(keys.map(|key| (key, session, place, t)));
    }
    all.sort_unstable();
    let mut groups: Vec<Group> = Vec::new();
    let mut first = vec![0_u32; case.raw.keys.len() + 1];
    let mut begin = 0;
    for group in all.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)) {
        let end = begin + group.len() as u32;
        groups.push(Group { session: group[0].1, begin, end });
        first[group[0].0 as usize + 1] = groups.len() as u32;
        begin = end;
    }
    for i in 1..first.len() {
        first[i] = first[i].max(first[i - 1]);
    }
    (all.into_iter().map(|(_, _, place, t)| (place, t)).collect(), groups, first)
}

/// The transactions, each after what it depends on, and as far as possible in order of their beginning, so
/// that few clocks are needed at once. Without `effects` a transaction is nobody's cause.
fn in_order(case: &Case<'_>, effects: &[u32]) -> Vec<u32> {
    let n = case.raw.txns.len();
    let mut first = vec![0_u32; n + 1];
    for t in 0..n {
        first[t + 1] = first[t] + effects[t];
    }
    let mut filled = first.clone();
    let mut of = vec![0_u32; first[n] as usize];
    let mut missing = vec![0_u32; n];
    for &t in &case.sessions {
        causes(case, t, |cause| {
            of[filled[cause as usize] as usize] = t;
            filled[cause as usize] += 1;
            missing[t as usize] += 1;
        });
    }
    let start = |t: u32| case.raw.txns[t as usize].start;
    let ready = case.sessions.iter().filter(|&&t| missing[t as usize] == 0);
    let mut ready: BinaryHeap<Reverse<(u64, u32)>> = ready.map(|&t| Reverse((start(t), t))).collect();
    let mut order = Vec::with_capacity(case.sessions.len());
    while let Some(Reverse((_, t))) = ready.pop() {
        order.push(t);
        for &effect in &of[first[t as usize] as usize..first[t as usize + 1] as usize] {
            missing[effect as usize] -= 1;
            if missing[effect as usize] == 0 {
                ready.push(Reverse((start(effect), effect)));
            }
        }
    }
    order
}
