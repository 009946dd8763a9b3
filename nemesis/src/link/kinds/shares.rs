//! `loss`, `duplicate`, `corrupt`, `corrupt-undetected`: something befalls a share of the packets.
//!
//! Recognised by how many datagrams are missing, arrive twice, or arrive with other content. Corruption that
//! a checksum catches looks like loss, but the receiver's kernel counts what it refused.

use ordeal_core::{LinkRule, Rng, Words};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Effect, Means, spread_out, within};
use crate::args::parse;
use crate::link::judge::{Case, Verdict, by_share, enough_for, loss_by};

const WORDS: &str = "a share (10% or 0.1)";
const EXPECTED: &str = r#"{"share": 0.1}"#;
/// The most datagrams of one burst over one link.
pub(super) const COUNT_MAX: u64 = 400;

pub(crate) static LOSS: Effect = Effect {
    clients: true,
    name: "loss",
    about: "a share of the packets on some links vanishes",
    words: WORDS,
    draw: |rng| draw(rng, 10, 300),
    read,
    rule: |p| Ok(LinkRule { loss: share(p)?, ..LinkRule::default() }),
    means: Means::Datagrams(|rule, others| spread_out(enough_for(rule.loss, COUNT_MAX), rule, others)),
    judge: |c| by_share(c.seen.sent(), c.seen.lost(), c.rule.loss, loss_by(c.others)),
};

pub(crate) static DUPLICATE: Effect = Effect {
    clients: true,
    name: "duplicate",
    about: "a share of the packets on some links arrives twice",
    words: WORDS,
    draw: |rng| draw(rng, 10, 500),
    read,
    rule: |p| Ok(LinkRule { duplicate: share(p)?, ..LinkRule::default() }),
    means: Means::Datagrams(|rule, others| spread_out(enough_for(rule.duplicate, COUNT_MAX), rule, others)),
    judge: |c| by_share(c.seen.arrived(), c.seen.copies, c.rule.duplicate, Some(0.0)),
};

pub(crate) static CORRUPT: Effect = Effect {
    clients: true,
    name: "corrupt",
    about: "a bit flips in a share of the packets on some links; the receiver's kernel drops them for their checksum",
    words: WORDS,
    draw: |rng| draw(rng, 10, 200),
    read,
    rule: |p| Ok(LinkRule { corrupt: share(p)?, ..LinkRule::default() }),
    means: Means::Datagrams(|rule, others| spread_out(enough_for(rule.corrupt, COUNT_MAX), rule, others)),
    judge: judge_corrupt,
};

pub(crate) static CORRUPT_UNDETECTED: Effect = Effect {
    clients: false,
    name: "corrupt-undetected",
    about: "a bit flips in a share of the packets on some links, and no checksum below the application notices",
    words: WORDS,
    draw: |rng| draw(rng, 10, 200),
    read,
    rule: |p| Ok(LinkRule { corrupt: share(p)?, corrupt_undetected: true, ..LinkRule::default() }),
    means: Means::Datagrams(|rule, others| spread_out(enough_for(rule.corrupt, COUNT_MAX), rule, others)),
    judge: |c| {
        // Those that cannot be told any more have not arrived, but they have come.
        let came = c.seen.sent() - c.seen.lost();
        by_share(came, c.seen.broken, c.rule.corrupt, Some(0.0))
    },
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    share: f64,
}

/// Draws a share between so many thousandths, small ones as often as large ones.
fn draw(rng: &mut Rng, least: u64, most: u64) -> Value {
    json!({ "share": ordeal_core::words::log_between(rng, least, most) as f64 / 1_000.0 })
}

pub(super) fn read(words: &mut Words, parameters: &mut Value) -> Result<(), String> {
    if let Some(read) = words.take(ordeal_core::words::share) {
        parameters["share"] = json!(read);
        within_bounds(read)?;
    }
    Ok(())
}

/// The share of a plan that has nothing else.
pub(super) fn share(parameters: &Value) -> Result<f64, String> {
    let Parameters { share } = parse(parameters, EXPECTED)?;
    within_bounds(share)
}

/// What is rarer could not be proved, nor its healing.
const SHARE_MIN: f64 = 0.01;

/// The share, if it can be proved.
pub(super) fn within_bounds(share: f64) -> Result<f64, String> {
    within("share", share, SHARE_MIN, 1.0)
}

fn judge_corrupt(case: &Case<'_>) -> Verdict {
    let (seen, share) = (case.seen, case.rule.corrupt);
    let by_loss = by_share(seen.sent(), seen.lost(), share, loss_by(case.others));
    let refused = seen.refused > 0;
    match by_loss {
        // The kernel tells it from loss, however much of that others cause.
        Verdict::There | Verdict::Unclear if refused && seen.lost() > 0 => Verdict::There,
        Verdict::There => Verdict::Unclear,
        Verdict::Unclear if !refused && seen.arrived() as f64 * share >= 4.0 => Verdict::Absent,
        verdict => verdict,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::burst::{Arrival, Seen};

    fn seen(sent: u64, arrived: u64) -> Seen {
        let arrivals = (0..arrived).map(|number| Arrival { number, sent_us: 0, at_us: 1 });
        Seen { sent_us: vec![0; sent as usize], arrivals: arrivals.collect(), ..Seen::default() }
    }

    #[test]
    fn each_share_is_recognised_by_its_own_sign_only() {
        let none = LinkRule::default();
        let whole = seen(100, 100);
        let lost = seen(100, 90);
        let twice = Seen { copies: 10, ..seen(100, 100) };
        let broken = Seen { broken: 10, ..seen(100, 100) };
        let refused = Seen { refused: 10, ..seen(100, 90) };
        for (effect, there) in [
            (&LOSS, vec![&lost, &refused]),
            (&DUPLICATE, vec![&twice]),
            (&CORRUPT, vec![&refused]),
            (&CORRUPT_UNDETECTED, vec![&broken]),
        ] {
            let rule = (effect.rule)(&json!({"share": 0.1})).unwrap();
            for seen in [&whole, &lost, &twice, &broken, &refused] {
                let verdict = (effect.judge)(&Case { rule: &rule, others: &none, seen });
                let meant = there.iter().any(|s| std::ptr::eq(*s, seen));
                assert_eq!(verdict == Verdict::There, meant, "{}: {seen:?}", effect.name);
                assert!(!std::ptr::eq(seen, &whole) || verdict == Verdict::Absent, "{}", effect.name);
            }
        }
    }

    #[test]
    fn corruption_is_told_from_the_loss_of_another_fault() {
        let rule = (CORRUPT.rule)(&json!({"share": 0.1})).unwrap();
        let others = LinkRule { loss: 0.2, ..LinkRule::default() };
        let judged = |seen: &Seen| judge_corrupt(&Case { rule: &rule, others: &others, seen });
        assert_eq!(judged(&Seen { refused: 9, ..seen(100, 72) }), Verdict::There);
        assert_eq!(judged(&seen(100, 80)), Verdict::Absent);
        assert_eq!(judged(&seen(100, 0)), Verdict::Unclear);
    }
}
