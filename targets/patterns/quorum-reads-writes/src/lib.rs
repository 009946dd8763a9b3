//! A clinic that keeps patients' records with others by quorum-based reads and writes: the reference node
//! of the workload `patients`.
//!
//! Any clinic coordinates any operation. A write is acknowledged when W of the N clinics hold it
//! durably, a read asks R of them, and both objects of a patient (the entries, the summary) are linearizable.
//! The protocol and why it is right: the head of
//! `protocol.rs`. Planted defects: [`BUGS`].

mod bugs;
mod coordinator;
mod gather;
mod hints;
mod protocol;
mod repair;
mod replicas;
mod routes;
mod store;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use ordeal_kit::{Peer, PeerClient, PeerOptions};
use tokio::net::TcpListener;

pub use bugs::BUGS;
use bugs::Bug;
use coordinator::Coordinator;
use protocol::Quorums;
use replicas::Replicas;
use store::{Store, StoreOptions};

/// For a connection to another node to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(300);
/// Connections to one other node.
const PEER_CONNECTIONS_MAX: usize = 64;
/// Requests to one other node, sent or waiting for a connection.
const PEER_REQUESTS_MAX: usize = 1024;

/// How to start a node.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// This node's name; one of the peers.
    #[arg(long)]
    pub id: String,
    /// The address to listen on.
    #[arg(long, value_name = "IP:PORT")]
    pub listen: SocketAddr,
    /// All nodes, this one included.
    #[arg(long, value_name = "ID=IP:PORT,…", value_delimiter = ',', required = true)]
    pub peers: Vec<Peer>,
    /// Where the node keeps its state.
    #[arg(long, value_name = "DIR")]
    pub data_dir: PathBuf,
    /// R: replicas that answer a read [default: a majority].
    #[arg(long, value_name = "R")]
    pub read_quorum: Option<usize>,
    /// W: replicas that hold a write before it is acknowledged [default: a majority].
    #[arg(long, value_name = "W")]
    pub write_quorum: Option<usize>,
    /// How long an operation may take to reach its quorums.
    #[arg(long, value_name = "MS", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    pub quorum_timeout_ms: u64,
    /// Switches a planted defect on.
    #[arg(long, value_name = "NAME", value_parser = bug_name)]
    pub bug: Option<String>,
}

fn bug_name(name: &str) -> Result<String, String> {
    name.parse::<Bug>().map(|_| name.to_owned())
}

/// Runs a node until SIGTERM (or SIGINT), or until its store fails.
///
/// # Errors
/// Arguments that contradict each other, an address or a directory that cannot be used, a store that failed.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let stop = ordeal_kit::terminated().context("cannot handle SIGTERM")?;
    let plan = Plan::new(&args)?;
    let listener = ordeal_kit::listen(args.listen).await?;
    serve(listener, args, plan, stop).await
}

/// Arguments that agree with each other.
#[derive(Clone, Copy, Debug)]
struct Plan {
    own: usize,
    quorums: Quorums,
    bug: Option<Bug>,
}

impl Plan {
    fn new(args: &Args) -> anyhow::Result<Self> {
        let nodes = args.peers.len();
        for (place, peer) in args.peers.iter().enumerate() {
            let twice = |other: &Peer| other.id == peer.id || other.address == peer.address;
            if args.peers[..place].iter().any(twice) {
                bail!("--peers: the name or the address of {} is there twice", peer.id);
            }
        }
        let own = args.peers.iter().position(|peer| peer.id == args.id);
        let own = own.ok_or_else(|| anyhow!("--id {} is not among --peers", args.id))?;
        let bug: Option<Bug> = args.bug.as_deref().map(str::parse).transpose().map_err(anyhow::Error::msg)?;
        let write = args.write_quorum.unwrap_or(nodes / 2 + 1);
        let read = if bug == Some(Bug::RPlusW) {
            nodes.saturating_sub(write).max(1)
        } else {
            args.read_quorum.unwrap_or(nodes / 2 + 1)
        };
        let quorums = Quorums { nodes, read, write };
        if bug != Some(Bug::RPlusW) {
            quorums.check()?;
        }
        Ok(Plan { own, quorums, bug })
    }
}

async fn serve(
    listener: TcpListener,
    args: Args,
    plan: Plan,
    stop: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<()> {
    let Plan { own, quorums, bug } = plan;
    let options = StoreOptions {
        node: args.id.clone(),
        order: coordinator::version_order(bug),
        lazy_sync: bug == Some(Bug::AckBeforeSync),
    };
    let store = Store::open(&args.data_dir, options)
        .with_context(|| format!("cannot open the store in {}", args.data_dir.display()))?;
    let store = Arc::new(store);
    let quorum_timeout = Duration::from_millis(args.quorum_timeout_ms);
    let peers = PeerClient::new(
        &args.peers,
        PeerOptions {
            connect_timeout: CONNECT_TIMEOUT,
            timeout: quorum_timeout,
            connections_max: PEER_CONNECTIONS_MAX,
            requests_max: PEER_REQUESTS_MAX,
            answer_bytes_max: routes::MESSAGE_BYTES_MAX,
        },
    )?;
    let replicas = Arc::new(Replicas { nodes: quorums.nodes, own, store: Arc::clone(&store), peers });
    let delivering =
        (bug == Some(Bug::HintCounted)).then(|| tokio::spawn(hints::deliver(Arc::clone(&replicas))));
    let failed = store.failed();
    let node = routes::Node {
        id: args.id.clone(),
        coordinator: Coordinator::new(replicas, quorums, quorum_timeout, bug),
        store,
    };
    tracing::info!(id = %args.id, listen = %args.listen, ?quorums, bug = args.bug, "serving");
    let outcome = tokio::select! {
        served = ordeal_kit::serve(listener, routes::router(node), stop) => served.context("cannot serve"),
        () = failed => Err(anyhow!("the store has failed")),
    };
    if let Some(delivering) = delivering {
        delivering.abort();
    }
    tracing::info!(id = %args.id, "stopped");
    outcome
}

#[cfg(test)]
mod tests;
