//! `rate`: a link carries only so many bits a second; from the start, or growing from a hundredth of it.
//!
//! Recognised by a stream of a multiple of the rate, of which no more gets through than the rate allows.

use ordeal_core::words::{log_between, time_us};
use ordeal_core::{LinkRule, Rng, Words};
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;

use super::{ARRIVAL, Effect, Means, ms_to_us, us_to_ms, within};
use crate::args::parse;
use crate::in_force::delay_us_max;
use crate::link::burst::{Burst, DATAGRAM_BYTES, WIRE_BYTES};
use crate::link::judge::{Case, Verdict, loss_by};

const EXPECTED: &str = r#"{"kbit": 256, "ramp_ms": 3000}, the last only if wanted"#;
/// How much more than the rate is sent, and for how long.
const EXCESS: u64 = 4;
const STREAM: Duration = Duration::from_millis(250);
/// In how many datagrams, if they need not be too large or too small for that. At the begin of a ramp a large
/// one would take seconds.
const ROW: u64 = 60;
const ROW_OF_RAMP: u64 = 800;
const DATAGRAM_BYTES_MAX: u64 = 1_200;
/// Of a ramp, the first part, in which hardly anything gets through.
const RAMP_US_MAX: u64 = 1_000_000;

pub(crate) static RATE: Effect = Effect {
    clients: true,
    name: "rate",
    about: "some links carry only so many bits a second, what does not fit their queue vanishes; with a ramp, they start slowly",
    words: "a rate (256kbit, 8mbit), ramp=TIME",
    draw,
    read,
    rule,
    means: Means::Row(stream, |_, _| false),
    judge,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    kbit: f64,
    #[serde(default)]
    ramp_ms: f64,
}

fn draw(rng: &mut Rng) -> Value {
    let kbit = log_between(rng, 64, 8_000);
    let ramp_ms = if rng.chance(0.25) { log_between(rng, 500, 3_000) } else { 0 };
    json!({ "kbit": kbit, "ramp_ms": ramp_ms })
}

fn read(words: &mut Words, parameters: &mut Value) -> Result<(), String> {
    let kbit = |word: &str| {
        let (number, factor) = match (word.strip_suffix("kbit"), word.strip_suffix("mbit")) {
            (Some(number), _) => (number, 1.0),
            (_, Some(number)) => (number, 1_000.0),
            _ => return None,
        };
        number.trim().parse::<f64>().ok().map(|number| number * factor)
    };
    if let Some(kbit) = words.take(kbit) {
        parameters["kbit"] = json!(kbit);
        parameters["ramp_ms"] = json!(0);
    }
    if let Some(us) = words.value("ramp", "a time like 3s", time_us)? {
        parameters["ramp_ms"] = us_to_ms(us);
    }
    rule(parameters).map(drop)
}

fn rule(parameters: &Value) -> Result<LinkRule, String> {
    let Parameters { kbit, ramp_ms } = parse(parameters, EXPECTED)?;
    // Much more could not be exceeded by a burst that does no harm itself.
    let rate_bps = (within("kbit", kbit, 16.0, 20_000.0)? * 1_000.0).round() as u64;
    let ramp_us = ms_to_us("ramp_ms", ramp_ms, 0.0)?;
    Ok(LinkRule { rate_bps: Some(rate_bps), ramp_us, ..LinkRule::default() })
}

fn stream(rule: &LinkRule, others: &LinkRule) -> Burst {
    let rate_bps = rule.rate_bps.unwrap_or_default();
    let stream = STREAM + Duration::from_micros(rule.ramp_us.min(RAMP_US_MAX));
    let wanted = EXCESS * rate_bps / 8 * stream.as_millis() as u64 / 1_000;
    let row = if rule.ramp_us > 0 { ROW_OF_RAMP } else { ROW };
    let bytes = (wanted / row).saturating_sub(WIRE_BYTES).clamp(DATAGRAM_BYTES as u64, DATAGRAM_BYTES_MAX);
    Burst {
        count: (wanted / (bytes + WIRE_BYTES)).max(1),
        spread: stream,
        bytes: bytes as usize,
        // The queue is 200 ms long.
        wait: ARRIVAL + Duration::from_micros(250_000 + delay_us_max(others).min(3_000_000)),
    }
}

fn judge(case: &Case<'_>) -> Verdict {
    let (seen, others) = (case.seen, case.others);
    let rate = case.rule.rate_bps.unwrap_or_default() as f64;
    let (Some(first), Some(last)) = (seen.arrivals.first(), seen.arrivals.last()) else {
        return Verdict::Unclear;
    };
    let one = seen.bytes as f64 / seen.arrived() as f64 * 8.0;
    let bits = seen.bytes as f64 * 8.0;
    // The first one need not have waited.
    let window_s = (last.at_us - first.at_us).max(1) as f64 / 1e6;
    let carried = (bits - one) / window_s;
    let sent_s = seen.sent_us.last().zip(seen.sent_us.first()).map_or(0, |(l, f)| l - f).max(1) as f64 / 1e6;
    let offered = seen.sent() as f64 * one / sent_s;
    if carried > 2.0 * rate {
        return Verdict::Absent;
    }
    // What others drop, or spread over time, must not be what made it so little.
    let spared = loss_by(&LinkRule { rate_bps: None, ..others.clone() }).map_or(0.0, |loss| 1.0 - loss);
    let spread = sent_s / (sent_s + (8 * others.jitter_us + others.reorder_us) as f64 / 1e6);
    let held_back = offered * spared * spread > 2.0 * carried && others.rate_bps.is_none();
    if held_back && carried <= 1.25 * rate { Verdict::There } else { Verdict::Unclear }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::burst::{Arrival, Seen};

    /// A stream of 4 Mbit/s for 250 ms, of which so many of each ten arrive, over so many ms.
    fn seen(of_ten: u64, ms: u64) -> Seen {
        let sent: Vec<u64> = (0..100).map(|n| n * 2_500).collect();
        let count = of_ten * 10;
        let arrivals =
            (0..count).map(|n| Arrival { number: n, sent_us: n * 2_500, at_us: n * ms * 1_000 / count });
        Seen { arrivals: arrivals.collect(), sent_us: sent, bytes: count * 1_250, ..Seen::default() }
    }

    #[test]
    fn a_rate_is_recognised_by_what_it_lets_through() {
        let rule = rule(&json!({"kbit": 1_000})).unwrap();
        let judged = |seen: &Seen, others: &LinkRule| judge(&Case { rule: &rule, others, seen });
        let none = LinkRule::default();
        assert_eq!(judged(&seen(5, 450), &none), Verdict::There);
        assert_eq!(judged(&seen(10, 250), &none), Verdict::Absent);
        assert_eq!(judged(&seen(4, 250), &none), Verdict::Unclear, "one and a half times the rate");
        let loss = LinkRule { loss: 0.7, ..none.clone() };
        assert_eq!(judged(&seen(3, 350), &loss), Verdict::Unclear, "the other fault explains it");
        assert_eq!(judged(&Seen::default(), &none), Verdict::Unclear);
    }

    #[test]
    fn the_stream_exceeds_any_rate_and_stays_small() {
        for kbit in [16, 64, 256, 1_000, 8_000, 20_000] {
            let rule = rule(&json!({"kbit": kbit})).unwrap();
            let burst = stream(&rule, &LinkRule::default());
            let bits = burst.count * (burst.bytes as u64 + WIRE_BYTES) * 8;
            let offered = bits as f64 / burst.spread.as_secs_f64();
            assert!(offered >= 2.5 * 1_000.0 * f64::from(kbit), "{kbit}: {burst:?}");
            assert!(bits / 8 < 3_000_000, "{kbit}: {burst:?}");
        }
    }
}
