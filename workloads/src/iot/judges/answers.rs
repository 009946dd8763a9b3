//! Answers about machines that contradict one another: one node shut the machine down, another did nothing.
//!
//! Every answer names the machine's last transition. So, apart from the search for an order
//! (linearizability), it can be seen at once that
//!
//! - `conflicting-action`: of one transition of a machine two states were told;
//! - `retry-answered-differently`: a request that was sent again got another answer;
//! - `stale-answer`: an answer is older than one that had ended before it was asked for;
//! - `shutdown-forgotten`: a machine that was shut down does something else, though nobody reset it.

use std::collections::{BTreeMap, HashMap};

use ordeal_core::{Checker, EventKind, Finding, History, Key, Operation, Verdict};

use super::observed::Observed;
use crate::iot::op::RESET;
use crate::report::{Report, who};

/// The judge.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::iot) struct Answers;

const NAME: &str = "machine-answers";

/// An answer about a machine.
struct Answered<'o> {
    op: &'o Operation<'o>,
    state: &'o str,
    index: u64,
    /// Made a transition, rather than read the last one.
    changed: bool,
}

impl Checker for Answers {
    fn name(&self) -> String {
        NAME.to_owned()
    }

    fn check(&self, history: &History) -> Finding {
        let seen = match Observed::of(history) {
            Ok(seen) => seen,
            Err(why) => return Finding::new(NAME, Verdict::Unknown, why),
        };
        let mut report = Report::default();
        let mut machines: BTreeMap<&Key, Vec<Answered<'_>>> = BTreeMap::new();
        let mut resets: HashMap<&Key, Vec<&Operation<'_>>> = HashMap::new();
        for request in &seen.requests {
            if request.op.f() == RESET && request.op.kind() != EventKind::Fail {
                resets.entry(&request.machine).or_default().push(&request.op);
            }
            let Some(answer) = &request.answer else { continue };
            if answer.again.as_ref().is_some_and(|again| *again != answer.done) {
                report.note("retry-answered-differently", Some(&request.machine), &[&request.op], || {
                    format!("{:?}, then {:?} ({}).", answer.done, answer.again, who(&request.op))
                });
            }
            let (state, index) = (&*answer.done.state, answer.done.index);
            let answered = Answered { op: &request.op, state, index, changed: true };
            machines.entry(&request.machine).or_default().push(answered);
        }
        for (op, machine, standing) in &seen.reads {
            let answered = Answered { op, state: &standing.state, index: standing.index, changed: false };
            machines.entry(machine).or_default().push(answered);
        }
        let count: usize = machines.values().map(Vec::len).sum();
        for (machine, answers) in &mut machines {
            answers.sort_by_key(|answer| answer.op.call);
            conflicts(machine, answers, &mut report);
            stale(machine, answers, &mut report);
            let resets = resets.remove(machine).unwrap_or_default();
            forgotten(machine, answers, resets, &mut report);
        }
        let judged = format!("{count} answers about {} machines", machines.len());
        report.finding(NAME, judged, count == 0)
    }
}

fn conflicts(machine: &Key, answers: &[Answered<'_>], report: &mut Report) {
    let mut told: HashMap<u64, &Answered<'_>> = HashMap::new();
    for answer in answers {
        let first = told.entry(answer.index).or_insert(answer);
        if first.state != answer.state {
            report.note("conflicting-action", Some(machine), &[first.op, answer.op], || {
                format!(
                    "by its transition {} {machine} was `{}` ({}), and `{}` ({}).",
                    answer.index,
                    first.state,
                    who(first.op),
                    answer.state,
                    who(answer.op)
                )
            });
        }
    }
}

/// Goes through the answers in the order in which they were asked for, with, for each, the greatest by
/// `rank` of those that had ended before.
fn with_greatest_before<'o, K: Ord>(
    answers: &'o [Answered<'o>],
    counts: impl Fn(&Answered<'_>) -> bool,
    rank: impl Fn(&Answered<'_>) -> K,
    mut look: impl FnMut(&'o Answered<'o>, &'o Answered<'o>),
) {
    let mut ended: Vec<&Answered<'_>> = answers.iter().filter(|answer| counts(answer)).collect();
    ended.sort_by_key(|answer| answer.op.ret);
    let (mut ended, mut greatest) = (ended.into_iter().peekable(), None);
    for answer in answers {
        while let Some(before) = ended.next_if(|before| before.op.ret < answer.op.call) {
            greatest = greatest.filter(|g: &&Answered<'_>| rank(g) >= rank(before)).or(Some(before));
        }
        if let Some(before) = greatest {
            look(before, answer);
        }
    }
}

fn stale(machine: &Key, answers: &[Answered<'_>], report: &mut Report) {
    with_greatest_before(
        answers,
        |_| true,
        |answer| answer.index,
        |before, answer| {
            if answer.index < before.index || (answer.changed && answer.index == before.index) {
                report.note("stale-answer", Some(machine), &[before.op, answer.op], || {
                    format!(
                        "{machine} was at transition {} ({}), and an answer asked for later is at {} ({}).",
                        before.index,
                        who(before.op),
                        answer.index,
                        who(answer.op)
                    )
                });
            }
        },
    );
}

/// The shutdown asked for last leaves the fewest resets that may have come after it.
fn forgotten(machine: &Key, answers: &[Answered<'_>], mut resets: Vec<&Operation<'_>>, report: &mut Report) {
    resets.sort_by_key(|reset| reset.call);
    // Of the resets asked for so far, the end of the one that ended last.
    let mut last_end = Vec::with_capacity(resets.len());
    for reset in &resets {
        last_end.push(reset.ret.max(last_end.last().copied().unwrap_or(0)));
    }
    with_greatest_before(
        answers,
        |answer| answer.state == "shutdown",
        |answer| answer.op.call,
        |shut, answer| {
            let asked = resets.partition_point(|reset| reset.call < answer.op.ret);
            let may_be_reset = asked.checked_sub(1).is_some_and(|at| last_end[at] > shut.op.call);
            if answer.state != "shutdown" && !may_be_reset {
                report.note("shutdown-forgotten", Some(machine), &[shut.op, answer.op], || {
                    format!(
                        "{machine} was shut down ({}), and is `{}` ({}), though nobody reset it.",
                        who(shut.op),
                        answer.state,
                        who(answer.op)
                    )
                });
            }
        },
    );
}
