//! `ordeal run`: an audit from the plan to the verdict.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use ordeal_core::{Judgement, Verdict};
use ordeal_report::Judged;
use ordeal_runner::sandbox::{self, Entered};
use ordeal_runner::{Audit, Progress, RunDir};

use crate::args::{Expect, RunArgs};
use crate::exit::{Exit, UsageError, eprint, print, style};
use crate::progress::Watcher;
use crate::resolve::{Resolved, class, resolve, this_program};
use crate::{judge, signals};

pub(crate) fn main(args: &RunArgs) -> anyhow::Result<Exit> {
    let resolved = resolve(args)?;
    let plan = serde_json::to_string_pretty(&resolved.plan)? + "\n";
    if args.dry_run {
        print(&plan);
        return Ok(Exit::Valid);
    }
    if let Some(pcap) = &args.pcap {
        if !resolved.processes {
            return Err(UsageError("--pcap: the target has no network to capture".to_owned()).into());
        }
        if pcap.exists() {
            return Err(UsageError(format!("--pcap: {} exists already", pcap.display())).into());
        }
    }
    let dir = create_dir(args, &resolved)?;
    std::fs::write(dir.plan(), plan).with_context(|| dir.plan().display().to_string())?;
    eprint(&format!(
        "ordeal: {} on {}, seed {}, in {}",
        resolved.plan.workload,
        resolved.target.name(),
        resolved.plan.seed,
        dir.path().display()
    ));
    let mut without: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (fault, why) in &resolved.plan.faults_skipped {
        without.entry(why).or_default().push(fault);
    }
    for (why, faults) in without {
        eprint(&format!("ordeal: without {}: {why}", faults.join(", ")));
    }
    if resolved.processes {
        let entered = sandbox::enter().inspect_err(|_| {
            // Nothing has happened: leave nothing.
            let _ = std::fs::remove_file(dir.plan()).and_then(|()| std::fs::remove_dir(dir.path()));
        });
        match entered? {
            Entered::Inside => {}
            Entered::Outside(Ok(code)) => return Ok(Exit::from_code(code)),
            Entered::Outside(Err(signal)) => {
                let at = dir.path().display();
                anyhow::bail!(
                    "the harness was killed by {signal}; judge what it recorded with `ordeal check {at}`"
                )
            }
        }
    }
    let judgement = inside(resolved, &dir, args)?;
    Ok(Exit::of(judgement.verdict, args.expect == Expect::Invalid))
}

fn inside(resolved: Resolved, dir: &RunDir, args: &RunArgs) -> anyhow::Result<Judgement> {
    start_log(&dir.log())?;
    if args.out.is_none() {
        // Best effort: a file system without symbolic links is no reason not to audit.
        let _ = dir.mark_latest();
    }
    // All clients on one thread: waking one another across threads would cost more than another core brings,
    // and the system under audit needs the others.
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start threads")?;
    let progress = Arc::new(Progress::default());
    let watcher = Watcher::start(Arc::clone(&progress));
    let ran = runtime.block_on(async {
        let audit = Audit {
            plan: resolved.plan,
            target: resolved.target,
            workload: resolved.workload,
            faults: resolved.faults,
            dir: dir.clone(),
            harness: this_program()?,
            class,
            capture: args.pcap.clone(),
            progress,
            interrupt: signals::interrupted(on_signal)?,
        };
        Ok::<_, anyhow::Error>(ordeal_runner::run(audit).await?)
    });
    watcher.finish();
    let at = dir.path().display();
    ran.with_context(|| format!("the run ended early; what it recorded is in {at}"))?;
    // Judged beside the runtime, which listens to Ctrl-C.
    JUDGING.store(true, Ordering::Relaxed);
    let judging = dir.clone();
    let judged = runtime.block_on(async {
        tokio::task::spawn_blocking(move || judge::judge_run(&judging, &ordeal_core::Limits::default())).await
    });
    let (plan, history, judgement) = judged.context("the judges panicked")??;
    let judged = Judged {
        dir: Some(dir.path()),
        plan: Some(&plan),
        history: &history,
        totals: None,
        judgement: &judgement,
    };
    judge::save(dir, &plan, &history, &judgement);
    print(&ordeal_report::text(&judged, style()));
    if judgement.verdict == Verdict::Valid
        && !args.keep_data
        && let Err(error) = dir.drop_data()
    {
        eprint(&format!("ordeal: cannot delete the nodes' data in {at}: {error}"));
    }
    runtime.shutdown_background();
    Ok(judgement)
}

/// Whether the run is over and only its judges are at work: nothing is left that wants to be healed.
static JUDGING: AtomicBool = AtomicBool::new(false);

/// Creates the run directory: the one asked for, or one named after target, workload, time and seed.
fn create_dir(args: &RunArgs, resolved: &Resolved) -> anyhow::Result<RunDir> {
    let plan = &resolved.plan;
    let refused = |path: &Path, e: std::io::Error| {
        UsageError(format!("cannot create the run directory {}: {e}", path.display()))
    };
    if let Some(out) = &args.out {
        return RunDir::create(out).map_err(|e| refused(out, e).into());
    }
    let kind = format!("{}-{}", resolved.target.name(), plan.workload);
    let name = format!("{}-{}", jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ"), plan.seed);
    // Two runs may begin in the same second with the same seed.
    let mut path = Path::new("results").join(&kind).join(&name);
    for again in 2.. {
        match RunDir::create(&path) {
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists && again < 1_000 => {
                path.set_file_name(format!("{name}-{again}"));
            }
            created => return created.map_err(|e| refused(&path, e).into()),
        }
    }
    unreachable!("the loop ends by returning")
}

/// The harness's own log goes to a file; the terminal is for the verdict.
fn start_log(path: &Path) -> anyhow::Result<()> {
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .with_context(|| path.display().to_string())?;
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::new("info"))
        .with_writer(std::sync::Mutex::new(file))
        .with_ansi(false)
        .init();
    Ok(())
}

/// The first Ctrl-C (or TERM, or HUP) ends the run early and in good order; a second one, or one while
/// the judges are at work, ends it at once.
fn on_signal(again: bool) {
    if again || JUDGING.load(Ordering::Relaxed) {
        std::process::exit(Exit::Harness as i32);
    }
    eprint("ordeal: interrupted; healing and stopping (once more to stop at once)");
}
