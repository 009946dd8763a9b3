//! Time that passes while nothing is accepted: the leader measures it, so that the buffer drains.

use std::time::{Duration, Instant};

use ordeal_raft::Consensus;

use crate::machine::{Command, Rules, Sale};

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Tells the machine, for ever, how long nothing was accepted, whenever that lets something out of the buffer.
///
/// The time is measured from when this node saw the last event accepted, so it is never too long, and the number of
/// that event goes with it: if another one was accepted meanwhile, wherever, it does not count. A node that stood still
/// or led no more does no harm.
pub(crate) async fn watch(consensus: Consensus<Sale>, idle: Duration, rules: Rules) {
    let mut last = (0, Instant::now());
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let accepted = consensus.local(Sale::accepted);
        if accepted != last.0 {
            last = (accepted, Instant::now());
        }
        let quiet = last.1.elapsed();
        let quiet_ms = quiet.as_millis() as u64;
        if quiet < idle || !consensus.leads() || !consensus.local(|sale| sale.would_go_on(quiet_ms, &rules)) {
            continue;
        }
        let command = Command::Idle { accepted, quiet_ms, rules };
        if let Err(why) = consensus.propose(&format!("idle-{accepted}-{quiet_ms}"), &command).await {
            tracing::debug!(%why, accepted, quiet_ms, "idle time was not noted");
        }
    }
}
