//! Read committed, read atomic and causal consistency of transactions on registers.
//!
//! Definitions (Biswas & Enea, OOPSLA 2019): transactions commit in some total order that extends session
//! order and reads-from. Let a transaction T read a key from A, and let B be another that writes the key.
//! Then B must have committed before A if
//!
//! - *read committed*: T had read something from B before (in program order);
//! - *read atomic*: T read something from B, or B came before T in its session;
//! - *causal consistency*: a chain of such steps leads from B to T.
//!
//! What must precede what does not depend on the order chosen, so a history is consistent if and only if
//! session order, reads-from and these edges have no cycle. `edges` derives enough of them that the others
//! follow, in the manner of AWDIT (Møldrup & Pavlogiannis, PLDI 2025): about O(n^1.5) steps for read
//! committed and read atomic, O(n·k) for causal consistency with k sessions.
//!
//! Exact if no value that was read was written twice to one key; unknown otherwise, unless a violation
//! shows without it. A transaction of unknown outcome counts if somebody saw what it wrote, comes after
//! what its process had completed before, and before nothing in its session; it can be left out otherwise,
//! for then it forces nothing. An operation on a single register is a transaction of one or two steps, so
//! `causal` is causal memory as well (with a total order of all writes: causal convergence).

mod clocks;
mod edges;
#[cfg(test)]
mod tests;

use ordeal_core::{Anomaly, Checker, Finding, History, Intake, Operation, Verdict, check_operations};

use super::graph::{EVERY, Edge, Graph, Kind};
use super::order::by_session;
use super::steps::Txn;
use super::versions::{NONE, Raw, Versions, anomaly};
use super::{cycles, initial_value};
use crate::models::Atom;
use crate::words::count;
use crate::{About, Budget, Options};
pub(super) use edges::Derived;

/// How lists show it.
pub(crate) const READ_COMMITTED: About =
    About { name: "read-committed", about: "transactions read what was committed, and not backwards" };
/// How lists show it.
pub(crate) const READ_ATOMIC: About =
    About { name: "read-atomic", about: "transactions see all or nothing of one another" };
/// How lists show it.
pub(crate) const CAUSAL: About =
    About { name: "causal", about: "transactions, or operations on registers, respect what they depend on" };

/// How many cycles are told.
const TOLD: usize = 8;

/// A promise about transactions that is weaker than serializability.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Isolation {
    /// What is read was committed, and reads of one transaction do not go backwards.
    ReadCommitted,
    /// All or nothing of a transaction is seen.
    ReadAtomic,
    /// Whoever sees a transaction sees what that depended on.
    Causal,
}

impl Isolation {
    fn about(self) -> About {
        match self {
            Isolation::ReadCommitted => READ_COMMITTED,
            Isolation::ReadAtomic => READ_ATOMIC,
            Isolation::Causal => CAUSAL,
        }
    }

    /// What a violation of this promise, and of no weaker one, is called.
    fn violation(self) -> &'static str {
        match self {
            Isolation::ReadCommitted => "non-monotonic-read",
            Isolation::ReadAtomic => "fractured-read",
            Isolation::Causal => "causality-violation",
        }
    }
}

/// The judge.
#[derive(Clone, Debug)]
pub struct WeakIsolation {
    isolation: Isolation,
    initial: Atom,
    budget: Budget,
}

impl WeakIsolation {
    /// A judge of this promise.
    pub fn new(isolation: Isolation) -> Self {
        WeakIsolation { isolation, initial: Atom::NULL, budget: Budget::default() }
    }

    /// Sets what a person may say.
    #[must_use]
    pub fn with_options(mut self, options: &Options) -> Self {
        self.initial = initial_value(options.initial.as_ref());
        self.budget = options.budget;
        self
    }
}

impl Checker for WeakIsolation {
    fn name(&self) -> String {
        self.isolation.about().name.to_owned()
    }

    fn check(&self, history: &History) -> Finding {
        check_operations(self.name(), Box::new(AtWork { judge: self, raw: Raw::default() }), history)
    }

    fn intake(&self) -> Option<Box<dyn Intake + '_>> {
        Some(Box::new(AtWork { judge: self, raw: Raw::default() }))
    }
}

struct AtWork<'a> {
    judge: &'a WeakIsolation,
    raw: Raw,
}

impl Intake for AtWork<'_> {
    fn take(&mut self, op: &Operation<'_>) {
        self.raw.take(op);
    }

    fn finish(self: Box<Self>) -> Finding {
        let name = self.judge.name();
        if let Some(why) = self.raw.error {
            return Finding::new(name, Verdict::Unknown, why);
        }
        let versions = Versions::of(&self.raw, self.judge.initial, false);
        let case = Case::new(&self.raw, &versions);
        case.conclude(self.judge)
    }
}

/// A history with its sessions.
pub(super) struct Case<'a> {
    pub(super) raw: &'a Raw,
    pub(super) versions: &'a Versions,
    /// The transactions that took effect, by session, in its order.
    pub(super) sessions: Vec<u32>,
    /// The transaction that came before in the same session.
    before: Vec<u32>,
    /// Another one that each depends on, if not empty.
    pub(super) also: Vec<u32>,
}

impl<'a> Case<'a> {
    pub(super) fn new(raw: &'a Raw, versions: &'a Versions) -> Self {
        let sessions = by_session(&raw.txns, |t| versions.took_effect[t]);
        let mut before = vec![NONE; raw.txns.len()];
        let mut last = NONE;
        for &t in &sessions {
            let txn = &raw.txns[t as usize];
            if raw.txns.get(last as usize).is_some_and(|l| (l.process, l.lane) != (txn.process, txn.lane)) {
                last = NONE;
            }
            before[t as usize] = last;
            if !txn.is_open() {
                last = t;
            }
        }
        Case { raw, versions, sessions, before, also: Vec::new() }
    }

    fn conclude(&self, judge: &WeakIsolation) -> Finding {
        let (name, txns) = (judge.name(), &self.raw.txns);
        let finding = |verdict, summary: String| {
            Finding::new(name.clone(), verdict, summary)
                .with("transactions", txns.len())
                .with("transactions_ok", txns.iter().filter(|t| !t.is_open()).count())
                .with("keys", self.raw.keys.len())
                .with("reads", self.raw.reads)
        };
        let what = format!("{} on {}", count(txns.len(), "transaction"), count(self.raw.keys.len(), "key"));
        if self.raw.reads == 0 {
            return finding(Verdict::Vacuous, format!("no read succeeded ({what})"));
        }
        let (mut violations, mut anomalies) = self.versions.direct_anomalies(self.raw);
        if judge.isolation >= Isolation::ReadAtomic {
            let (n, told) = self.versions.unrepeatable_anomalies(self.raw, "fractured-read");
            violations += n;
            anomalies.extend(told);
        }
        match self.cycles(judge) {
            Ok((n, told)) => {
                violations += n;
                anomalies.extend(told);
            }
            Err(why) if violations == 0 => return finding(Verdict::Unknown, why),
            Err(_) => {}
        }
        if violations > 0 {
            let mut names: Vec<&str> = anomalies.iter().map(|a| a.name.as_str()).collect();
            names.dedup();
            let summary = format!("not {name} ({what}): {}", names.join(", "));
            let mut finding = finding(Verdict::Invalid, summary).with("violations", violations);
            finding.anomalies = anomalies;
            return finding;
        }
        match self.versions.why_ambiguous(self.raw) {
            Some(why) => finding(Verdict::Unknown, why),
            None => finding(Verdict::Valid, format!("{name} ({what})")),
        }
    }

    fn cycles(&self, judge: &WeakIsolation) -> Result<(usize, Vec<Anomaly>), String> {
        let name = judge.isolation.violation();
        self.violations(name, |case| match judge.isolation {
            Isolation::ReadCommitted => Ok(edges::read_committed(case)),
            Isolation::ReadAtomic => Ok(edges::read_atomic(case)),
            Isolation::Causal => clocks::causal(case, judge.budget.memory_bytes),
        })
    }

    /// How many violations of causal consistency there are, and words for some.
    pub(super) fn causal_violations(
        &self,
        name: &str,
        memory_bytes: usize,
    ) -> Result<(usize, Vec<Anomaly>), String> {
        self.violations(name, |case| clocks::causal(case, memory_bytes))
    }

    /// How many violations show in what must commit before what, and words for some.
    fn violations(
        &self,
        name: &str,
        derive: impl Fn(&Self) -> Result<Vec<Derived>, String>,
    ) -> Result<(usize, Vec<Anomaly>), String> {
        let circles = self.tell(&self.graph(&[]), "cyclic-dependency", &[]);
        if circles.0 > 0 {
            return Ok(circles);
        }
        let derived = derive(self)?;
        let mut found = self.stale(name, &derived);
        let (n, told) = self.tell(&self.graph(&derived), name, &derived);
        found.0 += n;
        found.1.extend(told);
        Ok(found)
    }

    /// Reads of what was before anything happened, by transactions that depended on a later write: how
    /// many, and words for some.
    pub(super) fn stale(&self, name: &str, derived: &[Derived]) -> (usize, Vec<Anomaly>) {
        let stale: Vec<&Derived> = derived.iter().filter(|d| d.to == NONE).collect();
        let told = stale.iter().take(TOLD).map(|d| self.tell_stale(name, d));
        (stale.len(), told.collect())
    }

    /// Session order, reads-from, and what was derived.
    fn graph(&self, derived: &[Derived]) -> Graph {
        Graph::build(self.raw.txns.len(), |emit| {
            for &t in &self.sessions {
                let before = self.before[t as usize];
                if before != NONE {
                    emit(Edge { from: before, to: t, kind: Kind::Process, label: 0 });
                }
                if let Some(&also) = self.also.get(t as usize)
                    && also != NONE
                {
                    emit(Edge { from: also, to: t, kind: Kind::Process, label: 0 });
                }
                for &version in self.versions.reads.of(t) {
                    let writer = self.versions.writer[version as usize];
                    if writer != NONE {
                        emit(Edge { from: writer, to: t, kind: Kind::Wr, label: version });
                    }
                }
            }
            for (label, d) in (0_u32..).zip(derived) {
                if d.to != NONE {
                    emit(Edge { from: d.from, to: d.to, kind: Kind::Ww, label });
                }
            }
        })
    }

    /// The circles in a graph of transactions: how many, and words for some.
    pub(super) fn tell(&self, graph: &Graph, name: &str, derived: &[Derived]) -> (usize, Vec<Anomaly>) {
        let txns = &self.raw.txns;
        let components = graph.components(EVERY);
        let parts: Vec<&[u32]> = components.cyclic().collect();
        let told = parts.iter().take(TOLD).filter_map(|part| {
            let cycle = cycles::gravest(graph, part, txns)?;
            let why = |edge: &Edge| self.why(edge, derived);
            Some(cycle.anomaly(name.to_owned(), txns, why, |t| self.raw.did(t)))
        });
        (parts.len(), told.collect())
    }

    fn why(&self, edge: &Edge, derived: &[Derived]) -> String {
        let name = |t: u32| self.raw.txns.get(t as usize).map_or_else(|| "?".to_owned(), Txn::name);
        let (from, to) = (name(edge.from), name(edge.to));
        match (edge.kind, derived.get(edge.label as usize)) {
            (Kind::Ww, Some(d)) if d.reader == NONE => {
                let (value, key) = self.value(d.version);
                format!("the process wrote {value} to key {key} after {from}'s")
            }
            (Kind::Ww, Some(d)) => {
                let (value, key) = self.value(d.version);
                format!(
                    "{} read key {key} as {value}, which {to} wrote, though it depended on {from}, which \
                     wrote the key as well",
                    name(d.reader)
                )
            }
            _ => {
                let (value, key) = self.value(edge.label);
                format!("{to} read key {key} as {value}, which {from} wrote")
            }
        }
    }

    fn value(&self, version: u32) -> (Atom, Atom) {
        let key = self.versions.key[version as usize];
        (self.versions.value[version as usize], self.raw.keys[key as usize])
    }

    fn tell_stale(&self, name: &str, d: &Derived) -> Anomaly {
        let (value, key) = self.value(d.version);
        let (writer, reader) = (self.raw.txns[d.from as usize], self.raw.txns[d.reader as usize]);
        let message = format!(
            "key {key}: {} read {value}, as before anything happened, though it depended on {}, which wrote \
             the key: {}; {}.",
            reader.name(),
            writer.name(),
            self.raw.did(d.from),
            self.raw.did(d.reader)
        );
        anomaly(name, key, message, &[writer, reader])
    }
}
