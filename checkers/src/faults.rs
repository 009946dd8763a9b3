//! Faults: every kind of fault that was asked for proved to bite, and everything was healed again.
//!
//! Read are the nemesis's `info` events with `f` `inject` and `heal`, whose value names the `fault` and
//! says whether a probe `proved` it. A fault that was never seen in force tested nothing, so the run is
//! vacuous; one that was not seen to be gone may have spoilt the final reads, so the run is undecided.

use std::collections::BTreeMap;

use ordeal_core::{Checker, Event, Finding, History, Verdict};
use serde_json::{Value, json};

use crate::About;
use crate::phases::of_nemesis;
use crate::words::{count, listed};

/// How lists show it.
pub(crate) const ABOUT: About =
    About { name: "faults", about: "every planned kind of fault proved to bite, and was healed" };

/// The judge.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    planned: Vec<String>,
}

impl Faults {
    /// A judge of these kinds of fault.
    pub fn new(planned: Vec<String>) -> Self {
        Faults { planned }
    }
}

/// What became of one kind of fault.
#[derive(Default)]
struct Tally {
    tried: u64,
    injected: u64,
    proved: u64,
    /// Why the last attempt to inject it came to nothing.
    unproved: Option<String>,
    /// Why it may still be in force.
    standing: Option<String>,
}

impl Tally {
    fn inject(&mut self, event: &Event) {
        let error = event.value.get("error");
        self.tried += 1;
        if error.is_none() {
            self.injected += 1;
            self.standing = Some(format!("injected at event {} and never healed", event.index));
        }
        if proved(event) {
            self.proved += 1;
        } else {
            self.unproved = Some(why(event));
        }
    }

    fn heal(&mut self, event: &Event) {
        self.standing =
            (!proved(event)).then(|| format!("heal-not-proved at event {}: {}", event.index, why(event)));
    }
}

fn proved(event: &Event) -> bool {
    event.value.get("proved") == Some(&Value::Bool(true))
}

/// What the event says was seen, or went wrong.
fn why(event: &Event) -> String {
    let said = ["error", "seen"].iter().find_map(|f| event.value.get(*f));
    match (said, &event.error) {
        (Some(Value::String(text)), _) => text.clone(),
        (Some(value), _) => format!("saw {value}"),
        (None, Some(error)) => error.clone(),
        (None, None) => "no reason given".to_owned(),
    }
}

impl Checker for Faults {
    fn name(&self) -> String {
        ABOUT.name.to_owned()
    }

    fn check(&self, history: &History) -> Finding {
        let mut tallies: BTreeMap<&str, Tally> = BTreeMap::new();
        for kind in &self.planned {
            tallies.entry(kind).or_default();
        }
        for event in &history.events {
            let Some(kind) = event.value.get("fault").and_then(Value::as_str) else {
                continue;
            };
            if of_nemesis(event, "inject") {
                tallies.entry(kind).or_default().inject(event);
            } else if of_nemesis(event, "heal") {
                tallies.entry(kind).or_default().heal(event);
            }
        }
        self.conclude(&tallies)
    }
}

impl Faults {
    fn conclude(&self, tallies: &BTreeMap<&str, Tally>) -> Finding {
        let standing: Vec<String> = tallies
            .iter()
            .filter_map(|(kind, t)| Some(format!("{kind}: {}", t.standing.as_ref()?)))
            .collect();
        let toothless: Vec<String> = tallies
            .iter()
            .filter(|(kind, t)| t.proved == 0 && self.planned.iter().any(|p| p == *kind))
            .map(|(kind, t)| match &t.unproved {
                Some(why) => format!("{kind} ({why})"),
                None => format!("{kind} (never injected)"),
            })
            .collect();
        let (verdict, summary) = if !standing.is_empty() {
            let standing = listed(&standing, 3, "; ");
            (Verdict::Unknown, format!("a fault may not have been healed: {standing}"))
        } else if !toothless.is_empty() {
            let toothless = listed(&toothless, 5, ", ");
            (Verdict::Vacuous, format!("never proved to bite: {toothless}"))
        } else if self.planned.is_empty() {
            (Verdict::Valid, "no faults asked for".to_owned())
        } else {
            let proved: u64 = tallies.values().map(|t| t.proved).sum();
            let tried: u64 = tallies.values().map(|t| t.tried).sum();
            let kinds = count(self.planned.len(), "kind");
            (
                Verdict::Valid,
                format!(
                    "{kinds} of fault bit, {proved} of {} proved, all healed",
                    count(tried as usize, "injection")
                ),
            )
        };
        let by_kind: BTreeMap<&str, Value> = tallies
            .iter()
            .map(|(kind, t)| (*kind, json!({"injected": t.injected, "proved": t.proved})))
            .collect();
        Finding::new(ABOUT.name, verdict, summary).with("by_kind", json!(by_kind))
    }
}
