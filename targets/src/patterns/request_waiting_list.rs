//! Request waiting list: the reference target of the `trades` workload.
//!
//! The first nodes trade, the next ones clear, the last ones settle. Any of them takes any request; a trade waits for a
//! majority of all, a settlement for every settlement node.

use clap::{Args as _, FromArgMatches};
use ordeal_core::{Bug, TargetError};
use ordeal_request_waiting_list::{Args, BUGS as KNOWN, run};
use ordeal_workloads::trades;

use super::reference::{self, Reference, bug};
use crate::{Config, Entry, Kind, OptionSpec};

/// The registry's row.
pub(crate) const ENTRY: Entry = Entry {
    name: "request-waiting-list",
    about: "reference: trades confirmed by a majority and settled by all settlement nodes, from a waiting list",
    default_workload: trades::NAME,
    default_nodes: 5,
    joining: None,
    nodes: 3..=9,
    bugs: BUGS,
    options: &[OptionSpec {
        name: EXPIRY_MS,
        about: "how long a request waits for other nodes before its client is told that it is pending, in ms",
        default: "800",
    }],
    kind: Kind::Reference(Reference {
        check: |config| expiry_ms(config).map(drop),
        flags: |config, _, _| {
            // `check` has seen that it can be had.
            vec![(EXPIRY_MS, expiry_ms(config).unwrap_or_default().to_string())]
        },
        client: |_, node| trades::client(reference::address(node)),
        leads: None,
        known_bugs: KNOWN,
        arguments: Args::augment_args,
        run: |matches| reference::block_on(run(Args::from_arg_matches(matches)?)),
    }),
};

const EXPIRY_MS: &str = "expiry-ms";

/// What the node can do wrong, by what the judges see it, and what brings it out.
const BUGS: &[Bug] = &[
    bug(KNOWN, "first-confirmation", MINORITY, "partition"),
    bug(KNOWN, "counted-twice", MINORITY, "partition"),
    bug(KNOWN, "mismatch-counted", &["two-details-confirmed", "copies-disagree"], "partition,kill,pause"),
    bug(KNOWN, "mismatch-rejects", &["confirmed-and-rejected", "copies-disagree"], "partition,kill,pause"),
    bug(KNOWN, "callback-runs-twice", &["executed-twice"], "partition,kill,pause"),
    bug(KNOWN, "entry-leaks", &["entry-too-old", "entry-leaked"], "partition"),
    bug(KNOWN, "replies-swapped", &["swapped-reply"], "partition,kill,pause"),
    bug(KNOWN, "list-lost", &["accepted-then-forgotten"], "partition,kill,pause"),
    bug(
        KNOWN,
        "vote-not-kept",
        &["two-details-confirmed", "confirmed-without-majority"],
        "partition,kill,pause",
    ),
    bug(KNOWN, "below-high-water-mark", &["settled-below-high-water-mark"], "partition,kill,pause"),
    bug(KNOWN, "settled-untold", &["went-back"], "partition,kill,pause"),
    bug(KNOWN, "retry-executes-twice", &["executed-twice"], "partition,kill,pause"),
    bug(KNOWN, "expiry-confirms", &["went-back", "two-details-confirmed"], "partition"),
    bug(KNOWN, "expiry-rejects", &["confirmed-and-rejected"], "partition"),
    bug(KNOWN, "reads-own-copy", &["went-back"], "partition,kill,pause"),
    bug(KNOWN, "unclear-is-pending", &["went-back"], DECIDED_THEN_GONE),
    bug(KNOWN, "following-stops", &["confirmed-trade-missing"], "partition"),
    bug(KNOWN, "ack-before-sync", &["confirmed-without-majority"], "power-loss"),
];

/// A trade is said to be confirmed by fewer nodes than a majority.
const MINORITY: &[&str] = &["confirmed-without-majority", "went-back"];

/// Two nodes miss what is decided, and when they are back the one that decided last is gone.
const DECIDED_THEN_GONE: &str =
    "partition(n4+n5) every 6s for 3s from 1s; kill(last-acknowledged) every 6s for 2.5s from 3.9s";

/// How long a request waits.
fn expiry_ms(config: &Config) -> Result<usize, TargetError> {
    Ok(config.number(EXPIRY_MS, &(50..=60_000))?.unwrap_or(800))
}
