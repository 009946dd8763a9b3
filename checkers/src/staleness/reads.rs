//! How stale each read of a register with unique values is, at least and at most.
//!
//! In every order that keeps to real time, at least those writes lie between a write `w` and a read of it
//! that began after `w` had taken effect and had themselves taken effect before the read began; at most those
//! that may have taken effect after `w` began and began before the read ended. (Golab, Rahman, AuYoung,
//! Keeton & Gupta 2014 measure the like per read and per cluster.) Counting the former is a question about
//! points in the plane, answered for all reads in one sweep over a Fenwick tree.

use super::zones::Zone;
use crate::recall::Seen;

/// How stale a read is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stale {
    /// So many newer values there were for certain.
    pub(super) versions_low: u64,
    /// So many there were at most.
    pub(super) versions_high: u64,
    /// So long, in nanoseconds, its value had been replaced for certain.
    pub(super) ns_low: u64,
    /// So long at most, where that is known.
    pub(super) ns_high: Option<u64>,
    /// The write that had replaced it first, for certain.
    pub(super) replaced_by: Option<u32>,
}

/// A write: its zone, and when it began and by when it had taken effect, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cluster {
    pub(super) zone: Zone,
    pub(super) began_ns: u64,
    pub(super) effect_ns: u64,
}

/// Measures reads, each given with the number of its write.
pub(super) fn measure(clusters: &[Cluster], reads: &[(u32, Seen)]) -> Vec<Stale> {
    let mut by_start: Vec<u32> = (0..clusters.len() as u32).collect();
    let mut by_effect = by_start.clone();
    let zone = |i: u32| &clusters[i as usize].zone;
    by_start.sort_unstable_by_key(|&i| (zone(i).s, i));
    by_effect.sort_unstable_by_key(|&i| (zone(i).f, i));
    let started_by = |at: u64| by_start.partition_point(|&i| zone(i).s <= at);
    let effective_before = |at: u64| by_effect.partition_point(|&i| zone(i).f < at);
    // Of all writes from here on, in order of beginning, the first to take effect.
    let mut first = by_start.clone();
    for at in (1..first.len()).rev() {
        if zone(first[at]).f < zone(first[at - 1]).f {
            first[at - 1] = first[at];
        }
    }
    let mut counted: Vec<u32> = Vec::new();
    let mut measured = Vec::with_capacity(reads.len());
    for (&(write, read), number) in reads.iter().zip(0..) {
        let cluster = &clusters[write as usize];
        let (call, ret) = (read.call.saturating_add(1), read.ret.saturating_add(1));
        let replacing = first.get(started_by(cluster.zone.f)).copied().filter(|&i| zone(i).f < call);
        let gone = effective_before(cluster.zone.s);
        let rivals = started_by(cluster.zone.s).saturating_sub(gone + 1);
        // Where another write overlaps its beginning, its value may have been replaced at once.
        let replaced_ns = match rivals {
            0 => by_start.get(started_by(cluster.zone.s)).map(|&i| clusters[i as usize].began_ns),
            _ => Some(cluster.began_ns),
        };
        measured.push(Stale {
            versions_low: 0,
            versions_high: started_by(ret).saturating_sub(gone + 1) as u64,
            ns_low: replacing.map_or(0, |i| read.began_ns.saturating_sub(clusters[i as usize].effect_ns)),
            ns_high: Some(replaced_ns.map_or(0, |ns| read.ended_ns().saturating_sub(ns))),
            replaced_by: replacing,
        });
        if replacing.is_some() {
            counted.push(number);
        }
    }
    counted.sort_unstable_by_key(|&number| reads[number as usize].1.call);
    let mut rank = vec![0_usize; clusters.len()];
    by_start.iter().enumerate().for_each(|(at, &i)| rank[i as usize] = at);
    let mut tree = Fenwick(vec![0; clusters.len()]);
    let mut done = 0;
    for number in counted {
        let (write, read) = reads[number as usize];
        while let Some(&i) = by_effect.get(done).filter(|&&i| zone(i).f < read.call.saturating_add(1)) {
            tree.add(rank[i as usize]);
            done += 1;
        }
        let not_after = tree.below(started_by(clusters[write as usize].zone.f));
        measured[number as usize].versions_low = done as u64 - not_after;
    }
    measured
}

/// Counts of points, for sums over a beginning (Fenwick 1994).
struct Fenwick(Vec<u32>);

impl Fenwick {
    fn add(&mut self, mut at: usize) {
        while let Some(count) = self.0.get_mut(at) {
            *count += 1;
            at |= at + 1;
        }
    }

    /// How many points are below `end`.
    fn below(&self, mut end: usize) -> u64 {
        let mut sum = 0;
        while end > 0 {
            sum += u64::from(self.0[end - 1]);
            end &= end - 1;
        }
        sum
    }
}
