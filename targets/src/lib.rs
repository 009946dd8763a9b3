//! Targets: the systems that can be audited.
//!
//! [`TARGETS`] is the only list of them; help, parsing, the list command and the tests read it. A target
//! says how its nodes are started, when they are ready, and how to talk to them; what is asked and who
//! judges is the workload's business.
//!
//! - [`patterns`]: the reference nodes, run by the harness's own binary as `ordeal node NAME …`;
//! - [`systems`]: adapters of third-party systems, run from their own binaries;
//! - [`manifest`]: systems of the user's own, described in a TOML file;
//! - `memory`: no processes at all, to test the harness itself.

pub mod manifest;
mod membership;
pub mod patterns;
pub mod systems;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use clap::Command;
use ordeal_core::memory::{self, MemoryTarget};
use ordeal_core::{Bug, Target, TargetError};
use patterns::reference::{self, Reference};

/// How a target is to be set up for a run.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// The planted defect, if any.
    pub bug: Option<String>,
    /// Settings by name; what is left out takes its default.
    pub options: BTreeMap<String, String>,
    /// How many nodes there are from the beginning.
    pub nodes: usize,
    /// How many join while the run goes on.
    pub joining: usize,
    /// The `ordeal` binary itself, which runs the reference nodes.
    pub ordeal: PathBuf,
}

impl Config {
    /// A setting, if it was given.
    fn option(&self, name: &str) -> Option<&str> {
        self.options.get(name).map(String::as_str)
    }

    /// A numeric setting within `range`.
    fn number(&self, name: &str, range: &RangeInclusive<usize>) -> Result<Option<usize>, TargetError> {
        let Some(text) = self.option(name) else {
            return Ok(None);
        };
        match text.parse() {
            Ok(n) if range.contains(&n) => Ok(Some(n)),
            _ => Err(TargetError::Unsupported(format!(
                "option `{name}` takes a number from {} to {}, not `{text}`",
                range.start(),
                range.end()
            ))),
        }
    }
}

/// A setting that a target takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OptionSpec {
    /// Its name.
    pub name: &'static str,
    /// What it sets.
    pub about: &'static str,
    /// What it is when left out, in words.
    pub default: &'static str,
}

/// How a target is made.
pub(crate) enum Kind {
    /// In its own way.
    Own(fn(&Config) -> Result<Box<dyn Target>, TargetError>),
    /// As all reference targets are.
    Reference(Reference),
}

/// A target in the registry.
pub struct Entry {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it is, in one line.
    pub about: &'static str,
    /// The workload it is usually audited with.
    pub default_workload: &'static str,
    /// How many nodes it usually has.
    pub default_nodes: usize,
    /// How many nodes it usually takes in while the run goes on; `None` if it takes none in.
    pub joining: Option<usize>,
    /// How many nodes it can have.
    pub nodes: RangeInclusive<usize>,
    /// The defects it can be started with.
    pub bugs: &'static [Bug],
    /// The settings it takes.
    pub options: &'static [OptionSpec],
    /// How it is made; by way of [`Entry::configure`].
    pub(crate) kind: Kind,
}

/// Every target there is. The first that usually serves a workload is the workload's default.
pub const TARGETS: &[Entry] = &[
    patterns::consistent_core::ENTRY,
    patterns::quorum_reads_writes::ENTRY,
    patterns::state_machine_replication::ENTRY,
    patterns::lease_coordination::ENTRY,
    patterns::version_vectors::ENTRY,
    patterns::write_through_cache::ENTRY,
    patterns::request_waiting_list::ENTRY,
    patterns::fixed_partitions::ENTRY,
    patterns::temporal_decoupling::ENTRY,
    patterns::shard_rebalancing::ENTRY,
    systems::etcd::ENTRY,
    Entry {
        name: "memory",
        about: "registers in the harness's own memory, no processes: to try out the harness itself",
        default_workload: "register",
        default_nodes: 3,
        joining: None,
        nodes: 1..=64,
        bugs: memory::BUGS,
        options: &[],
        kind: Kind::Own(|config| Ok(Box::new(MemoryTarget::new(config.bug.as_deref())?))),
    },
];

/// The target of this name.
pub fn find(name: &str) -> Option<&'static Entry> {
    TARGETS.iter().find(|t| t.name == name)
}

/// The target that a workload is run against when none is named.
pub fn default_target(workload: &str) -> Option<&'static Entry> {
    TARGETS.iter().find(|t| t.default_workload == workload)
}

impl Entry {
    /// The target, set up as asked.
    ///
    /// # Errors
    /// [`TargetError::Unsupported`] for a bug, an option, a value or a number of nodes that it does not
    /// take, naming what it does take; [`TargetError::Missing`] if a program is not installed.
    pub fn configure(&self, config: &Config) -> Result<Box<dyn Target>, TargetError> {
        let name = self.name;
        if let Some(bug) = &config.bug
            && !self.bugs.iter().any(|b| b.name == bug)
        {
            let known = listed(self.bugs.iter().map(|b| b.name));
            return Err(TargetError::Unsupported(format!("{name} has no bug `{bug}`; it has {known}")));
        }
        for option in config.options.keys() {
            if !self.options.iter().any(|o| o.name == option) {
                let known = listed(self.options.iter().map(|o| o.name));
                return Err(TargetError::Unsupported(format!(
                    "{name} has no option `{option}`; it has {known}"
                )));
            }
        }
        let all = config.nodes + config.joining;
        if let Some(refused) = [config.nodes, all].iter().find(|nodes| !self.nodes.contains(nodes)) {
            let (least, most) = (self.nodes.start(), self.nodes.end());
            return Err(TargetError::Unsupported(format!(
                "{name} has {least} to {most} nodes, not {refused}"
            )));
        }
        if config.joining > 0 && self.joining.is_none() {
            return Err(TargetError::Unsupported(format!("{name} takes no nodes in while it runs")));
        }
        match self.kind {
            Kind::Own(build) => build(config),
            Kind::Reference(reference) => reference::target(self, reference, config),
        }
    }

    /// The command line of its nodes, if it is a reference target.
    pub fn node_command(&self) -> Option<Command> {
        match &self.kind {
            Kind::Own(_) => None,
            Kind::Reference(reference) => Some(reference::command(self.name, reference)),
        }
    }

    /// Runs one of its nodes with these arguments until it ends; `None` if it is no reference target.
    ///
    /// # Errors
    /// What the node says. A [`clap::Error`] inside means that the arguments were wrong, or that help was
    /// asked for.
    pub fn run_node(&self, args: Vec<OsString>) -> Option<anyhow::Result<()>> {
        match &self.kind {
            Kind::Own(_) => None,
            Kind::Reference(reference) => Some(reference::run(self.name, reference, args)),
        }
    }
}

/// A workload that a target does not serve.
fn not_served(target: &str, workload: &str, served: &[&str]) -> TargetError {
    TargetError::Unsupported(format!(
        "{target} does not serve the workload `{workload}`; it serves {}",
        served.join(", ")
    ))
}

/// Names in a sentence.
fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

#[cfg(test)]
mod tests;
