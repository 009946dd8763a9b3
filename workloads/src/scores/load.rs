//! What is asked: goals by some clients, scores by all, and now and then the newest events.

use std::collections::HashMap;

use ordeal_core::{Ask, Event, EventKind, Generator, Key, Next, Plan, Rng};

use super::{Score, ScoreOp, goal, match_name};
use crate::draw::{Keys, only_reads};

/// How often each operation is drawn, of a hundred, by clients that do not only read.
const GOALS: u64 = 40;
/// The same by all.
const EVENTS: u64 = 4;
const DATABASE_READS: u64 = 4;
/// Events that are looked at again, before the newest that was seen.
const EVENTS_AGAIN: u64 = 5;

/// What the feeds know of a match.
#[derive(Clone, Copy, Default)]
struct Known {
    home: u32,
    away: u32,
    sequence: u64,
}

/// The load.
pub(super) struct Load {
    rng: Rng,
    keys: Keys,
    nodes: usize,
    /// Goals handed out; every one of a run is another one.
    goals: u64,
    matches: HashMap<Key, Known>,
}

impl Load {
    pub(super) fn new(plan: &Plan) -> Self {
        Load {
            rng: Rng::fork(plan.seed, "operations"),
            keys: Keys::new(plan.keys),
            nodes: plan.nodes,
            goals: 0,
            matches: HashMap::new(),
        }
    }

    /// A goal of either side.
    fn shoot(&mut self, of: &str) -> ScoreOp {
        let known = self.matches.entry(Key::Text(of.to_owned())).or_default();
        match self.rng.chance(0.5) {
            true => known.home += 1,
            false => known.away += 1,
        }
        self.goals += 1;
        ScoreOp::Goal(Score(known.home, known.away, goal(self.goals)))
    }
}

impl Generator for Load {
    fn next(&mut self, ask: Ask) -> Next {
        let of = match_name(self.keys.next(&mut self.rng));
        let draw = self.rng.below(100);
        let op = if draw < EVENTS {
            let known = self.matches.get(&Key::Text(of.clone())).map_or(0, |known| known.sequence);
            ScoreOp::Events(known.saturating_sub(EVENTS_AGAIN))
        } else if draw < EVENTS + DATABASE_READS {
            ScoreOp::ReadDatabase
        } else if draw < EVENTS + DATABASE_READS + GOALS && !only_reads(ask, self.nodes) {
            self.shoot(&of)
        } else {
            ScoreOp::Read
        };
        Next::Op(op.on(of))
    }

    fn observe(&mut self, event: &Event) {
        let (EventKind::Ok, "goal", Some(key)) = (event.kind, &*event.f, &event.key) else { return };
        let Some(sequence) = event.value.get(0).and_then(serde_json::Value::as_u64) else { return };
        if let Some(known) = self.matches.get_mut(key) {
            known.sequence = known.sequence.max(sequence);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_grow_by_one_goal_at_a_time() {
        let mut load = Load::new(&Plan { keys: 1, nodes: 2, ..Plan::nothing("scores", "memory") });
        let mut last = 0;
        for _ in 0..500 {
            let Next::Op(op) = load.next(Ask { process: 0, thread: 0, node: 0 }) else { panic!("it ended") };
            if let Ok((_, ScoreOp::Goal(Score(home, away, _)))) = ScoreOp::read(&op) {
                assert_eq!(home + away, last + 1);
                last += 1;
            }
        }
        assert!(last > 100);
    }
}
