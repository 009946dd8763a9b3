//! The kinds of link faults: each one's arguments, how it is drawn and read, and by what it is recognised.
//!
//! A kind is a table of functions, so that everything they have in common is in one place. Adding one is a
//! file (or, where only a share differs, a few lines in `shares.rs`) and a line in the registry.

mod delay;
mod flap;
mod rate;
mod reorder;
mod reset;
mod shares;

use std::collections::BTreeMap;
use std::time::Duration;

use ordeal_core::{LinkRule, Rng, Words};
use serde_json::Value;

use super::burst::{Burst, DATAGRAM_BYTES, Seen};
use super::judge::{Case, Verdict};
use crate::ends::Link;
use crate::in_force::delay_us_max;

pub(crate) use delay::DELAY;
pub(crate) use flap::FLAP;
pub(crate) use rate::RATE;
pub(crate) use reorder::REORDER;
pub(crate) use reset::RESET;
pub(crate) use shares::{CORRUPT, CORRUPT_UNDETECTED, DUPLICATE, LOSS};

/// One kind of link fault.
pub(crate) struct Effect {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    /// Whether links of clients may be hit.
    pub(crate) clients: bool,
    /// What [`Effect::read`] takes, for people.
    pub(crate) words: &'static str,
    /// Draws the parameters: an object.
    pub(crate) draw: fn(&mut Rng) -> Value,
    /// Takes the words that say something else than was drawn.
    pub(crate) read: fn(&mut Words, &mut Value) -> Result<(), String>,
    /// What the parameters mean.
    pub(crate) rule: fn(&Value) -> Result<LinkRule, String>,
    /// How it is measured.
    pub(crate) means: Means,
    /// What the measurements say.
    pub(crate) judge: fn(&Case<'_>) -> Verdict,
}

/// How an effect is measured.
#[derive(Clone, Copy)]
pub(crate) enum Means {
    /// By single datagrams, what several bursts show adds up: what to send, for this rule and given what
    /// others do.
    Datagrams(fn(&LinkRule, &LinkRule) -> Burst),
    /// By a row of datagrams, each of which is judged for itself, and ends when one has seen enough.
    Row(fn(&LinkRule, &LinkRule) -> Burst, fn(&LinkRule, &BTreeMap<Link, Seen>) -> bool),
    /// By TCP connections; so many segments a link.
    Segments(fn(&LinkRule) -> u64),
}

/// How datagrams are spread out in time for effects on single ones.
const SPREAD: Duration = Duration::from_millis(250);
/// The longest wait for a datagram that nothing holds up; a busy machine takes its time.
const ARRIVAL: Duration = Duration::from_millis(60);

/// So many datagrams, evenly spread, waiting as long as anything may be held up.
fn spread_out(count: u64, rule: &LinkRule, others: &LinkRule) -> Burst {
    let held_us = delay_us_max(rule) + delay_us_max(others);
    Burst {
        count,
        spread: SPREAD,
        bytes: 2 * DATAGRAM_BYTES,
        wait: ARRIVAL + Duration::from_micros(held_us.min(3_000_000)),
    }
}

/// Checks that a number of a plan is sensible.
fn within(name: &str, value: f64, least: f64, most: f64) -> Result<f64, String> {
    match (least..=most).contains(&value) {
        true => Ok(value),
        false => Err(format!("`{name}` is {value}; expected {least} to {most}")),
    }
}

/// A time of a plan in milliseconds, whole or with a fraction, as the rule takes it.
fn ms_to_us(name: &str, ms: f64, least_ms: f64) -> Result<u64, String> {
    /// Far more than any fault lasts.
    const MOST_MS: f64 = 60_000.0;
    within(name, ms, least_ms, MOST_MS).map(|ms| (ms * 1_000.0).round() as u64)
}

/// A drawn or read time as a plan writes it: whole milliseconds without a fraction.
fn us_to_ms(us: u64) -> Value {
    if us.is_multiple_of(1_000) { (us / 1_000).into() } else { (us as f64 / 1_000.0).into() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    pub(super) const ALL: [&Effect; 9] =
        [&DELAY, &LOSS, &DUPLICATE, &REORDER, &CORRUPT, &CORRUPT_UNDETECTED, &RATE, &FLAP, &RESET];

    #[test]
    fn what_is_drawn_is_a_rule_that_does_something_and_never_the_same() {
        for effect in ALL {
            let drawn: Vec<Value> = (0..100).map(|seed| (effect.draw)(&mut Rng::new(seed))).collect();
            for parameters in &drawn {
                let rule = (effect.rule)(parameters).unwrap();
                assert_ne!(rule, LinkRule::default(), "{}: {parameters}", effect.name);
                match effect.means {
                    Means::Datagrams(burst) | Means::Row(burst, _) => {
                        let burst = burst(&rule, &LinkRule::default());
                        assert!(burst.count > 0 && burst.count <= 5_000, "{}: {burst:?}", effect.name);
                    }
                    Means::Segments(count) => assert!(count(&rule) <= 1_000),
                }
            }
            assert!(drawn.iter().any(|p| *p != drawn[0]), "{}", effect.name);
        }
    }

    #[test]
    fn what_is_written_is_what_it_does() {
        let read = |effect: &Effect, text: &str| {
            let mut words = Words::parse(text);
            let mut parameters = (effect.draw)(&mut Rng::new(1));
            (effect.read)(&mut words, &mut parameters)?;
            words.finish(effect.words)?;
            (effect.rule)(&parameters)
        };
        for (effect, text, rule) in [
            (&LOSS, "10%", LinkRule { loss: 0.1, ..LinkRule::default() }),
            (&DUPLICATE, "0.5", LinkRule { duplicate: 0.5, ..LinkRule::default() }),
            (&CORRUPT, "1%", LinkRule { corrupt: 0.01, ..LinkRule::default() }),
            (
                &CORRUPT_UNDETECTED,
                "1%",
                LinkRule { corrupt: 0.01, corrupt_undetected: true, ..LinkRule::default() },
            ),
            (&REORDER, "25%, 20ms", LinkRule { reorder: 0.25, reorder_us: 20_000, ..LinkRule::default() }),
            (
                &DELAY,
                "100ms, jitter=20ms, pareto",
                LinkRule {
                    delay_us: 100_000,
                    jitter_us: 20_000,
                    distribution: ordeal_core::Distribution::Pareto,
                    ..LinkRule::default()
                },
            ),
            (
                &RATE,
                "256kbit, ramp=3s",
                LinkRule { rate_bps: Some(256_000), ramp_us: 3_000_000, ..LinkRule::default() },
            ),
            (&FLAP, "300ms", LinkRule { flap_us: Some(300_000), ..LinkRule::default() }),
            (&RESET, "2%", LinkRule { reset: 0.02, ..LinkRule::default() }),
        ] {
            assert_eq!(read(effect, text), Ok(rule), "{}({text})", effect.name);
        }
        for (effect, text) in [
            (&LOSS, "10%, 20%"),
            (&LOSS, "0%"),
            (&DELAY, "10ms, jitter=20ms"),
            (&DELAY, "0ms"),
            (&DELAY, "10ms, cauchy"),
            (&RATE, "0kbit"),
            (&RATE, "1tbit"),
            (&FLAP, "1us"),
            (&FLAP, "2h"),
        ] {
            assert!(read(effect, text).is_err(), "{}({text})", effect.name);
        }
    }

    #[test]
    fn plans_are_read_strictly() {
        for (effect, parameters, why) in [
            (&LOSS, json!({"share": 2}), "expected 0.01 to 1"),
            (&LOSS, json!({"share": 0.1, "chance": 1}), "unknown field"),
            (&LOSS, json!({}), "missing field"),
            (&DELAY, json!({"delay_ms": -1}), "`delay_ms` is -1"),
            (&DELAY, json!({"delay_ms": 1, "distribution": "cauchy"}), "expected {"),
            (&RATE, json!({"kbit": 0}), "`kbit` is 0"),
            (&FLAP, json!({"period_ms": "1s"}), "expected {"),
        ] {
            let error = (effect.rule)(&parameters).unwrap_err();
            assert!(error.contains(why), "{parameters}: {error}");
        }
        let half = (DELAY.rule)(&json!({"delay_ms": 0.5})).unwrap();
        assert_eq!((half.delay_us, half.jitter_us), (500, 0), "fractions are fine, and no jitter");
    }
}
