//! The cluster: real processes, each in namespaces of its own, that can be killed and started again.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ordeal_core::{
    BoxFuture, Cluster, ClusterSpec, Event, EventKind, Fabric, Launch, LaunchChange, NodeSpec, Process,
    Target,
};
use serde_json::json;
use tokio::sync::watch;

use crate::sandbox::{HARNESS_IP, Network, node_ip, wrap};
use crate::{Journal, RunDir};

/// So many of a node's last lines are kept in the history when it dies unexpectedly.
const LAST_LINES: usize = 20;
/// They are looked for in so much of the end of its log.
const LAST_BYTES: u64 = 64 * 1024;
/// The longest wait for a node's shims to say that the node was started.
const REPORT: Duration = Duration::from_secs(30);
/// The longest wait for all processes to be gone in the end.
const STOP: Duration = Duration::from_secs(20);
/// Pause between two questions whether a node is ready.
const READY_POLL: Duration = Duration::from_millis(20);
/// The longest single question.
const READY_ASK: Duration = Duration::from_millis(1000);

/// The nodes of a cluster that begins with so many, and which so many join, keeping their data in the run
/// directory.
pub fn cluster_spec(founders: usize, joining: usize, dir: &RunDir) -> ClusterSpec {
    let node = |index: usize| {
        let id = format!("n{}", index + 1);
        let data_dir = dir.node(&id).join("data");
        NodeSpec { index, ip: node_ip(index), id, data_dir }
    };
    ClusterSpec { nodes: (0..founders + joining).map(node).collect(), founders, clients: HARNESS_IP }
}

/// The processes of a system under audit.
pub(crate) struct LocalCluster {
    spec: ClusterSpec,
    target: Arc<dyn Target>,
    network: Network,
    nodes: Vec<Node>,
    dir: RunDir,
    harness: PathBuf,
    journal: Journal,
    runtime: tokio::runtime::Handle,
    /// What faults change about how a node is started, by node and fault.
    changes: Mutex<BTreeMap<(usize, &'static str), LaunchChange>>,
    /// The node that last acknowledged a write, plus one; 0 before the first.
    last_acknowledged: Arc<AtomicUsize>,
    joined: Arc<Joined>,
}

/// How far nodes that join have come; they do so in their order.
pub(crate) struct Joined {
    /// So many, the first ones, were started.
    started: AtomicUsize,
    /// So many, the first ones, belong to the system as far as it has said so.
    taken_in: AtomicUsize,
}

impl Joined {
    pub(crate) fn founders(spec: &ClusterSpec) -> Self {
        Joined { started: AtomicUsize::new(spec.founders), taken_in: AtomicUsize::new(spec.founders) }
    }

    /// How many nodes belong to the system.
    pub(crate) fn taken_in(&self) -> usize {
        self.taken_in.load(Ordering::Relaxed)
    }

    fn started(&self) -> usize {
        self.started.load(Ordering::Relaxed)
    }
}

struct Node {
    state: Mutex<State>,
    /// Held while it is being started: two faults may want that at once.
    starting: tokio::sync::Mutex<()>,
    /// The process id of the node's init; `None` while nothing of the node runs.
    init: watch::Sender<Option<i32>>,
}

#[derive(Default)]
struct State {
    death_expected: bool,
    /// Every death of it is expected.
    doomed: bool,
    /// How its process ended the last time.
    last_status: Option<String>,
}

impl LocalCluster {
    /// A cluster whose nodes are all down. Must be called in the runtime in which it is used.
    pub(crate) fn new(
        spec: ClusterSpec,
        target: Arc<dyn Target>,
        network: Network,
        dir: RunDir,
        harness: PathBuf,
        journal: Journal,
        (last_acknowledged, joined): (Arc<AtomicUsize>, Arc<Joined>),
    ) -> Arc<Self> {
        let node = |_| Node {
            state: Mutex::default(),
            starting: tokio::sync::Mutex::default(),
            init: watch::Sender::new(None),
        };
        let nodes = spec.nodes.iter().map(node).collect();
        let changes = Mutex::default();
        Arc::new(LocalCluster {
            spec,
            target,
            network,
            nodes,
            dir,
            harness,
            journal,
            runtime: tokio::runtime::Handle::current(),
            changes,
            last_acknowledged,
            joined,
        })
    }

    /// How the node is started, with what faults change about it.
    fn launch(&self, index: usize) -> Result<Launch, String> {
        let launch = self.target.launch(&self.spec.nodes[index], &self.spec).map_err(|e| e.to_string())?;
        let mut launch = launch.ok_or("the target has no processes to start")?;
        let changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        changes.iter().filter(|((node, _), _)| *node == index).for_each(|(_, change)| launch.change(change));
        Ok(launch)
    }

    fn state(&self, node: usize) -> MutexGuard<'_, State> {
        self.nodes[node].state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the node's process and a task that waits for its end.
    async fn spawn(self: &Arc<Self>, index: usize) -> Result<(), String> {
        if index >= self.joined.started() {
            return Err(format!("{} has not joined yet", self.spec.nodes[index].id));
        }
        let _starting = self.nodes[index].starting.lock().await;
        if self.init_pid(index).is_some() {
            return Ok(());
        }
        let node = &self.spec.nodes[index];
        let launch = self.launch(index)?;
        let home = self.dir.node(&node.id);
        let fail = |what: &str, e: std::io::Error| format!("{}: cannot {what}: {e}", node.id);
        std::fs::create_dir_all(&node.data_dir).map_err(|e| fail("create its data directory", e))?;
        let log = |name: &str| std::fs::OpenOptions::new().create(true).append(true).open(home.join(name));
        let (stdout, stderr) =
            (log("stdout.log").map_err(|e| fail("log", e))?, log("stderr.log").map_err(|e| fail("log", e))?);
        let (report, child_end) = std::io::pipe().map_err(|e| fail("create a pipe", e))?;

        let program = launch.program.as_os_str();
        let network = self.network.node(index);
        let wrapped =
            wrap(self.harness.as_os_str(), &node.id, network, child_end.as_fd(), program, &launch.args);
        let mut command = tokio::process::Command::from(wrapped);
        command.env_clear().envs(launch.env).current_dir(&home);
        command.stdin(std::process::Stdio::null()).stdout(stdout).stderr(stderr);
        // Until a task waits for it, a node that is given up must not live on unseen.
        command.kill_on_drop(true);
        let mut child = command.spawn().map_err(|e| fail("start its process", e))?;
        drop(child_end);
        let reported = tokio::task::spawn_blocking(move || read_report(BufReader::new(report)));
        let reported = tokio::time::timeout(REPORT, reported).await;
        let reported = reported.map_err(|_| format!("{}: its init process did not report", node.id))?;
        let init = reported.map_err(|e| e.to_string())?.map_err(|why| format!("{}: {why}", node.id))?;
        {
            let mut state = self.state(index);
            state.death_expected = state.doomed;
        }
        self.nodes[index].init.send_replace(Some(init));
        tracing::info!(node = node.id, init, program = %launch.program.display(), "started");

        let cluster = Arc::clone(self);
        tokio::spawn(async move {
            let status = child.wait().await.map_or_else(|e| e.to_string(), |s| s.to_string());
            cluster.ended(index, status).await;
        });
        Ok(())
    }

    /// Everything of the node has ended: the shim only ends after the whole PID namespace.
    async fn ended(&self, index: usize, status: String) {
        let node = &self.spec.nodes[index];
        let expected = {
            let mut state = self.state(index);
            state.last_status = Some(status.clone());
            state.death_expected
        };
        self.nodes[index].init.send_replace(None);
        tracing::info!(node = node.id, status, expected, "ended");
        if expected {
            return;
        }
        let log = self.last_lines(&node.id);
        let value = json!({"node": node.id, "status": status, "log": log});
        let _ = self.note("node-exited", value).await;
    }

    /// What became of a node that is not ready, with its last words.
    pub(crate) fn last_words(&self, id: &str) -> String {
        let ended = self.spec.nodes.iter().find(|n| n.id == id).and_then(|n| {
            let down = self.init_pid(n.index).is_none();
            self.state(n.index).last_status.clone().filter(|_| down)
        });
        let ended =
            ended.map_or_else(|| format!("{id} runs"), |status| format!("{id} ended by itself ({status})"));
        match self.last_lines(id).as_slice() {
            [] => format!("{ended} and said nothing"),
            lines => format!("{ended}; the last it said:\n    {}", lines.join("\n    ")),
        }
    }

    /// The last lines that a node printed to its standard error.
    fn last_lines(&self, id: &str) -> Vec<String> {
        let bytes = last_bytes(&self.dir.node(id).join("stderr.log")).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let mut lines: Vec<String> = text.lines().rev().take(LAST_LINES).map(str::to_owned).collect();
        lines.reverse();
        lines
    }

    /// Records something that happened to the cluster.
    pub(crate) async fn note(
        &self,
        f: &'static str,
        value: serde_json::Value,
    ) -> Result<(), crate::RecorderError> {
        self.journal.record(nemesis_event(&self.journal, EventKind::Info, f, value)).await
    }

    /// Waits until every node that belongs to the system is ready. Returns the ids of those that are not after `timeout`, or when
    /// interrupted.
    pub(crate) async fn wait_ready(
        &self,
        timeout: Duration,
        dead: Dead,
        interrupt: &watch::Receiver<bool>,
    ) -> Vec<String> {
        let deadline = tokio::time::Instant::now() + timeout;
        let mut waiting: Vec<usize> = (0..self.joined.taken_in()).collect();
        loop {
            let mut still = Vec::new();
            for &index in &waiting {
                if !self.ready(index).await {
                    still.push(index);
                }
            }
            waiting = still;
            let down = |&i: &usize| self.init_pid(i).is_none();
            let hopeless = match dead {
                Dead::GiveUp => waiting.iter().any(down),
                Dead::WaitForOthers => waiting.iter().all(down),
            };
            let over = *interrupt.borrow() || tokio::time::Instant::now() >= deadline;
            if waiting.is_empty() || hopeless || over {
                return waiting.iter().map(|&i| self.spec.nodes[i].id.clone()).collect();
            }
            tokio::time::sleep(READY_POLL).await;
        }
    }

    /// Starts every node that is down and was started before. One that a fault left down, its death expected (its files are
    /// damaged, say), may end again.
    pub(crate) async fn start_all(self: &Arc<Self>) -> Result<(), String> {
        for index in 0..self.joined.started() {
            let doomed = self.init_pid(index).is_none() && self.state(index).death_expected;
            self.spawn(index).await?;
            if doomed {
                self.expect_death(index);
            }
        }
        Ok(())
    }

    /// Starts the next node that has not joined.
    async fn start_next(self: &Arc<Self>) -> Result<usize, String> {
        let index = self.joined.started();
        if index >= self.nodes.len() {
            return Err("all nodes have joined".to_owned());
        }
        // Only one fault does this, one step after another.
        self.joined.started.store(index + 1, Ordering::Relaxed);
        let spawned = self.spawn(index).await;
        if spawned.is_err() {
            self.joined.started.store(index, Ordering::Relaxed);
        }
        spawned.map(|()| index)
    }

    /// Kills every node and waits until nothing of any is left.
    pub(crate) async fn stop(&self) {
        for index in 0..self.nodes.len() {
            self.expect_death(index);
            if let Some(pid) = self.init_pid(index) {
                let _ = nix::sys::signal::kill(
                    nix::unistd::Pid::from_raw(pid),
                    nix::sys::signal::Signal::SIGKILL,
                );
            }
        }
        // A process that hangs in the kernel (a dead disk) goes with the sandbox at the latest.
        let all_gone = async {
            for index in 0..self.nodes.len() {
                self.gone(index).await;
            }
        };
        let _ = tokio::time::timeout(STOP, all_gone).await;
    }
}

/// What to do about a node that has died while one waits for all to be ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dead {
    /// It will not come back: stop waiting.
    GiveUp,
    /// Wait for those that live.
    WaitForOthers,
}

/// Reads what a node's shims report, in either order: the process id of the init, and that the program was started.
fn read_report(report: impl BufRead) -> Result<i32, String> {
    let (mut init, mut started) = (None, false);
    for line in report.lines() {
        match line.map_err(|e| e.to_string())?.split_once(' ') {
            Some(("init", pid)) => init = pid.parse().ok(),
            Some(("started", _)) => started = true,
            Some(("error", why)) => return Err(why.to_owned()),
            _ => {}
        }
    }
    init.filter(|_| started).ok_or_else(|| "its init process did not start".to_owned())
}

/// The cluster as faults hold it: starting a node needs shared ownership, which the trait hides.
#[derive(Clone)]
pub(crate) struct Handle(pub(crate) Arc<LocalCluster>);

impl Cluster for Handle {
    fn spec(&self) -> &ClusterSpec {
        self.0.spec()
    }

    fn init_pid(&self, node: usize) -> Option<i32> {
        self.0.init_pid(node)
    }

    fn network(&self, node: usize) -> BorrowedFd<'_> {
        self.0.network.node(node)
    }

    fn fabric(&self) -> &dyn Fabric {
        &self.0.network
    }

    fn launch(&self, node: usize) -> Result<Launch, String> {
        self.0.launch(node)
    }

    fn change_launch(&self, node: usize, owner: &'static str, change: LaunchChange) {
        let mut changes = self.0.changes.lock().unwrap_or_else(PoisonError::into_inner);
        changes.insert((node, owner), change);
    }

    fn log_file(&self, node: usize, stream: &str) -> PathBuf {
        self.0.dir.node(&self.0.spec.nodes[node].id).join(format!("{stream}.log"))
    }

    fn note(&self, f: &'static str, value: serde_json::Value) {
        // The journal's failure ends the run by itself.
        let journal = self.0.journal.clone();
        let event = nemesis_event(&journal, EventKind::Info, f, value);
        self.0.runtime.spawn(async move { journal.record(event).await });
    }

    fn last_acknowledged(&self) -> Option<usize> {
        self.0.last_acknowledged.load(Ordering::Relaxed).checked_sub(1)
    }

    fn expect_death(&self, node: usize) {
        self.0.expect_death(node);
    }

    fn expect_deaths(&self, node: usize) {
        self.0.state(node).doomed = true;
        self.0.expect_death(node);
    }

    fn gone(&self, node: usize) -> BoxFuture<'_, ()> {
        Box::pin(self.0.gone(node))
    }

    fn start(&self, node: usize) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(self.0.spawn(node))
    }

    fn primaries(&self) -> BoxFuture<'_, Option<Vec<usize>>> {
        Box::pin(async {
            match self.0.target.primary() {
                Some(primary) => Some(primary.primaries(&self.0.spec).await),
                None => None,
            }
        })
    }

    fn ready(&self, node: usize) -> BoxFuture<'_, bool> {
        Box::pin(self.0.ready(node))
    }

    fn joined(&self) -> usize {
        self.0.joined.started()
    }

    fn start_next(&self) -> BoxFuture<'_, Result<usize, String>> {
        Box::pin(self.0.start_next())
    }

    fn announce(&self, node: usize) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async move {
            let membership = self.0.target.membership();
            let membership = membership.ok_or("the target takes no nodes in while it runs")?;
            membership.join(&self.0.spec.nodes[node], &self.0.spec).await?;
            self.0.joined.taken_in.fetch_max(node + 1, Ordering::Relaxed);
            Ok(())
        })
    }
}

impl LocalCluster {
    pub(crate) fn spec(&self) -> &ClusterSpec {
        &self.spec
    }

    fn init_pid(&self, node: usize) -> Option<i32> {
        *self.nodes[node].init.borrow()
    }

    fn expect_death(&self, node: usize) {
        self.state(node).death_expected = true;
    }

    async fn gone(&self, node: usize) {
        // The sender lives as long as the cluster, so waiting cannot fail.
        let _ = self.nodes[node].init.subscribe().wait_for(Option::is_none).await;
    }

    async fn ready(&self, node: usize) -> bool {
        let asked = self.target.ready(&self.spec.nodes[node]);
        tokio::time::timeout(READY_ASK, asked).await.unwrap_or(false)
    }
}

/// The end of a file.
fn last_bytes(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut file = std::fs::File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LAST_BYTES)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map(|_| bytes)
}

/// An event of the harness itself.
pub(crate) fn nemesis_event(
    journal: &Journal,
    kind: EventKind,
    f: &'static str,
    value: serde_json::Value,
) -> Event {
    Event {
        index: 0,
        time: journal.now(),
        process: Process::nemesis(),
        kind,
        f: f.into(),
        value,
        key: None,
        node: None,
        error: None,
    }
}
