//! Golden histories: the name of the folder is the expected verdict.

#![allow(clippy::unwrap_used, reason = "the lint does not see that helpers here are tests too")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use ordeal_checkers::{
    Budget, CHECKERS, Convergence, Crashes, Faults, JUDGES, JudgeEntry, Linearizable, MODELS, Options,
    Recovery, Register, panics_in_log,
};
use ordeal_core::{Anomaly, Checker, Finding, History, Judgement, Verdict};

/// The judge of each folder.
fn judges() -> Vec<(String, Box<dyn Checker>)> {
    let mut judges: Vec<(String, Box<dyn Checker>)> = Vec::new();
    let registered = |entry: &JudgeEntry| (entry.judge)(&Options::default()).unwrap();
    judges
        .extend(MODELS.iter().map(|model| (format!("linearizable-{}", model.about.name), registered(model))));
    judges.extend(JUDGES.iter().map(|judge| (judge.about.name.to_owned(), registered(judge))));
    let faults = Faults::new(vec!["partition".to_owned(), "kill".to_owned()]);
    judges.push(("faults".to_owned(), Box::new(faults)));
    judges.push(("faults-none-planned".to_owned(), Box::new(Faults::default())));
    judges.push(("crashes".to_owned(), Box::new(Crashes)));
    judges.push(("recovery".to_owned(), Box::new(Recovery)));
    judges
}

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden")
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap_or_else(|e| panic!("{}: {e}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    entries.sort();
    entries
}

fn name(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

fn history(path: &Path) -> History {
    let history = History::parse(&fs::read_to_string(path).unwrap()).unwrap();
    let dense = (0..).zip(&history.events).all(|(i, e)| e.index == i);
    assert!(dense, "{}: indices", path.display());
    history
}

fn finding(folder: &str, case: &str) -> Finding {
    let path = golden().join(folder).join(case).with_extension("jsonl");
    let judges = judges();
    let judge = judges.iter().find(|j| j.0 == folder).unwrap();
    judge.1.check(&history(&path))
}

#[test]
fn every_golden_history_gets_the_verdict_of_its_folder() {
    let judges = judges();
    let folders = entries(&golden());
    let known: Vec<&str> = folders.iter().map(|f| name(f)).collect();
    for (folder, _) in &judges {
        assert!(known.iter().any(|k| k == folder), "no golden histories for {folder}");
    }
    for folder in &folders {
        let judge = judges.iter().find(|j| j.0 == name(folder));
        let judge = &judge.unwrap_or_else(|| panic!("no judge for {}", folder.display())).1;
        for verdict in entries(folder) {
            for file in entries(&verdict) {
                let history = history(&file);
                let finding = judge.check(&history);
                assert_eq!(finding.verdict.as_str(), name(&verdict), "{}: {finding:#?}", file.display());
                assert_eq!(finding, judge.check(&history), "the same history, the same finding");
                let backwards = backwards(judge.as_ref(), &history, &finding);
                assert_eq!(gist(&finding), gist(&backwards), "in any order");
                check_form(&finding, &history, &file);
            }
        }
    }
}

/// What a judge that takes operations one after another says when they come in the opposite order.
fn backwards(judge: &dyn Checker, history: &History, otherwise: &Finding) -> Finding {
    let (Some(mut intake), Ok(operations)) = (judge.intake(), history.operations()) else {
        return otherwise.clone();
    };
    history.events.iter().filter(|e| e.process.client().is_none()).for_each(|e| intake.mark(e));
    operations.iter().rev().for_each(|op| intake.take(op));
    intake.finish()
}

/// The verdict, and what is cited for the gravest anomaly. What else follows may depend on which of two
/// contradictory answers was seen first.
fn gist(finding: &Finding) -> (Verdict, Option<(&str, BTreeSet<u64>)>) {
    let cited = |a: &Anomaly| a.events.iter().copied().collect();
    let gravest = finding.anomalies.first().map(|a| (a.name.as_str(), cited(a)));
    (finding.verdict, gravest)
}

/// What must hold for every finding.
fn check_form(finding: &Finding, history: &History, file: &Path) {
    let at = file.display();
    assert!(!finding.summary.is_empty(), "{at}: a summary");
    let violated = finding.verdict == Verdict::Invalid;
    assert_eq!(violated, !finding.anomalies.is_empty(), "{at}: anomalies go with violations");
    for anomaly in &finding.anomalies {
        assert!(!anomaly.events.is_empty(), "{at}: cites nothing");
        for index in &anomaly.events {
            assert!((*index as usize) < history.events.len(), "{at}: cites {index}");
        }
        assert!(!anomaly.message.is_empty(), "{at}: says nothing");
    }
    let text = serde_json::to_string(finding).unwrap();
    assert_eq!(&serde_json::from_str::<Finding>(&text).unwrap(), finding, "{at}: survives JSON");
}

#[test]
fn every_registered_checker_and_model_has_golden_histories() {
    let folders: Vec<String> = entries(&golden()).iter().map(|f| name(f).to_owned()).collect();
    for checker in CHECKERS.iter().filter(|c| !c.name.contains("MODEL")) {
        assert!(folders.iter().any(|f| f == checker.name), "{}", checker.name);
    }
    for model in MODELS {
        let folder = format!("linearizable-{}", model.about.name);
        assert!(folders.contains(&folder), "{folder}");
    }
    for judge in JUDGES {
        assert!(folders.iter().any(|f| f == judge.about.name), "{}", judge.about.name);
    }
}

#[test]
fn every_judge_goes_by_a_registered_name() {
    for (_, judge) in judges() {
        let name = judge.name();
        let model = MODELS.iter().any(|m| name == format!("linearizable({})", m.about.name));
        let judge = JUDGES.iter().any(|j| j.about.name == name);
        assert!(model || judge || CHECKERS.iter().any(|c| c.name == name), "{name}");
    }
}

#[test]
fn no_judge_panics_on_or_approves_of_an_empty_history() {
    for (folder, judge) in judges() {
        let verdict = judge.check(&History::default()).verdict;
        let expected = match &*folder {
            "faults-none-planned" => Verdict::Valid,
            _ => Verdict::Vacuous,
        };
        assert_eq!(verdict, expected, "{folder}");
    }
}

#[test]
fn a_violation_beside_an_undecided_judge_stays_a_violation() {
    let invalid = finding("linearizable-register", "invalid/stale-read");
    let unknown = finding("recovery", "unknown/one-node-stays-away");
    let vacuous = finding("stats", "vacuous/empty");
    let judgement = Judgement::of(vec![vacuous, invalid, unknown]);
    assert_eq!(judgement.verdict, Verdict::Invalid);
}

#[test]
fn a_stale_read_is_explained() {
    let finding = finding("linearizable-register", "invalid/stale-read");
    let anomaly = &finding.anomalies[0];
    assert_eq!(anomaly.name, "nonlinearizable");
    assert_eq!(
        anomaly.message,
        "key 1: `read 1` (process 1 on n2, 5.000 to 6.000 ms) cannot be placed in any order: when it ended, \
         the only possible states were 2. These 3 operations contradict one another, whatever else took \
         effect and whenever: `write 1` (process 0 on n1, 1.000 to 2.000 ms); `write 2` (process 0 on n1, \
         3.000 to 4.000 ms); `read 1` (process 1 on n2, 5.000 to 6.000 ms)."
    );
    assert_eq!(anomaly.events, [0, 1, 2, 3, 4, 5]);
    assert_eq!(anomaly.details["longest_order"]["total"], 2);
}

#[test]
fn a_lost_element_names_its_addition_and_the_read_that_lacks_it() {
    let finding = finding("set-durability", "invalid/lost");
    let anomaly = &finding.anomalies[0];
    assert_eq!(anomaly.name, "lost-element");
    assert_eq!(
        anomaly.message,
        "key 1: 1 element acknowledged but missing from a final read: 2 (add by process 1 on n2, 5.000 to \
         6.000 ms; read by process 1 on n2, 16.000 to 17.000 ms)."
    );
    assert_eq!(anomaly.events, [4, 5, 15, 16]);
    let names = |case| {
        let finding = self::finding("set-durability", case);
        finding.anomalies.iter().map(|a| a.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(names("invalid/resurrected"), ["resurrected-element"]);
    assert_eq!(names("invalid/unexpected"), ["unexpected-element"]);
    assert_eq!(names("invalid/duplicate"), ["duplicate-element"]);
}

#[test]
fn a_divergence_names_the_replica_and_the_difference() {
    let behind = finding("convergence", "invalid/one-replica-is-behind");
    assert_eq!(
        behind.anomalies[0].message,
        "key 1: the final `read` differs between nodes: n1, n2 answered [1,1]; n3 answered [0,null]."
    );
    let missing = finding("convergence", "invalid/an-element-is-missing");
    assert!(missing.anomalies[0].message.contains("n2 lacks 2"), "{}", missing.anomalies[0].message);
}

#[test]
fn convergence_can_compare_as_sets() {
    let path = golden().join("convergence/valid/all-agree.jsonl");
    let text = fs::read_to_string(path).unwrap();
    let mixed = text.replacen("[1,1],\"key\":1,\"node\":\"n3\"", "[1],\"key\":1,\"node\":\"n3\"", 1);
    assert_ne!(text, mixed);
    let history = History::parse(&mixed).unwrap();
    assert_eq!(Convergence::new(["read"]).check(&history).verdict, Verdict::Invalid);
    let as_sets = Convergence::new(["read"]).as_sets();
    assert_eq!(as_sets.check(&history).verdict, Verdict::Valid);
}

#[test]
fn statistics_are_counted_by_function_and_phase() {
    let finding = finding("stats", "valid/failures-are-no-violation");
    let m = &finding.measurements;
    assert_eq!(m["by_function"]["write"]["fail"], 1);
    assert_eq!(m["by_phase"]["load"]["invoked"], 3);
    assert_eq!(m["by_phase_and_function"]["load"]["write"]["ok"], 1);
    assert_eq!(m["by_function"]["read"]["latency_ms_p99"], 1.0);
    assert!((m["availability"].as_f64().unwrap() - 2.0 / 3.0).abs() < 1e-9);
    assert_eq!(m["errors"][0]["error"], "refused");
}

#[test]
fn a_crash_quotes_the_last_words() {
    let finding = finding("crashes", "invalid/exit");
    let anomaly = &finding.anomalies[0];
    assert_eq!(anomaly.name, "crash");
    assert!(anomaly.message.starts_with("n2 ended by itself"), "{}", anomaly.message);
    assert!(anomaly.message.ends_with("index out of bounds"), "{}", anomaly.message);
    assert_eq!(panics_in_log("n2", "thread 'main' panicked at src/main.rs:3:5:\n").len(), 1);
}

#[test]
fn what_was_wrong_with_a_fault_is_said() {
    let toothless = finding("faults", "vacuous/a-fault-without-teeth");
    assert_eq!(toothless.summary, "never proved to bite: partition (all links answer)");
    let standing = finding("faults", "unknown/heal-not-proved");
    assert!(standing.summary.contains("heal-not-proved at event 11: still cut"), "{}", standing.summary);
}

#[test]
fn without_time_or_memory_the_verdict_is_unknown() {
    let path = golden().join("linearizable-register/invalid/two-cas-from-one-value.jsonl");
    let history = history(&path);
    let starved = |time_ms, memory_bytes| {
        let budget = Budget { time_ms, memory_bytes, ..Budget::default() };
        let checker = Linearizable::new(Register::default()).with_budget(budget);
        checker.check(&history)
    };
    for (finding, why) in [(starved(0, 1 << 30), "out of time"), (starved(60_000, 0), "out of memory")] {
        assert_eq!(finding.verdict, Verdict::Unknown);
        assert!(finding.summary.contains(why), "{}", finding.summary);
        assert!(finding.summary.contains("after 0 of 3 completed operations"), "{}", finding.summary);
    }
    assert_eq!(starved(60_000, 1 << 30).verdict, Verdict::Invalid);
}
