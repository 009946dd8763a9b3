//! A retail bank whose accounts are in a fixed number of partitions: the reference node of the workload `accounts`.
//!
//! An account's partition follows from its name, for ever; a partition's node stands in a map that the founders replicate.
//! When a node joins, whole partitions move to it, as few as balance needs. Transfers are atomic, at one node or between
//! two. Planted defects: [`BUGS`].
//!
//! - `assign.rs`, `map.rs`: which partition is whose; pure, the second one is what the founders replicate.
//! - `book.rs`, `ownership.rs`, `rows.rs`: accounts, two-phase commit and handing over as steps on rows; pure.
//! - `store.rs`: the rows on disk, every step in one commit.
//! - `node.rs`, `coordinator.rs`, `settle.rs`, `snapshot.rs`, `handoff.rs`, `atlas.rs`: what nodes say to one another.
//! - `messages.rs`, `routes.rs`: in which words.

mod assign;
mod atlas;
mod book;
mod bugs;
mod coordinator;
mod handoff;
mod map;
mod messages;
mod node;
mod ownership;
mod routes;
mod rows;
mod settle;
mod snapshot;
mod store;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use ordeal_kit::{NodeArgs, PeerClient, PeerOptions, Server};
use ordeal_raft::{Consensus, Defects, Options, RaftArgs};
use tokio::task::JoinSet;

use atlas::Atlas;
pub use bugs::{BUGS, Bug};
use map::Map;
use node::{Node, Transactions};
use store::Store;

/// The most partitions there can be.
pub const PARTITIONS_MAX: u16 = 1_024;

/// How to start a node.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// What every node takes.
    #[command(flatten)]
    pub node: NodeArgs<Bug>,
    /// The founders' Raft.
    #[command(flatten)]
    pub raft: RaftArgs,
    /// How many partitions there are, for ever; the same at every node.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=i64::from(PARTITIONS_MAX)))]
    pub partitions: u16,
    /// The first N peers are there from the beginning and keep the map; the others join [default: all]
    #[arg(long, value_name = "N")]
    pub founders: Option<usize>,
}

/// Runs a node until SIGTERM (or SIGINT), or until its store fails.
///
/// # Errors
/// Arguments that contradict each other, an address or a directory that cannot be used, a log or a store that is damaged
/// or failed.
pub async fn run(args: Args) -> anyhow::Result<()> {
    serve(Server::bind(args.node.listen).await?, args).await
}

async fn start(args: &Args) -> anyhow::Result<Arc<Node>> {
    let NodeArgs { id, peers: all, data_dir, bug, .. } = &args.node;
    let own = args.node.own()?;
    let founders = args.founders.unwrap_or(all.len());
    ensure!((1..=all.len()).contains(&founders), "--founders {founders}: there are {} peers", all.len());
    let patience = Duration::from_millis(args.raft.request_timeout_ms);
    let options = PeerOptions::usual(patience, routes::MESSAGE_BYTES_MAX);
    let peers = Arc::new(PeerClient::new(all, options)?);
    let partitions = usize::from(args.partitions);
    let lazy = *bug == Some(Bug::AckBeforeSync);
    let store = Store::open(data_dir, id, lazy, |rows| book::recover(rows, partitions, *bug))
        .with_context(|| format!("cannot open the store in {}", data_dir.display()))?;
    let consensus = if own < founders { Some(founder(args, founders).await?) } else { None };
    Ok(Arc::new(Node {
        own,
        names: all.iter().map(|peer| peer.id.clone()).collect(),
        atlas: Atlas::new(own, founders, partitions, consensus, Arc::clone(&peers)),
        peers,
        store,
        transactions: Transactions::new(id),
        patience,
        bug: *bug,
    }))
}

async fn founder(args: &Args, founders: usize) -> anyhow::Result<Consensus<Map>> {
    let mut options = Options::new(&args.node, args.raft, Defects::default())?;
    options.peers.truncate(founders);
    Ok(Consensus::start(options).await?)
}

async fn serve(server: Server, args: Args) -> anyhow::Result<()> {
    let node = start(&args).await?;
    let NodeArgs { id, listen, bug, .. } = &args.node;
    tracing::info!(%id, %listen, founders = node.atlas.founders, partitions = args.partitions, ?bug, "serving");
    let mut own_work = JoinSet::new();
    let atlas = Arc::clone(&node);
    own_work.spawn(async move { atlas.atlas.keep_up().await });
    own_work.spawn(Arc::clone(&node).settle());
    own_work.spawn(Arc::clone(&node).hand_over());
    let (store_failed, consensus) = (node.store.failed(), node.atlas.consensus.clone());
    let failed = async move {
        let consensus_failed = async {
            match &consensus {
                Some(consensus) => consensus.failed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = store_failed => "the store has failed".to_owned(),
            why = consensus_failed => why,
        }
    };
    let outcome = server.run(routes::router(&node), failed).await;
    // They hold the store, which must be closed when this ends.
    own_work.shutdown().await;
    if let Some(consensus) = &node.atlas.consensus {
        consensus.clone().shutdown().await;
    }
    tracing::info!(%id, "stopped");
    Ok(outcome?)
}

#[cfg(test)]
mod tests;
