//! `partition`: packets between some of the nodes vanish, in one direction or in both.
//!
//! Mechanism: drop rules in each receiving node's own network namespace, or, where iptables is not
//! installed, the cluster's own links ([`ordeal_core::Fabric`]). Clients are never cut off.
//! Proof: datagrams between every two nodes, in both directions; exactly those that should arrive do.

mod iptables;
mod probe;
mod shapes;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ordeal_core::{Applies, BoxFuture, Cluster, Fault, FaultStep, Machine, Probe, Rng, Words};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use self::probe::Prober;
use self::shapes::{Cuts, Shape};
use crate::{Arsenal, whom};

pub(crate) const NAME: &str = "partition";
pub(crate) const ABOUT: &str =
    "make packets between some of the nodes vanish: halves, one, ring, bridge, one-way, primary";

pub(crate) fn build(arsenal: &Arc<Arsenal>) -> Box<dyn Fault> {
    let iptables_restore = arsenal.machine.iptables_restore.clone();
    Box::new(Partition { iptables_restore, state: Mutex::default() })
}

struct Partition {
    iptables_restore: Option<PathBuf>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What is cut now.
    cuts: Cuts,
    /// Whether the rules' chain is in place.
    hooked: bool,
    /// Why iptables, though installed, cannot be used here; then the cluster's own links are.
    unusable: Option<String>,
    prober: Option<Arc<Prober>>,
}

impl Partition {
    /// The program that makes rules, if rules are what cuts.
    fn rules(&self, state: &State) -> Option<&Path> {
        self.iptables_restore.as_deref().filter(|_| state.unusable.is_none())
    }

    async fn split(&self, cluster: &dyn Cluster, args: &Value) -> Result<Value, String> {
        let shape = Shape::parse(args)?;
        let primaries = match shape {
            Shape::Primary {} => whom::primaries(cluster).await?,
            _ => whom::Primaries::default(),
        };
        let cuts = shape.cuts(cluster.spec().nodes.len(), &primaries.nodes)?;
        let mut state = self.state.lock().await;
        if let Some(program) = self.rules(&state) {
            match iptables::drop_packets(program, cluster, &cuts, !state.hooked).await {
                Ok(()) => state.hooked = true,
                // It never worked: perhaps the kernel lets nobody load what it needs. There is another way.
                Err(why) if !state.hooked => {
                    // Some nodes may have taken their rules.
                    _ = iptables::flush(program, cluster).await;
                    state.unusable = Some(why);
                }
                Err(why) => return Err(why),
            }
        }
        let by_rules = self.rules(&state).is_some();
        if !by_rules {
            mend_all(cluster)?;
            for &(from, to) in &cuts {
                cluster.fabric().cut(from, to)?;
            }
        }
        let mechanism = if by_rules { "iptables" } else { "built-in" };
        let mut installed = json!({ "mechanism": mechanism, "cut": cuts });
        if let Some(why) = &state.unusable {
            installed["iptables"] = json!(why);
        }
        if primaries.guessed {
            installed["primary_unknown"] = json!(true);
        } else if !primaries.nodes.is_empty() {
            installed["primaries"] = json!(primaries.nodes);
        }
        state.cuts = cuts;
        Ok(installed)
    }

    async fn look(&self, cluster: &dyn Cluster) -> Probe {
        let mut state = self.state.lock().await;
        let cuts = state.cuts.clone();
        let mut probe = observe(&mut state.prober, cluster, cuts).await;
        probe.proved &= !state.cuts.is_empty();
        probe
    }

    async fn mend(&self, cluster: &dyn Cluster) -> Result<Probe, String> {
        let mut state = self.state.lock().await;
        match self.rules(&state) {
            Some(program) => iptables::flush(program, cluster).await?,
            None => mend_all(cluster)?,
        }
        state.cuts.clear();
        Ok(observe(&mut state.prober, cluster, Cuts::new()).await)
    }
}

fn mend_all(cluster: &dyn Cluster) -> Result<(), String> {
    shapes::pairs(cluster.spec().nodes.len()).try_for_each(|(from, to)| cluster.fabric().mend(from, to))
}

/// One round of datagrams. The sockets are made at the first one and kept.
async fn observe(prober: &mut Option<Arc<Prober>>, cluster: &dyn Cluster, cuts: Cuts) -> Probe {
    let round = async {
        let sockets = match prober {
            Some(sockets) => Arc::clone(sockets),
            None => Arc::clone(prober.insert(Arc::new(Prober::open(cluster)?))),
        };
        // The round waits for packets; the clients' threads must not wait with it.
        tokio::task::spawn_blocking(move || sockets.round(&cuts)).await.map_err(|e| e.to_string())?
    };
    round.await.unwrap_or_else(|why: String| Probe { proved: false, seen: json!({ "error": why }) })
}

impl Fault for Partition {
    fn name(&self) -> &'static str {
        NAME
    }

    fn about(&self) -> &'static str {
        ABOUT
    }

    fn applies(&self, _: &Machine, nodes: usize) -> Applies {
        match nodes {
            0 | 1 => Applies::No("a partition needs two nodes; ask for more with --nodes".to_owned()),
            _ => Applies::Yes,
        }
    }

    fn draw(&self, rng: &mut Rng, nodes: usize, has_primary: bool) -> Value {
        shapes::draw(rng, nodes, has_primary).to_args()
    }

    fn read(&self, words: Words, rng: &mut Rng, nodes: usize, has_primary: bool) -> Result<Value, String> {
        words.finish("nothing").map(|()| self.draw(rng, nodes, has_primary))
    }

    fn inject<'a>(
        &'a self,
        cluster: &'a dyn Cluster,
        step: &'a FaultStep,
    ) -> BoxFuture<'a, Result<Value, String>> {
        Box::pin(self.split(cluster, &step.args))
    }

    fn probe<'a>(&'a self, cluster: &'a dyn Cluster) -> BoxFuture<'a, Probe> {
        Box::pin(self.look(cluster))
    }

    fn heal<'a>(&'a self, cluster: &'a dyn Cluster) -> BoxFuture<'a, Result<Probe, String>> {
        Box::pin(self.mend(cluster))
    }
}
