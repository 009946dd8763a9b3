//! An insurer's cluster with a consistent core: the reference node of the workload `claims`.
//!
//! The first nodes, 3 or 5, are the core: they agree by Raft on policies, claims and premium adjustments. The others,
//! as many as are needed, are data nodes: they keep bulk documents and follow the core by its versions. Adding
//! data nodes makes no decision of the core slower. Planted defects: [`BUGS`].
//!
//! - `machine.rs`, `claim.rs`, `lease.rs`: what the core agrees on; pure.
//! - `core_node.rs`, `adjusting.rs`: a core node, and how it adjusts premiums.
//! - `view.rs`, `homes.rs`: what a data node knows of the core, and where documents live; pure.
//! - `data_node.rs`, `follow.rs`, `store.rs`: a data node, how it follows the core, what it keeps on disk.
//! - `pass.rs`, `messages.rs`, `routes.rs`: any node takes any request.

mod adjusting;
mod bugs;
mod claim;
mod core_node;
mod data_node;
mod follow;
mod homes;
mod lease;
mod machine;
mod messages;
mod pass;
mod routes;
mod store;
mod view;

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use ordeal_kit::{NodeArgs, PeerClient, PeerOptions, Server};
use ordeal_raft::{Consensus, Defects, Options, RaftArgs};
use tokio::task::JoinHandle;

use adjusting::Adjuster;
pub use bugs::{BUGS, Bug};
use claim::Rule;
use core_node::CoreNode;
use data_node::{DataNode, View};
use homes::Homes;
use machine::Core;
use pass::{Node, Role};
use store::Store;

/// How to start a node.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// What every node takes.
    #[command(flatten)]
    pub node: NodeArgs<Bug>,
    /// The core's Raft.
    #[command(flatten)]
    pub raft: RaftArgs,
    /// The first N peers are the core; the others are data nodes.
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub core: usize,
    /// How long the lease of a premium adjustment lasts without progress.
    #[arg(long, value_name = "MS", default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    pub lease_ms: u64,
}

/// Runs a node until SIGTERM (or SIGINT), or until its store fails.
///
/// # Errors
/// Arguments that contradict each other, an address or a directory that cannot be used, a log or a store that
/// is damaged or failed.
pub async fn run(args: Args) -> anyhow::Result<()> {
    serve(Server::bind(args.node.listen).await?, args).await
}

/// A node that has been started.
struct Started {
    node: Arc<Node>,
    /// What a data node does by itself.
    following: Option<JoinHandle<()>>,
}

async fn start(args: &Args) -> anyhow::Result<Started> {
    let NodeArgs { id, peers: all, data_dir, .. } = &args.node;
    let own = args.node.own()?;
    ensure!((1..=all.len()).contains(&args.core), "--core {}: there are {} peers", args.core, all.len());
    let homes = Homes { first: args.core, count: all.len() - args.core };
    // A request that was passed on may take as long as the core takes, and a little for the way.
    let patience = Duration::from_millis(args.raft.request_timeout_ms + 500);
    let peers = Arc::new(PeerClient::new(all, PeerOptions::usual(patience, routes::MESSAGE_BYTES_MAX))?);
    let (role, following) = if own < args.core {
        (Role::Core(Box::new(core_node(args).await?)), None)
    } else {
        let store = Store::open(data_dir, id.as_str())
            .with_context(|| format!("cannot open {}", data_dir.display()))?;
        let view = View::new(store.policies()?);
        let ignores_epoch = args.node.has(Bug::EpochIgnored);
        let one_home_suffices = args.node.has(Bug::OneHomeSuffices);
        let peers = Arc::clone(&peers);
        let data = Arc::new(DataNode {
            own,
            id: id.clone(),
            peers,
            store,
            homes,
            ignores_epoch,
            one_home_suffices,
            view,
        });
        let blind = args.node.has(Bug::WatchGap);
        let following = tokio::spawn(follow::follow(Arc::clone(&data), args.core, blind));
        (Role::Data(data), Some(following))
    };
    let node = Arc::new(Node { own, id: id.clone(), role, core: args.core, homes, peers, patience });
    Ok(Started { node, following })
}

async fn core_node(args: &Args) -> anyhow::Result<CoreNode> {
    let defects = Defects { local_reads: args.node.has(Bug::StaleCoreRead), ..Defects::default() };
    let mut options = Options::new(&args.node, args.raft, defects)?;
    options.peers.truncate(args.core);
    let core = Consensus::<Core>::start(options).await?;
    let rule = Rule {
        enough: if args.node.has(Bug::OneVoteSuffices) { 1 } else { Rule::RIGHT.enough },
        saved: !args.node.has(Bug::VotesLostOnRestart),
    };
    let life = format!("{}-{:x}", args.node.id, RandomState::new().hash_one(std::process::id()));
    let lease = Duration::from_millis(args.lease_ms);
    let patience = Duration::from_millis(args.raft.request_timeout_ms);
    let adjuster = Adjuster::new(core.clone(), life, lease, patience, args.node.bug);
    Ok(CoreNode::new(core, adjuster, rule))
}

async fn serve(server: Server, args: Args) -> anyhow::Result<()> {
    let Started { node, following } = start(&args).await?;
    let NodeArgs { id, listen, bug, .. } = &args.node;
    let role = if node.own < node.core { "core" } else { "data" };
    tracing::info!(%id, %listen, role, core = node.core, ?bug, "serving");
    let watched = Arc::clone(&node);
    let failed = async move {
        match &watched.role {
            Role::Core(core) => core.core.failed().await,
            Role::Data(data) => {
                data.store.failed().await;
                "the store has failed".to_owned()
            }
        }
    };
    let outcome = server.run(routes::router(Arc::clone(&node)), failed).await;
    if let Some(following) = following {
        following.abort();
    }
    if let Role::Core(core) = &node.role {
        core.core.clone().shutdown().await;
    }
    tracing::info!(%id, "stopped");
    Ok(outcome?)
}

#[cfg(test)]
mod tests;
