//! Faults of single links: packets arrive late, not at all, twice, out of order or damaged; a link carries
//! little, is up and down in turns, or its connections are reset.
//!
//! Mechanism: rules of the fabric's switch on directed links ([`ordeal_core::Fabric::set`]), also between
//! clients and nodes. Rules of several kinds on a link add up.
//! Proof: the harness's own sockets at both ends of the links send numbered and stamped datagrams (for
//! resets, TCP segments) and compare what arrives with what was asked for; `examine` says when that is a
//! proof. What other faults do to the same links is known from [`crate::in_force`], and is neither claimed
//! nor blamed.
//! Source: the vocabulary is that of Linux's netem (tc-netem(8)), which Jepsen and Chaos Mesh use.

mod burst;
mod examine;
mod judge;
mod kinds;
mod refused;
pub(crate) mod segments;
pub(crate) mod which;

use std::sync::Arc;

use ordeal_core::{Applies, BoxFuture, Cluster, End, Fault, FaultStep, LinkRule, Machine, Probe, Rng, Words};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use self::examine::Examination;
pub(crate) use self::kinds::{
    CORRUPT, CORRUPT_UNDETECTED, DELAY, DUPLICATE, Effect, FLAP, LOSS, RATE, REORDER, RESET,
};
use crate::Arsenal;
use crate::ends::{Links, in_use, names};
use crate::sockets::{Sockets, blocking};

/// Makes the fault of one kind.
pub(crate) fn build(effect: &'static Effect, arsenal: &Arc<Arsenal>) -> Box<dyn Fault> {
    Box::new(LinkFault { effect, arsenal: Arc::clone(arsenal), state: Mutex::default() })
}

struct LinkFault {
    effect: &'static Effect,
    arsenal: Arc<Arsenal>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What is in force.
    rule: LinkRule,
    /// Where it is in force, or was and has not been seen to be gone.
    affected: Links,
    /// Whether it is in force.
    set: bool,
    sockets: Option<Arc<Sockets>>,
}

impl LinkFault {
    async fn strike(&self, cluster: &dyn Cluster, args: &Value) -> Result<Value, String> {
        let (which, rule) = self.parse(args)?;
        let (links, told) = which::resolve(&which, cluster).await.map_err(|why| format!("`links`: {why}"))?;
        if !self.effect.clients && links.iter().any(|(from, to)| [from, to].contains(&&End::Clients)) {
            return Err(
                "links of clients cannot be hit by it: they have no checksum but the kernel's, so no system \
                        could tell a client the truth"
                    .to_owned(),
            );
        }
        let mut state = self.state.lock().await;
        self.arsenal.in_force.set(self.effect.name, links.iter().copied(), &rule);
        // Whatever comes of it, this may be in force from now on, and so may what was never healed.
        state.affected.extend(links.iter().copied());
        state.rule = rule.clone();
        state.set = true;
        cluster.fabric().clear(self.effect.name)?;
        for &(from, to) in &links {
            cluster.fabric().set(self.effect.name, from, to, rule.clone())?;
        }
        state.affected = links;
        let mut installed = told;
        installed["links"] = names(&state.affected);
        for (name, value) in args.as_object().into_iter().flatten().filter(|(name, _)| *name != "links") {
            installed[name] = value.clone();
        }
        Ok(installed)
    }

    /// Which links, and what happens there.
    fn parse(&self, args: &Value) -> Result<(Value, LinkRule), String> {
        let mut parameters = args.clone();
        let which = parameters.as_object_mut().and_then(|object| object.remove("links"));
        let which = which.ok_or_else(|| {
            format!("expected {{\"links\": \"all\", …}} and what happens there, found {args}")
        })?;
        (self.effect.rule)(&parameters).map(|rule| (which, rule)).map_err(|why| format!("{why}, in {args}"))
    }

    async fn look(&self, cluster: &dyn Cluster) -> Probe {
        let mut state = self.state.lock().await;
        if !state.set {
            return Probe { proved: false, seen: json!("nothing is set") };
        }
        let (rule, affected) = (state.rule.clone(), state.affected.clone());
        // What is set on the links of a node that has not joined yet stands, and hits nobody.
        let hits = in_use(&affected, cluster.joined());
        let looked =
            self.examine(&mut state, cluster, rule, move |examination| examination.there(&affected)).await;
        let Probe { proved, seen } = looked.unwrap_or_else(|why| Probe::failed(&why));
        Probe { proved: proved && hits, seen }
    }

    async fn mend(&self, cluster: &dyn Cluster) -> Result<Probe, String> {
        let mut state = self.state.lock().await;
        cluster.fabric().clear(self.effect.name)?;
        self.arsenal.in_force.clear(self.effect.name);
        state.set = false;
        if state.affected.is_empty() {
            return Ok(Probe { proved: true, seen: json!({ "links_affected": 0 }) });
        }
        // Whether a rate is gone is seen at once, without waiting for the end of its ramp.
        let (rule, affected) = (LinkRule { ramp_us: 0, ..state.rule.clone() }, state.affected.clone());
        let (probe, unclear) =
            self.examine(&mut state, cluster, rule, move |examination| examination.gone(&affected)).await?;
        if probe.proved {
            // What others hid is looked at again at the next healing, the last of which comes when all
            // faults have ended.
            state.affected = unclear;
        }
        Ok(probe)
    }

    /// Examines on a thread that may wait. The sockets are made at the first time and kept.
    async fn examine<T: Send + 'static>(
        &self,
        state: &mut State,
        cluster: &dyn Cluster,
        rule: LinkRule,
        look: impl FnOnce(&Examination<'_>) -> Result<T, String> + Send + 'static,
    ) -> Result<T, String> {
        let sockets = match &state.sockets {
            Some(sockets) => Arc::clone(sockets),
            None => Arc::clone(state.sockets.insert(Arc::new(Sockets::open(cluster)?))),
        };
        let (effect, arsenal) = (self.effect, Arc::clone(&self.arsenal));
        blocking(move || {
            look(&Examination { effect, rule: &rule, sockets: &sockets, in_force: &arsenal.in_force })
        })
        .await
    }
}

impl Fault for LinkFault {
    fn name(&self) -> &'static str {
        self.effect.name
    }

    fn about(&self) -> &'static str {
        self.effect.about
    }

    fn applies(&self, _: &Machine, nodes: usize) -> Applies {
        match self.effect.clients || nodes > 1 {
            true => Applies::Yes,
            false => Applies::No("it needs two nodes; ask for more with --nodes".to_owned()),
        }
    }

    fn needs_switch(&self) -> bool {
        true
    }

    fn draw(&self, rng: &mut Rng, nodes: usize, has_primary: bool) -> Value {
        let mut args = (self.effect.draw)(rng);
        args["links"] = which::draw(rng, nodes, has_primary, self.effect.clients);
        args
    }

    fn read(
        &self,
        mut words: Words,
        rng: &mut Rng,
        nodes: usize,
        has_primary: bool,
    ) -> Result<Value, String> {
        let mut parameters = (self.effect.draw)(rng);
        let drawn = which::draw(rng, nodes, has_primary, self.effect.clients);
        (self.effect.read)(&mut words, &mut parameters)?;
        let which = which::read(&mut words, rng, nodes, has_primary)?.unwrap_or(drawn);
        words.finish(&format!("{}; {}", self.effect.words, which::WORDS))?;
        parameters["links"] = which;
        Ok(parameters)
    }

    fn inject<'a>(
        &'a self,
        cluster: &'a dyn Cluster,
        step: &'a FaultStep,
    ) -> BoxFuture<'a, Result<Value, String>> {
        Box::pin(self.strike(cluster, &step.args))
    }

    fn probe<'a>(&'a self, cluster: &'a dyn Cluster) -> BoxFuture<'a, Probe> {
        Box::pin(self.look(cluster))
    }

    fn heal<'a>(&'a self, cluster: &'a dyn Cluster) -> BoxFuture<'a, Result<Probe, String>> {
        Box::pin(self.mend(cluster))
    }
}
