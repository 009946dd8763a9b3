//! The faults of disks against processes that keep their word about what they synced.

mod cluster;

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cluster::{TestCluster, heal, inject, inject_for, sandboxed, say, until};
use ordeal_core::{Cluster, Fault, Rng, Words};
use ordeal_nemesis::{Arsenal, Group, find, machine};
use serde_json::{Value, json};

/// Once there is a file `go` in its directory, writes a numbered record of 16 bytes at a time into its log,
/// syncs it and says so. Also writes what it never syncs. On start it checks all records; when one is wrong
/// it says so and ends, or forgets everything from there on if there is a file `repair`.
const WAL: &str = r#"exec python3 -uc '
import os, sys, time, errno
while not os.path.exists("go"): time.sleep(0.001)
try:
    fd = os.open("data/wal", os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    junk = os.open("data/junk", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    home = os.open("data", os.O_RDONLY)
    os.fsync(home)
    text = os.pread(fd, 1 << 28, 0)
    n = 0
    while text[n * 16:n * 16 + 16] == b"%015d\n" % n: n += 1
    if n * 16 != len(text):
        print("damaged after", n)
        if not os.path.exists("repair"): sys.exit(4)
        os.ftruncate(fd, n * 16)
    print("recovered", n)
    while True:
        os.write(junk, b"j" * 100)
        os.write(fd, b"%015d\n" % n)
        os.fsync(fd)
        n += 1
        print("acked", n)
        time.sleep(0.0005)
except OSError as e:
    print("failed", errno.errorcode[e.errno])
    sys.exit(3)
'"#;

/// Syncs a file of 200 pages, then changes each of them and syncs nothing.
const PAGES: &str = r#"exec python3 -uc '
import os, time
fd = os.open("data/pages", os.O_RDWR | os.O_CREAT, 0o644)
if os.fstat(fd).st_size == 0:
    os.write(fd, b"A" * 4096 * 200)
    os.fsync(fd)
    os.fsync(os.open("data", os.O_RDONLY))
    for page in range(200): os.pwrite(fd, b"B" * 4096, page * 4096)
    print("written")
time.sleep(1000)
'"#;

/// Reads a file over and over, and tells when it is not what was written.
const READER: &str = r#"exec python3 -uc '
import os, time
if not os.path.exists("data/file"):
    with open("data/file", "wb") as f: f.write(b"A" * 40960)
while True:
    with open("data/file", "rb") as f: text = f.read()
    print("flipped" if text != b"A" * 40960 else "right")
    time.sleep(0.002)
'"#;

/// Says what it does, step by step.
const STEPS: &str = "i=0; while :; do i=$((i+1)); echo step $i of many; echo warn $i >&2; done";

/// Faults of one run and the cluster they are for.
struct Bench {
    cluster: TestCluster,
    faults: BTreeMap<&'static str, Box<dyn Fault>>,
}

impl Bench {
    /// All disks are mounted; nodes run if `go`.
    async fn new(nodes: usize, script: &'static str, go: bool) -> Self {
        let cluster = TestCluster::new(nodes, script);
        let arsenal = Arc::new(Arsenal::default());
        let disks = ordeal_nemesis::all().iter().filter(|kind| kind.group == Group::Disk);
        let faults: BTreeMap<_, _> = disks.map(|kind| (kind.name, (kind.build)(&arsenal))).collect();
        for fault in faults.values() {
            fault.prepare(&cluster).await.expect("mounted");
        }
        let bench = Bench { cluster, faults };
        for node in 0..nodes {
            fs::create_dir_all(bench.home(node)).expect("a directory");
            assert_eq!(bench.mounts(node), 1, "however many kinds there are");
            if go {
                bench.go(node);
            }
            bench.cluster.start(node).await.expect("started");
        }
        bench
    }

    fn fault(&self, name: &str) -> &dyn Fault {
        &*self.faults[name]
    }

    fn home(&self, node: usize) -> std::path::PathBuf {
        self.cluster.home.path().join(&self.cluster.spec().nodes[node].id)
    }

    fn go(&self, node: usize) {
        fs::write(self.home(node).join("go"), "").expect("a file");
    }

    /// How many file systems are mounted on the node's data.
    fn mounts(&self, node: usize) -> usize {
        let data = self.cluster.spec().nodes[node].data_dir.display().to_string();
        let mounts = fs::read_to_string("/proc/self/mountinfo").expect("its list");
        mounts.lines().filter(|line| line.split(' ').nth(4) == Some(&data)).count()
    }

    /// The number behind the last line that begins with this word.
    fn last(&self, node: usize, word: &str) -> u64 {
        let log = fs::read_to_string(self.cluster.log_file(node, "stdout")).unwrap_or_default();
        let lines = log.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        let line = lines.rev().find_map(|line| line.trim_end().strip_prefix(word));
        line.and_then(|rest| rest.split_whitespace().last()?.parse().ok()).unwrap_or(0)
    }

    /// How often the node said this.
    fn said(&self, node: usize, words: &str) -> usize {
        let log = fs::read_to_string(self.cluster.log_file(node, "stdout")).unwrap_or_default();
        log.lines().filter(|line| line.contains(words)).count()
    }

    fn acked(&self, node: usize) -> u64 {
        self.last(node, "acked")
    }

    fn length(&self, node: usize, file: &str) -> u64 {
        fs::metadata(self.cluster.spec().nodes[node].data_dir.join(file)).map_or(0, |m| m.len())
    }

    async fn writes_on(&self, node: usize) {
        let before = self.acked(node);
        until("the node writes", || self.acked(node) > before + 10).await;
    }

    async fn all_write_on(&self) {
        for node in 0..self.cluster.spec().nodes.len() {
            self.writes_on(node).await;
        }
    }

    /// Ends all nodes and takes the disks away.
    async fn end(self) {
        for node in 0..self.cluster.spec().nodes.len() {
            if let Some(init) = self.cluster.init_pid(node) {
                let init = nix::unistd::Pid::from_raw(init);
                nix::sys::signal::kill(init, nix::sys::signal::SIGKILL).expect("killed");
            }
            self.cluster.gone(node).await;
        }
        for _ in 0..2 {
            for fault in self.faults.values() {
                fault.dismantle(&self.cluster).await.expect("unmounted");
            }
        }
        for node in 0..self.cluster.spec().nodes.len() {
            assert_eq!(self.mounts(node), 0);
        }
    }
}

/// Runs the test inside, if there can be disks of ours here.
fn with_disks(name: &str, body: impl Future<Output = ()>) {
    if let Some(why) = machine().no_fuse {
        return say(&format!("{name}: skipped: {why}"));
    }
    if std::process::Command::new("python3").arg("-V").output().is_err() {
        return say(&format!("{name}: skipped, python3 is not installed here"));
    }
    sandboxed(name, body);
}

#[test]
fn power_loss_keeps_what_was_synced_and_nothing_else() {
    with_disks("power_loss_keeps_what_was_synced_and_nothing_else", async {
        let bench = Bench::new(3, WAL, true).await;
        bench.all_write_on().await;
        let fault = bench.fault("power-loss");
        assert!(!fault.probe(&bench.cluster).await.proved, "nobody is dead yet");
        assert!(heal(fault, &bench.cluster).await.proved, "healing needs no injection");
        for args in [json!({"nodes": "all"}), json!({"nodes": [1]}), json!({"nodes": "all"})] {
            bench.all_write_on().await;
            let (installed, probe) = inject(fault, &bench.cluster, args).await.unwrap();
            assert!(probe.proved, "{}", probe.seen);
            assert!(installed.get("nothing_unsynced").is_none(), "{installed}");
            for node in serde_json::from_value::<Vec<usize>>(installed["nodes"].clone()).unwrap() {
                let (acked, kept) = (bench.acked(node), bench.length(node, "wal") / 16);
                assert!(kept == acked || kept == acked + 1, "n{node} acked {acked}, kept {kept}");
                assert_eq!(bench.length(node, "junk"), 0, "never synced");
            }
            let loss = &installed["losses"][0]["lost"];
            assert!(loss["tail_bytes"].as_u64().unwrap() >= 1_000, "{loss}");
            assert!(heal(fault, &bench.cluster).await.proved);
            assert!(heal(fault, &bench.cluster).await.proved, "twice is fine");
            bench.all_write_on().await;
        }
        assert!((0..3).all(|node| bench.said(node, "damaged") == 0));
        bench.end().await;
    });
}

#[test]
fn a_power_loss_with_nothing_to_lose_says_so() {
    with_disks("a_power_loss_with_nothing_to_lose_says_so", async {
        let bench = Bench::new(2, "exec sleep 1000", true).await;
        let fault = bench.fault("power-loss");
        let (installed, probe) = inject(fault, &bench.cluster, json!({"nodes": [0]})).await.unwrap();
        assert!(probe.proved && installed["nothing_unsynced"] == json!(true), "{installed}");
        let error = inject(fault, &bench.cluster, json!({"nodes": [0]})).await.unwrap_err();
        assert!(error.contains("already down"), "{error}");
        assert!(heal(fault, &bench.cluster).await.proved);
        bench.end().await;
    });
}

#[test]
fn torn_writes_keep_some_pages_whole() {
    with_disks("torn_writes_keep_some_pages_whole", async {
        let bench = Bench::new(1, PAGES, true).await;
        until("all is written", || bench.said(0, "written") == 1).await;
        let fault = bench.fault("torn-write");
        let args = json!({"nodes": "all", "torn": 0.5, "seed": 7});
        let (installed, probe) = inject(fault, &bench.cluster, args).await.unwrap();
        assert!(probe.proved, "{}", probe.seen);
        let pages = fs::read(bench.cluster.spec().nodes[0].data_dir.join("pages")).unwrap();
        assert_eq!(pages.len(), 200 * 4096);
        assert!(pages.chunks(4096).all(|page| page.iter().all(|byte| *byte == page[0])), "old or new");
        let kept = pages.chunks(4096).filter(|page| page[0] == b'B').count() as u64;
        assert!((60..140).contains(&kept), "{kept}");
        let lost = &installed["losses"][0]["lost"];
        assert_eq!((&lost["pages_kept"], &lost["pages"]), (&json!(kept), &json!(200 - kept)));
        assert!(heal(fault, &bench.cluster).await.proved);
        bench.end().await;
    });
}

#[test]
fn errors_reach_the_node_and_end_with_the_fault() {
    with_disks("errors_reach_the_node_and_end_with_the_fault", async {
        let bench = Bench::new(2, WAL, true).await;
        bench.all_write_on().await;
        let fault = bench.fault("disk-error");
        assert!(heal(fault, &bench.cluster).await.proved, "healing needs no injection");
        let scope = |calls: Value, path: Value, errno: &str, chance: f64| json!({"nodes": [0], "calls": calls, "path": path, "errno": errno, "chance": chance, "seed": 1});
        for (calls, path, errno) in [
            (json!(["fsync"]), json!(null), "EIO"),
            (json!(["write"]), json!("w?l"), "ENOSPC"),
            (json!(["fsync", "write"]), json!("*al"), "EROFS"),
        ] {
            let failed = format!("failed {errno}");
            let (_, probe) = inject(fault, &bench.cluster, scope(calls, path, errno, 0.5)).await.unwrap();
            assert!(probe.proved, "{}", probe.seen);
            until("the node has ended", || bench.said(0, &failed) == 1).await;
            let acked = bench.acked(0);
            assert!(bench.cluster.deaths_expected.lock().unwrap().contains(&0));
            bench.writes_on(1).await;
            assert!(heal(fault, &bench.cluster).await.proved);
            bench.writes_on(0).await;
            assert!(bench.last(0, "recovered") >= acked, "nothing acknowledged is lost");
        }
        // What strikes nothing is not proved, and is waited for half the time.
        let args = scope(json!(["fsync"]), json!("no-such-file"), "EIO", 1.0);
        let start = Instant::now();
        let (_, probe) = inject(fault, &bench.cluster, args).await.unwrap();
        assert!(!probe.proved && start.elapsed() < Duration::from_millis(900), "{}", probe.seen);
        let init = bench.cluster.init_pid(0);
        assert!(heal(fault, &bench.cluster).await.proved);
        assert_ne!(bench.cluster.init_pid(0), init, "it is started anew in any case");
        bench.all_write_on().await;
        bench.end().await;
    });
}

#[test]
fn a_full_disk_is_full_for_everybody() {
    with_disks("a_full_disk_is_full_for_everybody", async {
        let bench = Bench::new(2, WAL, true).await;
        bench.all_write_on().await;
        let fault = bench.fault("disk-full");
        let args = json!({"nodes": [1], "path": null, "seed": 1});
        let (_, probe) = inject(fault, &bench.cluster, args).await.unwrap();
        assert!(probe.proved && probe.seen["own_call"]["blocks_available"] == 0, "{}", probe.seen);
        until("the node has noticed", || bench.said(1, "failed ENOSPC") == 1).await;
        let acked = bench.acked(1);
        assert!(heal(fault, &bench.cluster).await.proved);
        bench.all_write_on().await;
        assert!(bench.last(1, "recovered") >= acked);
        let data = &bench.cluster.spec().nodes[1].data_dir;
        let left = fs::read_dir(data).unwrap().map(|e| e.unwrap().file_name()).collect::<Vec<_>>();
        assert_eq!(left.len(), 2, "nothing of ours is left: {left:?}");
        bench.end().await;
    });
}

#[test]
fn a_slow_disk_is_as_slow_as_it_should_be() {
    with_disks("a_slow_disk_is_as_slow_as_it_should_be", async {
        let bench = Bench::new(2, WAL, true).await;
        bench.all_write_on().await;
        let fault = bench.fault("slow-disk");
        for calls in [json!(["fsync"]), json!(["write"]), json!([])] {
            let args = json!({"nodes": [0], "calls": calls, "path": null, "delay_us": 50_000, "chance": 1.0, "seed": 1});
            let (_, probe) = inject(fault, &bench.cluster, args).await.unwrap();
            assert!(probe.proved, "{}", probe.seen);
            let (acked, other, start) = (bench.acked(0), bench.acked(1), Instant::now());
            until("it has acknowledged some", || bench.acked(0) >= acked + 5).await;
            assert!(start.elapsed() >= Duration::from_millis(200), "{:?}", start.elapsed());
            assert!(bench.acked(1) > other + 20, "the other is as fast as ever");
            assert!(heal(fault, &bench.cluster).await.proved);
            bench.all_write_on().await;
        }
        assert!(bench.cluster.deaths_expected.lock().unwrap().is_empty());
        bench.end().await;
    });
}

#[test]
fn bits_flip_when_read_and_only_then() {
    with_disks("bits_flip_when_read_and_only_then", async {
        let bench = Bench::new(1, READER, true).await;
        until("it reads", || bench.said(0, "right") > 5).await;
        let fault = bench.fault("bit-flip");
        let args = json!({"nodes": [0], "path": "file", "chance": 1.0, "seed": 1});
        let (_, probe) = inject(fault, &bench.cluster, args).await.unwrap();
        assert!(probe.proved, "{}", probe.seen);
        until("it notices", || bench.said(0, "flipped") > 3).await;
        let probe = heal(fault, &bench.cluster).await;
        assert!(probe.proved && probe.seen["nodes"][0]["runs"] == json!(true), "{}", probe.seen);
        let (right, flipped) = (bench.said(0, "right"), bench.said(0, "flipped"));
        until("it reads what was written", || bench.said(0, "right") > right + 5).await;
        assert_eq!(bench.said(0, "flipped"), flipped);
        bench.end().await;
    });
}

#[test]
fn damage_at_rest_is_found_by_the_node_that_starts_on_it() {
    with_disks("damage_at_rest_is_found_by_the_node_that_starts_on_it", async {
        let bench = Bench::new(2, WAL, true).await;
        bench.all_write_on().await;
        let rot = bench.fault("bit-rot");
        assert!(heal(rot, &bench.cluster).await.proved, "healing needs no injection");
        let args = json!({"nodes": [0], "path": "wal", "seed": 3});
        let (installed, probe) = inject(rot, &bench.cluster, args).await.unwrap();
        assert!(probe.proved, "{}", probe.seen);
        until("it notices", || bench.said(0, "damaged") >= 1).await;
        let at = installed["damaged"][0]["damaged"]["at"].as_u64().unwrap();
        assert_eq!(bench.last(0, "damaged after"), at / 16);
        until("it has ended over it", || bench.cluster.init_pid(0).is_none()).await;
        let probe = heal(rot, &bench.cluster).await;
        assert!(probe.proved && probe.seen[0]["refuses_to_start"] == json!(true), "{}", probe.seen);
        fs::write(bench.home(0).join("repair"), "").unwrap();
        bench.cluster.start(0).await.unwrap();
        bench.all_write_on().await;

        let truncate = bench.fault("truncate");
        let args = json!({"nodes": [1], "path": "w*", "bytes": 33});
        let (installed, probe) = inject(truncate, &bench.cluster, args).await.unwrap();
        assert!(probe.proved, "{}", probe.seen);
        let cut = &installed["damaged"][0]["damaged"];
        assert_eq!(cut["before"].as_u64().unwrap() - cut["after"].as_u64().unwrap(), 33);
        until("it notices", || bench.said(1, "damaged") >= 1).await;
        assert!(heal(truncate, &bench.cluster).await.proved);
        assert!(heal(truncate, &bench.cluster).await.proved, "twice is fine");
        bench.end().await;
    });
}

#[test]
fn a_rollback_forgets_what_was_synced_lately() {
    with_disks("a_rollback_forgets_what_was_synced_lately", async {
        let bench = Bench::new(2, WAL, true).await;
        bench.all_write_on().await;
        let fault = bench.fault("rollback");
        assert!(heal(fault, &bench.cluster).await.proved, "healing needs no injection");
        let (installed, probe) = inject(fault, &bench.cluster, json!({"nodes": [0]})).await.unwrap();
        assert!(probe.proved, "{}", probe.seen);
        assert_eq!(probe.seen[0]["rolled_back"]["changed"], json!(2), "log and junk: {installed}");
        until("it has started on the old files", || bench.said(0, "recovered") == 3).await;
        let acked: Vec<u64> = fs::read_to_string(bench.cluster.log_file(0, "stdout"))
            .unwrap()
            .lines()
            .filter_map(|line| line.strip_prefix("acked ")?.parse().ok())
            .collect();
        let back = acked.windows(2).filter(|pair| pair[1] <= pair[0]).count();
        assert!(back == 1 && bench.said(0, "damaged") == 0, "it acknowledged the same numbers again");
        assert!(heal(fault, &bench.cluster).await.proved);
        assert!(!bench.home(0).join("rollback-copy").exists());
        bench.all_write_on().await;
        bench.end().await;
    });
}

#[test]
fn a_crash_point_is_hit_exactly() {
    with_disks("a_crash_point_is_hit_exactly", async {
        // At the third sync two records were acknowledged; the third is written, which a power loss undoes.
        for (call, nth, power, records) in [
            ("fsync", 3, false, 3),
            ("fsync", 3, true, 2),
            ("write", 6, false, 5),
            ("fsync", 1, true, 0),
            ("fsync", 20, true, 19),
        ] {
            let bench = Bench::new(2, WAL, false).await;
            let fault = bench.fault("crash-point");
            let args = json!({"nodes": "all", "call": call, "path": "wal", "nth": nth, "power": power, "torn": 0.0, "seed": 1});
            let go = async {
                // The trap is set before this is asked for the first time.
                tokio::time::sleep(Duration::from_millis(20)).await;
                bench.go(1);
            };
            let (injected, ()) = tokio::join!(inject_for(fault, &bench.cluster, args, 10_000), go);
            let (installed, probe) = injected.unwrap();
            assert!(probe.proved && installed["killed"] == json!([1]), "{installed} {}", probe.seen);
            assert_eq!(bench.acked(1), nth - 1, "{installed}");
            assert_eq!(bench.length(1, "wal"), 16 * records, "{installed}");
            assert_eq!(*bench.cluster.deaths_expected.lock().unwrap(), [1], "only of the one that died");
            assert_eq!(bench.said(1, "failed"), 0, "it never saw the call return");
            assert!(heal(fault, &bench.cluster).await.proved);
            bench.go(0);
            bench.all_write_on().await;
            assert_eq!(bench.last(1, "recovered"), records);
            bench.end().await;
            // The networks of a cluster have names.
            for name in ["br0", "v0", "v1"] {
                _ = std::process::Command::new("ip").args(["link", "del", name]).output();
            }
        }
    });
}

#[test]
fn a_crash_point_that_is_never_reached_is_an_error_and_disarmed() {
    with_disks("a_crash_point_that_is_never_reached_is_an_error_and_disarmed", async {
        let bench = Bench::new(1, WAL, true).await;
        bench.all_write_on().await;
        let fault = bench.fault("crash-point");
        let args = json!({"nodes": [0], "call": "rename", "path": null, "nth": 1, "power": false, "torn": 0.0, "seed": 1});
        let error = inject(fault, &bench.cluster, args).await.unwrap_err();
        assert!(error.contains("500 ms"), "{error}");
        assert!(!fault.probe(&bench.cluster).await.proved);
        assert!(heal(fault, &bench.cluster).await.proved);
        let data = &bench.cluster.spec().nodes[0].data_dir;
        fs::rename(data.join("junk"), data.join("renamed")).unwrap();
        bench.all_write_on().await;
        assert!(bench.cluster.deaths_expected.lock().unwrap().is_empty());
        bench.end().await;
    });
}

#[test]
fn a_crash_at_a_line_comes_at_once() {
    sandboxed("a_crash_at_a_line_comes_at_once", async {
        let cluster = TestCluster::started(2, STEPS);
        let fault = (find("crash-at-line").unwrap().build)(&Arc::default());
        assert!(heal(&*fault, &cluster).await.proved, "healing needs no injection");
        let rng = &mut Rng::new(1);
        let error = fault.read(Words::parse("n1"), rng, 2, false).unwrap_err();
        assert!(error.contains("line=text"), "{error}");
        let error = inject(&*fault, &cluster, fault.draw(rng, 2, false)).await.unwrap_err();
        assert!(error.contains("crash-at-line(line=text)"), "{error}");

        for words in ["n1, line=00 of many, stdout", "n2, line=warn", "line=7 of many, all, within=400ms"] {
            let args = fault.read(Words::parse(words), rng, 2, false).unwrap();
            let (installed, probe) = inject(&*fault, &cluster, args).await.unwrap();
            assert!(probe.proved, "{}", probe.seen);
            assert!(installed["line_to_kill_us"].as_u64().unwrap() < 500_000, "{installed}");
            let node = installed["node"].as_u64().unwrap() as usize;
            assert_eq!(*cluster.deaths_expected.lock().unwrap(), [node], "only of the one that died");
            cluster.deaths_expected.lock().unwrap().clear();
            let other = cluster.init_pid(1 - node);
            assert!(heal(&*fault, &cluster).await.proved);
            assert!(cluster.init_pid(node).is_some() && cluster.init_pid(1 - node) == other);
        }

        let args = fault.read(Words::parse("all, line=no such line, within=50ms"), rng, 2, false).unwrap();
        let start = Instant::now();
        let error = inject(&*fault, &cluster, args).await.unwrap_err();
        assert!(error.contains("`no such line`") && start.elapsed() < Duration::from_millis(400), "{error}");
        assert!(cluster.deaths_expected.lock().unwrap().is_empty());
        assert!(heal(&*fault, &cluster).await.proved);
    });
}

#[test]
fn fifty_faults_leave_nothing_behind() {
    with_disks("fifty_faults_leave_nothing_behind", async {
        let bench = Bench::new(3, WAL, true).await;
        for node in 0..3 {
            fs::write(bench.home(node).join("repair"), "").unwrap();
        }
        bench.all_write_on().await;
        let rng = &mut Rng::new(20);
        let (mut kinds, mut bitten) = (Vec::new(), BTreeMap::<&str, usize>::new());
        for _ in 0..50 {
            if kinds.is_empty() {
                kinds = bench.faults.keys().copied().collect();
                rng.shuffle(&mut kinds);
            }
            let name = kinds.pop().unwrap();
            let fault = bench.fault(name);
            let args = fault.draw(rng, 3, false);
            // A node needs time to start before there is anything to roll back.
            let for_ms = if name == "rollback" { 2_000 } else { 500 };
            match inject_for(fault, &bench.cluster, args.clone(), for_ms).await {
                Ok((_, probe)) => *bitten.entry(name).or_default() += usize::from(probe.proved),
                // Nobody renames here.
                Err(why) => assert!(name == "crash-point" && why.contains("got to"), "{name} {args}: {why}"),
            }
            for _ in 0..2 {
                let probe = heal(fault, &bench.cluster).await;
                assert!(probe.proved, "{name} {args}: {}", probe.seen);
            }
            assert!((0..3).all(|node| bench.mounts(node) == 1), "{name} {args}");
            bench.all_write_on().await;
        }
        say(&format!("  bitten: {bitten:?}"));
        // A rule may well strike nothing in half a second; what needs no luck must bite.
        for name in ["power-loss", "torn-write", "bit-rot", "truncate", "rollback", "disk-full"] {
            assert!(bitten[name] >= 4, "{name}: {bitten:?}");
        }
        let files = fs::read_dir(bench.home(0)).unwrap().map(|e| e.unwrap().file_name());
        let files: Vec<_> = files.filter(|name| name.to_string_lossy().contains("copy")).collect();
        assert!(files.is_empty(), "{files:?}");
        bench.end().await;
    });
}

#[test]
fn nonsense_in_a_plan_is_answered_with_what_was_expected() {
    with_disks("nonsense_in_a_plan_is_answered_with_what_was_expected", async {
        let bench = Bench::new(2, "exec sleep 1000", true).await;
        for (kind, args) in [
            ("power-loss", json!({"nodes": "all", "torn": 0.5})),
            ("torn-write", json!({"nodes": "all"})),
            ("torn-write", json!({"nodes": "all", "torn": 1.5, "seed": 1})),
            (
                "disk-error",
                json!({"nodes": [0], "calls": ["sync"], "path": null, "errno": "EIO", "chance": 1.0, "seed": 1}),
            ),
            (
                "disk-error",
                json!({"nodes": [0], "calls": [], "path": null, "errno": "EWHAT", "chance": 1.0, "seed": 1}),
            ),
            ("disk-full", json!({"nodes": [0]})),
            (
                "slow-disk",
                json!({"nodes": [0], "calls": [], "path": null, "delay_us": 0, "chance": 1.0, "seed": 1}),
            ),
            ("bit-flip", json!({"nodes": [0], "path": null, "chance": -1.0, "seed": 1})),
            ("bit-rot", json!({"nodes": [0], "seed": "x"})),
            ("truncate", json!({"nodes": [0], "path": null, "bytes": 0})),
            ("rollback", json!({"nodes": [0], "to": 1})),
            (
                "crash-point",
                json!({"nodes": [0], "call": "fsync", "path": null, "nth": 0, "power": true, "torn": 0.0, "seed": 1}),
            ),
        ] {
            let error = inject(bench.fault(kind), &bench.cluster, args.clone()).await.unwrap_err();
            assert!(error.contains("expected") && error.contains(&args.to_string()), "{kind}: {error}");
        }
        assert!((0..2).all(|node| bench.cluster.init_pid(node).is_some()), "nobody was touched");
        bench.end().await;
    });
}
