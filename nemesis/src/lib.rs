//! The nemesis: what can be broken, one file a fault.
//!
//! A fault injects, heals what it injected, and probes: it observes from outside whether its effect is
//! there, and after healing whether it is gone. A fault that was not seen to bite proves nothing, so
//! nothing in here takes its own success for granted.
//!
//! Invariants:
//! - Nothing outside the harness's own namespaces is ever touched: rules are set in the nodes' network
//!   namespaces, signals are sent only to members of the nodes' PID namespaces.
//! - Healing needs no successful injection before it, and may be done twice.
//! - Everything random comes from the [`ordeal_core::Rng`] that is passed in.
//!
//! After an error from `inject`, `heal` must be called like after a success: the fault may be half there.

mod args;
mod clock;
mod crash_at_line;
mod crash_loop;
mod disk;
mod disk_faults;
mod ends;
mod fd_limit;
mod in_force;
mod join;
mod kill;
mod kinds;
mod limits;
mod link;
mod lives;
mod machine;
mod memory_limit;
mod netns;
mod nodes;
mod partition;
mod pause;
mod processes;
mod restart_with;
mod rolling_restart;
mod schedule;
mod slow_process;
mod sockets;
mod sweep;
mod whom;

use ordeal_core::Machine;

pub use clock::Clocks;
pub use disk::Disks;
pub use in_force::InForce;
pub use kinds::{Excludes, Group, Kind, Severity, all, find};
pub use machine::machine;
pub use schedule::{Asked, Clause, Setting, When, no_more_than_can_join, once_at_a_time, parse, schedule};

/// What the faults of one run share.
#[derive(Debug, Default)]
pub struct Arsenal {
    /// What this machine offers.
    pub machine: Machine,
    /// Whether clock faults skew the monotonic clock as well, which no real kernel ever does.
    pub clock_monotonic: bool,
    /// The clocks, which several kinds skew.
    pub clocks: Clocks,
    /// The disks, which several kinds spoil.
    pub disks: Disks,
    /// What is in force on which links.
    pub in_force: InForce,
    /// How many nodes there are to join while the run goes on.
    pub joining: usize,
}
