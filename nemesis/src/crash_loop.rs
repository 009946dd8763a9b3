//! `crash-loop`: nodes are killed again and again, each time shortly after their start; in the end they lie
//! until heal.
//!
//! What it finds: recovery that is interrupted by the next crash, and must be possible all the same.
//! Mechanism: see [`crate::lives`]. The loop takes half of the fault's time at most, and then has fewer
//! rounds than asked for, but never fewer than two.
//! Proof: nothing is left of any of the lives, each of which had an init process and a namespace of its own,
//! and each node died in every round.
//! Args: [`whom`], `"times": 5` (deaths) and `"up_ms": 50` (from each start to the next death).

use std::sync::Arc;
use std::time::{Duration, Instant};

use ordeal_core::words::{log_between, time_us};
use ordeal_core::{BoxFuture, Cluster, Fault, FaultStep, Probe, Rng, Words};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::lives::{Blow, Victims};
use crate::{Arsenal, args, whom};

pub(crate) const NAME: &str = "crash-loop";
pub(crate) const ABOUT: &str = "kill nodes again and again, each time shortly after they were started";

const EXPECTED: &str = r#"{"nodes": …, "times": 2 to 100, "up_ms": 0 to 60000}"#;
const WORDS: &str = "times=5, up=50ms";
/// Deaths.
const TIMES: (u64, u64) = (2, 100);
const UP_MS_MAX: u64 = 60_000;

pub(crate) fn build(_: &Arc<Arsenal>) -> Box<dyn Fault> {
    Box::new(CrashLoop::default())
}

#[derive(Default)]
struct CrashLoop {
    victims: Victims,
    /// How often each node should be seen to have died.
    rounds: Mutex<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Args {
    /// Read by [`whom::resolve`].
    #[serde(rename = "nodes")]
    _nodes: Value,
    times: u64,
    up_ms: u64,
}

impl CrashLoop {
    async fn strike(&self, cluster: &dyn Cluster, step: &FaultStep) -> Result<Value, String> {
        let Args { times, up_ms, .. } = args::parse(&step.args, EXPECTED)?;
        if !(TIMES.0..=TIMES.1).contains(&times) || up_ms > UP_MS_MAX {
            return Err(args::wrong("out of bounds", EXPECTED, &step.args));
        }
        let nodes = whom::resolve(&step.args, cluster).await?;
        let begun = Instant::now();
        let deadline = begun + Duration::from_millis(step.for_ms / 2);
        let first = self.victims.strike(cluster, &nodes, Blow::KILL).await?;
        let mut rounds = 1;
        while rounds < times as usize {
            self.victims.restart(cluster, &first.nodes).await?;
            let left = deadline.saturating_duration_since(Instant::now());
            tokio::time::sleep(Duration::from_millis(up_ms).min(left)).await;
            // One that did not live that long has ended by itself.
            if first.nodes.iter().any(|&node| cluster.init_pid(node).is_some()) {
                self.victims.strike(cluster, &first.nodes, Blow::KILL).await?;
            }
            rounds += 1;
            if Instant::now() >= deadline {
                break;
            }
        }
        *self.rounds.lock().await = rounds;
        Ok(json!({
            "nodes": first.nodes,
            "already_down": first.already_down,
            "times": rounds,
            "took_ms": begun.elapsed().as_millis() as u64,
        }))
    }

    async fn look(&self, cluster: &dyn Cluster) -> Probe {
        let rounds = *self.rounds.lock().await;
        let mut probe = self.victims.look(cluster).await;
        probe.proved &= self.victims.deaths().await.into_values().all(|deaths| deaths == rounds);
        probe
    }

    async fn heal(&self, cluster: &dyn Cluster) -> Result<Probe, String> {
        *self.rounds.lock().await = 0;
        self.victims.revive(cluster).await
    }
}

impl Fault for CrashLoop {
    fn name(&self) -> &'static str {
        NAME
    }

    fn about(&self) -> &'static str {
        ABOUT
    }

    fn draw(&self, rng: &mut Rng, nodes: usize, has_primary: bool) -> Value {
        // Mostly one node, now and then whoever `whom` draws: a cluster that crashes as a whole.
        let mut args = match rng.chance(0.7) {
            true => json!({ "nodes": whom::some(rng, nodes, 1) }),
            false => whom::draw(rng, nodes, has_primary),
        };
        args["times"] = json!(rng.between(2, 8));
        args["up_ms"] = json!(log_between(rng, 5, 300));
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
        let times = |text: &str| text.parse().ok().filter(|n| (TIMES.0..=TIMES.1).contains(n));
        if let Some(times) = words.value("times", "2 to 100", times)? {
            args["times"] = json!(times);
        }
        let up_ms = |text: &str| Some(time_us(text)? / 1_000).filter(|&ms| ms <= UP_MS_MAX);
        if let Some(up_ms) = words.value("up", "a time up to 60s, e.g. 50ms", up_ms)? {
            args["up_ms"] = json!(up_ms);
        }
        whom::finish(words, rng, nodes, has_primary, args, WORDS)
    }

    fn inject<'a>(
        &'a self,
        cluster: &'a dyn Cluster,
        step: &'a FaultStep,
    ) -> BoxFuture<'a, Result<Value, String>> {
        Box::pin(self.strike(cluster, step))
    }

    fn probe<'a>(&'a self, cluster: &'a dyn Cluster) -> BoxFuture<'a, Probe> {
        Box::pin(self.look(cluster))
    }

    fn heal<'a>(&'a self, cluster: &'a dyn Cluster) -> BoxFuture<'a, Result<Probe, String>> {
        Box::pin(self.heal(cluster))
    }
}
