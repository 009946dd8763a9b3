//! How judges of a workload say what they found, and name operations.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Display;

use ordeal_core::{Anomaly, Finding, Key, Operation, Verdict};
use serde::Deserialize;
use serde_json::Value;

/// How many anomalies of one name are told; the rest are counted.
const TOLD: usize = 20;
/// An answer of at most so many bytes is shown in a sentence.
const SHORT: usize = 40;

/// What a judge has found so far.
#[derive(Default)]
pub(crate) struct Report {
    found: BTreeMap<String, usize>,
    anomalies: Vec<Anomaly>,
    undecided: Option<String>,
}

impl Report {
    /// These anomalies; answers that could not be read, and why, leave the rest undecided.
    pub(crate) fn of(anomalies: Vec<Anomaly>, unread: &[String]) -> Self {
        let mut report = Report::default();
        anomalies.into_iter().for_each(|anomaly| report.add(anomaly));
        if let Some(first) = unread.first() {
            report.undecided(format!("{} answers could not be read; {first}", unread.len()));
        }
        report
    }

    /// Notes an anomaly, with the operations that show it.
    pub(crate) fn note(
        &mut self,
        name: &'static str,
        key: Option<&Key>,
        shown_by: &[&Operation<'_>],
        message: impl FnOnce() -> String,
    ) {
        self.add(anomaly(name, key, shown_by, message()));
    }

    /// Takes an anomaly.
    pub(crate) fn add(&mut self, anomaly: Anomaly) {
        let found = self.found.entry(anomaly.name.clone()).or_default();
        *found += 1;
        if *found <= TOLD {
            self.anomalies.push(anomaly);
        }
    }

    /// Something could not be judged.
    pub(crate) fn undecided(&mut self, why: impl Into<String>) {
        self.undecided.get_or_insert(why.into());
    }

    /// The finding; `judged` says what was looked at, `nothing` that it was nothing.
    pub(crate) fn finding(self, judge: &str, judged: String, nothing: bool) -> Finding {
        let violations: usize = self.found.values().sum();
        let (verdict, summary) = if violations > 0 {
            let kinds: Vec<String> = self.found.iter().map(|(name, n)| format!("{n} {name}")).collect();
            (Verdict::Invalid, format!("{} ({judged})", kinds.join(", ")))
        } else if let Some(why) = self.undecided {
            (Verdict::Unknown, format!("{why} ({judged})"))
        } else if nothing {
            (Verdict::Vacuous, judged)
        } else {
            (Verdict::Valid, judged)
        };
        let mut finding = Finding::new(judge, verdict, summary).with("violations", violations);
        finding.anomalies = self.anomalies;
        finding
    }
}

/// An anomaly that these operations show.
pub(crate) fn anomaly(
    name: &str,
    key: Option<&Key>,
    shown_by: &[&Operation<'_>],
    message: impl Display,
) -> Anomaly {
    let mut events: Vec<u64> = shown_by.iter().flat_map(|op| op.events()).collect();
    events.dedup();
    let key_is = key.map_or_else(String::new, |key| format!("key {key}: "));
    Anomaly {
        name: name.to_owned(),
        message: format!("{key_is}{message}"),
        key: key.cloned(),
        events,
        details: Value::Null,
    }
}

/// The result of an operation that succeeded.
///
/// # Errors
/// Why it cannot be read.
pub(crate) fn result<'h, T: Deserialize<'h>>(op: &Operation<'h>) -> Result<Option<T>, String> {
    let Some(value) = op.output() else { return Ok(None) };
    T::deserialize(value)
        .map(Some)
        .map_err(|e| format!("#{}: `{}` answers otherwise: {e}", op.index(), op.f()))
}

/// The node that was asked.
pub(crate) fn node<'h>(op: &Operation<'h>) -> &'h str {
    op.invoke.node.as_deref().unwrap_or("?")
}

/// An anomaly of what has this name, that these operations show.
pub(crate) fn anomaly_of(
    name: &str,
    subject: Option<&str>,
    message: impl Display,
    shown_by: &[&Operation<'_>],
) -> Anomaly {
    anomaly(name, subject.map(|subject| Key::Text(subject.to_owned())).as_ref(), shown_by, message)
}

/// An operation by its place in the history: `` `read` #12 by client 3 at n2 ``.
pub(crate) fn which(op: &Operation<'_>) -> String {
    format!("`{}` #{} by client {} at {}", op.f(), op.index(), op.process(), node(op))
}

/// Who did an operation, where and when.
pub(crate) fn who(op: &Operation<'_>) -> String {
    format!("client {} at {}, {}", op.process(), node(op), when(op))
}

/// An operation in words: what it asked, where and when; of one that asked for nothing, what it was answered, if
/// that is short.
pub(crate) fn told(op: &Operation<'_>) -> String {
    let given = op.input();
    let value = match given.is_null() {
        true => op.output().map(Value::to_string).filter(|answer| answer.len() <= SHORT),
        false => Some(given.to_string()),
    };
    let value = value.map_or_else(String::new, |value| format!(" {value}"));
    format!("`{}{value}` at {}, {}", op.f(), node(op), when(op))
}

/// From when to when an operation ran.
fn when(op: &Operation<'_>) -> String {
    let ms = |ns: u64| ns as f64 / 1e6;
    let ended = op.complete.map_or(Cow::Borrowed("?"), |e| Cow::Owned(format!("{:.3}", ms(e.time))));
    format!("{:.3} to {ended} ms", ms(op.invoke.time))
}
