//! `kill`: whole nodes die without a last word, all those drawn at once, and are started again on heal.
//!
//! Mechanism: `SIGKILL` to the init process of the node's PID namespace; the kernel then kills everything
//! in it, also what left its session and process group (pid_namespaces(7)).
//! Proof: no live process is left in the PID namespace noted before the kill. That namespace is kept
//! pinned, so that a later one cannot be mistaken for it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use ordeal_core::{Applies, BoxFuture, Cluster, Fault, FaultStep, Machine, Probe, Rng, Words};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::processes::{PidNamespace, runs};
use crate::{Arsenal, whom};

pub(crate) const NAME: &str = "kill";
pub(crate) const ABOUT: &str = "kill whole nodes with SIGKILL; they are started again on the data they left";

/// The longest wait for the kernel to have killed and reaped a node.
const GONE_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest wait for a node's new init process.
const START_TIMEOUT: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(1);

pub(crate) fn build(_: &Arc<Arsenal>) -> Box<dyn Fault> {
    Box::new(Kill::default())
}

#[derive(Default)]
struct Kill {
    /// The nodes that are down by our hand.
    victims: Mutex<BTreeMap<usize, Victim>>,
}

struct Victim {
    namespace: PidNamespace,
    /// What ran there just before the kill.
    pids: Vec<i32>,
}

impl Victim {
    fn of(init: i32) -> std::io::Result<Self> {
        let namespace = PidNamespace::of(init)?;
        let pids = namespace.processes()?.iter().map(|p| p.pid).collect();
        Ok(Victim { namespace, pids })
    }
}

impl Kill {
    async fn strike(&self, cluster: &dyn Cluster, args: &Value) -> Result<Value, String> {
        let nodes = whom::resolve(args, cluster).await?;
        let mut doomed = Vec::new();
        let mut already_down = Vec::new();
        for node in nodes {
            // A node can die by itself at any moment; then its namespace cannot be read any more.
            match cluster.init_pid(node).map(|init| (init, Victim::of(init))) {
                Some((init, Ok(victim))) => doomed.push((node, init, victim)),
                Some((init, Err(e))) if runs(init) => return Err(format!("cannot look at node {node}: {e}")),
                _ => already_down.push(node),
            }
        }
        if doomed.is_empty() {
            return Err("every node it was meant for is already down".to_owned());
        }
        for &(node, ..) in &doomed {
            cluster.expect_death(node);
        }
        let mut victims = self.victims.lock().await;
        let mut killed = Vec::new();
        for (node, init, victim) in doomed {
            // The pinned namespace was this process's a moment ago, so the number is not another's yet.
            match kill(Pid::from_raw(init), Signal::SIGKILL) {
                Ok(()) | Err(Errno::ESRCH) => {}
                Err(e) => return Err(format!("cannot kill node {node}: {e}")),
            }
            victims.insert(node, victim);
            killed.push(node);
        }
        let all_gone = async {
            for &node in &killed {
                cluster.gone(node).await;
            }
        };
        tokio::time::timeout(GONE_TIMEOUT, all_gone)
            .await
            .map_err(|_| format!("a killed node still ran after {GONE_TIMEOUT:?}"))?;
        Ok(json!({ "nodes": killed, "already_down": already_down }))
    }

    async fn look(&self, cluster: &dyn Cluster) -> Probe {
        let victims = self.victims.lock().await;
        let mut proved = !victims.is_empty();
        let mut seen = Vec::new();
        for (&node, victim) in victims.iter() {
            let (clean, left) = match victim.namespace.processes() {
                Ok(left) => (left.is_empty(), left.iter().map(|p| json!(p.pid)).collect()),
                Err(e) => (false, json!(format!("cannot read /proc: {e}"))),
            };
            let restarted = cluster.init_pid(node).is_some_and(runs);
            proved &= clean && !restarted;
            seen.push(
                json!({ "node": node, "killed_pids": victim.pids, "left": left, "restarted": restarted }),
            );
        }
        Probe { proved, seen: Value::Array(seen) }
    }

    async fn revive(&self, cluster: &dyn Cluster) -> Result<Probe, String> {
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
}

/// The init process of the node if it runs and is not the one that was killed.
fn new_init(cluster: &dyn Cluster, node: usize, victim: &Victim) -> Option<i32> {
    cluster.init_pid(node).filter(|&init| runs(init) && !victim.namespace.contains(init))
}

impl Fault for Kill {
    fn name(&self) -> &'static str {
        NAME
    }

    fn about(&self) -> &'static str {
        ABOUT
    }

    fn applies(&self, _: &Machine, _: usize) -> Applies {
        Applies::Yes
    }

    fn draw(&self, rng: &mut Rng, nodes: usize, has_primary: bool) -> Value {
        whom::draw(rng, nodes, has_primary)
    }

    fn read(
        &self,
        mut words: Words,
        rng: &mut Rng,
        nodes: usize,
        has_primary: bool,
    ) -> Result<Value, String> {
        let mut args = self.draw(rng, nodes, has_primary);
        if let Some(whom) = whom::read(&mut words, rng, nodes, has_primary)? {
            args["nodes"] = whom;
        }
        words.finish(whom::WORDS).map(|()| args)
    }

    fn inject<'a>(
        &'a self,
        cluster: &'a dyn Cluster,
        step: &'a FaultStep,
    ) -> BoxFuture<'a, Result<Value, String>> {
        Box::pin(self.strike(cluster, &step.args))
    }

    fn probe<'a>(&'a self, cluster: &'a dyn Cluster) -> BoxFuture<'a, Probe> {
        Box::pin(self.look(cluster))
    }

    fn heal<'a>(&'a self, cluster: &'a dyn Cluster) -> BoxFuture<'a, Result<Probe, String>> {
        Box::pin(self.revive(cluster))
    }
}
