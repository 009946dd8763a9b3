//! A write-through cache with coherence: the reference target of the `scores` workload.
//!
//! The first node is the database, the others are caches, which serve copies under leases.

use clap::{Args as _, FromArgMatches};
use ordeal_core::{Bug, TargetError};
use ordeal_workloads::scores;
use ordeal_write_through_cache::{Args, BUGS as KNOWN, run};

use super::reference::{self, Reference, bug};
use crate::{Config, Entry, Kind, OptionSpec};

/// The registry's row.
pub(crate) const ENTRY: Entry = Entry {
    name: "write-through-cache",
    about: "reference: live scores in a database behind coherent write-through caches",
    default_workload: scores::NAME,
    default_nodes: 4,
    joining: None,
    nodes: 2..=8,
    bugs: BUGS,
    options: &[OptionSpec {
        name: LEASE_MS,
        about: "how long the lease of a cache lasts, in ms",
        default: "1000",
    }],
    kind: Kind::Reference(Reference {
        check: |config| lease_ms(config).map(drop),
        flags: |config, _, _| {
            // `check` has seen that it can be had.
            let lease_ms = lease_ms(config).unwrap_or(USUAL_LEASE_MS);
            vec![(LEASE_MS, lease_ms.to_string()), ("request-timeout-ms", REQUEST_TIMEOUT_MS.to_string())]
        },
        client: |_, node| scores::client(reference::address(node)),
        // The database.
        leads: Some("/health"),
        known_bugs: KNOWN,
        arguments: Args::augment_args,
        run: |matches| reference::block_on(run(Args::from_arg_matches(matches)?)),
    }),
};

const LEASE_MS: &str = "lease-ms";
const USUAL_LEASE_MS: usize = 1_000;
/// Below half the usual patience of a client, who is told that a request may yet be done, and tries again.
const REQUEST_TIMEOUT_MS: u64 = 800;

/// What the node can do wrong, by what the judges see it, and what brings it out.
const BUGS: &[Bug] = &[
    bug(KNOWN, "write-back", &["nonlinearizable", "stale-score", "lost-goal"], "kill,pause,partition"),
    bug(KNOWN, "ack-before-invalidations", OLD_SCORE, "delay,loss"),
    bug(KNOWN, "silent-cache-given-up", OLD_SCORE, "loss(40%, n1) every 5s for 3s from 1s"),
    bug(KNOWN, "serves-past-lease", OLD_SCORE, CUT_OFF),
    bug(KNOWN, "lease-from-answer", OLD_SCORE, SLOW_THEN_CUT_OFF),
    bug(KNOWN, "wall-clock-lease", OLD_SCORE, CUT_OFF_IN_THE_PAST),
    bug(KNOWN, "lapsed-lease-renewed", OLD_SCORE, "partition,pause"),
    bug(KNOWN, "missed-invalidations-kept", OLD_SCORE, "partition,pause"),
    bug(KNOWN, "leases-forgotten-on-restart", OLD_SCORE, "kill(n1, at-once) every 2s for 1s"),
    bug(KNOWN, "fill-races-invalidation", OLD_SCORE, "delay,loss"),
    bug(KNOWN, "retry-applied-twice", &["repeated-goal"], "kill,pause,partition"),
    bug(KNOWN, "sequence-not-persisted", &["lost-goal", "nonlinearizable"], "kill(n1)"),
    bug(KNOWN, "ack-before-sync", &["lost-goal", "nonlinearizable"], "kill(n1)"),
];

/// A score is shown after a newer one was.
const OLD_SCORE: &[&str] = &["nonlinearizable", "stale-score", "score-went-back"];

/// One cache after another does not hear of what is written, but is asked.
const CUT_OFF: &str = "partition(n2) every 9s for 2s from 1s; partition(n3) every 9s for 2s from 4s; \
                       partition(n4) every 9s for 2s from 7s";

/// The same, and meanwhile its clock is set back.
const CUT_OFF_IN_THE_PAST: &str = "partition(n2) every 9s for 2s from 1s; clock-step(-1m, n2) every 9s for 1500ms from 1300ms; \
                                   partition(n3) every 9s for 2s from 4s; clock-step(-1m, n3) every 9s for 1500ms from 4300ms; \
                                   partition(n4) every 9s for 2s from 7s; clock-step(-1m, n4) every 9s for 1500ms from 7300ms";

/// One cache after another is cut off, and just before that its questions are answered late.
const SLOW_THEN_CUT_OFF: &str = "delay(230ms, n1>n2) every 6s for 1s from 1s; partition(n2) every 6s for 1400ms from 1900ms; \
                                 delay(230ms, n1>n3) every 6s for 1s from 3s; partition(n3) every 6s for 1400ms from 3900ms; \
                                 delay(230ms, n1>n4) every 6s for 1s from 5s; partition(n4) every 6s for 1400ms from 5900ms";

/// How long a lease lasts.
fn lease_ms(config: &Config) -> Result<usize, TargetError> {
    Ok(config.number(LEASE_MS, &(50..=600_000))?.unwrap_or(USUAL_LEASE_MS))
}
