//! The run directory: the interface between running, judging and reporting.

use std::io;
use std::path::{Path, PathBuf};

/// A run directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunDir {
    path: PathBuf,
}

impl RunDir {
    /// Creates a new directory for a run.
    ///
    /// # Errors
    /// When it exists already (a run is never overwritten) or cannot be created.
    pub fn create(path: &Path) -> io::Result<Self> {
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::create_dir(path)?;
        Ok(RunDir { path: std::path::absolute(path)? })
    }

    /// An existing run directory.
    pub fn open(path: &Path) -> Self {
        RunDir { path: path.to_path_buf() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What was meant to happen.
    pub fn plan(&self) -> PathBuf {
        self.path.join("plan.json")
    }

    /// What every client saw, and every fault.
    pub fn history(&self) -> PathBuf {
        self.path.join("history.jsonl")
    }

    /// What the judges found.
    pub fn verdict(&self) -> PathBuf {
        self.path.join("verdict.json")
    }

    /// The harness's own log.
    pub fn log(&self) -> PathBuf {
        self.path.join("ordeal.log")
    }

    /// What a node left: its logs and, below `data`, its data.
    pub fn node(&self, id: &str) -> PathBuf {
        self.path.join("nodes").join(id)
    }

    /// Points the symbolic link `latest` beside this run at it.
    ///
    /// # Errors
    /// What the file system said.
    pub fn mark_latest(&self) -> io::Result<()> {
        let (Some(parent), Some(name)) = (self.path.parent(), self.path.file_name()) else {
            return Ok(());
        };
        // A new link is renamed over the old one, so that there is always one. Runs at the same time must
        // not meet at the new link's name.
        let fresh = parent.join(format!(".latest-{}", name.display()));
        std::os::unix::fs::symlink(name, &fresh)?;
        std::fs::rename(&fresh, parent.join("latest")).inspect_err(|_| {
            let _ = std::fs::remove_file(&fresh);
        })
    }

    /// Deletes the nodes' data, which nobody needs after a run without a violation.
    ///
    /// # Errors
    /// What the file system said.
    pub fn drop_data(&self) -> io::Result<()> {
        let nodes = match std::fs::read_dir(self.path.join("nodes")) {
            Ok(nodes) => nodes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(e),
        };
        for node in nodes {
            let data = node?.path().join("data");
            if data.exists() {
                std::fs::remove_dir_all(data)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("target").join("run");
        RunDir::create(&path).unwrap();
        assert_eq!(RunDir::create(&path).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    }

    #[test]
    fn latest_follows_the_newest_run() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a", "b"] {
            RunDir::create(&dir.path().join(name)).unwrap().mark_latest().unwrap();
        }
        assert_eq!(std::fs::read_link(dir.path().join("latest")).unwrap(), Path::new("b"));
    }
}
