//! Random operations, on the core alone and through a real mount, compared with the model.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use ordeal_core::Rng;

use super::super::core::Core;
use super::super::undo::PAGE;
use super::model::{Contents, Entry, Model, tree_of};
use super::ops::{Direct, Mounted, Ops};
use super::{Home, sandboxed};

const NAMES: [&str; 12] = ["a", "b", "c", "d", "e", "d/a", "d/b", "e/a", "e/b", "d/e", "d/e/a", "d/e/b"];

/// Does a random operation to both, if it is possible.
fn step(rng: &mut Rng, ops: &mut dyn Ops, model: &mut Model, open: &mut BTreeMap<usize, usize>) {
    let name = Path::new(*rng.pick(&NAMES));
    let other = Path::new(*rng.pick(&NAMES));
    let free = |model: &Model, name: &Path| {
        !model.names.contains_key(name) && model.is_directory(name.parent().unwrap())
    };
    let handle = open.keys().copied().nth(rng.below(8) as usize);
    let next = open.keys().last().map_or(0, |last| last + 1);
    match rng.below(20) {
        0..=2 if free(model, name) => {
            ops.create(name, next);
            open.insert(next, model.create(name));
        }
        3 | 4 => {
            if let Some(file) = model.file(name).filter(|_| open.len() < 8) {
                ops.open(name, next);
                open.insert(next, file);
            }
        }
        5..=8 => {
            let Some(handle) = handle else { return };
            let size = model.files[open[&handle]].now.len() as u64;
            let at = if rng.chance(0.4) { size } else { rng.below(size + 2 * PAGE + 1) };
            let data = vec![rng.between(1, 255) as u8; rng.between(1, 3 * PAGE) as usize];
            let sync = rng.chance(0.05);
            ops.write(handle, at, &data, sync);
            model.write(open[&handle], at as usize, &data);
            if sync {
                model.sync(open[&handle]);
            }
        }
        9 => {
            let Some(handle) = handle else { return };
            let (at, bytes) = (rng.below(5 * PAGE), rng.between(1, 3 * PAGE));
            ops.punch(handle, at, bytes);
            model.punch(open[&handle], at as usize, bytes as usize);
        }
        10 => {
            let Some(handle) = handle else { return };
            let size = model.files[open[&handle]].now.len() as u64;
            let to = if rng.chance(0.3) { 0 } else { rng.below(size + PAGE + 1) };
            ops.truncate(handle, to);
            model.truncate(open[&handle], to as usize);
        }
        11 => {
            let Some(file) = model.file(name) else { return };
            let to = rng.below(3 * PAGE);
            ops.truncate_by_name(name, to);
            model.truncate(file, to as usize);
        }
        12 if model.file(name).is_some() => {
            ops.unlink(name);
            model.remove(name);
        }
        13 if name.to_str().is_some_and(|n| n.ends_with(['d', 'e'])) && free(model, name) => {
            ops.mkdir(name);
            model.mkdir(name);
        }
        14 if model.names.get(name) == Some(&Entry::Directory) => {
            let possible = model.is_empty(name);
            assert_eq!(ops.rmdir(name), possible);
            if possible {
                model.remove(name);
            }
        }
        15 | 16 => rename(rng, ops, model, name, other),
        17 if model.file(name).is_some() && free(model, other) => {
            ops.link(name, other);
            model.link(name, other);
        }
        18 => {
            let Some(handle) = handle else { return };
            match rng.below(5) {
                0 if model.is_directory(name) => {
                    ops.sync_directory(name);
                    model.sync_names();
                }
                0 | 1 => {
                    ops.sync(handle);
                    model.sync(open[&handle]);
                }
                2 => assert_eq!(ops.read(handle), model.files[open[&handle]].now),
                _ => {
                    ops.close(handle);
                    open.remove(&handle);
                }
            }
        }
        19 if rng.chance(0.3) => ops.forget(),
        _ => {}
    }
}

fn rename(rng: &mut Rng, ops: &mut dyn Ops, model: &mut Model, from: &Path, to: &Path) {
    let nested = from.starts_with(to) || to.starts_with(from);
    if !model.names.contains_key(from) || nested || !model.is_directory(to.parent().unwrap()) {
        return;
    }
    if rng.chance(0.2) {
        if model.names.contains_key(to) {
            assert!(ops.rename(from, to, true));
            model.exchange(from, to);
        }
        return;
    }
    let possible = match (&model.names[from], model.names.get(to)) {
        (_, None) | (Entry::File(_), Some(Entry::File(_))) => true,
        (Entry::Directory, Some(Entry::Directory)) => model.is_empty(to),
        _ => false,
    };
    assert_eq!(ops.rename(from, to, false), possible, "{from:?} -> {to:?}");
    if possible {
        model.rename(from, to);
    }
}

/// Runs a sequence on the core; its model and the core at its end.
fn sequence(rng: &mut Rng, home: &Path, steps: u64) -> (Model, Core) {
    let (mut model, mut ops, mut open) = (Model::new(), Direct::new(home), BTreeMap::new());
    for _ in 0..steps {
        step(rng, &mut ops, &mut model, &mut open);
    }
    assert_eq!(tree_of(&home.join("disk")), model.tree(), "before the power failed");
    let unsynced = ops.core.unsynced();
    assert_eq!(unsynced.directory_ops as usize, model.past.len() - 1);
    ops.core.die();
    (model, ops.core)
}

#[test]
fn what_was_synced_survives_and_nothing_else() {
    for seed in 0..2_000 {
        let rng = &mut Rng::new(seed);
        let home = tempfile::tempdir().unwrap();
        let steps = rng.between(1, 60);
        let (mut model, core) = sequence(rng, home.path(), steps);
        let lost = core.roll_back(0.0, seed).unwrap();
        let directory_ops = model.past.len() - 1;
        model.crash();
        assert_eq!(tree_of(&home.path().join("disk")), model.tree(), "seed {seed}");
        assert_eq!((lost.pages_kept, lost.directory_ops as usize), (0, directory_ops));
        assert!(tree_of(&home.path().join("parked")).is_empty(), "seed {seed}");
    }
}

#[test]
fn a_torn_page_is_old_or_new_and_synced_files_are_whole() {
    let (mut kept, mut lost) = (0, 0);
    for seed in 0..1_000 {
        let rng = &mut Rng::new(seed);
        let home = tempfile::tempdir().unwrap();
        let steps = rng.between(1, 60);
        let (model, core) = sequence(rng, home.path(), steps);
        let loss = core.roll_back(0.5, seed).unwrap();
        kept += loss.pages_kept;
        lost += loss.pages;
        let found = tree_of(&home.path().join("disk"));
        let kinds = |names: &BTreeMap<PathBuf, Entry>| {
            names.iter().map(|(name, e)| (name.clone(), *e == Entry::Directory)).collect::<Vec<_>>()
        };
        let shape: Vec<_> = found.iter().map(|(name, bytes)| (name.clone(), bytes.is_none())).collect();
        let past: Vec<_> = model.past.iter().filter(|names| kinds(names) == shape).collect();
        assert!(!past.is_empty(), "seed {seed}: no state in the past had {shape:?}");
        let fits = past.iter().any(|names| {
            names.iter().all(|(name, entry)| match (entry, &found[name]) {
                (Entry::File(file), Some(bytes)) => is_torn_from(bytes, &model.files[*file]),
                _ => true,
            })
        });
        assert!(fits, "seed {seed}: a page is neither old nor new");
        assert!(tree_of(&home.path().join("parked")).is_empty(), "seed {seed}");
    }
    assert!(kept > 500 && lost > 500, "kept {kept}, lost {lost}");
}

/// Whether this can be left of the file when each page survives or not.
fn is_torn_from(found: &[u8], file: &Contents) -> bool {
    if file.now == file.synced && file.low == file.synced.len() {
        return found == file.synced;
    }
    let low = file.low.min(file.synced.len());
    let size_fits = found.len() == file.synced.len() || (low <= found.len() && found.len() <= file.now.len());
    let page = PAGE as usize;
    let part = |bytes: &[u8], at: usize, length: usize| -> Vec<u8> {
        (at..at + length).map(|i| bytes.get(i).copied().unwrap_or(0)).collect()
    };
    let fits = |(number, bytes): (usize, &[u8])| {
        let at = number * page;
        let old = part(&file.synced, at, bytes.len());
        let cut = part(&file.synced[..low], at, bytes.len());
        bytes == old || bytes == cut || bytes == part(&file.now, at, bytes.len())
    };
    size_fits && found.chunks(page).enumerate().all(fits)
}

#[test]
fn a_mounted_disk_keeps_to_the_model() {
    sandboxed("random::a_mounted_disk_keeps_to_the_model", || {
        let mut ops = Mounted { home: Home::new(), handles: HashMap::new() };
        for seed in 0..300 {
            let rng = &mut Rng::new(seed);
            let (mut model, mut open) = (Model::new(), BTreeMap::new());
            for _ in 0..rng.between(1, 60) {
                step(rng, &mut ops, &mut model, &mut open);
            }
            assert_eq!(tree_of(&ops.home.path("")), model.tree(), "seed {seed}: before the power failed");
            ops.handles.clear();
            ops.home.disk.crash(0.0, seed).unwrap();
            model.crash();
            assert_eq!(tree_of(&ops.home.path("")), model.tree(), "seed {seed}");
            let everything = tree_of(&ops.home.path(""));
            for name in everything.keys().filter(|name| name.components().count() == 1) {
                let path = ops.home.path("").join(name);
                if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.unwrap();
            }
            ops.sync_directory(Path::new(""));
        }
    });
}
