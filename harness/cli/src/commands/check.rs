//! `ordeal check`: judges a recorded run again, or any history.

use std::path::Path;

use ordeal_checkers::Options;
use ordeal_core::{Checker, Judgement, Plan};
use ordeal_report::Judged;
use ordeal_runner::RunDir;

use crate::args::{CheckArgs, Expect};
use crate::exit::{Exit, print, style, usage};
use crate::{judge, resolve};

pub(crate) fn main(args: &CheckArgs) -> anyhow::Result<Exit> {
    if let Err(e) = std::fs::metadata(&args.path) {
        return usage(format!("{}: {e}", args.path.display()));
    }
    let judgement = match args.path.is_dir() {
        true => check_run(args)?,
        false => check_file(args, &args.path)?,
    };
    Ok(Exit::of(judgement.verdict, args.expect == Expect::Invalid))
}

fn check_run(args: &CheckArgs) -> anyhow::Result<Judgement> {
    if args.model.is_some() || args.workload.is_some() {
        return usage("a run directory names its own workload; --model and --workload are for history files");
    }
    let dir = RunDir::open(&args.path);
    let (plan, history, judgement) = judge::judge_run(&dir)?;
    judge::save(&dir, &plan, &history, &judgement);
    show(
        args,
        &Judged { dir: Some(dir.path()), plan: Some(&plan), history: &history, judgement: &judgement },
    )?;
    Ok(judgement)
}

fn check_file(args: &CheckArgs, path: &Path) -> anyhow::Result<Judgement> {
    let checkers: Vec<Box<dyn Checker>> = match (&args.model, &args.workload) {
        (Some(name), _) => match ordeal_checkers::judge_named(name) {
            Some(entry) => vec![(entry.judge)(&Options::default())],
            None => {
                let known: Vec<_> = ordeal_checkers::MODELS.iter().map(|m| m.about.name).collect();
                return usage(format!("there is no model `{name}`; there are: {}", known.join(", ")));
            }
        },
        (None, Some(name)) => resolve::find_workload(name)?.checkers(&Plan::nothing(name, "")),
        (None, None) => return usage("a history file needs --model or --workload to be judged by"),
    };
    let history = judge::read_history(path)?;
    let judgement = Judgement::of(judge::judge(&checkers, &history));
    show(args, &Judged { dir: None, plan: None, history: &history, judgement: &judgement })?;
    Ok(judgement)
}

fn show(args: &CheckArgs, judged: &Judged<'_>) -> anyhow::Result<()> {
    let text = match args.json {
        true => serde_json::to_string_pretty(judged.judgement)? + "\n",
        false => ordeal_report::text(judged, style()),
    };
    print(&text);
    Ok(())
}
