//! Faults from the command line: the textual schedule, plans edited by hand, and `ordeal fault test`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic")]
#![allow(clippy::print_stdout, reason = "tests say what they skip")]

mod common;

use std::path::Path;

use common::{output, sandbox, stderr, stdout};
use serde_json::{Value, json};

/// What would be done, without doing it.
fn plan(faults: &str, more: &[&str]) -> Value {
    let args = [&["run", "patients", "--seed", "1", "--dry-run", "--faults", faults], more].concat();
    let output = output(&args);
    assert!(output.status.success(), "{faults}: {}", stderr(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_schedule_in_words_becomes_exact_steps() {
    let plan = plan("kill(n2, n4) every 5s for 2s; partition at 12s until end", &["--for", "20s"]);
    let steps = plan["faults"].as_array().unwrap();
    let when = |name: &str| -> Vec<(u64, u64)> {
        let of_it = steps.iter().filter(|s| s["fault"] == name);
        of_it.map(|s| (s["at_ms"].as_u64().unwrap(), s["for_ms"].as_u64().unwrap())).collect()
    };
    assert_eq!(when("kill"), [(2_500, 2_000), (7_500, 2_000), (12_500, 2_000), (17_500, 2_000)]);
    assert_eq!(when("partition"), [(12_000, 8_000)]);
    assert!(steps.iter().filter(|s| s["fault"] == "kill").all(|s| s["args"]["nodes"] == json!([1, 3])));
}

#[test]
fn a_plan_written_out_can_be_edited_and_run_again() {
    if !sandbox("a_plan_written_out_can_be_edited_and_run_again") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut plan = plan("kill(n1) at 1s for 500ms", &["--for", "3s", "--warmup", "500ms"]);
    plan["faults"][0]["args"]["nodes"] = json!([2]);
    plan["faults"]
        .as_array_mut()
        .unwrap()
        .push(json!({"at_ms": 2_000, "for_ms": 500, "fault": "pause", "args": {"nodes": "all"}}));
    let file = dir.path().join("edited.json");
    std::fs::write(&file, plan.to_string()).unwrap();
    let out = dir.path().join("run");
    let ran = output(&["run", "--plan", file.to_str().unwrap(), "--out", out.to_str().unwrap()]);
    // A slow machine may leave some phase without a success; it must not make it invalid.
    assert!([Some(0), Some(3)].contains(&ran.status.code()), "{}{}", stdout(&ran), stderr(&ran));
    let history = std::fs::read_to_string(out.join("history.jsonl")).unwrap();
    let injected: Vec<Value> = history
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|event| event["f"] == "inject" && event["type"] == "info")
        .collect();
    assert_eq!(injected.len(), 2, "{injected:?}");
    assert_eq!(injected[0]["value"]["installed"]["nodes"], json!([2]));
    assert_eq!(injected[1]["value"]["fault"], "pause");
}

#[test]
fn slips_in_a_schedule_are_refused_with_what_was_expected() {
    for (faults, why) in [
        ("explode", "there is no fault `explode`"),
        ("kill(n9)", "there is no node 8"),
        ("kill(slowly)", "`slowly` is not understood"),
        ("kill at 30s", "not before the end"),
        ("kill at 3s for 9s; kill at 5s", "lasts until 12000 ms"),
        ("kill every 1s for 2s", "before the last one has ended"),
        ("kill(n1", "bracket"),
    ] {
        let output = output(&["run", "patients", "--faults", faults, "--dry-run"]);
        assert_eq!(output.status.code(), Some(2), "{faults}");
        assert!(stderr(&output).contains(why), "{faults}: {}", stderr(&output));
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn all_goes_without_what_cannot_be_had_and_says_so_in_the_plan() {
    let plan = plan("all", &["--nodes", "1", "--option", "read-quorum=1", "--option", "write-quorum=1"]);
    assert!(plan["faults_skipped"]["partition"].as_str().unwrap().contains("--nodes"), "{plan}");
    assert!(plan["faults_skipped"]["join"].as_str().unwrap().contains("takes no nodes in"), "{plan}");
    assert!(plan["faults"].as_array().unwrap().iter().all(|step| step["fault"] != "partition"));
    let named = output(&["run", "patients", "--nodes", "1", "--faults", "partition", "--dry-run"]);
    assert_eq!(named.status.code(), Some(2), "what is asked for by name is not left out in silence");
}

#[test]
fn every_fault_of_this_machine_bites_and_heals_on_the_trivial_cluster() {
    if !sandbox("every_fault_of_this_machine_bites_and_heals_on_the_trivial_cluster") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("test");
    let output = output(&["fault", "test", "--out", out.to_str().unwrap()]);
    let (table, errors) = (stdout(&output), stderr(&output));
    assert!(output.status.success(), "{table}{errors}");
    for line in table.lines().skip(1) {
        assert!(line.contains(" works ") || line.contains(" skipped "), "{table}");
    }
    assert!(table.lines().count() > 3 && out.join("history.jsonl").exists());
    assert!(!Path::new(&out).join("nodes/n1/disk").exists(), "the nodes' files are where they belong");
}

#[test]
fn nodes_join_where_the_target_takes_them_in() {
    let dry = |args: &[&str]| output(&[&["run", "accounts", "--seed", "1", "--dry-run"], args].concat());
    let joins = |args: &[&str]| {
        let planned = dry(args);
        assert!(planned.status.success(), "{}", stderr(&planned));
        let plan: Value = serde_json::from_slice(&planned.stdout).unwrap();
        let joins = plan["faults"].as_array().unwrap().iter().filter(|step| step["fault"] == "join");
        let joins: Vec<u64> = joins.map(|step| step["at_ms"].as_u64().unwrap()).collect();
        (plan["nodes"].as_u64().unwrap(), plan["joining"].as_u64().unwrap(), joins)
    };
    let (nodes, joining, usual) = joins(&[]);
    assert_eq!((nodes, joining, usual.len()), (3, 2, 2));
    assert_eq!(joins(&["--join", "1"]).2.len(), 1);
    assert_eq!(joins(&["--faults", "join at 3s, 5s, 7s"]), (3, 3, vec![3_000, 5_000, 7_000]));
    assert_eq!(joins(&["--faults", "kill"]), (3, 0, Vec::new()));
    for (args, reason) in [
        (&["--faults", "kill", "--join", "1"][..], "nobody would start these nodes"),
        (&["--faults", "join; join at 3s"], "leave out the others"),
        (&["--faults", "join at 3s, 5s", "--join", "1"], "say --join 2"),
        (&["--faults", "join(n4)"], "in their order"),
        (&["--nodes", "9"], "3 to 9 nodes, not 11"),
    ] {
        let refused = dry(args);
        assert_eq!(refused.status.code(), Some(2), "{args:?}: {}", stdout(&refused));
        assert!(stderr(&refused).contains(reason), "{args:?}: {}", stderr(&refused));
    }
    let elsewhere = output(&["run", "patients", "--faults", "join", "--dry-run"]);
    assert_eq!(elsewhere.status.code(), Some(2));
    assert!(stderr(&elsewhere).contains("takes no nodes in"), "{}", stderr(&elsewhere));
}
