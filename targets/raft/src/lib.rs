//! A replicated state machine for reference nodes: openraft with a durable log and vote, snapshots, HTTP
//! between the nodes, linearizable reads, and one effect for each request.
//!
//! What is replicated is a [`Machine`]; a node of it is a [`Consensus`]. Nothing here knows any pattern.
//! openraft keeps the protocol, this crate keeps its promises to it: an entry and a vote are on disk before
//! they are acknowledged, a damaged log is found when it is opened, and a snapshot is whole or absent.
//!
//! # How to build a node on this
//!
//! A machine, the defects that the node's bugs switch on, routes that propose and read, and a `run`:
//!
//! ```
//! use axum::{Json, Router, extract::State, routing::post};
//! use ordeal_kit::{ApiError, Id, InFlight, NodeArgs, Server, strict};
//! use ordeal_raft::{Consensus, Defects, Machine, Options, Position, RaftArgs};
//! use serde::{Deserialize, Serialize};
//!
//! ordeal_kit::bugs! { AckEarly = "ack-early": "the leader answers before anybody else has the command" }
//!
//! #[derive(Clone, Debug, clap::Args)]
//! pub struct Args {
//!     #[command(flatten)]
//!     pub node: NodeArgs<Bug>,
//!     #[command(flatten)]
//!     pub raft: RaftArgs,
//! }
//!
//! #[derive(Clone, Default, Serialize, Deserialize)]
//! struct Counter(u64);
//!
//! impl Machine for Counter {
//!     type Command = u64;
//!     type Answer = u64;
//!     fn apply(&mut self, _at: Position, by: u64) -> u64 {
//!         self.0 += by;
//!         self.0
//!     }
//! }
//!
//! #[derive(Deserialize)]
//! struct Add { request_id: Id, by: u64 }
//!
//! type Node = Consensus<Counter>;
//!
//! async fn add(State(node): State<Node>, ordeal_kit::Json(add): ordeal_kit::Json<Add>) -> Result<Json<u64>, ApiError> {
//!     Ok(Json(node.propose(add.request_id.as_str(), &add.by).await?.answer))
//! }
//!
//! async fn total(State(node): State<Node>) -> Result<Json<u64>, ApiError> {
//!     Ok(Json(node.read(|counter| counter.0).await?))
//! }
//!
//! pub async fn run(args: Args) -> anyhow::Result<()> {
//!     let defects = Defects { ack_early: args.node.has(Bug::AckEarly), ..Defects::default() };
//!     let server = Server::bind(args.node.listen).await?;
//!     let node = Node::start(Options::new(&args.node, args.raft, defects)?).await?;
//!     let clients = Router::new().route("/counter", post(add).get(total)).with_state(node.clone());
//!     // Clients are limited, the nodes among themselves limit each other.
//!     let router = strict(InFlight::new(256).around(clients).merge(node.routes()));
//!     let served = server.run(router, node.failed()).await;
//!     node.shutdown().await;
//!     Ok(served?)
//! }
//! ```
//!
//! A handler that waits for something to be applied follows [`Consensus::follow`]. What must not happen twice is
//! proposed under one request id, also when the node itself proposes it (time that has passed, a repair).

mod consensus;
mod log;
mod machine;
mod network;
mod options;
mod types;

pub use consensus::{COMMAND_BYTES_MAX, Consensus, Done, Status};
pub use log::LogError;
pub use machine::{Machine, REMEMBERED};
pub use options::{Defects, Options, RaftArgs, Refused, StartError};
pub use types::Position;

#[cfg(test)]
mod tests;
