//! `partition`: packets between some of the nodes vanish, in one direction or in both.
//!
//! Mechanism: rules in each receiving node's own network namespace, or, where iptables is not installed, the
//! cluster's own links ([`ordeal_core::Fabric`]). On request packets are rejected in place of vanishing,
//! which takes iptables; clients are cut off from the smaller side as well, which takes iptables or a switch;
//! nodes are cut off and come back one by one, or all are cut off more than once.
//! Proof: datagrams over every link between nodes and between nodes and clients, in both directions;
//! exactly those that should arrive do. Where packets are rejected, connections are refused at once. Each
//! step of a partition that comes in steps is proved like the whole.
//! Source: Jepsen's `nemesis.clj`, `nemesis/combined.clj`, and FoundationDB's swizzling.

mod iptables;
mod probe;
mod shapes;
mod stages;
mod variants;
mod words;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ordeal_core::{Applies, BoxFuture, Cluster, End, Fault, FaultStep, LinkRule, Machine, Probe, Rng, Words};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use self::probe::Round;
use self::shapes::Shape;
use self::variants::{Style, Variant};
use crate::ends::{Links, between_nodes, in_use, names};
use crate::sockets::{Sockets, blocking};
use crate::{Arsenal, whom};

pub(crate) const NAME: &str = "partition";
pub(crate) const ABOUT: &str = "make packets between some of the nodes vanish or be rejected: halves, one, minority, ring, bridge, primary, any sides, one-way, in steps";

/// How long nodes that come back one by one take together, at most, without proving it.
const BACK: Duration = Duration::from_millis(800);
/// How often a partition that flaps is cut, at least and at most.
const FLAPS: (usize, usize) = (2, 4);

pub(crate) fn build(arsenal: &Arc<Arsenal>) -> Box<dyn Fault> {
    Box::new(Partition { arsenal: Arc::clone(arsenal), state: Mutex::default() })
}

struct Partition {
    arsenal: Arc<Arsenal>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What is cut now.
    cuts: Links,
    /// What was cut before that, and has not been seen to pass again.
    healing: Links,
    /// Whether packets are rejected.
    reject: bool,
    /// The order in which nodes come back one by one, if they do.
    back: Option<Vec<usize>>,
    /// Whether each step on the way was proved; none is fine.
    steps_proved: bool,
    /// Whether the rules' chains are in place.
    hooked: bool,
    /// Why iptables, though installed, cannot be used here; then the cluster's own links are.
    unusable: Option<String>,
    sockets: Option<Arc<Sockets>>,
}

impl Partition {
    /// The program that makes rules, if rules are what cuts.
    fn rules(&self, state: &State) -> Option<&Path> {
        self.arsenal.machine.iptables_restore.as_deref().filter(|_| state.unusable.is_none())
    }

    async fn split(&self, cluster: &dyn Cluster, step: &FaultStep) -> Result<Value, String> {
        let nodes = cluster.spec().nodes.len();
        let (variant, shape) = Variant::split(&step.args)?;
        let shape = Shape::parse(&shape)?;
        let primaries = match shape {
            Shape::Primary {} => whom::primaries(cluster).await?,
            _ => whom::Primaries::default(),
        };
        let cuts = shape.cuts(&variant, nodes, &primaries.nodes)?;
        let (turns, back) = variant.orders(nodes)?;
        let state = &mut *self.state.lock().await;
        if variant.reject && self.rules(state).is_none() {
            let why = state.unusable.as_deref().unwrap_or("iptables-restore is not installed");
            return Err(format!("packets can only be rejected by iptables: {why}; leave `reject` out"));
        }
        state.reject = variant.reject;
        state.back = (variant.style == Some(Style::Swizzle)).then_some(back);
        state.steps_proved = true;
        self.arsenal.in_force.set(NAME, cuts.iter().copied(), &LinkRule { cut: true, ..LinkRule::default() });
        let budget = Duration::from_millis(step.for_ms / 2);
        let steps = match variant.style {
            None => self.apply(state, cluster, &cuts).await.map(|()| None)?,
            Some(Style::Swizzle) => Some(self.swizzle(state, cluster, &cuts, &turns, budget).await?),
            Some(Style::Flap) => Some(self.flap(state, cluster, &cuts, budget).await?),
        };
        let mechanism = if self.rules(state).is_some() { "iptables" } else { "built-in" };
        let mut installed = json!({ "mechanism": mechanism, "cut": names(&cuts) });
        if variant.reject {
            installed["reject"] = json!(true);
        }
        if let Some(steps) = steps {
            installed["steps"] = steps;
        }
        if let Some(why) = &state.unusable {
            installed["iptables"] = json!(why);
        }
        if primaries.guessed {
            installed["primary_unknown"] = json!(true);
        } else if !primaries.nodes.is_empty() {
            installed["primaries"] = json!(primaries.nodes);
        }
        Ok(installed)
    }

    /// Cuts nodes off one after another, evenly over this time, and proves each step but the last, which the
    /// probe does.
    async fn swizzle(
        &self,
        state: &mut State,
        cluster: &dyn Cluster,
        cuts: &Links,
        turns: &[usize],
        budget: Duration,
    ) -> Result<Value, String> {
        let begin = Instant::now();
        let steps = stages::falling(cuts, turns);
        let mut told = Vec::new();
        for (number, (node, cuts)) in steps.iter().enumerate() {
            self.apply(state, cluster, cuts).await?;
            let mut step = json!({ "node": node, "after_ms": begin.elapsed().as_millis() as u64 });
            if number + 1 < steps.len() {
                self.prove_step(state, cluster, &mut step).await;
                let next = budget.mul_f64((number + 1) as f64 / steps.len() as f64);
                tokio::time::sleep(next.saturating_sub(begin.elapsed())).await;
            }
            told.push(step);
        }
        Ok(json!(told))
    }

    /// Cuts and mends in turns over this time, and proves each; in the end it is cut.
    async fn flap(
        &self,
        state: &mut State,
        cluster: &dyn Cluster,
        cuts: &Links,
        budget: Duration,
    ) -> Result<Value, String> {
        let begin = Instant::now();
        let hold = budget / (2 * FLAPS.1 as u32);
        let mut told = Vec::new();
        for flap in 1..=FLAPS.1 {
            let last = flap == FLAPS.1 || flap >= FLAPS.0 && begin.elapsed() + 2 * hold > budget;
            for (what, cuts) in [("cut", cuts.clone()), ("mended", Links::new())] {
                let turn = Instant::now();
                self.apply(state, cluster, &cuts).await?;
                let mut step = json!({ what: true, "after_ms": begin.elapsed().as_millis() as u64 });
                if last {
                    // The probe proves it.
                    told.push(step);
                    return Ok(json!(told));
                }
                self.prove_step(state, cluster, &mut step).await;
                told.push(step);
                tokio::time::sleep(hold.saturating_sub(turn.elapsed())).await;
            }
        }
        Ok(json!(told))
    }

    async fn prove_step(&self, state: &mut State, cluster: &dyn Cluster, step: &mut Value) {
        let round = self.observe(state, cluster).await;
        state.steps_proved &= round.proved;
        step["proved"] = json!(round.proved);
        if !round.proved {
            step["seen"] = round.seen;
        }
    }

    /// Makes these cuts and no others.
    async fn apply(&self, state: &mut State, cluster: &dyn Cluster, cuts: &Links) -> Result<(), String> {
        // Whatever comes of it, this may be cut from now on.
        state.healing.extend(state.cuts.iter().chain(cuts));
        if let Some(program) = self.rules(state) {
            match iptables::stop_packets(program, cluster, cuts, state.reject, !state.hooked).await {
                Ok(()) => state.hooked = true,
                // It never worked: perhaps the kernel lets nobody load what it needs. There is another way.
                Err(why) if !state.hooked => {
                    // Some nodes may have taken their rules.
                    _ = iptables::flush(program, cluster).await;
                    state.unusable = Some(why.clone());
                    if state.reject {
                        return Err(why);
                    }
                }
                Err(why) => return Err(why),
            }
        }
        if self.rules(state).is_none() {
            cut_links(cluster, cuts)?;
        }
        state.healing.retain(|link| !cuts.contains(link));
        state.cuts.clone_from(cuts);
        Ok(())
    }

    async fn look(&self, cluster: &dyn Cluster) -> Probe {
        let mut state = self.state.lock().await;
        let mut round = self.observe(&mut state, cluster).await;
        // A cut to a node that has not joined yet stands, and keeps nobody from anybody.
        round.proved &= in_use(&state.cuts, cluster.joined()) && state.steps_proved;
        if state.reject && !state.cuts.is_empty() {
            let cuts = state.cuts.clone();
            let refusals = self.with_sockets(&mut state, cluster, move |sockets, arsenal| {
                probe::refusals(sockets, &arsenal.in_force, &cuts)
            });
            let refusals = refusals.await.unwrap_or_else(|why| failed(&why));
            round.proved &= refusals.proved;
            round.seen["connections"] = refusals.seen;
        }
        round.into()
    }

    async fn mend(&self, cluster: &dyn Cluster) -> Result<Probe, String> {
        let state = &mut *self.state.lock().await;
        if let Some(back) = state.back.take() {
            let (begin, steps) = (Instant::now(), stages::rising(&state.cuts, &back));
            for (number, (_, cuts)) in steps.iter().enumerate() {
                self.apply(state, cluster, cuts).await?;
                let next = BACK.mul_f64((number + 1) as f64 / steps.len() as f64);
                tokio::time::sleep(next.saturating_sub(begin.elapsed())).await;
            }
        }
        self.arsenal.in_force.clear(NAME);
        match self.rules(state).filter(|_| state.hooked) {
            Some(program) => iptables::flush(program, cluster).await?,
            None => cut_links(cluster, &Links::new())?,
        }
        let cuts = std::mem::take(&mut state.cuts);
        state.healing.extend(cuts);
        let round = self.observe(state, cluster).await;
        if round.proved {
            state.healing.clear();
        }
        Ok(round.into())
    }

    /// One round of datagrams, against what is cut now.
    async fn observe(&self, state: &mut State, cluster: &dyn Cluster) -> Round {
        let cuts = state.cuts.clone();
        let healed = if cuts.is_empty() { state.healing.clone() } else { Links::new() };
        let round = self.with_sockets(state, cluster, move |sockets, arsenal| {
            probe::round(sockets, &arsenal.in_force, &cuts, &healed)
        });
        round.await.unwrap_or_else(|why| failed(&why))
    }

    /// Does something with the sockets that waits for packets; the clients' threads must not wait with it.
    /// The sockets are made at the first time and kept.
    async fn with_sockets(
        &self,
        state: &mut State,
        cluster: &dyn Cluster,
        act: impl FnOnce(&Sockets, &Arsenal) -> Result<Round, String> + Send + 'static,
    ) -> Result<Round, String> {
        let sockets = match &state.sockets {
            Some(sockets) => Arc::clone(sockets),
            None => Arc::clone(state.sockets.insert(Arc::new(Sockets::open(cluster)?))),
        };
        let arsenal = Arc::clone(&self.arsenal);
        blocking(move || act(&sockets, &arsenal)).await
    }
}

fn failed(why: &str) -> Round {
    Round { proved: false, seen: json!({ "error": why }) }
}

/// Cuts exactly these of the cluster's own links. Those of clients take a switch.
fn cut_links(cluster: &dyn Cluster, cuts: &Links) -> Result<(), String> {
    let fabric = cluster.fabric();
    for link in between_nodes(cluster.spec().nodes.len()) {
        if let (End::Node(from), End::Node(to)) = link {
            match cuts.contains(&link) {
                true => fabric.cut(from, to)?,
                false => fabric.mend(from, to)?,
            }
        }
    }
    fabric.clear(NAME)?;
    for &(from, to) in cuts.iter().filter(|(from, to)| [from, to].contains(&&End::Clients)) {
        let rule = LinkRule { cut: true, ..LinkRule::default() };
        fabric.set(NAME, from, to, rule).map_err(|why| {
            format!("without iptables, clients can only be cut off by a switch: {why}; leave `clients` out")
        })?;
    }
    Ok(())
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
        let shape = words::draw_shape(rng, nodes, has_primary);
        let rules = self.arsenal.machine.iptables_restore.is_some();
        words::draw_variant(rng, &shape, nodes, rules).join(shape.to_args())
    }

    fn read(
        &self,
        mut words: Words,
        rng: &mut Rng,
        nodes: usize,
        has_primary: bool,
    ) -> Result<Value, String> {
        if words.is_empty() {
            return Ok(self.draw(rng, nodes, has_primary));
        }
        let (shape, variant) = words::read(&mut words, rng, nodes, has_primary)?;
        words.finish(words::EXPECTED)?;
        // Whoever is primary then, it would be as with the first node.
        shape.cuts(&variant, nodes, &[0])?;
        if variant.reject && self.arsenal.machine.iptables_restore.is_none() {
            return Err(
                "packets can only be rejected by iptables, which is not installed; leave `reject` out"
                    .to_owned(),
            );
        }
        Ok(variant.join(shape.to_args()))
    }

    fn prepare<'a>(&'a self, cluster: &'a dyn Cluster) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async {
            // Tells whether iptables works here before anything depends on it.
            let state = &mut *self.state.lock().await;
            self.apply(state, cluster, &Links::new()).await
        })
    }

    fn inject<'a>(
        &'a self,
        cluster: &'a dyn Cluster,
        step: &'a FaultStep,
    ) -> BoxFuture<'a, Result<Value, String>> {
        Box::pin(self.split(cluster, step))
    }

    fn probe<'a>(&'a self, cluster: &'a dyn Cluster) -> BoxFuture<'a, Probe> {
        Box::pin(self.look(cluster))
    }

    fn heal<'a>(&'a self, cluster: &'a dyn Cluster) -> BoxFuture<'a, Result<Probe, String>> {
        Box::pin(self.mend(cluster))
    }
}
