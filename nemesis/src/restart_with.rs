//! `restart-with`: nodes are restarted one after another with another program, or with other arguments or
//! variables: an upgrade, a downgrade, a change of configuration. On heal they are restarted as they were.
//!
//! Mechanism: the launch is changed ([`Cluster::change_launch`]), so it also holds when somebody else starts
//! the node; then a rolling restart, see [`crate::lives`].
//! Proof: see [`Started`]: how each node's processes were really started, as the kernel shows it; before
//! and after heal.
//! Args: [`whom`], and at least one of `"program": "/path"`, `"args": ["--flag"]` (after the target's own)
//! and `"env": {"K": "V"}`; optionally `"signal": "SIGKILL"`.

mod started;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use ordeal_core::{BoxFuture, Cluster, Fault, FaultStep, LaunchChange, Probe, Rng, Words};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use self::started::Started;
use crate::args::{self, Fatal};
use crate::lives::{Rolling, Victims, roll};
use crate::processes::blocking;
use crate::{Arsenal, whom};

pub(crate) const NAME: &str = "restart-with";
pub(crate) const ABOUT: &str =
    "restart nodes one after another with another program, arguments or variables; on heal as they were";

const EXPECTED: &str = r#"{"nodes": …} with at least one of "program": "/path", "args": ["--flag"] and "env": {"K": "V"}, optionally with "signal": "SIGKILL""#;
const WORDS: &str =
    "at least one of program=/path, arg=--flag and env=K=V (the last two more than once), a signal, and";
/// How long a node has on heal to end by itself and be ready again, before the next.
const HEAL_TURN: Duration = Duration::from_secs(3);
/// The longest wait for a program that was just started to show what it is.
const STARTED_TIMEOUT: Duration = Duration::from_millis(500);
const ASK_INTERVAL: Duration = Duration::from_millis(10);

pub(crate) fn build(_: &Arc<Arsenal>) -> Box<dyn Fault> {
    Box::new(RestartWith::default())
}

#[derive(Default)]
struct RestartWith {
    victims: Victims,
    changed: Mutex<Changed>,
}

/// What is changed by our hand.
#[derive(Default)]
struct Changed {
    nodes: BTreeSet<usize>,
    /// The variables they got.
    env: Vec<(String, String)>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Args {
    /// Read by [`whom::resolve`].
    #[serde(rename = "nodes")]
    _nodes: Value,
    #[serde(default)]
    program: Option<PathBuf>,
    #[serde(default)]
    args: Vec<String>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    /// Who changes a program asks the old one to end.
    #[serde(default = "politely")]
    signal: Fatal,
}

fn politely() -> Fatal {
    Fatal(Signal::SIGTERM)
}

impl Args {
    fn change(&self) -> Result<LaunchChange, String> {
        let (program, args) = (self.program.clone(), self.args.clone());
        let env: Vec<_> = self.env.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        if program.is_none() && args.is_empty() && env.is_empty() {
            return Err("nothing is to be changed".to_owned());
        }
        if let Some(program) = program.as_ref().filter(|p| !p.is_absolute() || !p.is_file()) {
            return Err(format!("there is no program {}", program.display()));
        }
        Ok(LaunchChange { program, args, env })
    }
}

impl RestartWith {
    async fn restart(&self, cluster: &dyn Cluster, step: &FaultStep) -> Result<Value, String> {
        let asked: Args = args::parse(&step.args, EXPECTED)?;
        let change = asked.change().map_err(|why| args::wrong(&why, EXPECTED, &step.args))?;
        let order = whom::resolve(&step.args, cluster).await?;
        // Also of one that is down: whoever starts it starts it so.
        {
            let mut changed = self.changed.lock().await;
            changed.nodes.extend(&order);
            changed.env.clone_from(&change.env);
        }
        let time = Duration::from_millis(step.for_ms / 2);
        let rolling = Rolling { order: &order, signal: asked.signal, time };
        let change = |node| cluster.change_launch(node, NAME, change.clone());
        let turns = roll(&self.victims, cluster, rolling, change).await?;
        Ok(json!({ "nodes": order, "signal": asked.signal.0.as_str(), "turns": turns }))
    }

    async fn look(&self, cluster: &dyn Cluster) -> Probe {
        let changed = self.changed.lock().await.nodes.clone();
        let mut probe = self.victims.look(cluster).await;
        let (as_told, seen) = compare(cluster, &changed, &[]).await;
        probe.proved &= as_told && !changed.is_empty();
        Probe { proved: probe.proved, seen: json!({ "lives": probe.seen, "started": seen }) }
    }

    async fn take_back(&self, cluster: &dyn Cluster) -> Result<Probe, String> {
        let mut changed = self.changed.lock().await;
        let order: Vec<usize> = changed.nodes.iter().copied().collect();
        // What is down comes up unchanged; what runs is restarted.
        order.iter().for_each(|&node| cluster.change_launch(node, NAME, LaunchChange::default()));
        let time = HEAL_TURN * order.len() as u32;
        let rolling = Rolling { order: &order, signal: politely(), time };
        roll(&self.victims, cluster, rolling, |_| {}).await?;
        let lives = self.victims.revive(cluster).await?;
        let (as_told, seen) = compare(cluster, &changed.nodes, &changed.env).await;
        let proved = lives.proved && as_told;
        if proved {
            *changed = Changed::default();
        }
        Ok(Probe { proved, seen: json!({ "lives": lives.seen, "started": seen }) })
    }
}

/// Whether all these nodes run as they would be started now, and how they do. `gone`: the variables that
/// none may have any more, unless it should.
async fn compare(cluster: &dyn Cluster, nodes: &BTreeSet<usize>, gone: &[(String, String)]) -> (bool, Value) {
    let deadline = Instant::now() + STARTED_TIMEOUT;
    loop {
        let (as_told, seen) = compare_once(cluster, nodes, gone.to_vec()).await;
        if as_told || Instant::now() >= deadline {
            return (as_told, seen);
        }
        tokio::time::sleep(ASK_INTERVAL).await;
    }
}

async fn compare_once(
    cluster: &dyn Cluster,
    nodes: &BTreeSet<usize>,
    gone: Vec<(String, String)>,
) -> (bool, Value) {
    let asked: Vec<_> =
        nodes.iter().map(|&node| (node, cluster.init_pid(node), cluster.launch(node))).collect();
    let look = move || {
        let mut all = true;
        let mut seen = Vec::new();
        for (node, init, launch) in asked {
            let started = init.ok_or("it is down".to_owned()).and_then(Started::look);
            let as_told = match (&started, &launch) {
                (Ok(started), Ok(launch)) => {
                    let mut gone = gone.iter().filter(|pair| !launch.env.contains(pair));
                    started.is_as(launch) && !gone.any(|pair| started.has(pair))
                }
                _ => false,
            };
            all &= as_told;
            let started = started.map_or_else(|why| json!({ "error": why }), |started| started.to_json());
            seen.push(json!({ "node": node, "as_told": as_told, "found": started }));
        }
        (all, Value::Array(seen))
    };
    blocking(look).await.unwrap_or_else(|why| (false, json!({ "error": why })))
}

impl Fault for RestartWith {
    fn name(&self) -> &'static str {
        NAME
    }

    fn about(&self) -> &'static str {
        ABOUT
    }

    /// Only whom: with what, nobody but a person knows. Injecting it as it is says so.
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
        let absolute = |path: &str| path.starts_with('/').then(|| path.to_owned());
        let program = words.value("program", "an absolute path", absolute)?;
        let mut extra: Vec<String> = Vec::new();
        while let Some(arg) = words.value("arg", "an argument", |arg| Some(arg.to_owned()))? {
            extra.push(arg);
        }
        let mut env = BTreeMap::new();
        let pair = |text: &str| text.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
        while let Some((key, value)) = words.value("env", "K=V", pair)? {
            env.insert(key, value);
        }
        if let Some(signal) = Fatal::read(&mut words) {
            args["signal"] = json!(signal);
        }
        if let Some(whom) = whom::read(&mut words, rng, nodes, has_primary)? {
            args["nodes"] = whom;
        }
        let expected = format!("{WORDS} {}", whom::WORDS);
        words.finish(&expected)?;
        if program.is_none() && extra.is_empty() && env.is_empty() {
            return Err(format!("nothing is to be changed; expected {expected}"));
        }
        args["program"] = json!(program);
        args["args"] = json!(extra);
        args["env"] = json!(env);
        Ok(args)
    }

    fn inject<'a>(
        &'a self,
        cluster: &'a dyn Cluster,
        step: &'a FaultStep,
    ) -> BoxFuture<'a, Result<Value, String>> {
        Box::pin(self.restart(cluster, step))
    }

    fn probe<'a>(&'a self, cluster: &'a dyn Cluster) -> BoxFuture<'a, Probe> {
        Box::pin(self.look(cluster))
    }

    fn heal<'a>(&'a self, cluster: &'a dyn Cluster) -> BoxFuture<'a, Result<Probe, String>> {
        Box::pin(self.take_back(cluster))
    }
}
