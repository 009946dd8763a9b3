//! Disks that answer wrongly or late, by rules: what [`disk_error`], [`disk_full`], [`slow_disk`] and
//! [`bit_flip`] share.
//!
//! Mechanism: rules on the nodes' disks ([`crate::disk::Disk::set_rules`]), one owner a kind.
//! Proof: the disks count the calls that a rule struck. `inject` waits until there is one, but never longer
//! than half of the fault's time: a rule that strikes nothing is not proved. Where the rule covers it, the
//! harness makes a call of its own and sees what comes of it. It never syncs: that would make durable what
//! the node has not synced.

pub(crate) mod bit_flip;
pub(crate) mod disk_error;
pub(crate) mod disk_full;
pub(crate) mod slow_disk;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ordeal_core::words::share;
use ordeal_core::{BoxFuture, Cluster, Fault, FaultStep, Probe, Rng, Words};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::{DiskFault, Prey, disks_of, on_disks, read_path_and_seed, take_call};
use crate::disk::{Call, Disk, Disks, Rule};
use crate::lives::Victims;
use crate::nodes::{Running, running};
use crate::processes::blocking;
use crate::{Arsenal, whom};

/// Between two looks whether a call was struck.
const POLL: Duration = Duration::from_millis(2);
/// So long no call may be struck after healing.
const QUIET: Duration = Duration::from_millis(20);
/// How long a node on possibly damaged data is watched after its start.
const WATCH: Duration = Duration::from_millis(500);

/// What becomes of the nodes when the rules are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    /// They just go on.
    GoOn,
    /// They are started anew: many rightly refuse to go on after an error of their disk, see
    /// <https://lwn.net/Articles/752063/> (PostgreSQL's fsync surprise).
    Restart,
    /// As before, and their data may be damaged, so they may rightly refuse to start.
    RestartDamaged,
}

/// A kind of rule.
trait Ruling: Copy + Default + Send + Sync + 'static {
    fn name(&self) -> &'static str;

    fn about(&self) -> &'static str;

    fn after(&self) -> After;

    fn draw(&self, rng: &mut Rng) -> Value;

    fn words(&self) -> &'static str;

    fn read(&self, words: &mut Words, args: &mut Value) -> Result<(), String>;

    /// The rule, and its seed.
    fn rule(&self, args: &Value) -> Result<(Rule, u64), String>;

    /// What the harness sees itself, if the rule is meant for its calls too. Blocks.
    fn own_call(&self, _rule: &Rule, _data: &Path) -> Option<OwnCall> {
        None
    }

    /// Whether the harness's own call proves it, also if no call of the node was struck.
    fn own_call_suffices(&self) -> bool {
        false
    }
}

/// What came of the harness's own call.
struct OwnCall {
    /// Whether it was as the rule says.
    struck: bool,
    seen: Value,
}

struct Ruled<R> {
    ruling: R,
    victims: Victims,
    force: Mutex<Option<Force>>,
}

/// What is in force.
struct Force {
    args: Value,
    disks: Vec<(usize, Arc<Disk>)>,
    /// The lives of those nodes that ran when it began.
    lives: BTreeMap<usize, Running>,
}

impl Force {
    /// How many calls were struck, by node and call.
    fn struck(&self, owner: &'static str) -> BTreeMap<usize, BTreeMap<Call, u64>> {
        self.disks.iter().map(|(node, disk)| (*node, disk.struck(owner))).collect()
    }

    /// The nodes that have ended since it began.
    fn ended(&self, cluster: &dyn Cluster) -> Vec<usize> {
        let ended = |life: &&Running| cluster.init_pid(life.node) != Some(life.init);
        self.lives.values().filter(ended).map(|life| life.node).collect()
    }
}

fn any(struck: &BTreeMap<usize, BTreeMap<Call, u64>>) -> bool {
    struck.values().flat_map(BTreeMap::values).any(|&count| count > 0)
}

fn build<R: Ruling>(arsenal: &Arc<Arsenal>) -> Box<dyn Fault> {
    on_disks(arsenal, Ruled { ruling: R::default(), victims: Victims::default(), force: Mutex::default() })
}

impl<R: Ruling> Ruled<R> {
    async fn set(&self, disks: &Disks, cluster: &dyn Cluster, step: &FaultStep) -> Result<Value, String> {
        let (_, seed) = self.ruling.rule(&step.args)?;
        let nodes = whom::resolve(&step.args, cluster).await?;
        let disks = disks_of(disks, &nodes)?;
        let (alive, down) = running(cluster, &nodes).await?;
        let lives = alive.into_iter().map(|life| (life.node, life)).collect();
        let mut force = self.force.lock().await;
        let force = force.insert(Force { args: step.args.clone(), disks, lives });
        for (node, disk) in &force.disks {
            if self.ruling.after() != After::GoOn {
                cluster.expect_death(*node);
            }
            let (rule, _) = self.ruling.rule(&step.args)?;
            disk.set_rules(self.ruling.name(), vec![rule], seed.wrapping_add(*node as u64));
        }
        let start = Instant::now();
        let limit = Duration::from_millis(step.for_ms / 2);
        let waited = || !any(&force.struck(self.ruling.name())) && force.ended(cluster).is_empty();
        while waited() && start.elapsed() < limit {
            tokio::time::sleep(POLL).await;
        }
        Ok(json!({ "nodes": nodes, "down": down, "waited_ms": start.elapsed().as_millis() as u64 }))
    }

    async fn look(&self, cluster: &dyn Cluster) -> Probe {
        let force = self.force.lock().await;
        let Some(force) = force.as_ref() else { return Probe::failed("no rule is set") };
        let struck = force.struck(self.ruling.name());
        let mut probe =
            Probe { proved: any(&struck), seen: json!({ "struck": struck, "ended": force.ended(cluster) }) };
        if let Some(own) = self.own_call(cluster, force).await {
            probe.proved = own.struck && (probe.proved || self.ruling.own_call_suffices());
            probe.seen["own_call"] = own.seen;
        }
        probe
    }

    /// The harness's own call on the first of the disks.
    async fn own_call(&self, cluster: &dyn Cluster, force: &Force) -> Option<OwnCall> {
        let (rule, _) = self.ruling.rule(&force.args).ok()?;
        let &(node, _) = force.disks.first()?;
        // What strikes only sometimes, or only certain files, need not strike ours.
        if rule.path.is_some() || rule.chance < 1.0 {
            return None;
        }
        let data = cluster.spec().nodes.get(node)?.data_dir.clone();
        let ruling = self.ruling;
        blocking(move || ruling.own_call(&rule, &data)).await.ok()?
    }

    async fn lift(&self, disks: &Disks, cluster: &dyn Cluster) -> Result<Probe, String> {
        let name = self.ruling.name();
        for node in 0..cluster.spec().nodes.len() {
            if let Ok(disk) = disks.of(node) {
                disk.clear_rules(name);
            }
        }
        let mut state = self.force.lock().await;
        let Some(force) = state.as_ref() else {
            return Ok(Probe { proved: true, seen: json!({ "nodes": [] }) });
        };
        let nodes: Vec<usize> = force.disks.iter().map(|(node, _)| *node).collect();
        let before = force.struck(name);
        tokio::time::sleep(QUIET).await;
        let after = force.struck(name);
        let mut probe = Probe { proved: !any(&after) || after == before, seen: json!({ "struck": before }) };
        match self.ruling.after() {
            After::GoOn => {
                if let Some(own) = self.own_call(cluster, force).await {
                    probe.proved &= !own.struck;
                    probe.seen["own_call"] = own.seen;
                }
            }
            After::Restart => {
                self.victims.fell(cluster, &nodes).await?;
                let revived = self.victims.revive(cluster).await?;
                probe.proved &= revived.proved;
                probe.seen["started"] = revived.seen;
            }
            After::RestartDamaged => {
                self.victims.fell(cluster, &nodes).await?;
                let disks = force.disks.clone();
                // What was read wrongly is still in the kernel's memory; a new mount has none.
                blocking(move || disks.iter().try_for_each(|(_, disk)| disk.offline(|_| Ok(())))).await??;
                let started = self.victims.try_revive(cluster, WATCH).await?;
                probe.seen["nodes"] = super::damage::started_json(&started);
            }
        }
        if probe.proved {
            *state = None;
        }
        Ok(probe)
    }
}

impl<R: Ruling> DiskFault for Ruled<R> {
    fn name(&self) -> &'static str {
        self.ruling.name()
    }

    fn about(&self) -> &'static str {
        self.ruling.about()
    }

    fn draw(&self, rng: &mut Rng) -> Value {
        self.ruling.draw(rng)
    }

    fn prey(&self) -> Prey {
        match self.ruling.after() {
            After::GoOn | After::Restart => Prey::Anyone,
            After::RestartDamaged => Prey::SameFew,
        }
    }

    fn words(&self) -> &'static str {
        self.ruling.words()
    }

    fn read(&self, words: &mut Words, args: &mut Value) -> Result<(), String> {
        self.ruling.read(words, args)
    }

    fn inject<'a>(
        &'a self,
        disks: &'a Disks,
        cluster: &'a dyn Cluster,
        step: &'a FaultStep,
    ) -> BoxFuture<'a, Result<Value, String>> {
        Box::pin(self.set(disks, cluster, step))
    }

    fn probe<'a>(&'a self, _: &'a Disks, cluster: &'a dyn Cluster) -> BoxFuture<'a, Probe> {
        Box::pin(self.look(cluster))
    }

    fn heal<'a>(
        &'a self,
        disks: &'a Disks,
        cluster: &'a dyn Cluster,
    ) -> BoxFuture<'a, Result<Probe, String>> {
        Box::pin(self.lift(disks, cluster))
    }
}

/// Takes the names of calls, a share as the chance, `path=glob` and `seed=number`.
fn read_scope(words: &mut Words, args: &mut Value) -> Result<(), String> {
    let calls: Vec<Call> = std::iter::from_fn(|| take_call(words)).collect();
    if !calls.is_empty() {
        args["calls"] = json!(calls);
    }
    read_chance(words, args);
    read_path_and_seed(words, args)
}

/// Takes a share as the chance.
fn read_chance(words: &mut Words, args: &mut Value) {
    if let Some(chance) = words.take(share) {
        args["chance"] = json!(chance);
    }
}
