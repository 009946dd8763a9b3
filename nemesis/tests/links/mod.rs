//! The faults of links against a real network, whose switch does what it is told; and what their probes say
//! when it does not.

use std::sync::Arc;
use std::time::Instant;

use crate::cluster::{TestCluster, sandboxed, say};
use ordeal_core::{Cluster, Fault, FaultStep, Probe};
use ordeal_nemesis::{Arsenal, find};
use serde_json::{Value, json};

const IDLE: &str = "exec sleep 1000";

fn build(kind: &str, arsenal: &Arc<Arsenal>) -> Box<dyn Fault> {
    (find(kind).expect("registered").build)(arsenal)
}

async fn inject(fault: &dyn Fault, cluster: &TestCluster, args: Value) -> Result<(Value, Probe), String> {
    let step = FaultStep { at_ms: 0, for_ms: 2_000, fault: fault.name().to_owned(), args };
    let installed = fault.inject(cluster, &step).await?;
    let start = Instant::now();
    let probe = fault.probe(cluster).await;
    say(&format!("  {} {}: probe {:.1?}, proved {}", fault.name(), step.args, start.elapsed(), probe.proved));
    say(&format!("    {}", probe.seen));
    Ok((installed, probe))
}

async fn heal(fault: &dyn Fault, cluster: &TestCluster) -> Probe {
    let start = Instant::now();
    let probe = fault.heal(cluster).await.expect("healed");
    say(&format!("  {} heal {:.1?}: {} {}", fault.name(), start.elapsed(), probe.proved, probe.seen));
    probe
}

/// Every kind, over different links, weak and strong.
fn cases() -> Vec<(&'static str, Value)> {
    vec![
        ("delay", json!({"links": "all", "delay_ms": 1})),
        ("delay", json!({"links": {"nodes": [0], "direction": "from"}, "delay_ms": 50, "jitter_ms": 20})),
        ("delay", json!({"links": {"primary": "both"}, "delay_ms": 300, "jitter_ms": 300})),
        ("loss", json!({"links": "all", "share": 0.01})),
        ("loss", json!({"links": {"clients": [1], "direction": "to"}, "share": 0.3})),
        ("duplicate", json!({"links": {"pairs": [[0, 2]]}, "share": 0.01})),
        ("duplicate", json!({"links": "clients", "share": 0.5})),
        ("reorder", json!({"links": {"nodes": [1]}, "share": 0.05, "reorder_ms": 5})),
        ("reorder", json!({"links": "all", "share": 0.5, "reorder_ms": 50})),
        ("corrupt", json!({"links": {"nodes": [2]}, "share": 0.01})),
        ("corrupt", json!({"links": "clients", "share": 0.2})),
        ("corrupt-undetected", json!({"links": "all", "share": 0.05})),
        ("rate", json!({"links": {"nodes": [0]}, "kbit": 64})),
        ("rate", json!({"links": {"nodes": [0]}, "kbit": 8_000})),
        ("rate", json!({"links": "all", "kbit": 256, "ramp_ms": 2_000})),
        ("flap", json!({"links": {"nodes": [1]}, "period_ms": 100})),
        ("flap", json!({"links": "all", "period_ms": 500})),
        ("reset", json!({"links": {"nodes": [0]}, "share": 0.01})),
        ("reset", json!({"links": "clients", "share": 0.1})),
    ]
}

/// Looks again, a few times, while nothing is proved: a machine that stands still for a moment loses and delays packets
/// by itself.
async fn looked_at(first: Probe, look: impl AsyncFn() -> Probe) -> Probe {
    let mut probe = first;
    for _ in 0..10 {
        if probe.proved {
            break;
        }
        probe = look().await;
    }
    probe
}

#[test]
fn each_kind_is_proved_where_it_is_and_nowhere_else() {
    sandboxed("links::each_kind_is_proved_where_it_is_and_nowhere_else", async {
        let mut cluster = TestCluster::switched(3, IDLE);
        cluster.primaries = Some(vec![2]);
        let arsenal = Arc::default();
        for (kind, args) in cases() {
            let fault = build(kind, &arsenal);
            assert!(!fault.probe(&cluster).await.proved, "{kind}: nothing is set yet");
            assert!(heal(&*fault, &cluster).await.proved, "{kind}: healing needs no injection");
            let (installed, probe) = inject(&*fault, &cluster, args.clone()).await.unwrap();
            let probe = looked_at(probe, async || fault.probe(&cluster).await).await;
            assert!(probe.proved, "{kind} {args}: {}", probe.seen);
            if args["links"]["primary"].is_string() {
                assert_eq!(installed["primaries"], json!([2]));
            }

            // The switch forgets it behind the fault's back: now it is not there any more.
            cluster.fabric().clear(fault.name()).unwrap();
            let probe = fault.probe(&cluster).await;
            say(&format!("    forgotten: {}", probe.seen));
            assert!(!probe.proved, "{kind} {args}: {}", probe.seen);
            for _ in 0..2 {
                assert!(heal(&*fault, &cluster).await.proved, "{kind} {args}");
            }
            assert!(!fault.probe(&cluster).await.proved, "{kind}: nothing is set any more");
        }
    });
}

#[test]
fn what_other_faults_do_is_neither_claimed_nor_blamed() {
    sandboxed("links::what_other_faults_do_is_neither_claimed_nor_blamed", async {
        let cluster = TestCluster::switched(3, IDLE);
        let arsenal = Arc::default();
        let [loss, delay, partition, corrupt, reorder] =
            ["loss", "delay", "partition", "corrupt", "reorder"].map(|kind| build(kind, &arsenal));
        let one = json!({"shape": "one", "node": 0});
        let on_one = |args: Value| {
            let mut args = args;
            args["links"] = json!({"nodes": [0]});
            args
        };

        // Nothing gets through: whatever else is meant to be there cannot be seen.
        assert!(inject(&*partition, &cluster, one.clone()).await.unwrap().1.proved);
        let (_, probe) = inject(&*loss, &cluster, on_one(json!({"share": 0.2}))).await.unwrap();
        assert!(!probe.proved && probe.seen["masked_by_others"].is_array(), "{}", probe.seen);
        let hidden = heal(&*loss, &cluster).await;
        assert!(!hidden.proved && hidden.seen["masked_by_others"].is_array(), "{}", hidden.seen);
        assert!(heal(&*partition, &cluster).await.proved);
        let late = heal(&*loss, &cluster).await;
        assert!(late.proved && late.seen["links_untouched"] == json!(4), "made up for: {}", late.seen);

        // Each of several is seen among the others, and its healing though they stay.
        let all = [
            (&delay, on_one(json!({"delay_ms": 30, "jitter_ms": 10}))),
            (&loss, on_one(json!({"share": 0.2}))),
            (&corrupt, on_one(json!({"share": 0.1}))),
        ];
        // What overtakes is faster than the delay allows.
        assert!(
            inject(&*reorder, &cluster, on_one(json!({"share": 0.2, "reorder_ms": 5})))
                .await
                .unwrap()
                .1
                .proved
        );
        assert!(inject(&*delay, &cluster, all[0].1.clone()).await.unwrap().1.proved);
        assert!(!reorder.probe(&cluster).await.proved, "scattered delays reorder as well");
        assert!(heal(&*delay, &cluster).await.proved && heal(&*reorder, &cluster).await.proved);
        for (fault, args) in &all {
            let (_, probe) = inject(&***fault, &cluster, args.clone()).await.unwrap();
            assert!(probe.proved, "{}", probe.seen);
        }
        assert!(inject(&*partition, &cluster, one).await.unwrap().1.proved);
        for (fault, _) in &all {
            assert!(fault.probe(&cluster).await.seen["masked_by_others"].is_array());
        }
        assert!(heal(&*partition, &cluster).await.proved, "late and lossy, but something arrives");
        for (fault, _) in &all {
            let probe = heal(&***fault, &cluster).await;
            // Two shares that are alike cannot be told apart.
            assert!(probe.proved || probe.seen["links"].is_null(), "{}", probe.seen);
        }
        for (fault, _) in &all {
            assert!(heal(&***fault, &cluster).await.proved, "the last healing makes up for it");
        }
    });
}

#[test]
fn whoever_writes_nonsense_about_links_is_told_what_was_expected() {
    sandboxed("links::whoever_writes_nonsense_about_links_is_told_what_was_expected", async {
        let cluster = TestCluster::started(2, IDLE);
        for (args, why) in [
            (json!({"share": 0.1}), "expected {\"links\""),
            (json!({"links": "some", "share": 0.1}), "\"some\""),
            (json!({"links": {"nodes": [2]}, "share": 0.1}), "there is no node 2"),
            (json!({"links": "all", "share": 7}), "`share` is 7"),
            (json!({"links": "all", "share": 0.1, "percent": 1}), "unknown field"),
            (json!({"links": {"primary": "both"}, "share": 0.1}), "cannot say which node is primary"),
            (json!({"links": "all", "share": 0.1}), "no switch"),
        ] {
            let fault = build("loss", &Arc::default());
            let error = inject(&*fault, &cluster, args.clone()).await.unwrap_err();
            assert!(error.contains(why), "{args}: {error}");
            assert!(heal(&*fault, &cluster).await.proved, "healing after an error");
        }
    });
}
