//! Shard rebalancing: the reference target of the `telecom` workload.
//!
//! The first three nodes are metadata nodes on Raft: they say who owns which customers, and conduct splits and moves. The
//! others are data nodes that keep the customers.

use clap::{Args as _, FromArgMatches};
use ordeal_core::{Bug, TargetError};
use ordeal_shard_rebalancing::{Args, BUGS as KNOWN, STEPS, run};
use ordeal_workloads::telecom;

use super::reference::{self, Reference, bug};
use crate::{Config, Entry, Kind, OptionSpec};

/// The registry's row.
pub(crate) const ENTRY: Entry = Entry {
    name: "shard-rebalancing",
    about: "reference: customers in shards that are split and moved between data nodes, conducted by a Raft of three",
    default_workload: telecom::NAME,
    default_nodes: 5,
    joining: Some(2),
    nodes: 4..=12,
    bugs: BUGS,
    options: &[OptionSpec {
        name: CAPACITY,
        about: "what a data node can serve, in requests a second; from 90 % on it is relieved",
        default: "150",
    }],
    kind: Kind::Reference(Reference {
        check: |config| capacity(config).map(drop),
        flags: |config, _, _| {
            // `check` has seen that it can be had.
            let capacity = capacity(config).unwrap_or(USUAL_CAPACITY);
            vec![
                (CAPACITY, capacity.to_string()),
                ("regions", telecom::REGIONS.join(",")),
                ("request-timeout-ms", REQUEST_TIMEOUT_MS.to_string()),
                ("snapshot-every", SNAPSHOT_EVERY.to_string()),
            ]
        },
        client: |_, node| telecom::client(reference::address(node)),
        leads: Some("/raft/status"),
        known_bugs: KNOWN,
        arguments: |command| Args::augment_args(command).before_help(steps()),
        run: |matches| reference::block_on(run(Args::from_arg_matches(matches)?)),
    }),
};

const CAPACITY: &str = "capacity";
/// The usual load is too much for the node that begins with the hot region.
const USUAL_CAPACITY: usize = 150;
/// Below the time that clients usually wait, so that they hear of it.
const REQUEST_TIMEOUT_MS: u64 = 1_000;
/// Every few splits and moves, so that restarts meet snapshots.
const SNAPSHOT_EVERY: u64 = 20;

/// The leader dies in the middle of a move, which a node that joins is the reason for.
const CRASH_IN_A_MOVE: &str = "join at 3s; crash-at-line(line=step freeze-decided, n1, n2, n3) at 2s for 12s";
/// The leader dies when the routing names the target, and the target has not been told: until another one leads only the source,
/// which is frozen, could be asked.
const CRASH_AT_SWITCH: &str = "join at 3s; crash-at-line(line=step switched, n1, n2, n3) at 2s for 12s";
/// A metadata node hears nothing while customers move to nodes that join.
const CUT_OFF_WHILE_IT_CHANGES: &str = "join at 4s, 13s; partition(n1) every 9s for 6s from 3s";

/// What the node can do wrong, by what the judges see it, and what brings it out.
const BUGS: &[Bug] = &[
    bug(KNOWN, "write-dropped-in-handoff", &["lost-call", "nonlinearizable"], "kill,partition,join"),
    bug(KNOWN, "two-owners-accept", &["old-epoch-served", "lost-call", "nonlinearizable"], CRASH_AT_SWITCH),
    bug(KNOWN, "boundary-key-lost", &["lost-call", "nonlinearizable"], "join,kill"),
    bug(
        KNOWN,
        "boundary-key-on-both-sides",
        &["old-epoch-served", "two-owners", "nonlinearizable"],
        "kill,partition",
    ),
    bug(KNOWN, "old-epoch-accepted", &["old-epoch-served", "lost-call", "nonlinearizable"], CRASH_AT_SWITCH),
    bug(KNOWN, "source-deleted-early", &["customer-unreachable", "orphan-shard"], "kill,partition"),
    bug(
        KNOWN,
        "change-orphaned-by-crash",
        &["customer-unreachable", "orphan-shard", "leftover-copy", "uneven-load"],
        CRASH_IN_A_MOVE,
    ),
    bug(KNOWN, "requests-not-moved", &["call-recorded-twice", "retry-done-again"], "kill,partition"),
    bug(KNOWN, "stale-routing", &["routing-went-back"], CUT_OFF_WHILE_IT_CHANGES),
    bug(KNOWN, "never-rebalances", &["uneven-load"], "kill,partition"),
    bug(KNOWN, "ack-before-sync", &["lost-call", "nonlinearizable"], "kill"),
];

/// The steps at which a node can be stopped, for its help.
fn steps() -> String {
    let step = |(name, by, about): &(&str, &str, &str)| format!("\n  {name} ({by}): {about}");
    let steps: String = STEPS.iter().map(step).collect();
    format!("Steps of splits and moves, each logged as `step NAME: shard N`:{steps}")
}

/// What a data node can serve.
fn capacity(config: &Config) -> Result<usize, TargetError> {
    Ok(config.number(CAPACITY, &(1..=1_000_000))?.unwrap_or(USUAL_CAPACITY))
}
