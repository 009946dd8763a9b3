//! How the judges of `iot` say what they found.

use std::collections::BTreeMap;

use ordeal_core::{Anomaly, Finding, Key, Operation, Verdict};

/// How many anomalies of one name are reported; the rest are counted.
const REPORTED: usize = 20;

/// What a judge has found so far.
#[derive(Default)]
pub(super) struct Report {
    found: BTreeMap<&'static str, usize>,
    anomalies: Vec<Anomaly>,
    undecided: Option<String>,
}

impl Report {
    /// Notes an anomaly, with the operations that show it.
    pub(super) fn note(
        &mut self,
        name: &'static str,
        machine: Option<&str>,
        shown_by: &[&Operation<'_>],
        message: impl FnOnce() -> String,
    ) {
        let found = self.found.entry(name).or_default();
        *found += 1;
        if *found > REPORTED {
            return;
        }
        let mut events: Vec<u64> = shown_by.iter().flat_map(|op| op.events()).collect();
        events.dedup();
        self.anomalies.push(Anomaly {
            name: name.to_owned(),
            message: message(),
            key: machine.map(|machine| Key::Text(machine.to_owned())),
            events,
            details: serde_json::Value::Null,
        });
    }

    /// Something could not be judged.
    pub(super) fn undecided(&mut self, why: impl Into<String>) {
        self.undecided.get_or_insert(why.into());
    }

    /// The finding; `judged` says what was looked at, `nothing` that it was nothing.
    pub(super) fn finding(self, judge: &str, judged: String, nothing: bool) -> Finding {
        let (verdict, summary) = if !self.found.is_empty() {
            let kinds: Vec<String> = self.found.iter().map(|(name, n)| format!("{n} {name}")).collect();
            (Verdict::Invalid, format!("{} ({judged})", kinds.join(", ")))
        } else if let Some(why) = self.undecided {
            (Verdict::Unknown, format!("{why} ({judged})"))
        } else if nothing {
            (Verdict::Vacuous, judged)
        } else {
            (Verdict::Valid, judged)
        };
        let mut finding = Finding::new(judge, verdict, summary);
        finding.anomalies = self.anomalies;
        finding
    }
}

/// Who did an operation, where and when.
pub(super) fn who(op: &Operation<'_>) -> String {
    let end = op.complete.unwrap_or(op.invoke).time;
    let ms = |ns: u64| ns as f64 / 1e6;
    format!(
        "client {} at {}, {:.3} to {:.3} ms",
        op.process(),
        op.invoke.node.as_deref().unwrap_or("a node"),
        ms(op.invoke.time),
        ms(end),
    )
}
