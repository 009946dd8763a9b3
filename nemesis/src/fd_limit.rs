//! `fd-limit`: nodes can open hardly any more files and connections than they have open: too many open
//! files (`EMFILE`), as after a leak.
//!
//! Mechanism: the limit on file descriptors, for each process such that `spare` numbers are free below it;
//! proof: see [`crate::limits`]. What is open stays open and can be used.
//! Args: [`whom`] and `"spare": 2`.

use std::sync::Arc;

use ordeal_core::{Applies, BoxFuture, Cluster, Fault, FaultStep, Machine, Probe, Rng, Words};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::limits::{Limits, Resource, descriptors};
use crate::{Arsenal, args, whom};

pub(crate) const NAME: &str = "fd-limit";
pub(crate) const ABOUT: &str = "let nodes open hardly any more files and connections than they have open now";

const EXPECTED: &str = r#"{"nodes": …, "spare": 0 to 1000}"#;
const WORDS: &str = "spare=2, and";
const SPARE_MAX: u64 = 1_000;

pub(crate) fn build(_: &Arc<Arsenal>) -> Box<dyn Fault> {
    Box::new(FdLimit { limits: Limits::on(Resource::FileDescriptors) })
}

struct FdLimit {
    limits: Limits,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Args {
    /// Read by [`whom::resolve`].
    #[serde(rename = "nodes")]
    _nodes: Value,
    spare: u64,
}

impl FdLimit {
    async fn lower(&self, cluster: &dyn Cluster, step: &FaultStep) -> Result<Value, String> {
        let Args { spare, .. } = args::parse(&step.args, EXPECTED)?;
        if spare > SPARE_MAX {
            return Err(args::wrong("out of bounds", EXPECTED, &step.args));
        }
        let nodes = whom::resolve(&step.args, cluster).await?;
        let measure = move |pid| Some(limit_with(&descriptors(pid)?, spare));
        self.limits.lower(cluster, &nodes, step.for_ms / 2, Box::new(measure)).await
    }
}

/// The limit below which so many numbers are free. The kernel always gives out the lowest free number.
fn limit_with(open: &[u64], spare: u64) -> u64 {
    // Between two open ones lie free ones.
    let mut limit = spare;
    for _ in open.iter().enumerate().take_while(|&(before, &number)| number <= spare + before as u64) {
        limit += 1;
    }
    limit
}

impl Fault for FdLimit {
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
        args["spare"] = json!(rng.between(0, 8));
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
        let spare = |text: &str| text.parse().ok().filter(|&spare: &u64| spare <= SPARE_MAX);
        if let Some(spare) = words.value("spare", "a number up to 1000", spare)? {
            args["spare"] = json!(spare);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_the_spare_numbers_are_free_below_the_limit() {
        assert_eq!(limit_with(&[0, 1, 2], 0), 3);
        assert_eq!(limit_with(&[0, 1, 2], 2), 5);
        assert_eq!(limit_with(&[0, 1, 2, 5, 6], 0), 3);
        assert_eq!(limit_with(&[0, 1, 2, 5, 6], 1), 4);
        assert_eq!(limit_with(&[0, 1, 2, 5, 6], 3), 8);
        assert_eq!(limit_with(&[], 4), 4);
    }

    #[test]
    fn no_gap_is_miscounted() {
        let rng = &mut Rng::new(1);
        for _ in 0..1_000 {
            let open: Vec<u64> = (0..40).filter(|_| rng.chance(0.6)).collect();
            let spare = rng.below(9);
            let limit = limit_with(&open, spare);
            assert_eq!(limit - open.iter().filter(|&&n| n < limit).count() as u64, spare, "{open:?}");
        }
    }
}
