//! When which fault was in force, as the history tells it: for judges that ask what a system did meanwhile.

use std::collections::BTreeMap;

use ordeal_core::{Event, EventKind, Process};
use serde_json::{Value, json};

/// A fault in force.
#[derive(Debug)]
pub(crate) struct Window {
    pub(crate) fault: String,
    /// The nodes that it hit, by name; none if it says something else, or was not proved.
    pub(crate) nodes: Vec<String>,
    /// What was installed, if it was proved; else null.
    pub(crate) installed: Value,
    /// When the injection began, and when it was done.
    pub(crate) from_ns: u64,
    pub(crate) in_force_ns: u64,
    /// When the healing began, and when it was done.
    pub(crate) healing_ns: u64,
    pub(crate) to_ns: u64,
}

impl Window {
    /// Whether any part of the other one lies in this one.
    pub(crate) fn overlaps(&self, other: &Window) -> bool {
        other.from_ns < self.to_ns && self.from_ns < other.to_ns
    }
}

/// The name of the node at this place.
pub(crate) fn node_name(index: u64) -> String {
    format!("n{}", index + 1)
}

/// The faults that were injected, in order.
pub(crate) fn windows(events: &[Event]) -> Vec<Window> {
    let mut windows: Vec<Window> = Vec::new();
    let mut open: BTreeMap<String, usize> = BTreeMap::new();
    for event in events.iter().filter(|e| matches!(e.process, Process::Named(_))) {
        let Some(fault) = event.value.get("fault").and_then(Value::as_str) else { continue };
        match (&*event.f, event.kind) {
            ("inject", EventKind::Invoke) => {
                open.insert(fault.to_owned(), windows.len());
                windows.push(Window {
                    fault: fault.to_owned(),
                    nodes: Vec::new(),
                    installed: Value::Null,
                    from_ns: event.time,
                    in_force_ns: u64::MAX,
                    healing_ns: u64::MAX,
                    to_ns: u64::MAX,
                });
            }
            ("inject", _) => {
                let Some(&at) = open.get(fault) else { continue };
                windows[at].in_force_ns = event.time;
                if event.value["proved"] == json!(true) {
                    let nodes = event.value["installed"]["nodes"].as_array();
                    let indices = nodes.into_iter().flatten().filter_map(Value::as_u64);
                    windows[at].nodes = indices.map(node_name).collect();
                    windows[at].installed = event.value["installed"].clone();
                }
            }
            ("heal", EventKind::Invoke) => {
                if let Some(&at) = open.get(fault) {
                    windows[at].healing_ns = event.time;
                }
            }
            ("heal", EventKind::Info) => {
                if let Some(at) = open.remove(fault) {
                    windows[at].to_ns = event.time;
                }
            }
            _ => {}
        }
    }
    windows
}
