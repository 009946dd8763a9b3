//! Damage to files at rest: what [`bit_rot`] and [`truncate`] share.
//!
//! Mechanism: the node is killed, a file of it is damaged while it is down, and it is started again; it may
//! rightly refuse to go on. Nothing is repaired on heal: a system has to do that from its other nodes.
//! Proof: the damaged place is read back, and nothing of the node's former life is left.

pub(crate) mod bit_rot;
pub(crate) mod truncate;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ordeal_core::{BoxFuture, Cluster, Fault, FaultStep, Probe, Rng, Words};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::{DiskFault, Prey, disks_of, on_disks};
use crate::disk::{Disks, matches};
use crate::lives::{Blow, Victims};
use crate::nodes::{Running, running};
use crate::processes::{blocking, runs};
use crate::{Arsenal, whom};

/// How long a node on damaged data is watched after its start.
pub(super) const WATCH: Duration = Duration::from_millis(500);
/// The most files that are looked at.
const FILES_MAX: usize = 100_000;

/// A kind of damage.
trait Damage: Copy + Default + Send + Sync + 'static {
    fn name(&self) -> &'static str;

    fn about(&self) -> &'static str;

    fn draw(&self, rng: &mut Rng) -> Value;

    fn words(&self) -> &'static str;

    fn read(&self, words: &mut Words, args: &mut Value) -> Result<(), String>;

    /// Reads the arguments strictly.
    fn check(&self, args: &Value) -> Result<(), String>;

    /// Damages one of the files below the root, and reads the damage back. Answers what it did.
    fn damage(&self, args: &Value, node: usize, root: &Path) -> Result<Value, String>;
}

struct Damaging<D> {
    kind: D,
    victims: Victims,
    done: Mutex<Vec<Done>>,
}

/// A node whose files were damaged.
struct Done {
    life: Running,
    what: Value,
}

fn build<D: Damage>(arsenal: &Arc<Arsenal>) -> Box<dyn Fault> {
    on_disks(arsenal, Damaging { kind: D::default(), victims: Victims::default(), done: Mutex::default() })
}

impl<D: Damage> Damaging<D> {
    async fn strike(&self, disks: &Disks, cluster: &dyn Cluster, args: &Value) -> Result<Value, String> {
        self.kind.check(args)?;
        let nodes = whom::resolve(args, cluster).await?;
        let disks = disks_of(disks, &nodes)?;
        let (alive, _) = running(cluster, &nodes).await?;
        let killed = self.victims.strike(cluster, &nodes, Blow::KILL).await?;
        let mut done = self.done.lock().await;
        done.clear();
        for life in alive {
            let Some((_, disk)) = disks.iter().find(|(node, _)| *node == life.node) else { continue };
            let (disk, kind, args, node) = (Arc::clone(disk), self.kind, args.clone(), life.node);
            let what = blocking(move || disk.offline(|root| kind.damage(&args, node, root))).await?;
            done.push(Done { what: what.map_err(|e| format!("node {node}: {e}"))?, life });
        }
        let started = self.victims.try_revive(cluster, WATCH).await?;
        let damaged: Vec<Value> =
            done.iter().map(|done| json!({ "node": done.life.node, "damaged": done.what })).collect();
        Ok(json!({
            "damaged": damaged, "already_down": killed.already_down, "started": started_json(&started),
        }))
    }

    async fn look(&self, cluster: &dyn Cluster) -> Probe {
        let done = self.done.lock().await;
        let mut probe = Probe { proved: !done.is_empty(), seen: json!([]) };
        let mut seen = Vec::new();
        for Done { life, what } in done.iter() {
            let namespace = Arc::clone(&life.namespace);
            let left = match blocking(move || namespace.processes()).await {
                Ok(Ok(left)) => left.len(),
                Ok(Err(e)) => return Probe::failed(&format!("cannot read /proc: {e}")),
                Err(why) => return Probe::failed(&why),
            };
            probe.proved &= left == 0;
            let runs = cluster.init_pid(life.node).is_some_and(runs);
            seen.push(json!({ "node": life.node, "damaged": what, "left": left, "runs": runs }));
        }
        probe.seen = Value::Array(seen);
        probe
    }

    async fn end(&self, cluster: &dyn Cluster) -> Result<Probe, String> {
        let mut done = self.done.lock().await;
        let nodes: Vec<usize> = done.iter().map(|done| done.life.node).collect();
        let probe = start_those_down(&self.victims, cluster, &nodes).await?;
        done.clear();
        Ok(probe)
    }
}

/// Starts those of the nodes that are down, and all that `victims` still has to start. That they run is not
/// asked: on damaged data a node may refuse to.
pub(super) async fn start_those_down(
    victims: &Victims,
    cluster: &dyn Cluster,
    nodes: &[usize],
) -> Result<Probe, String> {
    let is_down = |node: &&usize| !cluster.init_pid(**node).is_some_and(runs);
    let down: Vec<usize> = nodes.iter().filter(is_down).copied().collect();
    victims.fell(cluster, &down).await?;
    let mut started: BTreeMap<usize, bool> = nodes.iter().map(|&node| (node, false)).collect();
    started.extend(victims.try_revive(cluster, WATCH).await?);
    Ok(Probe { proved: true, seen: started_json(&started) })
}

/// Which nodes were started, and which of them ended again.
pub(super) fn started_json(started: &BTreeMap<usize, bool>) -> Value {
    let node = |(node, refuses): (&usize, &bool)| match refuses {
        true => json!({ "node": node, "refuses_to_start": true }),
        false => json!({ "node": node, "runs": true }),
    };
    started.iter().map(node).collect()
}

/// A file that can be damaged: it has at least one byte.
struct Victim {
    path: PathBuf,
    /// Its path below the root.
    name: String,
    length: u64,
    modified: SystemTime,
}

/// The files below the root that match the pattern, by name.
fn victims(root: &Path, pattern: Option<&str>) -> Result<Vec<Victim>, String> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let fail = |e: std::io::Error| format!("cannot list {}: {e}", folder.display());
        for entry in fs::read_dir(&folder).map_err(fail)? {
            let path = entry.map_err(fail)?.path();
            let about = fs::symlink_metadata(&path).map_err(fail)?;
            if about.is_dir() {
                folders.push(path);
            } else if about.is_file() && about.len() > 0 && found.len() < FILES_MAX {
                let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
                let modified = about.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                found.push(Victim { path, name, length: about.len(), modified });
            }
        }
    }
    found.retain(|file| pattern.is_none_or(|pattern| matches(pattern.as_bytes(), file.name.as_bytes())));
    found.sort_by(|a, b| a.name.cmp(&b.name));
    match found.is_empty() {
        true => Err(format!("expected a file that is not empty and matches {pattern:?}, found none")),
        false => Ok(found),
    }
}

impl<D: Damage> DiskFault for Damaging<D> {
    fn name(&self) -> &'static str {
        self.kind.name()
    }

    fn about(&self) -> &'static str {
        self.kind.about()
    }

    fn prey(&self) -> Prey {
        Prey::SameFew
    }

    fn draw(&self, rng: &mut Rng) -> Value {
        self.kind.draw(rng)
    }

    fn words(&self) -> &'static str {
        self.kind.words()
    }

    fn read(&self, words: &mut Words, args: &mut Value) -> Result<(), String> {
        self.kind.read(words, args)
    }

    fn inject<'a>(
        &'a self,
        disks: &'a Disks,
        cluster: &'a dyn Cluster,
        step: &'a FaultStep,
    ) -> BoxFuture<'a, Result<Value, String>> {
        Box::pin(self.strike(disks, cluster, &step.args))
    }

    fn probe<'a>(&'a self, _: &'a Disks, cluster: &'a dyn Cluster) -> BoxFuture<'a, Probe> {
        Box::pin(self.look(cluster))
    }

    fn heal<'a>(&'a self, _: &'a Disks, cluster: &'a dyn Cluster) -> BoxFuture<'a, Result<Probe, String>> {
        Box::pin(self.end(cluster))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_choose_among_the_files_that_are_not_empty() {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join("wal")).unwrap();
        for (name, text) in [("wal/1.log", "text"), ("wal/2.log", ""), ("a.db", "text"), ("log", "text")] {
            fs::write(home.path().join(name), text).unwrap();
        }
        let names = |pattern: Option<&str>| {
            let found = victims(home.path(), pattern)?;
            Ok::<_, String>(found.into_iter().map(|file| file.name).collect::<Vec<_>>())
        };
        assert_eq!(names(None), Ok(vec!["a.db".to_owned(), "log".to_owned(), "wal/1.log".to_owned()]));
        assert_eq!(names(Some("*.log")), Ok(vec!["wal/1.log".to_owned()]));
        assert_eq!(names(Some("?.db")), Ok(vec!["a.db".to_owned()]));
        assert_eq!(names(Some("l*g*")), Ok(vec!["log".to_owned()]));
        assert!(names(Some("wal/2*")).unwrap_err().contains("wal/2*"));
    }
}
