//! `bit-flip`: what the disk reads differs in one bit from what was written there. Few systems notice, and
//! those that do may end over it.
//!
//! Reads that the kernel serves from its memory never reach the disk; a file that is opened anew is read anew.

use std::sync::Arc;

use ordeal_core::words::log_between;
use ordeal_core::{Fault, Rng, Words};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{After, Ruling, build as build_ruled, read_chance, read_path_and_seed};
use crate::Arsenal;
use crate::args::parse;
use crate::disk::{Action, Call, Rule};
use crate::disk_faults::{checked_share, draw_seed};

pub(crate) const NAME: &str = "bit-flip";
pub(crate) const ABOUT: &str = "reads from the disk differ in one bit from what was written";
const EXPECTED: &str = r#"{"nodes": whom, "path": "*.wal" or null, "chance": 0 to 1, "seed": number}"#;

pub(crate) fn build(arsenal: &Arc<Arsenal>) -> Box<dyn Fault> {
    build_ruled::<BitFlip>(arsenal)
}

#[derive(Clone, Copy, Default)]
struct BitFlip;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Args {
    #[serde(rename = "nodes")]
    _nodes: Value,
    path: Option<String>,
    chance: f64,
    seed: u64,
}

impl Ruling for BitFlip {
    fn name(&self) -> &'static str {
        NAME
    }

    fn about(&self) -> &'static str {
        ABOUT
    }

    fn after(&self) -> After {
        After::RestartDamaged
    }

    fn draw(&self, rng: &mut Rng) -> Value {
        let chance = log_between(rng, 10, 1_000) as f64 / 1_000.0;
        json!({ "path": null, "chance": chance, "seed": draw_seed(rng) })
    }

    fn words(&self) -> &'static str {
        "path=*.wal, a chance (1%), seed=number"
    }

    fn read(&self, words: &mut Words, args: &mut Value) -> Result<(), String> {
        read_chance(words, args);
        read_path_and_seed(words, args)
    }

    fn rule(&self, args: &Value) -> Result<(Rule, u64), String> {
        let read: Args = parse(args, EXPECTED)?;
        let chance = checked_share("chance", read.chance, args)?;
        Ok((Rule { calls: vec![Call::Read], path: read.path, chance, action: Action::FlipBit }, read.seed))
    }
}
