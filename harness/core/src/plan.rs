//! The plan: everything a run is meant to do, as plain data that can be read, edited and run again.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The version of the format of `plan.json`.
pub const PLAN_VERSION: u32 = 1;

/// Everything that a run is meant to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// [`PLAN_VERSION`].
    pub version: u32,
    /// What is asked.
    pub workload: String,
    /// The system under audit.
    pub target: String,
    /// The planted defect, if any.
    #[serde(default)]
    pub bug: Option<String>,
    /// Settings of the target, e.g. `binary` or `read-mode`.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
    /// How many nodes there are from the beginning.
    pub nodes: usize,
    /// How many more join while the run goes on.
    #[serde(default)]
    pub joining: usize,
    /// How many clients act at once; worker `i` is bound to node `i` modulo all of
    /// them, and until that one has joined to one that is there from the beginning.
    pub concurrency: usize,
    /// Operations per second over all clients; `None` is as fast as they can.
    pub rate: Option<f64>,
    /// How many objects (keys) the workload uses.
    pub keys: u64,
    /// Load without faults before the load with faults.
    pub warmup_ms: u64,
    /// Load with faults.
    pub duration_ms: u64,
    /// How long an operation may take before its outcome counts as unknown.
    pub op_timeout_ms: u64,
    /// The longest wait for all nodes to be ready, at the start and again after the faults.
    pub ready_timeout_ms: u64,
    /// The root of everything random.
    pub seed: u64,
    /// The kinds of fault asked for; each must prove to bite at least once.
    pub fault_kinds: Vec<String>,
    /// Kinds that were asked for as part of a group and cannot be had on this machine or with this target,
    /// each with the reason.
    #[serde(default)]
    pub faults_skipped: BTreeMap<String, String>,
    /// What is broken, when, and for how long.
    pub faults: Vec<FaultStep>,
}

impl Plan {
    /// A plan that asks nothing of one node and breaks nothing.
    pub fn nothing(workload: &str, target: &str) -> Plan {
        Plan {
            version: PLAN_VERSION,
            workload: workload.to_owned(),
            target: target.to_owned(),
            bug: None,
            options: BTreeMap::new(),
            nodes: 1,
            joining: 0,
            concurrency: 1,
            rate: None,
            keys: 1,
            warmup_ms: 0,
            duration_ms: 0,
            op_timeout_ms: 0,
            ready_timeout_ms: 0,
            seed: 0,
            fault_kinds: Vec::new(),
            faults_skipped: BTreeMap::new(),
            faults: Vec::new(),
        }
    }

    /// How many nodes there are when all have joined.
    pub fn all_nodes(&self) -> usize {
        self.nodes + self.joining
    }

    /// Every kind of fault that was asked for or stands in the schedule (which people may edit), once.
    pub fn all_fault_kinds(&self) -> Vec<String> {
        let kinds = self.fault_kinds.iter().chain(self.faults.iter().map(|step| &step.fault));
        kinds.collect::<BTreeSet<_>>().into_iter().cloned().collect()
    }
}

/// One fault of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultStep {
    /// When it is injected, from the start of the load.
    pub at_ms: u64,
    /// How long it lasts.
    pub for_ms: u64,
    /// Its kind, e.g. `partition`.
    pub fault: String,
    /// Whom and how, in the fault's own terms.
    pub args: Value,
}
