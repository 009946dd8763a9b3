//! A node of a capital market that confirms and settles trades with others: the reference node of the workload
//! `trades`.
//!
//! Any node takes any request and keeps it in its waiting list until enough nodes have confirmed it: a majority of all
//! for a trade, every settlement node for a settlement. What is counted, and why it cannot contradict itself: the head
//! of `condition.rs`; the list: `waiting_list.rs`. Planted defects: [`BUGS`].

mod bugs;
mod cluster;
mod condition;
mod coordinator;
mod desk;
mod routes;
mod store;
mod trade;
mod upkeep;
mod waiting_list;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use ordeal_kit::{NodeArgs, PeerClient, Server};

pub use bugs::{BUGS, Bug};
use cluster::Cluster;
use coordinator::Coordinator;
use store::Store;
use trade::{NODES_MIN, Role, roles};

/// How to start a node.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// What every node takes. Roles follow from the place among the peers: the first trade, the last settle.
    #[command(flatten)]
    pub node: NodeArgs<Bug>,
    /// How long a request waits for other nodes before its client is told that it is pending.
    #[arg(long, value_name = "MS", default_value_t = 800, value_parser = clap::value_parser!(u64).range(50..=60_000))]
    pub expiry_ms: u64,
}

/// Runs a node until SIGTERM (or SIGINT), or until its store fails.
///
/// # Errors
/// Arguments that contradict each other, an address or a directory that cannot be used, a store that failed.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let place = Place::new(&args)?;
    serve(Server::bind(args.node.listen).await?, args, place).await
}

/// Arguments that agree with each other.
#[derive(Clone, Debug)]
struct Place {
    own: usize,
    roles: Vec<Role>,
}

impl Place {
    fn new(args: &Args) -> anyhow::Result<Self> {
        let nodes = args.node.peers.len();
        anyhow::ensure!(
            nodes >= NODES_MIN,
            "--peers: trading, clearing and settlement take {NODES_MIN} nodes at least, not {nodes}"
        );
        Ok(Place { own: args.node.own()?, roles: roles(nodes) })
    }
}

async fn serve(server: Server, args: Args, place: Place) -> anyhow::Result<()> {
    let Args { node: NodeArgs { id, listen, peers, data_dir, bug }, expiry_ms } = args;
    let Place { own, roles } = place;
    let store = Store::open(&data_dir, &id, bug)
        .with_context(|| format!("cannot open the store in {}", data_dir.display()))?;
    let store_failed = store.failed();
    let failed = async move {
        store_failed.await;
        "the store has failed".to_owned()
    };
    let role = roles[own];
    let peers = PeerClient::new(&peers, cluster::options())?;
    let cluster = Cluster { own, roles, store: Arc::new(store), peers };
    let coordinator = Arc::new(Coordinator::new(cluster, Duration::from_millis(expiry_ms), bug));
    let mut upkeep = upkeep::start(&coordinator);
    tracing::info!(%id, %listen, ?role, ?bug, "serving");
    let outcome = server.run(routes::router(routes::Node { id: id.clone(), coordinator }), failed).await;
    upkeep.shutdown().await;
    tracing::info!(%id, "stopped");
    Ok(outcome?)
}

#[cfg(test)]
mod tests;
