//! `ordeal fault test`: every fault against a trivial cluster on this machine, with its proof.

pub(crate) mod trivial;

use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use ordeal_core::null::NullWorkload;
use ordeal_core::{Cluster, Fault, FaultStep, History, Plan, Probe, Rng, Words};
use ordeal_nemesis::{Arsenal, Clause, Severity};
use ordeal_runner::sandbox::{self, Entered};
use ordeal_runner::{Audit, Progress, RunDir};
use serde_json::Value;
use tokio::sync::watch;

use crate::args::FaultTestArgs;
use crate::exit::{Exit, UsageError, eprint, print};
use crate::resolve::{this_program, usable};

/// How long an injection would last in a run. Faults that need time take a part of it.
const FOR_MS: u64 = 2_000;
/// The longest wait for the nodes between two faults.
const READY: Duration = Duration::from_secs(20);
/// Threads and descriptors that may come and go.
const SLACK: usize = 24;
/// What to ask of those kinds for which nothing sensible can be drawn.
const ON_REQUEST: [(&str, &str); 2] =
    [("crash-at-line", "n1, line=replaced the state"), ("restart-with", "n1, arg=--upgraded")];

/// A kind under test, or why it is not.
struct Trial {
    clause: Clause,
    fault: Result<Arc<dyn Fault>, String>,
    tries: Vec<Try>,
}

/// One injection with its probe and its healing.
struct Try {
    inject_us: u64,
    heal_us: u64,
    /// What was not as it should be.
    failed: Option<String>,
}

pub(crate) fn test(args: &FaultTestArgs) -> anyhow::Result<Exit> {
    let arsenal = Arc::new(Arsenal { machine: ordeal_nemesis::machine(), ..Arsenal::default() });
    let trials = choose(args, &arsenal)?;
    // Made outside, so that it is gone whatever happens inside.
    let (temporary, dir) = match &args.out {
        Some(out) => (None, out.clone()),
        None => {
            let temporary = tempfile::tempdir().context("cannot create a directory")?;
            let dir = temporary.path().join("test");
            (Some(temporary), dir)
        }
    };
    let dir =
        RunDir::create(&dir).map_err(|e| UsageError(format!("cannot create {}: {e}", dir.display())))?;
    match sandbox::enter()? {
        Entered::Inside => {}
        Entered::Outside(Ok(code)) => {
            drop(temporary);
            return Ok(Exit::from_code(code));
        }
        Entered::Outside(Err(signal)) => anyhow::bail!("the test was killed by {signal}"),
    }
    // Whoever is outside removes it.
    let _ = temporary.map(tempfile::TempDir::keep);
    inside(args, trials, dir)
}

/// The kinds to try, each with its object if it can be used here.
fn choose(args: &FaultTestArgs, arsenal: &Arc<Arsenal>) -> anyhow::Result<Vec<Trial>> {
    let asked = match &args.faults {
        Some(text) => ordeal_nemesis::parse(text).map_err(|why| UsageError(format!("--faults: {why}")))?,
        None => {
            let name = |kind: &'static ordeal_nemesis::Kind| {
                let words = ON_REQUEST.iter().find(|(name, _)| *name == kind.name).map(|(_, words)| *words);
                format!("{}({})", kind.name, words.unwrap_or_default())
            };
            let all: Vec<String> = ordeal_nemesis::all().iter().map(name).collect();
            ordeal_nemesis::parse(&all.join(", ")).map_err(anyhow::Error::msg)?
        }
    };
    let nodes = usize::from(args.nodes);
    let trial = |clause: Clause| {
        let fault = usable(clause.kind, arsenal, nodes);
        Trial { clause, fault, tries: Vec::new() }
    };
    Ok(asked.into_iter().map(trial).collect())
}

fn inside(args: &FaultTestArgs, mut trials: Vec<Trial>, dir: RunDir) -> anyhow::Result<Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mounts = mounts();
    let faults = trials.iter().filter_map(|trial| trial.fault.as_ref().ok().cloned()).collect();
    let history = dir.history();
    let (_interrupt, interrupted) = watch::channel(false);
    let audit = Audit {
        plan: plan(args),
        target: Arc::new(trivial::Trivial),
        workload: Arc::new(NullWorkload),
        faults,
        dir,
        harness: this_program()?,
        class: crate::resolve::class,
        capture: None,
        progress: Arc::new(Progress::default()),
        interrupt: interrupted,
    };
    let mut left = runtime.block_on(async {
        ordeal_runner::rehearse(&audit, async |cluster| try_all(args, &mut trials, cluster).await).await
    })?;
    left.extend(deaths_by_themselves(&history)?);
    let after = self::mounts();
    if after != mounts {
        left.push(format!("{mounts} mounts became {after}"));
    }
    print(&table(&trials));
    for what in &left {
        eprint(&format!("ordeal: left behind: {what}"));
    }
    let refused = |trial: &Trial| args.faults.is_some() && trial.clause.by_name && trial.fault.is_err();
    let failed = trials.iter().any(refused)
        || trials.iter().flat_map(|trial| &trial.tries).any(|t| t.failed.is_some());
    Ok(if failed || !left.is_empty() { Exit::Harness } else { Exit::Valid })
}

fn plan(args: &FaultTestArgs) -> Plan {
    Plan {
        nodes: usize::from(args.nodes),
        op_timeout_ms: 1_000,
        ready_timeout_ms: READY.as_millis() as u64,
        seed: args.seed,
        ..Plan::nothing("null", "trivial")
    }
}

/// Tries everything, and answers what was left behind.
async fn try_all(args: &FaultTestArgs, trials: &mut [Trial], cluster: &dyn Cluster) -> Vec<String> {
    let rng = &mut Rng::fork(args.seed, "fault test");
    let usable: Vec<usize> = (0..trials.len()).filter(|&i| trials[i].fault.is_ok()).collect();
    let order: Vec<usize> = match args.pairs {
        _ if usable.is_empty() => Vec::new(),
        Some(pairs) => (0..pairs).map(|_| *rng.pick(&usable)).collect(),
        None => (0..args.rounds).flat_map(|_| usable.clone()).collect(),
    };
    // Each kind opens what it needs at its first use, and keeps it; from then on nothing more may be open.
    let mut before = None;
    for (done, &i) in order.iter().enumerate() {
        let trial = &mut trials[i];
        let Ok(fault) = &trial.fault else { continue };
        tracing::info!(fault = fault.name(), done, of = order.len(), "trying");
        let tried = try_one(&**fault, trial.clause.words.clone(), rng, cluster).await;
        if let Some(why) = &tried.failed {
            eprint(&format!("ordeal: {}: {why}", fault.name()));
        }
        trial.tries.push(tried);
        if before.is_none() && usable.iter().all(|&i| !trials[i].tries.is_empty()) {
            before = Some(own_resources());
        }
    }
    let mut left = stopped_processes();
    for trial in trials.iter() {
        let Ok(fault) = &trial.fault else { continue };
        match fault.heal(cluster).await {
            Ok(Probe { proved: true, .. }) => {}
            Ok(Probe { seen, .. }) => left.push(format!("{}: {seen}", fault.name())),
            Err(why) => left.push(format!("{}: {why}", fault.name())),
        }
    }
    let after = own_resources();
    let before = before.unwrap_or(after);
    for (name, before, after) in [("threads", before.0, after.0), ("descriptors", before.1, after.1)] {
        if after > before + SLACK {
            left.push(format!("{before} {name} of the harness became {after}"));
        }
    }
    left
}

async fn try_one(fault: &dyn Fault, words: Words, rng: &mut Rng, cluster: &dyn Cluster) -> Try {
    let mut failed = Vec::new();
    let nodes = cluster.spec().nodes.len();
    let args = match words.is_empty() {
        true => Ok(fault.draw(rng, nodes, false)),
        false => fault.read(words, rng, nodes, false),
    };
    let mut step = FaultStep { at_ms: 0, for_ms: FOR_MS, fault: fault.name().to_owned(), args: Value::Null };
    match args {
        Ok(args) => step.args = args,
        Err(why) => return Try { inject_us: 0, heal_us: 0, failed: Some(why) },
    }
    let begun = Instant::now();
    let injected = fault.inject(cluster, &step).await;
    let inject_us = begun.elapsed().as_micros() as u64;
    match injected {
        Err(why) => failed.push(format!("inject {}: {why}", step.args)),
        Ok(installed) => {
            let Probe { proved, seen } = fault.probe(cluster).await;
            if !proved {
                failed.push(format!("{} installed {installed} but saw {seen}", step.args));
            }
        }
    }
    let begun = Instant::now();
    let healed = fault.heal(cluster).await;
    let heal_us = begun.elapsed().as_micros() as u64;
    match healed {
        Err(why) => failed.push(format!("heal: {why}")),
        Ok(Probe { proved: false, seen }) => failed.push(format!("heal of {}: saw {seen}", step.args)),
        Ok(_) => {}
    }
    if let Some(id) = all_ready(cluster).await {
        failed.push(format!("{id} is not ready {} s after the heal of {}", READY.as_secs(), step.args));
    }
    Try { inject_us, heal_us, failed: (!failed.is_empty()).then(|| failed.join("; ")) }
}

/// Waits until all nodes answer; the id of one that does not.
async fn all_ready(cluster: &dyn Cluster) -> Option<String> {
    let deadline = Instant::now() + READY;
    for node in &cluster.spec().nodes {
        while !cluster.ready(node.index).await {
            if Instant::now() >= deadline {
                return Some(node.id.clone());
            }
            // A node that rightly gave up (its data was damaged) begins again without it.
            if cluster.init_pid(node.index).is_none() {
                let _ = cluster.start(node.index).await;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    None
}

/// Nodes that ended though no fault was meant to end them.
fn deaths_by_themselves(history: &Path) -> anyhow::Result<Vec<String>> {
    let text = std::fs::read_to_string(history).with_context(|| history.display().to_string())?;
    let history = History::parse(&text)?;
    let exits = history.events.iter().filter(|event| event.f == "node-exited");
    Ok(exits.map(|event| format!("a node ended by itself: {}", event.value)).collect())
}

/// Processes in the sandbox that stand still.
fn stopped_processes() -> Vec<String> {
    let pids = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let status = |entry: std::fs::DirEntry| std::fs::read_to_string(entry.path().join("status")).ok();
    pids.filter_map(status)
        .filter(|status| status.contains("\nState:\tT"))
        .map(|status| format!("a stopped process: {}", status.lines().next().unwrap_or_default()))
        .collect()
}

/// Threads and open descriptors of the harness.
fn own_resources() -> (usize, usize) {
    let count = |directory| std::fs::read_dir(directory).map_or(0, Iterator::count);
    (count("/proc/self/task"), count("/proc/self/fd"))
}

fn mounts() -> usize {
    std::fs::read_to_string("/proc/self/mountinfo").map_or(0, |text| text.lines().count())
}

fn table(trials: &[Trial]) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "  {:<20} {:<9} {:>5} {:>11} {:>11} {:>11} {:>11}",
        "fault", "result", "tries", "inject p50", "p99", "heal p50", "p99 (ms)"
    );
    for trial in trials {
        let name = trial.clause.kind.name;
        if let Err(why) = &trial.fault {
            let _ = writeln!(out, "  {name:<20} skipped   {why}");
            continue;
        }
        if trial.tries.is_empty() {
            continue;
        }
        let works = trial.tries.iter().all(|t| t.failed.is_none());
        let times = |us: fn(&Try) -> u64| {
            let mut sorted: Vec<u64> = trial.tries.iter().map(us).collect();
            sorted.sort_unstable();
            let at = |share: f64| sorted[((sorted.len() - 1) as f64 * share).round() as usize] as f64 / 1e3;
            (at(0.5), at(0.99))
        };
        let (inject, heal) = (times(|t| t.inject_us), times(|t| t.heal_us));
        let severity = match trial.clause.kind.severity {
            Severity::Survivable => "",
            Severity::Damaging | Severity::OnRequest => "  (not in `all`)",
        };
        let _ = writeln!(
            out,
            "  {name:<20} {:<9} {:>5} {:>11.1} {:>11.1} {:>11.1} {:>11.1}{severity}",
            if works { "works" } else { "FAILED" },
            trial.tries.len(),
            inject.0,
            inject.1,
            heal.0,
            heal.1
        );
    }
    out
}
