//! Every node processes the same events in the same order: that of the contract, each once, and all that were accepted.
//!
//! - In the end the sequence of every node begins that of the node that has come furthest (`sequences-differ`); what was
//!   seen of one earlier is in it (`sequence-changed`).
//! - The order is that which follows from the events (`out-of-order`), none is there twice (`processed-twice`), and their
//!   positions have no gap (`sequence-gap`).
//! - Every event that was answered as accepted, and had to be processed by then (`drain.rs`), is there in the end
//!   (`accepted-not-processed`), and none that was never
//!   sent (`unknown-event`), certainly refused (`refused-yet-processed`) or answered as late (`late-yet-processed`).

use std::collections::{HashMap, HashSet};

use ordeal_core::{Checker, Finding, History, judge_operations};

use super::super::Event;
use super::super::event::{Step, Taken};
use super::drain::Drain;
use super::law::in_order;
use super::observed::{Final, Observed};
use crate::report::{Report, anomaly_of, node, which};

/// The judge.
#[derive(Clone, Copy, Debug)]
pub(in crate::orders) struct Sequences {
    /// All nodes there are.
    pub(in crate::orders) nodes: usize,
}

const NAME: &str = "sequences";

impl Checker for Sequences {
    fn name(&self) -> String {
        NAME.to_owned()
    }

    fn check(&self, history: &History) -> Finding {
        judge_operations(NAME, history, |operations| self.judge(&Observed::of(history, &operations)))
    }
}

impl Sequences {
    fn judge(self, observed: &Observed<'_>) -> Finding {
        let mut report = Report::of(Vec::new(), &observed.unread);
        if observed.finals.len() < self.nodes {
            let heard = observed.finals.len();
            report.undecided(format!("{heard} of {} nodes showed their sequence in the end", self.nodes));
        }
        if observed.window_ms().is_none() {
            report.undecided("no node declared its window");
        }
        let Some(reference) = observed.reference() else {
            return report.finding(NAME, "no sequence was seen".to_owned(), true);
        };
        agreement(observed, reference, &mut report);
        let drain = Drain::of(observed);
        for (place, of) in observed.finals.iter().enumerate() {
            if !observed.finals[..place].iter().any(|longer| longer.steps.starts_with(&of.steps)) {
                order(observed, of, &mut report);
                origin(observed, of, &mut report);
            }
            completeness(observed, of, drain.as_ref(), &mut report);
        }
        let steps = reference.steps.len();
        let moved = moved(observed, &reference.steps);
        let judged =
            format!("{steps} events in one order at {} nodes; {moved} had come after later ones", self.nodes);
        report.finding(NAME, judged, steps == 0 || moved == 0).with("processed", steps).with("moved", moved)
    }
}

/// The first place at which two lists of steps differ, as far as both go.
fn difference<'s>(one: &'s [Step], other: &'s [Step]) -> Option<(&'s Step, &'s Step)> {
    one.iter().zip(other).find(|(a, b)| a != b)
}

fn agreement(observed: &Observed<'_>, reference: &Final<'_>, report: &mut Report) {
    for of in &observed.finals {
        if let Some((here, there)) = difference(&of.steps, &reference.steps) {
            let message = format!(
                "Position {} is {} ({:?}) in {}, but {} ({:?}) in {}.",
                here.position,
                here.event.id,
                here.outcome,
                which(of.op),
                there.event.id,
                there.outcome,
                which(reference.op)
            );
            report.add(anomaly_of("sequences-differ", Some(&here.event.id), message, &[of.op, reference.op]));
        }
    }
    for (page, op) in &observed.pages {
        let of = observed.finals.iter().find(|of| of.node == node(op)).unwrap_or(reference);
        let later = |step: &Step| of.steps.get(step.position as usize);
        if let Some(step) = page.events.iter().find(|step| later(step) != Some(*step)) {
            let found = later(step).map(|step| &step.event.id);
            let message = format!(
                "Position {} is {} in {}, and {found:?} in {} in the end.",
                step.position,
                step.event.id,
                which(op),
                which(of.op)
            );
            report.add(anomaly_of("sequence-changed", Some(&step.event.id), message, &[op, of.op]));
        }
    }
}

/// The events of the sequence, each where it must be, and once.
fn order(observed: &Observed<'_>, of: &Final<'_>, report: &mut Report) {
    let mut seen = HashSet::new();
    let mut events: Vec<&Event> = Vec::new();
    for step in &of.steps {
        if seen.insert(&step.event.id) {
            events.push(&step.event);
        } else {
            let message = format!("{} is processed once more at {}.", step.event.id, step.position);
            report.add(anomaly_of(
                "processed-twice",
                Some(&step.event.id),
                message,
                &observed.shown(&step.event.id, of.op),
            ));
        }
    }
    if let Some((place, step)) = (0..).zip(&of.steps).find(|(place, step)| step.position != *place) {
        let message = format!("{} is at {} in the place of {place}.", step.event.id, step.position);
        report.add(anomaly_of("sequence-gap", Some(&step.event.id), message, &[of.op]));
    }
    let Some(window_ms) = observed.window_ms() else { return };
    let expected = in_order(&events, window_ms);
    let wrong = expected.iter().enumerate().find(|(place, event)| place != *event);
    if let Some((place, expected)) = wrong {
        let (is, must) = (events[place], events[*expected]);
        let message = format!(
            "{} (at {} of {}) is processed at {place}, before {} (at {} of {}), which is next by timestamp, source, id \
             and what they depend on, in {}.",
            is.id,
            is.timestamp,
            is.source,
            must.id,
            must.timestamp,
            must.source,
            which(of.op)
        );
        let mut shown_by = observed.shown(&is.id, of.op);
        shown_by.extend(observed.shown(&must.id, of.op));
        report.add(anomaly_of("out-of-order", Some(&is.id), message, &shown_by));
    }
}

/// Every event of the sequence was sent, and not refused.
fn origin(observed: &Observed<'_>, of: &Final<'_>, report: &mut Report) {
    for step in &of.steps {
        let (name, why) = match observed.sent.get(&step.event.id) {
            Some(sent) if sent.event != step.event => ("unknown-event", "was sent otherwise"),
            None => ("unknown-event", "was never sent"),
            Some(sent) if sent.refused() => ("refused-yet-processed", "was certainly refused"),
            Some(sent)
                if sent.answered(Taken::Late).is_some() && sent.answered(Taken::Accepted).is_none() =>
            {
                ("late-yet-processed", "was answered as late")
            }
            Some(_) => continue,
        };
        let message =
            format!("{} {why}, and is processed at {} in {}.", step.event.id, step.position, which(of.op));
        report.add(anomaly_of(name, Some(&step.event.id), message, &observed.shown(&step.event.id, of.op)));
    }
}

/// Every event that was accepted is in the sequence, unless it may still wait.
fn completeness(observed: &Observed<'_>, of: &Final<'_>, drain: Option<&Drain>, report: &mut Report) {
    let until = drain.and_then(|drain| drain.until(of.op));
    let processed: HashSet<&str> = of.steps.iter().map(|step| &*step.event.id).collect();
    for (id, sent) in &observed.sent {
        let Some(attempt) = sent.answered(Taken::Accepted) else { continue };
        if attempt.op.ret >= of.op.call || processed.contains(&**id) {
            continue;
        }
        if until.is_none_or(|until| sent.event.timestamp >= until) {
            report.undecided(format!("{id} may still have waited in {}", which(of.op)));
        } else {
            let message = format!(
                "{} was accepted in {}, and not processed in {}.",
                id,
                which(attempt.op),
                which(of.op)
            );
            report.add(anomaly_of("accepted-not-processed", Some(id), message, &[attempt.op, of.op]));
        }
    }
}

/// How many events were processed before one that was certainly accepted earlier.
fn moved(observed: &Observed<'_>, steps: &[Step]) -> usize {
    let mut began: HashMap<&str, u64> = HashMap::new();
    for (id, sent) in &observed.sent {
        began.extend(sent.began_ns().map(|began_ns| (&**id, began_ns)));
    }
    let (mut moved, mut first_ended) = (0, u64::MAX);
    for step in steps.iter().rev() {
        let id = &*step.event.id;
        moved += usize::from(began.get(id).is_some_and(|began_ns| *began_ns > first_ended));
        let ended = observed.sent.get(id).and_then(|sent| sent.accepted_ns());
        first_ended = first_ended.min(ended.unwrap_or(u64::MAX));
    }
    moved
}
