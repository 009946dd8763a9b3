//! Faults: what is broken, how it is proved to have bitten, and how it is healed.

use std::os::fd::BorrowedFd;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::{BoxFuture, ClusterSpec, Fabric, FaultStep, Launch, Rng, Words};

/// What this machine offers to faults, found out once before planning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// The path of `iptables-restore`, if installed.
    pub iptables_restore: Option<PathBuf>,
    /// Why file systems cannot be made in user space here, with the remedy; `None` if they can.
    pub no_fuse: Option<String>,
    /// Why processes cannot be traced here, with the remedy; `None` if they can.
    pub no_trace: Option<String>,
}

/// What is changed about how a node is started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LaunchChange {
    /// Another program in place of the target's.
    pub program: Option<PathBuf>,
    /// Arguments after the target's own.
    pub args: Vec<String>,
    /// Variables in addition to the target's own.
    pub env: Vec<(String, String)>,
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

    /// How the node would be started now, with all changes.
    ///
    /// # Errors
    /// Why it could not be.
    fn launch(&self, node: usize) -> Result<Launch, String>;

    /// Changes how the node is started from its next start on, on behalf of one fault, in place of what
    /// that fault changed before. An empty change takes it back.
    fn change_launch(&self, node: usize, owner: &'static str, change: LaunchChange);

    /// The file to which the node's standard output (`"stdout"`) or error (`"stderr"`) is appended.
    fn log_file(&self, node: usize, stream: &str) -> PathBuf;

    /// Puts an observation into the history, as an `info` event of the nemesis.
    fn note(&self, f: &'static str, value: Value);

    /// Tells the cluster that the node's death, from now until it is started again, is intended.
    fn expect_death(&self, node: usize);

    /// Tells the cluster that the node may end by itself from now on, in this life and in all later ones:
    /// what it stands on is damaged.
    fn expect_deaths(&self, node: usize);

    /// Waits until nothing of the node runs any more.
    fn gone(&self, node: usize) -> BoxFuture<'_, ()>;

    /// Starts the node again, on the data it left. Does nothing if it runs. Does not wait until it is ready.
    ///
    /// # Errors
    /// What the operating system said.
    fn start(&self, node: usize) -> BoxFuture<'_, Result<(), String>>;

    /// The indices of the nodes that hold themselves to be primary; `None` if the target cannot say.
    fn primaries(&self) -> BoxFuture<'_, Option<Vec<usize>>>;

    /// The node that last answered a write with success; `None` before the first.
    fn last_acknowledged(&self) -> Option<usize>;

    /// Whether the node could serve clients now.
    fn ready(&self, node: usize) -> BoxFuture<'_, bool>;

    /// How many nodes there are by now: of all, the first so many. The others were not started yet.
    fn joined(&self) -> usize {
        self.spec().nodes.len()
    }

    /// Starts the next node that has not joined; from now on it is one of those that there are. Its index is the
    /// answer. Does not wait until it is ready.
    ///
    /// # Errors
    /// When all have joined, or what the operating system said.
    fn start_next(&self) -> BoxFuture<'_, Result<usize, String>> {
        Box::pin(std::future::ready(Err("all nodes have joined".to_owned())))
    }

    /// Tells the system that this node belongs to it; when it has taken it in, clients ask the node.
    ///
    /// # Errors
    /// Why it did not take the node in, this time.
    fn announce(&self, _node: usize) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(std::future::ready(Err("the target takes no nodes in while it runs".to_owned())))
    }
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

impl Probe {
    /// A probe that came to nothing, and why: it proves nothing.
    pub fn failed(why: &str) -> Self {
        Probe { proved: false, seen: json!({ "error": why }) }
    }
}

/// One kind of fault. One object serves a whole run; at most one injection of it is in force at a time.
pub trait Fault: Send + Sync {
    /// Its name on the command line and in plans.
    fn name(&self) -> &'static str;

    /// What it does, in one line.
    fn about(&self) -> &'static str;

    /// Whether this machine and a cluster of this size allow it.
    fn applies(&self, _machine: &Machine, _nodes: usize) -> Applies {
        Applies::Yes
    }

    /// Whether it needs the fabric to be a switch ([`Fabric::set`]). A fabric with a switch has no other
    /// advantage, and is slower.
    fn needs_switch(&self) -> bool {
        false
    }

    /// Draws one injection: whom and how. `has_primary`: the target can name its primary.
    fn draw(&self, rng: &mut Rng, nodes: usize, has_primary: bool) -> Value;

    /// Reads one injection as people write it, from the words in brackets behind the fault's name; what they
    /// leave open is drawn. Without words it is [`Fault::draw`].
    ///
    /// # Errors
    /// What is not understood, and what the fault takes.
    fn read(&self, words: Words, rng: &mut Rng, nodes: usize, has_primary: bool) -> Result<Value, String>;

    /// Makes ready, before the first node is started. Only called if the plan has this kind.
    ///
    /// # Errors
    /// Why the fault could never be injected; the run then fails.
    fn prepare<'a>(&'a self, _cluster: &'a dyn Cluster) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Takes back what [`Fault::prepare`] did, after the last node has ended. Idempotent, and fine without a
    /// `prepare` before it.
    ///
    /// # Errors
    /// What is left behind, and why.
    fn dismantle<'a>(&'a self, _cluster: &'a dyn Cluster) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Injects as `step.args` say. What it actually did (e.g. which node was primary) is the answer. A fault
    /// that takes time by its nature (nodes that fall one after another) may use up to half of
    /// `step.for_ms` for it; the other half is for what it leaves.
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
