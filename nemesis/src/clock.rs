//! `clock-step`, `clock-strobe`, `clock-drift`: the clocks of some nodes are wrong, each node's as a whole.
//!
//! Mechanism: the functions of the vDSO, by which programs in every language read clocks, are patched in
//! each process of the node by ptrace, once (tracee.rs), and by a preload library in those it is loaded into
//! (launch.rs); they then add what the node's control page says (page.rs). While a skew is in force, a
//! thread finds processes that were started or executed since (watch.rs). The machine's own clock is never
//! touched, and the monotonic clock only if that was asked for: no real kernel ever lets it jump.
//! Proof: every process of every node is made to read its own clocks, and the kernel's by a system call
//! before and after, which is compared with the harness's clock (check.rs). After healing the same.
//! Not skewed: system calls that bypass the vDSO, times of files, time stamps of packets, timers of the
//! kernel (but see launch.rs).
//! Source: vdso(7), ptrace(2); patching the vDSO of single processes is how chaos-mesh's `TimeChaos` works;
//! step and strobe are Jepsen's `bump-time` and `strobe-time`.

mod args;
mod check;
mod launch;
mod nodes;
mod page;
mod reading;
mod skew;
#[cfg(target_arch = "x86_64")]
mod tracee;
#[cfg(not(target_arch = "x86_64"))]
#[path = "clock/tracee_elsewhere.rs"]
mod tracee;
mod watch;

use std::sync::Arc;

use ordeal_core::{Applies, BoxFuture, Cluster, Fault, FaultStep, Machine, Probe, Rng, Words};
use serde_json::{Value, json};

use self::args::Sort;
pub use self::skew::Clocks;
use crate::nodes::some_running;
use crate::{Arsenal, whom};

pub(crate) const STEP: &str = "clock-step";
pub(crate) const STROBE: &str = "clock-strobe";
pub(crate) const DRIFT: &str = "clock-drift";
pub(crate) const STEP_ABOUT: &str = "set the clocks of some nodes milliseconds to hours forward or back";
pub(crate) const STROBE_ABOUT: &str = "let the clocks of some nodes jump back and forth";
pub(crate) const DRIFT_ABOUT: &str = "let the clocks of some nodes run too fast or too slow";

pub(crate) fn build_step(arsenal: &Arc<Arsenal>) -> Box<dyn Fault> {
    Box::new(Clock { name: STEP, about: STEP_ABOUT, sort: Sort::Step, arsenal: Arc::clone(arsenal) })
}

pub(crate) fn build_strobe(arsenal: &Arc<Arsenal>) -> Box<dyn Fault> {
    Box::new(Clock { name: STROBE, about: STROBE_ABOUT, sort: Sort::Strobe, arsenal: Arc::clone(arsenal) })
}

pub(crate) fn build_drift(arsenal: &Arc<Arsenal>) -> Box<dyn Fault> {
    Box::new(Clock { name: DRIFT, about: DRIFT_ABOUT, sort: Sort::Drift, arsenal: Arc::clone(arsenal) })
}

struct Clock {
    name: &'static str,
    about: &'static str,
    sort: Sort,
    arsenal: Arc<Arsenal>,
}

impl Clock {
    async fn skew(&self, cluster: &dyn Cluster, step: &FaultStep) -> Result<Value, String> {
        let order = self.sort.parse(&step.args)?;
        let nodes = whom::resolve(&step.args, cluster).await?;
        self.arsenal.clocks.pages(cluster)?;
        let (up, down) = some_running(cluster, &nodes, step.for_ms / 2).await?;
        // Some systems end themselves, rightly, when they find their clock to be wrong.
        up.iter().for_each(|node| cluster.expect_death(node.node));
        let (name, arsenal) = (self.name, Arc::clone(&self.arsenal));
        let mut installed = blocking(move || arsenal.clocks.begin(name, &nodes, order)).await??;
        if !down.is_empty() {
            installed["down"] = json!(down);
        }
        Ok(installed)
    }

    async fn look(&self) -> Probe {
        let (name, arsenal) = (self.name, Arc::clone(&self.arsenal));
        let looked = blocking(move || arsenal.clocks.look(name)).await;
        looked.unwrap_or_else(|why| Probe::failed(&why))
    }

    async fn right(&self, cluster: &dyn Cluster) -> Result<Probe, String> {
        let (name, arsenal) = (self.name, Arc::clone(&self.arsenal));
        let (probe, samples) = blocking(move || arsenal.clocks.end(name)).await??;
        for mut sample in samples {
            sample["fault"] = json!(name);
            cluster.note("clock-offset", sample);
        }
        Ok(probe)
    }
}

/// Reading `/proc` and tracing must not hold up the clients' thread.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, String> {
    tokio::task::spawn_blocking(work).await.map_err(|e| e.to_string())
}

impl Fault for Clock {
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        self.about
    }

    fn applies(&self, machine: &Machine, _: usize) -> Applies {
        match skew::supported().err().or_else(|| machine.no_trace.clone()) {
            Some(why) => Applies::No(why),
            None => Applies::Yes,
        }
    }

    fn draw(&self, rng: &mut Rng, nodes: usize, has_primary: bool) -> Value {
        self.sort.draw(rng, nodes, has_primary, self.arsenal.clock_monotonic)
    }

    fn read(
        &self,
        mut words: Words,
        rng: &mut Rng,
        nodes: usize,
        has_primary: bool,
    ) -> Result<Value, String> {
        let mut args = self.draw(rng, nodes, has_primary);
        self.sort.read(&mut words, &mut args)?;
        whom::finish(words, rng, nodes, has_primary, args, self.sort.words())
    }

    fn prepare<'a>(&'a self, cluster: &'a dyn Cluster) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(std::future::ready(self.arsenal.clocks.prepare(cluster)))
    }

    fn dismantle<'a>(&'a self, cluster: &'a dyn Cluster) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(std::future::ready(self.arsenal.clocks.dismantle(cluster)))
    }

    fn inject<'a>(
        &'a self,
        cluster: &'a dyn Cluster,
        step: &'a FaultStep,
    ) -> BoxFuture<'a, Result<Value, String>> {
        Box::pin(self.skew(cluster, step))
    }

    fn probe<'a>(&'a self, _: &'a dyn Cluster) -> BoxFuture<'a, Probe> {
        Box::pin(self.look())
    }

    fn heal<'a>(&'a self, cluster: &'a dyn Cluster) -> BoxFuture<'a, Result<Probe, String>> {
        Box::pin(self.right(cluster))
    }
}
