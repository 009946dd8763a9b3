//! The defects that can be switched on, one at a time, with `--bug`.

ordeal_kit::bugs! {
    OneVoteSuffices = "one-vote-suffices":
        "a claim is decided by the first department that is heard, not by two of three",
    VotesLostOnRestart = "votes-lost-on-restart":
        "a snapshot leaves out what the departments said, so a core node that restarts has forgotten it",
    StaleCoreRead = "stale-core-read":
        "a core node answers reads from what it happens to have applied, without asking the leader",
    EpochIgnored = "epoch-ignored":
        "a data node does not wait until it has reached the core version that a request or a document names",
    LeaseWithoutFencing = "lease-without-fencing":
        "the core does not check the token of a premium adjustment, so one whose lease has passed on goes ahead",
    AdjustedAgain = "adjusted-again":
        "an adjustment that is asked for again is not recognized, and made again",
    WatchGap = "watch-gap":
        "a data node that was away goes on with the oldest change the core still has and misses those before it",
    OneHomeSuffices = "one-home-suffices":
        "a document is acknowledged when the first of its homes has it; the others get it later, or not",
}
