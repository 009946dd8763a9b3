//! Verdicts: what a judge may say, and how judgements are merged without one masking another.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Key;

/// The verdict lattice. The order is the order of gravity, and merging is `max`: a violation is never
/// masked by a judge that could not decide, and silence never passes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The promise was kept as far as this history shows.
    #[default]
    Valid,
    /// Nothing was learned: nothing of some kind succeeded, or no planned fault proved to bite.
    Vacuous,
    /// Undecided: out of time or memory, or an input that could not be judged.
    Unknown,
    /// The promise was broken; the anomalies say where.
    Invalid,
}

impl Verdict {
    /// The graver of two.
    #[must_use]
    pub fn merge(self, other: Verdict) -> Verdict {
        self.max(other)
    }

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::Valid => "valid",
            Verdict::Vacuous => "vacuous",
            Verdict::Unknown => "unknown",
            Verdict::Invalid => "invalid",
        }
    }
}

/// One thing that went wrong, with the operations at fault.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Anomaly {
    /// The field's name for it, e.g. `nonlinearizable`, `lost-element`, `divergence`.
    pub name: String,
    /// One or two sentences a person can act on.
    pub message: String,
    /// The object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Key>,
    /// The indices of the events cited, in the order in which they should be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<u64>,
    /// Anything else worth keeping, as data.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub details: Value,
}

/// What one checker found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// Which checker.
    pub checker: String,
    /// Its verdict.
    pub verdict: Verdict,
    /// One line for a person: what was judged, or why it could not be.
    pub summary: String,
    /// What went wrong, gravest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub anomalies: Vec<Anomaly>,
    /// Numbers worth keeping, with their unit in the name (`latency_ms_p99`).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub measurements: BTreeMap<String, Value>,
}

impl Finding {
    /// A finding without anomalies.
    pub fn new(checker: impl Into<String>, verdict: Verdict, summary: impl Into<String>) -> Self {
        Finding {
            checker: checker.into(),
            verdict,
            summary: summary.into(),
            anomalies: Vec::new(),
            measurements: BTreeMap::new(),
        }
    }

    /// Adds a measurement.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.measurements.insert(name.to_owned(), value.into());
        self
    }
}

/// The judgement over a run: all findings and the gravest verdict among them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// The gravest of the findings' verdicts.
    pub verdict: Verdict,
    /// One per checker.
    pub findings: Vec<Finding>,
}

impl Judgement {
    /// Merges findings. No findings at all is vacuous: silence never passes.
    pub fn of(findings: Vec<Finding>) -> Self {
        let verdict = findings.iter().map(|f| f.verdict).max().unwrap_or(Verdict::Vacuous);
        Judgement { verdict, findings }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_violation_is_never_masked() {
        use Verdict::{Invalid, Unknown, Vacuous, Valid};
        for other in [Valid, Vacuous, Unknown, Invalid] {
            assert_eq!(Invalid.merge(other), Invalid);
            assert_eq!(other.merge(Invalid), Invalid);
        }
        assert_eq!(Valid.merge(Vacuous), Vacuous);
        assert_eq!(Vacuous.merge(Unknown), Unknown);
    }

    #[test]
    fn silence_is_not_valid() {
        assert_eq!(Judgement::of(Vec::new()).verdict, Verdict::Vacuous);
    }
}
