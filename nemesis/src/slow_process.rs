//! `slow-process`: nodes get only a share of the processor's time, in slices, as on a crowded machine.
//!
//! Mechanism: for each node a thread that stops its whole PID namespace and lets it go on in turns (`SIGSTOP`,
//! `SIGCONT`), in a beat of its own, shifted against the other nodes'. Needs no control groups, and so no
//! root. It is the node's present life that is slow: one that is killed and started again runs at full speed.
//! Proof: of many looks at the node, about the commanded share finds that none of its threads can run; not
//! all do, or it would be a pause.
//! Args: [`whom`], `"share": 0.1` (of the time in which it may run) and `"period_ms": 50`.

mod beat;

use std::sync::Arc;
use std::time::{Duration, Instant};

use ordeal_core::words::{log_between, share, time_us};
use ordeal_core::{BoxFuture, Cluster, Fault, FaultStep, Probe, Rng, Words};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use self::beat::{Beat, Slice};
use crate::nodes::{Running, some_running};
use crate::processes::{Process, blocking};
use crate::{Arsenal, args, sweep, whom};

pub(crate) const NAME: &str = "slow-process";
pub(crate) const ABOUT: &str =
    "starve nodes of processor time: they are stopped most of the time, many times a second";

const EXPECTED: &str = r#"{"nodes": …, "share": 0.02 to 0.95, "period_ms": 10 to 1000}"#;
const WORDS: &str = "a share of the time in which they run (10%), period=50ms, and";
const SHARE: (f64, f64) = (0.02, 0.95);
const PERIOD_MS: (u64, u64) = (10, 1_000);

/// A probe looks for so many periods, within these bounds.
const LOOK_PERIODS: u64 = 8;
const LOOK_MS: (u64, u64) = (200, 1_000);
/// Between two looks. Odd, and no part of a common period.
const LOOK_INTERVAL: Duration = Duration::from_micros(1_300);
/// The most a probe may add until it has seen every node both stopped and running.
const LOOK_LONGER: Duration = Duration::from_secs(2);
/// The least part of the commanded standstill that must be seen. Wide: on a loaded machine threads come late.
const SEEN_MIN: f64 = 0.4;

pub(crate) fn build(_: &Arc<Arsenal>) -> Box<dyn Fault> {
    Box::new(SlowProcess::default())
}

#[derive(Default)]
struct SlowProcess {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The nodes that are slowed by our hand; what is killed meanwhile stays in here.
    slowed: Vec<Running>,
    beats: Vec<Beat>,
    slice: Slice,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Args {
    /// Read by [`whom::resolve`].
    #[serde(rename = "nodes")]
    _nodes: Value,
    share: f64,
    period_ms: u64,
}

impl SlowProcess {
    async fn slow(&self, cluster: &dyn Cluster, step: &FaultStep) -> Result<Value, String> {
        let Args { share, period_ms, .. } = args::parse(&step.args, EXPECTED)?;
        let in_bounds =
            (SHARE.0..=SHARE.1).contains(&share) && (PERIOD_MS.0..=PERIOD_MS.1).contains(&period_ms);
        if !in_bounds {
            return Err(args::wrong("out of bounds", EXPECTED, &step.args));
        }
        let nodes = whom::resolve(&step.args, cluster).await?;
        let (targets, down) = some_running(cluster, &nodes, step.for_ms / 2).await?;
        let slice = Slice { share, period: Duration::from_millis(period_ms) };
        let mut state = self.state.lock().await;
        state.slice = slice;
        for (position, target) in targets.iter().enumerate() {
            state.slowed.push(target.clone());
            let shift = slice.period * position as u32 / targets.len() as u32;
            let namespace = Arc::clone(&target.namespace);
            state.beats.push(Beat::start(namespace, slice, shift)?);
        }
        let nodes: Vec<usize> = targets.iter().map(|target| target.node).collect();
        Ok(json!({ "nodes": nodes, "down": down, "share": share, "period_ms": period_ms }))
    }

    async fn look(&self) -> Probe {
        let (slowed, slice) = {
            let state = self.state.lock().await;
            (state.slowed.clone(), state.slice)
        };
        blocking(move || observe(&slowed, slice))
            .await
            .and_then(|observed| observed)
            .unwrap_or_else(|why| Probe::failed(&why))
    }

    async fn release(&self) -> Result<Probe, String> {
        let mut state = self.state.lock().await;
        let beats: Vec<Beat> = state.beats.drain(..).collect();
        let ended = blocking(move || beats.into_iter().map(Beat::end).collect::<Vec<_>>()).await?;
        let slowed = state.slowed.clone();
        let sweeps = blocking(move || sweep::resume(&slowed)).await??;
        let nodes: Vec<usize> = state.slowed.drain(..).map(|target| target.node).collect();
        let seen = json!({ "nodes": nodes, "threads_ended": ended.len(), "periods": ended, "stopped_threads": 0, "sweeps": sweeps });
        Ok(Probe { proved: true, seen })
    }
}

/// What was seen of one node.
#[derive(Clone, Copy, Default)]
struct Tally {
    looks: usize,
    /// How often all of it stood still, or was about to.
    stopped: usize,
    dead: bool,
}

impl Tally {
    fn has_both(self) -> bool {
        self.dead || (self.stopped > 0 && self.stopped < self.looks)
    }
}

/// Looks often. A node that has died meanwhile is not slow any more.
fn observe(slowed: &[Running], slice: Slice) -> Result<Probe, String> {
    let tallies = tally(slowed, slice)?;
    let commanded = 1.0 - slice.share;
    let share = |tally: Tally| tally.stopped as f64 / tally.looks.max(1) as f64;
    let slow = |tally: &&Tally| tally.has_both() && share(**tally) >= commanded * SEEN_MIN;
    let alive: Vec<&Tally> = tallies.iter().filter(|tally| !tally.dead).collect();
    let proved = !alive.is_empty() && alive.iter().all(slow);
    let seen = slowed.iter().zip(&tallies).map(|(target, &tally)| {
        json!({
            "node": target.node, "dead": tally.dead, "looks": tally.looks,
            "stopped_share": share(tally), "commanded_share": commanded,
        })
    });
    Ok(Probe { proved, seen: seen.collect() })
}

/// Looks at all nodes for some periods, and longer if one was not seen both stopped and running.
fn tally(slowed: &[Running], slice: Slice) -> Result<Vec<Tally>, String> {
    let window_ms = (slice.period.as_millis() as u64 * LOOK_PERIODS).clamp(LOOK_MS.0, LOOK_MS.1);
    let end = Instant::now() + Duration::from_millis(window_ms);
    let mut tallies = vec![Tally::default(); slowed.len()];
    loop {
        for (target, tally) in slowed.iter().zip(&mut tallies) {
            let processes = target.processes()?;
            tally.dead = processes.is_empty();
            tally.looks += usize::from(!tally.dead);
            tally.stopped += usize::from(!tally.dead && processes.iter().all(Process::is_stopping));
        }
        let now = Instant::now();
        let all_seen = tallies.iter().all(|tally| tally.has_both());
        if now >= end && (all_seen || now >= end + LOOK_LONGER) {
            return Ok(tallies);
        }
        std::thread::sleep(LOOK_INTERVAL);
    }
}

impl Fault for SlowProcess {
    fn name(&self) -> &'static str {
        NAME
    }

    fn about(&self) -> &'static str {
        ABOUT
    }

    fn draw(&self, rng: &mut Rng, nodes: usize, has_primary: bool) -> Value {
        let mut args = whom::draw(rng, nodes, has_primary);
        args["share"] = json!(*rng.pick(&[0.05, 0.1, 0.2, 0.5]));
        args["period_ms"] = json!(log_between(rng, 20, 500));
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
        let expected = format!("{WORDS} {}", whom::WORDS);
        if let Some(share) = words.take(share) {
            if !(SHARE.0..=SHARE.1).contains(&share) {
                return Err(format!("the share {share} is not between 2% and 95%; expected {expected}"));
            }
            args["share"] = json!(share);
        }
        let period =
            |text: &str| Some(time_us(text)? / 1_000).filter(|ms| (PERIOD_MS.0..=PERIOD_MS.1).contains(ms));
        if let Some(period_ms) = words.value("period", "a time from 10ms to 1s", period)? {
            args["period_ms"] = json!(period_ms);
        }
        if let Some(whom) = whom::read(&mut words, rng, nodes, has_primary)? {
            args["nodes"] = whom;
        }
        words.finish(&expected).map(|()| args)
    }

    fn inject<'a>(
        &'a self,
        cluster: &'a dyn Cluster,
        step: &'a FaultStep,
    ) -> BoxFuture<'a, Result<Value, String>> {
        Box::pin(self.slow(cluster, step))
    }

    fn probe<'a>(&'a self, _: &'a dyn Cluster) -> BoxFuture<'a, Probe> {
        Box::pin(self.look())
    }

    fn heal<'a>(&'a self, _: &'a dyn Cluster) -> BoxFuture<'a, Result<Probe, String>> {
        Box::pin(self.release())
    }
}
