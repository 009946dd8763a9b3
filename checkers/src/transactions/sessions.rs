//! The guarantees of single sessions (Terry et al., PDIS 1994), for reads and writes of registers: read your
//! writes, monotonic reads, monotonic writes, writes follow reads. A session is a process; the steps of a
//! transaction count one by one.
//!
//! Servers' logs are not seen, only results, so a guarantee is judged by whether there *could* have been an
//! order of all writes, and for each read a set of writes that it saw, such that each read returns the last
//! write to its key among those it saw and the guarantee holds:
//!
//! - *read your writes*: a read sees the earlier writes of its session; those to one key are in the
//!   session's order;
//! - *monotonic reads*: a read sees what the earlier reads of its session saw;
//! - *monotonic writes*: monotonic reads, and the order of writes extends that of each session, and whoever
//!   sees a write sees the earlier ones of that session;
//! - *writes follow reads*: all that, and whoever sees a write sees, and has in order before it, what the
//!   earlier reads of the writing session saw.
//!
//! (Without monotonic reads the last two could not be broken: every read could have seen a set of its own.)
//!
//! Each is decided exactly, with one exception: the smallest sets that the guarantee allows force an order
//! between some writes, and it can be kept if and only if that has no cycle. For the last two that is causal
//! consistency with the reads and the writes of a process as two sessions (in the last one with an edge from
//! each read to the writes after it), so the judge of that is used. The exception are operations of unknown
//! outcome: what they wrote counts if somebody saw it, but not what they read. Values that were read must
//! be written once a key; otherwise nothing is said to be kept.

use std::collections::HashMap;

use ordeal_core::{Anomaly, Checker, Finding, History, Intake, Operation, Verdict, check_operations};

use super::graph::{Edge, Graph, Kind};
use super::initial_value;
use super::order::by_session;
use super::versions::{NONE, Raw, Versions};
use super::weak::{Case, Derived};
use crate::models::Atom;
use crate::words::count;
use crate::{About, Budget, Options};

/// How lists show it.
pub(crate) const ABOUT: About = About {
    name: "session-guarantees",
    about: "read your writes, monotonic reads, monotonic writes, writes follow reads",
};

const READ_YOUR_WRITES: &str = "read-your-writes";
const MONOTONIC_READS: &str = "monotonic-reads";
const MONOTONIC_WRITES: &str = "monotonic-writes";
const WRITES_FOLLOW_READS: &str = "writes-follow-reads";

/// The lanes of a process.
const READS: u8 = 0;
const WRITES: u8 = 1;

/// The judge.
#[derive(Clone, Debug)]
pub struct Sessions {
    initial: Atom,
    budget: Budget,
}

impl Default for Sessions {
    fn default() -> Self {
        Sessions { initial: Atom::NULL, budget: Budget::default() }
    }
}

impl Sessions {
    /// Sets what a person may say.
    #[must_use]
    pub fn with_options(mut self, options: &Options) -> Self {
        self.initial = initial_value(options.initial.as_ref());
        self.budget = options.budget;
        self
    }
}

impl Checker for Sessions {
    fn name(&self) -> String {
        ABOUT.name.to_owned()
    }

    fn check(&self, history: &History) -> Finding {
        check_operations(self.name(), Box::new(AtWork { judge: self, raw: Raw::default() }), history)
    }

    fn intake(&self) -> Option<Box<dyn Intake + '_>> {
        Some(Box::new(AtWork { judge: self, raw: Raw::default() }))
    }
}

struct AtWork<'a> {
    judge: &'a Sessions,
    raw: Raw,
}

impl Intake for AtWork<'_> {
    fn take(&mut self, op: &Operation<'_>) {
        self.raw.take(op);
    }

    fn finish(self: Box<Self>) -> Finding {
        if let Some(why) = self.raw.error {
            return Finding::new(ABOUT.name, Verdict::Unknown, why);
        }
        let operations = self.raw.txns.len();
        let raw = self.raw.apart(|writes| if writes { WRITES } else { READS });
        let versions = Versions::of(&raw, self.judge.initial, false);
        conclude(&raw, &versions, operations, self.judge.budget.memory_bytes)
    }
}

fn conclude(raw: &Raw, versions: &Versions, operations: usize, memory_bytes: usize) -> Finding {
    let what = format!("{} on {}", count(operations, "operation"), count(raw.keys.len(), "key"));
    if raw.reads == 0 {
        return Finding::new(ABOUT.name, Verdict::Vacuous, format!("no read succeeded ({what})"));
    }
    let mut case = Case::new(raw, versions);
    let (garbage, mut anomalies) = versions.direct_anomalies(raw);
    let mut verdicts: Vec<(&str, Verdict)> = Vec::new();
    let (own, repeated) = within_keys(&case);
    for (name, derived) in [(READ_YOUR_WRITES, own), (MONOTONIC_READS, repeated)] {
        let (stale, told) = case.stale(name, &derived);
        anomalies.extend(told);
        let (cycles, told) = case.tell(&order_of_writes(raw.txns.len(), &derived), name, &derived);
        anomalies.extend(told);
        verdicts.push((name, if stale + cycles > 0 { Verdict::Invalid } else { Verdict::Valid }));
    }
    let mut why_not = None;
    if verdicts.iter().all(|v| v.0 != MONOTONIC_READS || v.1 == Verdict::Valid) {
        let (told, further) = monotonic_writes_and_more(&mut case, memory_bytes, &mut why_not);
        anomalies.extend(told);
        verdicts.extend(further);
    } else {
        // Both include monotonic reads.
        verdicts.extend([(MONOTONIC_WRITES, Verdict::Unknown), (WRITES_FOLLOW_READS, Verdict::Unknown)]);
    }
    if let Some(why) = versions.why_ambiguous(raw) {
        why_not = Some(why);
        verdicts.iter_mut().filter(|v| v.1 == Verdict::Valid).for_each(|v| v.1 = Verdict::Unknown);
    }
    let broken: Vec<&str> = verdicts.iter().filter(|v| v.1 == Verdict::Invalid).map(|v| v.0).collect();
    let (verdict, summary) = match (why_not, broken.is_empty() && garbage == 0) {
        (_, false) if broken.is_empty() => (Verdict::Invalid, format!("reads of what nobody wrote ({what})")),
        (_, false) => (Verdict::Invalid, format!("broken: {} ({what})", broken.join(", "))),
        (Some(why), _) => (Verdict::Unknown, why),
        (None, _) => (Verdict::Valid, format!("all four guarantees are kept ({what})")),
    };
    let mut finding = Finding::new(ABOUT.name, verdict, summary)
        .with("operations", operations)
        .with("keys", raw.keys.len())
        .with("reads", raw.reads);
    for (name, verdict) in verdicts {
        finding = finding.with(name, verdict.as_str());
    }
    finding.anomalies = anomalies;
    finding
}

/// Judges the two that rest on monotonic reads, which must be kept. Writes follow reads is the stronger and,
/// where it is kept, the cheaper one, so it comes first.
fn monotonic_writes_and_more(
    case: &mut Case<'_>,
    memory_bytes: usize,
    why_not: &mut Option<String>,
) -> (Vec<Anomaly>, [(&'static str, Verdict); 2]) {
    use Verdict::{Invalid, Unknown, Valid};
    case.also = last_reads(case.raw, case.versions);
    let (mut told, verdicts) = match case.causal_violations(WRITES_FOLLOW_READS, memory_bytes) {
        Ok((0, told)) => (told, (Valid, Valid)),
        Ok((_, told)) => {
            case.also = Vec::new();
            match case.causal_violations(MONOTONIC_WRITES, memory_bytes) {
                Ok((0, _)) => (told, (Valid, Invalid)),
                // Writes follow reads includes it.
                Ok((_, told)) => (told, (Invalid, Unknown)),
                Err(why) => {
                    *why_not = Some(why);
                    (told, (Unknown, Invalid))
                }
            }
        }
        Err(why) => {
            *why_not = Some(why);
            (Vec::new(), (Unknown, Unknown))
        }
    };
    let broken = if verdicts.0 == Invalid { MONOTONIC_WRITES } else { WRITES_FOLLOW_READS };
    for anomaly in &mut told {
        // A circle of dependencies breaks the promise that was judged.
        anomaly.name = broken.to_owned();
    }
    (told, [(MONOTONIC_WRITES, verdicts.0), (WRITES_FOLLOW_READS, verdicts.1)])
}

/// What read your writes forces, and what monotonic reads forces: each is about one key at a time.
fn within_keys(case: &Case<'_>) -> (Vec<Derived>, Vec<Derived>) {
    let (mut own, mut repeated) = (Vec::new(), Vec::new());
    // By key: the last write of the process, and the last version it read.
    let mut last: HashMap<u32, (u32, Option<u32>)> = HashMap::new();
    let mut process = None;
    for txn in in_process_order(case.raw, case.versions) {
        let of = &case.raw.txns[txn as usize];
        if process != Some(of.process) {
            process = Some(of.process);
            last.clear();
        }
        for &version in case.versions.reads.of(txn) {
            let last = last.entry(case.versions.key[version as usize]).or_insert((NONE, None));
            if last.0 != NONE {
                case.derive(&mut own, last.0, txn, version);
            }
            let before = last.1.map_or(NONE, |before| case.versions.writer[before as usize]);
            if before != NONE {
                case.derive(&mut repeated, before, txn, version);
            }
            last.1 = Some(version);
        }
        for &version in case.versions.writes.of(txn) {
            let last = last.entry(case.versions.key[version as usize]).or_insert((NONE, None));
            if last.0 != NONE {
                own.push(Derived { from: last.0, to: txn, reader: NONE, version });
            }
            if !of.is_open() {
                last.0 = txn;
            }
        }
    }
    (own, repeated)
}

/// The steps that took effect, by process, in its order, reads and writes together.
fn in_process_order(raw: &Raw, versions: &Versions) -> Vec<u32> {
    let mut order = by_session(&raw.txns, |t| versions.took_effect[t]);
    order.sort_by_key(|&t| {
        let txn = &raw.txns[t as usize];
        // The steps of one operation are numbered in its order.
        (txn.process, txn.start, txn.end, txn.index, t)
    });
    order
}

/// For each write the last read that its process completed before.
fn last_reads(raw: &Raw, versions: &Versions) -> Vec<u32> {
    let mut last_reads = vec![NONE; raw.txns.len()];
    let mut last: Option<u32> = None;
    for txn in in_process_order(raw, versions) {
        let process = |t: u32| raw.txns[t as usize].process;
        last = last.filter(|&read| process(read) == process(txn));
        match raw.txns[txn as usize].lane {
            WRITES => last_reads[txn as usize] = last.unwrap_or(NONE),
            _ => last = Some(txn),
        }
    }
    last_reads
}

fn order_of_writes(nodes: usize, derived: &[Derived]) -> Graph {
    Graph::build(nodes, |emit| {
        for (label, d) in (0_u32..).zip(derived).filter(|(_, d)| d.to != NONE) {
            emit(Edge { from: d.from, to: d.to, kind: Kind::Ww, label });
        }
    })
}

#[cfg(test)]
mod tests;
