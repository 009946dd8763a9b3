//! The faults against real processes and real networks, in namespaces made for each test.

mod cluster;
mod links;
mod partitions;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use cluster::{TestCluster, build, heal, inject, sandboxed, until};
use ordeal_core::{Cluster, Machine};
use ordeal_nemesis::Arsenal;
use serde_json::json;

/// Does nothing.
const IDLE: &str = "exec sleep 1000";
/// Four sleepers; three leave their session and process group, two of them their parent as well.
const DAEMONS: &str = "setsid sleep 1000 & (setsid sh -c 'sleep 1000 & sleep 1000' &); sleep 1000";
/// Three that compute; one of them starts a process as often as it can.
const BUSY: &str = "setsid sh -c 'while :; do :; done' & (setsid sh -c 'while :; do /bin/true; done' &)
    while :; do :; done";

#[test]
fn an_iptables_that_does_not_work_is_replaced_and_the_reason_recorded() {
    sandboxed("an_iptables_that_does_not_work_is_replaced_and_the_reason_recorded", async {
        let cluster = TestCluster::started(2, IDLE);
        let fault = build(
            "partition",
            &Machine { iptables_restore: Some("/bin/false".into()), ..Machine::default() },
        );
        let (installed, probe) = inject(&*fault, &cluster, json!({"shape": "one", "node": 0})).await.unwrap();
        assert!(probe.proved, "{}", probe.seen);
        assert_eq!(installed["mechanism"], "built-in");
        assert!(installed["iptables"].as_str().unwrap().contains("/bin/false: n1: "), "{installed}");
        assert!(heal(&*fault, &cluster).await.proved);
    });
}

#[test]
fn nodes_join_one_after_another_and_none_is_hit_before() {
    sandboxed("nodes_join_one_after_another_and_none_is_hit_before", async {
        let cluster = TestCluster::new(4, IDLE).joining(2);
        (0..2).for_each(|node| cluster.spawn(node));
        let arsenal = Arsenal { joining: 2, ..Arsenal::default() };
        let join = (ordeal_nemesis::find("join").unwrap().build)(&Arc::new(arsenal));
        assert!(!join.probe(&cluster).await.proved, "nobody has joined yet");

        // In the place of one that has not joined another one is killed.
        let kill = build("kill", &Machine::default());
        let (installed, _) = inject(&*kill, &cluster, json!({"nodes": [3]})).await.unwrap();
        assert_eq!(installed["nodes"], json!([1]));
        assert!(heal(&*kill, &cluster).await.proved);
        let rolling = build("rolling-restart", &Machine::default());
        let (installed, probe) = inject(&*rolling, &cluster, json!({"order": [3, 1, 2, 0]})).await.unwrap();
        assert!(probe.proved, "{}", probe.seen);
        assert_eq!(installed["order"], json!([1, 0]));
        assert!(heal(&*rolling, &cluster).await.proved);

        cluster.refusals.store(2, Ordering::Relaxed);
        let (installed, probe) = inject(&*join, &cluster, json!({})).await.unwrap();
        assert!(probe.proved, "{}", probe.seen);
        assert_eq!((&installed["node"], &probe.seen["nodes"]), (&json!(2), &json!(3)));
        assert!(cluster.init_pid(2).is_some() && cluster.init_pid(3).is_none());
        assert!(heal(&*join, &cluster).await.proved);
        assert!(cluster.init_pid(2).is_some(), "it stays");

        // One that the system does not take in is told of again on heal.
        cluster.refusals.store(usize::MAX, Ordering::Relaxed);
        let refused = inject(&*join, &cluster, json!({})).await.unwrap_err();
        assert!(refused.contains("n4 has not joined yet: no majority"), "{refused}");
        assert!(!join.probe(&cluster).await.proved);
        cluster.refusals.store(1, Ordering::Relaxed);
        assert!(heal(&*join, &cluster).await.proved);
        assert!(join.probe(&cluster).await.proved, "it has joined after all");
        assert!(inject(&*join, &cluster, json!({})).await.unwrap_err().contains("all nodes have joined"));
        let (installed, _) = inject(&*kill, &cluster, json!({"nodes": "all"})).await.unwrap();
        assert_eq!(installed["nodes"], json!([0, 1, 2, 3]));
    });
}

#[test]
fn a_kill_leaves_nothing_and_heals() {
    sandboxed("a_kill_leaves_nothing_and_heals", async {
        let mut cluster = TestCluster::started(3, DAEMONS);
        let up = |node: usize| cluster.sleepers(node).len() == 4;
        until("all daemons run", || (0..3).all(up)).await;
        let fault = build("kill", &Machine::default());
        assert!(!fault.probe(&cluster).await.proved, "nobody is dead yet");
        assert!(heal(&*fault, &cluster).await.proved, "healing needs no injection");

        let before: Vec<Vec<i32>> = (0..3).map(|node| cluster.sleepers(node)).collect();
        let (installed, probe) = inject(&*fault, &cluster, json!({"nodes": [2, 0]})).await.unwrap();
        assert!(probe.proved, "{}", probe.seen);
        assert_eq!(installed, json!({"nodes": [0, 2], "already_down": []}));
        let killed: Vec<i32> = serde_json::from_value(probe.seen[0]["killed_pids"].clone()).unwrap();
        assert!(before[0].iter().all(|pid| killed.contains(pid)), "{before:?}, {killed:?}");
        assert_eq!(*cluster.deaths_expected.lock().unwrap(), [0, 2]);
        let exists = |pid: &i32| std::path::Path::new(&format!("/proc/{pid}")).exists();
        assert!(!before[0].iter().chain(&before[2]).any(exists), "{before:?}");
        assert_eq!(cluster.sleepers(1), before[1], "the third was left alone");

        let error = inject(&*fault, &cluster, json!({"nodes": [0]})).await.unwrap_err();
        assert!(error.contains("already down"), "{error}");
        assert!(heal(&*fault, &cluster).await.proved);
        assert!(heal(&*fault, &cluster).await.proved, "twice is fine");
        until("all daemons run again", || (0..3).all(up)).await;
        assert_eq!(cluster.sleepers(1), before[1]);

        cluster.primaries = Some(vec![1]);
        let (installed, probe) = inject(&*fault, &cluster, json!({"nodes": "primary"})).await.unwrap();
        assert!(probe.proved && installed["nodes"] == json!([1]), "{installed}");
        cluster.start(1).await.unwrap();
        assert!(!fault.probe(&cluster).await.proved, "it was started behind our back");
        let (installed, probe) = inject(&*fault, &cluster, json!({"nodes": "all"})).await.unwrap();
        assert!(probe.proved && installed["nodes"] == json!([0, 1, 2]), "{installed}");
        assert!(heal(&*fault, &cluster).await.proved);
    });
}

#[test]
fn a_pause_stops_a_busy_tree_and_heals() {
    sandboxed("a_pause_stops_a_busy_tree_and_heals", async {
        let cluster = TestCluster::started(2, BUSY);
        let fault = build("pause", &Machine::default());
        assert!(!fault.probe(&cluster).await.proved, "nobody stands still yet");
        assert!(heal(&*fault, &cluster).await.proved, "healing needs no injection");
        until("the whole tree runs", || (0..2).all(|node| cluster.pids(node).len() >= 3)).await;

        // Often, because a process may be caught at any point of starting another.
        for _ in 0..10 {
            let (_, probe) = inject(&*fault, &cluster, json!({"nodes": [0]})).await.unwrap();
            assert!(probe.proved, "{}", probe.seen);
            let (paused, free) = (cluster.usage(0), cluster.usage(1));
            until("the other node goes on", || cluster.usage(1) != free).await;
            assert_eq!(cluster.usage(0), paused);
            assert!(heal(&*fault, &cluster).await.proved);
            // Those that lived on; the short-lived ones have ended, which they could not have done stopped.
            let goes_on = |pid: &i32| cluster.usage(0).get(pid).is_none_or(|ticks| *ticks > paused[pid]);
            until("every process goes on", || paused.keys().all(goes_on)).await;
            assert!(!fault.probe(&cluster).await.proved, "it is over");
        }
    });
}

#[test]
fn a_pause_copes_with_nodes_that_die() {
    sandboxed("a_pause_copes_with_nodes_that_die", async {
        let cluster = TestCluster::started(2, DAEMONS);
        until("all daemons run", || (0..2).all(|node| cluster.sleepers(node).len() == 4)).await;
        let (kill, pause) = (build("kill", &Machine::default()), build("pause", &Machine::default()));
        inject(&*kill, &cluster, json!({"nodes": [0]})).await.unwrap();
        let error = inject(&*pause, &cluster, json!({"nodes": [0]})).await.unwrap_err();
        assert!(error.contains("is down"), "{error}");
        let (installed, probe) = inject(&*pause, &cluster, json!({"nodes": "all"})).await.unwrap();
        assert!(probe.proved, "{}", probe.seen);
        assert_eq!((&installed["nodes"], &installed["down"]), (&json!([1]), &json!([0])));

        // The paused node dies and comes back; what comes back is not paused.
        assert!(heal(&*kill, &cluster).await.proved);
        let (_, probe) = inject(&*kill, &cluster, json!({"nodes": [1]})).await.unwrap();
        assert!(probe.proved, "a stopped node dies as well: {}", probe.seen);
        assert!(!pause.probe(&cluster).await.proved, "nobody is left that stands still");
        assert!(heal(&*kill, &cluster).await.proved);
        assert!(heal(&*pause, &cluster).await.proved);
        until("all daemons run again", || (0..2).all(|node| cluster.sleepers(node).len() == 4)).await;
        assert!(!cluster.any_stopped(0) && !cluster.any_stopped(1));
    });
}

#[test]
fn whoever_writes_nonsense_into_a_plan_is_told_what_was_expected() {
    sandboxed("whoever_writes_nonsense_into_a_plan_is_told_what_was_expected", async {
        let cluster = TestCluster::started(2, IDLE);
        for (kind, args) in [
            ("kill", json!({"node": 0})),
            ("kill", json!({"nodes": [2]})),
            ("pause", json!({"nodes": "every"})),
            ("partition", json!({"shape": "circle"})),
        ] {
            let fault = build(kind, &Machine::default());
            let error = inject(&*fault, &cluster, args.clone()).await.unwrap_err();
            assert!(error.contains("expected") && error.contains(&args.to_string()), "{error}");
        }
        let fault = build("kill", &Machine::default());
        let error = inject(&*fault, &cluster, json!({"nodes": "primary"})).await.unwrap_err();
        assert!(error.contains("cannot say which node is primary"), "{error}");
        tokio::time::timeout(Duration::from_secs(1), cluster.ready(0)).await.unwrap();
    });
}
