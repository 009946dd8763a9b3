//! A node that takes the events of a flash sale in any order and processes them in the order in which they happened:
//! the reference node of the workload `orders`.
//!
//! Events go through a Raft log into a delay buffer that every node has alike, and leave it in the order of
//! (timestamp, source, id) once the watermark has passed them and what they depend on is applied. Planted defects:
//! [`BUGS`].
//!
//! - `event.rs`, `watermark.rs`, `buffer.rs`, `shop.rs`: events, event time, the order, what they do; pure.
//! - `machine.rs`: what is replicated; pure.
//! - `idle.rs`: time that passes while nothing comes.
//! - `routes.rs`: the contract.

mod buffer;
mod bugs;
mod event;
mod idle;
mod machine;
mod routes;
mod shop;
mod watermark;

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ordeal_kit::{NodeArgs, Server, strict};
use ordeal_raft::{Consensus, Defects, Options, RaftArgs};

pub use bugs::{BUGS, Bug};
use machine::{Rules, Sale};
use routes::Node;
use watermark::SOURCES_NEEDED;

/// The longest idle time with a window that is shorter, in milliseconds.
const IDLE_MS_MAX: u64 = 500;

/// How to start a node.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// What every node takes.
    #[command(flatten)]
    pub node: NodeArgs<Bug>,
    /// What every node of a replicated machine takes.
    #[command(flatten)]
    pub raft: RaftArgs,
    /// How long events are held back for others that happened before: by so much later may they come.
    #[arg(long, value_name = "MS", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    pub window_ms: u64,
    /// Events that may wait in the buffer.
    #[arg(long, value_name = "N", default_value_t = 150, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub buffer: u32,
    /// After how long without an event time goes on by itself; at most 500 or the window, whichever is longer.
    #[arg(long, value_name = "MS", default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    pub idle_ms: u64,
}

/// Runs a node until SIGTERM (or SIGINT), or until its store fails.
///
/// # Errors
/// Arguments that contradict each other, an address or a directory that cannot be used, a log that is damaged or a
/// store that failed.
pub async fn run(args: Args) -> anyhow::Result<()> {
    idle_fits(&args)?;
    serve(Server::bind(args.node.listen).await?, args).await
}

async fn serve(server: Server, args: Args) -> anyhow::Result<()> {
    let rules = rules(&args);
    let options = Options::new(&args.node, args.raft, defects(&args.node))?;
    let consensus = Consensus::<Sale>::start(options).await?;
    let NodeArgs { id, listen, bug, .. } = args.node;
    let node = Node {
        life: format!("{id}-{:x}", RandomState::new().hash_one(std::process::id())),
        id: id.clone(),
        consensus: consensus.clone(),
        rules,
        idle_ms: args.idle_ms,
        requests: AtomicU64::new(0),
        clock_ahead: OnceLock::new(),
    };
    let idle = Duration::from_millis(args.idle_ms);
    let watching = tokio::spawn(idle::watch(consensus.clone(), idle, rules));
    let router = strict(routes::router(Arc::new(node)).merge(consensus.routes()));
    tracing::info!(%id, %listen, ?bug, "serving");
    let outcome = server.run(router, consensus.failed()).await;
    watching.abort();
    consensus.shutdown().await;
    tracing::info!(%id, "stopped");
    Ok(outcome?)
}

/// Refuses an idle time with which the buffer may not have drained by when the contract says so.
fn idle_fits(Args { window_ms, idle_ms, .. }: &Args) -> anyhow::Result<()> {
    let most = IDLE_MS_MAX.max(*window_ms);
    anyhow::ensure!(
        *idle_ms <= most,
        "--idle-ms {idle_ms} is more than {most}, with a window of {window_ms} ms"
    );
    Ok(())
}

fn rules(args: &Args) -> Rules {
    Rules {
        window_ms: args.window_ms,
        capacity: args.buffer as usize,
        sources: if args.node.has(Bug::OneSourceDecides) { 1 } else { SOURCES_NEEDED },
        bug: args.node.bug,
    }
}

fn defects(node: &NodeArgs<Bug>) -> Defects {
    Defects {
        ack_early: node.has(Bug::AckBeforeQuorum),
        local_reads: node.has(Bug::StaleRead),
        ..Defects::default()
    }
}

#[cfg(test)]
mod tests;
