//! The time and the memory that judges of other promises than linearizability take for 1,000,000 operations
//! that are shown to them one after another: `cargo bench -p ordeal-checkers --bench judges`.
//!
//! Each judge runs in a process of its own, whose peak of memory is shown less what it took before. The
//! time is that of the judge alone, without making the operations up.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a bench prints its table")]

use std::borrow::Cow;
use std::process::Command;
use std::time::{Duration, Instant};

use ordeal_checkers::{Options, judge_named};
use ordeal_core::{Checker, Event, EventKind, Intake, Key, Operation, Process};
use serde_json::{Value, json};

const OPERATIONS: u64 = 1_000_000;
/// Operations that run at once.
const CLIENTS: u64 = 10;
/// Elements that a read of a whole set or log shows.
const READS: u64 = 100;

/// What an operation of a history of this judge is: function, argument and result.
fn operation(judge: &str, i: u64) -> (&'static str, Value, Value) {
    let none = Value::Null;
    match judge {
        "set-full" | "set-final" if i % (OPERATIONS / READS) == OPERATIONS / READS - 1 => {
            let began = i - i % CLIENTS;
            let elements = (0..began).filter(|j| j % (OPERATIONS / READS) != OPERATIONS / READS - 1);
            ("read", none, elements.map(Value::from).collect())
        }
        "set-full" | "set-final" => ("add", json!(i), none),
        "log-prefix" if i % (OPERATIONS / READS) == OPERATIONS / READS - 1 => {
            let began = i - i % CLIENTS;
            let entries = (0..began).filter(|j| j % (OPERATIONS / READS) != OPERATIONS / READS - 1);
            ("read", none, entries.map(Value::from).collect())
        }
        "log-prefix" => ("append", json!(i), json!(i)),
        "total-queue" if i == OPERATIONS => ("dequeue", none, Value::Null),
        "total-queue" if i % 20 < 10 => ("enqueue", json!(i), none),
        "total-queue" => ("dequeue", none, json!(i - 10)),
        "counter-bounds" if i.is_multiple_of(2) => ("add", json!(1), none),
        "counter-bounds" => ("read", none, json!(i / 2)),
        "unique-ids" => ("generate", none, json!(i)),
        "lock-exclusivity" if i.is_multiple_of(2) => ("acquire", none, json!(i)),
        "lock-exclusivity" => ("release", json!(i - 1), none),
        // Every tenth operation is a write; reads are up to two versions stale.
        _ if i.is_multiple_of(10) => ("write", json!(i), none),
        _ => ("read", none, json!((i - i % 10).saturating_sub(10 * (i / 7 % 3)))),
    }
}

/// Shows the operations, and gives the time that the judge took.
fn show(judge: &str, intake: &mut dyn Intake) -> Duration {
    let mut took = Duration::ZERO;
    // The one too many finds the queue empty.
    for i in 0..OPERATIONS + u64::from(judge == "total-queue") {
        let (f, input, output) = operation(judge, i);
        // A lock is held by one after another; everything else runs ten at a time.
        let (process, begin, end) = match judge {
            "lock-exclusivity" => (i / 2 % CLIENTS, 10 * i, 10 * i + 5),
            _ => (i % CLIENTS, 10 * (i - i % CLIENTS) + i % CLIENTS, 10 * (i - i % CLIENTS) + 90),
        };
        let event = |index, time, kind, value| Event {
            index,
            time: time * 1000,
            process: Process::Client(process),
            kind,
            f: Cow::Borrowed(f),
            value,
            key: Some(Key::Int(1)),
            node: Some(Cow::Borrowed("n1")),
            error: None,
        };
        let invoke = event(2 * i, begin, EventKind::Invoke, input);
        let complete = event(2 * i + 1, end, EventKind::Ok, output);
        let op = Operation { invoke: &invoke, complete: Some(&complete), call: begin, ret: end };
        let started = Instant::now();
        intake.take(&op);
        took += started.elapsed();
    }
    took
}

/// The peak of this process's memory, in MB.
fn peak_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok()).unwrap_or(f64::NAN) / 1024.0
}

fn bench(judge: &str) {
    let entry = judge_named(judge).unwrap();
    let checker: Box<dyn Checker> = (entry.judge)(&Options::default()).unwrap();
    let before = peak_mb();
    let mut intake = checker.intake().unwrap();
    let took = show(judge, intake.as_mut());
    let started = Instant::now();
    let finding = intake.finish();
    let took = took + started.elapsed();
    println!(
        "{judge:20} {:8} {:8.0} ms {:8.0} MB   {}",
        finding.verdict.as_str(),
        took.as_secs_f64() * 1e3,
        peak_mb() - before,
        finding.summary
    );
}

fn main() {
    const JUDGES: [&str; 8] = [
        "set-full",
        "set-final",
        "total-queue",
        "counter-bounds",
        "unique-ids",
        "lock-exclusivity",
        "log-prefix",
        "staleness",
    ];
    let named = std::env::args().nth(1).filter(|name| JUDGES.contains(&name.as_str()));
    match (named, std::env::current_exe()) {
        (Some(name), _) => bench(&name),
        (None, Ok(exe)) => {
            for judge in JUDGES {
                let ended = Command::new(&exe).arg(judge).status();
                assert!(ended.is_ok_and(|status| status.success()), "{judge}");
            }
        }
        (None, Err(e)) => println!("{e}"),
    }
}
