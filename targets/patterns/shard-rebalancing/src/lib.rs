//! A telecom provider's customers in shards that are split and moved between nodes while they are served: the reference
//! node of the workload `telecom`.
//!
//! The first three nodes are metadata nodes: they agree by Raft on who owns which customers, watch the load, and conduct
//! splits and moves. All others, also those that join later, are data nodes. Planted defects: [`BUGS`]; the steps at which
//! a node can be stopped: [`STEPS`].
//!
//! - `routing.rs`, `conduct.rs`, `balance.rs`: what metadata nodes agree on, what is to be done about it, what the load
//!   asks for; pure.
//! - `held.rs`, `key.rs`, `customer.rs`: what a data node holds and serves; pure. `store.rs`: on its disk. `meter.rs`: how
//!   often it is asked for.
//! - `metadata_node.rs`, `conductor.rs`, `data_node.rs`: the two roles. `steps.rs`: the steps, and their lines in the log.
//! - `node.rs`, `messages.rs`, `routes.rs`: any node takes any request.

mod balance;
mod bugs;
mod conduct;
mod conductor;
mod customer;
mod data_node;
mod held;
mod key;
mod messages;
mod metadata_node;
mod meter;
mod node;
mod routes;
mod routing;
mod steps;
mod store;

use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, ensure};
use ordeal_kit::{Id, NodeArgs, PeerClient, PeerOptions, Server};
use ordeal_raft::{Consensus, Defects, Options, RaftArgs};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

pub use bugs::{BUGS, Bug};
use data_node::DataNode;
use metadata_node::MetadataNode;
use node::{Node, Role};
use routing::Routing;
pub use steps::STEPS;
use store::Store;

/// The first so many nodes are metadata nodes.
pub const METADATA_NODES: usize = 3;

/// How long one node waits for another's answer. The last of three that are asked in turn still answers in time.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(700);

/// How to start a node.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// What every node takes.
    #[command(flatten)]
    pub node: NodeArgs<Bug>,
    /// The Raft of the metadata nodes.
    #[command(flatten)]
    pub raft: RaftArgs,
    /// The first N peers are there from the beginning, three metadata nodes and at least one data node; the others join
    /// when they are told to the cluster [default: all peers].
    #[arg(long, value_name = "N")]
    pub founders: Option<usize>,
    /// The regions that have a shard of their own in the beginning, in alphabetical order.
    #[arg(long, value_name = "REGION,…", value_delimiter = ',', default_values = ["r1", "r2", "r3", "r4"])]
    pub regions: Vec<Id>,
    /// What a data node can serve, in requests a second; from 90 % on it is relieved.
    #[arg(long, value_name = "N", default_value_t = 150, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub capacity: u64,
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
    /// What a metadata node does by itself.
    conducting: Option<JoinHandle<()>>,
}

async fn start(args: &Args) -> anyhow::Result<Started> {
    let NodeArgs { id, peers: all, data_dir, bug, .. } = &args.node;
    let own = args.node.own()?;
    let founders = args.founders.unwrap_or(all.len());
    let possible = METADATA_NODES + 1..=all.len();
    ensure!(possible.contains(&founders), "--founders {founders}: it can be {possible:?}");
    ensure!(args.regions.is_sorted_by(|a, b| a < b), "--regions: they are not in alphabetical order");
    let client = || PeerClient::new(all, PeerOptions::usual(ANSWER_TIMEOUT, messages::MESSAGE_BYTES_MAX));
    let names: Vec<String> = all.iter().map(|peer| peer.id.clone()).collect();
    let (role, conducting) = if own < METADATA_NODES {
        let defects = Defects { local_reads: *bug == Some(Bug::StaleRouting), ..Defects::default() };
        let mut options = Options::new(&args.node, args.raft, defects)?;
        options.peers.truncate(METADATA_NODES);
        let metadata = Arc::new(MetadataNode {
            core: Consensus::<Routing>::start(options).await?,
            peers: client()?,
            addresses: all.iter().map(|peer| (peer.id.clone(), peer.address)).collect(),
            first: names[METADATA_NODES..founders].to_vec(),
            names,
            metadata: METADATA_NODES,
            regions: args.regions.clone(),
            capacity: args.capacity,
            life: format!("{id}-{:x}", RandomState::new().hash_one(std::process::id())),
            bug: *bug,
            memory: Mutex::default(),
            news: Notify::new(),
        });
        let conducting = tokio::spawn(conductor::conduct(Arc::clone(&metadata)));
        (Role::Metadata(metadata), Some(conducting))
    } else {
        let store = Store::open(data_dir, id, *bug)
            .with_context(|| format!("cannot open the store in {}", data_dir.display()))?;
        let data = DataNode::new(names, store, client()?, *bug);
        (Role::Data(Arc::new(data)), None)
    };
    let founder = own < founders;
    let node = Node { id: id.clone(), role, metadata: METADATA_NODES, peers: client()?, founder };
    Ok(Started { node: Arc::new(node), conducting })
}

async fn serve(server: Server, args: Args) -> anyhow::Result<()> {
    let Started { node, conducting } = start(&args).await?;
    let NodeArgs { id, listen, bug, .. } = &args.node;
    let role = if node.data().is_some() { "data" } else { "metadata" };
    tracing::info!(%id, %listen, role, founder = node.founder, ?bug, "serving");
    let watched = Arc::clone(&node);
    let failed = async move {
        match &watched.role {
            Role::Metadata(metadata) => metadata.core.failed().await,
            Role::Data(data) => {
                data.store.failed().await;
                "the store has failed".to_owned()
            }
        }
    };
    let outcome = server.run(routes::router(Arc::clone(&node)), failed).await;
    if let Some(conducting) = conducting {
        conducting.abort();
    }
    match &node.role {
        Role::Metadata(metadata) => metadata.core.clone().shutdown().await,
        Role::Data(data) => data.stop(),
    }
    tracing::info!(%id, "stopped");
    Ok(outcome?)
}

#[cfg(test)]
mod tests;
