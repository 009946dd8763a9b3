//! `truncate`: while the node is down, the end of a file that it had synced is lost.
//!
//! Of the files that match, the one that was written last, because that is mostly the log; of several such,
//! the largest.

use std::fs::OpenOptions;
use std::path::Path;
use std::sync::Arc;

use ordeal_core::words::log_between;
use ordeal_core::{Fault, Rng, Words};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Damage, build as build_damage, victims};
use crate::Arsenal;
use crate::args::parse;
use crate::disk_faults::read_path;

pub(crate) const NAME: &str = "truncate";
pub(crate) const ABOUT: &str = "the end of a node's file is lost while the node is down";
const EXPECTED: &str = r#"{"nodes": whom, "path": "*.wal" or null, "bytes": 1 or more}"#;
/// The most that is drawn.
const BYTES_MAX: u64 = 64 * 1024;

pub(crate) fn build(arsenal: &Arc<Arsenal>) -> Box<dyn Fault> {
    build_damage::<Truncate>(arsenal)
}

#[derive(Clone, Copy, Default)]
struct Truncate;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Args {
    #[serde(rename = "nodes")]
    _nodes: Value,
    path: Option<String>,
    /// So much is cut off, or all there is.
    bytes: u64,
}

impl Damage for Truncate {
    fn name(&self) -> &'static str {
        NAME
    }

    fn about(&self) -> &'static str {
        ABOUT
    }

    fn draw(&self, rng: &mut Rng) -> Value {
        json!({ "path": null, "bytes": log_between(rng, 1, BYTES_MAX) })
    }

    fn words(&self) -> &'static str {
        "path=*.wal, bytes=number"
    }

    fn read(&self, words: &mut Words, args: &mut Value) -> Result<(), String> {
        if let Some(bytes) = words.value("bytes", "a number of bytes", |text| text.parse::<u64>().ok())? {
            args["bytes"] = json!(bytes);
        }
        read_path(words, args)
    }

    fn check(&self, args: &Value) -> Result<(), String> {
        match parse::<Args>(args, EXPECTED)?.bytes {
            0 => Err(format!("expected {EXPECTED}, found {args}")),
            _ => Ok(()),
        }
    }

    fn damage(&self, args: &Value, _: usize, root: &Path) -> Result<Value, String> {
        let args: Args = parse(args, EXPECTED)?;
        let files = victims(root, args.path.as_deref())?;
        let hit = files.into_iter().max_by_key(|file| (file.modified, file.length));
        let hit = hit.ok_or("no file was hit")?;
        let length = hit.length.saturating_sub(args.bytes);
        let fail = |e: std::io::Error| format!("cannot cut {}: {e}", hit.path.display());
        let file = OpenOptions::new().write(true).open(&hit.path).map_err(fail)?;
        file.set_len(length).map_err(fail)?;
        match file.metadata().map_err(fail)?.len() {
            now if now == length => Ok(json!({ "file": hit.name, "before": hit.length, "after": length })),
            now => Err(format!("{} should have {length} bytes, and has {now}", hit.name)),
        }
    }
}
