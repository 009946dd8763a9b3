//! The defects that can be switched on, one at a time, with `--bug`.

ordeal_kit::bugs! {
    RoutingByNodeCount = "routing-by-node-count":
        "an account's partition follows from the number of nodes, so it changes when a node joins",
    AllPartitionsMoved = "all-partitions-moved":
        "when a node joins all partitions are dealt out anew, not only those that balance needs",
    HandoffWithoutFencing = "handoff-without-fencing":
        "the node that gives a partition away goes on serving it while and after it is copied",
    RequestsLeftBehind = "requests-left-behind":
        "a partition moves without the records of its requests, so the new node knows no retry",
    HalfTransfer = "half-transfer":
        "a participant says that it has booked a commit, and books it a little later: a crash leaves half a transfer",
    LostCommitRecord = "lost-commit-record":
        "the coordinator does not keep its decision, so a participant that asks later is told to abort",
    PayeeNotLocked = "payee-not-locked":
        "a participant promises without locking the account, so two transfers are promised the same version of it",
    PrepareNotDurable = "prepare-not-durable":
        "a participant agrees to a transfer before its promise is on disk",
    InDoubtCommits = "in-doubt-commits":
        "a participant that cannot reach the coordinator commits by itself after a while",
    InDoubtAborts = "in-doubt-aborts":
        "a participant that was restarted drops what it had promised, and does not ask what was decided",
    RetryAppliedTwice = "retry-applied-twice":
        "a transfer that is asked for again is not recognized, and made again",
    SnapshotNotConfirmed = "snapshot-not-confirmed":
        "balances at several nodes are read one after the other, and not looked at again",
    LockedRead = "locked-read":
        "an account that a transfer in doubt has locked is read as it was before",
    AckBeforeSync = "ack-before-sync":
        "what a node has stored is acknowledged before it is on disk",
}
