//! `scores`: live scores of matches, told through any cache and seen at any other (write-through cache with coherence).
//!
//! A goal is written through a cache, or at the database, and gets the next number among the events of its match. The
//! promise: per match one linearizable score, whichever node is asked; every acknowledged goal is in the stream
//! of events once, in its place, without gaps; the caches agree with the database after everything is healed; and caches
//! answer most reads by themselves.
//!
//! Every goal is unique in a run. Some are sent twice, as by a feed that delivers at least once. The contract is
//! `openapi.yaml` beside this file; [`client`] speaks it.

mod http;
mod judges;
mod load;

pub use http::client;

use ordeal_checkers::models::RegisterNames;
use ordeal_checkers::{Convergence, Linearizable, Stats, VersionedRegister};
use ordeal_core::{Checker, EachThread, Generator, Key, Op, Plan, Sequence, Workload};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::NotMine;
use judges::{Feeds, Hits, Viewers, answered};
use load::Load;

/// The workload's name.
pub const NAME: &str = "scores";

/// The workload in one line.
pub const ABOUT: &str =
    "live scores of matches: goals through any cache, scores from any cache, streams of events";

/// A score: home, away, and the goal that led to it, unique in a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Score(pub u32, pub u32, pub String);

/// The goal of this number: its words, and the id of its request.
fn goal(n: u64) -> String {
    format!("g{n}")
}

/// What is asked of a match.
#[derive(Clone, Debug, PartialEq)]
pub enum ScoreOp {
    /// Tell a goal; answered with `[sequence, [home, away, goal]]`.
    Goal(Score),
    /// The score; answered with `[sequence, [home, away, goal], whether a copy answered]`, the score null before the
    /// first goal.
    Read,
    /// The score that the database has; answered like `Read`.
    ReadDatabase,
    /// The events from this number on; answered with `[[sequence, [home, away, goal], request id], …]`.
    Events(u64),
}

impl ScoreOp {
    /// The operation on this match.
    pub fn on(self, of: String) -> Op {
        let (f, value) = match self {
            ScoreOp::Goal(score) => ("goal", json!(score)),
            ScoreOp::Read => ("read", Value::Null),
            ScoreOp::ReadDatabase => ("read-database", Value::Null),
            ScoreOp::Events(from) => ("events", json!(from)),
        };
        Op::new(f, Key::Text(of), value)
    }

    /// The match, and what is asked of it.
    ///
    /// # Errors
    /// If it is no operation of this workload.
    pub fn read(op: &Op) -> Result<(&str, ScoreOp), NotMine> {
        match (&op.key, ScoreOp::parts(&op.f, &op.value)) {
            (Some(Key::Text(of)), Some(asked)) => Ok((of, asked)),
            _ => Err(NotMine::new(NAME, op)),
        }
    }

    /// What is asked with this function and this argument.
    fn parts(f: &str, value: &Value) -> Option<ScoreOp> {
        match f {
            "goal" => Score::deserialize(value).ok().map(ScoreOp::Goal),
            "read" => Some(ScoreOp::Read),
            "read-database" => Some(ScoreOp::ReadDatabase),
            "events" => value.as_u64().map(ScoreOp::Events),
            _ => None,
        }
    }
}

/// The match of this number.
fn match_name(n: u64) -> String {
    format!("m{n}")
}

/// The `scores` workload.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scores;

impl Workload for Scores {
    fn name(&self) -> &'static str {
        NAME
    }

    fn about(&self) -> &'static str {
        ABOUT
    }

    fn generator(&self, plan: &Plan) -> Box<dyn Generator> {
        Box::new(Load::new(plan))
    }

    fn final_generator(&self, plan: &Plan) -> Box<dyn Generator> {
        let matches = plan.keys;
        Box::new(EachThread::new(move || {
            // Twice: the second answer comes from the copy that the first one left.
            let reads = [ScoreOp::Read, ScoreOp::Read, ScoreOp::ReadDatabase, ScoreOp::Events(0)];
            let all = (0..matches).flat_map(move |n| reads.clone().map(|read| read.on(match_name(n))));
            Sequence::new(all.collect())
        }))
    }

    fn checkers(&self, _plan: &Plan) -> Vec<Box<dyn Checker>> {
        let names = RegisterNames { read: "read".into(), write: "goal".into(), cas: None };
        let register = VersionedRegister { names };
        vec![
            Box::new(answered(Linearizable::new(register).only(|f| matches!(f, "goal" | "read")))),
            Box::new(answered(Convergence::new(["read", "read-database", "events"]))),
            Box::new(Feeds),
            Box::new(Viewers),
            Box::new(Hits),
            Box::new(Stats),
        ]
    }

    fn mutates(&self, f: &str) -> bool {
        f == "goal"
    }
}
