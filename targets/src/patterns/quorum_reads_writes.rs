//! Quorum-based reads and writes: the reference target of the `patients` workload.
//!
//! Every node holds every record. A coordinator asks all nodes and goes on when a read quorum of R or a
//! write quorum of W has answered; with R + W above the number of nodes any two quorums meet.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::{Args as _, Command, FromArgMatches};
use ordeal_core::{BoxFuture, Bug, Client, ClusterSpec, Launch, NodeSpec, Target, TargetError};
use ordeal_quorum_reads_writes::Args;
use ordeal_workloads::http::HttpClient;
use ordeal_workloads::patients;
use serde::Deserialize;

use crate::{Config, Entry, OptionSpec};

const NAME: &str = "quorum-reads-writes";

/// The port that nodes listen on, for clients and for one another.
const PORT: u16 = 8080;

/// The longest wait for an answer about a node's health.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(1);

/// The registry's row.
pub(crate) const ENTRY: Entry = Entry {
    name: NAME,
    about: "reference: patient records kept linearizable by read and write quorums",
    default_workload: patients::NAME,
    default_nodes: 5,
    nodes: 1..=9,
    bugs: BUGS,
    options: &[
        OptionSpec { name: READ_QUORUM, about: "how many nodes must answer a read", default: "a majority" },
        OptionSpec { name: WRITE_QUORUM, about: "how many nodes must store a write", default: "a majority" },
    ],
    build: |config| Ok(Box::new(QuorumReadsWrites::new(config)?)),
    node: Some(node),
};

const READ_QUORUM: &str = "read-quorum";
const WRITE_QUORUM: &str = "write-quorum";

/// What the node can do wrong, by what the judges see it, and what brings it out.
const BUGS: &[Bug] = &[
    bug("w-1", &["nonlinearizable", "lost-element"], "kill,pause,partition"),
    bug("r-plus-w", &["nonlinearizable"], "partition,kill,pause"),
    bug("no-write-back", &["nonlinearizable"], "partition,kill,pause"),
    bug("hint-counted", &["nonlinearizable", "lost-element"], "partition,kill,pause"),
    bug("wall-clock-versions", &["nonlinearizable"], "clock"),
    bug("version-ties", &["nonlinearizable", "divergence"], "partition,kill,pause"),
    bug("ack-before-sync", &["lost-element", "nonlinearizable"], "power-loss"),
];

/// A row of [`BUGS`]; what goes wrong is the node's own word for it. A bug that the node does not know
/// does not compile.
const fn bug(name: &'static str, anomalies: &'static [&'static str], faults: &'static str) -> Bug {
    let known = ordeal_quorum_reads_writes::BUGS;
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

/// The target.
struct QuorumReadsWrites {
    ordeal: PathBuf,
    bug: Option<String>,
    read_quorum: usize,
    write_quorum: usize,
}

impl QuorumReadsWrites {
    fn new(config: &Config) -> Result<Self, TargetError> {
        let majority = config.nodes / 2 + 1;
        let all = 1..=config.nodes;
        let read_quorum = config.number(READ_QUORUM, &all)?.unwrap_or(majority);
        let write_quorum = config.number(WRITE_QUORUM, &all)?.unwrap_or(majority);
        // The node would refuse to start; said here, it is a question of usage.
        if read_quorum + write_quorum <= config.nodes || 2 * write_quorum <= config.nodes {
            return Err(TargetError::Unsupported(format!(
                "quorums must overlap: R + W and 2W must be more than {} nodes, R is {read_quorum} and W is \
                 {write_quorum}; to see what happens otherwise there is the bug `r-plus-w`",
                config.nodes
            )));
        }
        Ok(QuorumReadsWrites {
            ordeal: config.ordeal.clone(),
            bug: config.bug.clone(),
            read_quorum,
            write_quorum,
        })
    }
}

impl Target for QuorumReadsWrites {
    fn name(&self) -> &str {
        NAME
    }

    fn workloads(&self) -> &[&'static str] {
        &[patients::NAME]
    }

    fn bugs(&self) -> &[Bug] {
        BUGS
    }

    fn launch(&self, node: &NodeSpec, cluster: &ClusterSpec) -> Result<Option<Launch>, TargetError> {
        let peers: Vec<String> = cluster.nodes.iter().map(|n| format!("{}={}", n.id, address(n))).collect();
        let mut args: Vec<String> = vec!["node".to_owned(), NAME.to_owned()];
        let mut flag = |name: &str, value: String| args.extend([format!("--{name}"), value]);
        flag("id", node.id.clone());
        flag("listen", address(node).to_string());
        flag("peers", peers.join(","));
        flag("data-dir", node.data_dir.to_string_lossy().into_owned());
        flag(READ_QUORUM, self.read_quorum.to_string());
        flag(WRITE_QUORUM, self.write_quorum.to_string());
        if let Some(bug) = &self.bug {
            flag("bug", bug.clone());
        }
        Ok(Some(Launch { program: self.ordeal.clone(), args, env: Vec::new() }))
    }

    fn ready<'a>(&'a self, node: &'a NodeSpec) -> BoxFuture<'a, bool> {
        #[derive(Deserialize)]
        struct Health {
            ready: bool,
        }
        Box::pin(async move {
            let mut http = HttpClient::new(address(node));
            match tokio::time::timeout(HEALTH_TIMEOUT, http.get("/health")).await {
                Ok(Ok(reply)) => {
                    reply.status == 200
                        && serde_json::from_slice(&reply.body).is_ok_and(|health: Health| health.ready)
                }
                _ => false,
            }
        })
    }

    fn client(&self, workload: &str, node: &NodeSpec) -> Result<Box<dyn Client>, TargetError> {
        match workload {
            patients::NAME => Ok(patients::client(address(node))),
            other => Err(crate::not_served(NAME, other, self.workloads())),
        }
    }
}

fn address(node: &NodeSpec) -> SocketAddr {
    SocketAddr::from((node.ip, PORT))
}

/// The node's command line.
pub(crate) fn command() -> Command {
    Args::augment_args(Command::new(NAME).bin_name(format!("ordeal node {NAME}")).no_binary_name(true))
}

/// Runs a node until it is told to stop.
fn node(args: Vec<OsString>) -> anyhow::Result<()> {
    let args = Args::from_arg_matches(&command().try_get_matches_from(args)?)?;
    let runtime = tokio::runtime::Runtime::new().context("cannot start the async runtime")?;
    runtime.block_on(ordeal_quorum_reads_writes::run(args))
}
