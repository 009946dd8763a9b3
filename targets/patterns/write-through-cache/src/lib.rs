//! Live scores behind write-through caches that are kept coherent: the reference node of the workload `scores`.
//!
//! The first node is the *database*, which keeps everything durably (`store.rs`); the others are *caches*, which keep
//! nothing but copies. A write goes through any node to the database, which lets every cache drop its old copy first
//! (`database.rs`); a cache serves copies only under a lease (`cache.rs`). Who may serve what: `leases.rs` at the database,
//! `copies.rs` at a cache. For how long a lease may be relied on: `clock.rs`. Planted defects: [`BUGS`].

mod bugs;
mod cache;
mod clock;
mod copies;
mod database;
mod leases;
mod messages;
mod routes;
mod score;
mod store;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context;
use cache::Cache;
use clock::{Clock, Terms};
use copies::Copies;
use database::Database;
use leases::Leases;
use ordeal_kit::{NodeArgs, PeerClient, PeerOptions, Server};
use routes::{Node, Role};
use store::Store;

pub use bugs::{BUGS, Bug};

/// Which of the nodes is the database.
const DATABASE: usize = 0;

/// How to start a node.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// What every node takes. The first of the peers is the database, the others are caches.
    #[command(flatten)]
    pub node: NodeArgs<Bug>,
    /// How long the lease of a cache lasts. The same at every node.
    #[arg(long, value_name = "MS", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(50..=600_000))]
    pub lease_ms: u64,
    /// By how much a clock may be too fast or too slow. The same at every node.
    #[arg(long, value_name = "PERCENT", default_value_t = 5, value_parser = clap::value_parser!(u32).range(0..=20))]
    pub drift_percent: u32,
    /// How long a cache waits for the database before it says that it does not know.
    #[arg(long, value_name = "MS", default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(10..=600_000))]
    pub request_timeout_ms: u64,
}

impl Args {
    fn clock(&self) -> Clock {
        Clock::new(self.node.has(Bug::WallClockLease))
    }

    fn terms(&self) -> Terms {
        Terms { lease: Duration::from_millis(self.lease_ms), drift_percent: self.drift_percent }
    }
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
    let NodeArgs { id, listen, bug, .. } = &args.node;
    tracing::info!(%id, %listen, database = own == DATABASE, ?bug, "serving");
    let served = match own {
        DATABASE => serve_database(server, &args).await,
        _ => serve_cache(server, &args, own).await,
    };
    tracing::info!(id = args.node.id, "stopped");
    served
}

async fn serve_database(server: Server, args: &Args) -> anyhow::Result<()> {
    let NodeArgs { id, peers, data_dir, bug, .. } = &args.node;
    let store = Store::open(data_dir, id, *bug)
        .with_context(|| format!("cannot open the store in {}", data_dir.display()))?;
    let store_failed = store.failed();
    let failed = async move {
        store_failed.await;
        "the store has failed".to_owned()
    };
    let clock = args.clock();
    let leases = Leases::new(args.terms(), (DATABASE, peers.len()), store.life(), clock.now(), *bug);
    let peer_client = PeerClient::new(peers, messages::coherence_options(args.terms()))?;
    let database = Arc::new(Database::new(store, leases, clock, (peer_client, peers.len()), *bug));
    Ok(server.run(routes::router(Node { id: id.clone(), role: Role::Database(database) }), failed).await?)
}

async fn serve_cache(server: Server, args: &Args, own: usize) -> anyhow::Result<()> {
    let NodeArgs { id, peers, bug, .. } = &args.node;
    let timeout = Duration::from_millis(args.request_timeout_ms);
    let options = PeerOptions::usual(timeout, messages::MESSAGE_BYTES_MAX);
    let cache = Arc::new(Cache {
        own,
        clock: args.clock(),
        terms: args.terms(),
        copies: Mutex::new(Copies::new(args.terms(), *bug)),
        lessor: PeerClient::new(peers, messages::coherence_options(args.terms()))?,
        database: PeerClient::new(peers, options)?,
        bug: *bug,
    });
    let keeping = tokio::spawn(Arc::clone(&cache).keep_lease());
    let router = routes::router(Node { id: id.clone(), role: Role::Cache(cache) });
    let served = server.run(router, std::future::pending()).await;
    keeping.abort();
    Ok(served?)
}

#[cfg(test)]
mod tests;
