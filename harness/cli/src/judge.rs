//! From a run directory or a history file to a judgement.

use std::fs::File;
use std::io::Write;
use std::panic::AssertUnwindSafe;
use std::path::Path;

use anyhow::Context;
use ordeal_core::{Checker, Finding, History, Judgement, Limits, Plan, Verdict};
use ordeal_runner::RunDir;

use crate::exit::{UsageError, eprint, usage};
use crate::resolve;

/// Node logs are searched for panics up to this size each.
const LOG_BYTES: u64 = 256 * 1024 * 1024;

/// The finding of a run that was not carried out to its end.
pub(crate) const COMPLETE: &str = "complete";

/// Reads the history of a run.
pub(crate) fn read_history(path: &Path) -> anyhow::Result<History> {
    let mut bytes = std::fs::read(path).map_err(|e| UsageError(format!("{}: {e}", path.display())))?;
    if let Err(e) = std::str::from_utf8(&bytes) {
        let good = e.valid_up_to();
        if bytes[good..].contains(&b'\n') {
            let line = 1 + bytes[..good].iter().filter(|b| **b == b'\n').count();
            return usage(format!("{}: line {line}: not UTF-8", path.display()));
        }
        // The last line was cut off, perhaps within a character: the parser sets it aside.
        bytes.truncate(good);
    }
    let text = String::from_utf8(bytes).unwrap_or_default();
    Ok(History::parse(&text).map_err(|e| UsageError(format!("{}: {e}", path.display())))?)
}

/// Judges a run directory: the workload's judges, whether the faults bit, and what the nodes' logs say.
pub(crate) fn judge_run(dir: &RunDir, limits: &Limits) -> anyhow::Result<(Plan, History, Judgement)> {
    let plan = resolve::read_plan(&dir.plan())?;
    let history = read_history(&dir.history())?;
    let workload = resolve::find_workload(&plan.workload)?;
    let mut checkers = workload.checkers(&plan);
    checkers.push(Box::new(ordeal_checkers::Faults::new(plan.all_fault_kinds())));
    checkers.push(Box::new(ordeal_checkers::Crashes));
    checkers.push(Box::new(ordeal_checkers::Recovery));
    checkers.iter_mut().for_each(|checker| checker.limit(limits));
    let mut findings = judge(&checkers, &history);
    findings.push(judge_logs(dir, &plan)?);
    let harness = |f: &str| history.events.iter().find(|e| e.f == f && e.process.client().is_none());
    if harness("interrupted").is_some() {
        let why = "the run was interrupted before its final reads";
        findings.push(Finding::new(COMPLETE, Verdict::Unknown, why));
    } else if let Some(failed) = harness("failed") {
        findings.push(Finding::new(COMPLETE, Verdict::Unknown, format!("the run failed: {}", failed.value)));
    } else if !history.events.iter().any(|e| e.f == "phase" && e.value == "stop") {
        findings.push(Finding::new(
            COMPLETE,
            Verdict::Unknown,
            "the run was cut short: the harness died or failed",
        ));
    }
    Ok((plan, history, Judgement::of(findings)))
}

/// Lets every checker judge. One that panics has decided nothing, and masks nothing.
pub(crate) fn judge(checkers: &[Box<dyn Checker>], history: &History) -> Vec<Finding> {
    let judge_one = |checker: &dyn Checker| {
        let judged = std::panic::catch_unwind(AssertUnwindSafe(|| checker.check(history)));
        judged.unwrap_or_else(|_| panicked(checker.name()))
    };
    checkers.iter().map(|checker| judge_one(&**checker)).collect()
}

/// The finding of a checker that panicked.
pub(crate) fn panicked(name: String) -> Finding {
    Finding::new(name, Verdict::Unknown, "the checker panicked; this is a bug in ordeal")
}

fn judge_logs(dir: &RunDir, plan: &Plan) -> anyhow::Result<Finding> {
    let mut finding = Finding::new("logs", Verdict::Valid, "no panic in the nodes' logs");
    for i in 1..=plan.all_nodes() {
        let id = format!("n{i}");
        for name in ["stdout.log", "stderr.log"] {
            let path = dir.node(&id).join(name);
            let Ok(file) = File::open(&path) else { continue };
            if file.metadata().is_ok_and(|m| m.len() > LOG_BYTES) {
                finding.verdict = Verdict::Unknown;
                finding.summary =
                    format!("{id} wrote more than {} MB; the rest was not read", LOG_BYTES >> 20);
            }
            let mut bytes = Vec::new();
            std::io::Read::read_to_end(&mut std::io::Read::take(file, LOG_BYTES), &mut bytes)
                .with_context(|| path.display().to_string())?;
            finding.anomalies.extend(ordeal_checkers::panics_in_log(&id, &String::from_utf8_lossy(&bytes)));
        }
    }
    if !finding.anomalies.is_empty() {
        finding.verdict = Verdict::Invalid;
        finding.summary = format!("{} panics in the nodes' logs", finding.anomalies.len());
    }
    Ok(finding)
}

/// Writes what follows from a run beside it: the verdict and the report. Only these are ever replaced. A
/// disk that has no room for them does not change the verdict, so this only warns.
pub(crate) fn save(dir: &RunDir, plan: &Plan, history: &History, judgement: &Judgement) {
    let judged =
        ordeal_report::Judged { dir: Some(dir.path()), plan: Some(plan), history, totals: None, judgement };
    let saved = serde_json::to_string_pretty(judgement)
        .context("the verdict as JSON")
        .and_then(|verdict| replace(&dir.verdict(), format!("{verdict}\n").as_bytes()))
        .and_then(|()| replace(&dir.path().join("report.html"), ordeal_report::html(&judged).as_bytes()));
    if let Err(error) = saved {
        eprint(&format!("ordeal: the verdict could not be saved: {error:#}"));
    }
}

/// Replaces a file in one step: there is never half of it.
fn replace(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    // Somebody else may judge the same run at the same time.
    let fresh = path.with_extension(format!("{}.new", std::process::id()));
    let written = File::create(&fresh).and_then(|mut file| file.write_all(bytes));
    written.and_then(|()| std::fs::rename(&fresh, path)).with_context(|| path.display().to_string())
}
