//! Histories with known verdicts, from Porcupine, Knossos, Elle, elle-cli, AWDIT and fastlin, judged by the
//! command as a user types it. They lie beside the repository and are not part of it; where they are missing
//! this says so and passes.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic")]
#![allow(clippy::print_stdout, reason = "tests say what they skip")]

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use common::{output, stderr, stdout};

/// A line of the manifest.
#[derive(Debug)]
struct Row {
    file: String,
    model: String,
    initial: String,
    expected: String,
}

/// What is asked about a file: the judge, its options, and the exit code that is right.
#[derive(Debug)]
struct Question {
    /// Our name of the judge; the file itself names it if this is not passed on.
    judge: &'static str,
    named: bool,
    more: Vec<String>,
    exit: i32,
}

/// `../shared/corpora` from the root of the workspace; further up from a work tree of it.
fn corpora() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
    let beside = |folder: &Path| folder.join("shared/corpora");
    let found = root.ancestors().skip(1).map(beside).find(|corpora| corpora.is_dir());
    found.unwrap_or_else(|| root.join("../shared/corpora"))
}

fn manifest() -> Option<Vec<Row>> {
    let text = std::fs::read_to_string(corpora().join("MANIFEST.tsv")).ok()?;
    let row = |line: &str| {
        let cells: Vec<&str> = line.split('\t').collect();
        let cell = |at: usize| cells.get(at).copied().unwrap_or_default().to_owned();
        Row { file: cell(0), model: cell(2), initial: cell(3), expected: cell(4) }
    };
    Some(text.lines().skip(1).map(row).collect())
}

/// The manifest speaks of models as their sources do.
fn questions(row: &Row) -> Vec<Question> {
    let exit = match row.expected.as_str() {
        "ok" => 0,
        "bad" => 1,
        "unlisted" => return Vec::new(),
        strongest => return levels(strongest),
    };
    let one = |judge, named, more: &[&str]| {
        vec![Question { judge, named, more: more.iter().map(|s| (*s).to_owned()).collect(), exit }]
    };
    match row.model.split([' ', ',']).next().unwrap_or_default() {
        "cas-register" if row.file.starts_with("porcupine/") => one("register", false, &[]),
        "cas-register" => one("register", true, &["--initial", row.initial.trim_end_matches('?')]),
        "kv" => one("kv", false, &[]),
        "multi-register" => one("multi-register", true, &["--initial", r#"{"x":0,"y":0}"#]),
        "mutex" => one("lock", true, &[]),
        "queue" => one("queue", false, &[]),
        "stack" => one("stack", false, &[]),
        "priorityqueue" => one("priority-queue", false, &[]),
        "list-append" => one("list-append", true, &[]),
        "rw-register" => one("rw-register", true, &[]),
        "counter" => one("counter-bounds", true, &[]),
        "set-full" => one("set-full", true, &[]),
        "set" => one("set", true, &[]),
        "bank" => one("bank", true, &[]),
        "long-fork" => one("long-fork", true, &[]),
        other => panic!("{}: no judge is known for {other}", row.file),
    }
}

/// Where we say something else than the tool the verdict is from, and why.
const OTHERWISE: [(&str, i32); 2] = [
    // A read of a value that nobody wrote, which Elle does not look for.
    ("elle-cli/elle/rw-register.edn", 1),
    // It has additions only: a counter that nobody read has proved nothing.
    ("elle-cli/jepsen/counter.edn", 3),
];

/// AWDIT's folders name the strongest level that a history satisfies.
fn levels(expected: &str) -> Vec<Question> {
    let order = ["none", "read-committed", "read-atomic", "causal"];
    let strongest = expected.rsplit(' ').next().unwrap_or_default();
    let strongest = order.iter().position(|level| *level == strongest);
    let strongest = strongest.unwrap_or_else(|| panic!("a level: {expected}"));
    let judged = order.into_iter().enumerate().skip(1);
    judged
        .map(|(at, judge)| Question { judge, named: true, more: Vec::new(), exit: i32::from(at > strongest) })
        .collect()
}

#[test]
fn every_history_with_a_known_verdict_gets_it() {
    let Some(rows) = manifest() else {
        println!("skipped: there are no corpora at {}", corpora().display());
        return;
    };
    let mut missing: BTreeMap<&str, usize> = BTreeMap::new();
    let mut wrong = Vec::new();
    let (mut agreed, mut vacuous) = (0, 0);
    for row in &rows {
        for Question { judge, named, more, exit } in questions(row) {
            if ordeal_checkers::judge_named(judge).is_none() {
                *missing.entry(judge).or_default() += 1;
                continue;
            }
            let path = corpora().join(&row.file);
            let mut args = vec!["check", path.to_str().unwrap()];
            if named {
                args.extend(["--model", judge]);
            }
            args.extend(more.iter().map(String::as_str));
            let said = output(&args);
            // Where no operation succeeded nothing was learned, and nothing passes for valid with us.
            let empty = exit == 0 && stdout(&said).contains(": 0 ok, ");
            let otherwise = OTHERWISE.iter().find(|(file, _)| *file == row.file).map(|other| other.1);
            let right = otherwise.unwrap_or(if empty { 3 } else { exit });
            if said.status.code() == Some(right) {
                agreed += 1;
                vacuous += u64::from(empty);
            } else {
                let line = stdout(&said) + &stderr(&said);
                wrong.push(format!("{} as {judge}, expected exit code {exit}: {line}", row.file));
            }
        }
    }
    println!("{agreed} verdicts agree, {vacuous} of them on histories in which nothing succeeded");
    for (judge, times) in missing {
        println!("skipped: {times} verdicts of `{judge}`, which is not registered");
    }
    assert!(wrong.is_empty(), "{} wrong verdicts:\n{}", wrong.len(), wrong.join("\n"));
}
