//! The load path: how many operations a second a run can ask, stamp and record.
//!
//! - `memory`: against the in-memory target, with the peak memory of the process;
//! - `http`: against a trivial HTTP node in a process of its own, beside `wrk` on the same node with as
//!   many connections, one after the other, twice.
//!
//! `cargo bench -p ordeal-runner -- memory 10000000` sets the number of operations.

#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ordeal_core::memory::MemoryTarget;
use ordeal_core::{
    BoxFuture, Checker, Client, ClusterSpec, Generator, Key, Launch, Limit, Mix, NodeSpec, Op, Plan, Rng,
    Target, TargetError, Workload,
};
use ordeal_runner::{Audit, Progress, RunDir, Summary, run};
use tokio::sync::watch;

const CONNECTIONS: u16 = 16;
const HTTP_SECONDS: u64 = 5;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["serve", address] => serve(address.parse().expect("an address")),
        ["memory"] => memory(2_000_000),
        ["memory", operations] => memory(operations.parse().expect("a number")),
        ["http"] => http(),
        _ => {
            memory(2_000_000);
            http();
        }
    }
}

fn memory(operations: u64) {
    let target = Arc::new(MemoryTarget::new(None).expect("no bug asked for"));
    let start = Instant::now();
    let summary = drive(target, "register", operations, Duration::from_secs(3600), 8);
    let took = start.elapsed().as_secs_f64();
    let per_second = summary.totals.ok as f64 / took;
    println!(
        "memory  {operations} operations ({} events) in {took:.2} s: {per_second:.0} recorded operations/s, \
         peak memory {} MB",
        summary.events,
        peak_memory_kb() / 1024
    );
}

fn http() {
    let address: SocketAddr = "127.0.0.1:18573".parse().expect("an address");
    let mut node = Command::new(std::env::current_exe().expect("own path"))
        .args(["serve", &address.to_string()])
        .spawn()
        .expect("the node starts");
    while std::net::TcpStream::connect(address).is_err() {
        std::thread::sleep(Duration::from_millis(5));
    }
    for _ in 0..2 {
        let wrk = wrk(address);
        let target = Arc::new(HttpTarget { address });
        let duration = Duration::from_secs(HTTP_SECONDS);
        let summary = drive(target, "patients", u64::MAX, duration, usize::from(CONNECTIONS));
        let ours = summary.totals.ok as f64 / HTTP_SECONDS as f64;
        match wrk {
            Some(wrk) => println!(
                "http    {CONNECTIONS} connections: wrk {wrk:.0}/s, ordeal {ours:.0} recorded operations/s: {:.0} %",
                100.0 * ours / wrk
            ),
            None => println!(
                "http    ordeal {ours:.0} recorded operations/s; wrk is not installed, nothing to compare"
            ),
        }
    }
    stop(&mut node);
}

fn stop(node: &mut Child) {
    let _ = node.kill();
    let _ = node.wait();
}

/// Requests a second that `wrk` gets.
fn wrk(address: SocketAddr) -> Option<f64> {
    let output = Command::new("wrk")
        .args(["-t1", "-c", &CONNECTIONS.to_string(), "-d", &format!("{HTTP_SECONDS}s")])
        .arg(format!("http://{address}/patients/p1/summary"))
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find(|line| line.starts_with("Requests/sec:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// A whole run: generator, clients, recorder, history file.
fn drive(
    target: Arc<dyn Target>,
    name: &'static str,
    limit: u64,
    duration: Duration,
    workers: usize,
) -> Summary {
    let dir = tempfile::tempdir().expect("a directory");
    let (_interrupt, interrupted) = watch::channel(false);
    let audit = Audit {
        plan: plan(duration, workers),
        target,
        workload: Arc::new(Bounded { name, limit }),
        faults: Vec::new(),
        dir: RunDir::create(&dir.path().join("run")).expect("a run directory"),
        harness: std::env::current_exe().expect("own path"),
        class: |_| None,
        capture: None,
        progress: Arc::new(Progress::default()),
        interrupt: interrupted,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(run(audit)).expect("the run succeeds")
}

fn plan(duration: Duration, workers: usize) -> Plan {
    Plan {
        concurrency: workers,
        keys: 1_000,
        duration_ms: duration.as_millis() as u64,
        op_timeout_ms: 2_000,
        ready_timeout_ms: 10_000,
        seed: 1,
        ..Plan::nothing("register", "memory")
    }
}

/// A real workload's operations, so many of them; for `patients` only reads, as `wrk` does.
struct Bounded {
    name: &'static str,
    limit: u64,
}

impl Workload for Bounded {
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        "bounded"
    }

    fn generator(&self, plan: &Plan) -> Box<dyn Generator> {
        if self.name == "patients" {
            let read = Op::new("read-summary", Key::Text("p1".to_owned()), serde_json::Value::Null);
            return Box::new(Mix::new(Rng::new(1)).with(1, move |_, _| read.clone()));
        }
        let workload = (ordeal_workloads::find(self.name).expect("a workload").build)();
        Box::new(Limit::new(self.limit, Boxed(workload.generator(plan))))
    }

    fn final_generator(&self, _plan: &Plan) -> Box<dyn Generator> {
        Box::new(ordeal_core::null::NullGenerator)
    }

    fn checkers(&self, _plan: &Plan) -> Vec<Box<dyn Checker>> {
        Vec::new()
    }

    fn mutates(&self, f: &str) -> bool {
        !f.starts_with("read")
    }
}

struct Boxed(Box<dyn Generator>);

impl Generator for Boxed {
    fn next(&mut self, ask: ordeal_core::Ask) -> ordeal_core::Next {
        self.0.next(ask)
    }

    fn observe(&mut self, event: &ordeal_core::Event) {
        self.0.observe(event);
    }
}

/// The trivial node, already running.
struct HttpTarget {
    address: SocketAddr,
}

impl Target for HttpTarget {
    fn name(&self) -> &str {
        "http"
    }

    fn workloads(&self) -> &[&'static str] {
        &["patients"]
    }

    fn launch(&self, _node: &NodeSpec, _cluster: &ClusterSpec) -> Result<Option<Launch>, TargetError> {
        Ok(None)
    }

    fn ready<'a>(&'a self, _node: &'a NodeSpec) -> BoxFuture<'a, bool> {
        Box::pin(std::future::ready(true))
    }

    fn client(&self, _workload: &str, _node: &NodeSpec) -> Result<Box<dyn Client>, TargetError> {
        Ok(ordeal_workloads::patients::client(self.address))
    }
}

/// A node that answers every read with nothing.
fn serve(address: SocketAddr) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let answer = || async { axum::Json(serde_json::json!({"text": null, "version": null})) };
        let routes = axum::Router::new().route("/patients/{id}/summary", axum::routing::get(answer));
        let listener = tokio::net::TcpListener::bind(address).await.expect("the address is free");
        axum::serve(listener, routes).await.expect("serving");
    });
}

fn peak_memory_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap_or("");
    line.split_whitespace().nth(1).and_then(|kb| kb.parse().ok()).unwrap_or(0)
}
