//! `rolling-restart`: nodes are restarted one after another, each when the one before is ready, as an
//! operator would.
//!
//! Mechanism: see [`crate::lives`]. All have half of the fault's time together, each an equal part of what
//! is left of it; a node that is not ready when its part is over does not hold up the next.
//! Proof: nothing is left of what each node was, and each has a new init process.
//! Args: `{"order": [2, 0, 1]}`, and optionally `"signal": "SIGTERM"`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use ordeal_core::{BoxFuture, Cluster, Fault, FaultStep, Probe, Rng, Words};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::args::{self, Fatal};
use crate::lives::{Rolling, Victims, roll};
use crate::{Arsenal, whom};

pub(crate) const NAME: &str = "rolling-restart";
pub(crate) const ABOUT: &str = "restart nodes one after another, each when the one before is ready";

const EXPECTED: &str = r#"{"order": [2, 0, 1]}, each node once, optionally with "signal": "SIGTERM" or another that ends a node"#;
const WORDS: &str =
    "whom: node names in their order (n3, n1), a number of nodes, one, minority, majority or all";

pub(crate) fn build(_: &Arc<Arsenal>) -> Box<dyn Fault> {
    Box::new(RollingRestart::default())
}

#[derive(Default)]
struct RollingRestart {
    victims: Victims,
    /// Whom it is meant for now.
    order: Mutex<Vec<usize>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Args {
    order: Vec<usize>,
    #[serde(default)]
    signal: Fatal,
}

impl RollingRestart {
    async fn restart(&self, cluster: &dyn Cluster, step: &FaultStep) -> Result<Value, String> {
        let Args { mut order, signal } = args::parse(&step.args, EXPECTED)?;
        let each_once = whom::checked(&order, cluster.spec().nodes.len()).and_then(|nodes| {
            if nodes.len() == order.len() { Ok(()) } else { Err("a node is named twice".to_owned()) }
        });
        each_once.map_err(|why| args::wrong(&why, EXPECTED, &step.args))?;
        order.retain(|&node| node < cluster.joined());
        self.order.lock().await.clone_from(&order);
        let time = Duration::from_millis(step.for_ms / 2);
        let turns = roll(&self.victims, cluster, Rolling { order: &order, signal, time }, |_| {}).await?;
        Ok(json!({ "order": order, "signal": signal.0.as_str(), "turns": turns }))
    }

    async fn look(&self, cluster: &dyn Cluster) -> Probe {
        let order: BTreeSet<usize> = self.order.lock().await.iter().copied().collect();
        let mut probe = self.victims.look(cluster).await;
        probe.proved &= self.victims.deaths().await.into_keys().eq(order);
        probe
    }

    async fn heal(&self, cluster: &dyn Cluster) -> Result<Probe, String> {
        self.order.lock().await.clear();
        self.victims.revive(cluster).await
    }
}

impl Fault for RollingRestart {
    fn name(&self) -> &'static str {
        NAME
    }

    fn about(&self) -> &'static str {
        ABOUT
    }

    fn draw(&self, rng: &mut Rng, nodes: usize, _: bool) -> Value {
        let mut order: Vec<usize> = (0..nodes).collect();
        rng.shuffle(&mut order);
        let signal = if rng.chance(0.5) { "SIGKILL" } else { "SIGTERM" };
        json!({ "order": order, "signal": signal })
    }

    fn read(
        &self,
        mut words: Words,
        rng: &mut Rng,
        nodes: usize,
        has_primary: bool,
    ) -> Result<Value, String> {
        let mut args = self.draw(rng, nodes, has_primary);
        if let Some(signal) = Fatal::read(&mut words) {
            args["signal"] = json!(signal);
        }
        let mut named = Vec::new();
        while let Some(number) = words.take(|word| word.strip_prefix('n')?.parse::<usize>().ok()) {
            named.push(number.checked_sub(1).ok_or("nodes are n1, n2, …")?);
        }
        if !named.is_empty() {
            if whom::checked(&named, nodes)?.len() != named.len() {
                return Err("a node is named twice".to_owned());
            }
            args["order"] = json!(named);
        } else if !words.flag("all")
            && let Some(some) = whom::read_count(&mut words, nodes)?
        {
            // The order is drawn already.
            let mut order: Vec<Value> = args["order"].as_array().cloned().unwrap_or_default();
            order.truncate(some);
            args["order"] = json!(order);
        }
        words.finish(&format!("a signal ({}), and {WORDS}", args::FATAL_WORDS)).map(|()| args)
    }

    fn inject<'a>(
        &'a self,
        cluster: &'a dyn Cluster,
        step: &'a FaultStep,
    ) -> BoxFuture<'a, Result<Value, String>> {
        Box::pin(self.restart(cluster, step))
    }

    fn probe<'a>(&'a self, cluster: &'a dyn Cluster) -> BoxFuture<'a, Probe> {
        Box::pin(self.look(cluster))
    }

    fn heal<'a>(&'a self, cluster: &'a dyn Cluster) -> BoxFuture<'a, Result<Probe, String>> {
        Box::pin(self.heal(cluster))
    }
}
