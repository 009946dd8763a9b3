//! The vocabulary of Ordeal.
//!
//! Every part of the house speaks these types and meets the others through these traits; nothing in
//! here does I/O, reads a clock or starts a thread. The stages of an audit, and what each one leaves
//! for the next:
//!
//! ```text
//! Plan ─► run directory (history.jsonl, node logs) ─► Findings ─► Verdict
//! ```
//!
//! Every trait has a null in [`null`], and [`memory`] is a whole target without a cluster, in a correct
//! and in broken modes, so that the harness can be tested without starting anything.

mod checker;
mod fault;
mod generator;
mod history;
mod link;
pub mod memory;
mod model;
pub mod null;
mod op;
mod plan;
mod rng;
mod target;
mod verdict;
pub mod words;
mod workload;

pub use checker::{Checker, Intake, Limits, check_operations, judge_operations};
pub use fault::{Applies, Cluster, Fault, LaunchChange, Machine, Probe};
pub use generator::{Ask, EachThread, Generator, Limit, Mix, Next, Sequence};
pub use history::{History, HistoryError, Operation};
pub use link::{Distribution, End, Fabric, LinkCounters, LinkRule};
pub use model::{Answer, Blind, Model, Open, Timed};
pub use op::{Event, EventKind, Key, NEMESIS, Op, Outcome, Process};
pub use plan::{FaultStep, PLAN_VERSION, Plan};
pub use rng::Rng;
pub use target::{Bug, Client, ClusterSpec, Launch, Membership, NodeSpec, Primary, Target, TargetError};
pub use verdict::{Anomaly, Finding, Judgement, Verdict};
pub use words::Words;
pub use workload::Workload;

/// A future that a trait object can return.
pub type BoxFuture<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;
