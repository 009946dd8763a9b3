//! The defects that can be switched on, one at a time, with `--bug`.

ordeal_kit::bugs! {
    TokenNotChecked = "token-not-checked":
        "a replica takes a price without comparing its fencing token with what it has promised",
    WallClockLease = "wall-clock-lease":
        "holders and coordinators measure leases by the wall clock",
    RenewalAfterExpiry = "renewal-after-expiry":
        "a coordinator answers a renewal as done although the lease has expired and may be somebody else's",
    LeasesForgottenOnRestart = "leases-forgotten-on-restart":
        "a coordinator that restarts takes the leases that it finds in its log to have run out",
    HolderServesAfterExpiry = "holder-serves-after-expiry":
        "a holder answers until it is told that it lost the lease, however long that takes",
    GrantedEarly = "granted-before-the-old-one-ended":
        "whoever asks for a lease gets it, also while the one before still runs",
    TakeoverWithoutRecovery = "takeover-without-recovery":
        "a new holder goes on from its own copy and does not ask a majority for the newest price",
    LocalReadsOfAnyAge = "local-reads-of-any-age":
        "a local read is answered however old the copy is",
}
