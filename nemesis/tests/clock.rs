//! The clock faults against real processes: of several languages, patched while they run, started, or forked.

mod cluster;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use cluster::{TestCluster, sandboxed, say, until};
use nix::libc;
use ordeal_core::{Cluster, Fault, FaultStep, Probe};
use ordeal_nemesis::{Arsenal, find};
use serde_json::{Value, json};

/// In its environment a node finds what it is to do.
const ROLE: &str = "ORDEAL_CLOCK_TEST_ROLE";
const PYTHON: &str = "exec /usr/bin/python3 -c '
import time
while True:
    print(time.time_ns(), time.monotonic_ns(), flush=True)
    time.sleep(0.002)'";

/// A node that is this program again, which is dynamic, in this role.
fn rust(role: &str) -> &'static str {
    let program = std::env::current_exe().expect("this program");
    let script = format!("{ROLE}={role} exec {} --exact plays_a_node --nocapture", program.display());
    Box::leak(script.into_boxed_str())
}

/// Not a test: what a node does that is started by [`rust`].
#[test]
fn plays_a_node() {
    match std::env::var(ROLE).as_deref() {
        Ok("print") => loop {
            print_clocks();
            std::thread::sleep(Duration::from_millis(2));
        },
        Ok("wait") => loop {
            let (waited, error) = wait_a_second();
            say(&format!("waited {} {error}", waited.as_millis()));
        },
        // Threads that read the clock as often as they can while others come and go.
        Ok("busy") => {
            for _ in 0..3 {
                std::thread::spawn(|| {
                    loop {
                        std::hint::black_box(now_ns(libc::CLOCK_REALTIME));
                    }
                });
            }
            loop {
                std::thread::spawn(print_clocks).join().expect("no panic");
            }
        }
        Ok("cost") => loop {
            const CALLS: u32 = 200_000;
            let start = Instant::now();
            for _ in 0..CALLS {
                std::hint::black_box(now_ns(libc::CLOCK_REALTIME));
            }
            say(&format!("cost {}", start.elapsed().as_nanos() as f64 / f64::from(CALLS)));
        },
        _ => {}
    }
}

fn print_clocks() {
    say(&format!("{} {}", now_ns(libc::CLOCK_REALTIME), now_ns(libc::CLOCK_MONOTONIC)));
}

fn now_ns(clock: libc::clockid_t) -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes one such structure there.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

/// Waits for a condition that nobody signals until one second from now, by the real time that this process
/// sees.
fn wait_a_second() -> (Duration, i32) {
    let mut mutex = libc::PTHREAD_MUTEX_INITIALIZER;
    let mut condition = libc::PTHREAD_COND_INITIALIZER;
    let until_ns = now_ns(libc::CLOCK_REALTIME) + 1_000_000_000;
    let until = libc::timespec { tv_sec: until_ns / 1_000_000_000, tv_nsec: until_ns % 1_000_000_000 };
    let start = Instant::now();
    // SAFETY: both are initialised, and stay where they are.
    let error = unsafe {
        libc::pthread_mutex_lock(&raw mut mutex);
        let error = libc::pthread_cond_timedwait(&raw mut condition, &raw mut mutex, &raw const until);
        libc::pthread_mutex_unlock(&raw mut mutex);
        error
    };
    (start.elapsed(), error)
}

fn arsenal() -> Arc<Arsenal> {
    Arc::new(Arsenal::default())
}

fn build(kind: &str, arsenal: &Arc<Arsenal>) -> Box<dyn Fault> {
    (find(kind).expect("registered").build)(arsenal)
}

fn step_of(fault: &dyn Fault, args: &Value) -> FaultStep {
    FaultStep { at_ms: 0, for_ms: 4_000, fault: fault.name().to_owned(), args: args.clone() }
}

/// Injects and probes; both must succeed.
async fn inject(fault: &dyn Fault, cluster: &TestCluster, args: Value) -> Probe {
    let step = step_of(fault, &args);
    let start = Instant::now();
    let installed = fault.inject(cluster, &step).await.expect("injected");
    let injected = start.elapsed();
    let start = Instant::now();
    let probe = fault.probe(cluster).await;
    say(&format!(
        "  {} {args}: inject {injected:.1?}, probe {:.1?}, {installed}",
        fault.name(),
        start.elapsed()
    ));
    assert!(probe.proved, "{args}: {}", probe.seen);
    probe
}

async fn heal(fault: &dyn Fault, cluster: &TestCluster) -> Probe {
    let start = Instant::now();
    let probe = fault.heal(cluster).await.expect("healed");
    say(&format!("  {} heal {:.1?}", fault.name(), start.elapsed()));
    assert!(probe.proved, "{}", probe.seen);
    for process in all_processes(&probe) {
        let offset_us = process["offset_us"].as_i64().unwrap_or(0);
        assert!(offset_us.abs() <= process["error_us"].as_i64().unwrap_or(0), "{}", probe.seen);
    }
    probe
}

fn all_processes(probe: &Probe) -> Vec<Value> {
    let nodes = probe.seen.as_array().expect("nodes");
    nodes.iter().flat_map(|node| node["processes"].as_array().expect("processes").clone()).collect()
}

/// How far the clocks of a node were off when it last printed them, in ms: real time, monotonic time. The line
/// is at most some ms old.
fn printed_ms(cluster: &TestCluster, node: usize) -> Option<(i64, i64)> {
    let text = std::fs::read_to_string(cluster.log_file(node, "stdout")).ok()?;
    let line = text
        .lines()
        .rev()
        .find(|line| line.split(' ').all(|word| word.len() > 5 && word.parse::<i64>().is_ok()))?;
    let mut words = line.split(' ').map(|word| word.parse::<i64>().expect("a number"));
    let real = words.next()? - now_ns(libc::CLOCK_REALTIME);
    let mono = words.next().map_or(0, |mono| mono - now_ns(libc::CLOCK_MONOTONIC));
    Some((real / 1_000_000, mono / 1_000_000))
}

/// Waits until a node prints clocks that are so far off.
async fn prints(cluster: &TestCluster, node: usize, off_ms: (i64, i64)) {
    let near = |a: i64, b: i64| (a - b).abs() < 500;
    let what = format!("node {node} to be off by {off_ms:?}, was {:?}", printed_ms(cluster, node));
    until(&what, || printed_ms(cluster, node).is_some_and(|(r, m)| near(r, off_ms.0) && near(m, off_ms.1)))
        .await;
}

/// The host's clock, as far ahead of its monotonic one.
fn host_ns() -> i64 {
    let real = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos() as i64;
    real - now_ns(libc::CLOCK_MONOTONIC)
}

/// The threads of this process by these names.
fn threads(name: &str) -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").expect("tasks");
    let comm = |task: std::io::Result<std::fs::DirEntry>| {
        std::fs::read_to_string(task.ok()?.path().join("comm")).ok()
    };
    tasks.filter_map(comm).filter(|comm| comm.trim_end() == name).count()
}

fn count(path: &str) -> usize {
    std::fs::read_dir(path).expect("a directory").count()
}

/// Steps node 0 of two forth and back, by all means of looking.
async fn steps_bite_and_heal(cluster: &TestCluster, kind: &str) {
    let arsenal = arsenal();
    let fault = build(kind, &arsenal);
    assert!(!fault.probe(cluster).await.proved, "nothing is skewed yet");
    assert!(fault.heal(cluster).await.expect("healed").proved, "healing needs no injection");
    let host = host_ns();
    for offset_ms in [60_000, -1_800_000] {
        let probe = inject(&*fault, cluster, json!({"nodes": [0], "offset_ms": offset_ms})).await;
        let skewed = &probe.seen[0];
        let measured_us = skewed["offset_us"].as_i64().expect("measured");
        assert!((measured_us - offset_ms * 1_000).abs() < 1_000, "{skewed}");
        assert!(skewed["error_us"].as_i64().expect("measured") <= 100, "{skewed}");
        assert_eq!(skewed["monotonic_offset_us"], 0, "{skewed}");
        assert_eq!(probe.seen[1]["skewed"], false);
        prints(cluster, 0, (offset_ms, 0)).await;
        prints(cluster, 1, (0, 0)).await;
        heal(&*fault, cluster).await;
        prints(cluster, 0, (0, 0)).await;
        assert!(!fault.probe(cluster).await.proved, "it is over");
        heal(&*fault, cluster).await;
    }
    assert!((host_ns() - host).abs() < 50_000_000, "the host's clock was touched");
    assert_eq!(threads("clock-watch") + threads("clock-strobe") + threads("clock-trace"), 0);
    let notes = cluster.notes.lock().expect("not poisoned");
    assert!(
        notes
            .iter()
            .any(|(f, note)| *f == "clock-offset" && note["node"] == "n1" && note["measured"] == true)
    );
}

#[test]
fn steps_bite_in_rust() {
    sandboxed("steps_bite_in_rust", async {
        let cluster = TestCluster::started(2, rust("print"));
        until("both print", || (0..2).all(|node| printed_ms(&cluster, node).is_some())).await;
        steps_bite_and_heal(&cluster, "clock-step").await;
    });
}

#[test]
fn steps_bite_in_rust_that_reads_the_clock_all_the_time_in_threads_that_come_and_go() {
    sandboxed("steps_bite_in_rust_that_reads_the_clock_all_the_time_in_threads_that_come_and_go", async {
        let cluster = TestCluster::started(2, rust("busy"));
        until("both print", || (0..2).all(|node| printed_ms(&cluster, node).is_some())).await;
        steps_bite_and_heal(&cluster, "clock-step").await;
    });
}

#[test]
fn steps_bite_in_python() {
    sandboxed("steps_bite_in_python", async {
        if !Path::new("/usr/bin/python3").exists() {
            return say("  skipped, /usr/bin/python3 is not installed here");
        }
        let cluster = TestCluster::started(2, PYTHON);
        until("both print", || (0..2).all(|node| printed_ms(&cluster, node).is_some())).await;
        steps_bite_and_heal(&cluster, "clock-step").await;
    });
}

#[test]
fn steps_bite_in_java() {
    sandboxed("steps_bite_in_java", async {
        if !(Path::new("/usr/bin/java").exists() && Path::new("/usr/bin/javac").exists()) {
            return say("  skipped, no JDK is installed here");
        }
        const SOURCE: &str = "public class Clock { public static void main(String[] a) throws Exception {
            while (true) {
                System.out.println(System.currentTimeMillis() * 1000000 + \" \" + System.nanoTime());
                Thread.sleep(2);
            } } }";
        let script = format!("cat > Clock.java <<'END'\n{SOURCE}\nEND\nexec java -Xmx64m Clock.java");
        let cluster = TestCluster::started(2, Box::leak(script.into_boxed_str()));
        until("both print", || (0..2).all(|node| printed_ms(&cluster, node).is_some())).await;
        steps_bite_and_heal(&cluster, "clock-step").await;
    });
}

/// A step of a minute in a static program that prints its clock.
async fn a_step_bites_in(program: &Path) {
    let cluster = TestCluster::new(1, Box::leak(format!("exec {}", program.display()).into_boxed_str()));
    let arsenal = arsenal();
    let fault = build("clock-step", &arsenal);
    fault.prepare(&cluster).await.expect("prepared");
    cluster.start(0).await.expect("started");
    until("it prints", || printed_ms(&cluster, 0).is_some()).await;
    inject(&*fault, &cluster, json!({"nodes": [0], "offset_ms": 60_000})).await;
    prints(&cluster, 0, (60_000, 0)).await;
    heal(&*fault, &cluster).await;
    prints(&cluster, 0, (0, 0)).await;
}

#[test]
fn steps_bite_in_a_static_program() {
    sandboxed("steps_bite_in_a_static_program", async {
        const SOURCE: &str = "use std::time::*; fn main() { let start = Instant::now(); loop {
            println!(\"{}\", SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos());
            std::thread::sleep(Duration::from_millis(2)); std::hint::black_box(start.elapsed());
        } }";
        let home = tempfile::tempdir().expect("a directory");
        let (source, program) = (home.path().join("clock.rs"), home.path().join("clock"));
        std::fs::write(&source, SOURCE).expect("written");
        let mut rustc = std::process::Command::new("rustc");
        rustc.args(["-C", "target-feature=+crt-static", "-o"]).arg(&program).arg(&source);
        let built = rustc.output();
        if !built.as_ref().is_ok_and(|output| output.status.success()) {
            return say(&format!("  skipped, no static program can be built here: {built:?}"));
        }
        a_step_bites_in(&program).await;
    });
}

#[test]
fn steps_bite_in_static_go() {
    sandboxed("steps_bite_in_static_go", async {
        const SOURCE: &str =
            "package main; import (\"fmt\"; \"time\"); func main() { start := time.Now(); for {
            fmt.Println(time.Now().UnixNano()); time.Sleep(2 * time.Millisecond); _ = time.Since(start) } }";
        let home = tempfile::tempdir().expect("a directory");
        let (source, program) = (home.path().join("clock.go"), home.path().join("clock"));
        std::fs::write(&source, SOURCE).expect("written");
        let mut go = std::process::Command::new("go");
        go.args(["build", "-o"]).arg(&program).arg(&source).current_dir(home.path());
        go.env("CGO_ENABLED", "0").env("GOCACHE", home.path().join("cache")).env("GO111MODULE", "off");
        let built = go.output();
        if !built.as_ref().is_ok_and(|output| output.status.success()) {
            return say(&format!("  skipped, no Go program can be built here: {built:?}"));
        }
        a_step_bites_in(&program).await;
    });
}

#[test]
fn steps_bite_in_etcd() {
    sandboxed("steps_bite_in_etcd", async {
        if !Path::new("/usr/bin/etcd").exists() {
            return say("  skipped, etcd is not installed here");
        }
        let cluster = TestCluster::started(1, "exec /usr/bin/etcd --data-dir data/etcd");
        let log = || std::fs::read_to_string(cluster.log_file(0, "stderr")).unwrap_or_default();
        until("etcd serves", || log().contains("ready to serve")).await;
        let arsenal = arsenal();
        let fault = build("clock-step", &arsenal);
        for offset_ms in [3_600_000, -5_000, -400_000_000] {
            inject(&*fault, &cluster, json!({"nodes": "all", "offset_ms": offset_ms})).await;
            heal(&*fault, &cluster).await;
        }
        assert!(cluster.init_pid(0).is_some(), "it lives: {}", log());
    });
}

#[test]
fn steps_bite_in_postgres_and_all_it_forks() {
    sandboxed("steps_bite_in_postgres_and_all_it_forks", async {
        const BIN: &str = "/usr/lib/postgresql/15/bin";
        const HOME: &str = "/tmp/ordeal-clock-pg";
        _ = std::fs::remove_dir_all(HOME);
        std::fs::create_dir(HOME).expect("created");
        // It refuses to run as root; a rootless sandbox has no other user.
        if !Path::new(BIN).exists() || std::os::unix::fs::chown(HOME, Some(65_534), Some(65_534)).is_err() {
            return say("  skipped, PostgreSQL 15 is not installed here, or there is no other user");
        }
        let script = "cd /tmp/ordeal-clock-pg && as='setpriv --reuid 65534 --regid 65534 --clear-groups' &&
            $as /usr/lib/postgresql/15/bin/initdb -N -D data -U u >&2 &&
            exec $as /usr/lib/postgresql/15/bin/postgres -D data -c listen_addresses= -c unix_socket_directories=$PWD";
        let cluster = TestCluster::new(1, script);
        std::fs::set_permissions(cluster.home.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .expect("chmod");
        cluster.start(0).await.expect("started");
        let log = || std::fs::read_to_string(cluster.log_file(0, "stderr")).unwrap_or_default();
        // On a busy machine it takes longer than anything else here.
        let start = Instant::now();
        while !log().contains("ready to accept connections") {
            assert!(start.elapsed() < Duration::from_secs(60), "{}", log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let arsenal = arsenal();
        let fault = build("clock-step", &arsenal);
        let ask = || {
            let output = std::process::Command::new(format!("{BIN}/psql"))
                .args(["-h", HOME, "-U", "u", "-d", "postgres", "-Atc"])
                .arg("select (extract(epoch from clock_timestamp()) * 1000)::bigint")
                .output()
                .expect("psql runs");
            let out = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            out.parse::<i64>().unwrap_or_else(|_| panic!("{output:?}"))
                - now_ns(libc::CLOCK_REALTIME) / 1_000_000
        };
        let before =
            all_processes(&inject(&*fault, &cluster, json!({"nodes": [0], "offset_ms": 60_000})).await);
        assert!(before.len() >= 5, "the postmaster and its helpers: {before:?}");
        assert!((ask() - 60_000).abs() < 1_000, "a new back-end inherits the skew");
        heal(&*fault, &cluster).await;
        assert!(ask().abs() < 1_000);
        std::fs::remove_dir_all(HOME).expect("removed");
    });
}

#[test]
fn a_strobe_shows_both_times_and_ends() {
    sandboxed("a_strobe_shows_both_times_and_ends", async {
        let cluster = TestCluster::started(2, rust("print"));
        until("both print", || (0..2).all(|node| printed_ms(&cluster, node).is_some())).await;
        let arsenal = arsenal();
        let fault = build("clock-strobe", &arsenal);
        for (offset_ms, period_ms) in [(-3_600_000, 1), (20, 5), (60_000, 100)] {
            let args = json!({"nodes": [1], "offset_ms": offset_ms, "period_ms": period_ms});
            let probe = inject(&*fault, &cluster, args).await;
            let process = &probe.seen[1]["processes"][0];
            assert!(process["seen_right"] == true && process["seen_wrong"] == true, "{process}");
            assert_eq!(threads("clock-strobe"), 1);
        }
        prints(&cluster, 1, (60_000, 0)).await;
        prints(&cluster, 1, (0, 0)).await;
        prints(&cluster, 1, (60_000, 0)).await;
        prints(&cluster, 0, (0, 0)).await;
        heal(&*fault, &cluster).await;
        prints(&cluster, 1, (0, 0)).await;
        assert_eq!(threads("clock-strobe") + threads("clock-watch"), 0);
    });
}

#[test]
fn a_drift_grows() {
    sandboxed("a_drift_grows", async {
        let cluster = TestCluster::started(2, rust("print"));
        until("both print", || (0..2).all(|node| printed_ms(&cluster, node).is_some())).await;
        let arsenal = arsenal();
        let fault = build("clock-drift", &arsenal);
        for ppm in [100, -100, 500_000, -500_000] {
            let first = inject(&*fault, &cluster, json!({"nodes": [0], "ppm": ppm})).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
            let second = fault.probe(&cluster).await;
            assert!(second.proved, "{}", second.seen);
            let off_us = |probe: &Probe| probe.seen[0]["offset_us"].as_i64().expect("measured").abs();
            assert!(off_us(&second) > off_us(&first), "{} {}", first.seen, second.seen);
        }
        until("a second is lost", || printed_ms(&cluster, 0).is_some_and(|(real, _)| real < -1_000)).await;
        prints(&cluster, 1, (0, 0)).await;
        heal(&*fault, &cluster).await;
        prints(&cluster, 0, (0, 0)).await;
    });
}

#[test]
fn the_monotonic_clock_is_skewed_on_request() {
    sandboxed("the_monotonic_clock_is_skewed_on_request", async {
        let cluster = TestCluster::started(1, rust("print"));
        until("it prints", || printed_ms(&cluster, 0).is_some()).await;
        let arsenal = Arc::new(Arsenal { clock_monotonic: true, ..Arsenal::default() });
        let (step, strobe, drift) =
            (build("clock-step", &arsenal), build("clock-strobe", &arsenal), build("clock-drift", &arsenal));
        assert_eq!(step.draw(&mut ordeal_core::Rng::new(1), 3, false)["monotonic"], true);
        inject(&*step, &cluster, json!({"nodes": [0], "offset_ms": 60_000, "monotonic": true})).await;
        prints(&cluster, 0, (60_000, 60_000)).await;
        let second = step_of(&*strobe, &json!({"nodes": [0], "offset_ms": 5, "period_ms": 5}));
        let error = strobe.inject(&cluster, &FaultStep { for_ms: 20, ..second }).await.unwrap_err();
        assert!(error.contains("clock-step is in force"));
        assert!(strobe.heal(&cluster).await.unwrap().proved, "it has nothing to heal");
        prints(&cluster, 0, (60_000, 60_000)).await;
        heal(&*step, &cluster).await;
        // Further back than the machine has been running: the clock stands still.
        inject(&*step, &cluster, json!({"nodes": [0], "offset_ms": -500_000_000, "monotonic": true})).await;
        heal(&*step, &cluster).await;
        inject(&*strobe, &cluster, json!({"nodes": [0], "offset_ms": 5, "period_ms": 5, "monotonic": true}))
            .await;
        heal(&*strobe, &cluster).await;
        inject(&*drift, &cluster, json!({"nodes": [0], "ppm": 200, "monotonic": true})).await;
        heal(&*drift, &cluster).await;
        prints(&cluster, 0, (0, 0)).await;
    });
}

/// Whoever is started while the skew is in force sees nothing but skewed time.
#[test]
fn what_is_executed_or_restarted_during_a_skew_is_skewed() {
    sandboxed("what_is_executed_or_restarted_during_a_skew_is_skewed", async {
        let cluster = TestCluster::new(2, "while :; do date +%s%N; done");
        let arsenal = arsenal();
        let (step, strobe, kill) =
            (build("clock-step", &arsenal), build("clock-strobe", &arsenal), build("kill", &arsenal));
        for fault in [&step, &strobe, &step] {
            fault.prepare(&cluster).await.expect("prepared");
        }
        for node in 0..2 {
            cluster.start(node).await.expect("started");
            let env = cluster.launch(node).expect("a launch").env;
            assert_eq!(env.iter().filter(|(key, _)| key == "LD_PRELOAD").count(), 1, "{env:?}");
        }
        until("both print", || (0..2).all(|node| printed_ms(&cluster, node).is_some())).await;
        inject(&*step, &cluster, json!({"nodes": [0], "offset_ms": -600_000})).await;
        let lines =
            |node| std::fs::read_to_string(cluster.log_file(node, "stdout")).expect("a log").lines().count();
        let from = lines(0) + 1;
        let start = lines(1);
        until("dates are printed", || lines(0) > from + 200 && lines(1) > start + 200).await;
        for (node, from, off_ms) in [(0, from, -600_000), (1, start, 0)] {
            let text = std::fs::read_to_string(cluster.log_file(node, "stdout")).expect("a log");
            let now_ms = now_ns(libc::CLOCK_REALTIME) / 1_000_000;
            for line in text.lines().skip(from).filter(|line| line.len() == 19) {
                let off = line.parse::<i64>().expect("a number") / 1_000_000 - now_ms - off_ms;
                assert!((-20_000..1_000).contains(&off), "node {node}: {line} is off by {off} ms");
            }
        }
        kill.inject(&cluster, &step_of(&*kill, &json!({"nodes": [0]}))).await.expect("killed");
        let from = lines(0);
        assert!(kill.heal(&cluster).await.expect("started").proved);
        until("dates are printed", || lines(0) > from + 50).await;
        prints(&cluster, 0, (-600_000, 0)).await;
        assert!(step.probe(&cluster).await.proved);
        heal(&*step, &cluster).await;
        prints(&cluster, 0, (0, 0)).await;
        step.dismantle(&cluster).await.expect("dismantled");
        strobe.dismantle(&cluster).await.expect("dismantled");
        assert!(cluster.launch(0).expect("a launch").env.is_empty());
        assert!(!cluster.home.path().join("n1/clock").exists());
    });
}

/// Without the preload library there is only the watcher to find it.
#[test]
fn what_is_started_without_the_library_is_found() {
    sandboxed("what_is_started_without_the_library_is_found", async {
        let script = format!("sleep 1000 & while [ ! -e go ]; do sleep 0.01; done; {}", rust("print"));
        let cluster = TestCluster::started(1, Box::leak(script.into_boxed_str()));
        until("the sleeper runs", || !cluster.sleepers(0).is_empty()).await;
        let arsenal = arsenal();
        let (step, kill) = (build("clock-step", &arsenal), build("kill", &arsenal));
        inject(&*step, &cluster, json!({"nodes": "all", "offset_ms": 60_000})).await;
        std::fs::write(cluster.home.path().join("n1/go"), "").expect("written");
        until("it is executed", || printed_ms(&cluster, 0).is_some()).await;
        prints(&cluster, 0, (60_000, 0)).await;
        assert!(step.probe(&cluster).await.proved);
        // All down at first: it waits.
        heal(&*step, &cluster).await;
        kill.inject(&cluster, &step_of(&*kill, &json!({"nodes": [0]}))).await.expect("killed");
        let short = FaultStep { for_ms: 20, ..step_of(&*step, &json!({"nodes": [0], "offset_ms": 60_000})) };
        assert!(step.inject(&cluster, &short).await.unwrap_err().contains("is down"));
        let back = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            kill.heal(&cluster).await.expect("started")
        };
        tokio::join!(inject(&*step, &cluster, json!({"nodes": [0], "offset_ms": 60_000})), back);
        prints(&cluster, 0, (60_000, 0)).await;
        heal(&*step, &cluster).await;
    });
}

#[test]
fn waits_until_absolute_times_last_as_long_as_without_a_skew() {
    sandboxed("waits_until_absolute_times_last_as_long_as_without_a_skew", async {
        let cluster = TestCluster::new(1, rust("wait"));
        let arsenal = arsenal();
        let fault = build("clock-step", &arsenal);
        fault.prepare(&cluster).await.expect("prepared");
        cluster.start(0).await.expect("started");
        let waits = || -> Vec<u64> {
            let text = std::fs::read_to_string(cluster.log_file(0, "stdout")).unwrap_or_default();
            let wait = |line: &str| line.strip_prefix("waited ")?.strip_suffix(" 110")?.parse().ok();
            text.lines().filter_map(wait).collect()
        };
        for offset_ms in [3_000, -3_000] {
            inject(&*fault, &cluster, json!({"nodes": [0], "offset_ms": offset_ms})).await;
            // One wait began before.
            let begun = waits().len() + 1;
            until("it has waited", || waits().len() > begun).await;
            let waited_ms = waits()[begun];
            say(&format!("  at {offset_ms} ms it waited {waited_ms} ms"));
            assert!((990..1_500).contains(&waited_ms), "{waited_ms}");
        }
        heal(&*fault, &cluster).await;
    });
}

#[test]
fn a_paused_node_is_skewed_and_stays_paused() {
    sandboxed("a_paused_node_is_skewed_and_stays_paused", async {
        let cluster = TestCluster::started(1, rust("print"));
        until("it prints", || printed_ms(&cluster, 0).is_some()).await;
        let arsenal = arsenal();
        let (step, pause) = (build("clock-step", &arsenal), build("pause", &arsenal));
        for _ in 0..3 {
            pause.inject(&cluster, &step_of(&*pause, &json!({"nodes": [0]}))).await.expect("paused");
            inject(&*step, &cluster, json!({"nodes": [0], "offset_ms": 60_000})).await;
            let probe = pause.probe(&cluster).await;
            assert!(probe.proved, "{}", probe.seen);
            assert!(pause.heal(&cluster).await.expect("goes on").proved);
            prints(&cluster, 0, (60_000, 0)).await;
            heal(&*step, &cluster).await;
        }
    });
}

#[test]
fn a_tree_that_changes_all_the_time_is_skewed() {
    sandboxed("a_tree_that_changes_all_the_time_is_skewed", async {
        const BUSY: &str =
            "setsid sh -c 'while :; do :; done' & (setsid sh -c 'while :; do /bin/true; done' &)
            while :; do /bin/true; done";
        let cluster = TestCluster::started(2, BUSY);
        until("the whole tree runs", || (0..2).all(|node| cluster.pids(node).len() >= 3)).await;
        let arsenal = arsenal();
        let fault = build("clock-step", &arsenal);
        for _ in 0..5 {
            let probe = inject(&*fault, &cluster, json!({"nodes": [0], "offset_ms": 60_000})).await;
            assert!(probe.seen[0]["processes"].as_array().expect("processes").len() >= 3, "{}", probe.seen);
            heal(&*fault, &cluster).await;
        }
    });
}

#[test]
fn nothing_is_left_behind_by_a_thousand_skews() {
    sandboxed("nothing_is_left_behind_by_a_thousand_skews", async {
        let cluster = TestCluster::started(1, rust("print"));
        until("it prints", || printed_ms(&cluster, 0).is_some()).await;
        let arsenal = arsenal();
        let fault = build("clock-step", &arsenal);
        let pid = cluster.init_pid(0).expect("runs");
        let state = || {
            let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).expect("maps").lines().count();
            (maps, count(&format!("/proc/{pid}/fd")), count("/proc/self/fd"), threads("clock-watch"))
        };
        let once = || async {
            let step = step_of(&*fault, &json!({"nodes": [0], "offset_ms": 60_000}));
            fault.inject(&cluster, &step).await.expect("injected");
            assert!(fault.heal(&cluster).await.expect("healed").proved);
        };
        once().await;
        let before = state();
        let start = Instant::now();
        for _ in 0..1_000 {
            once().await;
        }
        say(&format!("  inject and heal: {:.1?} each", start.elapsed() / 1_000));
        assert_eq!(state(), before);
    });
}

/// Not an assertion on the machine's speed: only that the clock still is read without a system call.
#[test]
fn reading_the_clock_stays_cheap() {
    sandboxed("reading_the_clock_stays_cheap", async {
        let cluster = TestCluster::started(1, rust("cost"));
        let costs = || -> Vec<f64> {
            let text = std::fs::read_to_string(cluster.log_file(0, "stdout")).unwrap_or_default();
            text.lines().filter_map(|line| line.strip_prefix("cost ")?.parse().ok()).collect()
        };
        let cheapest = || async {
            let from = costs().len() + 1;
            until("it is measured", || costs().len() >= from + 5).await;
            costs()[from..].iter().copied().fold(f64::MAX, f64::min)
        };
        let plain = cheapest().await;
        let arsenal = arsenal();
        let fault = build("clock-step", &arsenal);
        inject(&*fault, &cluster, json!({"nodes": [0], "offset_ms": 60_000})).await;
        let skewed = cheapest().await;
        heal(&*fault, &cluster).await;
        let healed = cheapest().await;
        say(&format!("  a reading takes {plain:.1} ns, skewed {skewed:.1} ns, healed {healed:.1} ns"));
        assert!(skewed < plain + 200.0 && healed < plain + 200.0);
    });
}

#[test]
fn whoever_writes_nonsense_into_a_plan_is_told_what_was_expected() {
    sandboxed("whoever_writes_nonsense_into_a_plan_is_told_what_was_expected", async {
        let cluster = TestCluster::started(1, "exec sleep 1000");
        let arsenal = arsenal();
        let mut seen = BTreeSet::new();
        for (kind, args) in [
            ("clock-step", json!({"nodes": [0]})),
            ("clock-step", json!({"nodes": [1], "offset_ms": 5})),
            ("clock-strobe", json!({"nodes": "every", "offset_ms": 5, "period_ms": 5})),
            ("clock-drift", json!({"nodes": [0], "offset_ms": 5})),
        ] {
            let fault = build(kind, &arsenal);
            let error = fault.inject(&cluster, &step_of(&*fault, &args)).await.unwrap_err();
            assert!(error.contains("expected") && error.contains(&args.to_string()), "{error}");
            seen.insert(error);
        }
        assert_eq!(seen.len(), 4);
    });
}
