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

mod ends;
mod in_force;
mod kill;
mod link;
mod machine;
mod netns;
mod partition;
mod pause;
mod processes;
mod schedule;
mod sockets;
mod whom;

use std::sync::Arc;

use ordeal_core::{Fault, Machine};

pub use in_force::InForce;
pub use machine::machine;
pub use schedule::schedule;

/// What the faults of one run share.
#[derive(Debug, Default)]
pub struct Arsenal {
    /// What this machine offers.
    pub machine: Machine,
    /// Whether clock faults skew the monotonic clock as well, which no real kernel ever does.
    pub clock_monotonic: bool,
    /// What is in force on which links.
    pub in_force: InForce,
}

/// Kinds that belong together: their names stand for all of theirs on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Processes are killed, stopped, starved, started otherwise.
    Process,
    /// The network between whole nodes.
    Network,
    /// Single links misbehave.
    Link,
    /// Clocks are wrong.
    Clock,
    /// What is on the disks, and how they answer.
    Disk,
}

/// Which other kinds must not be in force at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Excludes {
    /// None: it adds to all others.
    Nothing,
    /// Others that stop or restart nodes: a dead node cannot be paused.
    Lives,
    /// Others that set the nodes' clocks.
    Clocks,
}

/// Whether a system may be expected to keep its promises under a kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// It must: `--faults all` has it.
    Survivable,
    /// Few systems promise to (data that was synced is damaged, a checksum is fooled): only on request by
    /// name.
    Damaging,
}

/// One kind of fault, as the command line and the plan know it.
#[derive(Debug)]
pub struct Kind {
    /// Its name.
    pub name: &'static str,
    /// What it does, in one line.
    pub about: &'static str,
    /// What it belongs to.
    pub group: Group,
    /// What it cannot be combined with.
    pub excludes: Excludes,
    /// Whether `all` has it.
    pub severity: Severity,
    /// Makes the object that serves one run.
    pub build: fn(&Arc<Arsenal>) -> Box<dyn Fault>,
}

use Excludes::{Lives, Nothing};
use Group::{Link, Network, Process};
use Severity::{Damaging, Survivable};

/// The registry. A new fault is one file and one line here.
#[rustfmt::skip]
static KINDS: [Kind; 12] = [
    Kind { name: kill::NAME, about: kill::ABOUT, group: Process, excludes: Lives, severity: Survivable, build: kill::build },
    Kind { name: pause::NAME, about: pause::ABOUT, group: Process, excludes: Lives, severity: Survivable, build: pause::build },
    Kind { name: partition::NAME, about: partition::ABOUT, group: Network, excludes: Nothing, severity: Survivable, build: partition::build },
    Kind { name: link::DELAY.name, about: link::DELAY.about, group: Link, excludes: Nothing, severity: Survivable, build: |a| link::build(&link::DELAY, a) },
    Kind { name: link::LOSS.name, about: link::LOSS.about, group: Link, excludes: Nothing, severity: Survivable, build: |a| link::build(&link::LOSS, a) },
    Kind { name: link::DUPLICATE.name, about: link::DUPLICATE.about, group: Link, excludes: Nothing, severity: Survivable, build: |a| link::build(&link::DUPLICATE, a) },
    Kind { name: link::REORDER.name, about: link::REORDER.about, group: Link, excludes: Nothing, severity: Survivable, build: |a| link::build(&link::REORDER, a) },
    Kind { name: link::CORRUPT.name, about: link::CORRUPT.about, group: Link, excludes: Nothing, severity: Survivable, build: |a| link::build(&link::CORRUPT, a) },
    Kind { name: link::CORRUPT_UNDETECTED.name, about: link::CORRUPT_UNDETECTED.about, group: Link, excludes: Nothing, severity: Damaging, build: |a| link::build(&link::CORRUPT_UNDETECTED, a) },
    Kind { name: link::RATE.name, about: link::RATE.about, group: Link, excludes: Nothing, severity: Survivable, build: |a| link::build(&link::RATE, a) },
    Kind { name: link::FLAP.name, about: link::FLAP.about, group: Link, excludes: Nothing, severity: Survivable, build: |a| link::build(&link::FLAP, a) },
    Kind { name: link::RESET.name, about: link::RESET.about, group: Link, excludes: Nothing, severity: Survivable, build: |a| link::build(&link::RESET, a) },
];

/// All kinds of fault.
pub fn all() -> &'static [Kind] {
    &KINDS
}

/// The kind of this name.
pub fn find(name: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_found_by_the_name_its_fault_answers_to() {
        for kind in all() {
            let fault = (kind.build)(&Arc::default());
            assert_eq!(fault.name(), kind.name);
            assert_eq!(fault.about(), kind.about);
            assert_eq!(find(kind.name).map(|k| k.name), Some(kind.name));
        }
        assert!(find("no-such-fault").is_none());
    }
}
