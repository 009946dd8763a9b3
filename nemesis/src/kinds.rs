//! The registry: every kind of fault, what it belongs to and what it excludes. Help, parsing, lists,
//! schedules and tests read it.

use std::sync::Arc;

use ordeal_core::Fault;

use crate::disk_faults::damage::{bit_rot, truncate};
use crate::disk_faults::rules::{bit_flip, disk_error, disk_full, slow_disk};
use crate::disk_faults::{crash_point, power_loss, rollback};
use crate::{
    Arsenal, clock, crash_at_line, crash_loop, fd_limit, join, kill, limits, link, memory_limit, partition,
    pause, restart_with, rolling_restart, slow_process,
};

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
    /// Which nodes there are.
    Membership,
}

impl Group {
    /// All of them.
    pub const ALL: [Group; 6] =
        [Self::Process, Self::Network, Self::Link, Self::Clock, Self::Disk, Self::Membership];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Network => "network",
            Self::Link => "link",
            Self::Clock => "clock",
            Self::Disk => "disk",
            Self::Membership => "membership",
        }
    }
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

impl Excludes {
    /// What two kinds that exclude one another have in common.
    pub fn class(self) -> Option<&'static str> {
        match self {
            Self::Nothing => None,
            Self::Lives => Some("lives"),
            Self::Clocks => Some("clocks"),
        }
    }
}

/// Whether a system may be expected to keep its promises under a kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// It must: `--faults all` has it.
    Survivable,
    /// Few systems promise to (data that was synced is damaged, a checksum is fooled): only on request by
    /// name.
    Damaging,
    /// It needs arguments that only a person knows: only on request, with them.
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

const fn kind(
    (name, about): (&'static str, &'static str),
    group: Group,
    excludes: Excludes,
    severity: Severity,
    build: fn(&Arc<Arsenal>) -> Box<dyn Fault>,
) -> Kind {
    Kind { name, about, group, excludes, severity, build }
}

/// The registry. A new fault is one file and one line here.
#[rustfmt::skip]
static KINDS: &[Kind] = {
    use Excludes::{Clocks, Lives, Nothing};
    use Group::{Clock, Disk, Link, Membership, Network, Process};
    use Severity::{Damaging, OnRequest, Survivable};
    &[
        kind((kill::NAME, kill::ABOUT), Process, Lives, Survivable, kill::build),
        kind((pause::NAME, pause::ABOUT), Process, Lives, Survivable, pause::build),
        kind((rolling_restart::NAME, rolling_restart::ABOUT), Process, Lives, Survivable, rolling_restart::build),
        kind((crash_loop::NAME, crash_loop::ABOUT), Process, Lives, Survivable, crash_loop::build),
        kind((restart_with::NAME, restart_with::ABOUT), Process, Lives, OnRequest, restart_with::build),
        kind((slow_process::NAME, slow_process::ABOUT), Process, Lives, Survivable, slow_process::build),
        kind((memory_limit::SORT.name, memory_limit::SORT.about), Process, Lives, Survivable, |_| limits::build(&memory_limit::SORT)),
        kind((fd_limit::SORT.name, fd_limit::SORT.about), Process, Lives, Survivable, |_| limits::build(&fd_limit::SORT)),
        kind((crash_at_line::NAME, crash_at_line::ABOUT), Process, Lives, OnRequest, crash_at_line::build),
        kind((partition::NAME, partition::ABOUT), Network, Nothing, Survivable, partition::build),
        kind((link::DELAY.name, link::DELAY.about), Link, Nothing, Survivable, |arsenal| link::build(&link::DELAY, arsenal)),
        kind((link::LOSS.name, link::LOSS.about), Link, Nothing, Survivable, |arsenal| link::build(&link::LOSS, arsenal)),
        kind((link::DUPLICATE.name, link::DUPLICATE.about), Link, Nothing, Survivable, |arsenal| link::build(&link::DUPLICATE, arsenal)),
        kind((link::REORDER.name, link::REORDER.about), Link, Nothing, Survivable, |arsenal| link::build(&link::REORDER, arsenal)),
        kind((link::CORRUPT.name, link::CORRUPT.about), Link, Nothing, Survivable, |arsenal| link::build(&link::CORRUPT, arsenal)),
        kind((link::CORRUPT_UNDETECTED.name, link::CORRUPT_UNDETECTED.about), Link, Nothing, Damaging, |arsenal| link::build(&link::CORRUPT_UNDETECTED, arsenal)),
        kind((link::RATE.name, link::RATE.about), Link, Nothing, Survivable, |arsenal| link::build(&link::RATE, arsenal)),
        kind((link::FLAP.name, link::FLAP.about), Link, Nothing, Survivable, |arsenal| link::build(&link::FLAP, arsenal)),
        kind((link::RESET.name, link::RESET.about), Link, Nothing, Survivable, |arsenal| link::build(&link::RESET, arsenal)),
        kind((clock::STEP, clock::STEP_ABOUT), Clock, Clocks, Survivable, clock::build_step),
        kind((clock::STROBE, clock::STROBE_ABOUT), Clock, Clocks, Survivable, clock::build_strobe),
        kind((clock::DRIFT, clock::DRIFT_ABOUT), Clock, Clocks, Survivable, clock::build_drift),
        kind((power_loss::NAME, power_loss::ABOUT), Disk, Lives, Survivable, power_loss::build),
        kind((power_loss::TORN_NAME, power_loss::TORN_ABOUT), Disk, Lives, Survivable, power_loss::build_torn),
        kind((crash_point::NAME, crash_point::ABOUT), Disk, Lives, Survivable, crash_point::build),
        kind((disk_error::NAME, disk_error::ABOUT), Disk, Lives, Survivable, disk_error::build),
        kind((disk_full::NAME, disk_full::ABOUT), Disk, Lives, Survivable, disk_full::build),
        kind((slow_disk::NAME, slow_disk::ABOUT), Disk, Nothing, Survivable, slow_disk::build),
        kind((bit_flip::NAME, bit_flip::ABOUT), Disk, Lives, Damaging, bit_flip::build),
        kind((bit_rot::NAME, bit_rot::ABOUT), Disk, Lives, Damaging, bit_rot::build),
        kind((truncate::NAME, truncate::ABOUT), Disk, Lives, Damaging, truncate::build),
        kind((rollback::NAME, rollback::ABOUT), Disk, Lives, Damaging, rollback::build),
        kind((join::NAME, join::ABOUT), Membership, Nothing, Survivable, join::build),
    ]
};

/// All kinds of fault.
pub fn all() -> &'static [Kind] {
    KINDS
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
