//! From arguments to a plan, and from a plan to the objects that carry it out.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use ordeal_core::{Applies, Fault, Launch, PLAN_VERSION, Plan, Target, TargetError, Workload};
use ordeal_nemesis::{Arsenal, Asked, Clause, Group, Kind, Setting, When};
use ordeal_targets::manifest::Manifest;

use crate::args::{CLIENTS_MAX, NODES_MAX, RATE_MAX, RATE_MIN, RunArgs, TIME_MS_MAX};
use crate::exit::{UsageError, usage};

/// Clients a node if nothing else is asked for: enough to have several operations on one key at a time,
/// and every second one only reads.
const CLIENTS_PER_NODE: usize = 4;

/// A plan and what carries it out.
pub(crate) struct Resolved {
    pub(crate) plan: Plan,
    pub(crate) target: Arc<dyn Target>,
    pub(crate) workload: Arc<dyn Workload>,
    pub(crate) faults: Vec<Arc<dyn Fault>>,
    /// Whether the target has processes, and so needs a sandbox.
    pub(crate) processes: bool,
}

/// Resolves the command line, or the plan file it names.
pub(crate) fn resolve(args: &RunArgs) -> anyhow::Result<Resolved> {
    let (plan, scheduled) = match &args.plan {
        Some(file) => (read_plan(file)?, true),
        None => (draft(args)?, false),
    };
    let workload = find_workload(&plan.workload)?;
    let target = build_target(&plan)?;
    if !target.workloads().contains(&plan.workload.as_str()) {
        let serves = target.workloads().join(", ");
        return usage(format!(
            "target `{}` does not serve workload `{}`; it serves: {serves}",
            plan.target, plan.workload
        ));
    }
    let launch = first_launch(&*target, plan.nodes, plan.joining).map_err(|e| UsageError(e.to_string()))?;
    let processes = launch.is_some();
    let mut resolved = Resolved { plan, target, workload, faults: Vec::new(), processes };
    choose_faults(&mut resolved, args, scheduled)?;
    Ok(resolved)
}

/// How the target would start its first node, wherever that would keep its data; `None` if the target has
/// no processes.
pub(crate) fn first_launch(
    target: &dyn Target,
    nodes: usize,
    joining: usize,
) -> Result<Option<Launch>, TargetError> {
    let spec = ordeal_runner::cluster_spec(nodes, joining, &ordeal_runner::RunDir::open(Path::new(".")));
    match spec.nodes.first() {
        Some(node) => target.launch(node, &spec),
        None => Err(TargetError::Unsupported("a plan needs at least one node".to_owned())),
    }
}

/// The plan that the arguments describe, without its faults.
fn draft(args: &RunArgs) -> anyhow::Result<Plan> {
    let workload = args.workload.clone().unwrap_or_default();
    let asked = asked_faults(args, &*find_workload(&workload)?)?;
    let target = match &args.target {
        Some(target) => target.clone(),
        None => match ordeal_targets::default_target(&workload) {
            Some(entry) => entry.name.to_owned(),
            None => {
                return usage(format!(
                    "workload `{workload}` has no reference target: name one with --target"
                ));
            }
        },
    };
    let (target, usual_nodes, usual_joining) = match find_target(&target)? {
        System::Known(entry) => (target, entry.default_nodes, entry.joining),
        System::Described(path, manifest) => (path, manifest.nodes, manifest.joining),
    };
    let nodes = args.nodes.map_or(usual_nodes, usize::from);
    let joining = joining(args, &asked, usual_joining)?;
    if nodes + joining > usize::from(NODES_MAX) {
        return usage(format!("--nodes and --join: at most {NODES_MAX} nodes in all"));
    }
    let mut options = BTreeMap::new();
    for option in &args.options {
        let Some((name, value)) = option.split_once('=') else {
            return usage(format!("--option takes NAME=VALUE, not `{option}`"));
        };
        options.insert(name.to_owned(), value.to_owned());
    }
    if let Some(binary) = &args.binary {
        let binary = std::path::absolute(binary).with_context(|| binary.display().to_string())?;
        options.insert("binary".to_owned(), binary.display().to_string());
    }
    if let Some(mode) = &args.read_mode {
        options.insert("read-mode".to_owned(), mode.clone());
    }
    Ok(Plan {
        version: PLAN_VERSION,
        workload,
        target,
        bug: args.bug.clone(),
        options,
        nodes,
        joining,
        concurrency: args.concurrency.map_or((nodes + joining) * CLIENTS_PER_NODE, usize::from),
        rate: args.rate.0,
        keys: args.keys,
        warmup_ms: args.warmup.as_millis() as u64,
        duration_ms: args.duration.as_millis() as u64,
        op_timeout_ms: args.op_timeout.as_millis() as u64,
        ready_timeout_ms: args.ready_timeout.as_millis() as u64,
        seed: args.seed.unwrap_or_else(draw_seed),
        fault_kinds: Vec::new(),
        faults_skipped: BTreeMap::new(),
        faults: Vec::new(),
    })
}

/// The faults that are asked for, or those that are usual.
fn asked_faults(args: &RunArgs, workload: &dyn Workload) -> anyhow::Result<Vec<Clause>> {
    let usual = workload.usual_faults().unwrap_or(DEFAULT_FAULTS);
    let asked = args.faults.as_deref().unwrap_or(usual);
    Ok(ordeal_nemesis::parse(asked).map_err(|why| UsageError(format!("--faults: {why}")))?)
}

/// How many nodes join: as many as are told to, or as are given a time, or as is usual for the target.
fn joining(args: &RunArgs, asked: &[Clause], usual: Option<usize>) -> anyhow::Result<usize> {
    let mut joins = asked.iter().filter(|clause| clause.kind.group == Group::Membership).peekable();
    if joins.peek().is_none() {
        return match args.join.unwrap_or(0) {
            0 => Ok(0),
            _ => usage("--join: nobody would start these nodes; add `join` to --faults".to_owned()),
        };
    }
    let joins: Vec<&Clause> = joins.collect();
    if joins.len() > 1 && joins.iter().any(|clause| clause.when == When::Drawn) {
        return usage(
            "--faults: `join` without a time is every node that joins; leave out the others".to_owned(),
        );
    }
    let mut timed = 0;
    for clause in joins.iter().filter(|clause| clause.when != When::Drawn) {
        let times = clause.when.times(args.duration.as_millis() as u64);
        timed += times.map_err(|why| UsageError(format!("--faults: join: {why}")))?.len();
    }
    let usual = usual.map_or(0, |usual| if timed > 0 { timed } else { usual });
    Ok(args.join.map_or(usual, usize::from))
}

/// Reads a plan and refuses one that this version cannot carry out.
pub(crate) fn read_plan(file: &Path) -> anyhow::Result<Plan> {
    let text = std::fs::read_to_string(file).map_err(|e| UsageError(format!("{}: {e}", file.display())))?;
    let plan: Plan = serde_json::from_str(&text)
        .map_err(|e| UsageError(format!("{}: not a plan: {e}", file.display())))?;
    if plan.version != PLAN_VERSION {
        let file = file.display();
        return usage(format!("{file}: plan version {}, this ordeal reads {PLAN_VERSION}", plan.version));
    }
    if plan.nodes == 0
        || plan.nodes.saturating_add(plan.joining) > usize::from(NODES_MAX)
        || plan.concurrency == 0
        || plan.keys == 0
    {
        return usage(format!("{}: nodes (1 to 100), concurrency and keys must be above 0", file.display()));
    }
    if plan.rate.is_some_and(|rate| !(RATE_MIN..=RATE_MAX).contains(&rate)) {
        return usage(format!("{}: rate must be from 0.001 to 10000000, or null", file.display()));
    }
    let times = [plan.warmup_ms, plan.duration_ms, plan.op_timeout_ms, plan.ready_timeout_ms];
    let steps = plan.faults.iter().flat_map(|step| [step.at_ms, step.for_ms]);
    let load_ms = plan.duration_ms;
    if let Some(late) = plan.faults.iter().find(|step| step.at_ms.saturating_add(step.for_ms) > load_ms) {
        return usage(format!(
            "{}: {} at {} ms for {} ms does not end before the load does, at {load_ms} ms",
            file.display(),
            late.fault,
            late.at_ms,
            late.for_ms
        ));
    }
    let clients = usize::from(CLIENTS_MAX);
    if plan.concurrency > clients || times.into_iter().chain(steps).any(|ms| ms > TIME_MS_MAX) {
        return usage(format!("{}: at most 10000 clients, and no time above a week", file.display()));
    }
    Ok(plan)
}

/// The faults: those of the plan, or those that were asked for, scheduled from the seed.
fn choose_faults(resolved: &mut Resolved, args: &RunArgs, scheduled: bool) -> anyhow::Result<()> {
    let machine = ordeal_nemesis::machine();
    let plan = &mut resolved.plan;
    let (clock_monotonic, joining) = (args.clock_monotonic, plan.joining);
    let arsenal = Arc::new(Arsenal { machine, clock_monotonic, joining, ..Arsenal::default() });
    if scheduled {
        // Whoever edits a plan appends.
        plan.faults.sort_by_key(|step| step.at_ms);
        ordeal_nemesis::once_at_a_time(&plan.faults)
            .and_then(|()| ordeal_nemesis::no_more_than_can_join(&plan.faults, joining))
            .and_then(|()| match joining > 0 && !plan.all_fault_kinds().contains(&"join".to_owned()) {
                true => Err("nodes are to join, and nothing starts them: add a `join`".to_owned()),
                false => Ok(()),
            })
            .map_err(|why| UsageError(format!("the plan: {why}")))?;
        for name in plan.all_fault_kinds() {
            let unknown =
                || UsageError(format!("the plan has a fault `{name}`, which this ordeal does not know"));
            let kind = ordeal_nemesis::find(&name).ok_or_else(unknown)?;
            resolved.faults.push(usable(kind, &arsenal, plan.all_nodes()).map_err(refused(kind))?);
        }
        return Ok(());
    }
    let mut clauses = match args.faults.is_some() || resolved.processes {
        true => asked_faults(args, &*resolved.workload)?,
        false => Vec::new(),
    };
    if !clauses.is_empty() && !resolved.processes {
        return usage(format!("target `{}` has no processes to break: use --faults none", plan.target));
    }
    let mut unusable = BTreeMap::new();
    for clause in &clauses {
        let name = clause.kind.name;
        if resolved.faults.iter().any(|fault| fault.name() == name) {
            continue;
        }
        match usable(clause.kind, &arsenal, plan.all_nodes()) {
            Ok(fault) => resolved.faults.push(fault),
            Err(why) if clause.by_name => return Err(refused(clause.kind)(why).into()),
            Err(why) => _ = unusable.insert(name.to_owned(), why),
        }
    }
    clauses.retain(|clause| !unusable.contains_key(clause.kind.name));
    let mut asked = Vec::new();
    for clause in &clauses {
        let object = resolved.faults.iter().find(|fault| fault.name() == clause.kind.name);
        asked.extend(object.map(|fault| Asked { clause, fault: &**fault }));
    }
    let setting = Setting {
        duration_ms: plan.duration_ms,
        seed: plan.seed,
        nodes: plan.all_nodes(),
        joining,
        has_primary: resolved.target.primary().is_some(),
    };
    plan.faults =
        ordeal_nemesis::schedule(&asked, setting).map_err(|why| UsageError(format!("--faults: {why}")))?;
    plan.fault_kinds = resolved.faults.iter().map(|fault| fault.name().to_owned()).collect();
    plan.faults_skipped = unusable;
    Ok(())
}

/// What is broken if nothing is asked for: what finds most, and needs nothing of the machine.
pub(crate) const DEFAULT_FAULTS: &str = "partition, kill, pause";

/// The class of a kind of fault, of which no two may be in force at the same time.
pub(crate) fn class(fault: &str) -> Option<&'static str> {
    ordeal_nemesis::find(fault).and_then(|kind| kind.excludes.class())
}

/// Builds a kind; the error says why this machine or cluster does not allow it.
pub(crate) fn usable(kind: &Kind, arsenal: &Arc<Arsenal>, nodes: usize) -> Result<Arc<dyn Fault>, String> {
    let fault: Arc<dyn Fault> = Arc::from((kind.build)(arsenal));
    match fault.applies(&arsenal.machine, nodes) {
        Applies::Yes => Ok(fault),
        Applies::No(why) => Err(why),
    }
}

fn refused(kind: &Kind) -> impl Fn(String) -> UsageError {
    let name = kind.name;
    move |why| UsageError(format!("fault `{name}` cannot be used here: {why}"))
}

/// The workload of this name.
pub(crate) fn find_workload(name: &str) -> anyhow::Result<Arc<dyn Workload>> {
    match ordeal_workloads::find(name) {
        Some(entry) => Ok(Arc::from((entry.build)())),
        None => {
            let known: Vec<_> = ordeal_workloads::WORKLOADS.iter().map(|w| w.name).collect();
            usage(format!("there is no workload `{name}`; there are: {}", known.join(", ")))
        }
    }
}

/// A target of the registry, or one that a TOML file describes.
enum System {
    Known(&'static ordeal_targets::Entry),
    /// With the absolute path of the file, by which a plan names it.
    Described(String, Box<Manifest>),
}

fn find_target(name: &str) -> anyhow::Result<System> {
    if name.ends_with(".toml") {
        let path = std::path::absolute(name).with_context(|| name.to_owned())?;
        let manifest = Manifest::read(&path).map_err(|e| UsageError(e.to_string()))?;
        return Ok(System::Described(path.display().to_string(), Box::new(manifest)));
    }
    match ordeal_targets::find(name) {
        Some(entry) => Ok(System::Known(entry)),
        None => {
            let known: Vec<_> = ordeal_targets::TARGETS.iter().map(|t| t.name).collect();
            usage(format!(
                "there is no target `{name}`; there are: {}, and files ending in .toml",
                known.join(", ")
            ))
        }
    }
}

fn build_target(plan: &Plan) -> anyhow::Result<Arc<dyn Target>> {
    let config = ordeal_targets::Config {
        bug: plan.bug.clone(),
        options: plan.options.clone(),
        nodes: plan.nodes,
        joining: plan.joining,
        ordeal: this_program()?,
    };
    let target = match find_target(&plan.target)? {
        System::Known(entry) => entry.configure(&config),
        System::Described(_, manifest) => manifest.target(&config),
    };
    Ok(Arc::from(target.map_err(|e| UsageError(e.to_string()))?))
}

/// The path of this binary, which also runs reference nodes and is every node's init.
pub(crate) fn this_program() -> anyhow::Result<PathBuf> {
    // Not its path: nodes are started again in mid-run, and must be this very build even if another one has
    // taken its place on disk meanwhile.
    let program = PathBuf::from(ordeal_runner::sandbox::THIS_PROGRAM);
    std::fs::metadata(&program).context("cannot find this program in /proc; is it mounted?")?;
    Ok(program)
}

fn draw_seed() -> u64 {
    // Any entropy will do: it is printed and stored. Kept below 2^32 so that a person can type it.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut rng = ordeal_core::Rng::new(now.as_nanos() as u64 ^ (u64::from(std::process::id()) << 40));
    rng.next_u64() >> 32
}
