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

/// A judged run.
#[derive(Clone, Copy, Debug)]
pub struct Judged<'a> {
    /// Where it lies, if it is a run of ours.
    pub dir: Option<&'a Path>,
    /// What was meant to happen, if it is a run of ours.
    pub plan: Option<&'a Plan>,
    /// What happened.
    pub history: &'a History,
    /// What the judges found.
    pub judgement: &'a Judgement,
}
