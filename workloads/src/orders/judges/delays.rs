//! Nothing waits in the buffer longer than event time asks for, nor more than it may hold (`buffer-over-capacity`), and in
//! the end nothing waits that had to be processed by then (`buffer-not-drained`, `drain.rs`).
//!
//! An accepted order that is read as not processed although two sources have certainly come a window further than its timestamp (two
//! windows, if it depends on something) is `overdue`. That is a matter of event time, so it holds under any fault. How long
//! events waited by the harness's clock is measured, not judged: from the answer until somebody first saw them processed.

use std::collections::{BTreeMap, HashMap};

use ordeal_core::{Checker, EventKind, Finding, History, judge_operations};
use serde_json::json;

use super::super::event::{Status, Taken};
use super::drain::Drain;
use super::marks::Marks;
use super::observed::{Observed, ended_ns};
use crate::report::{Report, anomaly_of, node, which};

/// The judge.
#[derive(Clone, Copy, Debug)]
pub(in crate::orders) struct Delays {
    /// All nodes there are.
    pub(in crate::orders) nodes: usize,
}

const NAME: &str = "delays";

impl Checker for Delays {
    fn name(&self) -> String {
        NAME.to_owned()
    }

    fn check(&self, history: &History) -> Finding {
        judge_operations(NAME, history, |operations| self.judge(&Observed::of(history, &operations)))
    }
}

impl Delays {
    fn judge(self, observed: &Observed<'_>) -> Finding {
        let mut report = Report::of(Vec::new(), &observed.unread);
        overdue(observed, &mut report);
        over_capacity(observed, &mut report);
        let drained = drained(observed, &mut report);
        if drained < self.nodes {
            report.undecided(format!("{drained} of {} nodes showed their buffer in the end", self.nodes));
        }
        let delays_ms = delays_ms(observed);
        let full = observed.sent.values().flat_map(|sent| &sent.attempts).filter(|attempt| {
            let end = attempt.op.complete.filter(|end| end.kind == EventKind::Fail);
            end.and_then(|end| end.error.as_deref()).is_some_and(|why| why.starts_with("HTTP 429"))
        });
        let fullest = observed.statuses.iter().map(|(status, ..)| status.buffered).max().unwrap_or(0);
        let at = |percent: usize| delays_ms.get(delays_ms.len() * percent / 100).copied();
        let judged = match (at(50), at(99)) {
            (Some(p50), Some(p99)) => {
                format!("{} events waited {p50} ms at the median, {p99} ms at 99 %", delays_ms.len())
            }
            _ => "no event was seen to be processed".to_owned(),
        };
        report
            .finding(NAME, judged, delays_ms.is_empty() || fullest == 0)
            .with("delay_ms", json!({ "p50": at(50), "p99": at(99), "max": delays_ms.last() }))
            .with("buffered_max", fullest)
            .with("refused_as_full", full.count())
    }
}

fn overdue(observed: &Observed<'_>, report: &mut Report) {
    let Some(window_ms) = observed.window_ms() else {
        report.undecided("no node declared its window");
        return;
    };
    let marks = Marks::of(observed);
    for (order, op) in observed.orders.iter().filter(|(order, _)| order.position.is_none()) {
        let Some(sent) = observed.sent.get(&order.order) else { continue };
        let accepted = sent.answered(Taken::Accepted).is_some_and(|attempt| attempt.op.ret < op.call);
        if !accepted && order.outcome.status != Status::Buffered {
            continue;
        }
        let windows = if sent.event.depends_on.is_empty() { 1 } else { 2 };
        let reached = marks.at_least(op.invoke.time);
        if reached >= sent.event.timestamp.saturating_add(window_ms.saturating_mul(windows)) {
            let message = format!(
                "{} finds {} (at {}) still {:?}, though event time had come to {reached}.",
                which(op),
                order.order,
                sent.event.timestamp,
                order.outcome.status
            );
            report.add(anomaly_of("overdue", Some(&order.order), message, &[op]));
        }
    }
}

fn over_capacity(observed: &Observed<'_>, report: &mut Report) {
    for (status, op, _) in observed.statuses.iter().filter(|(status, ..)| status.buffered > status.capacity) {
        let message = format!("{}: {} events wait, but {} may.", which(op), status.buffered, status.capacity);
        report.add(anomaly_of("buffer-over-capacity", None, message, &[op]));
    }
}

/// In the end nothing waits that had to be processed. Answers how many nodes showed that.
fn drained(observed: &Observed<'_>, report: &mut Report) -> usize {
    let mut last = BTreeMap::new();
    for (status, op, _) in observed.statuses.iter().filter(|(.., is_final)| *is_final) {
        last.insert(node(op), (status, op));
    }
    let drain = Drain::of(observed);
    for (status, op) in last.values().filter(|(status, _)| status.buffered > 0) {
        let until = drain.as_ref().and_then(|drain| drain.until(op));
        let may_wait = until.map(|until| {
            let possible = observed.sent.values().filter(|sent| sent.possible_ns().is_some());
            possible.filter(|sent| sent.event.timestamp >= until).count() as u64
        });
        let message = format!("{}: {} events still wait in the end.", which(op), status.buffered);
        if may_wait.is_none_or(|may_wait| status.buffered <= may_wait) {
            report.undecided(message);
        } else {
            report.add(anomaly_of("buffer-not-drained", None, message, &[op]));
        }
    }
    last.len()
}

/// How long after it was accepted each event was first seen processed, in milliseconds, the shortest first.
fn delays_ms(observed: &Observed<'_>) -> Vec<u64> {
    let by_page = observed
        .pages
        .iter()
        // Whole sequences are read when all is over, and would only say that.
        .filter(|(_, op)| op.f() == "processed")
        .flat_map(|(page, op)| page.events.iter().map(|step| (&*step.event.id, ended_ns(op))));
    let by_order = observed
        .orders
        .iter()
        .filter(|(order, _)| order.position.is_some())
        .map(|(order, op)| (&*order.order, ended_ns(op)));
    let mut first: HashMap<&str, u64> = HashMap::new();
    for (id, seen_ns) in by_page.chain(by_order) {
        let seen = first.entry(id).or_insert(seen_ns);
        *seen = seen_ns.min(*seen);
    }
    let waited = first.iter().filter_map(|(id, seen_ns)| {
        let accepted = observed.sent.get(*id)?.answered(Taken::Accepted)?;
        Some(seen_ns.saturating_sub(ended_ns(accepted.op)) / 1_000_000)
    });
    let mut waited: Vec<u64> = waited.collect();
    waited.sort_unstable();
    waited
}
