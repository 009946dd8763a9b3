//! Lease-based coordination: the reference target of the `stocks` workload.
//!
//! The first nodes are coordinators, which keep leases in a replicated log; the others are price nodes. Whoever
//! has the lease of a symbol writes its price, under a fencing token that every price node checks.

use clap::{Args as _, FromArgMatches};
use ordeal_core::{Bug, TargetError};
use ordeal_lease_coordination::{Args, BUGS as KNOWN, run};
use ordeal_workloads::stocks;

use super::reference::{self, Reference, bug};
use crate::{Config, Entry, Kind, OptionSpec};

/// The registry's row.
pub(crate) const ENTRY: Entry = Entry {
    name: "lease-coordination",
    about: "reference: stock prices with one writer each, by leases from replicated coordinators",
    default_workload: stocks::NAME,
    default_nodes: 6,
    joining: None,
    nodes: 2..=12,
    bugs: BUGS,
    options: &[
        OptionSpec {
            name: stocks::COORDINATORS,
            about: "how many nodes, from the first on, are coordinators; the others are price nodes",
            default: "half of them",
        },
        OptionSpec {
            name: stocks::LEASE_MS,
            about: "how long a lease lasts, in ms",
            default: "1500, so that many expire in a run (of the node itself: 5000)",
        },
        OptionSpec {
            name: stocks::STALENESS_MS,
            about: "how old a price may be that a local read answers, in ms",
            default: "1000",
        },
    ],
    kind: Kind::Reference(Reference {
        check: |config| settings(config).map(drop),
        flags: |config, _, _| {
            // `check` has seen that they can be had.
            let [coordinators, lease, staleness] = settings(config).unwrap_or_default();
            vec![
                (stocks::COORDINATORS, coordinators.to_string()),
                (stocks::LEASE_MS, lease.to_string()),
                (stocks::STALENESS_MS, staleness.to_string()),
                // Elections shorter than a lease: leases then outlast the death of a leader.
                ("heartbeat-ms", "50".to_owned()),
            ]
        },
        client: |_, node| stocks::client(reference::address(node)),
        leads: Some("/raft/status"),
        known_bugs: KNOWN,
        arguments: Args::augment_args,
        run: |matches| reference::block_on(run(Args::from_arg_matches(matches)?)),
    }),
};

/// What the node can do wrong, by what the judges see it, and what brings it out.
const BUGS: &[Bug] = &[
    bug(KNOWN, "token-not-checked", &["older-token-accepted", "token-decreased"], "pause,kill,partition"),
    bug(KNOWN, "wall-clock-lease", BY_WRONG_CLOCKS, "clock"),
    bug(KNOWN, "renewal-after-expiry", SERVED_BY_TWO, "pause,kill,partition"),
    bug(KNOWN, "leases-forgotten-on-restart", SERVED_BY_TWO, "kill(n1, n2, n3, at-once) every 3s for 1s"),
    bug(KNOWN, "holder-serves-after-expiry", SERVED_BY_TWO, "partition(n4) every 7s for 4s; pause"),
    bug(KNOWN, "granted-before-the-old-one-ended", SERVED_BY_TWO, "pause,kill,partition"),
    bug(KNOWN, "takeover-without-recovery", &["nonlinearizable"], CUT_OFF_THEN_ASKED),
    bug(KNOWN, "local-reads-of-any-age", &["stale-too-long", "not-in-time"], "partition,kill,pause"),
];

/// Two nodes hold themselves to be the holder of one symbol.
const SERVED_BY_TWO: &[&str] = &["nonlinearizable", "older-holder-served", "lost-lease-renewed"];

/// The same, and the age of a copy is taken by that clock as well.
const BY_WRONG_CLOCKS: &[&str] = &["nonlinearizable", "older-holder-served", "stale-too-long", "not-in-time"];

/// One price node misses what is written, and just after that another one dies.
const CUT_OFF_THEN_ASKED: &str =
    "partition(n4) every 6s for 3s from 1s; kill(last-acknowledged) every 6s for 2.5s from 4.1s";

/// Coordinators, the time of a lease, and the declared staleness.
fn settings(config: &Config) -> Result<[usize; 3], TargetError> {
    let usual = stocks::usual_coordinators(config.nodes);
    let coordinators = config.number(stocks::COORDINATORS, &(1..=config.nodes - 1))?.unwrap_or(usual);
    let lease = config.number(stocks::LEASE_MS, &(300..=600_000))?;
    let staleness = config.number(stocks::STALENESS_MS, &(50..=600_000))?;
    Ok([
        coordinators,
        lease.unwrap_or(stocks::USUAL_LEASE_MS as usize),
        staleness.unwrap_or(stocks::USUAL_STALENESS_MS as usize),
    ])
}
