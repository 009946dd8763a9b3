//! Faults: what is broken, how it is proved to have bitten, and how it is healed.

use std::os::fd::BorrowedFd;

use serde_json::Value;

use crate::{BoxFuture, ClusterSpec, FaultStep, Rng};

/// What this machine offers to faults, found out once before planning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// The path of `iptables-restore`, if installed.
    pub iptables_restore: Option<std::path::PathBuf>,
}

/// The running cluster as a fault sees it.
pub trait Cluster: Send + Sync {
    /// The nodes.
    fn spec(&self) -> &ClusterSpec;

    /// The process id, as the harness sees it, of the init process of the node's PID namespace; `None`
    /// while the node is down. Everything the node ever started lives in that namespace.
    fn init_pid(&self, node: usize) -> Option<i32>;

    /// The node's network namespace.
    fn network(&self, node: usize) -> BorrowedFd<'_>;

    /// The links between nodes.
    fn fabric(&self) -> &dyn Fabric;

    /// Tells the cluster that the node's death, from now until it is started again, is intended.
    fn expect_death(&self, node: usize);

    /// Waits until nothing of the node runs any more.
    fn gone(&self, node: usize) -> BoxFuture<'_, ()>;

    /// Starts the node again, on the data it left. Does nothing if it runs. Does not wait until it is ready.
    ///
    /// # Errors
    /// What the operating system said.
    fn start(&self, node: usize) -> BoxFuture<'_, Result<(), String>>;

    /// The indices of the nodes that hold themselves to be primary; `None` if the target cannot say.
    fn primaries(&self) -> BoxFuture<'_, Option<Vec<usize>>>;

    /// Whether the node could serve clients now.
    fn ready(&self, node: usize) -> BoxFuture<'_, bool>;
}

/// The links between nodes, for faults on machines without iptables: each can be cut in one direction.
pub trait Fabric: Send + Sync {
    /// Makes every packet from one node to another vanish.
    ///
    /// # Errors
    /// What the kernel said.
    fn cut(&self, from: usize, to: usize) -> Result<(), String>;

    /// Mends what [`Fabric::cut`] cut; fine if nothing was.
    ///
    /// # Errors
    /// What the kernel said.
    fn mend(&self, from: usize, to: usize) -> Result<(), String>;
}

/// Whether a fault can be used, decided at planning time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applies {
    /// It can.
    Yes,
    /// It cannot, for this reason, which names the remedy.
    No(String),
}

/// What a probe saw. `proved` is only true if it was observed.
#[derive(Clone, Debug, PartialEq)]
pub struct Probe {
    /// Whether the fault is in force (after inject), or is entirely gone (after heal).
    pub proved: bool,
    /// What was observed, for the history.
    pub seen: Value,
}

/// One kind of fault. One object serves a whole run; at most one injection of it is in force at a time.
pub trait Fault: Send + Sync {
    /// Its name on the command line and in plans.
    fn name(&self) -> &'static str;

    /// What it does, in one line.
    fn about(&self) -> &'static str;

    /// Whether this machine and a cluster of this size allow it.
    fn applies(&self, machine: &Machine, nodes: usize) -> Applies;

    /// Draws one injection: whom and how. `has_primary`: the target can name its primary.
    fn draw(&self, rng: &mut Rng, nodes: usize, has_primary: bool) -> Value;

    /// Injects as `step.args` say. What it actually did (e.g. which node was primary) is the answer.
    ///
    /// # Errors
    /// Why it could not be injected.
    fn inject<'a>(
        &'a self,
        cluster: &'a dyn Cluster,
        step: &'a FaultStep,
    ) -> BoxFuture<'a, Result<Value, String>>;

    /// Observes whether the injected fault is in force.
    fn probe<'a>(&'a self, cluster: &'a dyn Cluster) -> BoxFuture<'a, Probe>;

    /// Undoes everything this fault did, and proves it. Idempotent.
    ///
    /// # Errors
    /// Why it could not be undone.
    fn heal<'a>(&'a self, cluster: &'a dyn Cluster) -> BoxFuture<'a, Result<Probe, String>>;
}
