//! Histories written by hand, for the tests of judges.

use ordeal_core::{Finding, History, Verdict};
use serde_json::{Value, json};

/// An operation as it is written.
pub(crate) struct Written<'a> {
    /// The client.
    pub(crate) process: u64,
    pub(crate) node: &'a str,
    pub(crate) f: &'a str,
    pub(crate) key: Option<&'a str>,
    pub(crate) input: &'a Value,
    /// When it begins and when it ends, in milliseconds.
    pub(crate) ms: (u64, u64),
    pub(crate) kind: &'a str,
    /// What an `ok` answers; others repeat the input.
    pub(crate) output: &'a Value,
}

pub(crate) fn event(time_ms: u64, process: &Value, kind: &str, f: &str, value: &Value) -> Value {
    json!({"index": 0, "time": time_ms * 1_000_000, "process": process, "type": kind, "f": f, "value": value})
}

/// A phase of the run begins.
pub(crate) fn phase(time_ms: u64, name: &str) -> Value {
    event(time_ms, &json!("nemesis"), "info", "phase", &json!(name))
}

/// The history of these operations and other events.
pub(crate) fn history<'a>(written: impl IntoIterator<Item = Written<'a>>, others: Vec<Value>) -> History {
    let mut events = others;
    for Written { process, node, f, key, input, ms: (from, to), kind, output } in written {
        let result = if kind == "ok" { output } else { input };
        for (time_ms, kind, value) in [(from, "invoke", input), (to, kind, result)] {
            let mut event = event(time_ms, &json!(process), kind, f, value);
            event["node"] = json!(node);
            if let Some(key) = key {
                event["key"] = json!(key);
            }
            events.push(event);
        }
    }
    events.sort_by_key(|event| event["time"].as_u64());
    for (index, event) in events.iter_mut().enumerate() {
        event["index"] = json!(index);
    }
    let events = events.into_iter().map(|event| serde_json::from_value(event).unwrap()).collect();
    History { events, truncated: None }
}

/// A verdict, and the names of the anomalies.
pub(crate) type Said = (Verdict, Vec<String>);

/// What a judge said; of equal anomalies in a row, one.
pub(crate) fn said(finding: Finding) -> Said {
    let mut names: Vec<String> = finding.anomalies.into_iter().map(|anomaly| anomaly.name).collect();
    names.dedup();
    (finding.verdict, names)
}

/// This anomaly, and no other.
pub(crate) fn found(name: &str) -> Said {
    (Verdict::Invalid, vec![name.to_owned()])
}

pub(crate) const VALID: Said = (Verdict::Valid, vec![]);
