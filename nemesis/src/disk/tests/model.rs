//! What must survive a power loss, in the simplest words: whole copies of everything.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What a name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    Directory,
    File(usize),
}

pub(super) type Names = BTreeMap<PathBuf, Entry>;

/// A file as it is, and as it would survive.
#[derive(Clone, Debug, Default)]
pub(super) struct Contents {
    pub(super) now: Vec<u8>,
    pub(super) synced: Vec<u8>,
    /// The smallest it was since it was synced.
    pub(super) low: usize,
}

#[derive(Clone, Debug)]
pub(super) struct Model {
    pub(super) names: Names,
    /// The names as they were after each operation since the last sync, that one included.
    pub(super) past: Vec<Names>,
    pub(super) files: Vec<Contents>,
}

impl Model {
    pub(super) fn new() -> Self {
        Model { names: Names::new(), past: vec![Names::new()], files: Vec::new() }
    }

    pub(super) fn file(&self, name: &Path) -> Option<usize> {
        match self.names.get(name) {
            Some(Entry::File(file)) => Some(*file),
            _ => None,
        }
    }

    pub(super) fn is_directory(&self, name: &Path) -> bool {
        name.as_os_str().is_empty() || self.names.get(name) == Some(&Entry::Directory)
    }

    pub(super) fn is_empty(&self, directory: &Path) -> bool {
        !self.names.keys().any(|name| name != directory && name.starts_with(directory))
    }

    fn changed(&mut self) {
        self.past.push(self.names.clone());
    }

    pub(super) fn create(&mut self, name: &Path) -> usize {
        self.files.push(Contents::default());
        self.names.insert(name.to_path_buf(), Entry::File(self.files.len() - 1));
        self.changed();
        self.files.len() - 1
    }

    pub(super) fn mkdir(&mut self, name: &Path) {
        self.names.insert(name.to_path_buf(), Entry::Directory);
        self.changed();
    }

    pub(super) fn link(&mut self, from: &Path, to: &Path) {
        let entry = self.names[from].clone();
        self.names.insert(to.to_path_buf(), entry);
        self.changed();
    }

    pub(super) fn remove(&mut self, name: &Path) {
        self.names.remove(name);
        self.changed();
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) {
        if self.names.get(from) == self.names.get(to) && self.file(from).is_some() {
            return;
        }
        self.names.remove(to);
        self.names = std::mem::take(&mut self.names)
            .into_iter()
            .map(|(name, entry)| (moved(&name, from, to).unwrap_or(name), entry))
            .collect();
        self.changed();
    }

    pub(super) fn exchange(&mut self, a: &Path, b: &Path) {
        self.names = std::mem::take(&mut self.names)
            .into_iter()
            .map(|(name, entry)| (moved(&name, a, b).or_else(|| moved(&name, b, a)).unwrap_or(name), entry))
            .collect();
        self.changed();
    }

    pub(super) fn write(&mut self, file: usize, at: usize, data: &[u8]) {
        let now = &mut self.files[file].now;
        now.resize(now.len().max(at + data.len()), 0);
        now[at..at + data.len()].copy_from_slice(data);
    }

    pub(super) fn punch(&mut self, file: usize, at: usize, bytes: usize) {
        let now = &mut self.files[file].now;
        let end = now.len().min(at + bytes);
        now[at.min(end)..end].fill(0);
    }

    pub(super) fn truncate(&mut self, file: usize, to: usize) {
        let contents = &mut self.files[file];
        contents.now.resize(to, 0);
        contents.low = contents.low.min(to);
    }

    pub(super) fn sync(&mut self, file: usize) {
        let contents = &mut self.files[file];
        contents.synced = contents.now.clone();
        contents.low = contents.now.len();
        self.sync_names();
    }

    pub(super) fn sync_names(&mut self) {
        self.past = vec![self.names.clone()];
    }

    /// The power fails, and nothing is torn.
    pub(super) fn crash(&mut self) {
        self.names = self.past[0].clone();
        self.past.truncate(1);
        for contents in &mut self.files {
            contents.now = contents.synced.clone();
            contents.low = contents.now.len();
        }
    }

    /// All names with what is in the files.
    pub(super) fn tree(&self) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
        let entry = |entry: &Entry| match entry {
            Entry::Directory => None,
            Entry::File(file) => Some(self.files[*file].now.clone()),
        };
        self.names.iter().map(|(name, e)| (name.clone(), entry(e))).collect()
    }
}

fn moved(name: &Path, from: &Path, to: &Path) -> Option<PathBuf> {
    let rest = name.strip_prefix(from).ok()?;
    Some(if rest.as_os_str().is_empty() { to.to_path_buf() } else { to.join(rest) })
}

/// All names below a directory with what is in the files.
pub(super) fn tree_of(root: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let (mut found, mut directories) = (BTreeMap::new(), vec![root.to_path_buf()]);
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root).unwrap().to_path_buf();
            if path.is_dir() {
                found.insert(name, None);
                directories.push(path);
            } else {
                found.insert(name, Some(fs::read(&path).unwrap()));
            }
        }
    }
    found
}
