//! One register without versions: which write each read is of, and how stale it is.

use std::collections::hash_map::Entry;

use ordeal_core::Key;

use super::reads::{Cluster, Stale, measure};
use super::report::{Report, Unexplained};
use super::zones::{Atomicity, Zone, atomicity, by_effect, conflict, delta};
use super::{Access, Register};
use crate::models::Atom;
use crate::recall::{AtomMap, Seen};

/// A register whose reads all have their write.
struct Resolved<'r> {
    register: &'r Register,
    /// Each with the number of its write, except the initial value.
    clusters: Vec<Cluster>,
    writes: Vec<Option<&'r Access>>,
    reads: Vec<(u32, Seen)>,
}

/// Judges one register that held `initial` before it was written.
pub(super) fn judge(key: Option<&Key>, register: &Register, initial: Atom, report: &mut Report<'_>) {
    report.writes += register.writes.iter().filter(|w| !w.failed).count();
    report.reads += register.reads.len();
    let resolved = match Resolved::of(key, register, initial, report) {
        Ok(resolved) => resolved,
        Err(why) => return report.undecided(key, &why),
    };
    let measured = measure(&resolved.clusters, &resolved.reads);
    resolved.report_versions(key, &measured, report);
    resolved.report_time(key, &measured, report);
    for ((write, op), stale) in resolved.reads.iter().zip(&measured) {
        report.measured(key, op, resolved.value(*write), stale);
    }
}

impl<'r> Resolved<'r> {
    /// Finds the write of every read. A read that can have none is an anomaly, and left out.
    fn of(
        key: Option<&Key>,
        register: &'r Register,
        initial: Atom,
        report: &mut Report<'_>,
    ) -> Result<Self, String> {
        let never = Zone { s: 0, f: 0, g: None };
        let mut clusters = vec![Cluster { zone: never, began_ns: 0, effect_ns: 0 }];
        let mut writes: Vec<Option<&Access>> = vec![None];
        let mut numbers: AtomMap<u32> = AtomMap::default();
        numbers.insert(initial, 0);
        for write in register.writes.iter().filter(|w| !w.failed) {
            match numbers.entry(write.value) {
                Entry::Occupied(_) => return Err(format!("{} was written twice", write.value)),
                Entry::Vacant(place) => place.insert(clusters.len() as u32),
            };
            let (s, f) = (write.op.call.saturating_add(1), write.op.ret.saturating_add(1));
            clusters.push(Cluster {
                zone: Zone { s, f, g: None },
                began_ns: write.op.began_ns,
                effect_ns: write.op.ended_ns(),
            });
            writes.push(Some(write));
        }
        let failed = register.writes.iter().filter(|w| w.failed).rev();
        let failed: AtomMap<&Access> = failed.map(|w| (w.value, w)).collect();
        let mut reads = Vec::with_capacity(register.reads.len());
        for read in &register.reads {
            let Some(&write) = numbers.get(&read.value) else {
                match failed.get(&read.value) {
                    Some(failed) => report.unexplained(key, Unexplained::Failed, read, Some(failed)),
                    None => report.unexplained(key, Unexplained::Nothing, read, None),
                }
                continue;
            };
            match writes[write as usize] {
                Some(later) if read.op.precedes(&later.op) => {
                    report.unexplained(key, Unexplained::Future, read, Some(later));
                }
                _ => {
                    clusters[write as usize].was_read(&read.op);
                    reads.push((write, read.op));
                }
            }
        }
        Ok(Resolved { register, clusters, writes, reads })
    }

    fn value(&self, write: u32) -> Option<Atom> {
        self.writes.get(write as usize).copied().flatten().map(|write| write.value)
    }

    /// The writes of two clusters in conflict, and the latest read of each, which show the conflict.
    fn conflicting(&self, pair: (u32, u32)) -> Vec<Seen> {
        let latest = |write: u32| {
            let of = self.reads.iter().filter(move |(of, _)| *of == write);
            of.map(|(_, op)| *op).max_by_key(|op| (op.call, op.index()))
        };
        let write = |number: u32| self.writes[number as usize].map(|write| write.op);
        // Also the read that ended first: by then the value was there.
        let earliest = |write: u32| {
            let of = self.reads.iter().filter(move |(of, _)| *of == write);
            of.map(|(_, op)| *op).min_by_key(|op| (op.ret, op.index()))
        };
        let (a, b) = pair;
        let ops = [write(a), write(b), earliest(a), earliest(b), latest(a), latest(b)];
        ops.into_iter().flatten().collect()
    }

    fn report_versions(&self, key: Option<&Key>, measured: &[Stale], report: &mut Report<'_>) {
        let sorted = by_effect(self.clusters.iter().map(|cluster| cluster.zone));
        let most = measured.iter().map(|stale| stale.versions_low).max().unwrap_or(0);
        let Atomicity { low, high } = atomicity(&sorted, most);
        report.atomicity(key, low, high);
        let Some(bound) = report.bounds.max_versions else {
            return;
        };
        let too_stale = self.reads.iter().zip(measured).filter(|(_, stale)| stale.versions_low > bound);
        let found = report.anomalies();
        for ((write, op), stale) in too_stale {
            let evidence = || self.evidence(*write, stale);
            report.too_many_versions(key, op, self.value(*write), stale.versions_low, evidence);
        }
        if found == report.anomalies() && low > bound.saturating_add(1) {
            let pair = conflict(&sorted, 0).unwrap_or_default();
            report.not_atomic(key, low, &self.conflicting(pair));
        }
    }

    fn report_time(&self, key: Option<&Key>, measured: &[Stale], report: &mut Report<'_>) {
        if report.without_times(key, self.register) {
            return;
        }
        let after = |ns: u64| ns.saturating_add(1);
        let in_time = |c: &Cluster| Zone { s: after(c.began_ns), f: after(c.effect_ns), g: None };
        let mut zones: Vec<Zone> = self.clusters.iter().map(in_time).collect();
        zones[0] = Zone { s: 0, f: 0, g: None };
        for (write, op) in &self.reads {
            let g = &mut zones[*write as usize].g;
            *g = (*g).max(Some(after(op.began_ns)));
        }
        let sorted = by_effect(zones.into_iter());
        report.delta(|at_least| delta(&sorted, at_least));
        let Some(bound) = report.bounds.max_ns else {
            return;
        };
        let too_stale = self.reads.iter().zip(measured).filter(|(_, stale)| stale.ns_low > bound);
        let found = report.anomalies();
        for ((write, op), stale) in too_stale {
            let evidence = || self.evidence(*write, stale);
            report.too_long(key, op, self.value(*write), stale.ns_low, evidence);
        }
        if let Some(pair) = conflict(&sorted, bound).filter(|_| found == report.anomalies()) {
            report.not_in_time(key, &self.conflicting(pair));
        }
    }

    /// The write of a read, and the one that had replaced it.
    fn evidence(&self, write: u32, stale: &Stale) -> Vec<Seen> {
        let numbers = [Some(write), stale.replaced_by];
        let of = numbers.into_iter().flatten().filter_map(|number| self.writes[number as usize]);
        of.map(|write| write.op).collect()
    }
}

impl Cluster {
    pub(super) fn was_read(&mut self, read: &Seen) {
        let (call, ret) = (read.call.saturating_add(1), read.ret.saturating_add(1));
        self.zone.g = self.zone.g.max(Some(call));
        if ret < self.zone.f {
            self.zone.f = ret;
            self.effect_ns = read.ended_ns();
        }
    }
}
