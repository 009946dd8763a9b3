//! A node that keeps the machines of a factory with others as a replicated state machine: the reference node
//! of the workload `iot`.
//!
//! Readings and resets go through a Raft log; every node applies them in the order of the log, so every node
//! has the same machines, the same log of transitions and the same stream of events. What a reading does:
//! `rules.rs`. What is replicated: `factory.rs`. Planted defects: [`BUGS`].

mod bugs;
mod factory;
mod gate;
mod routes;
mod rules;
mod stream;

use std::sync::Arc;

use axum::Router;
use ordeal_kit::{NodeArgs, Server, strict};
use ordeal_raft::{Consensus, Defects, Options, RaftArgs};

pub use bugs::{BUGS, Bug};
use gate::Gate;
use routes::Shared;

/// How to start a node.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// What every node takes.
    #[command(flatten)]
    pub node: NodeArgs<Bug>,
    /// What every node of a replicated machine takes.
    #[command(flatten)]
    pub raft: RaftArgs,
}

/// Runs a node until SIGTERM (or SIGINT), or until its store fails. A node whose log or snapshot is damaged
/// runs too: it refuses everything and tells the operator why.
///
/// # Errors
/// Arguments that contradict each other, an address or a directory that cannot be used, a store that failed.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let server = Server::bind(args.node.listen).await?;
    serve(server, args).await
}

async fn serve(server: Server, args: Args) -> anyhow::Result<()> {
    let options = Options::new(&args.node, args.raft, defects(&args.node))?;
    let NodeArgs { id, listen, bug, .. } = args.node;
    let consensus = match Consensus::start(options).await {
        Ok(consensus) => consensus,
        Err(why) if why.is_damage() => {
            tracing::error!(%id, %why, "damaged: refusing to serve until an operator has looked");
            return Ok(server.run(gate::damaged_router(&id, &why), std::future::pending()).await?);
        }
        Err(why) => return Err(why.into()),
    };
    let gate = Arc::new(Gate::new(bug == Some(Bug::EventSkippedAfterRestart)));
    let shared =
        Shared { consensus: consensus.clone(), gate: Arc::clone(&gate), streams: stream::Streams::new() };
    let router = Router::new()
        .merge(routes::router(shared))
        .merge(gate::status_route(consensus.clone(), Arc::clone(&gate)))
        .merge(consensus.routes());
    tracing::info!(%id, %listen, ?bug, "started");
    let opened = async {
        gate.open(&consensus).await;
        std::future::pending().await
    };
    let failed = async {
        tokio::select! {
            never = opened => never,
            why = consensus.failed() => why,
        }
    };
    let outcome = server.run(strict(router), failed).await;
    consensus.shutdown().await;
    tracing::info!(%id, "stopped");
    Ok(outcome?)
}

fn defects(node: &NodeArgs<Bug>) -> Defects {
    Defects {
        ack_early: node.has(Bug::AckBeforeQuorum),
        local_reads: node.has(Bug::ReadWithoutReadIndex),
        lazy_log: node.has(Bug::LogNotPersisted),
        no_dedupe: node.has(Bug::RetryAppliedTwice),
        out_of_order: node.has(Bug::FollowerAppliesOutOfOrder),
    }
}

#[cfg(test)]
mod tests;
