//! How long it takes until somebody else goes on when the holder of a symbol dies or stands still.
//!
//! Promised: another node takes over within the time a lease lasts and one renewal period. Measured for every
//! proved kill and pause. It is a violation only where nothing else explains it: that fault hit one node only, no
//! other fault was in force meanwhile, and long after the time was over another node was refused the lease.

use std::collections::BTreeMap;

use ordeal_core::{Anomaly, Checker, EventKind, Finding, History, Key, Operation, judge_operations};

use crate::report::{Report, anomaly, node, told};
use crate::stocks::two_numbers;
use crate::windows::{Window, windows};

const NAME: &str = "takeover";
/// A machine that is busy, an election, and recovery after it cost time as well.
const ALLOWANCE_MS: u64 = 2_000;
/// How many times the promised time must have passed before anybody is accused.
const CLEARLY: u64 = 3;

/// The judge.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Takeover {
    /// How long a lease lasts.
    pub(in super::super) lease_ms: u64,
}

/// An operation of a symbol that went by a token, or was refused the lease.
struct Act<'h> {
    op: Operation<'h>,
    /// None: the lease was refused.
    token: Option<u64>,
    /// Whether it shows that the node that was asked held the symbol.
    holds: bool,
}

impl Act<'_> {
    fn ended_ns(&self) -> u64 {
        self.op.complete.map_or(u64::MAX, |e| e.time)
    }
}

fn act<'h>(op: Operation<'h>) -> Option<Act<'h>> {
    let (token, holds) = match (op.f(), op.output()) {
        ("acquire" | "renew", Some(token)) => (token.as_u64(), true),
        ("update", Some(written)) => (two_numbers(written).map(|(token, _)| token), true),
        ("read" | "lookup", Some(shown)) => (Some(shown.get(0)?.as_u64()?), false),
        ("acquire", None) if op.kind() == EventKind::Fail => (None, false),
        _ => return None,
    };
    Some(Act { op, token, holds })
}

impl Checker for Takeover {
    fn name(&self) -> String {
        NAME.to_owned()
    }

    fn check(&self, history: &History) -> Finding {
        judge_operations(NAME, history, |operations| self.judge_all(operations, &windows(&history.events)))
    }
}

impl Takeover {
    fn judge_all(&self, operations: Vec<Operation<'_>>, windows: &[Window]) -> Finding {
        let mut symbols: BTreeMap<Option<&Key>, Vec<Act<'_>>> = BTreeMap::new();
        for op in operations {
            if let Some(act) = act(op) {
                symbols.entry(op.key()).or_default().push(act);
            }
        }
        let (mut took_ms, mut report) = (Vec::new(), Report::default());
        for (at, window) in windows.iter().enumerate() {
            if !matches!(&*window.fault, "kill" | "pause") || window.nodes.is_empty() {
                continue;
            }
            let others = windows.iter().enumerate().filter(|(other, _)| *other != at);
            let alone = window.nodes.len() == 1
                && !others.map(|(_, other)| other).any(|other| other.overlaps(window));
            for (key, acts) in &symbols {
                if let Some(holding) = holding(acts, window) {
                    took_ms.extend(next_holder(acts, holding, window.from_ns));
                    if alone {
                        self.late(*key, acts, holding, window).into_iter().for_each(|late| report.add(late));
                    }
                }
            }
        }
        conclude(took_ms, report)
    }
}

/// The operation before the fault by the newest token, if it shows that a node held the symbol which the fault hit.
fn holding<'a, 'h>(acts: &'a [Act<'h>], window: &Window) -> Option<&'a Act<'h>> {
    let before = acts.iter().filter(|act| act.ended_ns() < window.from_ns);
    let last = before.filter(|act| act.token.is_some()).max_by_key(|act| (act.token, act.holds))?;
    (last.holds && window.nodes.iter().any(|hit| hit == node(&last.op))).then_some(last)
}

/// How long after this time, in milliseconds, somebody first went by a newer token.
fn next_holder(acts: &[Act<'_>], holding: &Act<'_>, from_ns: u64) -> Option<f64> {
    let newer = acts.iter().filter(|act| act.token > holding.token);
    let after = newer.map(Act::ended_ns).filter(|ended_ns| *ended_ns >= from_ns);
    after.min().map(|ended_ns| (ended_ns - from_ns) as f64 / 1e6)
}

impl Takeover {
    /// The node that should have got the lease by then and did not.
    fn late(
        &self,
        key: Option<&Key>,
        acts: &[Act<'_>],
        holding: &Act<'_>,
        window: &Window,
    ) -> Option<Anomaly> {
        let promised_ms = self.lease_ms + self.lease_ms / 3;
        let clearly_ns = (CLEARLY * promised_ms + ALLOWANCE_MS) * 1_000_000;
        let late_ns = window.from_ns.saturating_add(clearly_ns);
        let refused = acts.iter().find(|act| {
            act.token.is_none()
                && act.op.invoke.time > late_ns
                && act.ended_ns() < window.to_ns
                && !window.nodes.iter().any(|hit| hit == node(&act.op))
        })?;
        let by_then = |act: &Act<'_>| act.token > holding.token && act.op.invoke.time < refused.ended_ns();
        if acts.iter().any(by_then) {
            return None;
        }
        let after_ms = (refused.op.invoke.time - window.from_ns) / 1_000_000;
        let message = format!(
            "{} held it and was hit by {}; {after_ms} ms later nobody else had it, and {} was refused. Promised are \
             {promised_ms} ms.",
            node(&holding.op),
            window.fault,
            told(&refused.op)
        );
        Some(anomaly("no-takeover", key, &[&holding.op, &refused.op], message))
    }
}

fn conclude(mut took_ms: Vec<f64>, report: Report) -> Finding {
    took_ms.sort_by(f64::total_cmp);
    let judged = match took_ms.len() {
        0 => "no holder died or stood still".to_owned(),
        count => format!("{count} times a holder was hit and another went on"),
    };
    let mut finding = report.finding(NAME, judged, false).with("takeovers", took_ms.len());
    if let (Some(median), Some(most)) = (took_ms.get(took_ms.len() / 2), took_ms.last()) {
        finding = finding.with("takeover_ms_p50", *median).with("takeover_ms_max", *most);
    }
    finding
}
