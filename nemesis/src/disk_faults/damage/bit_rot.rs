//! `bit-rot`: while the node is down, one bit of what it had on its disk, and had synced, flips.
//!
//! Every byte is as likely as any other, so large files are hit more often.
//! Source: Ganesan et al., Redundancy Does Not Imply Fault Tolerance, FAST 2017.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use ordeal_core::{Fault, Rng, Words};
use serde_json::{Value, json};

use super::{Damage, build as build_damage, victims};
use crate::Arsenal;
use crate::disk_faults::{PathAndSeed, read_path_and_seed};

pub(crate) const NAME: &str = "bit-rot";
pub(crate) const ABOUT: &str = "a bit of a node's files flips while the node is down";

pub(crate) fn build(arsenal: &Arc<Arsenal>) -> Box<dyn Fault> {
    build_damage::<BitRot>(arsenal)
}

#[derive(Clone, Copy, Default)]
struct BitRot;

impl Damage for BitRot {
    fn name(&self) -> &'static str {
        NAME
    }

    fn about(&self) -> &'static str {
        ABOUT
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

    fn check(&self, args: &Value) -> Result<(), String> {
        PathAndSeed::parse(args).map(drop)
    }

    fn damage(&self, args: &Value, node: usize, root: &Path) -> Result<Value, String> {
        let args = PathAndSeed::parse(args)?;
        let rng = &mut Rng::new(args.seed.wrapping_add(node as u64));
        let files = victims(root, args.path.as_deref())?;
        let mut at = rng.below(files.iter().map(|file| file.length).sum());
        let mut files = files.into_iter();
        let hit = files.find(|file| match at.checked_sub(file.length) {
            Some(rest) => {
                at = rest;
                false
            }
            None => true,
        });
        let hit = hit.ok_or("no file was hit")?;
        let bit = rng.below(8) as u8;
        let fail = |e: std::io::Error| format!("cannot damage {}: {e}", hit.path.display());
        let file = OpenOptions::new().read(true).write(true).open(&hit.path).map_err(fail)?;
        let (mut before, mut after) = ([0], [0]);
        file.read_exact_at(&mut before, at).map_err(fail)?;
        file.write_all_at(&[before[0] ^ (1 << bit)], at).map_err(fail)?;
        file.read_exact_at(&mut after, at).map_err(fail)?;
        match before == after {
            true => Err(format!("byte {at} of {} is still {before:?}", hit.name)),
            false => Ok(json!({
                "file": hit.name, "at": at, "bit": bit, "before": before[0], "after": after[0],
            })),
        }
    }
}
