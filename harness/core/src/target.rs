//! Targets: how a system's nodes are started, when they are ready, and how to talk to them.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use crate::{BoxFuture, LaunchChange, Op, Outcome};

/// A named defect that a reference target can be started with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bug {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it does wrong.
    pub about: &'static str,
    /// The anomalies by which the workload's judges must report it; any one of them will do.
    pub anomalies: &'static [&'static str],
    /// The faults that bring it out, as `--faults` takes them.
    pub faults: &'static str,
}

/// One node of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeSpec {
    /// Position in the cluster, from 0.
    pub index: usize,
    /// Its name: `n1`, `n2`, …
    pub id: String,
    /// The address it must bind; the node has all ports to itself.
    pub ip: Ipv4Addr,
    /// Where it keeps its data, and nothing else of it survives a restart.
    pub data_dir: PathBuf,
}

/// All nodes of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterSpec {
    /// The nodes in order, also those that join later.
    pub nodes: Vec<NodeSpec>,
    /// How many of them, the first ones, are there from the beginning. The others join in their order.
    pub founders: usize,
    /// The address from which clients talk to them.
    pub clients: Ipv4Addr,
}

impl ClusterSpec {
    /// The node that stands for this one while only the first `there` nodes are there: itself if it is, and otherwise one that
    /// was there from the beginning.
    pub fn stand_in(&self, node: usize, there: usize) -> usize {
        if node < there { node } else { node % self.founders }
    }
}

/// How to start a node's process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Launch {
    /// The program; an absolute path.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// Its whole environment: nothing is inherited.
    pub env: Vec<(String, String)>,
}

impl Launch {
    /// Applies what a fault changes about it.
    pub fn change(&mut self, change: &LaunchChange) {
        if let Some(program) = &change.program {
            self.program.clone_from(program);
        }
        self.args.extend_from_slice(&change.args);
        self.env.extend_from_slice(&change.env);
    }
}

/// Why a target cannot be audited as asked. The text names the remedy.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// A program is not installed.
    #[error("{program} is not installed; {remedy}")]
    Missing {
        /// The program.
        program: String,
        /// What to do, e.g. `apt-get install etcd-server`.
        remedy: String,
    },
    /// An option, bug or number of nodes that the target does not take.
    #[error("{0}")]
    Unsupported(String),
}

/// A system that can be audited, configured for one run.
pub trait Target: Send + Sync {
    /// Its name.
    fn name(&self) -> &str;

    /// The workloads it can serve, by name; the first is the usual one.
    fn workloads(&self) -> &[&'static str];

    /// The defects it can be started with.
    fn bugs(&self) -> &[Bug] {
        &[]
    }

    /// How to start the node; `None` when the system runs inside the harness and has no processes.
    ///
    /// # Errors
    /// When the node cannot be started as configured.
    fn launch(&self, node: &NodeSpec, cluster: &ClusterSpec) -> Result<Option<Launch>, TargetError>;

    /// Whether the node answers and could serve clients now.
    fn ready<'a>(&'a self, node: &'a NodeSpec) -> BoxFuture<'a, bool>;

    /// A new client, bound to one node.
    ///
    /// # Errors
    /// When the target does not serve the workload.
    fn client(&self, workload: &str, node: &NodeSpec) -> Result<Box<dyn Client>, TargetError>;

    /// The power to name its primary, for systems that have one.
    fn primary(&self) -> Option<&dyn Primary> {
        None
    }

    /// The power to take in nodes that join while it runs.
    fn membership(&self) -> Option<&dyn Membership> {
        None
    }
}

/// The power of a target to say which nodes lead.
pub trait Primary: Send + Sync {
    /// The indices of the nodes that hold themselves to be primary now, as far as can be learned.
    fn primaries<'a>(&'a self, cluster: &'a ClusterSpec) -> BoxFuture<'a, Vec<usize>>;
}

/// The power of a target to take in nodes that join while it runs.
pub trait Membership: Send + Sync {
    /// Tells the system that this node, which has just been started, belongs to it. Idempotent. Done when the
    /// system keeps that for good; what it gives the node to do may come later.
    ///
    /// # Errors
    /// Why it did not take the node in, this time.
    fn join<'a>(&'a self, node: &'a NodeSpec, cluster: &'a ClusterSpec) -> BoxFuture<'a, Result<(), String>>;
}

/// A connection to one node, as one process of the workload sees it.
pub trait Client: Send {
    /// Does the operation. `Ok`: it took effect. `Fail`: it certainly did not. `Info`: unknown; every
    /// doubt is `Info`. The runner bounds the time, drops the client after anything that may have left
    /// the connection in doubt, and asks the target for a new one.
    fn invoke<'a>(&'a mut self, op: &'a Op) -> BoxFuture<'a, Outcome>;
}
