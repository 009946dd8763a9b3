//! One target for all patterns: what they share is here, what one adds is its [`Reference`].
//!
//! A node is this program again, `ordeal node NAME --id … --listen … --peers … --data-dir … [--bug …]` and the
//! pattern's own flags. It listens on [`PORT`] and says on `GET /health` whether it is ready. Where one node
//! leads, each says on a path of the pattern's choice whether it is the one, as `{"leads": true, …}`. A node that can be
//! joined by others takes `--founders N` as well, so many of the peers being there from the beginning, and is told of
//! one that joins by `POST /nodes`.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::panic;
use std::time::Duration;

use anyhow::Context;
use clap::{ArgMatches, Command};
use ordeal_core::{
    BoxFuture, Bug, Client, ClusterSpec, Launch, Membership, NodeSpec, Primary, Target, TargetError,
};
use ordeal_workloads::http::HttpClient;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::{Config, Entry, membership};

/// The port that nodes listen on, for clients and for one another.
pub(crate) const PORT: u16 = 8080;

/// The longest wait for an answer about a node's state.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// What a pattern adds to the row of the registry. It is data and functions without state, so that a row
/// is a constant.
#[derive(Clone, Copy)]
pub(crate) struct Reference {
    /// Refuses settings that contradict each other, before anything is started.
    pub(crate) check: fn(&Config) -> Result<(), TargetError>,
    /// The flags of one node besides those that all nodes have: name without dashes, value. A node's role
    /// can follow from its place, `NodeSpec::index`.
    pub(crate) flags: fn(&Config, &NodeSpec, &ClusterSpec) -> Vec<(&'static str, String)>,
    /// A client of the usual workload that talks to this node.
    pub(crate) client: fn(&Config, &NodeSpec) -> Box<dyn Client>,
    /// Where a node says whether it leads; `None` if none does.
    pub(crate) leads: Option<&'static str>,
    /// The node's own table of its defects.
    pub(crate) known_bugs: &'static [(&'static str, &'static str)],
    /// Adds the node's arguments to a command: `Args::augment_args`.
    pub(crate) arguments: fn(Command) -> Command,
    /// Runs a node until it is told to stop.
    pub(crate) run: fn(&ArgMatches) -> anyhow::Result<()>,
}

/// A row of a pattern's bugs; what goes wrong is the node's own word for it. A bug that the node does not
/// know does not compile.
pub(crate) const fn bug(
    known: &[(&'static str, &'static str)],
    name: &'static str,
    anomalies: &'static [&'static str],
    faults: &'static str,
) -> Bug {
    let mut row = 0;
    while row < known.len() {
        if same(known[row].0.as_bytes(), name.as_bytes()) {
            return Bug { name, about: known[row].1, anomalies, faults };
        }
        row += 1;
    }
    panic!("the node has no such bug");
}

/// Equality, which cannot be had from `==` in a constant.
const fn same(a: &[u8], b: &[u8]) -> bool {
    let mut at = 0;
    while at < a.len() && at < b.len() && a[at] == b[at] {
        at += 1;
    }
    at == a.len() && at == b.len()
}

/// How a node ends that could not be started, as any error of this program does.
const NOT_STARTED: i32 = 4;

/// Runs a node's future to its end.
pub(crate) fn block_on(node: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    runtime()?.block_on(node)
}

/// The threads of a node. Where there is no room for all of them tokio panics, and waits for ever for those that it
/// has; a node that is short of memory says so, and ends.
fn runtime() -> anyhow::Result<Runtime> {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(|_| no_room()));
    let started = Runtime::new();
    drop(panic::take_hook());
    panic::set_hook(Box::new(move |panicked| {
        // Threads begin later as well, and need a stack for signals, without which the standard library panics.
        if panicked.location().is_some_and(|at| at.file().ends_with("stack_overflow.rs")) {
            no_room();
        }
        usual(panicked);
    }));
    started.context("cannot start the async runtime")
}

fn no_room() -> ! {
    tracing::error!("the system has no room for another thread");
    std::process::exit(NOT_STARTED);
}

/// Where a node listens.
pub(crate) fn address(node: &NodeSpec) -> SocketAddr {
    SocketAddr::from((node.ip, PORT))
}

/// The command line of a node of this name.
pub(crate) fn command(name: &'static str, reference: &Reference) -> Command {
    let bare = Command::new(name).bin_name(format!("ordeal node {name}")).no_binary_name(true);
    let bugs: String =
        reference.known_bugs.iter().map(|(bug, about)| format!("\n  {bug}: {about}")).collect();
    (reference.arguments)(bare).after_help(format!("Bugs:{bugs}"))
}

/// Runs a node of this name with these arguments until it ends.
pub(crate) fn run(name: &'static str, reference: &Reference, args: Vec<OsString>) -> anyhow::Result<()> {
    (reference.run)(&command(name, reference).try_get_matches_from(args)?)
}

/// A reference target, configured for one run.
struct ReferenceTarget {
    name: &'static str,
    workload: [&'static str; 1],
    bugs: &'static [Bug],
    takes_nodes_in: bool,
    reference: Reference,
    config: Config,
}

/// The target of this row.
pub(crate) fn target(
    entry: &Entry,
    reference: Reference,
    config: &Config,
) -> Result<Box<dyn Target>, TargetError> {
    (reference.check)(config)?;
    Ok(Box::new(ReferenceTarget {
        name: entry.name,
        workload: [entry.default_workload],
        bugs: entry.bugs,
        takes_nodes_in: entry.joining.is_some(),
        reference,
        config: config.clone(),
    }))
}

impl Target for ReferenceTarget {
    fn name(&self) -> &str {
        self.name
    }

    fn workloads(&self) -> &[&'static str] {
        &self.workload
    }

    fn bugs(&self) -> &[Bug] {
        self.bugs
    }

    fn launch(&self, node: &NodeSpec, cluster: &ClusterSpec) -> Result<Option<Launch>, TargetError> {
        let peers: Vec<String> = cluster.nodes.iter().map(|n| format!("{}={}", n.id, address(n))).collect();
        let mut flags = vec![
            ("id", node.id.clone()),
            ("listen", address(node).to_string()),
            ("peers", peers.join(",")),
            ("data-dir", node.data_dir.to_string_lossy().into_owned()),
        ];
        if self.takes_nodes_in {
            flags.push(("founders", cluster.founders.to_string()));
        }
        flags.extend(self.config.bug.clone().map(|bug| ("bug", bug)));
        flags.extend((self.reference.flags)(&self.config, node, cluster));
        let mut args = vec!["node".to_owned(), self.name.to_owned()];
        args.extend(flags.into_iter().flat_map(|(name, value)| [format!("--{name}"), value]));
        Ok(Some(Launch { program: self.config.ordeal.clone(), args, env: Vec::new() }))
    }

    fn ready<'a>(&'a self, node: &'a NodeSpec) -> BoxFuture<'a, bool> {
        #[derive(Deserialize)]
        struct Health {
            ready: bool,
        }
        Box::pin(
            async move { probe(address(node), "/health").await.is_some_and(|health: Health| health.ready) },
        )
    }

    fn client(&self, workload: &str, node: &NodeSpec) -> Result<Box<dyn Client>, TargetError> {
        match self.workload.contains(&workload) {
            true => Ok((self.reference.client)(&self.config, node)),
            false => Err(crate::not_served(self.name, workload, &self.workload)),
        }
    }

    fn primary(&self) -> Option<&dyn Primary> {
        self.reference.leads.is_some().then_some(self as &dyn Primary)
    }

    fn membership(&self) -> Option<&dyn Membership> {
        self.takes_nodes_in.then_some(self as &dyn Membership)
    }
}

impl Membership for ReferenceTarget {
    fn join<'a>(&'a self, node: &'a NodeSpec, cluster: &'a ClusterSpec) -> BoxFuture<'a, Result<(), String>> {
        membership::join(node, cluster, address)
    }
}

impl Primary for ReferenceTarget {
    fn primaries<'a>(&'a self, cluster: &'a ClusterSpec) -> BoxFuture<'a, Vec<usize>> {
        Box::pin(async move {
            let Some(path) = self.reference.leads else { return Vec::new() };
            let mut asked = JoinSet::new();
            for node in &cluster.nodes {
                let (index, address) = (node.index, address(node));
                asked.spawn(async move { leads(address, path).await.then_some(index) });
            }
            let mut leaders: Vec<usize> = asked.join_all().await.into_iter().flatten().collect();
            leaders.sort_unstable();
            leaders
        })
    }
}

/// Whether the node holds itself to be the leader.
pub(crate) async fn leads(address: SocketAddr, path: &str) -> bool {
    #[derive(Deserialize)]
    struct Status {
        leads: bool,
    }
    probe(address, path).await.is_some_and(|status: Status| status.leads)
}

/// What a node says of itself; `None` if it says nothing in time, or something else.
async fn probe<T: DeserializeOwned>(address: SocketAddr, path: &str) -> Option<T> {
    let mut http = HttpClient::new(address);
    let reply = tokio::time::timeout(PROBE_TIMEOUT, http.get(path)).await.ok()?.ok()?;
    serde_json::from_slice(&reply.body).ok().filter(|_| reply.status == 200)
}
