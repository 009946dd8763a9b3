//! Crashes: a node that ended though nobody asked it to, and panics in what nodes wrote.
//!
//! [`Crashes`] reads the harness's `node-exited` events. [`panics_in_log`] reads a node's own log, in
//! which a panic may stand that the process survived.

use ordeal_core::{Anomaly, Checker, Finding, History, Verdict};
use serde_json::{Value, json};

use crate::About;
use crate::phases::of_nemesis;
use crate::words::{count, listed, ms};

/// How lists show it.
pub(crate) const ABOUT: About =
    About { name: "crashes", about: "no node ended by itself; with the node logs at hand, none panicked" };

/// How the harness writes the status of a process that died of SIGKILL: 128 + 9.
const SIGKILLED: &str = "137";
/// How many incidents of one log are reported.
const INCIDENTS: usize = 20;
/// How many lines from its first belong to one incident.
const INCIDENT_LINES: usize = 10;

/// The judge.
#[derive(Clone, Copy, Debug, Default)]
pub struct Crashes;

impl Checker for Crashes {
    fn name(&self) -> String {
        ABOUT.name.to_owned()
    }

    fn check(&self, history: &History) -> Finding {
        let exits = history.events.iter().filter(|e| of_nemesis(e, "node-exited"));
        let mut killed = Vec::new();
        let mut anomalies = Vec::new();
        for event in exits {
            let text = |field| event.value.get(field).and_then(Value::as_str);
            let lines = event.value.get("log").and_then(Value::as_array);
            let last = lines
                .and_then(|lines| lines.last()?.as_str())
                .map_or_else(String::new, |line| format!("; its last words: {line}"));
            if text("status").is_some_and(|status| status.contains(SIGKILLED)) {
                // No program kills itself so: it was the kernel, out of memory, or somebody outside.
                killed.push(text("node").unwrap_or("a node").to_owned());
                continue;
            }
            anomalies.push(Anomaly {
                name: "crash".to_owned(),
                message: format!(
                    "{} ended by itself at {:.3} ms ({}){last}",
                    text("node").unwrap_or("a node"),
                    ms(event.time),
                    text("status").unwrap_or("status unknown"),
                ),
                key: None,
                events: vec![event.index],
                details: event.value.clone(),
            });
        }
        let (verdict, summary) = if !anomalies.is_empty() {
            (Verdict::Invalid, format!("{} that nobody asked for", count(anomalies.len(), "exit")))
        } else if !killed.is_empty() {
            let killed = listed(&killed, 5, ", ");
            (Verdict::Unknown, format!("killed by somebody else than the harness (out of memory?): {killed}"))
        } else if history.events.is_empty() {
            (Verdict::Vacuous, "the history is empty".to_owned())
        } else {
            (Verdict::Valid, "no node ended by itself".to_owned())
        };
        let mut finding = Finding::new(ABOUT.name, verdict, summary)
            .with("exits_unexpected", anomalies.len() + killed.len());
        finding.anomalies = anomalies;
        finding
    }
}

/// Whether a line announces that its process, or a part of it, broke down.
fn is_panic(line: &str) -> bool {
    // Go's runtime starts these at the first column; elsewhere the same words are ordinary prose.
    let go = line.starts_with("panic: ")
        || line.starts_with("fatal error: ")
        || (line.starts_with("goroutine ") && line.trim_end().ends_with("[running]:"));
    let c = line.contains("SIGSEGV") || line.contains("assertion failed") || line.contains("Assertion `");
    go || c || is_rust_panic(line)
}

/// `thread 'main' panicked at …`, with or without the thread's number.
fn is_rust_panic(line: &str) -> bool {
    line.find("thread '").is_some_and(|at| line[at..].contains(" panicked at"))
}

/// The panics in the log of one node, as anomalies named `panic`. What follows one within a few lines
/// (its message, a back trace) belongs to it.
pub fn panics_in_log(node: &str, text: &str) -> Vec<Anomaly> {
    let lines: Vec<&str> = text.lines().collect();
    let mut anomalies = Vec::new();
    let mut quiet_until = 0;
    for (at, line) in lines.iter().enumerate() {
        let follows = at < quiet_until && !is_rust_panic(line);
        if follows || !is_panic(line) {
            continue;
        }
        quiet_until = at + INCIDENT_LINES;
        let end = quiet_until.min(lines.len());
        anomalies.push(Anomaly {
            name: "panic".to_owned(),
            message: format!("{node} broke down, line {} of its log: {}", at + 1, line.trim()),
            key: None,
            events: Vec::new(),
            details: json!({"node": node, "line": at + 1, "log": &lines[at..end]}),
        });
        if anomalies.len() == INCIDENTS {
            break;
        }
    }
    anomalies
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panics_of_several_languages_are_found_once_each() {
        let rust = "starting\nthread 'main' (7) panicked at src/a.rs:1:2:\nassertion failed: x\nnote: run\n";
        let go = "panic: runtime error: index out of range\n\ngoroutine 1 [running]:\nmain.main()\n";
        let c = "node: a.c:3: f: Assertion `x' failed.\n";
        for (text, line) in [(rust, 2), (go, 1), (c, 1), ("Received SIGSEGV, quitting\n", 1)] {
            let found = panics_in_log("n1", text);
            assert_eq!(found.len(), 1, "{text}");
            assert_eq!((&*found[0].name, &found[0].details["line"]), ("panic", &json!(line)));
            assert!(found[0].message.starts_with("n1 "));
        }
        let two = "thread 'a' panicked at x\nthread 'b' panicked at y\n";
        assert_eq!(panics_in_log("n1", two).len(), 2);
    }

    #[test]
    fn prose_about_panics_is_no_panic() {
        let text = "no need to panic: all is well\nretrying after fatal error: none\na thread 'x' started\n";
        assert_eq!(panics_in_log("n1", text), []);
    }

    #[test]
    fn a_log_full_of_panics_is_cut_short() {
        let text = "thread 'a' panicked at x\n".repeat(1000);
        assert_eq!(panics_in_log("n1", &text).len(), INCIDENTS);
    }
}
