//! The defects that can be switched on, one at a time, with `--bug`.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

ordeal_kit::bugs! {
    ProcessedOnArrival = "processed-on-arrival":
        "an event is processed as soon as it is accepted, whatever comes before it",
    TiesByHash = "ties-by-hash":
        "events of one timestamp are processed in the order of a hash that every node draws for itself",
    BufferLostOnCrash = "buffer-lost-on-crash":
        "a snapshot leaves the buffer out, so a node that restarts has forgotten what waited in it",
    WatermarkFromClock = "watermark-from-clock":
        "the watermark follows the wall clock of the node that takes an event",
    OneSourceDecides = "one-source-decides":
        "the source that is furthest ahead moves the watermark alone",
    IdleUnchecked = "idle-unchecked":
        "time in which a node saw nothing counts although events were accepted meanwhile",
    NoDedupe = "no-dedupe":
        "an event that is sent again is taken for a new one",
    DependencyIgnored = "dependency-ignored":
        "an event is processed in its turn, whether what it depends on is applied or not",
    LateDroppedSilently = "late-dropped-silently":
        "an event that comes too late is dropped and answered as accepted",
    LateAccepted = "late-accepted":
        "an event that comes too late is accepted, and processed after those that it should precede",
    PromotionAtItsEnd = "promotion-at-its-end":
        "a promotion is still in force at the moment at which it ends",
    Oversell = "oversell":
        "an order is confirmed although there is too little in stock",
    RefusedYetKept = "refused-yet-kept":
        "an event that finds the buffer full is refused, and kept",
    OverflowDropsOldest = "overflow-drops-oldest":
        "an event that finds the buffer full takes the place of the oldest one",
    AckBeforeQuorum = "ack-before-quorum":
        "the leader answers before anybody else has the event",
    StaleRead = "stale-read":
        "a read answers from what this node happens to have processed, without asking whether anybody leads",
}

/// By name: a defect of the replicated machine travels with the command, so that every node has it.
impl Serialize for Bug {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        BUGS[*self as usize].0.serialize(out)
    }
}

impl<'d> Deserialize<'d> for Bug {
    fn deserialize<D: Deserializer<'d>>(input: D) -> Result<Self, D::Error> {
        String::deserialize(input)?.parse().map_err(D::Error::custom)
    }
}
