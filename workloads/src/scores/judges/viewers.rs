//! What viewers see never goes back.
//!
//! For one viewer (a client) the numbers of the scores of a match that it saw only grow. And for all of them: who
//! asks after somebody was shown a score, or a goal was acknowledged, is shown that one or a newer one. Linearizability says
//! the same and more; this judge says it in the words of the use case, needs no search, and looks at reads of the database
//! as well.

use std::collections::BTreeMap;

use ordeal_core::{Checker, Finding, History, Key, Operation, judge_operations};

use super::{Seen, seen};
use crate::report::{Report, which};

/// The judge.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::scores) struct Viewers;

const NAME: &str = "viewers";

impl Checker for Viewers {
    fn name(&self) -> String {
        NAME.to_owned()
    }

    fn check(&self, history: &History) -> Finding {
        judge_operations(NAME, history, |operations| judge_all(&operations))
    }
}

fn judge_all(operations: &[Operation<'_>]) -> Finding {
    let mut report = Report::default();
    let mut matches: BTreeMap<&Key, Vec<Seen<'_, '_>>> = BTreeMap::new();
    for op in operations {
        let Some(of) = op.key() else { continue };
        match seen(op) {
            Ok(Some(seen)) => matches.entry(of).or_default().push(seen),
            Ok(None) => {}
            Err(why) => report.undecided(why),
        }
    }
    let judged: usize = matches.values().map(Vec::len).sum();
    for (of, seen) in &matches {
        judge(of, seen, &mut report);
    }
    report.finding(NAME, format!("{judged} scores of {} matches", matches.len()), judged == 0)
}

/// Goes through the answers in the order in which they were asked for; before each come those that had arrived.
fn judge(of: &Key, seen: &[Seen<'_, '_>], report: &mut Report) {
    let mut asked: Vec<&Seen<'_, '_>> = seen.iter().collect();
    let mut arrived = asked.clone();
    asked.sort_by_key(|seen| seen.op.call);
    arrived.sort_by_key(|seen| seen.op.ret);
    let mut arrived = arrived.into_iter().peekable();
    let mut newest: Option<&Seen<'_, '_>> = None;
    let mut by_viewer: BTreeMap<u64, &Seen<'_, '_>> = BTreeMap::new();
    for now in asked {
        while let Some(before) = arrived.next_if(|before| before.op.ret < now.op.call) {
            for known in
                [newest.get_or_insert(before), by_viewer.entry(before.op.process()).or_insert(before)]
            {
                if before.sequence > known.sequence {
                    *known = before;
                }
            }
        }
        // A goal that is sent again may be an old one by now, and is answered as such.
        if now.op.f() == "goal" {
            continue;
        }
        let older_than = |before: &&Seen<'_, '_>| now.sequence < before.sequence;
        let tell = |before: &Seen<'_, '_>| {
            format!(
                "It stood at event {} in {}, and after that at event {} in {}{}.",
                before.sequence,
                which(before.op),
                now.sequence,
                which(now.op),
                if now.op.output().is_some_and(|answer| answer[2] == true) { ", from a copy" } else { "" },
            )
        };
        if let Some(&before) = by_viewer.get(&now.op.process()).filter(|before| older_than(before)) {
            report.note("score-went-back", Some(of), &[before.op, now.op], || tell(before));
        }
        if let Some(before) = newest.filter(older_than) {
            report.note("stale-score", Some(of), &[before.op, now.op], || tell(before));
        }
    }
}
