//! `reset`: TCP connections over some links end with a reset, as if the other end had given them up.
//!
//! Recognised by connections of the harness's own, one segment at a time, that are reset.

use ordeal_core::words::log_between;
use ordeal_core::{LinkRule, Rng};
use serde_json::json;

use super::{Effect, Means, shares};
use crate::link::judge::{Verdict, by_share, enough_for};

/// The most segments over one link.
const SEGMENTS_MAX: u64 = 1_000;

pub(crate) static RESET: Effect = Effect {
    clients: true,
    name: "reset",
    about: "in place of a share of the TCP segments on some links, both ends get a reset",
    words: "a share (5%)",
    draw: |rng: &mut Rng| json!({ "share": log_between(rng, 10, 100) as f64 / 1_000.0 }),
    read: shares::read,
    rule: |p| Ok(LinkRule { reset: shares::share(p)?, ..LinkRule::default() }),
    means: Means::Segments(|rule| enough_for(rule.reset, SEGMENTS_MAX)),
    judge: |c| match c.seen.segments {
        0 => Verdict::Unclear,
        // One is enough: a correct network never does that.
        _ if c.seen.resets > 0 && !c.others.cut => Verdict::There,
        segments => by_share(segments, c.seen.resets, c.rule.reset, Some(0.0)),
    },
};
