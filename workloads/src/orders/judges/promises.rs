//! Answers to events hold, and an event is late only for a good reason.
//!
//! - Whoever sends an event again gets the answer of the first time (`answered-otherwise`), about that event.
//! - An event that is answered as late is behind the watermark that the answer names (`late-without-reason`), and the
//!   watermark of no answer and no status is ahead of what the sources' accepted events, and the time in which none was
//!   accepted, allow (`watermark-too-high`).
//! - An event that is behind that watermark, or behind what the watermark must have reached, is not accepted
//!   (`accepted-too-late`).

use ordeal_core::{Anomaly, Checker, Finding, History, Operation, judge_operations};

use super::super::event::{Answer, Taken};
use super::marks::Marks;
use super::observed::{Observed, Sent, ended_ns};
use crate::report::{Report, anomaly_of, which};

/// The judge.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::orders) struct Promises;

const NAME: &str = "promises";

impl Checker for Promises {
    fn name(&self) -> String {
        NAME.to_owned()
    }

    fn check(&self, history: &History) -> Finding {
        judge_operations(NAME, history, |operations| judge(&Observed::of(history, &operations)))
    }
}

fn judge(observed: &Observed<'_>) -> Finding {
    let Some(window_ms) = observed.window_ms() else {
        let mut report = Report::of(Vec::new(), &observed.unread);
        report.undecided("no node declared its window");
        return report.finding(NAME, "nothing to judge by".to_owned(), false);
    };
    let marks = Marks::of(observed);
    let mut found = Vec::new();
    let (mut taken, mut refused, mut again) = (0, 0, 0);
    for (id, sent) in &observed.sent {
        repeated(id, sent, &mut found);
        accepted(id, sent, &marks, window_ms, &mut found);
        taken += usize::from(sent.answered(Taken::Accepted).is_some());
        refused += usize::from(sent.answered(Taken::Late).is_some());
        let answered = sent.attempts.iter().filter(|attempt| attempt.answer.is_some());
        again += answered.count().saturating_sub(1);
        for attempt in &sent.attempts {
            if let Some(answer) = &attempt.answer {
                consistent(sent, answer, attempt.op, &mut found);
                watermark(answer.watermark, attempt.op, &marks, window_ms, &mut found);
            }
        }
    }
    for (status, op, _) in &observed.statuses {
        watermark(status.watermark, op, &marks, window_ms, &mut found);
    }
    // What could be seen first is told first.
    found.sort_by_key(|anomaly| anomaly.events.last().copied());
    let judged = format!("{taken} events accepted, {refused} late, {again} answered once more");
    Report::of(found, &observed.unread)
        .finding(NAME, judged, taken == 0 || refused == 0 || again == 0)
        .with("accepted", taken)
        .with("late", refused)
        .with("answered_again", again)
}

fn repeated(id: &str, sent: &Sent<'_>, found: &mut Vec<Anomaly>) {
    let mut answers = sent.attempts.iter().filter_map(|attempt| Some((attempt.answer.as_ref()?, attempt.op)));
    let Some((first, at)) = answers.next() else { return };
    let foreign = (first.id != id).then_some((first, at));
    if let Some((other, op)) = foreign.or_else(|| answers.find(|(other, _)| *other != first)) {
        let message = format!("{id} was answered {first:?} in {} and {other:?} in {}.", which(at), which(op));
        found.push(anomaly_of("answered-otherwise", Some(id), message, &[at, op]));
    }
}

/// An answer agrees with the watermark that it names.
fn consistent(sent: &Sent<'_>, answer: &Answer, op: &Operation<'_>, found: &mut Vec<Anomaly>) {
    let (id, timestamp, watermark) = (&sent.event.id, sent.event.timestamp, answer.watermark);
    let name = match answer.status {
        Taken::Late if timestamp > watermark => "late-without-reason",
        Taken::Accepted if timestamp <= watermark => "accepted-too-late",
        _ => return,
    };
    let message =
        format!("{id} (at {timestamp}) is {:?} in {}, at watermark {watermark}.", answer.status, which(op));
    found.push(anomaly_of(name, Some(id), message, &[op]));
}

fn watermark(watermark: u64, op: &Operation<'_>, marks: &Marks, window_ms: u64, found: &mut Vec<Anomaly>) {
    let most = marks.at_most(ended_ns(op)).saturating_sub(window_ms);
    if watermark > most {
        let message = format!("{} names the watermark {watermark}, but it can be {most} at most.", which(op));
        found.push(anomaly_of("watermark-too-high", None, message, &[op]));
    }
}

/// An event that was accepted was not behind the watermark when it was first sent.
fn accepted(id: &str, sent: &Sent<'_>, marks: &Marks, window_ms: u64, found: &mut Vec<Anomaly>) {
    let (Some(attempt), Some(began_ns)) = (sent.answered(Taken::Accepted), sent.began_ns()) else { return };
    let least = marks.at_least(began_ns).saturating_sub(window_ms);
    if sent.event.timestamp <= least {
        let message = format!(
            "{id} (at {}) is accepted in {}, though the watermark was {least} at least.",
            sent.event.timestamp,
            which(attempt.op)
        );
        found.push(anomaly_of("accepted-too-late", Some(id), message, &[attempt.op]));
    }
}
