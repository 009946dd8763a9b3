//! `power-loss`: nodes die, all those drawn at once, and what they had not synced is lost.
//! `torn-write`: the same, but the power went while the disk was writing: of what was not synced, each page
//! has made it with some chance.
//!
//! Mechanism: `SIGKILL` ([`crate::victims`]), then the disk undoes what came after the last sync
//! ([`crate::disk::Disk::crash`]). On heal the nodes start on what is left.
//! Proof: nothing of the nodes lives, and the disk holds nothing any more that is not synced.
//! Source: Pillai et al., All File Systems Are Not Created Equal, OSDI 2014.

use std::collections::BTreeMap;
use std::sync::Arc;

use ordeal_core::words::share;
use ordeal_core::{BoxFuture, Cluster, Fault, FaultStep, Probe, Rng, Words};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::{DiskFault, Prey, checked_share, disks_of, draw_seed, on_disks, read_seed};
use crate::args::parse;
use crate::disk::{Disk, Disks, Lost, Unsynced};
use crate::lives::{Blow, Victims};
use crate::nodes::running;
use crate::processes::blocking;
use crate::{Arsenal, whom};

pub(crate) const NAME: &str = "power-loss";
pub(crate) const ABOUT: &str = "kill whole nodes, and lose what they had written but not synced";
pub(crate) const TORN_NAME: &str = "torn-write";
pub(crate) const TORN_ABOUT: &str =
    "kill whole nodes; of what they had written but not synced, some pages are lost and some are not";

pub(crate) fn build(arsenal: &Arc<Arsenal>) -> Box<dyn Fault> {
    on_disks(arsenal, PowerLoss { torn: false, victims: Victims::default(), losses: Mutex::default() })
}

pub(crate) fn build_torn(arsenal: &Arc<Arsenal>) -> Box<dyn Fault> {
    on_disks(arsenal, PowerLoss { torn: true, victims: Victims::default(), losses: Mutex::default() })
}

struct PowerLoss {
    /// Whether pages survive by chance.
    torn: bool,
    victims: Victims,
    /// What each of the dead nodes lost.
    losses: Mutex<BTreeMap<usize, Loss>>,
}

struct Loss {
    disk: Arc<Disk>,
    before: Unsynced,
    lost: Lost,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Plain {
    #[serde(rename = "nodes")]
    _nodes: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Torn {
    #[serde(rename = "nodes")]
    _nodes: Value,
    /// The chance of each page to have made it.
    torn: f64,
    seed: u64,
}

impl PowerLoss {
    fn torn_and_seed(&self, args: &Value) -> Result<(f64, u64), String> {
        if self.torn {
            let read: Torn = parse(args, r#"{"nodes": whom, "torn": 0 to 1, "seed": number}"#)?;
            return Ok((checked_share("torn", read.torn, args)?, read.seed));
        }
        parse::<Plain>(args, r#"{"nodes": whom}"#).map(|_| (0.0, 0))
    }

    async fn strike(&self, disks: &Disks, cluster: &dyn Cluster, args: &Value) -> Result<Value, String> {
        let (torn, seed) = self.torn_and_seed(args)?;
        let nodes = whom::resolve(args, cluster).await?;
        let running: Vec<usize> = running(cluster, &nodes).await?.0.iter().map(|life| life.node).collect();
        let before = disks_of(disks, &running)?;
        let before = blocking(move || measure(before)).await?;
        let killed = self.victims.strike(cluster, &nodes, Blow::KILL).await?;
        let mut losses = self.losses.lock().await;
        losses.clear();
        let mut report = Vec::new();
        for (node, disk, before) in before.into_iter().filter(|(node, ..)| killed.nodes.contains(node)) {
            let of_node = seed.wrapping_add(node as u64);
            let (disk, lost) = blocking(move || (Arc::clone(&disk), disk.crash(torn, of_node))).await?;
            let lost = lost.map_err(|e| format!("node {node}: {e}"))?;
            report.push(json!({ "node": node, "lost": lost }));
            losses.insert(node, Loss { disk, before, lost });
        }
        let mut installed =
            json!({ "nodes": killed.nodes, "already_down": killed.already_down, "losses": report });
        if losses.values().all(|loss| is_nothing(&loss.lost)) {
            installed["nothing_unsynced"] = json!(true);
        }
        Ok(installed)
    }

    async fn look(&self, cluster: &dyn Cluster) -> Probe {
        let mut probe = self.victims.look(cluster).await;
        let losses = self.losses.lock().await;
        let Some(seen) = probe.seen.as_array_mut() else { return probe };
        for node in seen {
            let loss = node["node"].as_u64().and_then(|index| losses.get(&(index as usize)));
            let Some(loss) = loss else {
                probe.proved = false;
                node["lost"] = Value::Null;
                continue;
            };
            let disk = Arc::clone(&loss.disk);
            let now = blocking(move || disk.unsynced()).await;
            probe.proved &= now.as_ref().is_ok_and(|now| now.files == 0 && now.directory_ops == 0);
            node["unsynced_before"] = json!(loss.before);
            node["lost"] = json!(loss.lost);
            node["unsynced"] = now.map_or_else(|why| json!(why), |now| json!(now));
            if is_nothing(&loss.lost) {
                node["nothing_unsynced"] = json!(true);
            }
        }
        probe
    }

    async fn revive(&self, cluster: &dyn Cluster) -> Result<Probe, String> {
        let probe = self.victims.revive(cluster).await?;
        if probe.proved {
            self.losses.lock().await.clear();
        }
        Ok(probe)
    }
}

/// What each disk would lose now.
fn measure(disks: Vec<(usize, Arc<Disk>)>) -> Vec<(usize, Arc<Disk>, Unsynced)> {
    let measure = |(node, disk): (usize, Arc<Disk>)| {
        let unsynced = disk.unsynced();
        (node, disk, unsynced)
    };
    disks.into_iter().map(measure).collect()
}

/// Whether all that was written had been synced.
fn is_nothing(lost: &Lost) -> bool {
    lost.pages + lost.pages_kept + lost.tail_bytes + lost.directory_ops == 0
}

impl DiskFault for PowerLoss {
    fn name(&self) -> &'static str {
        if self.torn { TORN_NAME } else { NAME }
    }

    fn about(&self) -> &'static str {
        if self.torn { TORN_ABOUT } else { ABOUT }
    }

    fn prey(&self) -> Prey {
        Prey::OftenAll
    }

    fn draw(&self, rng: &mut Rng) -> Value {
        match self.torn {
            true => json!({ "torn": rng.between(10, 90) as f64 / 100.0, "seed": draw_seed(rng) }),
            false => json!({}),
        }
    }

    fn words(&self) -> &'static str {
        if self.torn { "the chance of a page to survive (30%), seed=number" } else { "nothing" }
    }

    fn read(&self, words: &mut Words, args: &mut Value) -> Result<(), String> {
        if !self.torn {
            return Ok(());
        }
        if let Some(torn) = words.take(share) {
            args["torn"] = json!(torn);
        }
        read_seed(words, args)
    }

    fn inject<'a>(
        &'a self,
        disks: &'a Disks,
        cluster: &'a dyn Cluster,
        step: &'a FaultStep,
    ) -> BoxFuture<'a, Result<Value, String>> {
        Box::pin(self.strike(disks, cluster, &step.args))
    }

    fn probe<'a>(&'a self, _: &'a Disks, cluster: &'a dyn Cluster) -> BoxFuture<'a, Probe> {
        Box::pin(self.look(cluster))
    }

    fn heal<'a>(&'a self, _: &'a Disks, cluster: &'a dyn Cluster) -> BoxFuture<'a, Result<Probe, String>> {
        Box::pin(self.revive(cluster))
    }
}
