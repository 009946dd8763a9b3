//! `disk-error`: calls on the disk fail, mostly those that sync or write. A node may end over it; on heal
//! the disk is whole again and the node is started anew.
//!
//! Source: Rebello et al., Can Applications Recover from fsync Failures?, USENIX ATC 2020.

use std::sync::Arc;

use nix::errno::Errno;
use ordeal_core::{Fault, Rng, Words};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{After, Ruling, build as build_ruled, read_scope};
use crate::Arsenal;
use crate::args::parse;
use crate::disk::{Action, Call, Rule};
use crate::disk_faults::{checked_share, draw_seed};

pub(crate) const NAME: &str = "disk-error";
pub(crate) const ABOUT: &str = "calls on the disk fail (EIO, ENOSPC, …), mostly syncs and writes";
const EXPECTED: &str = r#"{"nodes": whom, "calls": ["fsync", …] (none: all), "path": "*.wal" or null, "errno": "EIO", "chance": 0 to 1, "seed": number}"#;

/// What a disk may answer, by name.
const ERRORS: [(&str, Errno); 9] = [
    ("EIO", Errno::EIO),
    ("ENOSPC", Errno::ENOSPC),
    ("EDQUOT", Errno::EDQUOT),
    ("EROFS", Errno::EROFS),
    ("EFBIG", Errno::EFBIG),
    ("ENFILE", Errno::ENFILE),
    ("ENOMEM", Errno::ENOMEM),
    ("EACCES", Errno::EACCES),
    ("ETIMEDOUT", Errno::ETIMEDOUT),
];

pub(crate) fn build(arsenal: &Arc<Arsenal>) -> Box<dyn Fault> {
    build_ruled::<DiskError>(arsenal)
}

#[derive(Clone, Copy, Default)]
struct DiskError;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Args {
    #[serde(rename = "nodes")]
    _nodes: Value,
    calls: Vec<Call>,
    path: Option<String>,
    errno: String,
    chance: f64,
    seed: u64,
}

fn errno(name: &str) -> Option<Errno> {
    ERRORS.iter().find(|(known, _)| *known == name).map(|(_, errno)| *errno)
}

impl Ruling for DiskError {
    fn name(&self) -> &'static str {
        NAME
    }

    fn about(&self) -> &'static str {
        ABOUT
    }

    fn after(&self) -> After {
        After::Restart
    }

    /// Reads are not drawn: most are served from memory and never reach the disk.
    fn draw(&self, rng: &mut Rng) -> Value {
        const CALLS: [&[Call]; 5] =
            [&[Call::Fsync], &[Call::Fsync], &[Call::Write], &[Call::Write], &[Call::Fsync, Call::Write]];
        let calls = rng.pick(&CALLS);
        let errno = rng.pick(&["EIO", "EIO", "EIO", "ENOSPC", "EROFS"]);
        let chance = if rng.chance(0.6) { 1.0 } else { rng.between(10, 60) as f64 / 100.0 };
        json!({ "calls": calls, "path": null, "errno": errno, "chance": chance, "seed": draw_seed(rng) })
    }

    fn words(&self) -> &'static str {
        "calls (open, create, read, write, fsync, rename, unlink, truncate, mkdir), an error (EIO, ENOSPC, EDQUOT, EROFS, EFBIG, ENFILE, ENOMEM, EACCES, ETIMEDOUT), path=*.wal, a chance (30%), seed=number"
    }

    fn read(&self, words: &mut Words, args: &mut Value) -> Result<(), String> {
        if let Some(name) = words.take(|word| errno(word).map(|_| word.to_owned())) {
            args["errno"] = json!(name);
        }
        read_scope(words, args)
    }

    fn rule(&self, args: &Value) -> Result<(Rule, u64), String> {
        let read: Args = parse(args, EXPECTED)?;
        let errno = errno(&read.errno).ok_or_else(|| {
            let known = ERRORS.map(|(name, _)| name).join(", ");
            format!("expected one of {known} as `errno`, found {args}")
        })?;
        let chance = checked_share("chance", read.chance, args)?;
        Ok((Rule { calls: read.calls, path: read.path, chance, action: Action::Error(errno) }, read.seed))
    }
}
