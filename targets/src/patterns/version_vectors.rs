//! Version vectors: the reference target of the `inventory` workload.
//!
//! Every node is a warehouse that takes movements and stock-takes by itself, also while it is cut off. Anti-entropy
//! brings the states together; version vectors say what is concurrent.

use clap::{Args as _, FromArgMatches};
use ordeal_core::{Bug, TargetError};
use ordeal_version_vectors::{Args, BUGS as KNOWN, run};
use ordeal_workloads::inventory;

use super::reference::{self, Reference, bug};
use crate::{Config, Entry, Kind, OptionSpec};

/// The registry's row.
pub(crate) const ENTRY: Entry = Entry {
    name: "version-vectors",
    about: "reference: stock levels in warehouses that go on while cut off, and converge by version vectors",
    default_workload: inventory::NAME,
    default_nodes: 3,
    joining: None,
    nodes: 2..=9,
    bugs: BUGS,
    options: &[OptionSpec {
        name: EXCHANGE_MS,
        about: "how often each warehouse asks each other one for what it has not seen, in ms",
        default: "200",
    }],
    kind: Kind::Reference(Reference {
        check: |config| exchange_ms(config).map(drop),
        flags: |config, _, _| {
            // `check` has seen that it can be had.
            let exchange_ms = exchange_ms(config).unwrap_or_default();
            let priority = format!("{}={}", inventory::PRIORITY_PREFIX, inventory::PRIORITY_WAREHOUSE);
            vec![(EXCHANGE_MS, exchange_ms.to_string()), ("priority", priority)]
        },
        client: |_, node| inventory::client(reference::address(node)),
        leads: None,
        known_bugs: KNOWN,
        arguments: Args::augment_args,
        run: |matches| reference::block_on(run(Args::from_arg_matches(matches)?)),
    }),
};

const EXCHANGE_MS: &str = "exchange-ms";

/// What the node can do wrong, by what the judges see it, and what brings it out.
const BUGS: &[Bug] = &[
    bug(KNOWN, "last-writer-wins", &["conflict-missed", "sibling-missing"], "partition"),
    bug(KNOWN, "vector-not-merged", &["lost-update", "divergence"], "partition,kill,pause"),
    bug(KNOWN, "counter-reused-after-restart", &["number-used-twice", "vector-went-back"], "kill"),
    bug(KNOWN, "maximum-instead-of-sum", &["wrong-level"], "partition,kill,pause"),
    bug(KNOWN, "merge-by-maximum", &["wrong-level", "divergence"], "partition,kill,pause"),
    bug(KNOWN, "sibling-dropped", &["sibling-missing"], "partition"),
    bug(KNOWN, "anti-entropy-stops", &["lost-update", "divergence"], "partition"),
    bug(KNOWN, "count-wipes-movements", &["wrong-level", "divergence"], "partition"),
    bug(KNOWN, "conflict-on-every-count", &["false-conflict"], "partition,kill,pause"),
    bug(KNOWN, "priority-ignored", &["wrong-level"], "partition"),
    bug(KNOWN, "retry-applied-twice", &["applied-twice", "unasked-update"], "partition,kill,pause"),
    bug(KNOWN, "majority-needed", &["stopped-accepting"], "partition"),
    bug(KNOWN, "ack-before-sync", &["number-used-twice", "vector-went-back", "lost-update"], "kill"),
];

/// How often the nodes exchange.
fn exchange_ms(config: &Config) -> Result<usize, TargetError> {
    Ok(config.number(EXCHANGE_MS, &(1..=2_000))?.unwrap_or(200))
}
