//! Recovery: after everything is healed, every node serves again.
//!
//! Read are the harness's `node-not-ready` events. A node that does not come back is not by itself a broken
//! promise, but what it holds was not read, so the run is undecided.

use std::collections::BTreeMap;

use ordeal_core::{Checker, Finding, History, Verdict};
use serde_json::{Value, json};

use crate::About;
use crate::phases::of_nemesis;
use crate::words::listed;

/// How lists show it.
pub(crate) const ABOUT: About =
    About { name: "recovery", about: "after healing every node became ready again" };

/// The judge.
#[derive(Clone, Copy, Debug, Default)]
pub struct Recovery;

impl Checker for Recovery {
    fn name(&self) -> String {
        ABOUT.name.to_owned()
    }

    fn check(&self, history: &History) -> Finding {
        let late: BTreeMap<&str, Option<f64>> = history
            .events
            .iter()
            .filter(|e| of_nemesis(e, "node-not-ready"))
            .map(|e| {
                let node = e.value.get("node").and_then(Value::as_str).unwrap_or("a node");
                (node, e.value.get("after_ms").and_then(Value::as_f64))
            })
            .collect();
        let (verdict, summary) = if history.events.is_empty() {
            (Verdict::Vacuous, "the history is empty".to_owned())
        } else if late.is_empty() {
            (Verdict::Valid, "every node became ready again".to_owned())
        } else {
            let late: Vec<String> = late
                .iter()
                .map(|(node, after)| match after {
                    Some(ms) => format!("{node} was not ready {ms} ms after healing"),
                    None => format!("{node} was not ready after healing"),
                })
                .collect();
            (Verdict::Unknown, listed(&late, 5, "; "))
        };
        let nodes: Vec<&str> = late.into_keys().collect();
        Finding::new(ABOUT.name, verdict, summary).with("nodes_not_ready", json!(nodes))
    }
}
