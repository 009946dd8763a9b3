//! Histories of transactions with known verdicts from elsewhere, where they are present: the folder in
//! `ORDEAL_CORPORA`, or `shared/corpora` beside the project.

#![allow(clippy::unwrap_used, reason = "the lint does not see that helpers here are tests too")]

use std::fs;
use std::path::{Path, PathBuf};

use ordeal_checkers::{Level, Options, judge_named};
use ordeal_core::{Event, EventKind, History, Process, Verdict};
use serde_json::{Map, Value, json};

fn corpora() -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpora");
    let folder = std::env::var_os("ORDEAL_CORPORA").map_or_else(beside, PathBuf::from);
    folder.is_dir().then_some(folder)
}

/// As much of EDN as these files need: keywords become texts.
struct Edn<'a>(&'a str);

impl Edn<'_> {
    fn skip(&mut self) {
        self.0 = self.0.trim_start_matches(|c: char| c.is_whitespace() || c == ',');
    }

    fn take(&mut self, c: char) -> bool {
        self.skip();
        let rest = self.0.strip_prefix(c);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn until(&mut self, end: char) -> Vec<Value> {
        let mut items = Vec::new();
        while !self.take(end) {
            items.push(self.value());
        }
        items
    }

    fn value(&mut self) -> Value {
        if self.take('[') {
            return Value::Array(self.until(']'));
        }
        if self.take('{') {
            let items = self.until('}');
            let text = |v: &Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
            let map: Map<String, Value> = items.chunks(2).map(|kv| (text(&kv[0]), kv[1].clone())).collect();
            return Value::Object(map);
        }
        self.skip();
        let end = self.0.find(|c: char| c.is_whitespace() || ",]}".contains(c)).unwrap_or(self.0.len());
        let (word, rest) = self.0.split_at(end);
        self.0 = rest;
        match word {
            "nil" => Value::Null,
            _ => word.parse::<i64>().map_or_else(|_| json!(word.trim_matches([':', '"'])), |n| json!(n)),
        }
    }

    fn all(mut self) -> Vec<Value> {
        let mut items = Vec::new();
        loop {
            self.skip();
            if self.0.is_empty() {
                return items;
            }
            items.push(self.value());
        }
    }
}

fn jepsen(path: &Path) -> History {
    let text = fs::read_to_string(path).unwrap();
    let mut maps = match path.extension().unwrap().to_str() {
        Some("json") => serde_json::from_str::<Vec<Value>>(&text).unwrap(),
        _ => Edn(&text).all(),
    };
    if let [Value::Array(all)] = maps.as_slice() {
        maps = all.clone();
    }
    let event = |(index, map): (u64, &Value)| Event {
        index,
        time: index,
        process: match map["process"].as_u64() {
            Some(n) => Process::Client(n),
            None if map["process"].is_null() => Process::Client(0),
            None => Process::Named("nemesis".into()),
        },
        kind: serde_json::from_value(map["type"].clone()).unwrap(),
        f: map["f"].as_str().unwrap_or("txn").to_owned().into(),
        value: map["value"].clone(),
        key: None,
        node: None,
        error: None,
    };
    History { events: (0..).zip(&maps).map(event).collect(), truncated: None }
}

/// Sessions apart by `=====`, transactions by `-----`, steps as `r key value` and `w key value`.
fn awdit(path: &Path) -> History {
    let text = fs::read_to_string(path).unwrap();
    let mut history = History::default();
    for (process, session) in (0..).zip(text.split("=====")) {
        for txn in session.split("-----") {
            let steps: Vec<Value> = txn
                .lines()
                .filter(|line| !line.trim().is_empty())
                .map(|line| {
                    let words: Vec<&str> = line.split_whitespace().collect();
                    let number = |i: usize| words[i].parse::<u64>().unwrap();
                    json!([words[0], number(1), number(2)])
                })
                .collect();
            for kind in [EventKind::Invoke, EventKind::Ok] {
                let index = history.events.len() as u64;
                history.events.push(Event {
                    index,
                    time: index,
                    process: Process::Client(process),
                    kind,
                    f: "txn".into(),
                    value: json!(steps),
                    key: None,
                    node: None,
                    error: None,
                });
            }
        }
    }
    history
}

fn verdict(judge: &str, level: Option<&str>, history: &History) -> Verdict {
    let options = Options {
        level: level.map_or(Level::default(), |name| Level::named(name).unwrap()),
        ..Options::default()
    };
    let judge = (judge_named(judge).unwrap().judge)(&options).unwrap();
    judge.check(history).verdict
}

#[test]
fn elle_and_jepsen_histories_get_their_verdicts() {
    let Some(corpora) = corpora() else {
        return;
    };
    // `rw-register.edn` reads a value that nobody wrote between reads of one that was: whatever the order,
    // real time forbids that. It is serializable if the register began with that value.
    let cases = [
        ("elle/paper-example.edn", "list-append", None, Verdict::Invalid),
        ("elle-cli/elle/paper-example.edn", "list-append", None, Verdict::Invalid),
        ("elle-cli/elle/list-append-gh-30.edn", "list-append", Some("serializable"), Verdict::Invalid),
        ("elle-cli/elle/list-append-gh-30.edn", "list-append", None, Verdict::Invalid),
        ("elle-cli/elle/rw-register.edn", "rw-register", Some("serializable"), Verdict::Valid),
        ("elle-cli/elle/rw-register.edn", "rw-register", None, Verdict::Invalid),
        ("elle-cli/jepsen/long-fork.edn", "long-fork", None, Verdict::Invalid),
        ("elle-cli/jepsen/bank.json", "bank", None, Verdict::Valid),
        ("elle-cli/jepsen/bank-tidb.edn", "bank", None, Verdict::Invalid),
    ];
    for (file, judge, level, expected) in cases {
        let history = jepsen(&corpora.join(file));
        assert_eq!(verdict(judge, level, &history), expected, "{file} {level:?}");
    }
}

#[test]
fn awdit_histories_satisfy_what_their_folder_says() {
    let Some(corpora) = corpora() else {
        return;
    };
    let levels = ["read-committed", "read-atomic", "causal"];
    let folders = ["none", "read-committed", "read-atomic", "causal"];
    let mut files = 0;
    for (satisfied, folder) in folders.iter().enumerate() {
        let folder = corpora.join("awdit").join(folder);
        for folder in [folder.clone(), folder.join("generated")] {
            let entries = fs::read_dir(&folder).into_iter().flatten().map(|entry| entry.unwrap().path());
            for file in entries.filter(|path| path.is_file()) {
                let history = awdit(&file);
                for (i, level) in levels.iter().enumerate() {
                    let expected = if i < satisfied { Verdict::Valid } else { Verdict::Invalid };
                    assert_eq!(verdict(level, None, &history), expected, "{} {level}", file.display());
                }
                files += 1;
            }
        }
    }
    assert!(files >= 12, "{files}");
}
