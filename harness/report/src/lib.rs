//! Turns a judged run into something a person can read: text for the terminal, and one self-contained
//! HTML file. Reads what the judges left, and judges nothing itself.

mod clocks;
mod html;
mod text;
mod words;

pub use html::html;
pub use text::{Style, history, text};

use std::path::Path;

use ordeal_core::{History, Judgement, Plan};

/// The operations of a history, counted while it was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// They took effect.
    pub ok: u64,
    /// They did not.
    pub fail: u64,
    /// Nobody knows.
    pub info: u64,
    /// The last time stamp; 0 where there are no stamps.
    pub time_ns_max: u64,
}

/// A judged run.
#[derive(Clone, Copy, Debug)]
pub struct Judged<'a> {
    /// Where it lies, if it is a run of ours.
    pub dir: Option<&'a Path>,
    /// What was meant to happen, if it is a run of ours.
    pub plan: Option<&'a Plan>,
    /// What happened: the whole history, or, with `totals`, those of its events that are cited.
    pub history: &'a History,
    /// What there was, if the history was read without being kept.
    pub totals: Option<Totals>,
    /// What the judges found.
    pub judgement: &'a Judgement,
}
