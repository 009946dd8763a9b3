//! Quorum-based reads and writes: the reference target of the `patients` workload.
//!
//! Every node holds every record. A coordinator asks all nodes and goes on when a read quorum of R or a
//! write quorum of W has answered; with R + W above the number of nodes any two quorums meet.

use clap::{Args as _, FromArgMatches};
use ordeal_core::{Bug, TargetError};
use ordeal_quorum_reads_writes::{Args, BUGS as KNOWN, run};
use ordeal_workloads::patients;

use super::reference::{self, Reference, bug};
use crate::{Config, Entry, Kind, OptionSpec};

/// The registry's row.
pub(crate) const ENTRY: Entry = Entry {
    name: "quorum-reads-writes",
    about: "reference: patient records kept linearizable by read and write quorums",
    default_workload: patients::NAME,
    default_nodes: 5,
    joining: None,
    nodes: 1..=9,
    bugs: BUGS,
    options: &[
        OptionSpec { name: READ_QUORUM, about: "how many nodes must answer a read", default: "a majority" },
        OptionSpec { name: WRITE_QUORUM, about: "how many nodes must store a write", default: "a majority" },
    ],
    kind: Kind::Reference(Reference {
        check: |config| quorums(config).map(drop),
        flags: |config, _, _| {
            // `check` has seen that they can be had.
            let (read, write) = quorums(config).unwrap_or_default();
            vec![(READ_QUORUM, read.to_string()), (WRITE_QUORUM, write.to_string())]
        },
        client: |_, node| patients::client(reference::address(node)),
        leads: None,
        known_bugs: KNOWN,
        arguments: Args::augment_args,
        run: |matches| reference::block_on(run(Args::from_arg_matches(matches)?)),
    }),
};

const READ_QUORUM: &str = "read-quorum";
const WRITE_QUORUM: &str = "write-quorum";

/// What the node can do wrong, by what the judges see it, and what brings it out.
const BUGS: &[Bug] = &[
    bug(KNOWN, "w-1", &["nonlinearizable", "lost-element"], "kill,pause,partition"),
    bug(KNOWN, "r-plus-w", &["nonlinearizable"], "partition,kill,pause"),
    bug(KNOWN, "no-write-back", &["nonlinearizable"], "partition,kill,pause"),
    bug(KNOWN, "hint-counted", &["nonlinearizable", "lost-element"], "partition,kill,pause"),
    bug(KNOWN, "wall-clock-versions", &["nonlinearizable"], "clock"),
    bug(KNOWN, "version-ties", &["nonlinearizable", "divergence"], "partition,kill,pause"),
    bug(KNOWN, "ack-before-sync", &["lost-element", "nonlinearizable"], "power-loss"),
];

/// R and W.
fn quorums(config: &Config) -> Result<(usize, usize), TargetError> {
    let majority = config.nodes / 2 + 1;
    let all = 1..=config.nodes;
    let read = config.number(READ_QUORUM, &all)?.unwrap_or(majority);
    let write = config.number(WRITE_QUORUM, &all)?.unwrap_or(majority);
    // The node would refuse to start; said here, it is a question of usage.
    if read + write <= config.nodes || 2 * write <= config.nodes {
        return Err(TargetError::Unsupported(format!(
            "quorums must overlap: R + W and 2W must be more than {} nodes, R is {read} and W is {write}; to \
             see what happens otherwise there is the bug `r-plus-w`",
            config.nodes
        )));
    }
    Ok((read, write))
}
