//! `kill`: whole nodes end, all those drawn at once, and are started again: on heal, or at once.
//!
//! Mechanism and proof: see [`crate::lives`]. Nearly always they die without a last word, by `SIGKILL`; now
//! and then they are asked to end (`SIGTERM`), as an operator would, and killed if they take over half of
//! the fault's time.
//! Args: [`whom`], and optionally `"restart": "at-once"` and `"signal": "SIGTERM"`.

use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;
use ordeal_core::{BoxFuture, Cluster, Fault, FaultStep, Probe, Rng, Words};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::args::{self, Fatal};
use crate::lives::{Blow, Victims};
use crate::{Arsenal, whom};

pub(crate) const NAME: &str = "kill";
pub(crate) const ABOUT: &str =
    "end whole nodes, mostly with SIGKILL; they are started again on the data they left, on heal or at once";

const EXPECTED: &str = r#"{"nodes": …}, optionally with "restart": "at-once" or "on-heal", and "signal": "SIGTERM" or another that ends a node"#;

pub(crate) fn build(_: &Arc<Arsenal>) -> Box<dyn Fault> {
    Box::new(Kill::default())
}

#[derive(Default)]
struct Kill {
    victims: Victims,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Args {
    /// Read by [`whom::resolve`].
    #[serde(rename = "nodes")]
    _nodes: Value,
    #[serde(default)]
    restart: Restart,
    #[serde(default)]
    signal: Fatal,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Restart {
    #[default]
    OnHeal,
    AtOnce,
}

impl Kill {
    async fn strike(&self, cluster: &dyn Cluster, step: &FaultStep) -> Result<Value, String> {
        let Args { restart, signal: Fatal(signal), .. } = args::parse(&step.args, EXPECTED)?;
        let nodes = whom::resolve(&step.args, cluster).await?;
        let patience = Duration::from_millis(step.for_ms / 2);
        let struck = self.victims.strike(cluster, &nodes, Blow { signal, patience }).await?;
        let mut done = json!({ "nodes": struck.nodes, "already_down": struck.already_down });
        if signal != Signal::SIGKILL {
            let forced: Vec<_> = struck.nodes.iter().filter(|node| !struck.willing.contains(node)).collect();
            done["signal"] = json!(signal.as_str());
            done["ended_by_itself"] = json!(struck.willing);
            done["killed"] = json!(forced);
        }
        if restart == Restart::AtOnce {
            self.victims.restart(cluster, &struck.nodes).await?;
            done["restart"] = json!("at-once");
        }
        Ok(done)
    }
}

impl Fault for Kill {
    fn name(&self) -> &'static str {
        NAME
    }

    fn about(&self) -> &'static str {
        ABOUT
    }

    fn draw(&self, rng: &mut Rng, nodes: usize, has_primary: bool) -> Value {
        let mut args = whom::draw(rng, nodes, has_primary);
        if rng.chance(0.25) {
            args["restart"] = json!("at-once");
        }
        if rng.chance(0.15) {
            args["signal"] = json!("SIGTERM");
        }
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
        if let Some(restart) = ["at-once", "on-heal"].into_iter().find(|word| words.flag(word)) {
            args["restart"] = json!(restart);
        }
        if let Some(signal) = Fatal::read(&mut words) {
            args["signal"] = json!(signal);
        }
        let expected = format!("at-once or on-heal, a signal ({})", args::FATAL_WORDS);
        whom::finish(words, rng, nodes, has_primary, args, &expected)
    }

    fn inject<'a>(
        &'a self,
        cluster: &'a dyn Cluster,
        step: &'a FaultStep,
    ) -> BoxFuture<'a, Result<Value, String>> {
        Box::pin(self.strike(cluster, step))
    }

    fn probe<'a>(&'a self, cluster: &'a dyn Cluster) -> BoxFuture<'a, Probe> {
        Box::pin(self.victims.look(cluster))
    }

    fn heal<'a>(&'a self, cluster: &'a dyn Cluster) -> BoxFuture<'a, Result<Probe, String>> {
        Box::pin(self.victims.revive(cluster))
    }
}
