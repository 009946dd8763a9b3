//! From a history file, in whatever format, to findings.
//!
//! Judges that can take operations one by one get them as they are read, and then nothing is kept but what
//! they keep. If one needs the whole history, all get it.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, stdin};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Instant;

use ordeal_core::{Checker, Event, Finding, History, Intake};
use ordeal_formats::{Item, ReadError, ReadOptions, Reader, Summary};

use crate::exit::{UsageError, usage};
use crate::judge;

/// A file that was read and judged.
pub(crate) struct FileJudged {
    pub(crate) findings: Vec<Finding>,
    pub(crate) summary: Summary,
    /// All events, if they had to be kept.
    pub(crate) history: Option<History>,
    /// How long reading took, with handing over to the judges.
    pub(crate) parse_ms: f64,
    /// How long the judges took after that.
    pub(crate) judge_ms: f64,
}

/// Opens a file, or standard input for `-`.
pub(crate) fn open(path: &Path, options: &ReadOptions) -> anyhow::Result<Reader> {
    let bytes: Box<dyn Read> = match is_input(path) {
        true => Box::new(stdin().lock()),
        false => Box::new(File::open(path).map_err(|e| UsageError(format!("{}: {e}", path.display())))?),
    };
    or_usage(path, Reader::open(bytes, options))
}

/// Whether a path stands for standard input.
pub(crate) fn is_input(path: &Path) -> bool {
    path.as_os_str() == "-"
}

fn or_usage<T>(path: &Path, read: Result<T, ReadError>) -> anyhow::Result<T> {
    let name = if is_input(path) { "standard input".into() } else { path.display().to_string() };
    read.or_else(|e| usage(format!("{name}: {e}")))
}

/// Reads the rest of a file and lets the checkers judge it.
pub(crate) fn read_and_judge(
    path: &Path,
    reader: Reader,
    checkers: &[Box<dyn Checker>],
) -> anyhow::Result<FileJudged> {
    let began = Instant::now();
    let mut takers: Vec<Taker<'_>> = checkers.iter().filter_map(|checker| Taker::of(&**checker)).collect();
    if takers.len() < checkers.len() {
        let (history, summary) = or_usage(path, reader.collect())?;
        let parse_ms = ms(began);
        let began = Instant::now();
        let findings = judge::judge(checkers, &history);
        return Ok(FileJudged { findings, summary, history: Some(history), parse_ms, judge_ms: ms(began) });
    }
    let summary = or_usage(path, reader.read(&mut |item| takers.iter_mut().for_each(|t| t.take(item))))?;
    let parse_ms = ms(began);
    let began = Instant::now();
    let findings = takers.into_iter().map(Taker::finish).collect();
    Ok(FileJudged { findings, summary, history: None, parse_ms, judge_ms: ms(began) })
}

/// The events of these indices, read again.
pub(crate) fn cited(
    path: &Path,
    options: &ReadOptions,
    indices: &BTreeSet<u64>,
) -> anyhow::Result<Vec<Event>> {
    let mut events = Vec::new();
    let mut keep = |event: &Event| {
        if indices.contains(&event.index) {
            events.push(event.clone());
        }
    };
    let read = open(path, options)?.read(&mut |item| match item {
        Item::Operation(op) => [Some(op.invoke), op.complete].into_iter().flatten().for_each(&mut keep),
        Item::Other(event) => keep(event),
    });
    or_usage(path, read)?;
    Ok(events)
}

/// A judge at work. One that panics has decided nothing, and masks nothing.
struct Taker<'c> {
    name: String,
    /// `None` after a panic.
    intake: Option<Box<dyn Intake + 'c>>,
}

impl<'c> Taker<'c> {
    fn of(checker: &'c dyn Checker) -> Option<Self> {
        Some(Taker { name: checker.name(), intake: Some(checker.intake()?) })
    }

    fn take(&mut self, item: Item<'_>) {
        let Some(intake) = &mut self.intake else { return };
        let taken = catch_unwind(AssertUnwindSafe(|| match item {
            Item::Operation(op) => intake.take(op),
            Item::Other(event) => intake.mark(event),
        }));
        if taken.is_err() {
            self.intake = None;
        }
    }

    fn finish(self) -> Finding {
        let judged = self.intake.and_then(|intake| catch_unwind(AssertUnwindSafe(|| intake.finish())).ok());
        judged.unwrap_or_else(|| judge::panicked(self.name))
    }
}

/// Milliseconds since then.
pub(crate) fn ms(began: Instant) -> f64 {
    (began.elapsed().as_secs_f64() * 1e6).round() / 1e3
}

/// The most memory this process has had at a time, in millions of bytes.
pub(crate) fn peak_memory_mb() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kib * 1024 / 1_000_000)
}
