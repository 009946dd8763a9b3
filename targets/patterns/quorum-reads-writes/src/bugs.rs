//! The defects that can be switched on, one at a time, with `--bug`.

/// A planted defect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bug {
    /// Acks after the coordinator's own store.
    W1,
    /// Read and write quorums need not meet.
    RPlusW,
    /// Reads leave the replicas as they found them.
    NoWriteBack,
    /// A hint stored for an absent replica counts as that replica's ack.
    HintCounted,
    /// Versions come from the wall clock.
    WallClockVersions,
    /// Versions of different nodes can be equal.
    VersionTies,
    /// Replicas ack before the update is on disk.
    AckBeforeSync,
}

const TABLE: [(Bug, &str, &str); 7] = [
    (
        Bug::W1,
        "w-1",
        "a write is acknowledged once the coordinator's own store has it; the other replicas get it later, or not",
    ),
    (
        Bug::RPlusW,
        "r-plus-w",
        "R + W = N: a read answers from the first N - W replicas and can miss every replica of a write",
    ),
    (
        Bug::NoWriteBack,
        "no-write-back",
        "a read does not write back what it answers, so a later read can answer something older",
    ),
    (
        Bug::HintCounted,
        "hint-counted",
        "a hint that the coordinator keeps for an unreachable replica counts in the write quorum",
    ),
    (
        Bug::WallClockVersions,
        "wall-clock-versions",
        "a version is the wall clock, so a write through a node whose clock is behind loses to an earlier one",
    ),
    (
        Bug::VersionTies,
        "version-ties",
        "versions are compared by counter alone and on a tie a replica keeps what it has, so replicas stay different",
    ),
    (
        Bug::AckBeforeSync,
        "ack-before-sync",
        "a replica acknowledges an update that is only in memory; the disk gets it up to 500 ms later",
    ),
];

/// The bugs that `--bug` knows: name, and what goes wrong.
pub const BUGS: &[(&str, &str)] = &{
    let mut rows = [("", ""); TABLE.len()];
    let mut row = 0;
    while row < TABLE.len() {
        rows[row] = (TABLE[row].1, TABLE[row].2);
        row += 1;
    }
    rows
};

impl std::str::FromStr for Bug {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = TABLE.iter().find(|(_, known, _)| *known == name);
        found.map(|(bug, _, _)| *bug).ok_or_else(|| {
            let names: Vec<&str> = BUGS.iter().map(|(known, _)| *known).collect();
            format!("no such bug; there are {}", names.join(", "))
        })
    }
}
