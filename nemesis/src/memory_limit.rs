//! `memory-limit`: nodes get no more memory than they have, and a little: allocations fail, and a node may
//! end of that.
//!
//! Mechanism: the limit on the address space, for each process what it has now and `headroom_mb` in addition;
//! proof: see [`crate::limits`]. What is limited is addresses and not pages, as without control groups
//! nothing else can be; runtimes that reserve much beforehand (Go, Java) have that already and feel it late.
//! Args: [`whom`] and `"headroom_mb": 16`.

use std::sync::Arc;

use ordeal_core::words::log_between;
use ordeal_core::{Applies, BoxFuture, Cluster, Fault, FaultStep, Machine, Probe, Rng, Words};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::limits::{Limits, Resource};
use crate::{Arsenal, args, whom};

pub(crate) const NAME: &str = "memory-limit";
pub(crate) const ABOUT: &str = "let nodes have no more memory than they have now, and a little";

const EXPECTED: &str = r#"{"nodes": …, "headroom_mb": 0 to 1000000}"#;
const WORDS: &str = "headroom=16mb, and";
const HEADROOM_MB_MAX: u64 = 1_000_000;
const MB: u64 = 1 << 20;

pub(crate) fn build(_: &Arc<Arsenal>) -> Box<dyn Fault> {
    Box::new(MemoryLimit { limits: Limits::on(Resource::AddressSpace) })
}

struct MemoryLimit {
    limits: Limits,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Args {
    /// Read by [`whom::resolve`].
    #[serde(rename = "nodes")]
    _nodes: Value,
    headroom_mb: u64,
}

impl MemoryLimit {
    async fn lower(&self, cluster: &dyn Cluster, step: &FaultStep) -> Result<Value, String> {
        let Args { headroom_mb, .. } = args::parse(&step.args, EXPECTED)?;
        if headroom_mb > HEADROOM_MB_MAX {
            return Err(args::wrong("out of bounds", EXPECTED, &step.args));
        }
        let nodes = whom::resolve(&step.args, cluster).await?;
        let measure = move |pid| Some(Resource::AddressSpace.used(pid)? + headroom_mb * MB);
        self.limits.lower(cluster, &nodes, step.for_ms / 2, Box::new(measure)).await
    }
}

impl Fault for MemoryLimit {
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
        let mut args = whom::draw(rng, nodes, has_primary);
        args["headroom_mb"] = json!(log_between(rng, 1, 64));
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
        let megabytes = |text: &str| {
            text.strip_suffix("mb")?.trim().parse::<u64>().ok().filter(|&mb| mb <= HEADROOM_MB_MAX)
        };
        if let Some(headroom_mb) = words.value("headroom", "megabytes, e.g. 16mb", megabytes)? {
            args["headroom_mb"] = json!(headroom_mb);
        }
        if let Some(whom) = whom::read(&mut words, rng, nodes, has_primary)? {
            args["nodes"] = whom;
        }
        words.finish(&format!("{WORDS} {}", whom::WORDS)).map(|()| args)
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
