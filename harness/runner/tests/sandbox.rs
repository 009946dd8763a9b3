//! The sandbox and the cluster for real: namespaces, network, processes, their deaths.
//!
//! This program is its own harness: it runs itself again for every case (a sandbox can only be entered by
//! a process with one thread), as a node's init, and as a node. Where the kernel refuses namespaces it
//! says so in one line and passes.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this program is its own test harness")]

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ordeal_core::null::{NullClient, NullWorkload};
use ordeal_core::{
    BoxFuture, Client, Cluster, ClusterSpec, Event, EventKind, Fault, FaultStep, History, Launch, Membership,
    NodeSpec, Plan, Probe, Rng, Target, TargetError, Words,
};
use ordeal_runner::sandbox::{self, Entered, INIT_COMMAND};
use ordeal_runner::{Audit, Progress, RunDir, run};
use tokio::sync::watch;

const PORT: u16 = 7000;
const CAPTURE: &str = "packets.pcap";
/// A run in which a node joins, and the fault that starts it.
const JOINING: &str = "joining";
type Case = fn(&Path);

const CASES: &[(&str, Case)] = &[
    ("five_nodes_run_and_leave_nothing", five_nodes_run_and_leave_nothing),
    ("a_node_that_dies_by_itself_is_in_the_history", a_node_that_dies_by_itself_is_in_the_history),
    (
        "a_node_that_never_starts_is_an_error_with_its_words",
        a_node_that_never_starts_is_an_error_with_its_words,
    ),
    ("a_node_sees_no_disk_but_its_own", a_node_sees_no_disk_but_its_own),
    ("killing_the_harness_leaves_nothing", killing_the_harness_leaves_nothing),
    ("a_captured_run_goes_through_the_switch", a_captured_run_goes_through_the_switch),
    (
        "a_node_that_joins_is_asked_by_its_clients_from_then_on",
        a_node_that_joins_is_asked_by_its_clients_from_then_on,
    ),
];

fn main() -> ExitCode {
    let argv: Vec<OsString> = std::env::args_os().collect();
    let words: Vec<&str> = argv.iter().filter_map(|a| a.to_str()).collect();
    match words.get(1).copied() {
        Some(INIT_COMMAND) => ExitCode::from(sandbox::init_main(&argv[2..]) as u8),
        Some("node-with-disk") => {
            say_disks();
            serve(words[2], words[3].parse().unwrap())
        }
        Some("node") => serve(words[2], words[3].parse().unwrap()),
        Some("run") => inside(Path::new(words[2]), words[3]),
        Some("--list") => ExitCode::SUCCESS,
        _ => all_cases(words.iter().skip(1).find(|w| !w.starts_with('-')).copied()),
    }
}

fn all_cases(filter: Option<&str>) -> ExitCode {
    let probe = this(&["run", "/nonexistent", "probe"]).output().unwrap();
    if !probe.status.success() {
        println!(
            "sandbox tests: skipped, no namespaces here: {}",
            String::from_utf8_lossy(&probe.stderr).trim()
        );
        return ExitCode::SUCCESS;
    }
    let mut passed = 0;
    for (name, case) in CASES.iter().filter(|(name, _)| filter.is_none_or(|f| name.contains(f))) {
        let dir = tempfile::tempdir().unwrap();
        // A failing case panics, and so fails the test.
        case(dir.path());
        println!("test {name} ... ok");
        passed += 1;
    }
    println!("\ntest result: ok. {passed} passed; 0 failed; 0 ignored; 0 measured; 0 filtered out");
    ExitCode::SUCCESS
}

fn this(args: &[&str]) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(args);
    command
}

// ---- the cases ----

fn five_nodes_run_and_leave_nothing(dir: &Path) {
    let run_dir = dir.join("run");
    let before = host_interfaces();
    let out = this(&["run", run_dir.to_str().unwrap(), "good"]).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    assert_eq!(host_interfaces(), before, "the host's network is as it was");
    assert_eq!(survivors(&run_dir), Vec::<String>::new());
    let history = read(&run_dir);
    let phases: Vec<&str> =
        history.events.iter().filter(|e| e.f == "phase").map(|e| e.value.as_str().unwrap()).collect();
    assert_eq!(phases, ["start", "warm-up", "load", "heal", "settle", "final-reads", "stop"]);
    for i in 1..=5 {
        let said = std::fs::read_to_string(run_dir.join(format!("nodes/n{i}/stdout.log"))).unwrap();
        // Its own PID namespace below its init, its own host name, a /proc to match, nothing inherited.
        assert_eq!(said, format!("pid 2 init true host n{i} env 1\n"));
    }
}

fn a_node_that_dies_by_itself_is_in_the_history(dir: &Path) {
    let run_dir = dir.join("run");
    let out = this(&["run", run_dir.to_str().unwrap(), "mortal"]).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let history = read(&run_dir);
    let death = history.events.iter().find(|e| e.f == "node-exited").expect("the death is recorded");
    assert_eq!(death.value["node"], "n2");
    assert!(death.value["status"].as_str().unwrap().contains('7'), "{}", death.value);
    assert_eq!(death.value["log"][0], "n2 has had enough");
    let after = history.events.iter().filter(|e| e.f == "phase" && e.value == "final-reads").count();
    assert_eq!(after, 1, "it was started again and the run went on");
}

fn a_node_that_never_starts_is_an_error_with_its_words(dir: &Path) {
    let run_dir = dir.join("run");
    let out = this(&["run", run_dir.to_str().unwrap(), "stillborn"]).output().unwrap();
    assert!(!out.status.success());
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(said.contains("did not start") && said.contains("cannot live like this"), "{said}");
    assert_eq!(survivors(&run_dir), Vec::<String>::new());
}

fn a_node_sees_no_disk_but_its_own(dir: &Path) {
    if let Err(e) = std::fs::File::options().read(true).write(true).open("/dev/fuse") {
        return println!("skipped, /dev/fuse cannot be opened: {e}");
    }
    let run_dir = dir.join("run");
    let out = this(&["run", run_dir.to_str().unwrap(), "disks"]).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    for i in 1..=5 {
        let said = std::fs::read_to_string(run_dir.join(format!("nodes/n{i}/stdout.log"))).unwrap();
        // The harness has raised its own limit of open files meanwhile; the node gets that of before.
        let own = run_dir.join(format!("nodes/n{i}/disk"));
        let disks = if i <= 2 { format!("{}\n", own.display()) } else { String::new() };
        let expected = format!("disks {}\n{disks}files {FILES_MAX}\n", u8::from(i <= 2));
        assert!(said.starts_with(&expected), "{said}");
    }
}

/// Mounts a disk that nobody serves for each of two nodes, and raises the limit of open files.
fn mount_disks(dir: &RunDir) {
    for id in ["n1", "n2"] {
        let point = dir.node(id).join("disk");
        std::fs::create_dir_all(&point).unwrap();
        let device = std::fs::File::options().read(true).write(true).open("/dev/fuse").unwrap();
        let fd = std::os::fd::IntoRawFd::into_raw_fd(device);
        let (uid, gid) = (nix::unistd::geteuid(), nix::unistd::getegid());
        let options = format!("fd={fd},rootmode=40000,user_id={uid},group_id={gid}");
        let flags = nix::mount::MsFlags::empty();
        nix::mount::mount(Some("test"), &point, Some("fuse.ordeal"), flags, Some(options.as_str())).unwrap();
    }
    limit_files(FILES_MAX + 1);
}

/// So many files may a node have open in the test of disks.
const FILES_MAX: u64 = 300;

fn limit_files(soft: u64) {
    let files = nix::sys::resource::Resource::RLIMIT_NOFILE;
    let (_, hard) = nix::sys::resource::getrlimit(files).unwrap();
    nix::sys::resource::setrlimit(files, soft, hard).unwrap();
}

fn killing_the_harness_leaves_nothing(dir: &Path) {
    let run_dir = dir.join("run");
    let before = host_interfaces();
    let mut harness =
        this(&["run", run_dir.to_str().unwrap(), "long"]).stderr(Stdio::null()).spawn().unwrap();
    wait_for("the load to begin", || {
        std::fs::read_to_string(run_dir.join("history.jsonl")).is_ok_and(|text| text.contains("\"load\""))
    });
    assert!(!survivors(&run_dir).is_empty(), "the nodes run, so that there is something to be left");
    harness.kill().unwrap();
    harness.wait().unwrap();
    wait_for("everything to be gone", || survivors(&run_dir).is_empty());
    assert_eq!(host_interfaces(), before);
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(!mounts.contains(run_dir.to_str().unwrap()));
    assert!(read(&run_dir).operations().is_ok(), "what was written can be judged");
}

fn a_captured_run_goes_through_the_switch(dir: &Path) {
    let run_dir = dir.join("run");
    let out = this(&["run", run_dir.to_str().unwrap(), "captured"]).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let capture = std::fs::read(run_dir.join(CAPTURE)).unwrap();
    // The question whether a node is ready, from the clients to the first node and to the last.
    for node in [1, 5] {
        let addresses = [10, 78, 0, 254, 10, 78, 0, node];
        assert!(capture.windows(8).any(|bytes| bytes == addresses), "nothing to node {node} was captured");
    }
}

fn a_node_that_joins_is_asked_by_its_clients_from_then_on(dir: &Path) {
    let run_dir = dir.join("run");
    let out = this(&["run", run_dir.to_str().unwrap(), JOINING]).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    assert_eq!(std::fs::read_to_string(run_dir.join("nodes/n5/data/told")).unwrap(), "n5 of 5, 4 founders");
    let history = read(&run_dir);
    let joined = |e: &Event| e.f == "inject" && e.kind == EventKind::Info && e.value["proved"] == true;
    let joined = history.events.iter().find(|e| joined(e)).expect("it has joined");
    let of_n5 = |e: &&Event| e.node.as_deref() == Some("n5") && e.kind == EventKind::Invoke;
    let asked: Vec<&Event> = history.events.iter().filter(of_n5).collect();
    assert!(asked.iter().filter(|e| e.f == "ping").count() > 0, "its clients have found it");
    let begun = history.events.iter().find(|e| e.f == "inject").unwrap();
    assert!(begun.time < joined.time && asked.iter().all(|e| e.time > begun.time), "nobody asked it before");
    let before = |e: &&Event| e.f == "ping" && e.time < begun.time && e.kind == EventKind::Invoke;
    let clients: BTreeSet<Option<u64>> =
        history.events.iter().filter(before).map(|e| e.process.client()).collect();
    assert!(clients.len() >= 5, "until then they asked another one");
    assert!(!asked.iter().any(|e| clients.contains(&e.process.client())), "and then they were new clients");
}

fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn read(run_dir: &Path) -> History {
    History::parse(&std::fs::read_to_string(run_dir.join("history.jsonl")).unwrap()).unwrap()
}

fn host_interfaces() -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir("/sys/class/net")
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Command lines of living processes that name the run directory (every process of a run does).
fn survivors(run_dir: &Path) -> Vec<String> {
    let me = std::process::id().to_string();
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter(|e| e.file_name().to_str() != Some(&me)).filter_map(|e| {
        let line = std::fs::read(e.path().join("cmdline")).ok()?;
        Some(String::from_utf8_lossy(&line).replace('\0', " "))
    });
    lines.filter(|line| line.contains(run_dir.to_str().unwrap())).collect()
}

// ---- what runs inside ----

/// Enters the sandbox and carries out a small plan against nodes of the named kind.
fn inside(path: &Path, kind: &str) -> ExitCode {
    if kind == "disks" {
        limit_files(FILES_MAX);
    }
    match sandbox::enter() {
        Ok(Entered::Inside) => {}
        Ok(Entered::Outside(Ok(code))) => return ExitCode::from(code as u8),
        Ok(Entered::Outside(Err(signal))) => {
            eprintln!("killed by {signal}");
            return ExitCode::FAILURE;
        }
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    }
    if kind == "probe" {
        return ExitCode::SUCCESS;
    }
    let dir = RunDir::create(path).unwrap();
    if kind == "disks" {
        mount_disks(&dir);
    }
    let (_interrupt, interrupted) = watch::channel(false);
    let duration_ms = if kind == "long" { 60_000 } else { 300 };
    let audit = Audit {
        plan: match kind {
            JOINING => Plan { nodes: 4, joining: 1, faults: vec![join_at(400)], ..plan(1_000) },
            _ => plan(duration_ms),
        },
        target: Arc::new(Trivial { kind: kind.to_owned() }),
        workload: Arc::new(Idle),
        faults: if kind == JOINING { vec![Arc::new(Join)] } else { Vec::new() },
        dir,
        harness: std::env::current_exe().unwrap(),
        class: |_| None,
        capture: (kind == "captured").then(|| path.join(CAPTURE)),
        progress: Arc::new(Progress::default()),
        interrupt: interrupted,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    match runtime.block_on(run(audit)) {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn plan(duration_ms: u64) -> Plan {
    Plan {
        nodes: 5,
        concurrency: 5,
        rate: Some(200.0),
        warmup_ms: 100,
        duration_ms,
        op_timeout_ms: 1_000,
        ready_timeout_ms: 20_000,
        seed: 1,
        ..Plan::nothing("null", "trivial")
    }
}

fn join_at(at_ms: u64) -> FaultStep {
    FaultStep { at_ms, for_ms: 100, fault: JOINING.to_owned(), args: serde_json::Value::Null }
}

/// Starts a further node, and tells the others.
struct Join;

impl Fault for Join {
    fn name(&self) -> &'static str {
        JOINING
    }

    fn about(&self) -> &'static str {
        "a node joins"
    }

    fn draw(&self, _: &mut Rng, _: usize, _: bool) -> serde_json::Value {
        serde_json::Value::Null
    }

    fn read(&self, _: Words, _: &mut Rng, _: usize, _: bool) -> Result<serde_json::Value, String> {
        Err("never asked for by name".to_owned())
    }

    fn inject<'a>(
        &'a self,
        cluster: &'a dyn Cluster,
        _: &'a FaultStep,
    ) -> BoxFuture<'a, Result<serde_json::Value, String>> {
        Box::pin(async {
            assert_eq!(cluster.joined(), 4);
            assert!(cluster.start(4).await.unwrap_err().contains("n5 has not joined yet"));
            let node = cluster.start_next().await?;
            cluster.announce(node).await?;
            assert!(cluster.start_next().await.unwrap_err().contains("all nodes have joined"));
            Ok(node.into())
        })
    }

    fn probe<'a>(&'a self, cluster: &'a dyn Cluster) -> BoxFuture<'a, Probe> {
        let proved = cluster.joined() == 5 && cluster.init_pid(4).is_some();
        Box::pin(async move { Probe { proved, seen: serde_json::Value::Null } })
    }

    fn heal<'a>(&'a self, _: &'a dyn Cluster) -> BoxFuture<'a, Result<Probe, String>> {
        Box::pin(async { Ok(Probe { proved: true, seen: serde_json::Value::Null }) })
    }
}

/// A workload that pings for ever.
struct Idle;

impl ordeal_core::Workload for Idle {
    fn name(&self) -> &'static str {
        "idle"
    }

    fn about(&self) -> &'static str {
        "pings"
    }

    fn generator(&self, _plan: &Plan) -> Box<dyn ordeal_core::Generator> {
        let ping = ordeal_core::Op::new("ping", ordeal_core::Key::Int(0), serde_json::Value::Null);
        Box::new(ordeal_core::Mix::new(Rng::new(1)).with(1, move |_, _| ping.clone()))
    }

    fn final_generator(&self, plan: &Plan) -> Box<dyn ordeal_core::Generator> {
        NullWorkload.final_generator(plan)
    }

    fn checkers(&self, plan: &Plan) -> Vec<Box<dyn ordeal_core::Checker>> {
        NullWorkload.checkers(plan)
    }

    fn mutates(&self, _f: &str) -> bool {
        false
    }
}

/// Nodes that accept connections; some kinds of them die.
struct Trivial {
    kind: String,
}

impl Target for Trivial {
    fn name(&self) -> &str {
        "trivial"
    }

    fn workloads(&self) -> &[&'static str] {
        &["idle"]
    }

    fn launch(&self, node: &NodeSpec, _cluster: &ClusterSpec) -> Result<Option<Launch>, TargetError> {
        let program: PathBuf = std::env::current_exe().unwrap();
        let lifetime_ms = match (self.kind.as_str(), node.index) {
            ("stillborn", 1) => "0",
            ("mortal", 1) => "200",
            _ => "3600000",
        };
        let role = if self.kind == "disks" { "node-with-disk" } else { "node" };
        let args = [role, &node.ip.to_string(), lifetime_ms, node.data_dir.to_str().unwrap()];
        let env = vec![("NODE".to_owned(), node.id.clone())];
        Ok(Some(Launch { program, args: args.map(str::to_owned).to_vec(), env }))
    }

    fn ready<'a>(&'a self, node: &'a NodeSpec) -> BoxFuture<'a, bool> {
        Box::pin(async { tokio::net::TcpStream::connect((node.ip, PORT)).await.is_ok() })
    }

    fn client(&self, _workload: &str, _node: &NodeSpec) -> Result<Box<dyn Client>, TargetError> {
        Ok(Box::new(NullClient))
    }

    fn membership(&self) -> Option<&dyn Membership> {
        Some(self)
    }
}

impl Membership for Trivial {
    fn join<'a>(&'a self, node: &'a NodeSpec, cluster: &'a ClusterSpec) -> BoxFuture<'a, Result<(), String>> {
        let (all, founders) = (cluster.nodes.len(), cluster.founders);
        std::fs::write(node.data_dir.join("told"), format!("{} of {all}, {founders} founders", node.id))
            .unwrap();
        Box::pin(async { Ok(()) })
    }
}

/// Says which disks there are, and how many files may be open.
fn say_disks() {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    let disks: Vec<&str> = mounts.lines().filter(|line| line.contains(" fuse.ordeal ")).collect();
    println!("disks {}", disks.len());
    disks.iter().for_each(|line| println!("{}", line.split(' ').nth(1).unwrap()));
    let files = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).unwrap();
    println!("files {}", files.0);
}

/// A node: says what it sees of the world, then accepts connections until its time is up.
fn serve(ip: &str, lifetime_ms: u64) -> ExitCode {
    if lifetime_ms == 0 {
        eprintln!("cannot live like this");
        return ExitCode::from(1);
    }
    let ip: Ipv4Addr = ip.parse().unwrap();
    let first = std::fs::read_to_string("/proc/1/cmdline").unwrap_or_default().contains(INIT_COMMAND);
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    println!("pid {} init {first} host {} env {}", std::process::id(), host.trim(), std::env::vars().count());
    let listener = TcpListener::bind(SocketAddr::from((ip, PORT))).unwrap();
    std::thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            drop(BufReader::new(connection).lines().next());
        }
    });
    // What it does has no end of its own but this one.
    std::thread::sleep(Duration::from_millis(lifetime_ms));
    eprintln!("{} has had enough", std::env::var("NODE").unwrap_or_default());
    ExitCode::from(7)
}
