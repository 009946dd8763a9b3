//! When what is broken: a run's faults, as asked for, drawn from its seed where nothing is said.
//!
//! What has a time comes at that time. The rest is drawn: the load is a row of periods, each a random subset
//! of the kinds for one to five seconds (less if nodes are only killed), then quiet of half to two. One in
//! four has no fault at all, so that the system also gets time to recover fully.
//! Invariants of what is drawn:
//! - Kinds are dealt from shuffled decks and not drawn one by one, so none is left out by bad luck. Kills
//!   and partitions, which find most, are in them twice. Ten seconds see all cards at least once, half a
//!   minute twice; in less every kind comes once. If the time is tight, everything is shortened in
//!   proportion, and no period is without a fault.
//! - Kinds that exclude one another never share a period; the others begin at different times of it.
//! - No variant (whom a kill hits, the shape of a partition) comes again while another one can be drawn.
//! - A fault begins within the first second; the last one ends before the end.
//!
//! No kind is in force twice at a time. The same arguments make the same schedule.

mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::iter::repeat_n;

use ordeal_core::{Fault, FaultStep, Rng, Words};
use serde_json::Value;

pub use text::{Clause, When, parse};

use crate::{Excludes, Kind, join, kill, partition};

/// A run this long sees all cards, and one this long sees them twice.
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
/// How often a deck takes part in a period if there is no need.
const TAKES_PART: f64 = 0.6;
/// The part of the load in which nodes join.
const JOIN_PART: f64 = 0.5;
/// How often one more of the kinds that exclude nothing takes part.
const ONE_MORE: f64 = 0.4;

/// A fault that was asked for, and the object that carries it out.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// What was asked.
    pub clause: &'a Clause,
    /// Who does it.
    pub fault: &'a dyn Fault,
}

/// The cluster that is planned for.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// How long the load lasts.
    pub duration_ms: u64,
    /// The run's seed.
    pub seed: u64,
    /// How many nodes there are, when all have joined.
    pub nodes: usize,
    /// How many of them join while the run goes on.
    pub joining: usize,
    /// The target can name its primary.
    pub has_primary: bool,
}

/// The schedule of a run, by time. Takes only faults that apply.
///
/// # Errors
/// What of the words or times makes no sense, or makes one kind come twice at a time.
pub fn schedule(asked: &[Asked<'_>], setting: Setting) -> Result<Vec<FaultStep>, String> {
    if setting.duration_ms == 0 {
        return Ok(Vec::new());
    }
    let drawn = |a: &&Asked<'_>| a.clause.when == When::Drawn && a.fault.name() != join::NAME;
    let drawn: Vec<Asked<'_>> = asked.iter().filter(drawn).copied().collect();
    let mut steps = Vec::new();
    for (position, asked) in asked.iter().enumerate() {
        let name = asked.fault.name();
        // What is drawn for one clause does not depend on the others.
        let rng = &mut Rng::fork(setting.seed, &format!("{name} {position}"));
        let times = match (name, &asked.clause.when) {
            (join::NAME, When::Drawn) => joins(rng, setting),
            (_, when) => when.times(setting.duration_ms).map_err(|why| format!("{name}: {why}"))?,
        };
        for (at_ms, for_ms) in times {
            let args = args(asked, rng, setting)?;
            steps.push(FaultStep { at_ms, for_ms, fault: name.to_owned(), args });
        }
    }
    // What has a time has it; what is drawn makes room.
    let free = |step: &FaultStep| !steps.iter().any(|timed| exclude(step, timed));
    let drawn_steps: Vec<FaultStep> = draw(&drawn, setting)?.into_iter().filter(free).collect();
    steps.extend(drawn_steps);
    let planned = |asked: &&Asked<'_>| steps.iter().any(|step| step.fault == asked.fault.name());
    if let Some(without) = drawn.iter().find(|asked| !planned(asked)) {
        let name = without.fault.name();
        return Err(format!("there is no time for {name} beside the faults that were given a time"));
    }
    steps.sort_by_key(|step| step.at_ms);
    once_at_a_time(&steps)?;
    no_more_than_can_join(&steps, setting.joining)?;
    Ok(steps)
}

/// What two steps must not have in common at the same time.
fn class(step: &FaultStep) -> &str {
    crate::find(&step.fault).and_then(|kind| kind.excludes.class()).unwrap_or(&step.fault)
}

fn exclude(a: &FaultStep, b: &FaultStep) -> bool {
    let ends = |step: &FaultStep| step.at_ms.saturating_add(step.for_ms);
    class(a) == class(b) && a.at_ms < ends(b) && b.at_ms < ends(a)
}

fn args(asked: &Asked<'_>, rng: &mut Rng, setting: Setting) -> Result<Value, String> {
    let Setting { nodes, has_primary, .. } = setting;
    match asked.clause.words.is_empty() {
        true => Ok(asked.fault.draw(rng, nodes, has_primary)),
        false => read(asked.fault, asked.clause.words.clone(), rng, nodes, has_primary),
    }
}

fn read(
    fault: &dyn Fault,
    words: Words,
    rng: &mut Rng,
    nodes: usize,
    has_primary: bool,
) -> Result<Value, String> {
    fault.read(words, rng, nodes, has_primary).map_err(|why| format!("{}: {why}", fault.name()))
}

/// Refuses a schedule, sorted by time, in which a kind is injected while it, or one that it excludes, is
/// still in force.
///
/// # Errors
/// Which one, and when.
pub fn once_at_a_time(steps: &[FaultStep]) -> Result<(), String> {
    let mut last: BTreeMap<&str, &FaultStep> = BTreeMap::new();
    for step in steps {
        if let Some(before) = last.insert(class(step), step).filter(|before| exclude(before, step)) {
            let before_ms = before.at_ms.saturating_add(before.for_ms);
            return Err(format!(
                "{} is to begin at {} ms, but the {} before it, which it excludes, lasts until {before_ms} ms: \
                 shorten it with `for`",
                step.fault, step.at_ms, before.fault
            ));
        }
    }
    Ok(())
}

/// Refuses a schedule in which more nodes join than there are to join.
///
/// # Errors
/// How many there are.
pub fn no_more_than_can_join(steps: &[FaultStep], joining: usize) -> Result<(), String> {
    let joins = steps.iter().filter(|step| step.fault == join::NAME).count();
    match joins <= joining {
        true => Ok(()),
        false => Err(format!("{joins} nodes are to join, and there are {joining}: say --join {joins}")),
    }
}

/// When nodes join if nothing is said: each once, in the first [`JOIN_PART`] of the load, so that the system also works
/// with all of them.
fn joins(rng: &mut Rng, Setting { duration_ms, joining, .. }: Setting) -> Vec<(u64, u64)> {
    let turn_ms = (duration_ms as f64 * JOIN_PART) as u64 / joining.max(1) as u64;
    let for_ms = (turn_ms / 2).max(1);
    (0..joining as u64).map(|turn| (turn * turn_ms + rng.between(turn_ms / 8, turn_ms / 2), for_ms)).collect()
}

/// A period before it is fitted to the time there is.
struct Period {
    /// Indices of the faults.
    faults: Vec<usize>,
    fault_ms: u64,
    quiet_ms: u64,
}

/// What has no time of its own.
fn draw(asked: &[Asked<'_>], setting: Setting) -> Result<Vec<FaultStep>, String> {
    if asked.is_empty() {
        return Ok(Vec::new());
    }
    let Setting { duration_ms, seed, .. } = setting;
    let rng = &mut Rng::fork(seed, "schedule");
    let lead_ms = rng.between(100, 900).min(duration_ms / 10);
    let room_ms = duration_ms - lead_ms;
    let kinds: Vec<&Kind> = asked.iter().map(|a| a.clause.kind).collect();
    let periods = deal(rng, &kinds, duration_ms, room_ms);
    let total_ms: u64 = periods.iter().map(|p| p.fault_ms + p.quiet_ms).sum();
    let fit = |ms: u64| {
        if total_ms > room_ms { ms * room_ms / total_ms } else { ms }
    };

    // Whom a kind hits does not depend on which other kinds are asked for.
    let mut whom: Vec<Rng> = asked.iter().map(|a| Rng::fork(seed, a.fault.name())).collect();
    let mut had: Vec<BTreeSet<String>> = vec![BTreeSet::new(); asked.len()];
    let mut steps = Vec::new();
    let mut elapsed_ms = 0;
    for period in &periods {
        let begin_ms = lead_ms + fit(elapsed_ms);
        let length_ms = fit(period.fault_ms);
        for (position, &index) in period.faults.iter().enumerate() {
            let (delay_ms, for_ms) = place(rng, position, length_ms);
            steps.push(FaultStep {
                at_ms: begin_ms + delay_ms,
                for_ms,
                fault: asked[index].fault.name().to_owned(),
                args: fresh(&mut had[index], || args(&asked[index], &mut whom[index], setting))?,
            });
        }
        elapsed_ms += period.fault_ms + period.quiet_ms;
    }
    Ok(steps)
}

/// Draws until a variant comes that was not there yet; when there seems to be none, all may come again.
fn fresh(
    had: &mut BTreeSet<String>,
    mut draw: impl FnMut() -> Result<Value, String>,
) -> Result<Value, String> {
    let mut args = draw()?;
    for _ in 0..REDRAWS {
        if had.insert(variant(&args)) {
            return Ok(args);
        }
        args = draw()?;
    }
    had.clear();
    had.insert(variant(&args));
    Ok(args)
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
fn deal(rng: &mut Rng, kinds: &[&Kind], duration_ms: u64, room_ms: u64) -> Vec<Period> {
    let turns = if duration_ms >= VERY_LONG_MS { 2 } else { 1 };
    let deck = |excludes: Excludes| {
        let twice =
            |kind: &Kind| duration_ms >= LONG_MS && [kill::NAME, partition::NAME].contains(&kind.name);
        let of_it = kinds.iter().enumerate().filter(|(_, kind)| kind.excludes == excludes);
        let all: Vec<usize> = of_it.flat_map(|(i, kind)| repeat_n(i, 1 + usize::from(twice(kind)))).collect();
        Deck { wanted: all.len() * turns, all, cards: Vec::new(), alone: excludes != Excludes::Nothing }
    };
    let mut decks: Vec<Deck> =
        [Excludes::Lives, Excludes::Clocks, Excludes::Nothing].map(deck).into_iter().collect();
    decks.retain(|deck| !deck.all.is_empty());
    let most = decks.iter().map(|deck| deck.wanted).max().unwrap_or(0);
    let tight = room_ms / PERIOD_MS < (most + most.div_ceil(GROUP - 1)) as u64;
    let mut periods: Vec<Period> = Vec::new();
    let (mut total_ms, mut empty_at) = (0, 0);
    while total_ms < room_ms || decks.iter().any(|deck| deck.wanted > 0) {
        let position = periods.len() % GROUP;
        if position == 0 {
            // Never the first: the load must not run undisturbed for long before anything happens.
            empty_at = rng.between(1, GROUP as u64 - 1) as usize;
        }
        let left = (room_ms.saturating_sub(total_ms) / PERIOD_MS) as usize * (GROUP - 1) / GROUP;
        let empty = position == empty_at && !tight;
        let faults = if empty { Vec::new() } else { subset(rng, &mut decks, left.max(1)) };
        let only_kills = !faults.is_empty() && faults.iter().all(|&fault| kinds[fault].name == kill::NAME);
        let (least_ms, most_ms) = if only_kills { KILL_MS } else { FAULT_MS };
        let period = Period {
            faults,
            fault_ms: rng.between(least_ms, most_ms),
            quiet_ms: rng.between(QUIET_MS.0, QUIET_MS.1),
        };
        total_ms += period.fault_ms + period.quiet_ms;
        periods.push(period);
    }
    periods
}

/// The kinds of one period, in random order; at least one. `left`: how many more periods there will be.
fn subset(rng: &mut Rng, decks: &mut [Deck], left: usize) -> Vec<usize> {
    let mut subset = Vec::new();
    for deck in decks.iter_mut() {
        let needed = deck.wanted.div_ceil(left);
        let mut count = usize::from(rng.chance(TAKES_PART));
        count += usize::from(!deck.alone && rng.chance(ONE_MORE));
        deck.take(rng, count.max(needed), &mut subset);
    }
    if subset.is_empty() {
        let deck = rng.below(decks.len() as u64) as usize;
        decks[deck].take(rng, 1, &mut subset);
    }
    rng.shuffle(&mut subset);
    subset
}

/// Where in its period a fault lies: the first fills it, others begin later.
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
    /// How many must still be dealt at least.
    wanted: usize,
    /// Only one of them fits in a period.
    alone: bool,
}

impl Deck {
    /// Deals so many that are not dealt yet in this period, or as many as there are.
    fn take(&mut self, rng: &mut Rng, count: usize, dealt: &mut Vec<usize>) {
        let count = if self.alone { count.min(1) } else { count };
        for _ in 0..count {
            if self.cards.is_empty() {
                self.cards.clone_from(&self.all);
                rng.shuffle(&mut self.cards);
            }
            let Some(at) = self.cards.iter().rposition(|card| !dealt.contains(card)) else { break };
            dealt.push(self.cards.remove(at));
            self.wanted = self.wanted.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn plan(text: &str, duration_ms: u64, seed: u64) -> Result<Vec<FaultStep>, String> {
        let clauses = parse(text)?;
        let faults: Vec<_> = clauses.iter().map(|clause| (clause.kind.build)(&Arc::default())).collect();
        let asked: Vec<Asked<'_>> =
            clauses.iter().zip(&faults).map(|(clause, fault)| Asked { clause, fault: &**fault }).collect();
        schedule(&asked, Setting { duration_ms, seed, nodes: 5, joining: 2, has_primary: true })
    }

    fn with(text: &str, duration_ms: u64, seed: u64) -> Vec<FaultStep> {
        plan(text, duration_ms, seed).unwrap()
    }

    fn kinds(text: &str) -> Vec<&'static Kind> {
        parse(text).unwrap().iter().map(|clause| clause.kind).collect()
    }

    const THREE: &str = "kill, pause, partition";
    const SETS: [&str; 5] = ["kill", "pause, kill", "partition", THREE, "all"];
    const DURATIONS_MS: [u64; 8] = [500, 1_000, 3_000, 5_000, 9_999, 10_000, 30_000, 120_000];

    #[test]
    fn every_schedule_keeps_its_promises() {
        for set in SETS {
            let kinds = kinds(set);
            for duration_ms in DURATIONS_MS {
                for seed in 0..if set == "all" { 20 } else { 200 } {
                    let steps = with(set, duration_ms, seed);
                    let context = format!("{set}, {duration_ms} ms, seed {seed}: {steps:?}");
                    assert!(steps.is_sorted_by_key(|s| s.at_ms), "{context}");
                    assert!(steps[0].at_ms <= 1_000, "{context}");
                    assert!(
                        steps.iter().all(|s| s.for_ms > 0 && s.at_ms + s.for_ms <= duration_ms),
                        "{context}"
                    );
                    for kind in &kinds {
                        let of_kind: Vec<_> = steps.iter().filter(|s| s.fault == kind.name).collect();
                        let often = ["kill", "partition"].contains(&kind.name) && duration_ms >= 10_000;
                        let turns = if duration_ms >= 30_000 { 2 } else { 1 } * (1 + usize::from(often));
                        if kind.name == join::NAME {
                            assert_eq!(of_kind.len(), 2, "each node that can join does: {context}");
                            continue;
                        }
                        assert!(of_kind.len() >= turns, "{}: {context}", kind.name);
                    }
                    if duration_ms < 10_000 {
                        continue;
                    }
                    for class in [Excludes::Lives, Excludes::Clocks] {
                        let of_class: Vec<_> = steps
                            .iter()
                            .filter(|s| crate::find(&s.fault).unwrap().excludes == class)
                            .collect();
                        let apart = |w: &[&FaultStep]| w[0].at_ms + w[0].for_ms <= w[1].at_ms;
                        assert!(of_class.windows(2).all(apart), "{class:?}: {context}");
                    }
                }
            }
        }
    }

    #[test]
    fn no_more_nodes_join_than_there_are() {
        let steps = with("join; kill at 3s for 2s", 20_000, 1);
        assert_eq!(steps.iter().filter(|step| step.fault == join::NAME).count(), 2, "{steps:?}");
        assert!(steps.iter().all(|step| step.at_ms + step.for_ms <= 10_000), "{steps:?}");
        assert_eq!(with("join at 3s; join at 7s", 20_000, 1).len(), 2);
        let refused = plan("join every 3s for 1s", 20_000, 1).unwrap_err();
        assert!(refused.contains("there are 2"), "{refused}");
        assert!(plan("join(n1)", 20_000, 1).unwrap_err().contains("in their order"));
    }

    #[test]
    fn the_same_seed_makes_the_same_schedule_and_another_another() {
        assert_eq!(with("all", 30_000, 7), with("all", 30_000, 7));
        assert_ne!(with(THREE, 30_000, 7), with(THREE, 30_000, 8));
    }

    #[test]
    fn with_time_to_spare_faults_last_and_a_quarter_of_the_periods_is_quiet() {
        let periods = deal(&mut Rng::new(3), &kinds(THREE), 600_000, 600_000);
        let empty = periods.iter().filter(|p| p.faults.is_empty()).count();
        assert!((empty as i64 - periods.len() as i64 / 4).abs() <= 1, "{empty} of {}", periods.len());
        let two = periods.iter().filter(|p| p.faults.len() == 2).count();
        assert!(two * 10 > periods.len() && two * 2 < periods.len(), "{two} of {}", periods.len());
        let lasting = with("pause", 120_000, 3);
        assert!(lasting.iter().all(|s| (900..=5_000).contains(&s.for_ms)), "{lasting:?}");
    }

    #[test]
    fn faults_overlap_and_nodes_are_sometimes_restarted_at_once() {
        let mut overlaps = 0;
        let mut short_kills = 0;
        for seed in 0..100 {
            let steps = with(THREE, 60_000, seed);
            overlaps += steps.windows(2).filter(|w| w[1].at_ms < w[0].at_ms + w[0].for_ms).count();
            short_kills += steps.iter().filter(|s| s.fault == "kill" && s.for_ms <= 500).count();
        }
        assert!(overlaps > 100, "{overlaps}");
        assert!(short_kills > 20, "{short_kills}");
    }

    #[test]
    fn variants_take_turns() {
        for seed in 0..50 {
            let steps = with(THREE, 30_000, seed);
            for name in ["kill", "partition"] {
                let first: Vec<_> = steps.iter().filter(|s| s.fault == name).take(4).collect();
                let variants: BTreeSet<String> = first.iter().map(|s| variant(&s.args)).collect();
                assert_eq!((first.len(), variants.len()), (4, 4), "seed {seed}: {first:?}");
            }
        }
    }

    #[test]
    fn what_has_a_time_comes_at_that_time_with_the_words_as_written() {
        let steps = with("kill(n2, n4) at 3s, 9s for 1s; partition", 20_000, 1);
        let kills: Vec<_> = steps.iter().filter(|s| s.fault == "kill").collect();
        assert_eq!(
            kills.iter().map(|s| (s.at_ms, s.for_ms)).collect::<Vec<_>>(),
            [(3_000, 1_000), (9_000, 1_000)]
        );
        assert!(kills.iter().all(|s| s.args["nodes"] == serde_json::json!([1, 3])));
        assert!(steps.iter().any(|s| s.fault == "partition"));
        let alone = with("kill(n2, n4) at 3s, 9s for 1s", 20_000, 1);
        assert_eq!(alone.len(), 2, "nothing else is drawn");
    }

    #[test]
    fn one_kind_twice_at_a_time_is_refused() {
        for text in [
            "kill at 1s for 5s; kill at 3s",
            "kill at 1s for 5s; pause at 3s",
            "clock-step at 1s for 5s; clock-drift at 3s",
        ] {
            let error = plan(text, 20_000, 1).unwrap_err();
            assert!(error.contains("lasts until"), "{text}: {error}");
        }
        let made_room = with("kill(n1) at 5s for 10s; pause, partition", 20_000, 1);
        let kill = made_room.iter().find(|s| s.fault == "kill").unwrap();
        assert!(made_room.iter().all(|s| s.fault != "pause" || !exclude(s, kill)), "{made_room:?}");
        assert!(made_room.iter().any(|s| s.fault == "partition" && s.at_ms > 5_000 && s.at_ms < 15_000));
        assert!(plan("kill at 0s until end; pause", 20_000, 1).unwrap_err().contains("no time for pause"));
        assert!(plan("kill(n9)", 20_000, 1).unwrap_err().contains("kill: "));
    }

    #[test]
    fn nothing_asked_for_is_nothing_planned() {
        assert!(with("none", 10_000, 1).is_empty());
        assert!(with("kill", 0, 1).is_empty());
    }
}
