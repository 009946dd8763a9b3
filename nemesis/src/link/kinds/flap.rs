//! `flap`: links go down and come up again in turns.
//!
//! Recognised by datagrams sent at short intervals: a row of losses of at least half a turn between two that
//! arrive, or from the first on.

use std::time::Duration;

use ordeal_core::words::{log_between, time_us};
use ordeal_core::{LinkRule, Rng, Words};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{ARRIVAL, Effect, Means, ms_to_us, us_to_ms};
use crate::args::parse;
use crate::in_force::delay_us_max;
use crate::link::burst::{Burst, DATAGRAM_BYTES, Seen};
use crate::link::judge::{Case, Verdict};

const EXPECTED: &str = r#"{"period_ms": 300}"#;
/// How many datagrams a turn, at most one in two milliseconds.
const A_TURN: u64 = 60;
/// Longer turns than this would be too long to wait for.
const TURN_MS_MAX: f64 = 2_000.0;

pub(crate) static FLAP: Effect = Effect {
    clients: true,
    name: "flap",
    about: "some links are down and up in turns",
    words: "the length of a turn (300ms)",
    draw: |rng: &mut Rng| json!({ "period_ms": log_between(rng, 100, 1_000) }),
    read,
    rule,
    means: Means::Row(turns, |rule, seen| {
        seen.values().all(|seen| turned(rule, seen.outages_us().0) || stayed(rule, seen))
    }),
    judge,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    period_ms: f64,
}

fn read(words: &mut Words, parameters: &mut Value) -> Result<(), String> {
    if let Some(us) = words.take(time_us) {
        parameters["period_ms"] = us_to_ms(us);
    }
    rule(parameters).map(drop)
}

fn rule(parameters: &Value) -> Result<LinkRule, String> {
    let Parameters { period_ms } = parse(parameters, EXPECTED)?;
    if period_ms > TURN_MS_MAX {
        return Err(format!("`period_ms` is {period_ms}; expected 20 to {TURN_MS_MAX}"));
    }
    Ok(LinkRule { flap_us: Some(ms_to_us("period_ms", period_ms, 20.0)?), ..LinkRule::default() })
}

/// For two turns and a little more: both states must come.
fn turns(rule: &LinkRule, others: &LinkRule) -> Burst {
    let turn = Duration::from_micros(rule.flap_us.unwrap_or_default());
    Burst {
        count: 2 * A_TURN.min(turn.as_millis() as u64 / 2).max(10) + 10,
        spread: turn.mul_f64(2.2),
        bytes: DATAGRAM_BYTES,
        wait: ARRIVAL + Duration::from_micros(delay_us_max(others).min(3_000_000)),
    }
}

/// Whether there was an outage of the length of a turn, as far as it can be told.
fn turned(rule: &LinkRule, outage_us: u64) -> bool {
    rule.flap_us.is_some_and(|turn_us| outage_us >= turn_us / 2)
}

/// Whether it was watched so long that it would have been down for a quarter of a turn in one go, and was not.
fn stayed(rule: &LinkRule, seen: &Seen) -> bool {
    let watched_us = seen.sent_us.last().zip(seen.sent_us.first()).map_or(0, |(last, first)| last - first);
    let (outage_us, open_us) = seen.outages_us();
    rule.flap_us.is_some_and(|turn_us| {
        watched_us >= turn_us * 3 / 2 && outage_us.max(open_us) < turn_us / 5 && seen.arrived() > 0
    })
}

fn judge(case: &Case<'_>) -> Verdict {
    let (seen, others) = (case.seen, case.others);
    // Others that cut links or fill queues make outages as well; what is merely lost seldom comes in a row.
    let blocked = others.cut || others.rate_bps.is_some() || others.loss > 0.5;
    if stayed(case.rule, seen) {
        Verdict::Absent
    } else if !blocked && seen.arrived() > 0 && turned(case.rule, seen.outages_us().0) {
        Verdict::There
    } else {
        Verdict::Unclear
    }
}
