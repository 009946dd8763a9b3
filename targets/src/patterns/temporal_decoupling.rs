//! Temporal decoupling: the reference target of the `orders` workload.
//!
//! Three or five nodes with one delay buffer, replicated over a Raft log, from which the events of a flash sale are
//! processed in the order of their timestamps.

use clap::{Args as _, FromArgMatches};
use ordeal_core::{Bug, TargetError};
use ordeal_temporal_decoupling::{Args, BUGS as KNOWN, run};
use ordeal_workloads::orders;

use super::reference::{self, Reference, bug};
use crate::{Config, Entry, Kind, OptionSpec};

/// The registry's row.
pub(crate) const ENTRY: Entry = Entry {
    name: "temporal-decoupling",
    about: "reference: events of a flash sale in a replicated delay buffer, processed in the order of their timestamps",
    default_workload: orders::NAME,
    default_nodes: 3,
    joining: None,
    nodes: 1..=5,
    bugs: BUGS,
    options: &[
        OptionSpec {
            name: orders::WINDOW_MS,
            about: "how late an event may come by the timestamps of others",
            default: "1000",
        },
        OptionSpec { name: BUFFER, about: "how many events may wait in the buffer", default: "150" },
    ],
    kind: Kind::Reference(Reference {
        check: |config| settings(config).map(drop),
        flags: |config, _, _| {
            // `check` has seen that they can be had.
            let Settings { window_ms, buffer } = settings(config).unwrap_or(USUAL);
            vec![
                (orders::WINDOW_MS, window_ms.to_string()),
                (BUFFER, buffer.to_string()),
                ("request-timeout-ms", REQUEST_TIMEOUT_MS.to_string()),
                ("snapshot-every", SNAPSHOT_EVERY.to_string()),
            ]
        },
        client: |_, node| orders::client(reference::address(node)),
        leads: Some("/raft/status"),
        known_bugs: KNOWN,
        arguments: Args::augment_args,
        run: |matches| reference::block_on(run(Args::from_arg_matches(matches)?)),
    }),
};

const BUFFER: &str = "buffer";
/// Below the time that clients usually wait, so that they hear of it.
const REQUEST_TIMEOUT_MS: u64 = 1_000;
/// Every few seconds under the usual load, so that restarts and lagging nodes meet snapshots in every run.
const SNAPSHOT_EVERY: u64 = 300;

/// The leader goes on alone, and tells the others how long it saw nothing as soon as it can.
const LEADER_CUT_OFF: &str = "partition(primary) every 6s for 3s from 1s";

/// What the node can do wrong, by what the judges see it, and what brings it out.
const BUGS: &[Bug] = &[
    bug(KNOWN, "processed-on-arrival", &["out-of-order"], "partition,kill"),
    bug(KNOWN, "ties-by-hash", &["sequences-differ", "out-of-order"], "partition,kill"),
    bug(KNOWN, "buffer-lost-on-crash", &["sequences-differ", "accepted-not-processed", "overdue"], "kill"),
    bug(KNOWN, "watermark-from-clock", &["watermark-too-high"], "clock-step,clock-drift"),
    bug(KNOWN, "one-source-decides", &["watermark-too-high"], "partition,kill"),
    bug(KNOWN, "idle-unchecked", &["watermark-too-high"], LEADER_CUT_OFF),
    bug(KNOWN, "no-dedupe", &["processed-twice", "answered-otherwise"], "partition,kill"),
    bug(KNOWN, "dependency-ignored", &["out-of-order", "wrong-outcome"], "partition,kill"),
    bug(KNOWN, "late-dropped-silently", &["accepted-not-processed", "accepted-too-late"], "partition,kill"),
    bug(KNOWN, "late-accepted", &["out-of-order", "accepted-too-late"], "partition,kill"),
    bug(KNOWN, "promotion-at-its-end", &["wrong-price"], "partition,kill"),
    bug(KNOWN, "oversell", &["oversold", "negative-stock"], "partition,kill"),
    bug(KNOWN, "refused-yet-kept", &["refused-yet-processed"], "partition,kill"),
    bug(KNOWN, "overflow-drops-oldest", &["accepted-not-processed", "overdue"], "partition,kill"),
    bug(KNOWN, "ack-before-quorum", &["accepted-not-processed", "answered-otherwise"], "partition,kill"),
    bug(KNOWN, "stale-read", &["went-back"], "partition,pause"),
];

#[derive(Clone, Copy)]
struct Settings {
    window_ms: usize,
    buffer: usize,
}

const USUAL: Settings = Settings { window_ms: orders::USUAL_WINDOW_MS as usize, buffer: 150 };

fn settings(config: &Config) -> Result<Settings, TargetError> {
    let window_ms = config.number(orders::WINDOW_MS, &(1..=60_000))?.unwrap_or(USUAL.window_ms);
    let buffer = config.number(BUFFER, &(1..=100_000))?.unwrap_or(USUAL.buffer);
    Ok(Settings { window_ms, buffer })
}
