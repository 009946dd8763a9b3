//! `crash-point`: a node dies at the N-th sync (or write, rename, …) from now on of a file that matches, just
//! before the call takes effect; with `power`, what it had not synced is lost too.
//!
//! Mechanism: a trap in the node's disk ([`crate::disk::Disk::arm`]), which holds the call while the node
//! is killed by [`crate::lives::trigger`]. Of several nodes, the first that gets there dies, and only that
//! one (or those at the very same moment).
//! Proof: as for every death, see [`crate::victims`]. A point that is not reached within half of the fault's
//! time is an error.
//! Source: Alagappan et al., Correlated Crash Vulnerabilities, OSDI 2016.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ordeal_core::words::{log_between, share};
use ordeal_core::{BoxFuture, Cluster, Fault, FaultStep, Probe, Rng, Words};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::{DiskFault, checked_share, disks_of, draw_seed, on_disks, read_path_and_seed, take_call};
use crate::args::parse;
use crate::disk::{Armed, Call, Disk, Disks, Lost, Sprung, Trap};
use crate::lives::Victims;
use crate::lives::trigger::{Trigger, triggers};
use crate::nodes::running;
use crate::processes::blocking;
use crate::{Arsenal, whom};

pub(crate) const NAME: &str = "crash-point";
pub(crate) const ABOUT: &str = "a node dies at the N-th sync, write or rename of a file";
const EXPECTED: &str = r#"{"nodes": whom, "call": "fsync", "path": "*.wal" or null, "nth": 1 or more, "power": true or false, "torn": 0 to 1, "seed": number}"#;
/// The latest that is drawn.
const NTH_MAX: u64 = 20;
/// The longest wait for the trap to tell where it sprang, when the node is dead already.
const SPRUNG_TIMEOUT: Duration = Duration::from_secs(1);

pub(crate) fn build(arsenal: &Arc<Arsenal>) -> Box<dyn Fault> {
    on_disks(arsenal, CrashPoint::default())
}

#[derive(Default)]
struct CrashPoint {
    victims: Victims,
    /// What the disks of the dead nodes lost, if the power went too.
    lost: Mutex<BTreeMap<usize, Lost>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Args {
    #[serde(rename = "nodes")]
    _nodes: Value,
    call: Call,
    path: Option<String>,
    nth: u64,
    /// Whether what was not synced is lost.
    power: bool,
    /// The chance of a page that was not synced to survive.
    torn: f64,
    seed: u64,
}

/// A trap in the disk of a node.
struct Armament {
    node: usize,
    armed: Armed,
}

impl CrashPoint {
    async fn strike(&self, disks: &Disks, cluster: &dyn Cluster, step: &FaultStep) -> Result<Value, String> {
        let args: Args = parse(&step.args, EXPECTED)?;
        checked_share("torn", args.torn, &step.args)?;
        if args.nth == 0 {
            return Err(format!("expected {EXPECTED}, found {}", step.args));
        }
        let nodes = whom::resolve(&step.args, cluster).await?;
        let (alive, down) = running(cluster, &nodes).await?;
        if alive.is_empty() {
            return Err("every node it was meant for is down".to_owned());
        }
        self.lost.lock().await.clear();
        let disks = disks_of(disks, &nodes)?;
        let (triggers, watch) = triggers(alive);
        let mut armaments: Vec<Armament> = Vec::new();
        for trigger in triggers {
            let Some((node, disk)) = disks.iter().find(|(node, _)| *node == trigger.node()) else { continue };
            let armed = disk.arm(trap(&args, trigger));
            armaments.push(Armament { node: *node, armed });
        }
        let limit = Duration::from_millis(step.for_ms / 2);
        let disarm = |first: Option<usize>| armaments.retain(|armament| Some(armament.node) == first);
        let killed = watch.first(cluster, &self.victims, limit, disarm).await?;
        if killed.is_empty() {
            let path = args.path.as_deref().unwrap_or("*");
            let call = format!("{:?}", args.call).to_lowercase();
            let (nth, limit_ms) = (args.nth, limit.as_millis());
            return Err(format!(
                "none of nodes {nodes:?} got to {call} {nth} of {path} within {limit_ms} ms"
            ));
        }
        if args.power {
            self.cut_power(&args, &killed, disks).await?;
        }
        let mut at = Vec::new();
        for Armament { node, armed } in armaments {
            if let Some(sprung) = blocking(move || armed.wait(SPRUNG_TIMEOUT)).await? {
                let Sprung { call, path, count } = sprung;
                at.push(json!({ "node": node, "call": call, "path": path, "count": count }));
            }
        }
        Ok(json!({ "killed": killed, "armed": nodes, "down": down, "at": at }))
    }

    async fn cut_power(
        &self,
        args: &Args,
        killed: &[usize],
        disks: Vec<(usize, Arc<Disk>)>,
    ) -> Result<(), String> {
        for (node, disk) in disks.into_iter().filter(|(node, _)| killed.contains(node)) {
            let (torn, seed) = (args.torn, args.seed.wrapping_add(node as u64));
            let lost = blocking(move || disk.crash(torn, seed)).await?;
            self.lost.lock().await.insert(node, lost.map_err(|e| format!("node {node}: {e}"))?);
        }
        Ok(())
    }

    async fn look(&self, cluster: &dyn Cluster) -> Probe {
        let mut probe = self.victims.look(cluster).await;
        let lost = self.lost.lock().await;
        for node in probe.seen.as_array_mut().into_iter().flatten() {
            let of_node = node["node"].as_u64().and_then(|index| lost.get(&(index as usize)));
            if let Some(of_node) = of_node {
                node["lost"] = json!(of_node);
            }
        }
        probe
    }
}

fn trap(args: &Args, trigger: Trigger) -> Trap {
    let kill = Box::new(move || trigger.pull());
    Trap { call: args.call, path: args.path.clone(), nth: args.nth, kill }
}

impl DiskFault for CrashPoint {
    fn name(&self) -> &'static str {
        NAME
    }

    fn about(&self) -> &'static str {
        ABOUT
    }

    /// Many systems never rename, so that is drawn rarely.
    fn draw(&self, rng: &mut Rng) -> Value {
        let call = match rng.below(20) {
            0..=9 => Call::Fsync,
            10..=18 => Call::Write,
            _ => Call::Rename,
        };
        let nth = log_between(rng, 1, NTH_MAX);
        let power = rng.chance(0.5);
        let torn = if power && rng.chance(0.5) { rng.between(10, 90) as f64 / 100.0 } else { 0.0 };
        json!({ "call": call, "path": null, "nth": nth, "power": power, "torn": torn, "seed": draw_seed(rng) })
    }

    fn words(&self) -> &'static str {
        "a call (open, create, read, write, fsync, rename, unlink, truncate, mkdir), nth=number, path=*.wal, power, no-power, torn=30%, seed=number"
    }

    fn read(&self, words: &mut Words, args: &mut Value) -> Result<(), String> {
        if let Some(call) = take_call(words) {
            args["call"] = json!(call);
        }
        if let Some(nth) = words.value("nth", "a number", |text| text.parse::<u64>().ok())? {
            args["nth"] = json!(nth);
        }
        for (word, power) in [("power", true), ("no-power", false)] {
            if words.flag(word) {
                args["power"] = json!(power);
            }
        }
        if let Some(torn) = words.value("torn", "a share such as 30%", share)? {
            args["torn"] = json!(torn);
        }
        read_path_and_seed(words, args)
    }

    fn inject<'a>(
        &'a self,
        disks: &'a Disks,
        cluster: &'a dyn Cluster,
        step: &'a FaultStep,
    ) -> BoxFuture<'a, Result<Value, String>> {
        Box::pin(self.strike(disks, cluster, step))
    }

    fn probe<'a>(&'a self, _: &'a Disks, cluster: &'a dyn Cluster) -> BoxFuture<'a, Probe> {
        Box::pin(self.look(cluster))
    }

    fn heal<'a>(&'a self, _: &'a Disks, cluster: &'a dyn Cluster) -> BoxFuture<'a, Result<Probe, String>> {
        Box::pin(self.victims.revive(cluster))
    }
}
