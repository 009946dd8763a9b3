//! `pause`: whole nodes stand still, like a virtual machine that is not scheduled, and go on on heal.
//!
//! Mechanism: `SIGSTOP` to every process of the node's PID namespace, over and over until two sweeps in a
//! row find none that moves. Two, because a process that was forked while a sweep was under way may have
//! a lower number than the sweep had reached. A process group would not do: daemons leave theirs.
//! Proof: no thread is in a state in which it can run, and the processor time used does not grow.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use ordeal_core::{Applies, BoxFuture, Cluster, Fault, FaultStep, Machine, Probe, Rng, Words};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::processes::{PidNamespace, Process};
use crate::{Arsenal, blocking, whom};

pub(crate) const NAME: &str = "pause";
pub(crate) const ABOUT: &str = "stop every process of whole nodes with SIGSTOP; they go on where they stood";

/// The most sweeps before the nodes count as not to be stopped (or continued).
const SWEEPS_MAX: usize = 3_000;
/// Between sweeps, so that signals sent take effect.
const SWEEP_INTERVAL: Duration = Duration::from_millis(1);
/// Between two looks whether a node is back.
const ASK_INTERVAL: Duration = Duration::from_millis(20);
/// Between two readings of processor time: a few times the kernel's tick of 10 ms at most.
const TICKS_INTERVAL: Duration = Duration::from_millis(50);

pub(crate) fn build(_: &Arc<Arsenal>) -> Box<dyn Fault> {
    Box::new(Pause::default())
}

#[derive(Default)]
struct Pause {
    /// The namespaces that are stopped by our hand. A node that was killed and started again in the
    /// meantime has a new namespace, which is none of these and runs.
    paused: Mutex<Vec<Paused>>,
}

#[derive(Clone)]
struct Paused {
    node: usize,
    namespace: Arc<PidNamespace>,
}

impl Pause {
    async fn stop(&self, cluster: &dyn Cluster, step: &FaultStep) -> Result<Value, String> {
        let nodes = whom::resolve(&step.args, cluster).await?;
        // Another fault may have killed them all; they come back, perhaps within this fault's time.
        let deadline = Instant::now() + Duration::from_millis(step.for_ms / 2);
        while nodes.iter().all(|&node| cluster.init_pid(node).is_none()) && Instant::now() < deadline {
            tokio::time::sleep(ASK_INTERVAL).await;
        }
        let (mut targets, mut down) = (Vec::new(), Vec::new());
        for node in nodes {
            match cluster.init_pid(node).map(PidNamespace::of) {
                Some(Ok(namespace)) => targets.push(Paused { node, namespace: Arc::new(namespace) }),
                Some(Err(e)) if e.kind() != std::io::ErrorKind::NotFound => {
                    return Err(format!("cannot look at node {node}: {e}"));
                }
                _ => down.push(node),
            }
        }
        if targets.is_empty() {
            return Err("every node it was meant for is down".to_owned());
        }
        self.paused.lock().await.extend(targets.iter().cloned());
        let nodes: Vec<usize> = targets.iter().map(|p| p.node).collect();
        let sweeps = blocking(move || sweep(&targets, Signal::SIGSTOP, |p| !p.is_held())).await??;
        Ok(json!({ "nodes": nodes, "down": down, "sweeps": sweeps }))
    }

    async fn look(&self) -> Probe {
        let paused = self.paused.lock().await.clone();
        blocking(move || observe(&paused))
            .await
            .and_then(|observed| observed)
            .unwrap_or_else(|why| Probe { proved: false, seen: json!({ "error": why }) })
    }

    async fn go_on(&self) -> Result<Probe, String> {
        let mut paused = self.paused.lock().await;
        let targets = paused.clone();
        let sweeps = blocking(move || resume(&targets)).await??;
        let nodes: Vec<usize> = paused.drain(..).map(|p| p.node).collect();
        Ok(Probe { proved: true, seen: json!({ "nodes": nodes, "stopped_threads": 0, "sweeps": sweeps }) })
    }
}

/// Every live process of a node.
fn processes(paused: &Paused) -> Result<Vec<Process>, String> {
    paused.namespace.processes().map_err(|e| format!("cannot read /proc: {e}"))
}

/// Sends the signal to each process that needs it until two sweeps in a row find none. Answers the number
/// of sweeps.
fn sweep(targets: &[Paused], signal: Signal, needs_it: fn(&Process) -> bool) -> Result<usize, String> {
    let mut quiet = 0;
    for sweeps in 1..=SWEEPS_MAX {
        let mut sent = false;
        for target in targets {
            for process in processes(target)?.iter().filter(|p| needs_it(p)) {
                send(process.pid, signal)?;
                sent = true;
            }
        }
        quiet = if sent { 0 } else { quiet + 1 };
        if quiet == 2 {
            return Ok(sweeps);
        }
        std::thread::sleep(SWEEP_INTERVAL);
    }
    Err(format!("after {SWEEPS_MAX} sweeps {signal} had not taken effect on all processes"))
}

/// Continues everything. Each process is told so once, whatever its state: one that was stopped on its
/// way out of the kernel does not look stopped, and only `SIGCONT` takes the stop back.
fn resume(targets: &[Paused]) -> Result<usize, String> {
    for target in targets {
        for process in processes(target)? {
            send(process.pid, Signal::SIGCONT)?;
        }
    }
    sweep(targets, Signal::SIGCONT, Process::is_stopped)
}

/// Sends a signal; fine if the process has died.
fn send(pid: i32, signal: Signal) -> Result<(), String> {
    match kill(Pid::from_raw(pid), signal) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(e) => Err(format!("cannot send {signal} to process {pid}: {e}")),
    }
}

/// Looks twice, some time apart.
fn observe(paused: &[Paused]) -> Result<Probe, String> {
    let look = || paused.iter().map(processes).collect::<Result<Vec<_>, _>>();
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
        Box::pin(self.stop(cluster, step))
    }

    fn probe<'a>(&'a self, _: &'a dyn Cluster) -> BoxFuture<'a, Probe> {
        Box::pin(self.look())
    }

    fn heal<'a>(&'a self, _: &'a dyn Cluster) -> BoxFuture<'a, Result<Probe, String>> {
        Box::pin(self.go_on())
    }
}
