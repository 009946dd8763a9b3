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

mod crash_at_line;
mod deaths;
mod disk;
mod disk_faults;
mod kill;
mod machine;
mod netns;
mod partition;
mod pause;
mod processes;
mod schedule;
mod whom;

use std::sync::Arc;

use ordeal_core::{Fault, Machine};

pub use machine::machine;
pub use schedule::schedule;

/// What the faults of one run share.
#[derive(Debug, Default)]
pub struct Arsenal {
    /// What this machine offers.
    pub machine: Machine,
    /// Whether clock faults skew the monotonic clock as well, which no real kernel ever does.
    pub clock_monotonic: bool,
    /// The nodes' disks. Nothing is mounted before a fault of a plan asks for it.
    pub disks: disk::Disks,
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
    /// It needs arguments that only a person knows, so it is never drawn: only on request by name, with
    /// words.
    OnRequest,
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
use Group::{Disk, Network, Process};
use Severity::{Damaging, OnRequest, Survivable};
use disk_faults::damage::{bit_rot, truncate};
use disk_faults::rules::{bit_flip, disk_error, disk_full, slow_disk};
use disk_faults::{crash_point, power_loss, rollback};

/// The registry. A new fault is one file and one line here.
#[rustfmt::skip]
static KINDS: [Kind; 14] = [
    Kind { name: kill::NAME, about: kill::ABOUT, group: Process, excludes: Lives, severity: Survivable, build: kill::build },
    Kind { name: pause::NAME, about: pause::ABOUT, group: Process, excludes: Lives, severity: Survivable, build: pause::build },
    Kind { name: crash_at_line::NAME, about: crash_at_line::ABOUT, group: Process, excludes: Lives, severity: OnRequest, build: crash_at_line::build },
    Kind { name: partition::NAME, about: partition::ABOUT, group: Network, excludes: Nothing, severity: Survivable, build: partition::build },
    Kind { name: power_loss::NAME, about: power_loss::ABOUT, group: Disk, excludes: Lives, severity: Survivable, build: power_loss::build },
    Kind { name: power_loss::TORN_NAME, about: power_loss::TORN_ABOUT, group: Disk, excludes: Lives, severity: Survivable, build: power_loss::build_torn },
    Kind { name: crash_point::NAME, about: crash_point::ABOUT, group: Disk, excludes: Lives, severity: Survivable, build: crash_point::build },
    Kind { name: disk_error::NAME, about: disk_error::ABOUT, group: Disk, excludes: Lives, severity: Survivable, build: disk_error::build },
    Kind { name: disk_full::NAME, about: disk_full::ABOUT, group: Disk, excludes: Lives, severity: Survivable, build: disk_full::build },
    Kind { name: slow_disk::NAME, about: slow_disk::ABOUT, group: Disk, excludes: Nothing, severity: Survivable, build: slow_disk::build },
    Kind { name: bit_flip::NAME, about: bit_flip::ABOUT, group: Disk, excludes: Lives, severity: Damaging, build: bit_flip::build },
    Kind { name: bit_rot::NAME, about: bit_rot::ABOUT, group: Disk, excludes: Lives, severity: Damaging, build: bit_rot::build },
    Kind { name: truncate::NAME, about: truncate::ABOUT, group: Disk, excludes: Lives, severity: Damaging, build: truncate::build },
    Kind { name: rollback::NAME, about: rollback::ABOUT, group: Disk, excludes: Lives, severity: Damaging, build: rollback::build },
];

/// All kinds of fault.
pub fn all() -> &'static [Kind] {
    &KINDS
}

/// The kind of this name.
pub fn find(name: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.name == name)
}

/// Does what waits for the kernel (files, `/proc`, mounts) on a thread made for waiting: the harness runs
/// all its clients on one thread, which must not be held up.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, String> {
    tokio::task::spawn_blocking(work).await.map_err(|e| e.to_string())
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
