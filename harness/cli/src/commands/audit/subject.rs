//! What is audited: a target as it is, or with one of its bugs.

use std::fmt;

use ordeal_core::Bug;
use ordeal_targets::{Entry, TARGETS};

use crate::args::AuditArgs;
use crate::exit::usage;

/// A target, sound or with a bug.
#[derive(Clone)]
pub(super) struct Subject {
    /// Its place in the table.
    pub(super) place: usize,
    /// What its runs' directories are called.
    pub(super) name: String,
    pub(super) target: &'static Entry,
    pub(super) bug: Option<&'static Bug>,
    /// What is broken; nothing: what the workload usually has broken.
    pub(super) faults: Option<String>,
}

impl Subject {
    /// The arguments of its runs.
    pub(super) fn arguments(&self) -> Vec<String> {
        let mut arguments = vec!["run", self.target.default_workload, "--target", self.target.name];
        if let Some(bug) = self.bug {
            arguments.extend(["--bug", bug.name, "--expect", "invalid"]);
        }
        if let Some(faults) = &self.faults {
            arguments.extend(["--faults", faults]);
        }
        arguments.into_iter().map(str::to_owned).collect()
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.target.name)?;
        match (self.bug, &self.faults) {
            (Some(bug), _) => write!(f, " with {}", bug.name),
            (None, Some(faults)) => write!(f, " under {faults}"),
            (None, None) => Ok(()),
        }
    }
}

/// What the arguments ask for.
pub(super) fn subjects(args: &AuditArgs) -> anyhow::Result<Vec<Subject>> {
    let mut targets: Vec<&'static Entry> = TARGETS.iter().collect();
    if !args.targets.is_empty() {
        targets.retain(|target| args.targets.iter().any(|name| *name == target.name));
    }
    for name in &args.targets {
        if !targets.iter().any(|target| target.name == *name) {
            let known: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
            return usage(format!("there is no target `{name}`; there are: {}", known.join(", ")));
        }
    }
    for name in &args.bugs {
        if !targets.iter().any(|target| target.bugs.iter().any(|bug| bug.name == name)) {
            return usage(format!("no target asked for has a bug `{name}` (see `ordeal list bugs`)"));
        }
    }
    let mut subjects = Vec::new();
    let mut add =
        |target: &'static Entry, bug: Option<&'static Bug>, faults: Option<String>, name: String| {
            let place = subjects.len();
            subjects.push(Subject { place, name, target, bug, faults });
        };
    for target in targets {
        let sound = format!("{}-sound", target.name);
        // Of bugs asked for by name, nobody wants to see the sound target.
        if args.bugs.is_empty() {
            match &args.faults[..] {
                [] => add(target, None, None, sound),
                several => {
                    for (nth, faults) in (1..).zip(several) {
                        add(target, None, Some(faults.clone()), format!("{sound}-{nth}"));
                    }
                }
            }
        }
        if args.sound {
            continue;
        }
        for bug in target.bugs {
            if args.bugs.is_empty() || args.bugs.iter().any(|name| name == bug.name) {
                let name = format!("{}-{}", target.name, bug.name);
                add(target, Some(bug), Some(bug.faults.to_owned()), name);
            }
        }
    }
    Ok(subjects)
}
