//! What is said of all registers together.

use ordeal_core::{Anomaly, Finding, Key, Verdict};
use serde_json::{Value, json};

use super::reads::Stale;
use super::{Access, Bounds, Register};
use crate::models::{Atom, RegisterNames};
use crate::recall::{Seen, Witnesses, distinct, with_counts, with_quantiles};
use crate::words::{count, listed, ms, of_key};

/// How many violations get an anomaly; the rest are counted.
const REPORTED: usize = 50;
/// How many of the stalest reads are listed.
const STALEST: usize = 8;

/// Why no staleness explains a read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Unexplained {
    Nothing,
    Failed,
    Future,
}

impl Unexplained {
    fn name(self) -> &'static str {
        match self {
            Unexplained::Nothing => "unwritten-value",
            Unexplained::Failed => "resurrected-value",
            Unexplained::Future => "read-from-the-future",
        }
    }

    fn says(self) -> &'static str {
        match self {
            Unexplained::Nothing => "which nobody wrote",
            Unexplained::Failed => "though its write was reported as certainly failed",
            Unexplained::Future => "before anybody had begun to write it",
        }
    }
}

/// The finding in the making.
pub(super) struct Report<'c> {
    checker: String,
    pub(super) bounds: Bounds,
    who: Witnesses,
    names: &'c RegisterNames,
    pub(super) writes: usize,
    pub(super) reads: usize,
    versions_low: Vec<u64>,
    versions_high: Vec<u64>,
    ns_low: Vec<u64>,
    ns_high: Vec<u64>,
    stalest: Vec<(u64, u64, Value)>,
    /// Bounds of the smallest `k`.
    k: (u64, u64),
    delta_ns: Option<u64>,
    undecided: Vec<String>,
    found: usize,
    anomalies: Vec<Anomaly>,
}

impl<'c> Report<'c> {
    pub(super) fn new(checker: String, bounds: Bounds, who: Witnesses, names: &'c RegisterNames) -> Self {
        Report {
            checker,
            bounds,
            who,
            names,
            writes: 0,
            reads: 0,
            versions_low: Vec::new(),
            versions_high: Vec::new(),
            ns_low: Vec::new(),
            ns_high: Vec::new(),
            stalest: Vec::new(),
            k: (0, 0),
            delta_ns: None,
            undecided: Vec::new(),
            found: 0,
            anomalies: Vec::new(),
        }
    }

    /// How many violations were found so far.
    pub(super) fn anomalies(&self) -> usize {
        self.found
    }

    pub(super) fn undecided(&mut self, key: Option<&Key>, why: &str) {
        self.undecided.push(of_key(key) + why);
    }

    /// Whether the history does not say when things happened: then a bound in time cannot be judged.
    pub(super) fn without_times(&mut self, key: Option<&Key>, register: &Register) -> bool {
        let without = !register.is_stamped();
        if without && self.bounds.max_ns.is_some() && !register.reads.is_empty() {
            self.undecided(key, "all operations have the same time stamp");
        }
        without
    }

    /// The smallest `k` for one register lies within these bounds.
    pub(super) fn atomicity(&mut self, key: Option<&Key>, low: u64, high: u64) {
        self.k = (self.k.0.max(low), self.k.1.max(high));
        let Some(allowed) = self.bounds.max_versions.map(|versions| versions.saturating_add(1)) else {
            return;
        };
        if low <= allowed && allowed < high {
            self.undecided(
                key,
                &format!("{low}-atomic at best, {high}-atomic at worst, where {allowed} is allowed"),
            );
        }
    }

    /// The smallest Δ that is not below one that is given.
    pub(super) fn delta(&mut self, not_below: impl FnOnce(u64) -> u64) {
        self.delta_ns = Some(not_below(self.delta_ns.unwrap_or(0)));
    }

    /// How stale a read is.
    pub(super) fn measured(&mut self, key: Option<&Key>, op: &Seen, value: Option<Atom>, stale: &Stale) {
        self.versions_low.push(stale.versions_low);
        self.versions_high.push(stale.versions_high);
        self.ns_low.push(stale.ns_low);
        self.ns_high.extend(stale.ns_high);
        let (versions, ns) = (stale.versions_low, stale.ns_low);
        let full = self.stalest.len() == STALEST;
        if versions == 0 || full && self.stalest.last().is_some_and(|last| (last.0, last.1) >= (versions, ns))
        {
            return;
        }
        self.stalest.truncate(STALEST - 1);
        let read = json!({
            "key": key,
            "value": value.map(|v| v.to_string()),
            "invoked": op.index(),
            "versions_at_least": versions,
            "ms_at_least": ms(ns),
        });
        let place = self.stalest.partition_point(|s| (s.0, s.1) >= (versions, ns));
        self.stalest.insert(place, (versions, ns, read));
    }

    fn note(&mut self, key: Option<&Key>, name: &str, anomaly: impl FnOnce(&Self) -> (String, Vec<Seen>)) {
        self.found += 1;
        if self.found > REPORTED {
            return;
        }
        let (message, ops) = anomaly(self);
        self.anomalies.push(Anomaly {
            name: name.to_owned(),
            message: of_key(key) + &message,
            key: key.cloned(),
            events: distinct(ops.iter().flat_map(Seen::cite)),
            details: Value::Null,
        });
    }

    /// `read 3 (process 4 on n2, 1203.112 to 1210.400 ms)`.
    fn describe(&self, op: &Seen, value: Option<Atom>) -> String {
        let value = value.map_or_else(|| "the initial value".to_owned(), |value| value.to_string());
        format!("`{} {value}` ({})", self.names.read, self.who.who_when(op))
    }

    fn replaced(&self, ops: &[Seen]) -> String {
        ops.last().map_or_else(String::new, |op| format!(", by {}", self.who.who_when(op)))
    }

    pub(super) fn unexplained(
        &mut self,
        key: Option<&Key>,
        why: Unexplained,
        read: &Access,
        write: Option<&Access>,
    ) {
        self.note(key, why.name(), |this| {
            let by = write.map_or_else(String::new, |write| format!(" ({})", this.who.who_when(&write.op)));
            let message = format!("{} {}{by}.", this.describe(&read.op, Some(read.value)), why.says());
            let ops = write.map(|write| write.op).into_iter().chain([read.op]).collect();
            (message, ops)
        });
    }

    pub(super) fn two_values(&mut self, key: Option<&Key>, first: &Access, then: &Access) {
        self.note(key, "version-repeated", |this| {
            let said = |access: &Access| format!("{} ({})", access.value, this.who.who_when(&access.op));
            let version = first.version.unwrap_or(0);
            let message = format!("version {version} has two values: {}, {}.", said(first), said(then));
            (message, vec![first.op, then.op])
        });
    }

    pub(super) fn too_many_versions(
        &mut self,
        key: Option<&Key>,
        op: &Seen,
        value: Option<Atom>,
        versions: u64,
        evidence: impl FnOnce() -> Vec<Seen>,
    ) {
        self.note(key, "too-stale", |this| {
            let mut ops = evidence();
            let message = format!(
                "{} is at least {} stale; the value had been replaced before it began{}.",
                this.describe(op, value),
                count(versions as usize, "version"),
                this.replaced(&ops),
            );
            ops.push(*op);
            (message, ops)
        });
    }

    pub(super) fn too_long(
        &mut self,
        key: Option<&Key>,
        op: &Seen,
        value: Option<Atom>,
        ns: u64,
        evidence: impl FnOnce() -> Vec<Seen>,
    ) {
        self.note(key, "stale-too-long", |this| {
            let mut ops = evidence();
            let message = format!(
                "{} is at least {:.3} ms stale: so long before it began the value had been replaced{}.",
                this.describe(op, value),
                ms(ns),
                this.replaced(&ops),
            );
            ops.push(*op);
            (message, ops)
        });
    }

    /// No one read is too stale for certain, but in every order one of them is.
    pub(super) fn not_atomic(&mut self, key: Option<&Key>, low: u64, ops: &[Seen]) {
        self.note(key, "not-k-atomic", |this| {
            let conflict = this.spell(ops);
            let message = format!(
                "in every order some read is {} stale; of the values of these operations none can have come first: {conflict}.",
                count(low.saturating_sub(1) as usize, "version"),
            );
            (message, ops.to_vec())
        });
    }

    /// No one read is stale for too long for certain, but one of them must be.
    pub(super) fn not_in_time(&mut self, key: Option<&Key>, ops: &[Seen]) {
        self.note(key, "not-in-time", |this| {
            let message = format!(
                "in every order some read is staler than allowed; of the values of these operations none can have come first: {}.",
                this.spell(ops),
            );
            (message, ops.to_vec())
        });
    }

    fn spell(&self, ops: &[Seen]) -> String {
        let ops: Vec<String> = ops.iter().map(|op| self.who.who_when(op)).collect();
        listed(&ops, 6, "; ")
    }

    pub(super) fn conclude(self) -> Finding {
        let stale = self.versions_low.iter().filter(|versions| **versions > 0).count();
        let (low, high) = self.k;
        let k = if low == high { low.to_string() } else { format!("{low} to {high}") };
        let judged = format!(
            "{}, {}, of which {stale} stale for certain; {k}-atomic",
            count(self.writes, "write"),
            count(self.reads, "read")
        );
        let (verdict, summary) = if self.found > 0 {
            (Verdict::Invalid, format!("{} ({judged})", count(self.found, "violation")))
        } else if !self.undecided.is_empty() {
            (Verdict::Unknown, listed(&self.undecided, 5, "; "))
        } else if self.reads == 0 || self.writes == 0 {
            let what = if self.reads == 0 { "read" } else { "write" };
            (Verdict::Vacuous, format!("no {what} succeeded"))
        } else {
            (Verdict::Valid, judged)
        };
        let stalest: Value = self.stalest.into_iter().map(|s| s.2).collect();
        let mut finding = Finding::new(self.checker, verdict, summary)
            .with("writes", self.writes)
            .with("reads", self.reads)
            .with("reads_stale_for_certain", stale)
            .with("registers_undecided", self.undecided.len())
            .with("k_atomic_at_least", low)
            .with("k_atomic_at_most", high)
            .with("delta_atomic_ms", self.delta_ns.map(ms))
            .with("stalest_reads", stalest);
        finding = with_counts(finding, "versions_stale_at_least", self.versions_low);
        finding = with_counts(finding, "versions_stale_at_most", self.versions_high);
        finding = with_quantiles(finding, "stale_at_least", self.ns_low);
        finding = with_quantiles(finding, "stale_at_most", self.ns_high);
        finding.anomalies = self.anomalies;
        finding
    }
}
