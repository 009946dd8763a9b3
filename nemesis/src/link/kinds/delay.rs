//! `delay`: packets arrive later.
//!
//! Recognised by datagrams, none of which is faster than the rule allows, and which together are as slow as
//! it says; one that is faster disproves it. Others in force can only make them slower, but for reordering:
//! what overtakes waits for nothing, and is left out.

use ordeal_core::words::{log_between, time_us};
use ordeal_core::{Distribution, LinkRule, Rng, Words};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Effect, Means, ms_to_us, spread_out, us_to_ms};
use crate::args::parse;
use crate::in_force::delay_us_max;
use crate::link::judge::{Case, Verdict};

const EXPECTED: &str = r#"{"delay_ms": 100, "jitter_ms": 20, "distribution": "uniform", "normal" or "pareto"}, the last two only if wanted"#;
/// So few tell nothing.
const ARRIVALS_MIN: usize = 5;
/// How much later than it should a datagram may be on a machine that is busy with other things.
const LATE_US_MAX: u64 = 250_000;

pub(crate) static DELAY: Effect = Effect {
    clients: true,
    name: "delay",
    about: "packets on some links arrive late, by a steady or a scattered time",
    words: "a delay (100ms), jitter=TIME, uniform, normal or pareto",
    draw,
    read,
    rule,
    means: Means::Datagrams(|rule, others| spread_out(60, rule, others)),
    judge,
};

/// How delays scatter, as plans and people write it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Scatter {
    #[default]
    Uniform,
    Normal,
    Pareto,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    delay_ms: f64,
    #[serde(default)]
    jitter_ms: f64,
    #[serde(default)]
    distribution: Scatter,
}

fn draw(rng: &mut Rng) -> Value {
    let delay_us = log_between(rng, 1_000, 500_000);
    // Three digits are enough for people who read plans.
    let delay_us = delay_us - delay_us % 100;
    let jitter_us = match rng.below(3) {
        0 => 0,
        part => delay_us / [10, 2][part as usize - 1] / 100 * 100,
    };
    let scatter = *rng.pick(&[Scatter::Uniform, Scatter::Normal, Scatter::Pareto]);
    json!({ "delay_ms": us_to_ms(delay_us), "jitter_ms": us_to_ms(jitter_us), "distribution": scatter })
}

fn read(words: &mut Words, parameters: &mut Value) -> Result<(), String> {
    if let Some(us) = words.take(time_us) {
        parameters["delay_ms"] = us_to_ms(us);
        // What was drawn to go with another delay.
        parameters["jitter_ms"] = json!(0);
    }
    if let Some(us) = words.value("jitter", "a time like 20ms", time_us)? {
        parameters["jitter_ms"] = us_to_ms(us);
    }
    if let Some(scatter) = words.take(|word| serde_json::from_value::<Scatter>(json!(word)).ok()) {
        parameters["distribution"] = json!(scatter);
    }
    // Whatever reads a plan would refuse is refused now.
    rule(parameters).map(drop)
}

fn rule(parameters: &Value) -> Result<LinkRule, String> {
    let Parameters { delay_ms, jitter_ms, distribution } = parse(parameters, EXPECTED)?;
    let delay_us = ms_to_us("delay_ms", delay_ms, 0.1)?;
    let jitter_us = ms_to_us("jitter_ms", jitter_ms, 0.0)?;
    if jitter_us > delay_us {
        return Err(format!("`jitter_ms` is {jitter_ms}, more than the delay of {delay_ms}"));
    }
    let distribution = match distribution {
        Scatter::Uniform => Distribution::Uniform,
        Scatter::Normal => Distribution::Normal,
        Scatter::Pareto => Distribution::Pareto,
    };
    Ok(LinkRule { delay_us, jitter_us, distribution, ..LinkRule::default() })
}

/// What no packet is faster than; of a normal distribution, hardly any.
fn least_us(rule: &LinkRule) -> u64 {
    let deviations = if rule.distribution == Distribution::Normal { 5 } else { 1 };
    rule.delay_us.saturating_sub(deviations * rule.jitter_us)
}

/// How many of so many datagrams others may let overtake: the mean and four standard deviations.
fn overtaking(arrived: usize, others: &LinkRule) -> usize {
    let mean = arrived as f64 * others.reorder;
    (mean + 4.0 * (mean * (1.0 - others.reorder)).sqrt()).ceil() as usize
}

fn judge(case: &Case<'_>) -> Verdict {
    let (rule, others) = (case.rule, case.others);
    let all = case.seen.delays_us();
    let delays = all.get(overtaking(all.len(), others)..).unwrap_or_default();
    if delays.len() < ARRIVALS_MIN {
        return Verdict::Unclear;
    }
    let (fastest, median) = (delays[0], delays[delays.len() / 2]);
    let mean = delays.iter().sum::<u64>() / delays.len() as u64;
    let slow = match rule.distribution {
        // Its few long delays make up for many short ones.
        Distribution::Pareto => mean >= rule.delay_us / 3,
        // A few that a busy machine held up would raise the mean, but not the median.
        Distribution::Uniform | Distribution::Normal => median >= rule.delay_us / 2,
    };
    if fastest < least_us(rule) || !slow {
        return Verdict::Absent;
    }
    let most = 3 * rule.delay_us + 3 * rule.jitter_us + delay_us_max(others) + LATE_US_MAX;
    // A queue, or the wait of those that are overtaken, may hold up every datagram as long as the fault would.
    let by_others = others.rate_bps.is_some() || others.reorder > 0.0 && others.reorder_us >= fastest / 2;
    if !by_others && median <= most { Verdict::There } else { Verdict::Unclear }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::burst::{Arrival, Seen};

    fn after(delays_us: &[u64]) -> Seen {
        let arrivals = delays_us.iter().enumerate();
        let arrivals = arrivals.map(|(n, at_us)| Arrival { number: n as u64, sent_us: 0, at_us: *at_us });
        Seen { arrivals: arrivals.collect(), sent_us: vec![0; delays_us.len()], ..Seen::default() }
    }

    fn judged(jitter_us: u64, others: &LinkRule, delays_us: &[u64]) -> Verdict {
        let rule = LinkRule { delay_us: 10_000, jitter_us, ..LinkRule::default() };
        judge(&Case { rule: &rule, others, seen: &after(delays_us) })
    }

    #[test]
    fn one_datagram_that_is_too_fast_disproves_a_delay() {
        let none = LinkRule::default();
        let slow = [10_000, 10_100, 12_000, 11_000, 10_050];
        assert_eq!(judged(0, &none, &slow), Verdict::There);
        let mut fast = slow;
        fast[3] = 9_999;
        assert_eq!(judged(0, &none, &fast), Verdict::Absent);
        assert_eq!(judged(1, &none, &fast), Verdict::There);
        assert_eq!(judged(10_000, &none, &[100; 9]), Verdict::Absent, "all would not be at the edge");
        assert_eq!(judged(0, &none, &[]), Verdict::Unclear);
        assert_eq!(judged(0, &none, &[9_000_000; 9]), Verdict::Unclear, "that is something else");
    }

    #[test]
    fn a_queue_of_another_fault_is_not_taken_for_a_delay() {
        let slow = [100_000; 9];
        let rate = LinkRule { rate_bps: Some(64_000), ..LinkRule::default() };
        assert_eq!(judged(0, &rate, &slow), Verdict::Unclear);
        assert_eq!(judged(0, &rate, &[5_000; 9]), Verdict::Absent);
    }

    #[test]
    fn what_overtakes_does_not_disprove_a_delay() {
        let mut delays = [12_000; 100];
        delays[..20].fill(100);
        let reorder = |reorder_us| LinkRule { reorder: 0.2, reorder_us, ..LinkRule::default() };
        assert_eq!(judged(0, &reorder(5_000), &delays), Verdict::There);
        assert_eq!(judged(0, &reorder(11_000), &delays), Verdict::Unclear, "those overtaken wait as long");
        delays[..60].fill(5_000);
        assert_eq!(judged(0, &reorder(5_000), &delays), Verdict::Absent);
        assert_eq!(judged(0, &reorder(5_000), &[100; 8]), Verdict::Unclear, "too few are left");
    }
}
