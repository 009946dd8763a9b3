//! `slow-disk`: calls on the disk take longer, mostly those that sync or write, as on a disk that is worn
//! out or shared with others.
//!
//! Proof: the calls that were held up. The harness makes none of its own, which others' rules would strike.

use std::sync::Arc;

use ordeal_core::words::{log_between, time_us};
use ordeal_core::{Fault, Rng, Words};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{After, Ruling, build as build_ruled, read_scope};
use crate::Arsenal;
use crate::args::parse;
use crate::disk::{Action, Call, Rule};
use crate::disk_faults::{checked_share, draw_seed};

pub(crate) const NAME: &str = "slow-disk";
pub(crate) const ABOUT: &str = "calls on the disk take longer, mostly syncs and writes";
const EXPECTED: &str = r#"{"nodes": whom, "calls": ["fsync", …] (none: all), "path": "*.wal" or null, "delay_us": 1 to 60000000, "chance": 0 to 1, "seed": number}"#;
/// The longest delay of one call.
const DELAY_US_MAX: u64 = 60_000_000;

pub(crate) fn build(arsenal: &Arc<Arsenal>) -> Box<dyn Fault> {
    build_ruled::<SlowDisk>(arsenal)
}

#[derive(Clone, Copy, Default)]
struct SlowDisk;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Args {
    #[serde(rename = "nodes")]
    _nodes: Value,
    calls: Vec<Call>,
    path: Option<String>,
    delay_us: u64,
    chance: f64,
    seed: u64,
}

impl Ruling for SlowDisk {
    fn name(&self) -> &'static str {
        NAME
    }

    fn about(&self) -> &'static str {
        ABOUT
    }

    fn after(&self) -> After {
        After::GoOn
    }

    fn draw(&self, rng: &mut Rng) -> Value {
        const CALLS: [&[Call]; 4] =
            [&[Call::Fsync], &[Call::Fsync], &[Call::Write], &[Call::Fsync, Call::Write]];
        let calls = rng.pick(&CALLS);
        let delay_us = log_between(rng, 1_000, 1_000_000);
        let chance = if rng.chance(0.7) { 1.0 } else { rng.between(10, 60) as f64 / 100.0 };
        json!({ "calls": calls, "path": null, "delay_us": delay_us, "chance": chance, "seed": draw_seed(rng) })
    }

    fn words(&self) -> &'static str {
        "a time (200ms), calls (open, create, read, write, fsync, rename, unlink, truncate, mkdir), path=*.wal, a chance (30%), seed=number"
    }

    fn read(&self, words: &mut Words, args: &mut Value) -> Result<(), String> {
        if let Some(delay_us) = words.take(time_us) {
            args["delay_us"] = json!(delay_us);
        }
        read_scope(words, args)
    }

    fn rule(&self, args: &Value) -> Result<(Rule, u64), String> {
        let read: Args = parse(args, EXPECTED)?;
        if !(1..=DELAY_US_MAX).contains(&read.delay_us) {
            return Err(format!("expected {EXPECTED}, found {args}"));
        }
        let chance = checked_share("chance", read.chance, args)?;
        let action = Action::Delay { us: read.delay_us };
        Ok((Rule { calls: read.calls, path: read.path, chance, action }, read.seed))
    }
}
