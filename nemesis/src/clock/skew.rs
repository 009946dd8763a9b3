//! The clocks of a run: prepared once for all clock faults, skewed by one of them at a time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ordeal_core::{Cluster, LaunchChange, Probe};
use serde_json::{Value, json};

use super::args::{Order, Shape};
use super::check::{Checked, check};
use super::nodes::{Node, members};
use super::page::Setting;
use super::watch::{self, Log, Repeated};
use super::{launch, tracee};

/// What the clock faults of one run share.
#[derive(Debug, Default)]
pub struct Clocks {
    prepared: Mutex<Option<Prepared>>,
    in_force: Mutex<Option<InForce>>,
}

#[derive(Clone, Debug)]
struct Prepared {
    nodes: Arc<[Arc<Node>]>,
    /// The nodes that run without the preload library, by name, and why. `None`: none was to have it.
    without_preload: Option<BTreeMap<String, String>>,
}

/// A skew that was begun and not yet proved to be gone.
#[derive(Debug)]
struct InForce {
    owner: &'static str,
    nodes: Vec<usize>,
    order: Order,
    log: Arc<Log>,
    threads: Vec<Repeated>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Clocks {
    /// Makes the control pages, and has the nodes started with the preload library.
    pub(super) fn prepare(&self, cluster: &dyn Cluster) -> Result<(), String> {
        self.pages(cluster)?;
        let mut guard = lock(&self.prepared);
        let Some(prepared) = guard.as_mut().filter(|prepared| prepared.without_preload.is_none()) else {
            return Ok(());
        };
        let mut without = BTreeMap::new();
        for node in prepared.nodes.iter() {
            if let Err(why) = launch::prepare(cluster, node)? {
                without.insert(node.id.clone(), why);
            }
        }
        prepared.without_preload = Some(without);
        Ok(())
    }

    /// Makes the control pages, unless they are there.
    pub(super) fn pages(&self, cluster: &dyn Cluster) -> Result<(), String> {
        let mut prepared = lock(&self.prepared);
        if prepared.is_none() {
            let count = cluster.spec().nodes.len();
            let nodes =
                (0..count).map(|index| Node::of(cluster, index).map(Arc::new)).collect::<Result<_, _>>()?;
            *prepared = Some(Prepared { nodes, without_preload: None });
        }
        Ok(())
    }

    /// Takes back what [`Clocks::prepare`] did.
    pub(super) fn dismantle(&self, cluster: &dyn Cluster) -> Result<(), String> {
        let Some(prepared) = lock(&self.prepared).take() else { return Ok(()) };
        let mut left = Vec::new();
        for node in prepared.nodes.iter() {
            cluster.change_launch(node.index, launch::OWNER, LaunchChange::default());
            for file in [node.file.clone(), launch::library(node)] {
                match std::fs::remove_file(&file) {
                    Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                        left.push(format!("{}: {e}", file.display()));
                    }
                    _ => {}
                }
            }
        }
        if left.is_empty() { Ok(()) } else { Err(format!("cannot remove {}", left.join(", "))) }
    }

    /// Skews the clocks of these nodes.
    pub(super) fn begin(&self, owner: &'static str, nodes: &[usize], order: Order) -> Result<Value, String> {
        let start = Instant::now();
        let prepared = lock(&self.prepared).clone().ok_or("the clocks were not prepared")?;
        let mut in_force = lock(&self.in_force);
        if let Some(other) = in_force.as_ref().filter(|skew| skew.owner != owner) {
            return Err(format!("{} is in force", other.owner));
        }
        // A skew of ours that was not healed ends now.
        if let Some(skew) = in_force.take() {
            right_clocks(&prepared, skew);
        }
        let chosen: Vec<Arc<Node>> =
            nodes.iter().filter_map(|&node| prepared.nodes.get(node).cloned()).collect();
        let borrowed: Vec<&Node> = chosen.iter().map(AsRef::as_ref).collect();
        let log = Log::new();
        watch::patch_all(&borrowed, &log)?;
        let attached = start.elapsed();
        let wrong = match order.shape {
            Shape::Step { offset_ms } | Shape::Strobe { offset_ms, .. } => {
                Setting::from_now(offset_ms * 1_000_000, 0, order.monotonic)
            }
            Shape::Drift { ppm } => Setting::from_now(0, ppm, order.monotonic),
        };
        let skew = in_force.insert(InForce {
            owner,
            nodes: nodes.to_vec(),
            order,
            log: Arc::clone(&log),
            threads: Vec::new(),
        });
        chosen.iter().for_each(|node| node.page.set(wrong));
        skew.threads.push(watch::watch(chosen.clone(), Arc::clone(&log))?);
        if let Shape::Strobe { period_ms, .. } = order.shape {
            skew.threads.push(watch::strobe(chosen.clone(), wrong, Duration::from_millis(period_ms))?);
        }
        let (patched, stopped) = log.patched();
        let mut installed = json!({
            "nodes": nodes,
            "processes": members(&borrowed)?.len(),
            "patched": patched,
            "attach_us": attached.as_micros() as u64,
            "stopped_us_max": stopped.as_micros() as u64,
        });
        match order.shape {
            Shape::Step { offset_ms } => installed["offset_ms"] = json!(offset_ms),
            Shape::Strobe { offset_ms, period_ms } => {
                installed["offset_ms"] = json!(offset_ms);
                installed["period_ms"] = json!(period_ms);
            }
            Shape::Drift { ppm } => installed["ppm"] = json!(ppm),
        }
        if let Some(without) = prepared.without_preload.filter(|without| !without.is_empty()) {
            installed["waits_not_converted"] = json!(without);
        }
        Ok(installed)
    }

    /// Reads back the clocks of all nodes.
    pub(super) fn look(&self, owner: &str) -> Probe {
        let Some(prepared) = lock(&self.prepared).clone() else {
            return Probe { proved: false, seen: json!([]) };
        };
        let nodes: Vec<&Node> = prepared.nodes.iter().map(AsRef::as_ref).collect();
        let (chosen, order, log) = match lock(&self.in_force).as_ref().filter(|skew| skew.owner == owner) {
            Some(skew) => (skew.nodes.clone(), skew.order, Arc::clone(&skew.log)),
            None => return Probe { proved: false, seen: json!([]) },
        };
        match check(&nodes, &chosen, Some(order), Some(&log)) {
            Ok(Checked { proved, seen }) => Probe { proved, seen },
            Err(why) => Probe::failed(&why),
        }
    }

    /// Makes the clocks right that this fault skewed, and reads them back. Answers also how far they were off
    /// in the meantime.
    pub(super) fn end(&self, owner: &str) -> Result<(Probe, Vec<Value>), String> {
        let Some(prepared) = lock(&self.prepared).clone() else { return Ok((nothing_skewed(), Vec::new())) };
        let mut in_force = lock(&self.in_force);
        let Some(skew) = in_force.as_mut().filter(|skew| skew.owner == owner) else {
            return Ok((nothing_skewed(), Vec::new()));
        };
        skew.threads.clear();
        let chosen: Vec<&Node> =
            prepared.nodes.iter().map(AsRef::as_ref).filter(|n| skew.nodes.contains(&n.index)).collect();
        chosen.iter().for_each(|node| node.page.set(Setting::default()));
        let Checked { proved, seen } = check(&chosen, &[], None, Some(&skew.log))?;
        let samples = skew.log.take_samples(|node| prepared.nodes.get(node).map(|node| node.id.clone()));
        if proved {
            *in_force = None;
        }
        Ok((Probe { proved, seen }, samples))
    }
}

fn nothing_skewed() -> Probe {
    Probe { proved: true, seen: json!([]) }
}

fn right_clocks(prepared: &Prepared, mut skew: InForce) {
    skew.threads.clear();
    skew.nodes
        .iter()
        .filter_map(|&node| prepared.nodes.get(node))
        .for_each(|node| node.page.set(Setting::default()));
}

/// Whether clocks can be skewed on this kind of processor.
pub(super) fn supported() -> Result<(), String> {
    tracee::supported()
}
