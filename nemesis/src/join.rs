//! `join`: a further node is started while the run goes on, and the system is told that it belongs to it. It stays.
//!
//! Mechanism: the node's process is started like every other, in namespaces that are there from the beginning; then the
//! target tells the system, by [`ordeal_core::Membership`], again and again until the system has taken it in, for at most
//! half of the fault's time. What is left of that is done on heal.
//! Proof: the system answered that it took the node in, and a process of it runs.
//! Args: none. The nodes join in their order, one with each injection.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ordeal_core::{Applies, BoxFuture, Cluster, Fault, FaultStep, Machine, Probe, Rng, Words};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::Arsenal;

pub(crate) const NAME: &str = "join";
pub(crate) const ABOUT: &str = "start a further node, which joins the others and stays";

/// Between two attempts to tell the system.
const ASK_INTERVAL: Duration = Duration::from_millis(50);
/// The longest wait on heal, when nothing is broken any more, or soon will not be.
const HEAL_TIMEOUT: Duration = Duration::from_secs(5);

pub(crate) fn build(arsenal: &Arc<Arsenal>) -> Box<dyn Fault> {
    Box::new(Join { joining: arsenal.joining, state: Mutex::default() })
}

struct Join {
    /// How many nodes there are to join.
    joining: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Those that were started and that the system has not taken in, as far as is known.
    untold: Vec<usize>,
    /// The last one that it has taken in since the last injection.
    taken_in: Option<usize>,
}

impl Join {
    async fn start(&self, cluster: &dyn Cluster, step: &FaultStep) -> Result<Value, String> {
        let deadline = Instant::now() + Duration::from_millis(step.for_ms / 2);
        let begun = Instant::now();
        let mut state = self.state.lock().await;
        state.taken_in = None;
        let node = cluster.start_next().await?;
        state.untold.push(node);
        self.tell(&mut state, cluster, deadline).await?;
        Ok(json!({ "node": node, "after_ms": begun.elapsed().as_millis() as u64 }))
    }

    /// Tells the system of every node that it has not taken in.
    async fn tell(&self, state: &mut State, cluster: &dyn Cluster, deadline: Instant) -> Result<(), String> {
        while let Some(&node) = state.untold.first() {
            while let Err(why) = cluster.announce(node).await {
                if Instant::now() >= deadline {
                    return Err(format!("{} has not joined yet: {why}", cluster.spec().nodes[node].id));
                }
                tokio::time::sleep(ASK_INTERVAL).await;
            }
            state.untold.remove(0);
            state.taken_in = Some(node);
        }
        Ok(())
    }

    async fn look(&self, cluster: &dyn Cluster) -> Probe {
        let state = self.state.lock().await;
        match state.taken_in {
            Some(node) => {
                let init = cluster.init_pid(node);
                let seen = json!({ "node": node, "init_pid": init, "nodes": cluster.joined() });
                Probe { proved: init.is_some() && state.untold.is_empty(), seen }
            }
            None => Probe::failed("no node has joined"),
        }
    }
}

impl Fault for Join {
    fn name(&self) -> &'static str {
        NAME
    }

    fn about(&self) -> &'static str {
        ABOUT
    }

    fn applies(&self, _: &Machine, _: usize) -> Applies {
        match self.joining {
            0 => Applies::No(
                "the target takes no nodes in while it runs, or was given none (--join)".to_owned(),
            ),
            _ => Applies::Yes,
        }
    }

    fn draw(&self, _: &mut Rng, _: usize, _: bool) -> Value {
        json!({})
    }

    fn read(&self, words: Words, _: &mut Rng, _: usize, _: bool) -> Result<Value, String> {
        words.finish("nothing: the nodes join in their order").map(|()| json!({}))
    }

    fn inject<'a>(
        &'a self,
        cluster: &'a dyn Cluster,
        step: &'a FaultStep,
    ) -> BoxFuture<'a, Result<Value, String>> {
        Box::pin(self.start(cluster, step))
    }

    fn probe<'a>(&'a self, cluster: &'a dyn Cluster) -> BoxFuture<'a, Probe> {
        Box::pin(self.look(cluster))
    }

    /// Nothing is undone: a node that has joined stays. One that the system could not be told of is not left
    /// half-way.
    fn heal<'a>(&'a self, cluster: &'a dyn Cluster) -> BoxFuture<'a, Result<Probe, String>> {
        Box::pin(async move {
            let mut state = self.state.lock().await;
            self.tell(&mut state, cluster, Instant::now() + HEAL_TIMEOUT).await?;
            Ok(Probe { proved: true, seen: json!({ "nodes": cluster.joined() }) })
        })
    }
}
