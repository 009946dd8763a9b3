//! Fixed partitions: the reference target of the `accounts` workload.
//!
//! The founders replicate which partition is whose; nodes that join take their share of whole partitions.

use clap::{Args as _, FromArgMatches};
use ordeal_core::{Bug, TargetError};
use ordeal_fixed_partitions::{Args, BUGS as KNOWN, PARTITIONS_MAX, run};
use ordeal_workloads::accounts;

use super::reference::{self, Reference, bug};
use crate::{Config, Entry, Kind, OptionSpec};

/// The registry's row.
pub(crate) const ENTRY: Entry = Entry {
    name: "fixed-partitions",
    about: "reference: bank accounts in a fixed number of partitions, which move whole to nodes that join",
    default_workload: accounts::NAME,
    default_nodes: 3,
    nodes: 3..=9,
    joining: Some(2),
    bugs: BUGS,
    options: &[OptionSpec {
        name: PARTITIONS,
        about: "how many partitions the accounts are in, for ever",
        default: "8",
    }],
    kind: Kind::Reference(Reference {
        check: |config| partitions(config).map(drop),
        flags: |config, _, _| {
            // `check` has seen that it can be had.
            let partitions = partitions(config).unwrap_or(PARTITIONS_USUAL);
            vec![
                (PARTITIONS, partitions.to_string()),
                ("request-timeout-ms", REQUEST_TIMEOUT_MS.to_string()),
                ("snapshot-every", SNAPSHOT_EVERY.to_string()),
            ]
        },
        client: |_, node| accounts::client(reference::address(node)),
        leads: Some("/raft/status"),
        known_bugs: KNOWN,
        arguments: Args::augment_args,
        run: |matches| reference::block_on(run(Args::from_arg_matches(matches)?)),
    }),
};

const PARTITIONS: &str = "partitions";
const PARTITIONS_USUAL: usize = 8;
/// Below the time that clients usually wait, so that they hear of it.
const REQUEST_TIMEOUT_MS: u64 = 1_000;
/// The map changes seldom; snapshots are to be met all the same.
const SNAPSHOT_EVERY: u64 = 10;

/// What the node can do wrong, by what the judges see it, and what brings it out.
const BUGS: &[Bug] = &[
    bug(KNOWN, "routing-by-node-count", &["partition-changed", "missing-account"], "join"),
    bug(KNOWN, "all-partitions-moved", &["moved-needlessly"], "join"),
    bug(KNOWN, "handoff-without-fencing", LOST, SLOW_HANDOFF),
    bug(KNOWN, "requests-left-behind", &["repeated-transfer"], "join"),
    bug(KNOWN, "half-transfer", LOST, "kill"),
    bug(KNOWN, "lost-commit-record", LOST, SLOW_AND_KILLED),
    bug(KNOWN, "payee-not-locked", LOST, "partition,kill"),
    bug(KNOWN, "prepare-not-durable", LOST, SLOW_SYNC_AND_KILLED),
    bug(KNOWN, "in-doubt-commits", LOST, SLOW_AND_CUT_OFF),
    bug(KNOWN, "in-doubt-aborts", LOST, SLOW_AND_KILLED),
    bug(KNOWN, "retry-applied-twice", &["repeated-transfer"], "kill,partition"),
    bug(KNOWN, "snapshot-not-confirmed", &["wrong-total", "not-serializable"], "delay"),
    bug(KNOWN, "locked-read", &["wrong-total", "not-serializable"], "partition,kill"),
    bug(KNOWN, "ack-before-sync", LOST, "kill"),
];

/// A node is killed while its syncs take long.
const SLOW_SYNC_AND_KILLED: &str =
    "slow-disk(40ms, fsync, n1) every 6s for 4s from 1s; kill(n1) every 6s for 1s from 3s";

/// What one node says and hears is late, so that transfers are amid their two phases when a node is killed.
const SLOW_AND_KILLED: &str = "delay(60ms, n1) every 4s for 3s from 1s; kill(n1) every 8s for 1s from 3s; \
                               kill(n2) every 8s for 1s from 7s";

/// The same, and it is cut off.
const SLOW_AND_CUT_OFF: &str =
    "delay(60ms, n1) every 6s for 4s from 1s; partition(n1) every 6s for 2s from 3s";

/// What a node that joins says and hears is late while partitions move to it.
const SLOW_HANDOFF: &str =
    "join at 4s; join at 10s; delay(150ms, n4) at 3s for 5s; delay(150ms, n5) at 9s for 5s";

/// Money that is gone, or is there twice.
const LOST: &[&str] = &[
    "lost-transfer",
    "half-transfer",
    "version-made-twice",
    "wrong-total",
    "two-balances",
    "unexplained-balance",
];

fn partitions(config: &Config) -> Result<usize, TargetError> {
    Ok(config.number(PARTITIONS, &(1..=usize::from(PARTITIONS_MAX)))?.unwrap_or(PARTITIONS_USUAL))
}
