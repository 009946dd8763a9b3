//! `rollback`: an operator restores an old backup: a node forgets, as a whole, what it had synced lately.
//!
//! Mechanism: the node is stopped, its files are copied, it runs on for half of the fault's time; then it is
//! stopped again, the copy takes the place of its files, and it is started on them.
//! Proof: the files of the two moments are compared; if nothing was written in between, nothing was rolled
//! back.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ordeal_core::{BoxFuture, Cluster, Fault, FaultStep, Probe, Rng, Words};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::damage::{WATCH, start_those_down, started_json};
use super::{DiskFault, Prey, disks_of, on_disks};
use crate::args::parse;
use crate::disk::{Disk, Disks};
use crate::lives::{Blow, Victims};
use crate::processes::blocking;
use crate::processes::runs;
use crate::{Arsenal, whom};

pub(crate) const NAME: &str = "rollback";
pub(crate) const ABOUT: &str = "a node's files are set back to how they were some seconds ago";
/// The copy, beside the node's data.
const COPY: &str = "rollback-copy";

pub(crate) fn build(arsenal: &Arc<Arsenal>) -> Box<dyn Fault> {
    on_disks(arsenal, Rollback::default())
}

#[derive(Default)]
struct Rollback {
    victims: Victims,
    done: Mutex<Vec<Done>>,
}

/// A node that was set back.
struct Done {
    node: usize,
    changes: Changes,
}

/// How the files of two moments differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Changes {
    changed: u64,
    came: u64,
    went: u64,
}

impl Changes {
    fn any(self) -> bool {
        self != Changes::default()
    }

    fn json(self) -> Value {
        json!({ "changed": self.changed, "came": self.came, "went": self.went })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Args {
    #[serde(rename = "nodes")]
    _nodes: Value,
}

impl Rollback {
    async fn strike(&self, disks: &Disks, cluster: &dyn Cluster, step: &FaultStep) -> Result<Value, String> {
        let start = Instant::now();
        _ = parse::<Args>(&step.args, r#"{"nodes": whom}"#)?;
        let nodes = whom::resolve(&step.args, cluster).await?;
        let mut done = self.done.lock().await;
        done.clear();
        let killed = self.victims.strike(cluster, &nodes, Blow::KILL).await?;
        let disks = disks_of(disks, &killed.nodes)?;
        for (node, disk) in &disks {
            let copy = copy_of(cluster, *node)?;
            offline(*node, disk, move |root| save(root, &copy)).await?;
        }
        let revived = self.victims.revive(cluster).await?;
        if !revived.proved {
            return Err(format!("a node did not start again on its own data: {}", revived.seen));
        }
        let run_on = Duration::from_millis(step.for_ms / 2).saturating_sub(start.elapsed());
        tokio::time::sleep(run_on).await;

        for &node in &killed.nodes {
            // Also of those that have died by themselves: they are to start on old files.
            cluster.expect_death(node);
        }
        self.victims.fell(cluster, &killed.nodes).await?;
        for (node, disk) in &disks {
            let copy = copy_of(cluster, *node)?;
            let changes = offline(*node, disk, move |root| restore(root, &copy)).await?;
            done.push(Done { node: *node, changes });
        }
        let started = self.victims.try_revive(cluster, WATCH).await?;
        Ok(json!({
            "nodes": killed.nodes, "already_down": killed.already_down,
            "ran_on_ms": run_on.as_millis() as u64, "started": started_json(&started),
        }))
    }

    async fn look(&self, cluster: &dyn Cluster) -> Probe {
        let done = self.done.lock().await;
        let seen = done.iter().map(|Done { node, changes }| {
            let runs = cluster.init_pid(*node).is_some_and(runs);
            json!({ "node": node, "rolled_back": changes.json(), "runs": runs })
        });
        Probe { proved: done.iter().any(|done| done.changes.any()), seen: seen.collect() }
    }

    async fn end(&self, cluster: &dyn Cluster) -> Result<Probe, String> {
        let mut done = self.done.lock().await;
        let nodes: Vec<usize> = done.iter().map(|done| done.node).collect();
        let probe = start_those_down(&self.victims, cluster, &nodes).await?;
        for node in 0..cluster.spec().nodes.len() {
            let copy = copy_of(cluster, node)?;
            let removed = blocking(move || remove(&copy).map_err(|e| (copy, e))).await?;
            removed.map_err(|(copy, e)| format!("cannot remove {}: {e}", copy.display()))?;
        }
        done.clear();
        Ok(probe)
    }
}

/// Acts on the files of a node that is down.
async fn offline<T: Send + 'static>(
    node: usize,
    disk: &Arc<Disk>,
    act: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
) -> Result<T, String> {
    let disk = Arc::clone(disk);
    let done = blocking(move || disk.offline(|root| act(root).map_err(|e| e.to_string()))).await?;
    done.map_err(|e| format!("node {node}: {e}"))
}

/// Where the copy of the node's files is kept.
fn copy_of(cluster: &dyn Cluster, node: usize) -> Result<PathBuf, String> {
    let data = &cluster.spec().nodes[node].data_dir;
    let home = data.parent().ok_or_else(|| format!("{} has no parent", data.display()))?;
    Ok(home.join(COPY))
}

fn remove(copy: &Path) -> io::Result<()> {
    match fs::remove_dir_all(copy) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// Makes the copy.
fn save(root: &Path, copy: &Path) -> io::Result<()> {
    remove(copy)?;
    fs::create_dir(copy)?;
    copy_tree(root, copy)
}

/// Puts the copy in the place of the files. The root itself stays: it is what is mounted.
fn restore(root: &Path, copy: &Path) -> io::Result<Changes> {
    let changes = compare(copy, root)?;
    for entry in fs::read_dir(root)? {
        let path = entry?.path();
        match fs::symlink_metadata(&path)?.is_dir() {
            true => fs::remove_dir_all(&path)?,
            false => fs::remove_file(&path)?,
        }
    }
    copy_tree(copy, root)?;
    match compare(copy, root)? {
        left if left.any() => Err(io::Error::other(format!("files still differ: {left:?}"))),
        _ => Ok(changes),
    }
}

/// Copies what is in one directory into another. Sockets and pipes are not data.
fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let about = fs::symlink_metadata(&source)?;
        if about.is_dir() {
            fs::create_dir(&target)?;
            copy_tree(&source, &target)?;
            fs::set_permissions(&target, about.permissions())?;
        } else if about.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(&source)?, &target)?;
        } else if about.is_file() {
            fs::copy(&source, &target)?;
        }
    }
    Ok(())
}

/// How `new` differs from `old`.
fn compare(old: &Path, new: &Path) -> io::Result<Changes> {
    let (before, after) = (files(old)?, files(new)?);
    let mut changes = Changes::default();
    for name in before.union(&after) {
        match (before.contains(name), after.contains(name)) {
            (true, false) => changes.went += 1,
            (false, true) => changes.came += 1,
            _ if fs::read(old.join(name))? != fs::read(new.join(name))? => changes.changed += 1,
            _ => {}
        }
    }
    Ok(changes)
}

/// The paths of all files below a directory.
fn files(root: &Path) -> io::Result<BTreeSet<PathBuf>> {
    let mut found = BTreeSet::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            let about = fs::symlink_metadata(&path)?;
            if about.is_dir() {
                folders.push(path);
            } else if about.is_file() {
                found.insert(path.strip_prefix(root).map_err(io::Error::other)?.to_owned());
            }
        }
    }
    Ok(found)
}

impl DiskFault for Rollback {
    fn name(&self) -> &'static str {
        NAME
    }

    fn about(&self) -> &'static str {
        ABOUT
    }

    fn prey(&self) -> Prey {
        Prey::SameFew
    }

    fn draw(&self, _: &mut Rng) -> Value {
        json!({})
    }

    fn words(&self) -> &'static str {
        "nothing"
    }

    fn read(&self, _: &mut Words, _: &mut Value) -> Result<(), String> {
        Ok(())
    }

    fn inject<'a>(
        &'a self,
        disks: &'a Disks,
        cluster: &'a dyn Cluster,
        step: &'a FaultStep,
    ) -> BoxFuture<'a, Result<Value, String>> {
        Box::pin(self.strike(disks, cluster, step))
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
    fn what_was_written_after_the_copy_is_gone_after_it_is_restored() {
        let home = tempfile::tempdir().unwrap();
        let (root, copy) = (home.path().join("disk"), home.path().join("copy"));
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::write(root.join("a/b/kept"), "1").unwrap();
        fs::write(root.join("a/gone"), "1").unwrap();
        std::os::unix::fs::symlink("b/kept", root.join("a/link")).unwrap();
        save(&root, &copy).unwrap();
        assert!(!compare(&copy, &root).unwrap().any());

        fs::write(root.join("a/b/kept"), "2").unwrap();
        fs::remove_file(root.join("a/gone")).unwrap();
        fs::create_dir(root.join("c")).unwrap();
        fs::write(root.join("c/new"), "1").unwrap();
        let changes = restore(&root, &copy).unwrap();
        assert_eq!(changes, Changes { changed: 1, came: 1, went: 1 });
        assert_eq!(fs::read(root.join("a/link")).unwrap(), b"1");
        assert!(root.join("a/gone").exists() && !root.join("c").exists());
        assert!(!restore(&root, &copy).unwrap().any(), "nothing was written since");
    }
}
