//! `disk-full`: the disk has no room left. A node may end over it; on heal there is room again, and the node
//! is started anew.
//!
//! Proof: whoever asks the file system is told that nothing is free. The node may need nothing meanwhile, because
//! it overwrites what it has; if it does, its calls that were refused are counted.

use std::path::Path;
use std::sync::Arc;

use ordeal_core::{Fault, Rng, Words};
use serde_json::{Value, json};

use super::{After, OwnCall, Ruling, build as build_ruled, read_path_and_seed};
use crate::Arsenal;
use crate::disk::{Action, Rule};
use crate::disk_faults::PathAndSeed;

pub(crate) const NAME: &str = "disk-full";
pub(crate) const ABOUT: &str = "the disk has no room left";

pub(crate) fn build(arsenal: &Arc<Arsenal>) -> Box<dyn Fault> {
    build_ruled::<DiskFull>(arsenal)
}

#[derive(Clone, Copy, Default)]
struct DiskFull;

impl Ruling for DiskFull {
    fn name(&self) -> &'static str {
        NAME
    }

    fn about(&self) -> &'static str {
        ABOUT
    }

    fn after(&self) -> After {
        After::Restart
    }

    fn draw(&self, rng: &mut Rng) -> Value {
        PathAndSeed::draw(rng)
    }

    fn words(&self) -> &'static str {
        PathAndSeed::WORDS
    }

    fn read(&self, words: &mut Words, args: &mut Value) -> Result<(), String> {
        read_path_and_seed(words, args)
    }

    fn rule(&self, args: &Value) -> Result<(Rule, u64), String> {
        let read = PathAndSeed::parse(args)?;
        Ok((Rule { calls: Vec::new(), path: read.path, chance: 1.0, action: Action::Full }, read.seed))
    }

    fn own_call(&self, _: &Rule, data: &Path) -> Option<OwnCall> {
        let free = nix::sys::statvfs::statvfs(data).ok()?.blocks_available();
        Some(OwnCall { struck: free == 0, seen: json!({ "blocks_available": free }) })
    }

    fn own_call_suffices(&self) -> bool {
        true
    }
}
