//! How far a register's reads are from the newest value, given which write each read is of.
//!
//! Every write with its reads is a *cluster* (Golab, Li & Shah 2011, after Gibbons & Korach 1997). It has
//! taken effect by `f`, the earliest end of its operations, and its value was still seen at `g`, the
//! latest beginning of its reads, or of the write if there are none. Two clusters are in conflict if each
//! has taken effect before the value of the other was last seen: `f_a < g_b` and `f_b < g_a`.
//!
//! - A register is atomic if and only if no two clusters are in conflict. (Two forward zones, `f < g`, that
//!   overlap, or a backward zone inside a forward one: Gibbons & Korach, in one formula.)
//! - It is *k-atomic* if there is an order in keeping with real time in which every read is of one of the
//!   last `k` writes. Given an order of the writes that keeps to `f_a < s_b` (`s`: beginning of a write),
//!   the best place of a read is right after the last write that had taken effect before the read began,
//!   or after its own. So only `s`, `f`, `g` matter, and the order is good if at most `k - 1` writes that
//!   took effect before `g_a` come after `a`.
//! - It is *Δ-atomic* if it is atomic once all reads begin Δ earlier: conflicts only vanish as Δ grows.

use ordeal_core::Operation;

/// What real time says of a write and its reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Zone {
    /// When the write began.
    pub(super) s: u64,
    /// By when it had taken effect.
    pub(super) f: u64,
    /// When the latest of its reads began; `None` if there are none.
    pub(super) g: Option<u64>,
}

impl Zone {
    /// When its value was last seen, were all reads to begin `sooner`.
    fn last_seen(&self, sooner: u64) -> u64 {
        self.g.map_or(self.s, |g| g.saturating_sub(sooner).max(self.s))
    }

    /// Whether it counts at all: an open write that nobody read need not have happened.
    pub(super) fn matters(&self) -> bool {
        self.g.is_some() || self.f != Operation::OPEN
    }
}

/// Zones with their numbers, in order of `f`: what [`conflict`] wants.
pub(super) fn by_effect(zones: impl Iterator<Item = Zone>) -> Vec<(Zone, u32)> {
    let mut sorted: Vec<(Zone, u32)> = zones.zip(0..).filter(|(zone, _)| zone.matters()).collect();
    sorted.sort_unstable_by_key(|(zone, number)| (zone.f, zone.s, *number));
    sorted
}

/// The first two clusters found in conflict if all reads began `sooner`. The zones come in order of `f`.
///
/// Of all before it, the one with the greatest `g` stands for all: if another one is in conflict with `b`,
/// then it and the one with the greatest `g` are forward zones that overlap, which was found before.
pub(super) fn conflict(sorted: &[(Zone, u32)], sooner: u64) -> Option<(u32, u32)> {
    let mut latest: Option<(Zone, u32, u64)> = None;
    for &(zone, number) in sorted {
        let g = zone.last_seen(sooner);
        match latest {
            Some((other, rival, last)) if zone.f < last && other.f < g => return Some((rival, number)),
            Some((_, _, last)) if last >= g => {}
            _ => latest = Some((zone, number, g)),
        }
    }
    None
}

/// The smallest Δ, not below `at_least`, for which the register is Δ-atomic.
pub(super) fn delta(sorted: &[(Zone, u32)], at_least: u64) -> u64 {
    if conflict(sorted, at_least).is_none() {
        return at_least;
    }
    let last = sorted.iter().filter_map(|(zone, _)| zone.g).max().unwrap_or(0);
    let (mut low, mut high) = (at_least, last.max(at_least));
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        match conflict(sorted, middle) {
            Some(_) => low = middle,
            None => high = middle,
        }
    }
    high
}

/// The smallest `k` for which a register is k-atomic, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Atomicity {
    /// It is at least this for certain.
    pub(super) low: u64,
    /// It is at most this for certain.
    pub(super) high: u64,
}

/// Bounds of `k`, where one read is known to be at least so many versions stale.
///
/// 1 is decided by [`conflict`] and 2 by [`two_atomic`]; above, the upper bound is the better of two orders
/// of the writes: that of taking effect, and that of beginning.
pub(super) fn atomicity(sorted: &[(Zone, u32)], versions: u64) -> Atomicity {
    if conflict(sorted, 0).is_none() {
        return Atomicity { low: 1, high: 1 };
    }
    if versions < 2 && two_atomic(sorted) {
        return Atomicity { low: 2, high: 2 };
    }
    let high = by_order_of_effect(sorted).min(by_order_of_beginning(sorted)).saturating_add(1);
    Atomicity { low: (versions + 1).max(3), high }
}

/// How many versions stale the stalest read is if writes take effect in the order of `f`.
fn by_order_of_effect(sorted: &[(Zone, u32)]) -> u64 {
    let stale = |(at, (zone, _)): (usize, &(Zone, u32))| {
        let before = zone.g.map_or(0, |g| sorted.partition_point(|(other, _)| other.f < g));
        before.saturating_sub(at + 1) as u64
    };
    sorted.iter().enumerate().map(stale).max().unwrap_or(0)
}

/// How many versions stale the stalest read is if writes take effect in the order of `s`.
fn by_order_of_beginning(sorted: &[(Zone, u32)]) -> u64 {
    let mut order: Vec<u32> = (0..sorted.len() as u32).collect();
    order.sort_by_key(|&i| sorted[i as usize].0.s);
    let mut place = vec![0_u32; sorted.len()];
    order.iter().zip(0..).for_each(|(&i, at)| place[i as usize] = at);
    // The last place of any write that has taken effect by then.
    let mut last = place.clone();
    for i in 1..last.len() {
        last[i] = last[i].max(last[i - 1]);
    }
    let stale = |(at, (zone, _)): (usize, &(Zone, u32))| {
        let before = zone.g.map_or(0, |g| sorted.partition_point(|(other, _)| other.f < g));
        let slot = before.checked_sub(1).map_or(0, |before| last[before]);
        u64::from(slot.saturating_sub(place[at]))
    };
    sorted.iter().enumerate().map(stale).max().unwrap_or(0)
}

/// Whether the register is 2-atomic (Golab, Hurwitz & Li 2013: limited backtracking).
///
/// An order of the writes is built from its end. The last of those left must not certainly precede another,
/// and of the others at most one may have been seen after it took effect: that one must come right before
/// it, and so on, until nothing is forced. What is placed then puts no demand on what is left, and leaving
/// out whole clusters keeps a register 2-atomic; so this first end that works is as good as any. Only the
/// write it starts from is a choice, among those that run when the last one begins; all are tried side by
/// side, to twice the depth each time, so that dead ends cost no more than what is placed:
/// O(n log n + c·n) with `c` writes at one time.
pub(super) fn two_atomic(sorted: &[(Zone, u32)]) -> bool {
    let mut left = Left::new(sorted);
    while let Some(last) = left.by_start.first() {
        let last_start = left.zone(last).s;
        let running = left.by_effect.iter().take_while(|&w| left.zone(w).f >= last_start);
        let choices: Vec<u32> = running.collect();
        if !left.place_one_of(choices) {
            return false;
        }
    }
    true
}

/// How an attempt to place writes at the end ended.
enum End {
    Placed,
    Dead,
    TooDeep,
}

/// The writes that are not placed yet, the greatest first in each of three orders.
struct Left<'z> {
    zones: &'z [(Zone, u32)],
    by_start: Ring,
    by_effect: Ring,
    by_sight: Ring,
}

impl<'z> Left<'z> {
    fn new(zones: &'z [(Zone, u32)]) -> Self {
        let all = 0..zones.len() as u32;
        let ring = |key: &dyn Fn(&Zone) -> Option<u64>| {
            let mut order: Vec<u32> = all.clone().filter(|&i| key(&zones[i as usize].0).is_some()).collect();
            order.sort_by_key(|&i| std::cmp::Reverse(key(&zones[i as usize].0)));
            Ring::new(zones.len(), &order)
        };
        Left {
            zones,
            by_start: ring(&|z| Some(z.s)),
            by_effect: ring(&|z| Some(z.f)),
            by_sight: ring(&|z| z.g),
        }
    }

    fn zone(&self, write: u32) -> &'z Zone {
        &self.zones[write as usize].0
    }

    /// Places one of these at the end, with everything that is then forced.
    fn place_one_of(&mut self, mut choices: Vec<u32>) -> bool {
        let mut depth = 8;
        while !choices.is_empty() {
            let mut open = Vec::new();
            for choice in choices {
                match self.place(choice, depth) {
                    End::Placed => return true,
                    End::TooDeep => open.push(choice),
                    End::Dead => {}
                }
            }
            choices = open;
            depth *= 2;
        }
        false
    }

    /// Places this write at the end, and before it what is then forced, at most so many. Unless it works
    /// out, everything is as before.
    fn place(&mut self, write: u32, depth: usize) -> End {
        let mut placed = Vec::new();
        let mut next = write;
        let end = loop {
            let effect = self.zone(next).f;
            if self.by_start.first().is_some_and(|last| self.zone(last).s > effect) {
                break End::Dead;
            }
            if placed.len() == depth {
                break End::TooDeep;
            }
            self.remove(next);
            placed.push(next);
            let mut forced = self.by_sight.iter().take_while(|&w| self.zone(w).g > Some(effect));
            match (forced.next(), forced.next()) {
                (None, _) => return End::Placed,
                (Some(one), None) => next = one,
                (Some(_), Some(_)) => break End::Dead,
            }
        };
        placed.into_iter().rev().for_each(|w| self.restore(w));
        end
    }

    fn remove(&mut self, write: u32) {
        self.by_start.remove(write);
        self.by_effect.remove(write);
        self.by_sight.remove(write);
    }

    fn restore(&mut self, write: u32) {
        self.by_sight.restore(write);
        self.by_effect.restore(write);
        self.by_start.restore(write);
    }
}

/// A list of numbers from which any can be taken out, and put back in reverse order, at once.
struct Ring {
    next: Vec<u32>,
    before: Vec<u32>,
}

impl Ring {
    /// The numbers in this order, of those below `bound`. The others are in lists of their own.
    fn new(bound: usize, order: &[u32]) -> Self {
        let head = bound as u32;
        let mut ring = Ring { next: (0..=head).collect(), before: (0..=head).collect() };
        let mut last = head;
        for &i in order {
            ring.next[last as usize] = i;
            ring.before[i as usize] = last;
            last = i;
        }
        ring.next[last as usize] = head;
        ring.before[head as usize] = last;
        ring
    }

    fn first(&self) -> Option<u32> {
        self.iter().next()
    }

    fn iter(&self) -> impl Iterator<Item = u32> {
        let head = self.next.len() - 1;
        let step = move |at: u32| Some(self.next[at as usize]).filter(|&next| next as usize != head);
        std::iter::successors(step(head as u32), move |&at| step(at))
    }

    fn remove(&mut self, i: u32) {
        let (before, next) = (self.before[i as usize], self.next[i as usize]);
        self.next[before as usize] = next;
        self.before[next as usize] = before;
    }

    fn restore(&mut self, i: u32) {
        let (before, next) = (self.before[i as usize], self.next[i as usize]);
        self.next[before as usize] = i;
        self.before[next as usize] = i;
    }
}
