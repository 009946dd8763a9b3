//! What the clock faults can be told: in a plan, and in the words of people.
//!
//! In a plan: `{"nodes": [0], "offset_ms": 60000}`, with `"period_ms": 100` for a strobe, `{"nodes": [0],
//! "ppm": -2000}` for a drift; `"nodes"` as everywhere (whom.rs). `"monotonic": true` skews the monotonic
//! clock as well.

use ordeal_core::{Rng, Words, words};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::whom;

/// A week.
const OFFSET_MS_MAX: i64 = 7 * 24 * 3_600_000;
const PERIOD_MS_MAX: u64 = 5_000;
const PPM_MAX: i64 = 500_000;
/// What is drawn.
const OFFSETS_MS: (u64, u64) = (10, 2 * 3_600_000);
const PERIODS_MS: (u64, u64) = (2, 250);
const PPMS: (u64, u64) = (100, 200_000);

/// Which of the clock faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    Step,
    Strobe,
    Drift,
}

/// How the clocks are to be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// Off by so much.
    Step { offset_ms: i64 },
    /// Off by so much and right in turns, each for so long.
    Strobe { offset_ms: i64, period_ms: u64 },
    /// Too fast, or too slow, by so many millionths.
    Drift { ppm: i64 },
}

/// An injection out of a plan. Whom it hits [`whom::resolve`] reads out of the same arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) shape: Shape,
    pub(super) monotonic: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    #[serde(rename = "nodes")]
    _nodes: Value,
    offset_ms: i64,
    #[serde(default)]
    monotonic: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Strobe {
    #[serde(rename = "nodes")]
    _nodes: Value,
    offset_ms: i64,
    period_ms: u64,
    #[serde(default)]
    monotonic: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Drift {
    #[serde(rename = "nodes")]
    _nodes: Value,
    ppm: i64,
    #[serde(default)]
    monotonic: bool,
}

impl Sort {
    /// Reads the arguments of an injection.
    pub(super) fn parse(self, args: &Value) -> Result<Order, String> {
        let order = match self {
            Sort::Step => Step::deserialize(args)
                .map(|Step { offset_ms, monotonic, .. }| (Shape::Step { offset_ms }, monotonic)),
            Sort::Strobe => {
                Strobe::deserialize(args).map(|Strobe { offset_ms, period_ms, monotonic, .. }| {
                    (Shape::Strobe { offset_ms, period_ms }, monotonic)
                })
            }
            Sort::Drift => {
                Drift::deserialize(args).map(|Drift { ppm, monotonic, .. }| (Shape::Drift { ppm }, monotonic))
            }
        };
        let expected = match self {
            Sort::Step => r#"{"nodes": …, "offset_ms": 60000}"#,
            Sort::Strobe => r#"{"nodes": …, "offset_ms": 60000, "period_ms": 100}"#,
            Sort::Drift => r#"{"nodes": …, "ppm": -2000}"#,
        };
        let wrong = |why: String| format!("{why}; expected {expected}, found {args}");
        let (shape, monotonic) = order.map_err(|e| wrong(e.to_string()))?;
        shape.check().map_err(wrong)?;
        Ok(Order { shape, monotonic })
    }

    /// Draws whom and how.
    pub(super) fn draw(self, rng: &mut Rng, nodes: usize, has_primary: bool, monotonic: bool) -> Value {
        let mut args = json!({ "nodes": draw_whom(rng, nodes, has_primary) });
        let sign = *rng.pick(&[1, -1]);
        let signed = |rng: &mut Rng, (least, most)| sign * words::log_between(rng, least, most) as i64;
        match self {
            Sort::Step => args["offset_ms"] = json!(signed(rng, OFFSETS_MS)),
            Sort::Strobe => {
                args["offset_ms"] = json!(signed(rng, OFFSETS_MS));
                args["period_ms"] = json!(words::log_between(rng, PERIODS_MS.0, PERIODS_MS.1));
            }
            Sort::Drift => args["ppm"] = json!(signed(rng, PPMS)),
        }
        if monotonic {
            args["monotonic"] = json!(true);
        }
        args
    }

    /// Overrides what was drawn by what the words say.
    pub(super) fn read(self, words: &mut Words, args: &mut Value) -> Result<(), String> {
        match self {
            Sort::Step | Sort::Strobe => {
                if let Some(offset_ms) = words.take(signed_ms) {
                    args["offset_ms"] = json!(offset_ms);
                }
                let period = |text: &str| words::time_us(text).map(|us| us / 1_000).filter(|ms| *ms > 0);
                if self == Sort::Strobe
                    && let Some(period_ms) = words.value("period", "a time like 100ms", period)?
                {
                    args["period_ms"] = json!(period_ms);
                }
            }
            Sort::Drift => {
                let share = |text: &str| signed(text, words::share).map(|share| (share * 1e6).round() as i64);
                let ppm = words.value("ppm", "a whole number like -2000", |text| text.parse().ok())?;
                let share = words.value("drift", "a share like -5%", share)?;
                if let Some(ppm) = ppm.or(share) {
                    args["ppm"] = json!(ppm);
                }
            }
        }
        self.parse(args).map(drop)
    }

    /// What [`Sort::read`] reads, besides whom.
    pub(super) fn words(self) -> &'static str {
        match self {
            Sort::Step => "an offset (+60s, -1.5h, 500ms)",
            Sort::Strobe => "an offset (+60s, -1.5h, 500ms), period=100ms",
            Sort::Drift => "ppm=-2000 or drift=5%",
        }
    }
}

impl Shape {
    fn check(self) -> Result<(), String> {
        match self {
            Shape::Step { offset_ms } | Shape::Strobe { offset_ms, .. }
                if offset_ms == 0 || offset_ms.unsigned_abs() > OFFSET_MS_MAX as u64 =>
            {
                Err(format!("an offset is from 1 ms to {OFFSET_MS_MAX} ms in either direction"))
            }
            Shape::Strobe { period_ms, .. } if !(1..=PERIOD_MS_MAX).contains(&period_ms) => {
                Err(format!("a period is from 1 to {PERIOD_MS_MAX} ms"))
            }
            Shape::Drift { ppm } if ppm == 0 || ppm.unsigned_abs() > PPM_MAX as u64 => {
                Err(format!("a drift is from 1 to {PPM_MAX} parts per million in either direction"))
            }
            _ => Ok(()),
        }
    }
}

/// Draws whose clocks: what differs between nodes shows most, so mostly those of one or of a few.
fn draw_whom(rng: &mut Rng, nodes: usize, has_primary: bool) -> Value {
    let minority = nodes.saturating_sub(1) / 2;
    let mut choices = vec!["last-acknowledged", "one", "one", "one"];
    if minority > 1 {
        choices.extend(["minority", "minority"]);
    }
    if nodes > 2 {
        choices.push("majority");
    }
    if has_primary {
        choices.extend(["primary", "primary"]);
    }
    // All alike is what only comparison with the clients' clocks can notice.
    choices.push("all");
    let count = match *rng.pick(&choices) {
        "one" => 1,
        "minority" => rng.between(2, minority as u64) as usize,
        "majority" => nodes / 2 + 1,
        word => return json!(word),
    };
    json!(whom::some(rng, nodes, count))
}

/// Reads a length of time with or without a sign, in milliseconds.
fn signed_ms(text: &str) -> Option<i64> {
    let us = signed(text, |text| words::time_us(text).map(|us| us as f64))?;
    Some((us / 1e3).round() as i64)
}

/// Reads a number with or without a sign.
fn signed(text: &str, read: impl Fn(&str) -> Option<f64>) -> Option<f64> {
    match text.strip_prefix('-') {
        Some(rest) => read(rest).map(|number| -number),
        None => read(text.strip_prefix('+').unwrap_or(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SORTS: [Sort; 3] = [Sort::Step, Sort::Strobe, Sort::Drift];

    #[test]
    fn what_is_drawn_can_be_parsed_and_everything_is_drawn() {
        let decades = |n: i64| n.unsigned_abs().ilog10();
        for sort in SORTS {
            let mut offsets = std::collections::BTreeSet::new();
            let mut whom = std::collections::BTreeSet::new();
            for seed in 0..2_000 {
                let args = sort.draw(&mut Rng::new(seed), 5, true, seed % 2 == 0);
                let order = sort.parse(&args).unwrap();
                assert_eq!(order.monotonic, seed % 2 == 0);
                whom.insert(
                    args["nodes"].as_array().map_or(args["nodes"].to_string(), |n| n.len().to_string()),
                );
                let (Shape::Step { offset_ms: n }
                | Shape::Strobe { offset_ms: n, .. }
                | Shape::Drift { ppm: n }) = order.shape;
                offsets.insert((n.signum(), decades(n)));
            }
            let expected = if sort == Sort::Drift { 2..=5 } else { 1..=6 };
            let expected = expected.flat_map(|decade| [(1, decade), (-1, decade)]).collect();
            assert_eq!(offsets, expected, "{sort:?}");
            assert_eq!(whom.len(), 6, "{whom:?}");
        }
        for nodes in 1..4 {
            let drawn = |seed| draw_whom(&mut Rng::new(seed), nodes, false);
            let args = |seed| json!({ "nodes": drawn(seed), "offset_ms": 1 });
            assert!((0..100).all(|seed| Sort::Step.parse(&args(seed)).is_ok()));
        }
    }

    #[test]
    fn words_override_what_was_drawn() {
        let read = |sort: Sort, text: &str| {
            let mut args = sort.draw(&mut Rng::new(1), 3, false, false);
            let mut words = Words::parse(text);
            sort.read(&mut words, &mut args)?;
            words.finish(sort.words())?;
            Ok::<_, String>(sort.parse(&args)?.shape)
        };
        for (text, offset_ms) in [("+60s", 60_000), ("-1.5h", -5_400_000), ("500ms", 500)] {
            assert_eq!(read(Sort::Step, text), Ok(Shape::Step { offset_ms }));
        }
        assert_eq!(
            read(Sort::Strobe, "-5s, period=20ms"),
            Ok(Shape::Strobe { offset_ms: -5_000, period_ms: 20 })
        );
        assert_eq!(read(Sort::Drift, "ppm=-2000"), Ok(Shape::Drift { ppm: -2_000 }));
        assert_eq!(read(Sort::Drift, "drift=5%"), Ok(Shape::Drift { ppm: 50_000 }));
        assert_eq!(read(Sort::Drift, "drift=-0.1"), Ok(Shape::Drift { ppm: -100_000 }));
        assert!(read(Sort::Drift, "").is_ok());
        for (sort, bad) in [
            (Sort::Step, "period=20ms"),
            (Sort::Step, "0ms"),
            (Sort::Step, "1000h"),
            (Sort::Strobe, "period=0ms"),
            (Sort::Strobe, "period=20"),
            (Sort::Drift, "drift=60%"),
            (Sort::Drift, "ppm=fast"),
            (Sort::Drift, "5%"),
        ] {
            assert!(read(sort, bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn nonsense_in_a_plan_is_refused_with_what_was_expected() {
        for (sort, args) in [
            (Sort::Step, json!({"nodes": [0]})),
            (Sort::Step, json!({"nodes": [0], "offset_ms": 0})),
            (Sort::Step, json!({"nodes": [0], "offset_ms": 1, "ppm": 1})),
            (Sort::Step, json!({"nodes": [0], "offset_ms": i64::MIN})),
            (Sort::Strobe, json!({"nodes": [0], "offset_ms": 1})),
            (Sort::Strobe, json!({"nodes": [0], "offset_ms": 1, "period_ms": 0})),
            (Sort::Drift, json!({"nodes": [0], "ppm": 500_001})),
            (Sort::Drift, json!({"ppm": 5})),
        ] {
            let error = sort.parse(&args).unwrap_err();
            assert!(error.contains("expected") && error.contains(&args.to_string()), "{error}");
        }
    }
}
