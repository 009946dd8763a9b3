//! One row, in the process that measures it.

use std::time::{Duration, Instant};

use ordeal_core::{Checker, Finding, History, Verdict};
use ordeal_simulator::suite::Row;
use ordeal_simulator::{Events, Pair, simulate};
use serde::{Deserialize, Serialize};

use crate::Judges;

/// What was measured of a row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// The row.
    pub id: String,
    /// How many operations it has.
    pub operations: u64,
    /// What a judge must say; `None` if that is not known beforehand.
    pub expected: Option<Verdict>,
    /// What it said; `None` if there is no judge.
    pub verdict: Option<Verdict>,
    /// The judge's own words, or why there is no verdict.
    pub summary: String,
    /// The time of judging, the history being parsed: the median of all runs.
    pub judging_ms: f64,
    /// The time of parsing the same history as JSON lines.
    pub parsing_ms: f64,
    /// The most memory that the process had at a time, with everything in it, in one run.
    pub peak_bytes: u64,
    /// How often it was judged.
    pub runs: usize,
    /// Whether the judge wanted the history as a whole, which is then part of the peak.
    pub whole: bool,
}

impl Measured {
    /// A row without a verdict.
    pub(crate) fn nothing(row: &Row, summary: impl Into<String>) -> Self {
        Measured {
            id: row.id.to_owned(),
            operations: row.parameters.operations,
            expected: row.expected,
            verdict: None,
            summary: summary.into(),
            judging_ms: 0.0,
            parsing_ms: 0.0,
            peak_bytes: 0,
            runs: 0,
            whole: false,
        }
    }
}

/// A row is judged again as long as all runs together took less.
const AGAIN: Duration = Duration::from_secs(10);
/// How often a row is judged at most.
const RUNS: usize = 5;
/// How many operations are simulated ahead of the judge, or events ahead of the parser.
const CHUNK: usize = 1_024;

/// Measures a row in this process; what it returns is for the process that started it.
///
/// # Errors
/// If there is no such row, or it cannot be simulated.
pub fn child(id: &str, judges: Judges) -> Result<String, String> {
    let row = Row::named(id).ok_or_else(|| format!("the suite has no row `{id}`"))?;
    let measured = measure(&row, judges)?;
    serde_json::to_string(&measured).map_err(|e| e.to_string())
}

fn measure(row: &Row, judges: Judges) -> Result<Measured, String> {
    let Some(judge) = judges(row.parameters.object.entry().name) else {
        return Ok(Measured::nothing(row, "not judged"));
    };
    let mut measured = Measured { runs: 1, whole: judge.intake().is_none(), ..Measured::nothing(row, "") };
    let (finding, first) = judge_once(row, &*judge)?;
    measured.peak_bytes = peak_bytes();
    (measured.verdict, measured.summary) = (Some(finding.verdict), finding.summary);
    let mut times = vec![first];
    while times.len() < RUNS && times.iter().sum::<Duration>() < AGAIN {
        let (finding, time) = judge_once(row, &*judge)?;
        if Some(finding.verdict) != measured.verdict {
            return Err(format!("{} the first time, {} then", measured.summary, finding.summary));
        }
        times.push(time);
    }
    times.sort_unstable();
    measured.runs = times.len();
    measured.judging_ms = ms(times[times.len() / 2]);
    measured.parsing_ms = ms(parse(row)?);
    Ok(measured)
}

fn ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

fn judge_once(row: &Row, judge: &dyn Checker) -> Result<(Finding, Duration), String> {
    let object = row.parameters.object;
    let mut operations = simulate(&row.parameters).map_err(|e| e.to_string())?;
    let Some(mut intake) = judge.intake() else {
        let history = History { events: Events::new(object, operations).collect(), truncated: None };
        let begun = Instant::now();
        let finding = judge.check(&history);
        return Ok((finding, begun.elapsed()));
    };
    let mut time = Duration::ZERO;
    let mut chunk: Vec<Pair> = Vec::with_capacity(CHUNK);
    loop {
        chunk.extend(operations.by_ref().take(CHUNK).map(|op| Pair::new(object, &op)));
        if chunk.is_empty() {
            break;
        }
        let begun = Instant::now();
        chunk.iter().for_each(|pair| intake.take(&pair.operation()));
        time += begun.elapsed();
        chunk.clear();
    }
    let begun = Instant::now();
    let finding = intake.finish();
    Ok((finding, time + begun.elapsed()))
}

fn parse(row: &Row) -> Result<Duration, String> {
    let operations = simulate(&row.parameters).map_err(|e| e.to_string())?;
    let mut events = Events::new(row.parameters.object, operations);
    let (mut time, mut text) = (Duration::ZERO, String::new());
    loop {
        text.clear();
        for event in events.by_ref().take(CHUNK) {
            text.push_str(&serde_json::to_string(&event).map_err(|e| e.to_string())?);
            text.push('\n');
        }
        if text.is_empty() {
            return Ok(time);
        }
        let begun = Instant::now();
        let parsed = History::parse(&text);
        time += begun.elapsed();
        parsed.map_err(|e| e.to_string())?;
    }
}

/// The most memory this process ever had, as the kernel counts it; 0 where it does not say.
fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    number.map_or(0, |kilobytes| kilobytes * 1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Always(Verdict);

    impl Checker for Always {
        fn name(&self) -> String {
            "always".to_owned()
        }

        fn check(&self, history: &History) -> Finding {
            Finding::new(self.name(), self.0, format!("{} events", history.events.len()))
        }
    }

    #[test]
    fn a_row_is_measured_by_the_judge_of_its_model() {
        let judges: Judges = |name| (name == "queue").then(|| Box::new(Always(Verdict::Valid)) as _);
        let measured: Measured = serde_json::from_str(&child("Q-1k-c10", judges).unwrap()).unwrap();
        assert_eq!(measured.verdict, Some(Verdict::Valid));
        assert_eq!((measured.summary.as_str(), measured.runs, measured.whole), ("2000 events", RUNS, true));
        assert!(measured.peak_bytes > 1 << 20 && measured.parsing_ms > 0.0);
        let unknown: Measured = serde_json::from_str(&child("R-1k-c10", judges).unwrap()).unwrap();
        assert_eq!((unknown.verdict, unknown.summary.as_str()), (None, "not judged"));
        assert!(child("R-1k", judges).is_err());
    }
}
