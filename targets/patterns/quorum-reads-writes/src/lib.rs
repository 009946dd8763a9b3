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

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use ordeal_kit::{NodeArgs, PeerClient, PeerOptions, Server};

pub use bugs::{BUGS, Bug};
use coordinator::Coordinator;
use protocol::Quorums;
use replicas::Replicas;
use store::{Store, StoreOptions};

/// How to start a node.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// What every node takes.
    #[command(flatten)]
    pub node: NodeArgs<Bug>,
    /// R: replicas that answer a read [default: a majority].
    #[arg(long, value_name = "R")]
    pub read_quorum: Option<usize>,
    /// W: replicas that hold a write before it is acknowledged [default: a majority].
    #[arg(long, value_name = "W")]
    pub write_quorum: Option<usize>,
    /// How long an operation may take to reach its quorums.
    #[arg(long, value_name = "MS", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    pub quorum_timeout_ms: u64,
}

/// Runs a node until SIGTERM (or SIGINT), or until its store fails.
///
/// # Errors
/// Arguments that contradict each other, an address or a directory that cannot be used, a store that failed.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let plan = Plan::new(&args)?;
    serve(Server::bind(args.node.listen).await?, args, plan).await
}

/// Arguments that agree with each other.
#[derive(Clone, Copy, Debug)]
struct Plan {
    own: usize,
    quorums: Quorums,
}

impl Plan {
    fn new(args: &Args) -> anyhow::Result<Self> {
        let own = args.node.own()?;
        let nodes = args.node.peers.len();
        let write = args.write_quorum.unwrap_or(nodes / 2 + 1);
        let read = if args.node.has(Bug::RPlusW) {
            nodes.saturating_sub(write).max(1)
        } else {
            args.read_quorum.unwrap_or(nodes / 2 + 1)
        };
        let quorums = Quorums { nodes, read, write };
        if !args.node.has(Bug::RPlusW) {
            quorums.check()?;
        }
        Ok(Plan { own, quorums })
    }
}

async fn serve(server: Server, args: Args, plan: Plan) -> anyhow::Result<()> {
    let Plan { own, quorums } = plan;
    let NodeArgs { id, listen, peers, data_dir, bug } = args.node;
    let options = StoreOptions {
        node: id.clone(),
        order: coordinator::version_order(bug),
        lazy_sync: bug == Some(Bug::AckBeforeSync),
    };
    let store = Store::open(&data_dir, options)
        .with_context(|| format!("cannot open the store in {}", data_dir.display()))?;
    let store = Arc::new(store);
    let quorum_timeout = Duration::from_millis(args.quorum_timeout_ms);
    let peers = PeerClient::new(&peers, PeerOptions::usual(quorum_timeout, routes::MESSAGE_BYTES_MAX))?;
    let replicas = Arc::new(Replicas { nodes: quorums.nodes, own, store: Arc::clone(&store), peers });
    let delivering =
        (bug == Some(Bug::HintCounted)).then(|| tokio::spawn(hints::deliver(Arc::clone(&replicas))));
    let store_failed = store.failed();
    let failed = async move {
        store_failed.await;
        "the store has failed".to_owned()
    };
    let node = routes::Node {
        id: id.clone(),
        coordinator: Coordinator::new(replicas, quorums, quorum_timeout, bug),
        store,
    };
    tracing::info!(%id, %listen, ?quorums, ?bug, "serving");
    let outcome = server.run(routes::router(node), failed).await;
    if let Some(delivering) = delivering {
        delivering.abort();
    }
    tracing::info!(%id, "stopped");
    Ok(outcome?)
}

#[cfg(test)]
mod tests;
