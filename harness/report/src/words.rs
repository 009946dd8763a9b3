//! Events, faults and counts in words, shared by all reports.

use std::collections::BTreeMap;
use std::fmt::Write;

use ordeal_core::{Event, EventKind, History, Plan, Process};
use serde_json::Value;

use crate::{Judged, Totals};

/// Nanoseconds as seconds with milliseconds.
pub(crate) fn seconds(ns: u64) -> String {
    format!("{}.{:03}", ns / 1_000_000_000, ns / 1_000_000 % 1_000)
}

/// A number with thousands set apart.
pub(crate) fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// How many nodes a run has.
pub(crate) fn nodes(plan: &Plan) -> String {
    match plan.joining {
        0 => format!("{} nodes", plan.nodes),
        more => format!("{} nodes and {more} that join", plan.nodes),
    }
}

/// The word for the kind of an event.
pub(crate) fn kind(kind: EventKind) -> &'static str {
    match kind {
        EventKind::Invoke => "invoke",
        EventKind::Ok => "ok",
        EventKind::Fail => "fail",
        EventKind::Info => "info",
    }
}

/// An event in one line: when, who, what.
pub(crate) fn event(event: &Event) -> String {
    let who = match &event.process {
        Process::Client(n) => format!("client {n}"),
        Process::Named(name) => name.to_string(),
    };
    let mut line = format!("#{} {:>9} s  {who}", event.index, seconds(event.time));
    if let Some(node) = &event.node {
        let _ = write!(line, " at {node}");
    }
    let _ = write!(line, "  {:<6} {}", kind(event.kind), event.f);
    if let Some(key) = &event.key {
        let _ = write!(line, " {key}");
    }
    if !event.value.is_null() || event.kind == EventKind::Ok {
        let _ = write!(line, " {}", shorten(&event.value));
    }
    if let Some(error) = &event.error {
        let _ = write!(line, "  ({error})");
    }
    line
}

/// A value as JSON, cut where it would fill the screen.
pub(crate) fn shorten(value: &Value) -> String {
    const CHARS: usize = 120;
    let text = value.to_string();
    match text.char_indices().nth(CHARS) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

/// What was run, as one would type it.
pub(crate) fn command(plan: &Plan) -> String {
    let mut text = format!("{} on {}", plan.workload, plan.target);
    if let Some(bug) = &plan.bug {
        let _ = write!(text, " --bug {bug}");
    }
    for (name, value) in &plan.options {
        let _ = write!(text, " --{name} {value}");
    }
    text
}

/// How often each fault was injected, and how often that was proved.
pub(crate) fn faults(history: &History) -> BTreeMap<String, (u64, u64)> {
    let mut counts: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    let injected = |e: &&Event| e.f == "inject" && e.kind == EventKind::Info && e.process.client().is_none();
    for event in history.events.iter().filter(injected) {
        let name = event.value["fault"].as_str().unwrap_or("?").to_owned();
        let count = counts.entry(name).or_default();
        count.0 += 1;
        count.1 += u64::from(event.value["proved"] == Value::Bool(true));
    }
    counts
}

/// Completed operations, and the time of the last event.
pub(crate) fn totals(judged: &Judged<'_>) -> Totals {
    if let Some(totals) = judged.totals {
        return totals;
    }
    let events = &judged.history.events;
    let mut totals = Totals { time_ns_max: events.last().map_or(0, |e| e.time), ..Totals::default() };
    for event in events.iter().filter(|e| e.process.client().is_some()) {
        match event.kind {
            EventKind::Ok => totals.ok += 1,
            EventKind::Fail => totals.fail += 1,
            EventKind::Info => totals.info += 1,
            EventKind::Invoke => {}
        }
    }
    totals
}
