//! What every reference node needs and no pattern is about: bounded request bodies, bounded
//! concurrency, honest errors, validated ids, an HTTP client for the node's peers, the arguments that all
//! nodes take, the list of planted defects, a store with group commit, and a clean shutdown.
//!
//! Invariants:
//! - every error a client sees is JSON, `{"error": "<reason>", "definite": <bool>}`, and `definite` is
//!   only true if the request certainly had no effect;
//! - every body, every queue and every wait has a limit.
//!
//! Node code built on this crate knows nothing of the harness that audits it.

mod bugs;
mod error;
mod extract;
mod id;
mod limit;
mod node;
mod peers;
mod serve;
pub mod store;
#[cfg(feature = "testing")]
pub mod testing;

pub use error::ApiError;
pub use extract::{Json, Path, Query};
pub use id::{ID_BYTES_MAX, Id, IdError};
pub use limit::InFlight;
pub use node::{ArgsError, NodeArgs, PlantedBug, ServeError, Server};
pub use peers::{Peer, PeerClient, PeerError, PeerOptions, encode};
pub use serve::{listen, log_to_stderr, serve, strict, terminated};

#[cfg(test)]
mod tests;
