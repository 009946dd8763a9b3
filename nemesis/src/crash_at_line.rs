//! `crash-at-line`: a node dies right after it has logged a certain line, so at a step of its program that
//! has a name. It is started again on heal.
//!
//! Mechanism: a thread reads what is added to the node's log, every millisecond, and kills the node by
//! [`crate::lives::trigger`] at the first whole line that contains the text. Of several nodes, the first
//! that logs it dies, and only that one.
//! Proof: as for every death, see [`crate::victims`]. A line that never comes is an error.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ordeal_core::{BoxFuture, Cluster, Fault, FaultStep, Probe, Rng, Words};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::lives::Victims;
use crate::lives::trigger::{Trigger, triggers};
use crate::nodes::running;
use crate::{Arsenal, whom};

pub(crate) const NAME: &str = "crash-at-line";
pub(crate) const ABOUT: &str = "kill a node right after it logs a line that contains a text: line=text";

/// Between two looks into the logs.
const POLL: Duration = Duration::from_millis(1);
/// The most of an unfinished line that is kept.
const LINE_BYTES_MAX: usize = 64 * 1024;
const WORDS: &str = "line=text (a part of the line, without commas), stdout, stderr, within=time, and whom: node names, one, minority, majority, all, primary or last-acknowledged";
const EXPECTED: &str = r#"expected {"nodes": whom, "line": "a part of a line", "stream": "stdout" | "stderr" | "any", "within_ms": milliseconds or null}"#;

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Args {
    nodes: Value,
    /// What the line must contain. Nobody can draw it.
    line: Option<String>,
    stream: Stream,
    /// The longest wait for the line; never longer than half of the fault's time.
    within_ms: Option<u64>,
}

#[derive(Clone, Copy, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Stream {
    Stdout,
    Stderr,
    Any,
}

impl Stream {
    fn names(self) -> &'static [&'static str] {
        match self {
            Stream::Stdout => &["stdout"],
            Stream::Stderr => &["stderr"],
            Stream::Any => &["stdout", "stderr"],
        }
    }
}

pub(crate) fn build(_: &Arc<Arsenal>) -> Box<dyn Fault> {
    Box::new(CrashAtLine::default())
}

#[derive(Default)]
struct CrashAtLine {
    victims: Victims,
}

/// The line, and when it was seen.
struct Found {
    node: usize,
    stream: &'static str,
    line: String,
    after: Duration,
    /// From the moment it was read to the moment `SIGKILL` was pending everywhere.
    to_kill: Duration,
}

impl CrashAtLine {
    async fn strike(&self, cluster: &dyn Cluster, step: &FaultStep) -> Result<Value, String> {
        let args =
            Args::deserialize(&step.args).map_err(|e| format!("{EXPECTED}, found {}: {e}", step.args))?;
        let text = args.line.filter(|line| !line.is_empty()).ok_or_else(|| {
            format!(
                "nobody told which line to wait for; say {NAME}(line=text), or {EXPECTED}, found {}",
                step.args
            )
        })?;
        let nodes = whom::resolve(&step.args, cluster).await?;
        let (alive, down) = running(cluster, &nodes).await?;
        if alive.is_empty() {
            return Err("every node it was meant for is down".to_owned());
        }
        let streams = args.stream.names();
        let half = Duration::from_millis(step.for_ms / 2);
        let limit = args.within_ms.map_or(half, |ms| half.min(Duration::from_millis(ms)));
        let (triggers, watch) = triggers(alive);
        let file = |node: usize, stream: &'static str| (stream, cluster.log_file(node, stream));
        let watched: Vec<Watched> = triggers
            .into_iter()
            .map(|trigger| {
                let files = streams.iter().map(|&stream| file(trigger.node(), stream)).collect();
                (trigger, files)
            })
            .collect();
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, wanted) = (Arc::clone(&stop), text.clone());
        let reading = tokio::task::spawn_blocking(move || read_logs(&watched, &wanted, limit, &stopped));
        let disarm = |_: Option<usize>| stop.store(true, Ordering::Relaxed);
        watch.first(cluster, &self.victims, limit, disarm).await?;
        let found = reading.await.map_err(|e| e.to_string())??;
        let found = found.ok_or_else(|| {
            format!(
                "no line with `{text}` was logged within {} ms by any of nodes {nodes:?}",
                limit.as_millis()
            )
        })?;
        Ok(json!({
            "node": found.node, "stream": found.stream, "line": found.line, "down": down,
            "after_ms": found.after.as_millis() as u64, "line_to_kill_us": found.to_kill.as_micros() as u64,
        }))
    }
}

/// What kills a node, and its logs by stream.
type Watched = (Trigger, Vec<(&'static str, PathBuf)>);

/// Reads all logs from where they end now until one has a line with the text; kills that node.
fn read_logs(
    watched: &[Watched],
    text: &str,
    limit: Duration,
    stop: &AtomicBool,
) -> Result<Option<Found>, String> {
    let start = Instant::now();
    let mut tails = Vec::new();
    for (trigger, files) in watched {
        for (stream, path) in files {
            tails.push((trigger, *stream, Tail::at_end(path.clone())));
        }
    }
    while start.elapsed() < limit && !stop.load(Ordering::Relaxed) {
        for (trigger, stream, tail) in &mut tails {
            let lines = tail.fresh().map_err(|e| format!("cannot read {}: {e}", tail.path.display()))?;
            let read_at = Instant::now();
            if let Some(line) = lines.into_iter().find(|line| line.contains(text)) {
                trigger.pull();
                let (after, to_kill) = (read_at - start, read_at.elapsed());
                return Ok(Some(Found { node: trigger.node(), stream, line, after, to_kill }));
            }
        }
        std::thread::sleep(POLL);
    }
    Ok(None)
}

/// A log that is read as it grows.
struct Tail {
    path: PathBuf,
    /// So far it was read.
    at: u64,
    /// The line that has no end yet.
    unfinished: Vec<u8>,
}

impl Tail {
    fn at_end(path: PathBuf) -> Self {
        let at = std::fs::metadata(&path).map_or(0, |m| m.len());
        Tail { path, at, unfinished: Vec::new() }
    }

    /// The lines that were finished since the last time.
    fn fresh(&mut self) -> io::Result<Vec<String>> {
        // It exists when the node first starts, and may be looked at before.
        let length = std::fs::metadata(&self.path).map_or(0, |m| m.len());
        if length <= self.at {
            return Ok(Vec::new());
        }
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(self.at))?;
        self.at += file.take(length - self.at).read_to_end(&mut self.unfinished)? as u64;
        let Some(end) = self.unfinished.iter().rposition(|&byte| byte == b'\n') else {
            let excess = self.unfinished.len().saturating_sub(LINE_BYTES_MAX);
            self.unfinished.drain(..excess);
            return Ok(Vec::new());
        };
        let rest = self.unfinished.split_off(end + 1);
        let whole = std::mem::replace(&mut self.unfinished, rest);
        Ok(String::from_utf8_lossy(&whole).lines().map(str::to_owned).collect())
    }
}

impl Fault for CrashAtLine {
    fn name(&self) -> &'static str {
        NAME
    }

    fn about(&self) -> &'static str {
        ABOUT
    }

    /// Without a line: `inject` will say that one must be given.
    fn draw(&self, rng: &mut Rng, nodes: usize, has_primary: bool) -> Value {
        let mut args = whom::draw(rng, nodes, has_primary);
        args["line"] = Value::Null;
        args["stream"] = json!("any");
        args["within_ms"] = Value::Null;
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
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let line = words.value("line", "a part of the line", text)?;
        args["line"] = json!(line.ok_or_else(|| format!("it takes {WORDS}; the line must be given"))?);
        if let Some(stream) = ["stdout", "stderr"].into_iter().find(|stream| words.flag(stream)) {
            args["stream"] = json!(stream);
        }
        if let Some(within_us) = words.value("within", "a time such as 500ms", ordeal_core::words::time_us)? {
            args["within_ms"] = json!(within_us.div_ceil(1_000));
        }
        if let Some(whom) = whom::read(&mut words, rng, nodes, has_primary)? {
            args["nodes"] = whom;
        }
        words.finish(WORDS).map(|()| args)
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
