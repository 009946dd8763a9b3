//! `ordeal doctor`: what this machine has, and what each lack costs.

use std::fmt::Write;
use std::process::Command;

use ordeal_runner::sandbox::{self, Entered, Network, Wiring};

use crate::exit::{Exit, print};
use crate::resolve::{first_launch, this_program};

/// One thing looked at.
struct Check {
    name: &'static str,
    /// What was found, or what the lack costs and what mends it.
    found: Result<String, String>,
    /// Without it no audit of real processes can run.
    vital: bool,
}

pub(crate) fn main() -> anyhow::Result<Exit> {
    let mut checks = vec![check_sandbox()?];
    checks.extend(check_faults());
    checks.extend(ordeal_targets::TARGETS.iter().filter_map(check_system));
    let mut out = String::new();
    for check in &checks {
        let (mark, text) = match &check.found {
            Ok(text) => ("yes", text),
            Err(text) => ("no ", text),
        };
        writeln!(out, "  {mark} {:<12} {text}", check.name)?;
    }
    print(&out);
    let fit = checks.iter().all(|check| check.found.is_ok() || !check.vital);
    Ok(if fit { Exit::Valid } else { Exit::Harness })
}

/// Enters a sandbox, builds a small network in it and leaves: run in a process of its own by `doctor`.
pub(crate) fn probe_sandbox() -> anyhow::Result<Exit> {
    match sandbox::enter()? {
        Entered::Outside(Ok(code)) => Ok(Exit::from_code(code)),
        Entered::Outside(Err(signal)) => anyhow::bail!("the sandbox was killed by {signal}"),
        Entered::Inside => {
            Network::build(2, &Wiring::Bridge)?;
            Ok(Exit::Valid)
        }
    }
}

fn check_sandbox() -> anyhow::Result<Check> {
    let probe = Command::new(this_program()?).arg("__sandbox-probe").output()?;
    let found = match probe.status.success() {
        true => Ok("user, mount, PID, IPC and network namespaces work".to_owned()),
        false => Err(String::from_utf8_lossy(&probe.stderr).trim().to_owned()),
    };
    Ok(Check { name: "sandbox", found, vital: true })
}

/// What the machine offers to faults.
fn check_faults() -> [Check; 3] {
    let machine = ordeal_nemesis::machine();
    let iptables = machine.iptables_restore.map(|path| format!("{} makes partitions", path.display()));
    let or = |lack: Option<String>, gift: &str, cost: &str| match lack {
        None => Ok(gift.to_owned()),
        Some(why) => Err(format!("{why}; until then {cost}")),
    };
    let check = |name, found| Check { name, found, vital: false };
    [
        check(
            "iptables",
            iptables.ok_or_else(|| {
                "not installed: partitions use the built-in fallback (poisoned neighbour entries), which drops \
                 but cannot reject; `apt-get install iptables`"
                    .to_owned()
            }),
        ),
        check(
            "fuse",
            or(
                machine.no_fuse,
                "disks can lose power, fail, fill up and slow down",
                "`--faults all` goes without disk faults",
            ),
        ),
        check(
            "ptrace",
            or(machine.no_trace, "clocks can be skewed", "`--faults all` goes without clock faults"),
        ),
    ]
}

/// Third-party systems: whether they are installed. Reference targets come with the binary.
fn check_system(entry: &ordeal_targets::Entry) -> Option<Check> {
    if entry.node_command().is_some() {
        return None;
    }
    let config = ordeal_targets::Config {
        bug: None,
        options: std::collections::BTreeMap::new(),
        nodes: entry.default_nodes,
        joining: 0,
        ordeal: this_program().ok()?,
    };
    let launch = entry.configure(&config).and_then(|target| first_launch(&*target, entry.default_nodes, 0));
    let found = match launch {
        Ok(None) => return None,
        Ok(Some(launch)) => Ok(launch.program.display().to_string()),
        Err(e) => Err(format!("{e}; it cannot be audited until then")),
    };
    Some(Check { name: entry.name, found, vital: false })
}
