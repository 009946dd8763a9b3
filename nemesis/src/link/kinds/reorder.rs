//! `reorder`: a share of the packets overtakes those that were sent before, which wait.
//!
//! Recognised by numbered datagrams that arrive before lower numbers, sent much closer to each other than
//! the wait is long.

use ordeal_core::words::{log_between, time_us};
use ordeal_core::{LinkRule, Rng, Words};
use serde::Deserialize;
use serde_json::{Value, json};

use super::shares::{COUNT_MAX, within_bounds};
use super::{Effect, Means, ms_to_us, shares, spread_out, us_to_ms};
use crate::args::parse;
use crate::link::judge::{Case, Verdict, by_share, enough_for};

const EXPECTED: &str = r#"{"share": 0.25, "reorder_ms": 20}"#;
/// At least so many, for the datagrams to be much closer to each other than the shortest wait.
const COUNT_MIN: u64 = 150;
const WAIT_MS_MIN: f64 = 3.0;

pub(crate) static REORDER: Effect = Effect {
    clients: true,
    name: "reorder",
    about: "a share of the packets on some links overtakes those sent before, which wait",
    words: "a share (25%), how long the others wait (20ms)",
    draw,
    read,
    rule,
    means: Means::Datagrams(|rule, others| {
        // A packet overtakes only if one before it waits.
        let overtaking = rule.reorder * (1.0 - rule.reorder);
        spread_out(enough_for(overtaking, COUNT_MAX).max(COUNT_MIN), rule, others)
    }),
    judge,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    share: f64,
    reorder_ms: f64,
}

fn draw(rng: &mut Rng) -> Value {
    let share = log_between(rng, 50, 500) as f64 / 1_000.0;
    json!({ "share": share, "reorder_ms": log_between(rng, 5, 50) })
}

fn read(words: &mut Words, parameters: &mut Value) -> Result<(), String> {
    shares::read(words, parameters)?;
    if let Some(us) = words.take(time_us) {
        parameters["reorder_ms"] = us_to_ms(us);
    }
    rule(parameters).map(drop)
}

fn rule(parameters: &Value) -> Result<LinkRule, String> {
    let Parameters { share, reorder_ms } = parse(parameters, EXPECTED)?;
    if share >= 1.0 {
        return Err("`share` is 1: if all go first, none is overtaken".to_owned());
    }
    let reorder_us = ms_to_us("reorder_ms", reorder_ms, WAIT_MS_MIN)?;
    Ok(LinkRule { reorder: within_bounds(share)?, reorder_us, ..LinkRule::default() })
}

fn judge(case: &Case<'_>) -> Verdict {
    let seen = case.seen;
    // Datagrams whose delays scatter overtake each other as well.
    let others = (case.others.jitter_us == 0).then_some(0.0);
    by_share(seen.arrived(), seen.overtakers(), case.rule.reorder * (1.0 - case.rule.reorder), others)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::burst::{Arrival, Seen};

    #[test]
    fn who_overtakes_is_recognised_unless_scattered_delays_do_the_same() {
        let rule = rule(&json!({"share": 0.2, "reorder_ms": 5})).unwrap();
        let arrivals = |numbers: &[u64]| {
            let arrivals = numbers.iter().map(|&number| Arrival { number, sent_us: 0, at_us: 1 });
            Seen { arrivals: arrivals.collect(), sent_us: vec![0; numbers.len()], ..Seen::default() }
        };
        let straight: Vec<u64> = (0..100).collect();
        let mut mixed = straight.clone();
        mixed.chunks_mut(5).for_each(|five| five.swap(0, 1));
        let jitter = LinkRule { delay_us: 9, jitter_us: 9, ..LinkRule::default() };
        for (numbers, others, verdict) in [
            (&mixed, LinkRule::default(), Verdict::There),
            (&straight, LinkRule::default(), Verdict::Absent),
            (&mixed, jitter.clone(), Verdict::Unclear),
            (&straight, jitter, Verdict::Absent),
        ] {
            let seen = arrivals(numbers);
            assert_eq!(judge(&Case { rule: &rule, others: &others, seen: &seen }), verdict);
        }
    }
}
