//! The defects that can be switched on, one at a time, with `--bug`.

ordeal_kit::bugs! {
    LastWriterWins = "last-writer-wins":
        "of two stock-takes the one with the later wall clock replaces the other, and no conflict is reported",
    VectorNotMerged = "vector-not-merged":
        "what another warehouse did is taken over, but not into the version vector",
    CounterReused = "counter-reused-after-restart":
        "the own counter of a SKU is kept in memory alone, so after a restart numbers are given out again",
    MaximumInsteadOfSum = "maximum-instead-of-sum":
        "the level counts the movements of the warehouse with most of them instead of those of all",
    MergeByMaximum = "merge-by-maximum":
        "of two totals of a warehouse's movements the larger one is kept, though totals also fall",
    SiblingDropped = "sibling-dropped":
        "of concurrent stock-takes a warehouse keeps the one it has and drops the one that arrives",
    AntiEntropyStops = "anti-entropy-stops":
        "a warehouse that could not be reached once is never asked again",
    CountWipesMovements = "count-wipes-movements":
        "a stock-take that arrives also replaces movements that it did not know of",
    ConflictOnEveryCount = "conflict-on-every-count":
        "a stock-take that arrives is reported as a conflict also with those that it had seen",
    PriorityIgnored = "priority-ignored":
        "a SKU whose rule names a warehouse is resolved like any other",
    RetryAppliedTwice = "retry-applied-twice":
        "a request that comes again with the same id has a second effect",
    MajorityNeeded = "majority-needed":
        "a warehouse that reaches no majority refuses updates",
    AckBeforeSync = "ack-before-sync":
        "an update is acknowledged when it is in memory; the disk gets it up to 500 ms later",
}
