//! The defects that can be switched on, one at a time, with `--bug`.

ordeal_kit::bugs! {
    AckBeforeQuorum = "ack-before-quorum":
        "the leader answers a reading before any other node has it",
    ReadWithoutReadIndex = "read-without-read-index":
        "a read answers from what this node happens to have applied, without asking whether anybody leads",
    LogNotPersisted = "log-not-persisted":
        "log and vote are acknowledged before they are on disk",
    FollowerAppliesOutOfOrder = "follower-applies-out-of-order":
        "entries that reach a node's machine together are applied last first",
    RetryAppliedTwice = "retry-applied-twice":
        "a request that is sent again takes effect again",
    EventSkippedAfterRestart = "event-skipped-after-restart":
        "a restarted node publishes only what is applied from then on; what it missed is never in its stream",
}
