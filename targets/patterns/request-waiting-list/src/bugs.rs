//! The defects that can be switched on, one at a time, with `--bug`.

ordeal_kit::bugs! {
    FirstConfirmation = "first-confirmation":
        "a trade is confirmed at the first confirmation instead of at a majority's",
    CountedTwice = "counted-twice":
        "a node that confirms again counts again",
    MismatchCounted = "mismatch-counted":
        "a confirmation of other details counts like one of these",
    MismatchRejects = "mismatch-rejects":
        "the first confirmation of other details is taken for the rejection of the trade",
    CallbackRunsTwice = "callback-runs-twice":
        "what is done when a trade is confirmed is done again each time that this is learned",
    EntryLeaks = "entry-leaks":
        "an entry whose time is up is answered but stays in the waiting list",
    RepliesSwapped = "replies-swapped":
        "an outcome goes to the request that has waited longest instead of the one whose confirmations came",
    ListLost = "list-lost":
        "accepted requests are kept in memory alone, so a restart forgets those that are not decided",
    VoteNotKept = "vote-not-kept":
        "a node confirms other details of a trade although it has confirmed some already",
    BelowHighWaterMark = "below-high-water-mark":
        "a trade is settled at one confirmation less than there are settlement nodes",
    SettledUntold = "settled-untold":
        "a trade is said to be settled when only the node that was asked knows",
    RetryExecutesTwice = "retry-executes-twice":
        "a request that comes again is taken for a new trade: it is confirmed and executed anew",
    ExpiryConfirms = "expiry-confirms":
        "a request whose time is up is answered as if the trade were confirmed",
    ExpiryRejects = "expiry-rejects":
        "a request whose time is up is answered as if the trade were rejected",
    ReadsOwnCopy = "reads-own-copy":
        "a read answers what this node happens to know",
    UnclearIsPending = "unclear-is-pending":
        "a read that cannot tell whether a trade is confirmed answers that it is pending",
    FollowingStops = "following-stops":
        "a node that could not be reached once is never again asked what it has learned",
    AckBeforeSync = "ack-before-sync":
        "a confirmation is sent when it is in memory; the disk gets it up to 500 ms later",
}
