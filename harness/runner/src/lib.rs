//! Runs a plan: starts the system in a sandbox, drives clients against it, breaks things meanwhile, and
//! writes down everything that every client saw.
//!
//! The runner judges nothing. It leaves a run directory, which is all that the judges get:
//!
//! ```text
//! plan.json        what was meant to happen
//! history.jsonl    what every client saw, and every fault with its proof
//! ordeal.log       the harness's own log
//! nodes/ID/      what each node printed, and its data
//! ```

mod cluster;
mod drive;
mod load;
mod progress;
mod recorder;
mod run;
mod rundir;
pub mod sandbox;

pub use cluster::cluster_spec;
pub use progress::{Progress, Totals};
pub use recorder::{Journal, Recorder, RecorderError};
pub use run::{Audit, Phase, RunError, Summary, rehearse, run};
pub use rundir::RunDir;
