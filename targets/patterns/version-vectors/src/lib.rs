//! A warehouse that keeps stock levels with others by version vectors: the reference node of the workload
//! `inventory`.
//!
//! Any warehouse takes movements and stock-takes for any SKU, also while it is cut off from all others; what it
//! acknowledged is on its disk. Anti-entropy brings the states together: movements add up, concurrent stock-takes
//! are detected exactly by their version vectors, shown, reported, and resolved by the SKU's rule. What a state is
//! and why merging is right: the head of `stock.rs`. Planted defects: [`BUGS`].

mod bugs;
mod exchange;
mod routes;
mod rule;
mod stock;
mod store;
mod vector;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use ordeal_kit::{NodeArgs, PeerClient, Server};

pub use bugs::{BUGS, Bug};
use exchange::Exchange;
pub use rule::Priority;
use store::{Store, StoreOptions};

/// How to start a node.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// What every node takes.
    #[command(flatten)]
    pub node: NodeArgs<Bug>,
    /// SKUs that begin with this prefix are resolved by the priority of this warehouse, all others by merging. The
    /// same at every node.
    #[arg(long, value_name = "PREFIX=WAREHOUSE", value_delimiter = ',')]
    pub priority: Vec<Priority>,
    /// How often each other warehouse is asked for what it has seen.
    #[arg(long, value_name = "MS", default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    pub exchange_ms: u64,
}

/// Runs a node until SIGTERM (or SIGINT), or until its store fails.
///
/// # Errors
/// Arguments that contradict each other, an address or a directory that cannot be used, a store that failed.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let own = place(&args)?;
    serve(Server::bind(args.node.listen).await?, args, own).await
}

/// This node's position among the peers, once the arguments are seen to agree.
fn place(args: &Args) -> anyhow::Result<usize> {
    let known = |name: &String| args.node.peers.iter().any(|peer| peer.id == *name);
    if let Some(unknown) = args.priority.iter().find(|priority| !known(&priority.warehouse)) {
        anyhow::bail!("--priority: {} is not among --peers", unknown.warehouse);
    }
    Ok(args.node.own()?)
}

async fn serve(server: Server, args: Args, own: usize) -> anyhow::Result<()> {
    let Args { node: NodeArgs { id, listen, peers, data_dir, bug }, priority: priorities, exchange_ms } =
        args;
    let options = StoreOptions { node: id.clone(), priorities: priorities.clone(), bug };
    let store = Store::open(&data_dir, options)
        .with_context(|| format!("cannot open the store in {}", data_dir.display()))?;
    let store = Arc::new(store);
    let store_failed = store.failed();
    let failed = async move {
        store_failed.await;
        "the store has failed".to_owned()
    };
    let exchange = Arc::new(Exchange {
        own,
        nodes: peers.len(),
        store,
        peers: PeerClient::new(&peers, exchange::options())?,
        interval: Duration::from_millis(exchange_ms),
        bug,
    });
    let mut pulling = exchange.start();
    tracing::info!(%id, %listen, ?priorities, ?bug, "serving");
    let outcome =
        server.run(routes::router(routes::Node { id: id.clone(), priorities, exchange }), failed).await;
    // They hold the store, which must be closed when this ends.
    pulling.shutdown().await;
    tracing::info!(%id, "stopped");
    Ok(outcome?)
}

#[cfg(test)]
mod tests;
