//! Streams of events: every acknowledged goal is in the stream of its match, once, in the place that it was given, and
//! the numbers have no gaps. Whoever reads a stream later reads the same events; a score that was shown is that of the
//! event of its number; and what was certainly refused, or never told, is not there.

use std::collections::{BTreeMap, HashMap};

use ordeal_core::{Checker, EventKind, Finding, History, Key, Operation, judge_operations};
use serde::Deserialize;

use super::seen;
use crate::report::{Report, which};
use crate::scores::{Score, ScoreOp};

/// The judge.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::scores) struct Feeds;

const NAME: &str = "feeds";

/// An event as a stream has it: number, score, request id.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Told(u64, Score, String);

/// An answer with events.
struct Page<'h, 'o> {
    events: Vec<Told>,
    from: u64,
    op: &'o Operation<'h>,
}

/// A match.
#[derive(Default)]
struct Match<'h, 'o> {
    /// Goals that were told, by their words.
    goals: HashMap<String, &'o Operation<'h>>,
    pages: Vec<Page<'h, 'o>>,
    /// Scores that were shown.
    shown: Vec<super::Seen<'h, 'o>>,
}

impl Checker for Feeds {
    fn name(&self) -> String {
        NAME.to_owned()
    }

    fn check(&self, history: &History) -> Finding {
        judge_operations(NAME, history, |operations| judge_all(&operations))
    }
}

fn judge_all(operations: &[Operation<'_>]) -> Finding {
    let mut report = Report::default();
    let mut matches: BTreeMap<&Key, Match<'_, '_>> = BTreeMap::new();
    for op in operations {
        let Some(of) = op.key() else { continue };
        if let Err(why) = take(matches.entry(of).or_default(), op) {
            report.undecided(why);
        }
    }
    let mut found = 0;
    for (of, all) in &matches {
        all.pages.iter().for_each(|page| judge_page(of, page, &mut report));
        let stream = judge_agreement(of, all, &mut report);
        judge_origin(of, all, &stream, &mut report);
        found += judge_acknowledged(of, all, &mut report);
    }
    report.finding(NAME, format!("{found} acknowledged goals were looked for in the streams"), found == 0)
}

fn take<'h, 'o>(all: &mut Match<'h, 'o>, op: &'o Operation<'h>) -> Result<(), String> {
    match ScoreOp::parts(op.f(), op.input()) {
        Some(ScoreOp::Goal(score)) => _ = all.goals.insert(score.2, op),
        Some(ScoreOp::Events(from)) => {
            if let Some(answer) = op.output() {
                let events = Vec::deserialize(answer)
                    .map_err(|why| format!("#{}: a stream is a list of events: {why}", op.index()))?;
                all.pages.push(Page { events, from, op });
            }
        }
        _ => {}
    }
    all.shown.extend(seen(op)?);
    Ok(())
}

/// A page begins where it was asked to, and has no gaps.
fn judge_page(of: &Key, page: &Page<'_, '_>, report: &mut Report) {
    let first = page.from.max(1);
    for (expected, Told(number, ..)) in (first..).zip(&page.events) {
        if expected != *number {
            report.note("event-gap", Some(of), &[page.op], || {
                format!(
                    "The events from {first} on have number {number} in the place of {expected} in {}.",
                    which(page.op)
                )
            });
            return;
        }
    }
}

/// All pages have the same events, none of them twice, and the scores that were shown are theirs. Answers with the
/// events by number.
fn judge_agreement<'o>(
    of: &Key,
    all: &'o Match<'_, 'o>,
    report: &mut Report,
) -> BTreeMap<u64, (&'o Told, &'o Operation<'o>)> {
    let mut stream: BTreeMap<u64, (&Told, &Operation<'_>)> = BTreeMap::new();
    let mut places: HashMap<&str, (u64, &Operation<'_>)> = HashMap::new();
    for page in &all.pages {
        for told in &page.events {
            let (before, earlier) = *stream.entry(told.0).or_insert((told, page.op));
            if before != told {
                report.note("event-changed", Some(of), &[earlier, page.op], || {
                    format!(
                        "Event {} is {before:?} in {}, and {told:?} in {}.",
                        told.0,
                        which(earlier),
                        which(page.op)
                    )
                });
                stream.insert(told.0, (told, page.op));
            }
            let (place, earlier) = *places.entry(&told.2).or_insert((told.0, page.op));
            if place != told.0 {
                report.note("repeated-goal", Some(of), &[earlier, page.op], || {
                    format!(
                        "The goal {} is event {place} in {}, and event {} in {}.",
                        told.2,
                        which(earlier),
                        told.0,
                        which(page.op)
                    )
                });
                places.insert(&told.2, (told.0, page.op));
            }
        }
    }
    for shown in &all.shown {
        if let (Some((told, page)), Some(score)) = (stream.get(&shown.sequence), &shown.score)
            && told.1 != *score
        {
            report.note("score-not-in-stream", Some(of), &[shown.op, page], || {
                format!(
                    "{} was shown {score:?} as event {}, which is {:?} in {}.",
                    which(shown.op),
                    shown.sequence,
                    told.1,
                    which(page)
                )
            });
        }
    }
    stream
}

/// What is in a stream was told, and not refused.
fn judge_origin(
    of: &Key,
    all: &Match<'_, '_>,
    stream: &BTreeMap<u64, (&Told, &Operation<'_>)>,
    report: &mut Report,
) {
    for (told, page) in stream.values() {
        match all.goals.get(&told.2) {
            None => {
                report.note("unknown-goal", Some(of), &[page], || {
                    format!("The goal {} was never told, and is in {}.", told.2, which(page))
                });
            }
            Some(goal) if goal.kind() == EventKind::Fail => {
                report.note("refused-goal", Some(of), &[goal, page], || {
                    format!(
                        "The goal {} was certainly not done in {}, and is in {}.",
                        told.2,
                        which(goal),
                        which(page)
                    )
                });
            }
            Some(_) => {}
        }
    }
}

/// Acknowledged goals are in the last whole stream, in their places. Answers how many were looked for.
fn judge_acknowledged(of: &Key, all: &Match<'_, '_>, report: &mut Report) -> usize {
    let whole = all.pages.iter().filter(|page| page.from <= 1).max_by_key(|page| page.op.call);
    let Some(whole) = whole else { return 0 };
    let mut looked_for = 0;
    let acknowledged = |op: &Operation<'_>| op.f() == "goal" && op.ret < whole.op.call;
    for goal in all.shown.iter().filter(|shown| acknowledged(shown.op)) {
        looked_for += 1;
        let Some(score) = &goal.score else { continue };
        match whole.events.iter().find(|told| told.2 == score.2) {
            None => {
                report.note("lost-goal", Some(of), &[goal.op, whole.op], || {
                    format!(
                        "The goal {} was acknowledged as event {} in {}, and is not in the stream in {}.",
                        score.2,
                        goal.sequence,
                        which(goal.op),
                        which(whole.op)
                    )
                });
            }
            Some(told) if told.0 != goal.sequence => {
                report.note("misplaced-goal", Some(of), &[goal.op, whole.op], || {
                    format!(
                        "The goal {} was acknowledged as event {} in {}, and is event {} in {}.",
                        score.2,
                        goal.sequence,
                        which(goal.op),
                        told.0,
                        which(whole.op)
                    )
                });
            }
            Some(_) => {}
        }
    }
    looked_for
}
