//! One run from the first process to the last: the phases, in order.
//!
//! start → warm-up → load with faults → heal → settle → final reads → stop

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::time::Duration;

use ordeal_core::{Cluster, EventKind, Fault, Plan, Rng, Target, TargetError, Workload};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::cluster::{Dead, Handle, Joined, LocalCluster, cluster_spec, nemesis_event};
use crate::drive::Driver;
use crate::load::{Clients, LoadError, Source};
use crate::progress::Totals;
use crate::sandbox::{Network, SandboxError, Wiring};
use crate::{Journal, Progress, Recorder, RecorderError, RunDir};

/// Everything a run needs.
pub struct Audit {
    /// What to do.
    pub plan: Plan,
    /// The system, configured as the plan says.
    pub target: Arc<dyn Target>,
    /// What is asked.
    pub workload: Arc<dyn Workload>,
    /// The kinds of fault that the plan uses.
    pub faults: Vec<Arc<dyn Fault>>,
    /// The class of a kind of fault, of which no two may be in force at the same time.
    pub class: fn(&str) -> Option<&'static str>,
    /// Where everything is written.
    pub dir: RunDir,
    /// The program to run as a node's init: this binary.
    pub harness: PathBuf,
    /// The file into which every packet between nodes, and between clients and nodes, goes.
    pub capture: Option<PathBuf>,
    /// For whoever watches.
    pub progress: Arc<Progress>,
    /// Turns true when the run should end early.
    pub interrupt: watch::Receiver<bool>,
}

/// A phase of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nodes are started.
    Start,
    /// Load without faults.
    WarmUp,
    /// Load with faults.
    Load,
    /// Every fault is undone.
    Heal,
    /// Waiting until every node is ready again, and a first round of final reads.
    Settle,
    /// The end state is read from every node.
    FinalReads,
    /// Nodes are stopped.
    Stop,
}

impl Phase {
    /// Its name in histories.
    pub fn as_str(self) -> &'static str {
        match self {
            Phase::Start => "start",
            Phase::WarmUp => "warm-up",
            Phase::Load => "load",
            Phase::Heal => "heal",
            Phase::Settle => "settle",
            Phase::FinalReads => "final-reads",
            Phase::Stop => "stop",
        }
    }
}

/// What a run leaves besides its directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Events in the history.
    pub events: u64,
    /// Operations by outcome.
    pub totals: Totals,
}

/// The longest wait for the recorder's end.
const FINISH: Duration = Duration::from_secs(10);

/// Why a run could not be carried out. Never a verdict on the system.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// No sandbox.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// The history could not be written.
    #[error(transparent)]
    Recorder(#[from] RecorderError),
    /// The target cannot do what was asked.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The cluster did not come up.
    #[error("the cluster did not start: {0}")]
    Start(String),
    /// A fault could not be made ready.
    #[error("fault `{fault}` cannot be made ready: {why}")]
    Prepare {
        /// Its name.
        fault: &'static str,
        /// What it said.
        why: String,
    },
    /// The plan asks for the impossible.
    #[error("{0}")]
    Plan(String),
    /// A part of the harness panicked.
    #[error("the harness failed: {0}")]
    Harness(String),
}

impl From<LoadError> for RunError {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::Recorder(e) => RunError::Recorder(e),
            LoadError::Target(e) => RunError::Target(e),
            LoadError::Panic(e) => RunError::Harness(e),
        }
    }
}

/// Carries out the plan. Must be called inside the sandbox if the target has processes.
///
/// # Errors
/// When the run could not be carried out; what was recorded by then is in the directory.
pub async fn run(audit: Audit) -> Result<Summary, RunError> {
    let (recorder, journal) = Recorder::start(&audit.dir.history())?;
    let progress = Arc::clone(&audit.progress);
    let failure = journal.clone();
    let carried_out = tokio::select! {
        done = carry_out(audit, journal) => done,
        error = failure.failed() => Err(RunError::Recorder(error)),
    };
    drop(failure);
    // Also after an error: what was handed over belongs in the file. A task that was cut off may still hold
    // a journal, so there is a bound.
    let finished = tokio::task::spawn_blocking(|| recorder.finish());
    let finished = tokio::time::timeout(FINISH, finished).await;
    carried_out?;
    let late = |_| RunError::Harness("the recorder did not end".to_owned());
    let events = finished.map_err(late)?.map_err(|e| RunError::Harness(e.to_string()))??;
    Ok(Summary { events, totals: progress.totals() })
}

async fn carry_out(audit: Audit, journal: Journal) -> Result<(), RunError> {
    let spec = cluster_spec(audit.plan.nodes, audit.plan.joining, &audit.dir);
    let phases = Phases { journal: journal.clone(), progress: Arc::clone(&audit.progress) };
    phases.enter(Phase::Start).await?;
    let last_acknowledged = Arc::default();
    let joined = Arc::new(Joined::founders(&spec));
    let driver = start_cluster(&audit, &spec, &journal, &last_acknowledged, &joined).await?;
    let clients = Arc::new(Clients {
        journal,
        target: Arc::clone(&audit.target),
        workload: Arc::clone(&audit.workload),
        spec,
        op_timeout: Duration::from_millis(audit.plan.op_timeout_ms),
        progress: Arc::clone(&audit.progress),
        next_process: AtomicU64::new(0),
        last_acknowledged,
        joined,
    });
    let worked = work(&audit, &clients, driver.as_ref(), &phases).await;
    if let Err(error) = &worked {
        // Whoever judges this history must know that it is not whole.
        phases.note("failed", json!(error.to_string())).await?;
    }
    phases.enter(Phase::Stop).await?;
    if let Some(driver) = &driver {
        stop_cluster(&audit, &driver.cluster).await;
    }
    worked
}

/// Stops every node, and takes back what was made ready for faults.
/// Answers what could not be.
async fn stop_cluster(audit: &Audit, cluster: &Handle) -> Vec<String> {
    cluster.0.stop().await;
    let mut left = Vec::new();
    for fault in &audit.faults {
        if let Err(why) = fault.dismantle(cluster).await {
            tracing::error!(fault = fault.name(), why, "not dismantled");
            left.push(format!("{}: {why}", fault.name()));
        }
    }
    left
}

/// Brings the cluster of an audit up with everything made ready for its faults, hands it to `act`, and takes
/// everything down again. Nothing is asked of the cluster: this is for trying faults out.
///
/// # Errors
/// When the cluster does not come up, or something of it cannot be taken down.
pub async fn rehearse<T>(audit: &Audit, act: impl AsyncFnOnce(&dyn Cluster) -> T) -> Result<T, RunError> {
    let (recorder, journal) = Recorder::start(&audit.dir.history())?;
    let spec = cluster_spec(audit.plan.nodes, audit.plan.joining, &audit.dir);
    let driver =
        start_cluster(audit, &spec, &journal, &Arc::default(), &Arc::new(Joined::founders(&spec))).await?;
    let driver = driver.ok_or_else(|| RunError::Plan("the target has no processes".to_owned()))?;
    drop(journal);
    let done = act(&driver.cluster).await;
    let left = stop_cluster(audit, &driver.cluster).await;
    drop(driver);
    let finished = tokio::task::spawn_blocking(|| recorder.finish()).await;
    finished.map_err(|e| RunError::Harness(e.to_string()))??;
    match left.is_empty() {
        true => Ok(done),
        false => Err(RunError::Harness(format!("left behind: {}", left.join("; ")))),
    }
}

/// From the warm-up to the final reads.
async fn work(
    audit: &Audit,
    clients: &Arc<Clients>,
    driver: Option<&Driver>,
    phases: &Phases,
) -> Result<(), RunError> {
    let plan = &audit.plan;
    let source = Arc::new(Source::new(audit.workload.generator(plan), plan.rate, plan.seed));
    for (phase, duration_ms) in [(Phase::WarmUp, plan.warmup_ms), (Phase::Load, plan.duration_ms)] {
        if *audit.interrupt.borrow() || duration_ms == 0 {
            continue;
        }
        phases.enter(phase).await?;
        let start = Instant::now();
        let stop = stop_at(start + Duration::from_millis(duration_ms), audit.interrupt.clone());
        let mut faults = tokio::task::JoinSet::new();
        if let (Phase::Load, Some(driver)) = (phase, driver) {
            for fault in &audit.faults {
                let steps = plan.faults.iter().filter(|s| s.fault == fault.name()).cloned().collect();
                let interrupt = audit.interrupt.clone();
                let class = (audit.class)(fault.name());
                faults.spawn(driver.clone().drive(Arc::clone(fault), class, steps, start, interrupt));
            }
        }
        clients.load(&source, plan.concurrency, &stop).await?;
        while let Some(driven) = faults.join_next().await {
            driven.map_err(|e| RunError::Harness(e.to_string()))??;
        }
    }
    phases.enter(Phase::Heal).await?;
    if let Some(driver) = driver {
        for fault in &audit.faults {
            driver.heal(&**fault).await?;
        }
    }
    if *audit.interrupt.borrow() {
        return phases.interrupted().await;
    }
    phases.enter(Phase::Settle).await?;
    if let Some(driver) = driver {
        settle(&driver.cluster.0, audit).await?;
    }
    // A write whose client gave up may still lie half done on some node until somebody reads it. The first
    // round of reads brings such writes to light; the end state is what the second round sees.
    final_reads(audit, clients).await?;
    phases.enter(Phase::FinalReads).await?;
    final_reads(audit, clients).await?;
    if *audit.interrupt.borrow() {
        return phases.interrupted().await;
    }
    Ok(())
}

/// Reads everything from every node once.
async fn final_reads(audit: &Audit, clients: &Arc<Clients>) -> Result<(), RunError> {
    let plan = &audit.plan;
    let source = Arc::new(Source::new(audit.workload.final_generator(plan), None, plan.seed));
    let deadline = Instant::now() + Duration::from_millis(plan.ready_timeout_ms);
    Ok(clients.final_reads(&source, &audit.interrupt, deadline).await?)
}

/// Starts the nodes and waits until all are ready. `None` for a target without processes.
async fn start_cluster(
    audit: &Audit,
    spec: &ordeal_core::ClusterSpec,
    journal: &Journal,
    last_acknowledged: &Arc<AtomicUsize>,
    joined: &Arc<Joined>,
) -> Result<Option<Driver>, RunError> {
    let Some(first) = spec.nodes.first() else {
        return Err(RunError::Plan("a cluster needs at least one node".to_owned()));
    };
    if audit.target.launch(first, spec)?.is_none() {
        return match audit.plan.faults.is_empty() {
            true => Ok(None),
            false => Err(RunError::Plan(format!(
                "target `{}` has no processes to break: run it with `--faults none`",
                audit.target.name()
            ))),
        };
    }
    let network = Network::build(spec.nodes.len(), &wiring(audit))?;
    let (target, dir) = (Arc::clone(&audit.target), audit.dir.clone());
    let (harness, journal) = (audit.harness.clone(), journal.clone());
    let shared = (Arc::clone(last_acknowledged), Arc::clone(joined));
    let cluster = LocalCluster::new(spec.clone(), target, network, dir, harness, journal.clone(), shared);
    let handle = Handle(Arc::clone(&cluster));
    if let Err(error) = bring_up(audit, &handle).await {
        stop_cluster(audit, &handle).await;
        return Err(error);
    }
    let classes = audit.faults.iter().filter_map(|fault| (audit.class)(fault.name()));
    let classes = Arc::new(classes.map(|class| (class, tokio::sync::Mutex::default())).collect());
    let driver = Driver { journal, cluster: handle, progress: Arc::clone(&audit.progress), classes };
    let primary = driver.has_primary().await;
    tracing::info!(nodes = spec.nodes.len(), primary, "the cluster is ready");
    Ok(Some(driver))
}

/// Makes ready for the faults, starts every node, and waits until all are ready.
async fn bring_up(audit: &Audit, handle: &Handle) -> Result<(), RunError> {
    let cluster = &handle.0;
    for fault in &audit.faults {
        let unprepared = |why| RunError::Prepare { fault: fault.name(), why };
        fault.prepare(handle).await.map_err(unprepared)?;
    }
    cluster.start_all().await.map_err(RunError::Start)?;
    let timeout = Duration::from_millis(audit.plan.ready_timeout_ms);
    let unready = cluster.wait_ready(timeout, Dead::GiveUp, &audit.interrupt).await;
    match unready.first() {
        None => Ok(()),
        Some(id) => {
            let words = cluster.last_words(id);
            Err(RunError::Start(format!("{} not ready; {words}", unready.join(", "))))
        }
    }
}

/// The kernel's bridge, unless something needs the switch, which is slower.
fn wiring(audit: &Audit) -> Wiring {
    let needed = audit.capture.is_some() || audit.faults.iter().any(|fault| fault.needs_switch());
    match needed {
        true => {
            let seed = Rng::fork(audit.plan.seed, "switch").next_u64();
            Wiring::Switch { seed, capture: audit.capture.clone() }
        }
        false => Wiring::Bridge,
    }
}

/// Starts what died by itself, and waits until every node is ready again.
async fn settle(cluster: &Arc<LocalCluster>, audit: &Audit) -> Result<(), RunError> {
    cluster.start_all().await.map_err(RunError::Start)?;
    let timeout = Duration::from_millis(audit.plan.ready_timeout_ms);
    let begun = Instant::now();
    for id in cluster.wait_ready(timeout, Dead::WaitForOthers, &audit.interrupt).await {
        let after_ms = begun.elapsed().as_millis() as u64;
        cluster.note("node-not-ready", json!({"node": id, "after_ms": after_ms})).await?;
    }
    Ok(())
}

/// Marks phases in the history and for whoever watches.
struct Phases {
    journal: Journal,
    progress: Arc<Progress>,
}

impl Phases {
    async fn enter(&self, phase: Phase) -> Result<(), RunError> {
        tracing::info!(phase = phase.as_str(), "phase");
        self.progress.enter(phase);
        self.note("phase", json!(phase.as_str())).await
    }

    async fn interrupted(&self) -> Result<(), RunError> {
        self.note("interrupted", Value::Null).await
    }

    async fn note(&self, f: &'static str, value: Value) -> Result<(), RunError> {
        Ok(self.journal.record(nemesis_event(&self.journal, EventKind::Info, f, value)).await?)
    }
}

/// A flag that turns true at `deadline`, or earlier when interrupted.
fn stop_at(deadline: Instant, mut interrupt: watch::Receiver<bool>) -> watch::Receiver<bool> {
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        tokio::select! {
            () = tokio::time::sleep_until(deadline) => {}
            Ok(_) = interrupt.wait_for(|interrupted| *interrupted) => {}
        }
        stop.send_replace(true);
    });
    stopped
}
