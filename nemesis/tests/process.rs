//! The faults of processes against real processes, in namespaces made for each test.

mod cluster;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use cluster::{TestCluster, build, heal, inject, inject_for, sandboxed, say, until};
use ordeal_core::{Cluster, Fault, FaultStep, LaunchChange, Machine, Rng, Words};
use serde_json::{Value, json};

/// Ends when asked to, with a last word.
const POLITE: &str = "trap 'echo bye; exit 0' TERM INT; while :; do sleep 0.01; done";
/// Ends only by force.
const STUBBORN: &str = "trap '' TERM; while :; do sleep 0.01; done";
/// Computes, in two processes.
const BUSY: &str = "setsid sh -c 'while :; do :; done' & while :; do :; done";
/// Wants 64 MB again and again, and says whether it got them. So much always goes back to the kernel when it
/// is freed: what a process keeps for later counts as used.
const HUNGRY: &str = r#"exec python3 -c '
import time
while True:
    try:
        bytearray(64 << 20)
        print("fed", flush=True)
    except MemoryError:
        print("hungry", flush=True)
    time.sleep(0.05)'"#;
/// Takes a megabyte more again and again, and ends when it gets none.
const GREEDY: &str = r#"exec python3 -c '
import time
print("born", flush=True)
taken = []
while len(taken) < 10000:
    taken.append(bytearray(1 << 20))
    time.sleep(0.005)'"#;
/// Opens files until it cannot, closes them, and says how many it were; gives up at fewer than two.
const OPENER: &str = r#"exec python3 -c '
import errno, os, time
while True:
    fds = []
    try:
        while len(fds) < 50:
            fds.append(os.open("/dev/null", os.O_RDONLY))
    except OSError as e:
        assert e.errno == errno.EMFILE
    print(len(fds), flush=True)
    if len(fds) < 2:
        os._exit(1)
    for fd in fds:
        os.close(fd)
    time.sleep(0.005)'"#;

fn make(kind: &str) -> Box<dyn Fault> {
    build(kind, &Machine::default())
}

/// What the node has printed by now, line by line.
fn printed(cluster: &TestCluster, node: usize) -> Vec<String> {
    let text = std::fs::read_to_string(cluster.log_file(node, "stdout")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// The node's last word.
fn last(cluster: &TestCluster, node: usize) -> String {
    printed(cluster, node).pop().unwrap_or_default()
}

/// Soft limits on address space and open files.
fn soft_limits(pid: &str) -> Vec<String> {
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap_or_default();
    let soft = |line: &str| line.split_whitespace().nth(3).expect("a soft limit").to_owned();
    let of_interest =
        |line: &&str| line.starts_with("Max address space") || line.starts_with("Max open files");
    limits.lines().filter(of_interest).map(soft).collect()
}

/// The threads that slow processes down.
fn slow_threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").expect("this process's threads");
    let names = tasks.flatten().map(|task| std::fs::read_to_string(task.path().join("comm")));
    names.filter(|name| name.as_ref().is_ok_and(|name| name == "ordeal-slow\n")).count()
}

/// Every fault must be fine with this before anything was injected.
async fn untouched(fault: &dyn Fault, cluster: &TestCluster) {
    assert!(!fault.probe(cluster).await.proved, "nothing is injected yet");
    assert!(heal(fault, cluster).await.proved, "healing needs no injection");
}

fn inits(cluster: &TestCluster) -> Vec<Option<i32>> {
    (0..cluster.spec().nodes.len()).map(|node| cluster.init_pid(node)).collect()
}

#[test]
fn a_kill_can_restart_at_once() {
    sandboxed("a_kill_can_restart_at_once", async {
        let cluster = TestCluster::started(3, STUBBORN);
        let kill = make("kill");
        let before = inits(&cluster);
        let args = json!({"nodes": [0, 2], "restart": "at-once"});
        let (installed, probe) = inject(&*kill, &cluster, args.clone()).await.unwrap();
        assert!(probe.proved, "{}", probe.seen);
        assert_eq!(installed["restart"], "at-once");
        let after = inits(&cluster);
        assert!(after.iter().all(Option::is_some));
        assert!(before[0] != after[0] && before[1] == after[1] && before[2] != after[2]);

        // The proof sees when one is down in spite of it.
        let other = make("kill");
        inject(&*other, &cluster, json!({"nodes": [2]})).await.unwrap();
        let probe = kill.probe(&cluster).await;
        assert!(!probe.proved, "{}", probe.seen);
        for _ in 0..2 {
            assert!(heal(&*kill, &cluster).await.proved);
            assert!(inits(&cluster).iter().all(Option::is_some));
        }
        assert!(!kill.probe(&cluster).await.proved, "it is over");
        assert!(heal(&*other, &cluster).await.proved);
    });
}

#[test]
fn a_polite_kill_waits_for_those_who_end_by_themselves() {
    sandboxed("a_polite_kill_waits_for_those_who_end_by_themselves", async {
        let cluster = TestCluster::started(2, POLITE);
        let kill = make("kill");
        // The trap must be set before the signal comes: a sleep runs only after it.
        until("the traps are set", || (0..2).all(|node| !cluster.sleepers(node).is_empty())).await;
        let args = json!({"nodes": "all", "signal": "SIGTERM"});
        let (installed, probe) = inject(&*kill, &cluster, args).await.unwrap();
        assert!(probe.proved, "{}", probe.seen);
        assert_eq!((&installed["ended_by_itself"], &installed["killed"]), (&json!([0, 1]), &json!([])));
        assert_eq!(*cluster.deaths_expected.lock().unwrap(), [0, 1]);
        assert_eq!(last(&cluster, 0), "bye");
        assert!(heal(&*kill, &cluster).await.proved);
    });
}

#[test]
fn a_polite_kill_kills_those_who_do_not_end() {
    sandboxed("a_polite_kill_kills_those_who_do_not_end", async {
        let cluster = TestCluster::started(1, STUBBORN);
        let kill = make("kill");
        until("the trap is set", || !cluster.sleepers(0).is_empty()).await;
        let args = json!({"nodes": [0], "signal": "SIGTERM", "restart": "at-once"});
        let (installed, probe) = inject_for(&*kill, &cluster, args, 400).await.unwrap();
        assert!(probe.proved, "{}", probe.seen);
        assert_eq!((&installed["ended_by_itself"], &installed["killed"]), (&json!([]), &json!([0])));
        assert!(heal(&*kill, &cluster).await.proved);
    });
}

#[test]
fn a_rolling_restart_takes_one_after_another() {
    sandboxed("a_rolling_restart_takes_one_after_another", async {
        let cluster = TestCluster::started(3, POLITE);
        let fault = make("rolling-restart");
        untouched(&*fault, &cluster).await;
        for signal in ["SIGKILL", "SIGTERM"] {
            let before = inits(&cluster);
            cluster.deaths_expected.lock().unwrap().clear();
            let args = json!({"order": [2, 0, 1], "signal": signal});
            let (installed, probe) = inject(&*fault, &cluster, args).await.unwrap();
            assert!(probe.proved, "{}", probe.seen);
            let turns = installed["turns"].as_array().unwrap();
            assert!(turns.iter().all(|turn| turn["ready_ms"].is_u64()), "{installed}");
            assert_eq!(*cluster.deaths_expected.lock().unwrap(), [2, 0, 1], "in this order");
            let after = inits(&cluster);
            assert!(before.iter().zip(&after).all(|(b, a)| a.is_some() && a != b), "{before:?} {after:?}");
            assert!(heal(&*fault, &cluster).await.proved);
            assert_eq!(inits(&cluster), after, "healing has nothing left to do");
            assert!(!fault.probe(&cluster).await.proved, "it is over");
        }
        // One that somebody else holds down is not restarted, and so not all were.
        let kill = make("kill");
        inject(&*kill, &cluster, json!({"nodes": [0]})).await.unwrap();
        let (installed, probe) = inject(&*fault, &cluster, json!({"order": [0, 1]})).await.unwrap();
        assert!(!probe.proved && installed["turns"][0]["already_down"] == true, "{installed}");
        assert!(cluster.init_pid(0).is_none());
        for fault in [&kill, &fault, &fault] {
            assert!(heal(&**fault, &cluster).await.proved);
        }
    });
}

#[test]
fn a_crash_loop_kills_again_and_again() {
    sandboxed("a_crash_loop_kills_again_and_again", async {
        let cluster = TestCluster::started(2, "echo born; exec sleep 1000");
        let fault = make("crash-loop");
        untouched(&*fault, &cluster).await;
        until("it is born", || !printed(&cluster, 1).is_empty()).await;
        let args = json!({"nodes": [1], "times": 5, "up_ms": 100});
        let (installed, probe) = inject_for(&*fault, &cluster, args.clone(), 3_000).await.unwrap();
        assert!(probe.proved && installed["times"] == 5, "{installed}: {}", probe.seen);
        assert_eq!(probe.seen[0]["deaths"], 5);
        assert_eq!(*cluster.deaths_expected.lock().unwrap(), [1; 5]);
        assert_eq!(printed(&cluster, 1), ["born"; 5]);
        // In a short time it dies less often, but twice.
        cluster.start(1).await.unwrap();
        assert!(!fault.probe(&cluster).await.proved, "it was started behind our back");
        for _ in 0..2 {
            assert!(heal(&*fault, &cluster).await.proved);
            assert!(cluster.init_pid(1).is_some());
        }
        let (installed, probe) = inject_for(&*fault, &cluster, args, 1).await.unwrap();
        assert!(probe.proved && installed["times"] == 2, "{installed}: {}", probe.seen);
        assert!(heal(&*fault, &cluster).await.proved);
    });
}

#[test]
fn nodes_are_restarted_with_other_arguments_and_programs() {
    sandboxed("nodes_are_restarted_with_other_arguments_and_programs", async {
        let cluster = TestCluster::started(2, "echo \"$0 $1 $COLOUR\"; while :; do sleep 0.01; done");
        until("both run", || (0..2).all(|node| !printed(&cluster, node).is_empty())).await;
        let fault = make("restart-with");
        untouched(&*fault, &cluster).await;
        let args = json!({"nodes": [0], "args": ["new", "--flag"], "env": {"COLOUR": "red"}});
        let (_, probe) = inject(&*fault, &cluster, args).await.unwrap();
        assert!(probe.proved, "{}", probe.seen);
        until("it says so", || last(&cluster, 0) == "new --flag red").await;
        assert_eq!(printed(&cluster, 1).len(), 1, "the other was left alone");

        // Somebody else restarts it: it comes up changed. And the proof sees when one does not run as it should.
        let kill = make("kill");
        let at_once = json!({"nodes": [0], "restart": "at-once"});
        inject(&*kill, &cluster, at_once.clone()).await.unwrap();
        until("it says so again", || printed(&cluster, 0).len() == 3).await;
        assert_eq!(last(&cluster, 0), "new --flag red");
        cluster.change_launch(0, "someone", LaunchChange { args: vec!["x".into()], ..Default::default() });
        assert!(!fault.probe(&cluster).await.proved, "it does not run with x");
        cluster.change_launch(0, "someone", LaunchChange::default());

        for _ in 0..2 {
            assert!(heal(&*fault, &cluster).await.proved);
            until("it says that it is as before", || printed(&cluster, 0).len() == 4).await;
            assert_eq!(last(&cluster, 0), printed(&cluster, 1)[0]);
        }
        assert!(!fault.probe(&cluster).await.proved, "it is over");
        assert!(heal(&*kill, &cluster).await.proved);

        // Another program, a script, on all; one is down when healing begins.
        let script = cluster.home.path().join("other.sh");
        std::fs::write(&script, "#!/bin/sh\necho other\nwhile :; do sleep 0.01; done\n").unwrap();
        std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let args = json!({"nodes": "all", "program": script, "signal": "SIGKILL"});
        let (_, probe) = inject(&*fault, &cluster, args).await.unwrap();
        assert!(probe.proved, "{}", probe.seen);
        until("both say so", || (0..2).all(|node| last(&cluster, node) == "other")).await;
        inject(&*kill, &cluster, json!({"nodes": [1]})).await.unwrap();
        assert!(!fault.probe(&cluster).await.proved, "one is down");
        assert!(heal(&*fault, &cluster).await.proved);
        until("both are as before", || (0..2).all(|node| last(&cluster, node) != "other")).await;
        assert!(heal(&*kill, &cluster).await.proved);
    });
}

#[test]
fn a_slow_process_gets_its_share_and_no_more() {
    sandboxed("a_slow_process_gets_its_share_and_no_more", async {
        let cluster = TestCluster::started(2, BUSY);
        let fault = make("slow-process");
        untouched(&*fault, &cluster).await;
        until("both run", || (0..2).all(|node| cluster.usage(node).len() == 2)).await;
        let used = |node: usize| cluster.usage(node).values().sum::<u64>();
        for (share, period_ms) in [(0.1, 50), (0.5, 20), (0.05, 200)] {
            let args = json!({"nodes": [0], "share": share, "period_ms": period_ms});
            let (_, probe) = inject(&*fault, &cluster, args).await.unwrap();
            assert!(probe.proved, "{}", probe.seen);
            assert_eq!(slow_threads(), 1);
            let (slow, free, begun) = (used(0), used(1), Instant::now());
            tokio::time::sleep(Duration::from_secs(1)).await;
            let (slow, free, elapsed) = (used(0) - slow, used(1) - free, begun.elapsed());
            say(&format!("  share {share} of {period_ms} ms: {slow} ticks, the other node {free}"));
            // Two processes, a hundred ticks a second; threefold, as the threads may come late.
            let most = 3.0 * share * 200.0 * elapsed.as_secs_f64();
            assert!(slow as f64 <= most, "{slow} ticks, at most {most}");
            for _ in 0..2 {
                assert!(heal(&*fault, &cluster).await.proved);
                assert_eq!(slow_threads(), 0);
                assert!(!cluster.any_stopped(0));
            }
            assert!(!fault.probe(&cluster).await.proved, "it is over");
        }
        let before = used(0);
        until("it computes again", || used(0) > before + 10).await;
    });
}

#[test]
fn slowness_ends_with_the_life_of_the_node() {
    sandboxed("slowness_ends_with_the_life_of_the_node", async {
        let cluster = TestCluster::started(2, BUSY);
        let (slow, kill, pause) = (make("slow-process"), make("kill"), make("pause"));
        let args = json!({"nodes": "all", "share": 0.1, "period_ms": 50});
        let (_, probe) = inject(&*slow, &cluster, args.clone()).await.unwrap();
        assert!(probe.proved, "{}", probe.seen);
        let (_, probe) = inject(&*kill, &cluster, json!({"nodes": [0], "restart": "at-once"})).await.unwrap();
        assert!(probe.proved, "{}", probe.seen);
        until("its thread has ended", || slow_threads() == 1).await;
        assert!(slow.probe(&cluster).await.proved, "the other is still slow");
        inject(&*kill, &cluster, json!({"nodes": [1], "restart": "at-once"})).await.unwrap();
        assert!(!slow.probe(&cluster).await.proved, "nobody is slow any more");
        assert!(heal(&*slow, &cluster).await.proved);

        // The proof tells a node that stands still altogether from a slow one.
        inject(&*slow, &cluster, json!({"nodes": [1], "share": 0.9, "period_ms": 1000})).await.unwrap();
        inject(&*pause, &cluster, json!({"nodes": [1]})).await.unwrap();
        drop(slow);
        until("the thread ends when nobody wants it any more", || slow_threads() == 0).await;
        assert!(heal(&*pause, &cluster).await.proved);
        assert!(!cluster.any_stopped(0) && !cluster.any_stopped(1));
        assert!(heal(&*kill, &cluster).await.proved);
    });
}

#[test]
fn a_memory_limit_makes_allocations_fail() {
    sandboxed("a_memory_limit_makes_allocations_fail", async {
        let cluster = TestCluster::started(2, HUNGRY);
        let fault = make("memory-limit");
        untouched(&*fault, &cluster).await;
        until("both are fed", || (0..2).all(|node| last(&cluster, node) == "fed")).await;
        for headroom_mb in [1, 100] {
            let args = json!({"nodes": [0], "headroom_mb": headroom_mb});
            let (_, probe) = inject(&*fault, &cluster, args).await.unwrap();
            assert!(probe.proved, "{}", probe.seen);
            let lines = printed(&cluster, 0).len();
            until("it goes on", || printed(&cluster, 0).len() > lines + 2).await;
            assert_eq!(last(&cluster, 0) == "fed", headroom_mb == 100);
            assert_eq!(last(&cluster, 1), "fed");
            for _ in 0..2 {
                assert!(heal(&*fault, &cluster).await.proved);
                let all_back = |pid: &i32| soft_limits(&pid.to_string()) == soft_limits("self");
                assert!(cluster.pids(0).iter().all(all_back));
            }
            until("it is fed again", || last(&cluster, 0) == "fed").await;
            assert!(!fault.probe(&cluster).await.proved, "it is over");
        }
    });
}

#[test]
fn a_node_that_ends_of_its_memory_limit_is_started_again() {
    sandboxed("a_node_that_ends_of_its_memory_limit_is_started_again", async {
        let cluster = TestCluster::started(1, GREEDY);
        let fault = make("memory-limit");
        until("it runs", || last(&cluster, 0) == "born").await;
        let (_, probe) = inject(&*fault, &cluster, json!({"nodes": [0], "headroom_mb": 2})).await.unwrap();
        assert!(probe.proved, "{}", probe.seen);
        assert_eq!(*cluster.deaths_expected.lock().unwrap(), [0]);
        until("it ends of it", || cluster.init_pid(0).is_none()).await;
        let probe = fault.probe(&cluster).await;
        assert!(probe.proved && probe.seen[0]["ended"] == true, "{}", probe.seen);
        let healed = heal(&*fault, &cluster).await;
        assert!(healed.proved && healed.seen[0]["started"] == true, "{}", healed.seen);
        until("it runs again", || printed(&cluster, 0).len() == 2).await;
    });
}

#[test]
fn an_fd_limit_leaves_as_many_as_it_says() {
    sandboxed("an_fd_limit_leaves_as_many_as_it_says", async {
        let cluster = TestCluster::started(2, OPENER);
        let (fault, kill) = (make("fd-limit"), make("kill"));
        untouched(&*fault, &cluster).await;
        until("both open what they want", || (0..2).all(|node| last(&cluster, node) == "50")).await;
        // What is open at that moment counts as used: up to 50 in addition to the spare ones.
        let (_, probe) = inject(&*fault, &cluster, json!({"nodes": [0], "spare": 3})).await.unwrap();
        assert!(probe.proved, "{}", probe.seen);
        let lines = printed(&cluster, 0).len();
        until("it goes on", || printed(&cluster, 0).len() > lines + 2).await;
        let could: usize = last(&cluster, 0).parse().unwrap();
        assert!(
            (3..50).contains(&could) || probe.seen[0]["processes"][1]["used"].as_u64() > Some(50),
            "{could}"
        );
        for _ in 0..2 {
            assert!(heal(&*fault, &cluster).await.proved);
            let all_back = |pid: &i32| soft_limits(&pid.to_string()) == soft_limits("self");
            assert!(cluster.pids(0).iter().all(all_back));
        }
        until("it opens what it wants again", || last(&cluster, 0) == "50").await;
        assert!(!fault.probe(&cluster).await.proved, "it is over");

        // It may end of it.
        let (_, probe) = inject(&*fault, &cluster, json!({"nodes": [1], "spare": 0})).await.unwrap();
        assert!(probe.proved, "{}", probe.seen);
        until("it ends of it", || cluster.init_pid(1).is_none()).await;
        assert_eq!(*cluster.deaths_expected.lock().unwrap(), [0, 1]);
        let healed = heal(&*fault, &cluster).await;
        assert!(healed.proved && healed.seen[0]["started"] == true, "{}", healed.seen);
        until("it opens what it wants again", || last(&cluster, 1) == "50").await;

        // It may be killed and started again: then it has no limit.
        inject(&*fault, &cluster, json!({"nodes": [1], "spare": 9})).await.unwrap();
        inject(&*kill, &cluster, json!({"nodes": [1], "restart": "at-once"})).await.unwrap();
        assert!(heal(&*fault, &cluster).await.proved);
        assert!(heal(&*kill, &cluster).await.proved);
        assert!(inits(&cluster).iter().all(Option::is_some));
        let lines = printed(&cluster, 1).len();
        until("it goes on", || printed(&cluster, 1).len() > lines + 2).await;
        assert_eq!(last(&cluster, 1), "50");
    });
}

#[test]
fn a_limit_somebody_takes_away_is_not_proved() {
    sandboxed("a_limit_somebody_takes_away_is_not_proved", async {
        let cluster = TestCluster::started(1, "exec sleep 1000");
        until("it sleeps", || cluster.sleepers(0).len() == 1).await;
        for (kind, flag, args) in [
            ("fd-limit", "--nofile=200:", json!({"nodes": [0], "spare": 1})),
            ("memory-limit", "--as=unlimited:", json!({"nodes": [0], "headroom_mb": 1})),
        ] {
            let fault = make(kind);
            let (_, probe) = inject(&*fault, &cluster, args).await.unwrap();
            assert!(probe.proved, "{}", probe.seen);
            let pid = cluster.sleepers(0)[0].to_string();
            let raised = std::process::Command::new("prlimit").args(["--pid", &pid, flag]).status();
            assert!(raised.is_ok_and(|status| status.success()));
            let mine = soft_limits(&pid);
            let probe = fault.probe(&cluster).await;
            assert!(!probe.proved, "{kind}: {}", probe.seen);
            assert!(heal(&*fault, &cluster).await.proved);
            assert_eq!(soft_limits(&pid), mine, "what the process set itself stays");
        }
    });
}

#[test]
fn nonsense_is_refused_and_told_what_was_expected() {
    sandboxed("nonsense_is_refused_and_told_what_was_expected", async {
        let cluster = TestCluster::started(2, "exec sleep 1000");
        let before = inits(&cluster);
        for (kind, args) in [
            ("kill", json!({"nodes": [0], "restart": "never"})),
            ("kill", json!({"nodes": [0], "signal": "SIGSTOP"})),
            ("kill", json!({"nodes": [0], "whom": 1})),
            ("rolling-restart", json!({"order": []})),
            ("rolling-restart", json!({"order": [0, 2]})),
            ("rolling-restart", json!({"order": [1, 1]})),
            ("rolling-restart", json!({"nodes": [1]})),
            ("crash-loop", json!({"nodes": [0]})),
            ("crash-loop", json!({"nodes": [0], "times": 1, "up_ms": 5})),
            ("crash-loop", json!({"nodes": [0], "times": 2, "up_ms": 1e9})),
            ("restart-with", json!({"nodes": [0]})),
            ("restart-with", json!({"nodes": [0], "program": "/no/such/program"})),
            ("restart-with", json!({"nodes": [0], "args": "--flag"})),
            ("slow-process", json!({"nodes": [0], "share": 1.5, "period_ms": 50})),
            ("slow-process", json!({"nodes": [0], "share": 0.5, "period_ms": 0})),
            ("memory-limit", json!({"nodes": [0], "headroom_mb": -1})),
            ("memory-limit", json!({"nodes": [0], "headroom_mb": 100_000_000})),
            ("memory-limit", json!({"nodes": [5], "headroom_mb": 1})),
            ("fd-limit", json!({"nodes": [0], "spare": "few"})),
            ("fd-limit", json!({"nodes": [0], "spare": 5000})),
            ("fd-limit", json!({"nodes": [0]})),
        ] {
            let fault = make(kind);
            let error = inject(&*fault, &cluster, args.clone()).await.unwrap_err();
            assert!(error.contains("expected") && error.contains(&args.to_string()), "{kind}: {error}");
            assert!(heal(&*fault, &cluster).await.proved);
        }
        assert_eq!(inits(&cluster), before, "nobody came to harm");
    });
}

#[test]
fn words_override_what_is_drawn() {
    let read = |kind: &str, text: &str| make(kind).read(Words::parse(text), &mut Rng::new(7), 5, false);
    for (kind, text, expected) in [
        ("kill", "majority, at-once", json!({"restart": "at-once"})),
        ("kill", "n1, SIGTERM, on-heal", json!({"nodes": [0], "signal": "SIGTERM", "restart": "on-heal"})),
        ("rolling-restart", "n3, n1, SIGINT", json!({"order": [2, 0], "signal": "SIGINT"})),
        ("crash-loop", "n2, times=9, up=20ms", json!({"nodes": [1], "times": 9, "up_ms": 20})),
        (
            "restart-with",
            "n1, program=/opt/db, arg=--flag=1, arg=-v, env=K=V=W, SIGKILL",
            json!({"nodes": [0], "program": "/opt/db", "args": ["--flag=1", "-v"], "env": {"K": "V=W"}, "signal": "SIGKILL"}),
        ),
        ("slow-process", "all, 25%, period=100ms", json!({"nodes": "all", "share": 0.25, "period_ms": 100})),
        ("memory-limit", "n5, headroom=32mb", json!({"nodes": [4], "headroom_mb": 32})),
        ("fd-limit", "n1, n2, spare=0", json!({"nodes": [0, 1], "spare": 0})),
    ] {
        let args = read(kind, text).unwrap();
        for (key, value) in expected.as_object().unwrap() {
            assert_eq!(&args[key], value, "{kind}({text}): {args}");
        }
    }
    assert_eq!(read("kill", "majority, at-once").unwrap()["nodes"].as_array().unwrap().len(), 3);
    assert_eq!(read("rolling-restart", "2").unwrap()["order"].as_array().unwrap().len(), 2);
    assert_eq!(read("rolling-restart", "all").unwrap()["order"].as_array().unwrap().len(), 5);
    for (kind, text) in [
        ("kill", "sometimes"),
        ("kill", "SIGSTOP"),
        ("rolling-restart", "n1, n1"),
        ("rolling-restart", "primary"),
        ("crash-loop", "times=1"),
        ("crash-loop", "up=2m"),
        ("restart-with", "n1"),
        ("restart-with", "program=etcd"),
        ("slow-process", "1%"),
        ("slow-process", "period=1us"),
        ("memory-limit", "headroom=16"),
        ("fd-limit", "spare=-1"),
    ] {
        let error = read(kind, text).unwrap_err();
        assert!(error.contains("expected") || error.contains("twice"), "{kind}({text}): {error}");
    }
}

/// What a cluster must look like when everything is healed.
async fn whole(cluster: &TestCluster, context: &str) {
    let intact = || {
        (0..cluster.spec().nodes.len()).all(|node| {
            let pids = cluster.pids(node);
            let limits = |pid: &i32| {
                let limits = soft_limits(&pid.to_string());
                // Empty: it has just ended.
                limits.is_empty() || limits == soft_limits("self")
            };
            pids.len() > 1 && !cluster.any_stopped(node) && pids.iter().all(limits)
        })
    };
    until(&format!("the cluster is whole after {context}"), intact).await;
    assert_eq!(slow_threads(), 0, "{context}");
    for node in 0..cluster.spec().nodes.len() {
        assert_eq!(cluster.launch(node).expect("a launch").args.len(), 2, "{context}");
    }
}

#[test]
fn a_hundred_random_injections_leave_nothing_behind() {
    sandboxed("a_hundred_random_injections_leave_nothing_behind", async {
        let script = "trap 'exit 0' TERM; (setsid sleep 1000 &); while sleep 0.02; do :; done";
        let cluster = TestCluster::started(3, script);
        let kinds = [
            "kill",
            "pause",
            "rolling-restart",
            "crash-loop",
            "restart-with",
            "slow-process",
            "memory-limit",
            "fd-limit",
        ];
        let faults: Vec<Box<dyn Fault>> = kinds.iter().map(|kind| make(kind)).collect();
        let meanwhile = make("kill");
        let rng = &mut Rng::new(20);
        let mut injected = BTreeSet::new();
        for round in 0..100 {
            let fault = &faults[rng.below(faults.len() as u64) as usize];
            let mut args = fault.draw(rng, 3, false);
            if fault.name() == "restart-with" {
                args["args"] = json!(["new"]);
            }
            let step = FaultStep { at_ms: 0, for_ms: 100, fault: fault.name().to_owned(), args };
            let installed: Result<Value, String> = fault.inject(&cluster, &step).await;
            let context = format!("round {round}: {} {}: {installed:?}", fault.name(), step.args);
            if installed.is_ok() {
                injected.insert(fault.name());
            }
            let killed = rng.chance(0.3);
            if killed {
                let args = json!({"nodes": [rng.below(3)], "restart": *rng.pick(&["at-once", "on-heal"])});
                let step = FaultStep { at_ms: 0, for_ms: 100, fault: "kill".to_owned(), args };
                // It may be down already.
                _ = meanwhile.inject(&cluster, &step).await;
            }
            for _ in 0..2 {
                let healed = fault.heal(&cluster).await.unwrap_or_else(|why| panic!("{context}: {why}"));
                assert!(healed.proved, "{context}: {}", healed.seen);
            }
            if killed {
                assert!(meanwhile.heal(&cluster).await.is_ok_and(|healed| healed.proved), "{context}");
            }
            // What fell ill by a limit just before heal may end after it; the runner starts it again.
            tokio::time::sleep(Duration::from_millis(30)).await;
            for node in 0..3 {
                cluster.start(node).await.unwrap();
            }
            whole(&cluster, &context).await;
        }
        assert_eq!(injected.len(), kinds.len(), "{injected:?}");
    });
}
