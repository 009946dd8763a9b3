//! The judges of `scores` that no other workload has use for, and what they share.

mod feeds;
mod hits;
mod viewers;

use ordeal_core::{Checker, Event, EventKind, Operation};
use serde::Deserialize;
use serde_json::Value;

pub(super) use feeds::Feeds;
pub(super) use hits::Hits;
pub(super) use viewers::Viewers;

use super::Score;
use crate::shown::Shown;

/// Shows a judge scores without who answered: a copy and the database must answer the same.
pub(super) fn answered<C: Checker>(to: C) -> Shown<C> {
    Shown { to, with: without_hit }
}

/// A read answers `[sequence, score, hit]`; of these the first two are left.
fn without_hit(event: &Event) -> Event {
    let mut event = event.clone();
    if event.kind == EventKind::Ok
        && matches!(&*event.f, "read" | "read-database")
        && let Some(answer) = event.value.as_array_mut()
    {
        answer.truncate(2);
    }
    event
}

/// A score that an operation was answered with.
struct Seen<'h, 'o> {
    sequence: u64,
    score: Option<Score>,
    op: &'o Operation<'h>,
}

impl<'h, 'o> Seen<'h, 'o> {
    fn of(sequence: u64, score: Option<Score>, op: &'o Operation<'h>) -> Self {
        Seen { sequence, score, op }
    }
}

/// What an operation was answered: of events, the last one counts. `None` if it was not answered.
///
/// # Errors
/// Why it cannot be read.
fn seen<'h, 'o>(op: &'o Operation<'h>) -> Result<Option<Seen<'h, 'o>>, String> {
    let Some(answer) = op.output() else { return Ok(None) };
    let shown = match (op.f(), answer.as_array().map(Vec::as_slice)) {
        // There is none from that number on.
        ("events", Some([])) => {
            return Ok(op.input().as_u64().map(|from| Seen::of(from.saturating_sub(1), None, op)));
        }
        ("events", Some([.., last])) => last,
        _ => answer,
    };
    let sequence = shown.get(0).and_then(Value::as_u64);
    let score = shown.get(1).and_then(|score| Option::deserialize(score).ok());
    match (sequence, score) {
        (Some(sequence), Some(score)) => Ok(Some(Seen::of(sequence, score, op))),
        _ => Err(format!("#{}: `{}` is answered with a number and a score, not {shown}", op.index(), op.f())),
    }
}

#[cfg(test)]
mod tests;
