//! `ordeal check`: judges a recorded run again, or a history file in any format that is known.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use anyhow::Context;
use ordeal_checkers::{Budget, JUDGES, JudgeEntry, MODELS, Options};
use ordeal_core::{Checker, History, Judgement, Limits, Plan};
use ordeal_formats::{Profile, ReadOptions, Summary};
use ordeal_report::{Judged, Totals};
use ordeal_runner::RunDir;
use serde_json::{Value, json};

use crate::args::{CheckArgs, Expect};
use crate::exit::{Exit, UsageError, eprint, print, style, usage};
use crate::file::{self, FileJudged, ms, peak_memory_mb};
use crate::{judge, resolve};

/// The measurement in which a judge leaves the order it found.
const ORDER: &str = "linearization";

pub(crate) fn main(args: &CheckArgs) -> anyhow::Result<Exit> {
    let is_input = file::is_input(&args.path);
    if !is_input && let Err(e) = std::fs::metadata(&args.path) {
        return usage(format!("{}: {e}", args.path.display()));
    }
    let judgement = match !is_input && args.path.is_dir() {
        true => check_run(args)?,
        false => check_file(args)?,
    };
    Ok(Exit::of(judgement.verdict, args.expect == Expect::Invalid))
}

fn limits(args: &CheckArgs) -> Limits {
    Limits {
        time_ms: args.time_limit.map(|limit| limit.as_millis() as u64),
        memory_bytes: args.memory_limit,
        all: args.all,
    }
}

fn check_run(args: &CheckArgs) -> anyhow::Result<Judgement> {
    let named = args.model.is_some() || args.workload.is_some();
    let read = args.format.is_some() || args.initial.is_some() || args.independent;
    if named || read || args.order.is_some() {
        return usage(
            "a run directory names its own workload; --model, --workload, --format, --initial, \
             --independent and --order are for history files",
        );
    }
    let dir = RunDir::open(&args.path);
    let began = Instant::now();
    let (plan, history, judgement) = judge::judge_run(&dir, &limits(args))?;
    let timing = json!({ "parse_and_judge_ms": ms(began), "peak_memory_mb": peak_memory_mb() });
    judge::save(&dir, &plan, &history, &judgement);
    let judged = Judged {
        dir: Some(dir.path()),
        plan: Some(&plan),
        history: &history,
        totals: None,
        judgement: &judgement,
    };
    show(args, &judged, &timing)?;
    Ok(judgement)
}

fn check_file(args: &CheckArgs) -> anyhow::Result<Judgement> {
    let options = ReadOptions { format: args.format, independent: args.independent };
    let reader = file::open(&args.path, &options)?;
    let checkers = judges(args, &reader.profile())?;
    // Before anything is judged: a place that cannot be written to is no reason to lose a verdict.
    let order = args.order.as_deref().map(create_order).transpose()?;
    let FileJudged { findings, summary, history, parse_ms, judge_ms } =
        file::read_and_judge(&args.path, reader, &checkers)?;
    let timing = json!({ "parse_ms": parse_ms, "judge_ms": judge_ms, "peak_memory_mb": peak_memory_mb() });
    let mut judgement = Judgement::of(findings);
    if let (Some(file), Some(path)) = (order, &args.order) {
        write_order(file, path, &mut judgement)?;
    }
    let Summary { ok, fail, info, time_ns_max, truncated, notes, .. } = summary;
    for note in notes {
        eprint(&format!("ordeal: {}: {note}", args.path.display()));
    }
    let history = match history {
        Some(history) => history,
        None => History { events: cited(args, &options, &judgement), truncated },
    };
    let totals = Some(Totals { ok, fail, info, time_ns_max });
    let judged = Judged { dir: None, plan: None, history: &history, totals, judgement: &judgement };
    show(args, &judged, &timing)?;
    Ok(judgement)
}

/// The judges that were asked for, or the one that the file leaves no choice but to ask.
fn judges(args: &CheckArgs, profile: &Profile) -> anyhow::Result<Vec<Box<dyn Checker>>> {
    if let Some(name) = &args.workload {
        let mut checkers = resolve::find_workload(name)?.checkers(&Plan::nothing(name, ""));
        checkers.iter_mut().for_each(|checker| checker.limit(&limits(args)));
        return Ok(checkers);
    }
    let Some(name) = args.model.as_deref().or(profile.model) else {
        return usage(format!(
            "a history file in the format `{}` needs --model or --workload to be judged by",
            profile.format.name()
        ));
    };
    let entry = ordeal_checkers::judge_named(name).ok_or_else(|| {
        let known: Vec<_> = MODELS.iter().chain(JUDGES).map(|entry| entry.about.name).collect();
        UsageError(format!("there is no model `{name}`; there are: {}", known.join(", ")))
    })?;
    Ok(vec![(entry.judge)(&judge_options(args, profile, entry))])
}

fn judge_options(args: &CheckArgs, profile: &Profile, entry: &JudgeEntry) -> Options {
    let Limits { time_ms, memory_bytes, all } = limits(args);
    let budget = Budget::default();
    Options {
        budget: Budget {
            time_ms: time_ms.unwrap_or(budget.time_ms),
            memory_bytes: memory_bytes.unwrap_or(budget.memory_bytes),
            shrink_ms: args.shrink_limit.map_or(budget.shrink_ms, |limit| limit.as_millis() as u64),
        },
        all,
        order: args.order.is_some(),
        level: args.level.clone(),
        strict: args.strict,
        overdraft: args.overdraft,
        max_versions: args.max_versions,
        max_ms: args.max_staleness.map(|bound| bound.as_millis() as u64),
        lease_ms: args.lease.map(|bound| bound.as_millis() as u64),
        initial: args.initial.clone().or_else(|| profile.initial(entry.about.name)),
        null_is_unknown: profile.null_is_unknown,
        failed_cas_proves: profile.failed_cas_proves,
    }
}

/// Creates the file for the order; one that is there already is left alone.
fn create_order(path: &Path) -> anyhow::Result<File> {
    File::create_new(path).or_else(|e| usage(format!("--order: {}: {e}", path.display())))
}

/// Moves the order that a judge found into its file: it is as long as the history.
fn write_order(mut file: File, path: &Path, judgement: &mut Judgement) -> anyhow::Result<()> {
    let found = judgement.findings.iter_mut().find_map(|finding| finding.measurements.remove(ORDER));
    match found {
        Some(order) => writeln!(file, "{order}").with_context(|| path.display().to_string()),
        None => {
            eprint(&format!("ordeal: {} is not written: no order was found", path.display()));
            std::fs::remove_file(path).with_context(|| path.display().to_string())
        }
    }
}

/// The events that a report for a person names. They are read again, which standard input cannot be.
fn cited(args: &CheckArgs, options: &ReadOptions, judgement: &Judgement) -> Vec<ordeal_core::Event> {
    let anomalies = judgement.findings.iter().flat_map(|finding| &finding.anomalies);
    let indices: BTreeSet<u64> = anomalies.flat_map(|anomaly| anomaly.events.iter().copied()).collect();
    let can_be_read_again = args.path.is_file();
    if args.json || indices.is_empty() || !can_be_read_again {
        return Vec::new();
    }
    // Somebody may have changed the file meanwhile. The verdict stands without them.
    file::cited(&args.path, options, &indices).unwrap_or_default()
}

fn show(args: &CheckArgs, judged: &Judged<'_>, timing: &Value) -> anyhow::Result<()> {
    let text = match (args.json, args.timing) {
        (false, false) => ordeal_report::text(judged, style()),
        (false, true) => format!("{}  timing {timing}\n", ordeal_report::text(judged, style())),
        (true, timed) => {
            let mut judgement = serde_json::to_value(judged.judgement)?;
            if timed {
                judgement["timing"] = timing.clone();
            }
            if let Some(cut) = &judged.history.truncated {
                judgement["cut_off"] = json!(cut);
            }
            serde_json::to_string_pretty(&judgement)? + "\n"
        }
    };
    print(&text);
    Ok(())
}
