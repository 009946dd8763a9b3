//! One register whose answers carry versions: the versions say in which order the writes took effect.
//!
//! The newest version that any operation had answered with before a read began was there by then; and no
//! version that only later operations answered with is known to have been. So the known versions between the
//! one read and that newest one are exactly those that the read certainly missed, and with this order of the
//! writes the read could be no less stale.

use std::collections::BTreeMap;

use ordeal_core::Key;

use super::reads::Stale;
use super::report::Report;
use super::{Access, Register};

/// Judges one register.
pub(super) fn judge(key: Option<&Key>, register: &Register, report: &mut Report<'_>) {
    report.writes += register.writes.iter().filter(|w| !w.failed).count();
    report.reads += register.reads.len();
    report.without_times(key, register);
    let answered = |access: &&Access| access.version.is_some() && !access.failed;
    let mut seen: Vec<&Access> = register.writes.iter().chain(&register.reads).filter(answered).collect();
    let mut values: BTreeMap<u64, &Access> = BTreeMap::new();
    for access in &seen {
        let first = *values.entry(access.version.unwrap_or(0)).or_insert(access);
        if first.value != access.value {
            report.two_values(key, first, access);
        }
    }
    let versions: Vec<u64> = values.into_keys().collect();
    let rank = |version: u64| versions.partition_point(|v| *v < version) as u64;
    seen.sort_by_key(|access| (access.op.ret, access.op.index()));
    // For each version the first operation to end that shows it or a newer one.
    let mut first_end: BTreeMap<u64, &Access> = BTreeMap::new();
    let mut newest_by_end: Vec<(u64, u64)> = Vec::with_capacity(seen.len());
    for access in &seen {
        let version = access.version.unwrap_or(0);
        let newest = newest_by_end.last().map_or(0, |last| last.1);
        if version > newest || newest_by_end.is_empty() {
            first_end.insert(version, access);
        }
        newest_by_end.push((access.op.ret, newest.max(version)));
    }
    seen.sort_by_key(|access| (access.op.call, access.op.index()));
    let mut newest = 0;
    let newest_by_start: Vec<(u64, u64)> = seen
        .iter()
        .map(|access| {
            newest = newest.max(access.version.unwrap_or(0));
            (access.op.call, newest)
        })
        .collect();
    let mut stalest = 0;
    for read in &register.reads {
        let Some(version) = read.version else {
            continue;
        };
        let before = |newest: &[(u64, u64)], at: usize| at.checked_sub(1).map_or(0, |i| newest[i].1);
        let low = before(&newest_by_end, newest_by_end.partition_point(|(ret, _)| *ret < read.op.call));
        let high =
            before(&newest_by_start, newest_by_start.partition_point(|(call, _)| *call <= read.op.ret));
        let replaced = first_end.range(version.saturating_add(1)..).next().map(|(_, access)| access.op);
        let replaced = replaced.filter(|op| op.precedes(&read.op) && low > version);
        let stale = Stale {
            versions_low: rank(low).saturating_sub(rank(version)),
            versions_high: rank(high).saturating_sub(rank(version)),
            ns_low: replaced.map_or(0, |op| read.op.began_ns.saturating_sub(op.ended_ns())),
            ns_high: None,
            replaced_by: None,
        };
        stalest = stalest.max(stale.versions_low);
        let evidence = || replaced.into_iter().collect();
        if report.bounds.max_versions.is_some_and(|bound| stale.versions_low > bound) {
            report.too_many_versions(key, &read.op, Some(read.value), stale.versions_low, evidence);
        }
        if report.bounds.max_ns.is_some_and(|bound| stale.ns_low > bound) {
            report.too_long(key, &read.op, Some(read.value), stale.ns_low, evidence);
        }
        report.measured(key, &read.op, Some(read.value), &stale);
    }
    report.atomicity(key, stalest + 1, stalest + 1);
}
