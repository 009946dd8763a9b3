//! The defects that can be switched on, one at a time, with `--bug`.

ordeal_kit::bugs! {
    WriteBack = "write-back":
        "a cache that has a copy answers a write from it; the database is written later",
    AckBeforeInvalidations = "ack-before-invalidations":
        "the database does not wait for the caches to confirm that they dropped the old score",
    SilentCacheGivenUp = "silent-cache-given-up":
        "a cache that does not confirm in time is taken to be gone; its lease is not waited for",
    ServesPastLease = "serves-past-lease":
        "a cache goes on serving its copies when its lease has run out",
    LeaseFromAnswer = "lease-from-answer":
        "a cache counts its lease from when it heard that it has it, not from when it asked",
    WallClockLease = "wall-clock-lease":
        "leases are measured by the wall clock",
    LapsedLeaseRenewed = "lapsed-lease-renewed":
        "the database renews a lease that had run out, though what was written meanwhile was not told to the cache",
    MissedInvalidationsKept = "missed-invalidations-kept":
        "a cache that gets a new lease keeps the copies that it had under the one before",
    LeasesForgotten = "leases-forgotten-on-restart":
        "a restarted database takes no cache to have a lease from its earlier life",
    FillRacesInvalidation = "fill-races-invalidation":
        "a cache takes the answer to a read as a copy, though a newer invalidation has overtaken it",
    RetryAppliedTwice = "retry-applied-twice":
        "a write that comes again with the same request id is done again",
    SequenceNotPersisted = "sequence-not-persisted":
        "events are numbered from what is in memory, so a restarted database begins anew",
    AckBeforeSync = "ack-before-sync":
        "a write is acknowledged when it is in memory; the disk gets it up to 500 ms later",
}
