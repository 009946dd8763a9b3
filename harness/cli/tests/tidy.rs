//! Keeps the rules of the house: who may depend on whom, nodes that know nothing of the harness, files
//! that are in their registry, printing only in the CLI, and the top level as agreed.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Every Rust source below a folder, with its text.
fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() && path.file_name().is_some_and(|n| n != "target") {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push((path.clone(), fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(!found.is_empty(), "{folder} has sources");
    found
}

/// The names below `[dependencies]` of a crate's manifest.
fn dependencies(folder: &str) -> BTreeSet<String> {
    let manifest = fs::read_to_string(root().join(folder).join("Cargo.toml")).unwrap();
    let section = manifest.split("[dependencies]").nth(1).unwrap_or("");
    let lines = section.lines().skip(1).take_while(|line| !line.starts_with('['));
    let name = |line: &str| line.split(['.', ' ', '=']).next().unwrap_or("").to_owned();
    lines.map(name).filter(|name| !name.is_empty() && !name.starts_with('#')).collect()
}

#[test]
fn the_top_level_is_as_agreed() {
    let agreed = [
        "Cargo.toml",
        "Cargo.lock",
        "README.md",
        "LICENSE-APACHE",
        "LICENSE-MIT",
        "harness",
        "nemesis",
        "checkers",
        "workloads",
        "targets",
        "results",
    ];
    for entry in fs::read_dir(root()).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        // `target` is cargo's.
        assert!(name.starts_with('.') || name == "target" || agreed.contains(&name.as_str()), "{name}");
    }
}

#[test]
fn crates_depend_only_on_the_floors_below() {
    let allowed: &[(&str, &[&str])] = &[
        ("harness/core", &[]),
        ("harness/formats", &["ordeal-core"]),
        ("harness/runner", &["ordeal-core"]),
        ("harness/report", &["ordeal-core"]),
        ("harness/simulator", &["ordeal-core"]),
        ("harness/bench", &["ordeal-core", "ordeal-simulator"]),
        ("nemesis", &["ordeal-core"]),
        ("checkers", &["ordeal-core"]),
        ("workloads", &["ordeal-core", "ordeal-checkers"]),
        ("targets/kit", &[]),
        ("targets/raft", &["ordeal-kit"]),
    ];
    // Every folder of a pattern is a crate of that name, which the targets may use.
    let patterns: Vec<String> = fs::read_dir(root().join("targets/patterns"))
        .unwrap()
        .map(|pattern| pattern.unwrap().file_name().into_string().unwrap())
        .collect();
    let crates: Vec<String> = patterns.iter().map(|pattern| format!("ordeal-{pattern}")).collect();
    let folders: Vec<String> = patterns.iter().map(|pattern| format!("targets/patterns/{pattern}")).collect();
    let targets: Vec<&str> =
        ["ordeal-core", "ordeal-workloads"].into_iter().chain(crates.iter().map(String::as_str)).collect();
    let nodes = folders.iter().map(|folder| (folder.as_str(), ["ordeal-kit", "ordeal-raft"].as_slice()));
    for (folder, allowed) in allowed.iter().copied().chain(nodes).chain([("targets", targets.as_slice())]) {
        for dependency in dependencies(folder) {
            let ours = dependency.starts_with("ordeal");
            assert!(!ours || allowed.contains(&dependency.as_str()), "{folder} must not use {dependency}");
        }
    }
}

#[test]
fn the_vocabulary_and_the_simulator_do_no_input_or_output() {
    for (path, text) in [sources("harness/core/src"), sources("harness/simulator/src")].concat() {
        for forbidden in
            ["std::fs", "std::io", "std::thread", "Instant::now", "SystemTime", "std::process", "tokio"]
        {
            assert!(!text.contains(forbidden), "{} uses {forbidden}", path.display());
        }
    }
}

#[test]
fn nodes_know_nothing_of_the_harness() {
    for folder in ["targets/kit", "targets/raft", "targets/patterns"] {
        for (path, text) in sources(folder) {
            for forbidden in
                ["ordeal_core", "ordeal_runner", "ordeal_nemesis", "ordeal_checkers", "ordeal_workloads"]
            {
                assert!(!text.contains(forbidden), "{} names {forbidden}", path.display());
            }
        }
    }
}

#[test]
fn only_the_cli_prints() {
    let printing = ["println!", "eprintln!", "print!(", "eprint!("];
    for folder in [
        "harness/core/src",
        "harness/formats/src",
        "harness/runner/src",
        "harness/report/src",
        "harness/simulator/src",
        "harness/bench/src",
        "nemesis/src",
        "checkers/src",
        "workloads/src",
        "targets/src",
        "targets/kit/src",
        "targets/raft/src",
        "targets/patterns",
    ] {
        for (path, text) in sources(folder) {
            // Tests may say that they skip something.
            let test = path.components().any(|c| c.as_os_str() == "tests") || path.ends_with("tests.rs");
            let code = text.split("#[cfg(test)]").next().unwrap_or("");
            assert!(test || !printing.iter().any(|p| code.contains(p)), "{} prints", path.display());
        }
    }
}

#[test]
fn every_file_is_in_its_registry() {
    for folder in ["checkers/src", "nemesis/src", "workloads/src", "harness/cli/src/commands"] {
        let registry = ["lib.rs", "mod.rs"].map(|name| fs::read_to_string(root().join(folder).join(name)));
        let registry = registry.into_iter().flatten().next().unwrap();
        for entry in fs::read_dir(root().join(folder)).unwrap().map(Result::unwrap) {
            let name = entry.path().file_stem().unwrap().to_str().unwrap().to_owned();
            let known = ["lib", "mod"].contains(&name.as_str()) || registry.contains(&format!("mod {name};"));
            assert!(known, "{folder}/{name} is not in the registry");
        }
    }
}

#[test]
fn every_bug_says_how_it_is_caught() {
    for target in ordeal_targets::TARGETS {
        for bug in target.bugs {
            assert!(!bug.anomalies.is_empty() && !bug.faults.is_empty(), "{}: {}", target.name, bug.name);
        }
    }
}

/// The bugs of real nodes: the last audit found them, with the faults of the table, and the README names them.
#[test]
fn every_bug_of_a_pattern_is_in_the_track_record() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let record = fs::read_to_string(root().join("results/README.md")).unwrap();
    for target in ordeal_targets::TARGETS.iter().filter(|target| target.name != "memory") {
        for bug in target.bugs {
            assert!(readme.contains(&format!("`{}`", bug.name)), "README.md: {}", bug.name);
            let row = format!("| `{}` | `{}` | `{}` |", target.name, bug.name, bug.faults);
            assert!(
                record.contains(&row),
                "results/README.md lacks a row that begins with {row}: `ordeal audit`"
            );
        }
    }
}

#[test]
fn no_loose_ends_are_left() {
    for folder in ["harness", "nemesis", "checkers", "workloads", "targets"] {
        for (path, text) in sources(folder) {
            if path.ends_with("tidy.rs") {
                continue;
            }
            for forbidden in ["TODO", "FIXME", "XXX", "todo!(", "unimplemented!("] {
                assert!(!text.contains(forbidden), "{} has {forbidden}", path.display());
            }
        }
    }
}
