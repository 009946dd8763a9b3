//! What became of a run.

use std::fs;
use std::path::Path;

use ordeal_core::{Bug, Finding, Judgement, Process, Verdict};
use ordeal_runner::RunDir;

use super::subject::Subject;
use crate::judge;

/// What a run says about a subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The sound target is valid.
    Sound,
    /// The bug was reported by an anomaly by which it must be.
    Caught,
    /// The run with the bug is valid.
    Missed,
    /// The run with the bug is not valid, by none of the anomalies by which it must be reported.
    CaughtOtherwise,
    /// The sound target is not valid.
    Accused,
    /// Unknown or vacuous.
    Undecided,
    /// There is no verdict, and why.
    NotRun(String),
}

/// A run.
#[derive(Clone, Debug)]
pub(super) struct Ran {
    pub(super) outcome: Outcome,
    /// The anomalies that were reported.
    pub(super) anomalies: Vec<String>,
    /// From the first operation to the last event of the earliest violation, in seconds.
    pub(super) found_after_s: Option<f64>,
}

impl Ran {
    /// In words, for the progress.
    pub(super) fn words(&self) -> String {
        let anomalies = self.anomalies.join(", ");
        match &self.outcome {
            Outcome::Sound => "valid".to_owned(),
            Outcome::Caught => {
                let after = self.found_after_s.map_or_else(String::new, |s| format!(" after {s:.1} s"));
                format!("caught{after}: {anomalies}")
            }
            Outcome::Missed => "MISSED".to_owned(),
            Outcome::CaughtOtherwise => format!("CAUGHT OTHERWISE: {anomalies}"),
            Outcome::Accused => format!("FALSELY ACCUSED: {anomalies}"),
            Outcome::Undecided => "undecided".to_owned(),
            Outcome::NotRun(why) => format!("not run: {why}"),
        }
    }
}

/// Reads the outcome of a run that is over; `None` if there is none, or it was cut short.
pub(super) fn read(run: &Path, subject: &Subject) -> Option<Ran> {
    let dir = RunDir::open(run);
    let judgement = judged(&dir).filter(|judgement| cut_short(judgement).is_none())?;
    let anomalies = || judgement.findings.iter().flat_map(|finding| &finding.anomalies);
    let mut names: Vec<String> = Vec::new();
    for anomaly in anomalies() {
        if !names.contains(&anomaly.name) {
            names.push(anomaly.name.clone());
        }
    }
    let found_after_s = match judgement.verdict {
        Verdict::Invalid => found_after_s(&dir, anomalies().map(|anomaly| &anomaly.events[..])),
        _ => None,
    };
    Some(Ran { outcome: outcome(judgement.verdict, subject.bug, &names), anomalies: names, found_after_s })
}

fn outcome(verdict: Verdict, bug: Option<&Bug>, anomalies: &[String]) -> Outcome {
    match (verdict, bug) {
        (Verdict::Unknown | Verdict::Vacuous, _) => Outcome::Undecided,
        (Verdict::Valid, None) => Outcome::Sound,
        (Verdict::Invalid, None) => Outcome::Accused,
        (Verdict::Valid, Some(_)) => Outcome::Missed,
        (Verdict::Invalid, Some(bug)) => {
            let named = anomalies.iter().any(|name| bug.anomalies.contains(&&**name));
            if named { Outcome::Caught } else { Outcome::CaughtOtherwise }
        }
    }
}

/// When the earliest of these violations, each known by its events, was complete.
fn found_after_s<'a>(dir: &RunDir, violations: impl Iterator<Item = &'a [u64]>) -> Option<f64> {
    let history = judge::read_history(&dir.history()).ok()?;
    let client = |process: &Process| process.client().is_some();
    let first_ns = history.events.iter().find(|event| client(&event.process))?.time;
    // Indices ascend, but not every number need be there.
    let time_of = |index: &u64| {
        let at = history.events.binary_search_by_key(index, |event| event.index).ok()?;
        Some(history.events[at].time)
    };
    let complete = violations.filter_map(|events| events.iter().filter_map(time_of).max());
    complete.min().map(|time_ns| time_ns.saturating_sub(first_ns) as f64 / 1e9)
}

/// A run that came to no verdict, or was cut short, and why: what its judgement says, or what it said last.
pub(super) fn not_run(run: &Path, said: &Path) -> Ran {
    let judgement = judged(&RunDir::open(run));
    let why = match judgement.as_ref().and_then(cut_short) {
        Some(finding) => finding.summary.clone(),
        None => {
            let said = fs::read_to_string(said).unwrap_or_default();
            let last = said.lines().rev().find(|line| !line.trim().is_empty());
            last.unwrap_or("it said nothing").trim_start_matches("ordeal: ").to_owned()
        }
    };
    Ran { outcome: Outcome::NotRun(why), anomalies: Vec::new(), found_after_s: None }
}

fn judged(dir: &RunDir) -> Option<Judgement> {
    serde_json::from_str(&fs::read_to_string(dir.verdict()).ok()?).ok()
}

fn cut_short(judgement: &Judgement) -> Option<&Finding> {
    judgement.findings.iter().find(|finding| finding.checker == judge::COMPLETE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_anomaly_that_the_bug_does_not_name_is_another_finding() {
        let bug = Bug { name: "b", about: "", anomalies: &["stale"], faults: "none" };
        let named = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        for (verdict, bug, anomalies, expected) in [
            (Verdict::Valid, None, &[][..], Outcome::Sound),
            (Verdict::Invalid, None, &["stale"][..], Outcome::Accused),
            (Verdict::Valid, Some(&bug), &[][..], Outcome::Missed),
            (Verdict::Invalid, Some(&bug), &["lost", "stale"][..], Outcome::Caught),
            (Verdict::Invalid, Some(&bug), &["lost"][..], Outcome::CaughtOtherwise),
            (Verdict::Unknown, Some(&bug), &[][..], Outcome::Undecided),
            (Verdict::Vacuous, None, &[][..], Outcome::Undecided),
        ] {
            assert_eq!(outcome(verdict, bug, &named(anomalies)), expected);
        }
    }
}
