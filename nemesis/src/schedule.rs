//! When what is broken: a run's faults, drawn from its seed.
//!
//! A run is a row of periods: a fault of one to five seconds (less if it is only a kill), then quiet of half to two. Some periods have
//! two faults that overlap; one in four has none, so that the system also gets time to recover fully.
//! Invariants:
//! - Kinds are dealt from a shuffled deck and not drawn one by one, so none is left out by bad luck. Kills
//!   and partitions, which find most, are in it twice. Ten seconds see the whole deck at least once, half a
//!   minute twice; in less every kind comes once. If the time is tight, everything is shortened in
//!   proportion, and no period is without a fault.
//! - No variant (whom a kill hits, the shape of a partition) comes again while another one can be drawn.
//! - A fault begins within the first second; the last one ends before the end.
//! - No kind is in force twice at a time.
//! - The same arguments make the same schedule.

use std::collections::BTreeSet;
use std::iter::repeat_n;

use ordeal_core::{Fault, FaultStep, Rng};
use serde_json::Value;

use crate::{kill, partition, pause};

/// A run this long sees the whole deck, and one this long sees it twice.
const LONG_MS: u64 = 10_000;
const VERY_LONG_MS: u64 = 30_000;
/// How often another variant is drawn in place of one that was there already.
const REDRAWS: usize = 16;
const FAULT_MS: (u64, u64) = (1_000, 5_000);
/// Of a period in which nodes are only killed: what matters is how often they die, not how long they lie.
const KILL_MS: (u64, u64) = (200, 1_500);
const QUIET_MS: (u64, u64) = (500, 2_000);
/// Of a period, on average.
const PERIOD_MS: u64 = (FAULT_MS.0 + FAULT_MS.1 + QUIET_MS.0 + QUIET_MS.1) / 2;
/// Periods come in groups of this size, one of which is without a fault.
const GROUP: usize = 4;

/// A period before it is fitted to the time there is.
struct Period {
    /// Indices of the faults; none, one or two.
    faults: Vec<usize>,
    fault_ms: u64,
    quiet_ms: u64,
}

/// Draws the schedule of a run of `duration_ms` on so many `nodes`, by time. Takes only faults that apply.
/// `has_primary`: the target can name its primary.
pub fn schedule(
    faults: &[&dyn Fault],
    duration_ms: u64,
    seed: u64,
    nodes: usize,
    has_primary: bool,
) -> Vec<FaultStep> {
    if faults.is_empty() || duration_ms == 0 {
        return Vec::new();
    }
    let rng = &mut Rng::fork(seed, "schedule");
    let lead_ms = rng.between(100, 900).min(duration_ms / 10);
    let room_ms = duration_ms - lead_ms;
    let names: Vec<&str> = faults.iter().map(|fault| fault.name()).collect();
    let periods = deal(rng, &names, duration_ms, room_ms);
    let total_ms: u64 = periods.iter().map(|p| p.fault_ms + p.quiet_ms).sum();
    let fit = |ms: u64| {
        if total_ms > room_ms { ms * room_ms / total_ms } else { ms }
    };

    // Whom a kind hits does not depend on which other kinds are asked for.
    let mut whom: Vec<Rng> = faults.iter().map(|f| Rng::fork(seed, f.name())).collect();
    let mut had: Vec<BTreeSet<String>> = vec![BTreeSet::new(); faults.len()];
    let mut steps = Vec::new();
    let mut elapsed_ms = 0;
    for period in &periods {
        let begin_ms = lead_ms + fit(elapsed_ms);
        let length_ms = fit(period.fault_ms);
        for (position, &fault) in period.faults.iter().enumerate() {
            let (delay_ms, for_ms) = place(rng, position, length_ms);
            steps.push(FaultStep {
                at_ms: begin_ms + delay_ms,
                for_ms,
                fault: faults[fault].name().to_owned(),
                args: fresh(&mut had[fault], || faults[fault].draw(&mut whom[fault], nodes, has_primary)),
            });
        }
        elapsed_ms += period.fault_ms + period.quiet_ms;
    }
    steps.sort_by_key(|step| step.at_ms);
    steps
}

/// Draws until a variant comes that was not there yet; when there seems to be none, all may come again.
fn fresh(had: &mut BTreeSet<String>, mut draw: impl FnMut() -> Value) -> Value {
    let mut args = draw();
    for _ in 0..REDRAWS {
        if had.insert(variant(&args)) {
            return args;
        }
        args = draw();
    }
    had.clear();
    had.insert(variant(&args));
    args
}

/// What kind of injection the arguments describe, whoever it hits.
fn variant(args: &Value) -> String {
    match (&args["shape"], &args["nodes"]) {
        (Value::String(shape), _) => shape.clone(),
        (_, Value::String(word)) => word.clone(),
        (_, Value::Array(nodes)) => nodes.len().to_string(),
        _ => args.to_string(),
    }
}

/// Deals periods until the time is filled and each kind has had its turns.
fn deal(rng: &mut Rng, kinds: &[&str], duration_ms: u64, room_ms: u64) -> Vec<Period> {
    let twice = |kind: &&str| duration_ms >= LONG_MS && [kill::NAME, partition::NAME].contains(kind);
    let deck: Vec<usize> =
        kinds.iter().enumerate().flat_map(|(i, kind)| repeat_n(i, 1 + usize::from(twice(kind)))).collect();
    let turns = if duration_ms >= VERY_LONG_MS { 2 } else { 1 };
    let wanted = deck.len() * turns;
    let tight = room_ms / PERIOD_MS < (wanted + wanted.div_ceil(GROUP - 1)) as u64;
    let mut deck = Deck { all: deck, cards: Vec::new() };
    let mut periods: Vec<Period> = Vec::new();
    let (mut dealt, mut total_ms, mut empty_at) = (0, 0, 0);
    while dealt < wanted || total_ms < room_ms {
        let position = periods.len() % GROUP;
        if position == 0 {
            // Never the first: the load must not run undisturbed for long before anything happens.
            empty_at = rng.between(1, GROUP as u64 - 1) as usize;
        }
        let faults = if position == empty_at && !tight { Vec::new() } else { deck.one_or_two(rng, kinds) };
        let only_kills = !faults.is_empty() && faults.iter().all(|&fault| kinds[fault] == kill::NAME);
        let (least_ms, most_ms) = if only_kills { KILL_MS } else { FAULT_MS };
        let period = Period {
            faults,
            fault_ms: rng.between(least_ms, most_ms),
            quiet_ms: rng.between(QUIET_MS.0, QUIET_MS.1),
        };
        dealt += period.faults.len();
        total_ms += period.fault_ms + period.quiet_ms;
        periods.push(period);
    }
    periods
}

/// Where in its period a fault lies: the first fills it, a second one begins later.
fn place(rng: &mut Rng, position: usize, length_ms: u64) -> (u64, u64) {
    if position == 0 {
        return (0, length_ms.max(1));
    }
    let delay_ms = rng.between(0, length_ms / 2);
    let rest_ms = (length_ms - delay_ms).max(1);
    (delay_ms, rng.between(rest_ms.div_ceil(2), rest_ms))
}

/// Kinds in random order, shuffled again when it is used up.
struct Deck {
    all: Vec<usize>,
    cards: Vec<usize>,
}

impl Deck {
    fn top(&mut self, rng: &mut Rng) -> usize {
        if self.cards.is_empty() {
            self.cards.clone_from(&self.all);
            rng.shuffle(&mut self.cards);
        }
        self.cards[self.cards.len() - 1]
    }

    /// One kind, or now and then two different ones that leave each other something to do: a dead node
    /// cannot be paused.
    fn one_or_two(&mut self, rng: &mut Rng, kinds: &[&str]) -> Vec<usize> {
        let first = self.top(rng);
        self.cards.pop();
        let second = self.top(rng);
        let node_faults = [kill::NAME, pause::NAME];
        let clash = [first, second].iter().all(|&kind| node_faults.contains(&kinds[kind]));
        if !clash && second != first && rng.chance(0.4) {
            self.cards.pop();
            return vec![first, second];
        }
        vec![first]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn with(names: &[&str], duration_ms: u64, seed: u64) -> Vec<FaultStep> {
        let faults: Vec<_> =
            names.iter().map(|name| (crate::find(name).unwrap().build)(&std::sync::Arc::default())).collect();
        let faults: Vec<&dyn Fault> = faults.iter().map(|fault| &**fault).collect();
        schedule(&faults, duration_ms, seed, 5, true)
    }

    const SETS: [&[&str]; 4] =
        [&["kill"], &["pause", "kill"], &["partition"], &["kill", "pause", "partition"]];
    const DURATIONS_MS: [u64; 8] = [500, 1_000, 3_000, 5_000, 9_999, 10_000, 30_000, 120_000];

    #[test]
    fn every_schedule_keeps_its_promises() {
        for names in SETS {
            for duration_ms in DURATIONS_MS {
                for seed in 0..200 {
                    let steps = with(names, duration_ms, seed);
                    let context = format!("{names:?}, {duration_ms} ms, seed {seed}: {steps:?}");
                    assert!(steps.is_sorted_by_key(|s| s.at_ms), "{context}");
                    assert!(steps[0].at_ms <= 1_000, "{context}");
                    assert!(
                        steps.iter().all(|s| s.for_ms > 0 && s.at_ms + s.for_ms < duration_ms),
                        "{context}"
                    );
                    let mut by_kind: BTreeMap<&str, Vec<&FaultStep>> = BTreeMap::new();
                    for step in &steps {
                        by_kind.entry(&step.fault).or_default().push(step);
                    }
                    for name in names {
                        let often = *name != "pause" && duration_ms >= 10_000;
                        let turns = if duration_ms >= 30_000 { 2 } else { 1 } * (1 + usize::from(often));
                        let of_kind = by_kind.get(name).map_or(&[][..], Vec::as_slice);
                        assert!(of_kind.len() >= turns, "{name}: {context}");
                        assert!(
                            of_kind.windows(2).all(|w| w[0].at_ms + w[0].for_ms < w[1].at_ms),
                            "{context}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn the_same_seed_makes_the_same_schedule_and_another_another() {
        let all = ["kill", "pause", "partition"];
        assert_eq!(with(&all, 30_000, 7), with(&all, 30_000, 7));
        assert_ne!(with(&all, 30_000, 7), with(&all, 30_000, 8));
    }

    #[test]
    fn with_time_to_spare_faults_last_and_a_quarter_of_the_periods_is_quiet() {
        let rng = &mut Rng::new(3);
        let periods = deal(rng, &["kill", "pause", "partition"], 600_000, 600_000);
        let empty = periods.iter().filter(|p| p.faults.is_empty()).count();
        assert!((empty as i64 - periods.len() as i64 / 4).abs() <= 1, "{empty} of {}", periods.len());
        let two = periods.iter().filter(|p| p.faults.len() == 2).count();
        assert!(two * 10 > periods.len() && two * 2 < periods.len(), "{two} of {}", periods.len());
        let lasting = with(&["pause"], 120_000, 3);
        assert!(lasting.iter().all(|s| (900..=5_000).contains(&s.for_ms)), "{lasting:?}");
    }

    #[test]
    fn faults_overlap_and_nodes_are_sometimes_restarted_at_once() {
        let mut overlaps = 0;
        let mut short_kills = 0;
        for seed in 0..100 {
            let steps = with(&["kill", "pause", "partition"], 60_000, seed);
            overlaps += steps.windows(2).filter(|w| w[1].at_ms < w[0].at_ms + w[0].for_ms).count();
            short_kills += steps.iter().filter(|s| s.fault == "kill" && s.for_ms <= 500).count();
        }
        assert!(overlaps > 100, "{overlaps}");
        assert!(short_kills > 20, "{short_kills}");
    }

    #[test]
    fn variants_take_turns() {
        for seed in 0..50 {
            let steps = with(&["kill", "pause", "partition"], 30_000, seed);
            for name in ["kill", "partition"] {
                let first: Vec<_> = steps.iter().filter(|s| s.fault == name).take(4).collect();
                let variants: BTreeSet<String> = first.iter().map(|s| variant(&s.args)).collect();
                assert_eq!((first.len(), variants.len()), (4, 4), "seed {seed}: {first:?}");
            }
        }
    }

    #[test]
    fn nothing_asked_for_is_nothing_planned() {
        assert!(schedule(&[], 10_000, 1, 3, false).is_empty());
        assert!(with(&["kill"], 0, 1).is_empty());
    }
}
