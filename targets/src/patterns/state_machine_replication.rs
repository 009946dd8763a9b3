//! State machine replication: the reference target of the `iot` workload.
//!
//! Three or five nodes keep the machines of a factory as one replicated state machine over a Raft log.

use clap::{Args as _, FromArgMatches};
use ordeal_core::Bug;
use ordeal_state_machine_replication::{Args, BUGS as KNOWN, run};
use ordeal_workloads::iot;

use super::reference::{self, Reference, bug};
use crate::{Entry, Kind};

/// The registry's row.
pub(crate) const ENTRY: Entry = Entry {
    name: "state-machine-replication",
    about: "reference: machines of a factory as one state machine, replicated over a Raft log",
    default_workload: iot::NAME,
    default_nodes: 3,
    joining: None,
    nodes: 1..=5,
    bugs: BUGS,
    options: &[],
    kind: Kind::Reference(Reference {
        check: |_| Ok(()),
        // Below the usual patience of a client, who is told that a request may yet be done, and tries again.
        flags: |_, _, _| vec![("request-timeout-ms", "800".to_owned())],
        client: |_, node| iot::client(reference::address(node)),
        leads: Some("/raft/status"),
        known_bugs: KNOWN,
        arguments: Args::augment_args,
        run: |matches| reference::block_on(run(Args::from_arg_matches(matches)?)),
    }),
};

/// What the node can do wrong, by what the judges see it, and what brings it out.
const BUGS: &[Bug] = &[
    bug(
        KNOWN,
        "ack-before-quorum",
        &["lost-transition", "contradicted-answer", "nonlinearizable"],
        "partition,kill,pause",
    ),
    bug(KNOWN, "read-without-read-index", &["stale-answer", "nonlinearizable"], "partition,kill,pause"),
    bug(KNOWN, "log-not-persisted", &["lost-transition", "log-shrunk", "nonlinearizable"], "power-loss"),
    bug(
        KNOWN,
        "follower-applies-out-of-order",
        &["log-disorder", "log-fork", "nonlinearizable"],
        "partition,kill,pause",
    ),
    bug(KNOWN, "retry-applied-twice", &["applied-twice", "nonlinearizable"], "partition,kill,pause"),
    bug(KNOWN, "event-skipped-after-restart", &["event-gap"], "kill"),
];
