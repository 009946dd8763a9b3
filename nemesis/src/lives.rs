//! Ending nodes and starting them again, both with proof; shared by all faults that do.
//!
//! Mechanism: `SIGKILL` to the init process of the node's PID namespace; the kernel then kills everything
//! in it, also what left its session and process group (pid_namespaces(7)). A polite signal goes to the
//! node's main program, for process 1 takes no signal it has no handler for; who has not ended in time is
//! killed.
//! Proof of a death: no live process is left in the PID namespace noted before. That namespace is kept
//! pinned, so that a later one cannot be mistaken for it. Proof of a start: the node's init process runs,
//! and is in none of those.

mod roll;
pub(crate) mod trigger;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use ordeal_core::{Cluster, Probe};
use serde_json::{Value, json};
use tokio::sync::Mutex;

pub(crate) use self::roll::{Rolling, roll};
use crate::nodes::{Running, running};
use crate::processes::{blocking, main_program, runs, unreadable};

/// The longest wait for the kernel to have killed and reaped a node.
const GONE_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest wait for a node's new init process.
const START_TIMEOUT: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(1);

/// How nodes are ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Blow {
    pub(crate) signal: Signal,
    /// How long they have to end by themselves, if the signal leaves them a choice.
    pub(crate) patience: Duration,
}

impl Blow {
    pub(crate) const KILL: Blow = Blow { signal: Signal::SIGKILL, patience: Duration::ZERO };
}

/// What a blow did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Struck {
    /// Those that are down now by our hand, in the order asked for.
    pub(crate) nodes: Vec<usize>,
    pub(crate) already_down: Vec<usize>,
    /// Those of [`Struck::nodes`] that ended by themselves when asked to.
    pub(crate) willing: Vec<usize>,
}

/// The nodes that one fault has ended since it was last healed.
#[derive(Default)]
pub(crate) struct Victims {
    fallen: Mutex<BTreeMap<usize, Fallen>>,
}

#[derive(Clone, Default)]
struct Fallen {
    /// One or more: a node may be started and ended again.
    deaths: Vec<Death>,
    /// Whether it was started again after the last one.
    restarted: bool,
}

#[derive(Clone)]
struct Death {
    was: Running,
    /// What ran there just before.
    pids: Vec<i32>,
    /// Of these, the node's main program.
    main: Option<i32>,
}

impl Death {
    fn coming(was: Running) -> Result<Self, String> {
        let processes = was.processes()?;
        let main = main_program(was.init, &processes);
        Ok(Death { was, pids: processes.iter().map(|p| p.pid).collect(), main })
    }
}

impl Victims {
    /// Ends those of the nodes that run, and waits until nothing of them is left. The cluster is told before
    /// that their deaths are intended.
    ///
    /// # Errors
    /// When none of them runs, or one cannot be ended. [`Victims::revive`] is in order then as well.
    pub(crate) async fn strike(
        &self,
        cluster: &dyn Cluster,
        nodes: &[usize],
        blow: Blow,
    ) -> Result<Struck, String> {
        let (up, already_down) = running(cluster, nodes).await?;
        let coming = move || up.into_iter().map(Death::coming).collect::<Result<Vec<_>, _>>();
        let doomed = blocking(coming).await??;
        if doomed.is_empty() {
            return Err("every node it was meant for is already down".to_owned());
        }
        for death in &doomed {
            cluster.expect_death(death.was.node);
        }
        let mut willing = Vec::new();
        if blow.signal != Signal::SIGKILL {
            let deadline = Instant::now() + blow.patience;
            for death in &doomed {
                death.was.send(death.main.unwrap_or(death.was.init), blow.signal)?;
                self.note(death).await;
            }
            for death in &doomed {
                let left = deadline.saturating_duration_since(Instant::now());
                if tokio::time::timeout(left, cluster.gone(death.was.node)).await.is_ok() {
                    willing.push(death.was.node);
                }
            }
        }
        for death in doomed.iter().filter(|death| !willing.contains(&death.was.node)) {
            death.was.send(death.was.init, Signal::SIGKILL)?;
            self.note(death).await;
        }
        let nodes: Vec<usize> = doomed.iter().map(|death| death.was.node).collect();
        gone(cluster, &nodes).await?;
        Ok(Struck { nodes, already_down, willing })
    }

    /// Takes over a death that is certain: the node is ours to start again. `pids`: what ran there before.
    pub(crate) async fn adopt(&self, was: Running, pids: Vec<i32>) {
        self.note(&Death { was, pids, main: None }).await;
    }

    /// Ends those of the nodes that run, and takes over those that are down, for whatever reason.
    ///
    /// # Errors
    /// When one cannot be ended.
    pub(crate) async fn fell(&self, cluster: &dyn Cluster, nodes: &[usize]) -> Result<(), String> {
        if let Err(why) = self.strike(cluster, nodes, Blow::KILL).await
            && !running(cluster, nodes).await?.0.is_empty()
        {
            return Err(why);
        }
        gone(cluster, nodes).await?;
        let mut fallen = self.fallen.lock().await;
        for &node in nodes {
            fallen.entry(node).or_default();
        }
        Ok(())
    }

    /// Remembers a death that is certain now.
    async fn note(&self, death: &Death) {
        let mut fallen = self.fallen.lock().await;
        let of_node = fallen.entry(death.was.node).or_default();
        of_node.restarted = false;
        if of_node.deaths.last().is_none_or(|last| last.was.init != death.was.init) {
            of_node.deaths.push(death.clone());
        }
    }

    /// Starts these nodes again at once. They stay victims: [`Victims::look`] now proves that they died, and
    /// run again.
    ///
    /// # Errors
    /// When one cannot be started.
    pub(crate) async fn restart(&self, cluster: &dyn Cluster, nodes: &[usize]) -> Result<(), String> {
        let mut fallen = self.fallen.lock().await;
        let chosen: BTreeMap<_, _> =
            fallen.iter().filter(|(node, _)| nodes.contains(node)).map(|(&n, f)| (n, f.clone())).collect();
        let (up, seen) = bring_up(cluster, chosen).await?;
        if !up {
            return Err(format!("a node has no init process {START_TIMEOUT:?} after its start: {seen}"));
        }
        for node in nodes {
            if let Some(of_node) = fallen.get_mut(node) {
                of_node.restarted = true;
            }
        }
        Ok(())
    }

    /// How often each of its victims died.
    pub(crate) async fn deaths(&self) -> BTreeMap<usize, usize> {
        self.fallen.lock().await.iter().map(|(&node, fallen)| (node, fallen.deaths.len())).collect()
    }

    /// Looks whether every victim is dead, or, if it was started again, has died and runs anew. Not proved
    /// if there are no victims.
    pub(crate) async fn look(&self, cluster: &dyn Cluster) -> Probe {
        let fallen = self.fallen.lock().await.clone();
        let inits: Vec<Option<i32>> = fallen.keys().map(|&node| cluster.init_pid(node)).collect();
        let look = move || {
            let mut proved = !fallen.is_empty();
            let mut seen = Vec::new();
            for ((node, fallen), init) in fallen.iter().zip(inits) {
                let left = fallen.left();
                let runs = init.is_some_and(runs);
                let as_meant = if fallen.restarted { fallen.new_init(init).is_some() } else { !runs };
                proved &= as_meant && left.as_ref().is_ok_and(Vec::is_empty);
                let pids: Vec<i32> = fallen.deaths.iter().flat_map(|death| death.pids.clone()).collect();
                seen.push(json!({
                    "node": node,
                    "deaths": fallen.deaths.len(),
                    "killed_pids": pids,
                    "left": left.map_or_else(|why| json!(why), |left| json!(left)),
                    "restarted": runs,
                    "init_pid": init,
                }));
            }
            Probe { proved, seen: Value::Array(seen) }
        };
        blocking(look).await.unwrap_or_else(|why| Probe::failed(&why))
    }

    /// Starts every victim that is down, waits until all run anew, and forgets them. Fine without victims,
    /// and if others started them or killed them again.
    ///
    /// # Errors
    /// When one cannot be started.
    pub(crate) async fn revive(&self, cluster: &dyn Cluster) -> Result<Probe, String> {
        let mut fallen = self.fallen.lock().await;
        let (proved, seen) = bring_up(cluster, fallen.clone()).await?;
        if proved {
            fallen.clear();
        }
        Ok(Probe { proved, seen })
    }

    /// Starts all victims again although they may end at once: what they stand on may be damaged. They are
    /// watched for so long. Answers which of them ended again.
    ///
    /// # Errors
    /// When one cannot be started.
    pub(crate) async fn try_revive(
        &self,
        cluster: &dyn Cluster,
        watch: Duration,
    ) -> Result<BTreeMap<usize, bool>, String> {
        let mut fallen = self.fallen.lock().await;
        for &node in fallen.keys() {
            cluster.start(node).await.map_err(|e| format!("cannot start node {node}: {e}"))?;
            cluster.expect_deaths(node);
        }
        let nodes: Vec<usize> = std::mem::take(&mut *fallen).into_keys().collect();
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

/// What lives in the namespace. Blocks.
fn pids(of: &Running) -> Vec<i32> {
    of.processes().unwrap_or_default().iter().map(|p| p.pid).collect()
}

impl Fallen {
    /// What still lives where it died. Blocks.
    fn left(&self) -> Result<Vec<i32>, String> {
        let mut left = Vec::new();
        for death in &self.deaths {
            left.extend(death.was.namespace.processes().map_err(|e| unreadable(&e))?.iter().map(|p| p.pid));
        }
        Ok(left)
    }

    /// The init process of the node if it runs and is not one of those that ended. Blocks.
    fn new_init(&self, init: Option<i32>) -> Option<i32> {
        init.filter(|&init| runs(init) && !self.deaths.iter().any(|death| death.was.namespace.contains(init)))
    }
}

/// Starts nodes, and waits until each has a new init process: whether all have, and what they have.
async fn bring_up(cluster: &dyn Cluster, fallen: BTreeMap<usize, Fallen>) -> Result<(bool, Value), String> {
    let mut errors = Vec::new();
    for &node in fallen.keys() {
        if let Err(e) = cluster.start(node).await {
            errors.push(format!("cannot start node {node}: {e}"));
        }
    }
    if !errors.is_empty() {
        return Err(errors.join("; "));
    }
    let fallen = Arc::new(fallen);
    let deadline = Instant::now() + START_TIMEOUT;
    loop {
        let inits: Vec<Option<i32>> = fallen.keys().map(|&node| cluster.init_pid(node)).collect();
        let of = Arc::clone(&fallen);
        let look = move || of.values().zip(inits).map(|(of, init)| of.new_init(init)).collect::<Vec<_>>();
        let inits = blocking(look).await?;
        let all_up = inits.iter().all(Option::is_some);
        if all_up || Instant::now() >= deadline {
            let seen = fallen.keys().zip(inits).map(|(node, init)| json!({ "node": node, "init_pid": init }));
            return Ok((all_up, seen.collect()));
        }
        for (&node, init) in fallen.keys().zip(&inits) {
            // One that was dead but not reaped when it was to be started was taken for alive.
            if init.is_none() {
                cluster.start(node).await.map_err(|e| format!("cannot start node {node}: {e}"))?;
            }
        }
        tokio::time::sleep(POLL).await;
    }
}
