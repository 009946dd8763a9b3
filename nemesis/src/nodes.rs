//! The nodes that run, each as its init process and PID namespace.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use ordeal_core::Cluster;

use crate::processes::{PidNamespace, Process, blocking, runs, unreadable};

/// Between two looks whether a node is back.
const ASK_INTERVAL: Duration = Duration::from_millis(20);

/// A node that runs. If it is killed and started again, that is another one: the namespace stays this one's.
#[derive(Clone, Debug)]
pub(crate) struct Running {
    pub(crate) node: usize,
    /// Process 1 of the namespace, as the harness sees it.
    pub(crate) init: i32,
    pub(crate) namespace: Arc<PidNamespace>,
}

impl Running {
    /// Its live processes. Blocks.
    pub(crate) fn processes(&self) -> Result<Vec<Process>, String> {
        self.namespace.processes().map_err(|e| unreadable(&e))
    }

    /// Sends a signal to one of its processes; fine if that is gone.
    pub(crate) fn send(&self, pid: i32, signal: Signal) -> Result<(), String> {
        // The namespace is pinned: a number that is in it is not another's yet.
        if !self.namespace.contains(pid) {
            return Ok(());
        }
        match kill(Pid::from_raw(pid), signal) {
            Ok(()) | Err(Errno::ESRCH) => Ok(()),
            Err(e) => Err(format!("cannot send {signal} to node {}: {e}", self.node)),
        }
    }
}

/// Which of the nodes run, and which are down.
pub(crate) async fn running(
    cluster: &dyn Cluster,
    nodes: &[usize],
) -> Result<(Vec<Running>, Vec<usize>), String> {
    let inits: Vec<_> = nodes.iter().map(|&node| (node, cluster.init_pid(node))).collect();
    let look = move || {
        let (mut up, mut down) = (Vec::new(), Vec::new());
        for (node, init) in inits {
            // A node can die by itself at any moment; then its namespace cannot be read any more.
            match init.map(|init| (init, PidNamespace::of(init))) {
                Some((init, Ok(namespace))) => {
                    up.push(Running { node, init, namespace: Arc::new(namespace) });
                }
                Some((init, Err(e))) if e.kind() != ErrorKind::NotFound && runs(init) => {
                    return Err(format!("cannot look at node {node}: {e}"));
                }
                _ => down.push(node),
            }
        }
        Ok((up, down))
    };
    blocking(look).await?
}

/// The same, with at least one that runs: another fault may have killed them all; they come back, perhaps
/// within this time.
pub(crate) async fn some_running(
    cluster: &dyn Cluster,
    nodes: &[usize],
    patience_ms: u64,
) -> Result<(Vec<Running>, Vec<usize>), String> {
    let deadline = Instant::now() + Duration::from_millis(patience_ms);
    while nodes.iter().all(|&node| cluster.init_pid(node).is_none()) && Instant::now() < deadline {
        tokio::time::sleep(ASK_INTERVAL).await;
    }
    match running(cluster, nodes).await? {
        (up, _) if up.is_empty() => Err("every node it was meant for is down".to_owned()),
        found => Ok(found),
    }
}
