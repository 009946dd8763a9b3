//! In place of `tracee.rs` on processors for which there is no patch.

use std::path::Path;
use std::time::Duration;

use super::reading::Reading;

const WHY: &str =
    "clocks can only be skewed on x86_64 so far: run the audit on such a machine, or without clock faults";

/// Why something could not be done to a process.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(dead_code, reason = "the others only happen where there is a patch")]
pub(super) enum Trouble {
    Gone,
    NoVdso,
    Unpatched,
    Failed(String),
}

/// What patching a process took.
pub(super) struct Patched {
    pub(super) stopped: Duration,
}

pub(super) fn supported() -> Result<(), String> {
    Err(WHY.to_owned())
}

pub(super) fn tracing<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, String> {
    Ok(work())
}

pub(super) fn preload_pages() -> Vec<u8> {
    Vec::new()
}

pub(super) fn is_patched(_: i32) -> Result<(), Trouble> {
    Err(Trouble::Unpatched)
}

pub(super) fn patch(_: i32, _: &Path) -> Result<Patched, Trouble> {
    Err(Trouble::Failed(WHY.to_owned()))
}

pub(super) fn read(_: i32) -> Result<Reading, Trouble> {
    Err(Trouble::Failed(WHY.to_owned()))
}
