//! Drives the schedule of faults: each kind in a task of its own, one injection after another.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ordeal_core::{Cluster, EventKind, Fault, FaultStep, Probe};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::cluster::{Handle, nemesis_event};
use crate::{Journal, Progress, RecorderError};

/// What the drivers of all faults share.
#[derive(Clone)]
pub(crate) struct Driver {
    pub(crate) journal: Journal,
    pub(crate) cluster: Handle,
    pub(crate) progress: Arc<Progress>,
    /// Held while a fault of that class is in force.
    pub(crate) classes: Arc<BTreeMap<&'static str, tokio::sync::Mutex<()>>>,
}

impl Driver {
    /// Injects one kind of fault as planned, from `start` on. Every injection is followed by its probe,
    /// and healed before the next, and before the next one of another kind of its class.
    pub(crate) async fn drive(
        self,
        fault: Arc<dyn Fault>,
        class: Option<&'static str>,
        steps: Vec<FaultStep>,
        start: Instant,
        mut interrupt: watch::Receiver<bool>,
    ) -> Result<(), RecorderError> {
        for step in &steps {
            let end_ms = step.at_ms.saturating_add(step.for_ms);
            if wait_until(start + Duration::from_millis(step.at_ms), &mut interrupt).await {
                break;
            }
            let end = start + Duration::from_millis(end_ms);
            let turn = async {
                match class.and_then(|class| self.classes.get(class)) {
                    Some(class) => Some(class.lock().await),
                    None => None,
                }
            };
            let turn = tokio::time::timeout_at(end, turn).await;
            if turn.is_err() || Instant::now() >= end {
                // What was in force took longer than planned. Injected now it would bite when nobody looks.
                let error = "the fault before it took until after its end";
                let value =
                    json!({"fault": fault.name(), "args": step.args, "proved": false, "error": error});
                self.note(EventKind::Info, "inject", value).await?;
                continue;
            }
            // Neither is ever cut off half-way: whoever heals next must find a whole fault or none.
            self.inject(&*fault, step).await?;
            wait_until(end, &mut interrupt).await;
            self.heal(&*fault).await?;
        }
        Ok(())
    }

    async fn inject(&self, fault: &dyn Fault, step: &FaultStep) -> Result<(), RecorderError> {
        let name = fault.name();
        self.note(EventKind::Invoke, "inject", json!({"fault": name, "args": step.args})).await?;
        let value = match fault.inject(&self.cluster, step).await {
            Ok(installed) => {
                self.progress.fault(name, Some(installed.to_string()));
                let Probe { proved, seen } = fault.probe(&self.cluster).await;
                json!({"fault": name, "installed": installed, "proved": proved, "seen": seen})
            }
            Err(error) => json!({"fault": name, "proved": false, "error": error}),
        };
        tracing::info!(%value, "inject");
        self.note(EventKind::Info, "inject", value).await
    }

    /// Undoes the fault. Idempotent, so it may be called at any time.
    pub(crate) async fn heal(&self, fault: &dyn Fault) -> Result<(), RecorderError> {
        let name = fault.name();
        self.note(EventKind::Invoke, "heal", json!({"fault": name})).await?;
        let value = match fault.heal(&self.cluster).await {
            Ok(Probe { proved, seen }) => json!({"fault": name, "proved": proved, "seen": seen}),
            Err(error) => json!({"fault": name, "proved": false, "error": error}),
        };
        self.progress.fault(name, None);
        tracing::info!(%value, "heal");
        self.note(EventKind::Info, "heal", value).await
    }

    async fn note(&self, kind: EventKind, f: &'static str, value: Value) -> Result<(), RecorderError> {
        self.journal.record(nemesis_event(&self.journal, kind, f, value)).await
    }

    /// Whether the target can name its primary now.
    pub(crate) async fn has_primary(&self) -> bool {
        self.cluster.primaries().await.is_some()
    }
}

/// Waits for a time, or for the interrupt; the answer is whether it was that.
async fn wait_until(deadline: Instant, interrupt: &mut watch::Receiver<bool>) -> bool {
    tokio::select! {
        () = tokio::time::sleep_until(deadline) => false,
        Ok(_) = interrupt.wait_for(|interrupted| *interrupted) => true,
    }
}
