//! The steps of a split and of a move, in order, each logged in one line, `step NAME: shard …`, by the node that did it,
//! right after it: a fault that waits for a line (`crash-at-line(line=step frozen)`) stops that node at that step.

use crate::routing::{Change, ShardId, Step};

/// The name of a step.
pub(crate) type Name = &'static str;

pub(crate) const SPLIT_PLANNED: Name = "split-planned";
pub(crate) const SPLIT: Name = "split";
pub(crate) const SPLIT_DONE: Name = "split-done";
pub(crate) const MOVE_PLANNED: Name = "move-planned";
pub(crate) const COPY_BEGUN: Name = "copy-begun";
pub(crate) const SNAPSHOT_READ: Name = "snapshot-read";
pub(crate) const COPIED: Name = "copied";
pub(crate) const FREEZE_DECIDED: Name = "freeze-decided";
pub(crate) const FROZEN: Name = "frozen";
pub(crate) const REST_READ: Name = "rest-read";
pub(crate) const REST_COPIED: Name = "rest-copied";
pub(crate) const SWITCHED: Name = "switched";
pub(crate) const ACTIVATED: Name = "activated";
pub(crate) const ACTIVATION_NOTED: Name = "activation-noted";
pub(crate) const DELETED: Name = "deleted";
pub(crate) const MOVE_DONE: Name = "move-done";
pub(crate) const ABORT_DECIDED: Name = "abort-decided";
pub(crate) const KEPT: Name = "kept";
pub(crate) const ABORT_DONE: Name = "abort-done";

/// Every step: its name, who does it, and what is true from then on.
pub const STEPS: &[(&str, &str, &str)] = &[
    (SPLIT_PLANNED, "metadata", "the routing has both halves"),
    (SPLIT, "owner", "the owner has both halves, on disk"),
    (SPLIT_DONE, "metadata", "the split is over"),
    (MOVE_PLANNED, "metadata", "the move is committed"),
    (COPY_BEGUN, "target", "the target has noted that it copies"),
    (SNAPSHOT_READ, "source", "the source has told its first customers"),
    (COPIED, "target", "the target has a copy that lacks what changed meanwhile, on disk"),
    (FREEZE_DECIDED, "metadata", "it is committed that the source is to stop serving"),
    (FROZEN, "source", "the source serves no more, on disk"),
    (REST_READ, "source", "the source has told the last changes"),
    (REST_COPIED, "target", "the target has a whole copy, on disk"),
    (SWITCHED, "metadata", "the routing names the target, at a new epoch"),
    (ACTIVATED, "target", "the target serves"),
    (ACTIVATION_NOTED, "metadata", "it is committed that the target serves"),
    (DELETED, "source", "the source has deleted what it had; of a move that was given up, the target"),
    (MOVE_DONE, "metadata", "the move is over"),
    (ABORT_DECIDED, "metadata", "the move is given up: the source keeps the shard, at a new epoch"),
    (KEPT, "source", "the source serves again"),
    (ABORT_DONE, "metadata", "nothing is left of the move that was given up"),
];

/// Logs that this node has just done this step of a change of this shard.
pub(crate) fn done(step: Name, shard: ShardId) {
    tracing::info!("step {step}: shard {shard}");
}

/// What it is called that this step was left behind.
pub(crate) fn advanced(change: &Change) -> Name {
    match change.step {
        Step::Splitting { .. } => SPLIT_DONE,
        Step::Copying { .. } => FREEZE_DECIDED,
        Step::Freezing { .. } => SWITCHED,
        Step::Activating { .. } => ACTIVATION_NOTED,
        Step::Deleting { .. } => MOVE_DONE,
        Step::Aborting { .. } => ABORT_DONE,
    }
}
