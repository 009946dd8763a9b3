//! The defects that can be switched on, one at a time, with `--bug`.

ordeal_kit::bugs! {
    WriteDropped = "write-dropped-in-handoff":
        "of a copy only the first round is kept, and not what the source took from then on until it was frozen",
    TwoOwners = "two-owners-accept":
        "a source that has frozen a shard goes on serving it until it deletes it, while the target serves it already",
    BoundaryLost = "boundary-key-lost":
        "the copy of a shard begins behind its first customer, so the one at whom it was split is lost",
    BoundaryTwice = "boundary-key-on-both-sides":
        "the left side of a split keeps serving the customer at whom it was split",
    OldEpoch = "old-epoch-accepted":
        "a request that names the epoch at which a shard was frozen is served all the same",
    DeletedEarly = "source-deleted-early":
        "the source is told to delete a shard once it is frozen, before the copy is durable",
    Orphaned = "change-orphaned-by-crash":
        "a new leader does not go on with a split or move that another one has begun",
    RequestsNotMoved = "requests-not-moved":
        "what requests were done already is not copied with a shard, so a retry at its new owner is done again",
    StaleRouting = "stale-routing":
        "metadata nodes tell the routing that they happen to have, without asking the leader",
    NeverRebalances = "never-rebalances":
        "however uneven the load is, nothing is split or moved",
    AckBeforeSync = "ack-before-sync":
        "what a data node stores is acknowledged up to 500 ms before it is on disk",
}
