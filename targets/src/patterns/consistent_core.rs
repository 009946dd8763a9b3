//! A consistent core: the reference target of the `claims` workload.
//!
//! The first nodes, 3 or 5, are a Raft core that decides claims and premium adjustments; the others, 1 to 20, keep
//! bulk documents and follow the core's versions.

use std::ops::RangeInclusive;

use clap::{Args as _, FromArgMatches};
use ordeal_consistent_core::{Args, BUGS as KNOWN, run};
use ordeal_core::{Bug, TargetError};
use ordeal_workloads::claims;

use super::reference::{self, Reference, bug};
use crate::{Config, Entry, Kind, OptionSpec};

/// The registry's row.
pub(crate) const ENTRY: Entry = Entry {
    name: "consistent-core",
    about: "reference: insurance claims decided by a small Raft core beside many data nodes",
    default_workload: claims::NAME,
    default_nodes: 7,
    joining: None,
    nodes: 4..=25,
    bugs: BUGS,
    options: &[
        OptionSpec { name: CORE, about: "how many nodes are the core: 3 or 5", default: "3" },
        OptionSpec {
            name: LEASE_MS,
            about: "how long the lease of a premium adjustment lasts without progress",
            default: "500",
        },
    ],
    kind: Kind::Reference(Reference {
        check: |config| settings(config).map(drop),
        flags: |config, _, _| {
            // `check` has seen that they can be had.
            let Settings { core, lease_ms } = settings(config).unwrap_or(USUAL);
            vec![
                (CORE, core.to_string()),
                (LEASE_MS, lease_ms.to_string()),
                ("request-timeout-ms", REQUEST_TIMEOUT_MS.to_string()),
                ("snapshot-every", SNAPSHOT_EVERY.to_string()),
            ]
        },
        client: |_, node| claims::client(reference::address(node)),
        leads: Some("/raft/status"),
        known_bugs: KNOWN,
        arguments: Args::augment_args,
        run: |matches| reference::block_on(run(Args::from_arg_matches(matches)?)),
    }),
};

const CORE: &str = "core";
const LEASE_MS: &str = "lease-ms";
/// Data nodes beside the core.
const DATA_NODES: RangeInclusive<usize> = 1..=20;
/// Below the time that clients usually wait, so that they hear of it.
const REQUEST_TIMEOUT_MS: u64 = 1_000;
/// Every few seconds under the usual load, so that restarts and lagging nodes meet snapshots in every run.
const SNAPSHOT_EVERY: u64 = 300;

/// Each core node in turn stands still for longer than a lease and a little: one of them is amid an adjustment. What is
/// drawn at random often stops a majority, and then nobody takes a lease over.
const ONE_AFTER_ANOTHER: &str = "pause(n1) every 6s for 1500ms from 1s; pause(n2) every 6s for 1500ms from 3s; \
                                 pause(n3) every 6s for 1500ms from 5s";

/// What the node can do wrong, by what the judges see it, and what brings it out.
const BUGS: &[Bug] = &[
    bug(KNOWN, "one-vote-suffices", &["approved-without-two", "nonlinearizable"], "kill,pause,partition"),
    bug(KNOWN, "votes-lost-on-restart", &["nonlinearizable", "decision-forgotten"], "kill"),
    bug(KNOWN, "stale-core-read", &["stale-core", "nonlinearizable"], "partition,pause"),
    bug(KNOWN, "epoch-ignored", &["version-not-reached"], "partition,pause"),
    bug(
        KNOWN,
        "lease-without-fencing",
        &["lost-adjustment", "partial-adjustment", "unexplained-premium"],
        ONE_AFTER_ANOTHER,
    ),
    bug(KNOWN, "adjusted-again", &["repeated-adjustment", "unexplained-premium"], "kill,pause,partition"),
    bug(KNOWN, "watch-gap", &["contradicts-core"], "partition,kill,pause"),
    bug(KNOWN, "one-home-suffices", &["lost-document", "lost-element"], "partition,kill"),
];

#[derive(Clone, Copy)]
struct Settings {
    core: usize,
    lease_ms: usize,
}

const USUAL: Settings = Settings { core: 3, lease_ms: 500 };

fn settings(config: &Config) -> Result<Settings, TargetError> {
    let core = config.number(CORE, &(3..=5))?.unwrap_or(USUAL.core);
    if core == 4 {
        return Err(TargetError::Unsupported("a core has 3 or 5 nodes: a fourth adds no safety".to_owned()));
    }
    let data = config.nodes.saturating_sub(core);
    if !DATA_NODES.contains(&data) {
        return Err(TargetError::Unsupported(format!(
            "beside a core of {core} there are {} to {} data nodes, not {data}",
            DATA_NODES.start(),
            DATA_NODES.end()
        )));
    }
    let lease_ms = config.number(LEASE_MS, &(1..=60_000))?.unwrap_or(USUAL.lease_ms);
    Ok(Settings { core, lease_ms })
}
