//! The defects that can be switched on, one at a time, with `--bug`.

ordeal_kit::bugs! {
    W1 = "w-1":
        "a write is acknowledged once the coordinator's own store has it; the other replicas get it later, or not",
    RPlusW = "r-plus-w":
        "R + W = N: a read answers from the first N - W replicas and can miss every replica of a write",
    NoWriteBack = "no-write-back":
        "a read does not write back what it answers, so a later read can answer something older",
    HintCounted = "hint-counted":
        "a hint that the coordinator keeps for an unreachable replica counts in the write quorum",
    WallClockVersions = "wall-clock-versions":
        "a version is the wall clock, so a write through a node whose clock is behind loses to an earlier one",
    VersionTies = "version-ties":
        "versions are compared by counter alone and on a tie a replica keeps what it has, so replicas stay different",
    AckBeforeSync = "ack-before-sync":
        "a replica acknowledges an update that is only in memory; the disk gets it up to 500 ms later",
}
