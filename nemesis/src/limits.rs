//! Limits on what a node's processes may have: the fault, and what [`Sort`]s of it there are say of themselves.
//!
//! Mechanism: `prlimit(2)` on every process of the node's PID namespace, swept like signals ([`crate::sweep`]).
//! Only soft limits are changed, never above the hard ones: to take that back needs
//! no privilege. Children inherit the limit; a node that is killed and started again has none.
//! Proof: `/proc/P/limits` of every process.
//! A node may end of it. That is announced before, and on heal it is started again.
//!
//! Source: prlimit(2), proc_pid_limits(5).

mod prlimit;

use std::collections::BTreeMap;

use ordeal_core::{BoxFuture, Cluster, Fault, FaultStep, Probe, Rng, Words};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Mutex;

pub(crate) use self::prlimit::{Resource, descriptors};
use self::prlimit::{set_soft, soft};
use crate::args::{parse, wrong};
use crate::nodes::{Running, some_running};
use crate::processes::{Process, blocking, runs};
use crate::{sweep, whom};

/// What a process is to be limited to, given its number; `None` if it has gone.
type Measure = Box<dyn Fn(i32) -> Option<u64> + Send>;

/// One kind of limit.
pub(crate) struct Sort {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) resource: Resource,
    /// What a plan should say.
    pub(crate) expected: &'static str,
    /// What people can say, besides whom.
    pub(crate) words: &'static str,
    /// Under which name the amount stands in a plan.
    pub(crate) key: &'static str,
    pub(crate) most: u64,
    pub(crate) draw: fn(&mut Rng) -> u64,
    /// Takes the word that says the amount, if there is one.
    pub(crate) take: fn(&mut Words) -> Result<Option<u64>, String>,
    /// The limit of a process, for this amount.
    pub(crate) limit: fn(i32, u64) -> Option<u64>,
}

/// Makes a fault of it.
pub(crate) fn build(sort: &'static Sort) -> Box<dyn Fault> {
    Box::new(Limiting { sort, limits: Limits::on(sort.resource) })
}

struct Limiting {
    sort: &'static Sort,
    limits: Limits,
}

/// What stands in a plan: whom, and one amount under its own name.
#[derive(Deserialize)]
struct Args {
    /// Read by [`whom::resolve`].
    #[serde(rename = "nodes")]
    _nodes: Value,
    #[serde(flatten)]
    amount: BTreeMap<String, u64>,
}

impl Limiting {
    fn amount(&self, args: &Value) -> Result<u64, String> {
        let Sort { key, most, expected, .. } = self.sort;
        let Args { amount, .. } = parse(args, expected)?;
        match (amount.get(*key), amount.len()) {
            (Some(amount), 1) if amount <= most => Ok(*amount),
            (Some(_), 1) => Err(wrong("out of bounds", expected, args)),
            (Some(_), _) => Err(wrong("unknown field", expected, args)),
            (None, _) => Err(wrong(&format!("missing field `{key}`"), expected, args)),
        }
    }

    async fn lower(&self, cluster: &dyn Cluster, step: &FaultStep) -> Result<Value, String> {
        let amount = self.amount(&step.args)?;
        let nodes = whom::resolve(&step.args, cluster).await?;
        let limit = self.sort.limit;
        self.limits.lower(cluster, &nodes, step.for_ms / 2, Box::new(move |pid| limit(pid, amount))).await
    }
}

impl Fault for Limiting {
    fn name(&self) -> &'static str {
        self.sort.name
    }

    fn about(&self) -> &'static str {
        self.sort.about
    }

    fn draw(&self, rng: &mut Rng, nodes: usize, has_primary: bool) -> Value {
        let mut args = whom::draw(rng, nodes, has_primary);
        args[self.sort.key] = json!((self.sort.draw)(rng));
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
        if let Some(amount) = (self.sort.take)(&mut words)? {
            args[self.sort.key] = json!(amount);
        }
        whom::finish(words, rng, nodes, has_primary, args, self.sort.words)
    }

    fn inject<'a>(
        &'a self,
        cluster: &'a dyn Cluster,
        step: &'a FaultStep,
    ) -> BoxFuture<'a, Result<Value, String>> {
        Box::pin(self.lower(cluster, step))
    }

    fn probe<'a>(&'a self, _: &'a dyn Cluster) -> BoxFuture<'a, Probe> {
        Box::pin(self.limits.look())
    }

    fn heal<'a>(&'a self, cluster: &'a dyn Cluster) -> BoxFuture<'a, Result<Probe, String>> {
        Box::pin(self.limits.restore(cluster))
    }
}

/// The limits one fault has set since it was last healed.
struct Limits {
    resource: Resource,
    limited: Mutex<Vec<Limited>>,
}

/// A node under a limit.
#[derive(Clone)]
struct Limited {
    node: Running,
    /// By number and start of the process.
    processes: BTreeMap<(i32, u64), Change>,
}

/// The soft limit of one process.
#[derive(Clone, Copy)]
struct Change {
    before: u64,
    after: u64,
}

impl Limits {
    fn on(resource: Resource) -> Self {
        Limits { resource, limited: Mutex::default() }
    }

    /// Limits those of the nodes that run. The answer is what was done.
    async fn lower(
        &self,
        cluster: &dyn Cluster,
        nodes: &[usize],
        patience_ms: u64,
        measure: Measure,
    ) -> Result<Value, String> {
        let (up, down) = some_running(cluster, nodes, patience_ms).await?;
        for node in &up {
            cluster.expect_death(node.node);
        }
        let resource = self.resource;
        let lower = move || {
            let mut all = Vec::new();
            for node in up {
                let mut limited = Limited { node, processes: BTreeMap::new() };
                let outcome = limited.lower(resource, &measure);
                all.push((limited, outcome));
            }
            all
        };
        let mut kept = self.limited.lock().await;
        let mut done = Vec::new();
        let mut errors = Vec::new();
        for (limited, outcome) in blocking(lower).await? {
            errors.extend(outcome.err());
            let limits: BTreeMap<i32, u64> =
                limited.processes.iter().map(|(&(pid, _), change)| (pid, change.after)).collect();
            done.push(json!({ "node": limited.node.node, "limits": limits }));
            // Also after an error: half a fault is healed as well.
            kept.push(limited);
        }
        match errors.is_empty() {
            true => Ok(json!({ "nodes": done, "down": down })),
            false => Err(errors.join("; ")),
        }
    }

    /// Looks whether every process of each node is under its limit. A node that has ended since has had
    /// its limit, but that one ended of it nobody can see.
    async fn look(&self) -> Probe {
        let (limited, resource) = (self.limited.lock().await.clone(), self.resource);
        let look = move || {
            let mut proved = !limited.is_empty();
            let mut seen = Vec::new();
            for of_node in &limited {
                match of_node.look(resource) {
                    Ok((all, processes)) => {
                        proved &= all;
                        let ended = processes.is_empty();
                        seen.push(
                            json!({ "node": of_node.node.node, "ended": ended, "processes": processes }),
                        );
                    }
                    Err(why) => {
                        proved = false;
                        seen.push(json!({ "node": of_node.node.node, "error": why }));
                    }
                }
            }
            Probe { proved, seen: Value::Array(seen) }
        };
        blocking(look).await.unwrap_or_else(|why| Probe::failed(&why))
    }

    /// Gives back the limits of whatever still lives, and starts the nodes that have ended. Idempotent.
    async fn restore(&self, cluster: &dyn Cluster) -> Result<Probe, String> {
        let mut kept = self.limited.lock().await;
        let (limited, resource) = (kept.clone(), self.resource);
        let restore = move || limited.iter().map(|of_node| of_node.restore(resource)).collect::<Vec<_>>();
        let restored = blocking(restore).await?.into_iter().collect::<Result<Vec<_>, _>>()?;
        let mut proved = true;
        let mut seen = Vec::new();
        for (of_node, processes) in kept.iter().zip(restored) {
            let node = of_node.node.node;
            let down = cluster.init_pid(node).is_none();
            if down {
                cluster.start(node).await.map_err(|e| format!("cannot start node {node}: {e}"))?;
            }
            let up = cluster.init_pid(node).is_some_and(runs);
            proved &= up;
            seen.push(json!({ "node": node, "restored": processes, "started": down, "up": up }));
        }
        if proved {
            kept.clear();
        }
        Ok(Probe { proved, seen: Value::Array(seen) })
    }
}

/// All of it blocks.
impl Limited {
    fn lower(&mut self, resource: Resource, measure: &Measure) -> Result<(), String> {
        sweep::until_quiet(|| {
            let mut set = false;
            for process in self.node.processes()? {
                set |= self.lower_one(resource, &process, measure)?;
            }
            Ok(set)
        })
        .map(|_| ())
        .map_err(|why| format!("node {}: {why}", self.node.node))
    }

    /// Whether there was something to do.
    fn lower_one(
        &mut self,
        resource: Resource,
        process: &Process,
        measure: &Measure,
    ) -> Result<bool, String> {
        let key = (process.pid, process.started);
        if self.processes.contains_key(&key) {
            return Ok(false);
        }
        let (Some(before), Some(limit)) = (soft(resource, process.pid), measure(process.pid)) else {
            return Ok(false);
        };
        // It was forked by one that has the limit, or has a stricter one of its own.
        if self.processes.values().any(|change| change.after == before) || before <= limit {
            return Ok(false);
        }
        let change = Change { before, after: limit };
        if set_soft(resource, process.pid, limit)? {
            self.processes.insert(key, change);
            return Ok(true);
        }
        Ok(false)
    }

    /// What the process had before, and has by our hand; `None` if it has nothing by our hand.
    fn change_of(&self, process: &Process, soft: u64) -> Option<Change> {
        let own = self.processes.get(&(process.pid, process.started)).copied();
        // Those that were forked since have inherited one.
        own.or_else(|| self.processes.values().find(|change| change.after == soft).copied())
            .filter(|change| change.after == soft)
    }

    /// Whether each live process is under a limit of ours, and what each has.
    fn look(&self, resource: Resource) -> Result<(bool, Vec<Value>), String> {
        let mut all = true;
        let mut seen = Vec::new();
        for process in self.node.processes()? {
            let Some(soft) = soft(resource, process.pid) else { continue };
            all &= match self.processes.get(&(process.pid, process.started)) {
                Some(change) => soft <= change.after,
                None => self.processes.values().any(|change| soft <= change.after),
            };
            seen.push(json!({ "pid": process.pid, "soft": soft, "used": resource.used(process.pid) }));
        }
        Ok((all, seen))
    }

    /// Gives back limits until no live process is under one of ours any more. Answers to whom.
    fn restore(&self, resource: Resource) -> Result<Vec<i32>, String> {
        let mut restored = Vec::new();
        sweep::until_quiet(|| {
            let before = restored.len();
            for process in self.node.processes()? {
                let soft = soft(resource, process.pid);
                if let Some(change) = soft.and_then(|soft| self.change_of(&process, soft))
                    && set_soft(resource, process.pid, change.before)?
                {
                    restored.push(process.pid);
                }
            }
            Ok(restored.len() > before)
        })?;
        Ok(restored)
    }
}
