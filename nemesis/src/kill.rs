//! `kill`: whole nodes die without a last word, all those drawn at once, and are started again on heal.
//!
//! Mechanism and proof: see [`crate::deaths`].

use std::sync::Arc;

use ordeal_core::{Applies, BoxFuture, Cluster, Fault, FaultStep, Machine, Probe, Rng, Words};
use serde_json::{Value, json};

use crate::deaths::Deaths;
use crate::{Arsenal, whom};

pub(crate) const NAME: &str = "kill";
pub(crate) const ABOUT: &str = "kill whole nodes with SIGKILL; they are started again on the data they left";

pub(crate) fn build(_: &Arc<Arsenal>) -> Box<dyn Fault> {
    Box::new(Kill::default())
}

#[derive(Default)]
struct Kill {
    deaths: Deaths,
}

impl Kill {
    async fn strike(&self, cluster: &dyn Cluster, args: &Value) -> Result<Value, String> {
        let nodes = whom::resolve(args, cluster).await?;
        let killed = self.deaths.kill(cluster, &nodes).await?;
        Ok(json!({ "nodes": killed.nodes, "already_down": killed.already_down }))
    }
}

impl Fault for Kill {
    fn name(&self) -> &'static str {
        NAME
    }

    fn about(&self) -> &'static str {
        ABOUT
    }

    fn applies(&self, _: &Machine, _: usize) -> Applies {
        Applies::Yes
    }

    fn draw(&self, rng: &mut Rng, nodes: usize, has_primary: bool) -> Value {
        whom::draw(rng, nodes, has_primary)
    }

    fn read(
        &self,
        mut words: Words,
        rng: &mut Rng,
        nodes: usize,
        has_primary: bool,
    ) -> Result<Value, String> {
        let mut args = self.draw(rng, nodes, has_primary);
        if let Some(whom) = whom::read(&mut words, rng, nodes, has_primary)? {
            args["nodes"] = whom;
        }
        words.finish(whom::WORDS).map(|()| args)
    }

    fn inject<'a>(
        &'a self,
        cluster: &'a dyn Cluster,
        step: &'a FaultStep,
    ) -> BoxFuture<'a, Result<Value, String>> {
        Box::pin(self.strike(cluster, &step.args))
    }

    fn probe<'a>(&'a self, cluster: &'a dyn Cluster) -> BoxFuture<'a, Probe> {
        Box::pin(self.deaths.look(cluster))
    }

    fn heal<'a>(&'a self, cluster: &'a dyn Cluster) -> BoxFuture<'a, Result<Probe, String>> {
        Box::pin(self.deaths.revive(cluster))
    }
}
