//! `pause`: whole nodes stand still, like a virtual machine that is not scheduled, and go on on heal.
//!
//! Mechanism: `SIGSTOP` to every process of the node's PID namespace, see [`crate::sweep`].
//! Proof: no thread is in a state in which it can run, and the processor time used does not grow.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ordeal_core::{BoxFuture, Cluster, Fault, FaultStep, Probe, Rng, Words};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::nodes::{Running, some_running};
use crate::processes::{Process, blocking};
use crate::{Arsenal, sweep, whom};

pub(crate) const NAME: &str = "pause";
pub(crate) const ABOUT: &str = "stop every process of whole nodes with SIGSTOP; they go on where they stood";

/// Between two readings of processor time: a few times the kernel's tick of 10 ms at most.
const TICKS_INTERVAL: Duration = Duration::from_millis(50);

/// How often it is looked whether they stand still.
const LOOKS: usize = 10;

pub(crate) fn build(_: &Arc<Arsenal>) -> Box<dyn Fault> {
    Box::new(Pause::default())
}

#[derive(Default)]
struct Pause {
    /// The namespaces that are stopped by our hand. A node that was killed and started again in the
    /// meantime has a new namespace, which is none of these and runs.
    paused: Mutex<Vec<Running>>,
}

impl Pause {
    async fn stop(&self, cluster: &dyn Cluster, step: &FaultStep) -> Result<Value, String> {
        let nodes = whom::resolve(&step.args, cluster).await?;
        let (targets, down) = some_running(cluster, &nodes, step.for_ms / 2).await?;
        self.paused.lock().await.extend(targets.iter().cloned());
        let nodes: Vec<usize> = targets.iter().map(|p| p.node).collect();
        let sweeps = blocking(move || sweep::stop(&targets)).await??;
        Ok(json!({ "nodes": nodes, "down": down, "sweeps": sweeps }))
    }

    async fn look(&self) -> Probe {
        let paused = self.paused.lock().await.clone();
        blocking(move || observe(&paused))
            .await
            .and_then(|observed| observed)
            .unwrap_or_else(|why| Probe::failed(&why))
    }

    async fn go_on(&self) -> Result<Probe, String> {
        let mut paused = self.paused.lock().await;
        let targets = paused.clone();
        let sweeps = blocking(move || sweep::resume(&targets)).await??;
        let nodes: Vec<usize> = paused.drain(..).map(|p| p.node).collect();
        Ok(Probe { proved: true, seen: json!({ "nodes": nodes, "stopped_threads": 0, "sweeps": sweeps }) })
    }
}

/// Looks until they stand still: on a loaded machine the last thread may take a while to stop, and one that
/// a clock fault holds by ptrace just then stops only when it is let go.
fn observe(paused: &[Running]) -> Result<Probe, String> {
    let mut probe = observe_once(paused)?;
    for _ in 1..LOOKS {
        if probe.proved {
            break;
        }
        probe = observe_once(paused)?;
    }
    Ok(probe)
}

/// Looks twice, some time apart.
fn observe_once(paused: &[Running]) -> Result<Probe, String> {
    let look = || paused.iter().map(Running::processes).collect::<Result<Vec<_>, _>>();
    let before = look()?;
    std::thread::sleep(TICKS_INTERVAL);
    let after = look()?;
    let held = after.iter().flatten().all(Process::is_held);
    let some = after.iter().any(|processes| !processes.is_empty());
    let before: BTreeMap<i32, u64> = before.iter().flatten().map(|p| (p.pid, p.ticks)).collect();
    let used = |p: &Process| p.ticks - before.get(&p.pid).copied().unwrap_or(0).min(p.ticks);
    let ticks_used: u64 = after.iter().flatten().map(used).sum();
    let seen: Vec<Value> = paused
        .iter()
        .zip(&after)
        .map(|(p, processes)| {
            let pids: Vec<i32> = processes.iter().map(|p| p.pid).collect();
            let moving: Vec<i32> = processes.iter().filter(|p| !p.is_held()).map(|p| p.pid).collect();
            let mut threads: BTreeMap<String, usize> = BTreeMap::new();
            for state in processes.iter().flat_map(|p| p.states.chars()) {
                *threads.entry(state.to_string()).or_default() += 1;
            }
            json!({ "node": p.node, "pids": pids, "threads": threads, "moving": moving })
        })
        .collect();
    Ok(Probe {
        proved: some && held && ticks_used == 0,
        seen: json!({ "nodes": seen, "ticks_used": ticks_used }),
    })
}

impl Fault for Pause {
    fn name(&self) -> &'static str {
        NAME
    }

    fn about(&self) -> &'static str {
        ABOUT
    }

    fn draw(&self, rng: &mut Rng, nodes: usize, has_primary: bool) -> Value {
        whom::draw(rng, nodes, has_primary)
    }

    fn read(&self, words: Words, rng: &mut Rng, nodes: usize, has_primary: bool) -> Result<Value, String> {
        let args = self.draw(rng, nodes, has_primary);
        whom::finish(words, rng, nodes, has_primary, args, "")
    }

    fn inject<'a>(
        &'a self,
        cluster: &'a dyn Cluster,
        step: &'a FaultStep,
    ) -> BoxFuture<'a, Result<Value, String>> {
        Box::pin(self.stop(cluster, step))
    }

    fn probe<'a>(&'a self, _: &'a dyn Cluster) -> BoxFuture<'a, Probe> {
        Box::pin(self.look())
    }

    fn heal<'a>(&'a self, _: &'a dyn Cluster) -> BoxFuture<'a, Result<Probe, String>> {
        Box::pin(self.go_on())
    }
}
