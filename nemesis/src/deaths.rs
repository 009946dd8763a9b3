//! The deaths of whole nodes by our hand, and how they come back: what every fault that kills shares.
//!
//! Mechanism: `SIGKILL` to the init process of the node's PID namespace; the kernel then kills everything
//! in it, also what left its session and process group (pid_namespaces(7)).
//! Proof: no live process is left in the PID namespace noted before the kill. That namespace is kept
//! pinned, so that a later one cannot be mistaken for it.

pub(crate) mod trigger;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use ordeal_core::{Cluster, Probe};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::blocking;
use crate::processes::{PidNamespace, runs};

/// The longest wait for the kernel to have killed and reaped a node.
const GONE_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest wait for a node's new init process.
const START_TIMEOUT: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(1);

/// The nodes that are down by our hand, and are ours to start again.
#[derive(Default)]
pub(crate) struct Deaths {
    victims: Mutex<BTreeMap<usize, Victim>>,
}

/// A node's life that we ended.
struct Victim {
    /// Where it lived; `None` if it was down before we came.
    namespace: Option<Arc<PidNamespace>>,
    /// What ran there just before the kill.
    pids: Vec<i32>,
}

/// A life that may be ended: the init process of a node, in a namespace that is pinned.
#[derive(Clone)]
pub(crate) struct Life {
    pub(crate) node: usize,
    pub(crate) init: i32,
    pub(crate) namespace: Arc<PidNamespace>,
}

/// Whom a stroke hit.
#[derive(Debug)]
pub(crate) struct Killed {
    pub(crate) nodes: Vec<usize>,
    pub(crate) already_down: Vec<usize>,
}

/// The lives of those of the nodes that run, and the nodes that are down.
pub(crate) fn lives(cluster: &dyn Cluster, nodes: &[usize]) -> Result<(Vec<Life>, Vec<usize>), String> {
    let (mut alive, mut down) = (Vec::new(), Vec::new());
    for &node in nodes {
        // A node can die by itself at any moment; then its namespace cannot be read any more.
        match cluster.init_pid(node).map(|init| (init, PidNamespace::of(init))) {
            Some((init, Ok(namespace))) => alive.push(Life { node, init, namespace: Arc::new(namespace) }),
            Some((init, Err(e))) if runs(init) => return Err(format!("cannot look at node {node}: {e}")),
            _ => down.push(node),
        }
    }
    Ok((alive, down))
}

impl Life {
    /// What runs there now.
    fn pids(&self) -> Vec<i32> {
        self.namespace.processes().unwrap_or_default().iter().map(|p| p.pid).collect()
    }

    /// Sends the signal; fine if it is over already.
    fn end(&self) -> Result<(), String> {
        // The number may be another's by now, but never in the namespace that is pinned.
        if !self.namespace.contains(self.init) {
            return Ok(());
        }
        match kill(Pid::from_raw(self.init), Signal::SIGKILL) {
            Ok(()) | Err(Errno::ESRCH) => Ok(()),
            Err(e) => Err(format!("cannot kill node {}: {e}", self.node)),
        }
    }
}

impl Deaths {
    /// Kills these nodes, all at once, and waits until nothing of them is left.
    pub(crate) async fn kill(&self, cluster: &dyn Cluster, nodes: &[usize]) -> Result<Killed, String> {
        let (doomed, already_down) = lives(cluster, nodes)?;
        if doomed.is_empty() {
            return Err("every node it was meant for is already down".to_owned());
        }
        let (doomed, pids) = blocking(move || {
            let pids: Vec<Vec<i32>> = doomed.iter().map(Life::pids).collect();
            (doomed, pids)
        })
        .await?;
        let mut victims = self.victims.lock().await;
        for life in &doomed {
            cluster.expect_death(life.node);
        }
        for (life, pids) in doomed.iter().zip(pids) {
            life.end()?;
            victims.insert(life.node, Victim { namespace: Some(Arc::clone(&life.namespace)), pids });
        }
        let nodes: Vec<usize> = doomed.iter().map(|life| life.node).collect();
        gone(cluster, &nodes).await?;
        Ok(Killed { nodes, already_down })
    }

    /// Takes over a death that has happened: the node is ours to start again.
    pub(crate) async fn adopt(&self, life: Life, pids: Vec<i32>) {
        self.victims.lock().await.insert(life.node, Victim { namespace: Some(life.namespace), pids });
    }

    /// Kills those of the nodes that run, and takes over those that are down, for whatever reason.
    pub(crate) async fn fell(&self, cluster: &dyn Cluster, nodes: &[usize]) -> Result<(), String> {
        if !lives(cluster, nodes)?.0.is_empty() {
            self.kill(cluster, nodes).await?;
        }
        gone(cluster, nodes).await?;
        let mut victims = self.victims.lock().await;
        for &node in nodes {
            victims.entry(node).or_insert(Victim { namespace: None, pids: Vec::new() });
        }
        Ok(())
    }

    /// Whether all victims are dead, with nothing left of them.
    pub(crate) async fn look(&self, cluster: &dyn Cluster) -> Probe {
        let victims = self.victims.lock().await;
        let mut proved = !victims.is_empty();
        let mut seen = Vec::new();
        for (&node, victim) in victims.iter() {
            let (clean, left) = match survivors(victim).await {
                Ok(left) => (left.is_empty(), json!(left)),
                Err(why) => (false, json!(why)),
            };
            let restarted = cluster.init_pid(node).is_some_and(runs);
            proved &= clean && !restarted;
            seen.push(
                json!({ "node": node, "killed_pids": victim.pids, "left": left, "restarted": restarted }),
            );
        }
        Probe { proved, seen: Value::Array(seen) }
    }

    /// Starts all victims again; proved by their new init processes.
    pub(crate) async fn revive(&self, cluster: &dyn Cluster) -> Result<Probe, String> {
        let mut victims = self.victims.lock().await;
        let mut errors = Vec::new();
        for &node in victims.keys() {
            if let Err(e) = cluster.start(node).await {
                errors.push(format!("cannot start node {node}: {e}"));
            }
        }
        if !errors.is_empty() {
            return Err(errors.join("; "));
        }
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            let inits: BTreeMap<usize, Option<i32>> =
                victims.iter().map(|(&node, victim)| (node, new_init(cluster, node, victim))).collect();
            let proved = inits.values().all(Option::is_some);
            if proved || Instant::now() >= deadline {
                if proved {
                    victims.clear();
                }
                let seen =
                    inits.iter().map(|(node, init)| json!({ "node": node, "init_pid": init })).collect();
                return Ok(Probe { proved, seen });
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Starts all victims again although they may end at once: what they stand on may be damaged. They are
    /// watched for so long. Answers which of them ended again.
    pub(crate) async fn try_revive(
        &self,
        cluster: &dyn Cluster,
        watch: Duration,
    ) -> Result<BTreeMap<usize, bool>, String> {
        let mut victims = self.victims.lock().await;
        for &node in victims.keys() {
            cluster.start(node).await.map_err(|e| format!("cannot start node {node}: {e}"))?;
            // Only from here on: the start took back what was expected before.
            cluster.expect_death(node);
        }
        let nodes: Vec<usize> = std::mem::take(&mut *victims).into_keys().collect();
        let deadline = Instant::now() + watch;
        let down = |&node: &usize| !cluster.init_pid(node).is_some_and(runs);
        while !nodes.is_empty() && !nodes.iter().all(down) && Instant::now() < deadline {
            tokio::time::sleep(POLL).await;
        }
        Ok(nodes.iter().map(|node| (*node, down(node))).collect())
    }
}

/// Waits until nothing of the nodes runs.
async fn gone(cluster: &dyn Cluster, nodes: &[usize]) -> Result<(), String> {
    let all_gone = async {
        for &node in nodes {
            cluster.gone(node).await;
        }
    };
    tokio::time::timeout(GONE_TIMEOUT, all_gone)
        .await
        .map_err(|_| format!("a killed node still ran after {GONE_TIMEOUT:?}"))
}

/// What lives on in a victim's namespace.
async fn survivors(victim: &Victim) -> Result<Vec<i32>, String> {
    let Some(namespace) = victim.namespace.clone() else { return Ok(Vec::new()) };
    let processes = blocking(move || namespace.processes()).await?;
    let processes = processes.map_err(|e| format!("cannot read /proc: {e}"))?;
    Ok(processes.iter().map(|p| p.pid).collect())
}

/// The init process of the node if it runs and is not the one that was killed.
fn new_init(cluster: &dyn Cluster, node: usize, victim: &Victim) -> Option<i32> {
    let old = |init| victim.namespace.as_ref().is_some_and(|namespace| namespace.contains(init));
    cluster.init_pid(node).filter(|&init| runs(init) && !old(init))
}
