//! Live progress: one line that changes on a terminal, a plain line a phase elsewhere.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use ordeal_runner::Progress;

use crate::exit::eprint;

const REFRESH: Duration = Duration::from_millis(100);

/// Shows progress on standard error until it is finished.
pub(crate) struct Watcher {
    done: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Watcher {
    /// Starts to show.
    pub(crate) fn start(progress: Arc<Progress>) -> Self {
        let done = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&done);
        let thread = std::thread::spawn(move || match std::io::stderr().is_terminal() {
            true => on_terminal(&progress, &stop),
            false => in_lines(&progress, &stop),
        });
        Watcher { done, thread }
    }

    /// Stops showing.
    pub(crate) fn finish(self) {
        self.done.store(true, Ordering::Relaxed);
        let _ = self.thread.join();
    }
}

/// How many of so many things are done: a bar on a terminal, and a plain line for each that is said.
#[derive(Clone)]
pub(crate) struct Counted {
    bar: ProgressBar,
    shown: bool,
}

impl Counted {
    /// Begins with nothing done.
    pub(crate) fn start(all: usize) -> Self {
        let shown = std::io::stderr().is_terminal();
        let bar = if shown { ProgressBar::new(all as u64) } else { ProgressBar::hidden() };
        if let Ok(style) = ProgressStyle::with_template("{elapsed:>4} {wide_bar} {pos}/{len}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(REFRESH);
        Counted { bar, shown }
    }

    /// Says a line.
    pub(crate) fn say(&self, line: &str) {
        if self.shown { self.bar.println(line) } else { eprint(line) }
    }

    /// One more is done.
    pub(crate) fn advance(&self) {
        self.bar.inc(1);
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

fn on_terminal(progress: &Progress, done: &AtomicBool) {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed:>4} {wide_msg}") {
        bar.set_style(style);
    }
    while !done.load(Ordering::Relaxed) {
        bar.set_message(line(progress));
        bar.tick();
        std::thread::sleep(REFRESH);
    }
    bar.finish_and_clear();
}

fn in_lines(progress: &Progress, done: &AtomicBool) {
    let start = Instant::now();
    let mut shown = None;
    while !done.load(Ordering::Relaxed) {
        if progress.phase() != shown {
            shown = progress.phase();
            eprint(&format!("{:>6.1} s  {}", start.elapsed().as_secs_f64(), line(progress)));
        }
        std::thread::sleep(REFRESH);
    }
}

fn line(progress: &Progress) -> String {
    let phase = progress.phase().map_or("", ordeal_runner::Phase::as_str);
    let totals = progress.totals();
    let faults: Vec<String> =
        progress.faults().into_iter().map(|(name, what)| format!("{name} {what}")).collect();
    let counts = format!("{} ok, {} failed, {} unknown", totals.ok, totals.fail, totals.info);
    format!("{phase:<11} {counts}  {}", faults.join("  ")).trim_end().to_owned()
}
