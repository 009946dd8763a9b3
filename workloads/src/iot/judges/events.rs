//! The stream of events as its consumers saw it.
//!
//! - `event-gap`: numbers are missing where a page begins or within it, or the log has a change of state that
//!   the stream passes over;
//! - `event-repeated`: a page shows a number again, or one before where it was asked to begin;
//! - `event-disorder`: numbers rise, but the transitions they come from do not;
//! - `event-fork`: two pages differ on one number;
//! - `event-invented`: the log has no such change of state at that index.

use std::collections::BTreeMap;

use ordeal_core::{Checker, Finding, History, Operation, Verdict};

use super::agreed::Agreed;
use super::observed::{Change, Observed, Page};
use crate::report::{Report, who};

/// The judge.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::iot) struct EventStream;

const NAME: &str = "event-stream";

/// An event with the first operation that showed it.
type Seen<'o> = (&'o Change, &'o Operation<'o>);

impl Checker for EventStream {
    fn name(&self) -> String {
        NAME.to_owned()
    }

    fn check(&self, history: &History) -> Finding {
        let seen = match Observed::of(history) {
            Ok(seen) => seen,
            Err(why) => return Finding::new(NAME, Verdict::Unknown, why),
        };
        let agreed = Agreed::of(&seen.log);
        let mut report = Report::default();
        let mut events: BTreeMap<u64, Seen<'_>> = BTreeMap::new();
        for page in &seen.events {
            numbers(page, &mut report);
            for event in &page.items {
                let (first, op) = *events.entry(event.number).or_insert((event, &page.op));
                if first != event {
                    report.note("event-fork", Some(&event.machine), &[op, &page.op], || {
                        format!(
                            "{} ({}), and {} ({}).",
                            described(first),
                            who(op),
                            described(event),
                            who(&page.op)
                        )
                    });
                }
            }
        }
        against_log(&events, &agreed, &mut report);
        for page in seen.events.iter().filter(|page| page.whole) {
            end(page, &agreed, &mut report);
        }
        if !events.is_empty() && !seen.events.iter().any(|page| page.whole) {
            report.undecided("nobody read all events");
        }
        let judged = format!("{} events on {} pages", events.len(), seen.events.len());
        report.finding(NAME, judged, events.is_empty())
    }
}

/// The numbers on a page go on where it was asked to begin, one by one.
fn numbers(page: &Page<'_, Change>, report: &mut Report) {
    let mut expected = page.from;
    let mut before: Option<&Change> = None;
    for event in &page.items {
        if event.number != expected {
            let name = if event.number > expected { "event-gap" } else { "event-repeated" };
            report.note(name, Some(&event.machine), &[&page.op], || {
                format!("{} came where number {expected} was due ({}).", described(event), who(&page.op))
            });
        }
        if let Some(before) = before.filter(|before| before.index >= event.index) {
            report.note("event-disorder", Some(&event.machine), &[&page.op], || {
                format!("{} came after {} ({}).", described(event), described(before), who(&page.op))
            });
        }
        before = Some(event);
        expected = event.number + 1;
    }
    if page.next > expected {
        report.note("event-gap", None, &[&page.op], || {
            format!(
                "the events from {expected} on are missing, though the page goes on with {} ({}).",
                page.next,
                who(&page.op)
            )
        });
    }
}

/// Every event is a change of state in the log, and none is passed over between two events that follow one
/// another.
fn against_log(events: &BTreeMap<u64, Seen<'_>>, agreed: &Agreed<'_>, report: &mut Report) {
    let mut before: Option<&Change> = None;
    for (event, op) in events.values() {
        let logged = agreed.entries.get(&event.index).map(|shown| shown.transition);
        let same = logged.is_some_and(|t| {
            (&t.machine, t.term, &t.before, &t.after)
                == (&event.machine, event.term, &event.before, &event.after)
        });
        if !same && (logged.is_some() || agreed.covers(event.index, event.index)) {
            report.note("event-invented", Some(&event.machine), &[op], || {
                format!("{} is not in the log ({}).", described(event), who(op))
            });
        }
        // From the event before, or from the beginning of the log.
        let follows = before.map_or(event.number == 1, |before| before.number + 1 == event.number);
        let after = before.map_or(0, |before| before.index);
        if follows && let Some(missed) = agreed.change_between(after, event.index) {
            let t = missed.transition;
            report.note("event-gap", Some(&t.machine), &[op], || {
                format!(
                    "{} follows on index {after}, but {} changed from `{}` to `{}` at index {} ({}).",
                    described(event),
                    t.machine,
                    t.before,
                    t.after,
                    t.index,
                    who(op)
                )
            });
        }
        before = Some(event);
    }
}

/// Who reads all events sees every change that the node had applied.
fn end(page: &Page<'_, Change>, agreed: &Agreed<'_>, report: &mut Report) {
    let last = page.items.last();
    // An empty page that begins later says nothing of what came before.
    let after = last.map(|last| last.index).or((page.from <= 1).then_some(0));
    let (Some(after), Some(applied)) = (after, page.applied) else { return };
    if let Some(missed) = agreed.change_between(after, applied + 1) {
        let t = missed.transition;
        report.note("event-gap", Some(&t.machine), &[&page.op], || {
            format!(
                "the stream ends with {}, but {} changed from `{}` to `{}` at index {} ({}).",
                last.map_or("nothing".to_owned(), described),
                t.machine,
                t.before,
                t.after,
                t.index,
                who(&page.op)
            )
        });
    }
}

fn described(event: &Change) -> String {
    format!(
        "event {} (index {}, {} from `{}` to `{}`)",
        event.number, event.index, event.machine, event.before, event.after
    )
}
