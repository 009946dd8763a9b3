//! Stock prices with one writer for each symbol, by leases and fencing tokens: the reference node of the
//! workload `stocks`.
//!
//! The first nodes of the cluster are *coordinators*: a replicated machine of leases (`leases.rs`), whose
//! expiry each measures on its own clock (`expiry.rs`). The others are *price nodes*: whoever has
//! the lease of a symbol writes and reads its price (`desk.rs`), and all of them keep the prices and check the
//! tokens (`prices.rs`). For how long a lease may be relied on: `clock.rs`. Planted defects: [`BUGS`].

mod bugs;
mod clock;
mod coordinator;
mod coordinators;
mod desk;
mod expiry;
mod leases;
mod prices;
mod replicas;
mod routes;
mod store;
mod upkeep;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use clock::{Clock, Terms};
use coordinator::Coordinator;
use coordinators::{Coordinators, Names};
use desk::Desk;
use ordeal_kit::{Id, NodeArgs, Peer, Server, strict};
use ordeal_raft::{Consensus, Defects, Options, RaftArgs};
use replicas::Replicas;
use store::Store;
use tokio::task::JoinSet;
use upkeep::Copies;

pub use bugs::{BUGS, Bug};

/// How to start a node.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// What every node takes.
    #[command(flatten)]
    pub node: NodeArgs<Bug>,
    /// What the coordinators' log takes.
    #[command(flatten)]
    pub raft: RaftArgs,
    /// So many of the peers, from the first on, are coordinators; the others are price nodes.
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub coordinators: usize,
    /// How long a lease lasts.
    #[arg(long, value_name = "MS", default_value_t = 5_000, value_parser = clap::value_parser!(u64).range(100..=600_000))]
    pub lease_ms: u64,
    /// By how much the clocks of two nodes may drift apart.
    #[arg(long, value_name = "PERCENT", default_value_t = 5, value_parser = clap::value_parser!(u32).range(0..=30))]
    pub drift_percent: u32,
    /// How old a price may be that a local read answers.
    #[arg(long, value_name = "MS", default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(50..=600_000))]
    pub staleness_ms: u64,
}

/// Runs a node until SIGTERM (or SIGINT), or until its store fails.
///
/// # Errors
/// Arguments that contradict each other, an address or a directory that cannot be used, a store that failed.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let server = Server::bind(args.node.listen).await?;
    serve(server, args).await
}

async fn serve(server: Server, args: Args) -> anyhow::Result<()> {
    let own = args.node.own()?;
    let nodes = args.node.peers.len();
    ensure!(
        args.coordinators > 0 && args.coordinators < nodes,
        "of {nodes} nodes at least one is a coordinator and at least one a price node"
    );
    let Args { node: NodeArgs { id, listen, bug, .. }, .. } = &args;
    tracing::info!(%id, %listen, coordinator = own < args.coordinators, ?bug, "serving");
    match own < args.coordinators {
        true => coordinate(server, args).await,
        false => trade(server, args, own).await,
    }
}

impl Args {
    fn clock(&self) -> Clock {
        Clock::new(self.node.has(Bug::WallClockLease))
    }

    fn terms(&self) -> Terms {
        Terms { lease: Duration::from_millis(self.lease_ms), drift_percent: self.drift_percent }
    }

    fn id(&self) -> anyhow::Result<Id> {
        Ok(self.node.id.parse()?)
    }

    /// How long another node may take to answer: a lease must outlast two that do not.
    fn patience(&self) -> Duration {
        Duration::from_millis(self.lease_ms / 6).max(Duration::from_millis(50))
    }
}

/// Runs a coordinator.
async fn coordinate(server: Server, args: Args) -> anyhow::Result<()> {
    let mut among_coordinators = args.node.clone();
    among_coordinators.peers.truncate(args.coordinators);
    let options = Options::new(&among_coordinators, args.raft, Defects::default())?;
    let leases = Consensus::start(options).await?;
    let coordinator = Arc::new(Coordinator {
        leases: leases.clone(),
        clock: args.clock(),
        terms: args.terms(),
        names: Names::new(&args.id()?),
        bug: args.node.bug,
    });
    let mut upkeep = JoinSet::new();
    upkeep.spawn(Arc::clone(&coordinator).expire());
    let router = strict(coordinator::router(Arc::clone(&coordinator)));
    let served = server.run(router, leases.failed()).await;
    upkeep.shutdown().await;
    drop(coordinator);
    leases.shutdown().await;
    Ok(served?)
}

/// Runs a price node.
async fn trade(server: Server, args: Args, own: usize) -> anyhow::Result<()> {
    let (coordinators, price_nodes): (&[Peer], &[Peer]) = args.node.peers.split_at(args.coordinators);
    let (id, patience) = (args.id()?, args.patience());
    let store = Store::open(&args.node.data_dir, id.as_str(), args.node.has(Bug::TokenNotChecked))
        .with_context(|| format!("cannot open the store in {}", args.node.data_dir.display()))?;
    let store_failed = store.failed();
    let desk = Arc::new(Desk::new(
        id.clone(),
        (args.clock(), args.terms(), args.node.bug),
        store,
        Replicas::new(price_nodes, own - args.coordinators, patience)?,
        Coordinators::new(coordinators, &id, patience)?,
    ));
    let copies = Arc::new(Copies::new(Arc::clone(&desk), Duration::from_millis(args.staleness_ms)));
    let mut upkeep = JoinSet::new();
    upkeep.spawn(upkeep::renew(Arc::clone(&desk)));
    upkeep.spawn(upkeep::stand_by(Arc::clone(&desk)));
    upkeep.spawn(Arc::clone(&copies).follow());
    let failed = async move {
        store_failed.await;
        "the store has failed".to_owned()
    };
    let served = server.run(strict(routes::router(routes::Node { desk, copies })), failed).await;
    upkeep.shutdown().await;
    Ok(served?)
}

#[cfg(test)]
mod tests;
