//! The faults of disks: each node keeps its data on a file system of ours ([`crate::disk`]), which loses
//! what was not synced, answers late or with errors, or lies.
//!
//! What they all share is here: the file systems are mounted before the first node starts, once for all
//! kinds; whom a fault hits is read and drawn alike.

pub(crate) mod crash_point;
pub(crate) mod damage;
pub(crate) mod power_loss;
pub(crate) mod rollback;
pub(crate) mod rules;

use std::sync::Arc;

use ordeal_core::{Applies, BoxFuture, Cluster, Fault, FaultStep, Machine, Probe, Rng, Words};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::args::parse;
use crate::disk::{Call, Disk, Disks};
use crate::{Arsenal, whom};

/// A fault of disks, less what all of them do alike.
trait DiskFault: Send + Sync + 'static {
    fn name(&self) -> &'static str;

    fn about(&self) -> &'static str;

    /// Draws everything except whom.
    fn draw(&self, rng: &mut Rng) -> Value;

    /// Whom it is drawn for.
    fn prey(&self) -> Prey {
        Prey::Anyone
    }

    /// Takes the words it knows; whom is taken already.
    fn read(&self, words: &mut Words, args: &mut Value) -> Result<(), String>;

    /// What [`DiskFault::read`] reads.
    fn words(&self) -> &'static str;

    fn inject<'a>(
        &'a self,
        disks: &'a Disks,
        cluster: &'a dyn Cluster,
        step: &'a FaultStep,
    ) -> BoxFuture<'a, Result<Value, String>>;

    fn probe<'a>(&'a self, disks: &'a Disks, cluster: &'a dyn Cluster) -> BoxFuture<'a, Probe>;

    fn heal<'a>(&'a self, disks: &'a Disks, cluster: &'a dyn Cluster)
    -> BoxFuture<'a, Result<Probe, String>>;
}

/// Whom a fault is drawn for, when nobody says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Prey {
    /// As for most faults.
    Anyone,
    /// The same, but everybody more often.
    OftenAll,
    /// Some of always the same few, the last ones: what is damaged stays damaged, in this run also for the
    /// next fault, and no system survives the loss of most copies.
    SameFew,
}

impl Prey {
    fn draw(self, rng: &mut Rng, nodes: usize, has_primary: bool) -> Value {
        match self {
            Prey::OftenAll if rng.chance(0.3) => json!("all"),
            Prey::Anyone | Prey::OftenAll => whom::draw(rng, nodes, has_primary)["nodes"].take(),
            Prey::SameFew => {
                let few = (nodes.saturating_sub(1) / 2).max(1);
                let count = rng.between(1, few as u64) as usize;
                let first = nodes.saturating_sub(few);
                let these = whom::some(rng, few, count).into_iter().map(|node| first + node);
                json!(these.collect::<Vec<usize>>())
            }
        }
    }
}

/// A fault of disks with the disks it needs.
struct OnDisks<F> {
    arsenal: Arc<Arsenal>,
    fault: F,
}

/// Makes a fault of it.
fn on_disks(arsenal: &Arc<Arsenal>, fault: impl DiskFault) -> Box<dyn Fault> {
    Box::new(OnDisks { arsenal: Arc::clone(arsenal), fault })
}

impl<F: DiskFault> Fault for OnDisks<F> {
    fn name(&self) -> &'static str {
        self.fault.name()
    }

    fn about(&self) -> &'static str {
        self.fault.about()
    }

    fn applies(&self, machine: &Machine, _: usize) -> Applies {
        match &machine.no_fuse {
            Some(why) => Applies::No(why.clone()),
            None => Applies::Yes,
        }
    }

    fn draw(&self, rng: &mut Rng, nodes: usize, has_primary: bool) -> Value {
        let mut args = self.fault.draw(rng);
        args["nodes"] = self.fault.prey().draw(rng, nodes, has_primary);
        args
    }

    fn read(
        &self,
        mut words: Words,
        rng: &mut Rng,
        nodes: usize,
        has_primary: bool,
    ) -> Result<Value, String> {
        let mut args = self.draw(rng, nodes, has_primary);
        self.fault.read(&mut words, &mut args)?;
        whom::finish(words, rng, nodes, has_primary, args, self.fault.words())
    }

    fn prepare<'a>(&'a self, cluster: &'a dyn Cluster) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(self.arsenal.disks.mount_all(cluster))
    }

    fn dismantle<'a>(&'a self, cluster: &'a dyn Cluster) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(self.arsenal.disks.unmount_all(cluster))
    }

    fn inject<'a>(
        &'a self,
        cluster: &'a dyn Cluster,
        step: &'a FaultStep,
    ) -> BoxFuture<'a, Result<Value, String>> {
        self.fault.inject(&self.arsenal.disks, cluster, step)
    }

    fn probe<'a>(&'a self, cluster: &'a dyn Cluster) -> BoxFuture<'a, Probe> {
        self.fault.probe(&self.arsenal.disks, cluster)
    }

    fn heal<'a>(&'a self, cluster: &'a dyn Cluster) -> BoxFuture<'a, Result<Probe, String>> {
        self.fault.heal(&self.arsenal.disks, cluster)
    }
}

/// Checks a share.
fn checked_share(name: &str, share: f64, args: &Value) -> Result<f64, String> {
    match (0.0..=1.0).contains(&share) {
        true => Ok(share),
        false => Err(format!("expected a `{name}` of 0 to 1, found {args}")),
    }
}

/// The disks of these nodes.
fn disks_of(disks: &Disks, nodes: &[usize]) -> Result<Vec<(usize, Arc<Disk>)>, String> {
    nodes.iter().map(|&node| Ok((node, disks.of(node)?))).collect()
}

/// Takes the name of a call.
fn take_call(words: &mut Words) -> Option<Call> {
    words.take(|word| serde_json::from_value(json!(word)).ok())
}

/// The arguments of a fault that takes nothing else.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PathAndSeed {
    /// Read by [`whom::resolve`].
    #[serde(rename = "nodes")]
    _nodes: Value,
    path: Option<String>,
    seed: u64,
}

impl PathAndSeed {
    const EXPECTED: &str = r#"{"nodes": whom, "path": "*.wal" or null, "seed": number}"#;
    const WORDS: &str = "path=*.wal, seed=number";

    fn draw(rng: &mut Rng) -> Value {
        json!({ "path": null, "seed": draw_seed(rng) })
    }

    fn parse(args: &Value) -> Result<Self, String> {
        parse(args, Self::EXPECTED)
    }
}

/// Takes `path=glob` and `seed=number`.
fn read_path_and_seed(words: &mut Words, args: &mut Value) -> Result<(), String> {
    read_path(words, args)?;
    read_seed(words, args)
}

/// Takes `path=glob`.
fn read_path(words: &mut Words, args: &mut Value) -> Result<(), String> {
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    if let Some(path) = words.value("path", "a path with * and ?", some)? {
        args["path"] = json!(path);
    }
    Ok(())
}

/// Takes `seed=number`.
fn read_seed(words: &mut Words, args: &mut Value) -> Result<(), String> {
    if let Some(seed) = words.value("seed", "a number", |text| text.parse::<u64>().ok())? {
        args["seed"] = json!(seed);
    }
    Ok(())
}

/// Draws a seed that JSON readers of any kind keep exactly.
fn draw_seed(rng: &mut Rng) -> u64 {
    rng.below(1 << 32)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn fault(name: &str) -> Box<dyn Fault> {
        (crate::find(name).unwrap().build)(&Arc::default())
    }

    #[test]
    fn what_people_write_is_what_they_get() {
        for (name, text, expected) in [
            ("power-loss", "all", json!({"nodes": "all"})),
            ("torn-write", "n3, 30%, seed=5", json!({"nodes": [2], "torn": 0.3, "seed": 5})),
            (
                "disk-error",
                "n1, fsync, ENOSPC, path=*.wal, 30%, seed=5",
                json!({"nodes": [0], "calls": ["fsync"], "path": "*.wal", "errno": "ENOSPC", "chance": 0.3, "seed": 5}),
            ),
            ("disk-full", "primary, path=a?, seed=5", json!({"nodes": "primary", "path": "a?", "seed": 5})),
            (
                "slow-disk",
                "200ms, write, open, last-acknowledged, 50%, seed=5",
                json!({"nodes": "last-acknowledged", "calls": ["write", "open"], "path": null, "delay_us": 200_000, "chance": 0.5, "seed": 5}),
            ),
            ("bit-flip", "n2, 1%, seed=5", json!({"nodes": [1], "path": null, "chance": 0.01, "seed": 5})),
            ("bit-rot", "n2, path=*.db, seed=5", json!({"nodes": [1], "path": "*.db", "seed": 5})),
            ("truncate", "n2, path=*.log, bytes=100", json!({"nodes": [1], "path": "*.log", "bytes": 100})),
            ("rollback", "n2, n1", json!({"nodes": [0, 1]})),
            (
                "crash-point",
                "fsync, nth=3, path=*wal*, power, torn=20%, primary, seed=5",
                json!({"nodes": "primary", "call": "fsync", "path": "*wal*", "nth": 3, "power": true, "torn": 0.2, "seed": 5}),
            ),
        ] {
            let read = |text: &str| fault(name).read(Words::parse(text), &mut Rng::new(1), 3, true);
            assert_eq!(read(text), Ok(expected), "{name}({text})");
            let drawn = fault(name).draw(&mut Rng::new(1), 3, true);
            assert_eq!(read(""), Ok(drawn), "what nobody says is drawn");
            let error = read("n1, nonsense").unwrap_err();
            assert!(error.contains("`nonsense`") && error.contains("node names"), "{name}: {error}");
        }
        let crash = fault("crash-point").read(Words::parse("no-power"), &mut Rng::new(1), 3, true).unwrap();
        assert_eq!(crash["power"], json!(false));
    }

    #[test]
    fn without_fuse_they_do_not_apply_and_say_why() {
        let machine = Machine { no_fuse: Some("no /dev/fuse".to_owned()), ..Machine::default() };
        for kind in crate::all().iter().filter(|kind| kind.group == crate::Group::Disk) {
            let fault = fault(kind.name);
            assert_eq!(fault.applies(&machine, 3), Applies::No("no /dev/fuse".to_owned()));
            assert_eq!(fault.applies(&Machine::default(), 3), Applies::Yes);
        }
    }

    #[test]
    fn damage_is_only_drawn_for_so_few_that_the_others_always_have_everything() {
        for (nodes, few) in [(1, vec![0]), (2, vec![1]), (3, vec![2]), (5, vec![3, 4])] {
            let mut hit = BTreeSet::new();
            for seed in 0..100 {
                for name in ["bit-rot", "truncate", "rollback", "bit-flip"] {
                    let args = fault(name).draw(&mut Rng::new(seed), nodes, true);
                    hit.extend(serde_json::from_value::<Vec<usize>>(args["nodes"].clone()).unwrap());
                }
            }
            assert_eq!(hit.into_iter().collect::<Vec<_>>(), few, "{nodes} nodes");
        }
    }
}
