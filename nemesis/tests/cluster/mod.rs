//! A tiny cluster of shell scripts, in namespaces of its own, for tests of what only a kernel can show.
//!
//! The test starts itself again under `unshare`: in there it is process 1 and has a network of its own, so
//! that nothing it does can touch the machine, and nothing of it outlives it.

#![allow(dead_code, reason = "several test programs share this; none uses all of it")]

mod switch;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns, unshare};
use ordeal_core::{
    BoxFuture, Cluster, ClusterSpec, End, Fabric, Fault, FaultStep, Launch, LaunchChange, LinkCounters,
    LinkRule, Machine, NodeSpec, Probe,
};
use ordeal_nemesis::{Arsenal, find};
use serde_json::Value;

const INSIDE: &str = "ORDEAL_NEMESIS_TEST_INSIDE";
pub(crate) const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 78, 0, 254);
/// The longest wait for anything in a test.
pub(crate) const BOUND: Duration = Duration::from_secs(10);

/// Process 1 of a node: starts the program, reaps everything, ends when the program ends.
const INIT: &str = "\"$@\"; exit $?";

/// Runs the body of the test `name` inside; where the kernel or the machine does not allow that, prints
/// one line and passes.
pub(crate) fn sandboxed(name: &str, body: impl Future<Output = ()>) {
    if std::env::var_os(INSIDE).is_some() {
        return tokio::runtime::Runtime::new().expect("a runtime").block_on(body);
    }
    let mut flags = vec!["--mount", "--net", "--pid", "--ipc", "--fork", "--mount-proc", "--kill-child"];
    if !nix::unistd::geteuid().is_root() {
        flags.extend(["--user", "--map-root-user"]);
    }
    let allowed = Command::new("unshare").args(&flags).args(["ip", "link"]).output();
    if !allowed.as_ref().is_ok_and(|o| o.status.success()) {
        return say(&format!("{name}: skipped, no namespaces or no `ip` here: {allowed:?}"));
    }
    let output = Command::new("unshare")
        .args(&flags)
        .arg(std::env::current_exe().expect("this program"))
        .args(["--exact", name, "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .expect("unshare runs");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "inside: {}\n{out}\n{err}", output.status);
    assert!(out.contains("1 passed"), "the test must exist by this name:\n{out}");
    out.lines().filter(|line| line.starts_with("  ")).for_each(say);
}

/// A line for the reader of the test's output.
#[expect(clippy::print_stdout, reason = "what a test measured or why it was skipped is for its reader")]
pub(crate) fn say(line: &str) {
    println!("{line}");
}

/// A fault on such a machine.
pub(crate) fn build(kind: &str, machine: &Machine) -> Box<dyn Fault> {
    let arsenal = Arsenal { machine: machine.clone(), ..Arsenal::default() };
    (find(kind).expect("registered").build)(&Arc::new(arsenal))
}

/// Injects for a second and probes, telling how long each took.
pub(crate) async fn inject(
    fault: &dyn Fault,
    cluster: &TestCluster,
    args: Value,
) -> Result<(Value, Probe), String> {
    inject_for(fault, cluster, args, 1_000).await
}

/// The same with another length.
pub(crate) async fn inject_for(
    fault: &dyn Fault,
    cluster: &TestCluster,
    args: Value,
    for_ms: u64,
) -> Result<(Value, Probe), String> {
    let step = FaultStep { at_ms: 0, for_ms, fault: fault.name().to_owned(), args };
    let start = Instant::now();
    let installed = fault.inject(cluster, &step).await?;
    let injected = start.elapsed();
    let start = Instant::now();
    let probe = fault.probe(cluster).await;
    say(&format!("  {} {}: inject {injected:.1?}, probe {:.1?}", fault.name(), step.args, start.elapsed()));
    say(&format!("    {installed} seen {}", probe.seen));
    Ok((installed, probe))
}

/// Heals, telling how long it took.
pub(crate) async fn heal(fault: &dyn Fault, cluster: &TestCluster) -> Probe {
    let start = Instant::now();
    let probe = fault.heal(cluster).await.expect("healed");
    say(&format!("  {} heal {:.1?}: {}", fault.name(), start.elapsed(), probe.seen));
    probe
}

/// Waits for a condition.
pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < BOUND, "waited {BOUND:?} for: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Does something in a network namespace.
pub(crate) fn inside<T: Send>(network: BorrowedFd<'_>, act: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let visit = || {
            setns(network, CloneFlags::CLONE_NEWNET).expect("setns");
            act()
        };
        scope.spawn(visit).join().expect("no panic in the namespace")
    })
}

fn ip(args: &str) {
    let output = Command::new("ip").args(args.split(' ')).output().expect("ip runs");
    assert!(output.status.success(), "ip {args}: {}", String::from_utf8_lossy(&output.stderr));
}

pub(crate) struct TestCluster {
    spec: ClusterSpec,
    networks: Vec<OwnedFd>,
    /// The network's switch, if it is not the kernel's bridge.
    switch: Option<Arc<switch::Control>>,
    children: Vec<Mutex<Option<Child>>>,
    script: &'static str,
    /// Each node's directory is in here, by its id: its logs, its data below `data`.
    pub(crate) home: tempfile::TempDir,
    changes: Mutex<BTreeMap<(usize, &'static str), LaunchChange>>,
    /// What faults noted.
    pub(crate) notes: Mutex<Vec<(&'static str, Value)>>,
    /// What [`Cluster::primaries`] answers.
    pub(crate) primaries: Option<Vec<usize>>,
    /// How many nodes there are by now.
    joined: AtomicUsize,
    /// How often a node that joins is not taken in before it is.
    pub(crate) refusals: AtomicUsize,
    /// The nodes of whose death the cluster was told.
    pub(crate) deaths_expected: Mutex<Vec<usize>>,
}

impl TestCluster {
    /// Builds the networks, joined by the kernel's bridge. Each node is a shell with this script, in the
    /// node's directory; none runs yet.
    pub(crate) fn new(nodes: usize, script: &'static str) -> Self {
        ip("link add br0 type bridge");
        ip(&format!("addr add {CLIENT}/24 dev br0"));
        ip("link set br0 up");
        TestCluster::build(nodes, script, |node, fd| {
            ip(&format!("link add v{node} type veth peer name eth0 netns {fd}"));
            ip(&format!("link set v{node} master br0 up"));
        })
    }

    /// Like [`TestCluster::new`], joined by a switch that obeys rules.
    pub(crate) fn switched(nodes: usize, script: &'static str) -> Self {
        let network = new_network();
        let mut ports = vec![("clients".to_owned(), End::Clients)];
        ports.extend((0..nodes).map(|node| (format!("v{node}"), End::Node(node))));
        let join = |name: &str, peer: &str, number: usize, fd: &str| {
            inside(network.as_fd(), || {
                let mac = format!("02:78:00:00:00:{number:02x}");
                ip(&format!("link add {name} type veth peer name {peer} address {mac} netns {fd}"));
                ip(&format!("link set {name} up"));
            });
        };
        join("clients", "eth0", 254, &std::process::id().to_string());
        ip(&format!("addr add {CLIENT}/24 dev eth0"));
        ip("link set eth0 up");
        let mut cluster = TestCluster::build(nodes, script, |node, fd| {
            join(&format!("v{node}"), "eth0", node + 1, fd);
        });
        cluster.switch = Some(switch::start(&network, ports));
        cluster
    }

    fn build(nodes: usize, script: &'static str, join: impl Fn(usize, &str)) -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let networks: Vec<OwnedFd> = (0..nodes).map(|_| new_network()).collect();
        let nodes: Vec<NodeSpec> = (0..nodes)
            .map(|index| NodeSpec {
                index,
                id: format!("n{}", index + 1),
                ip: Ipv4Addr::new(10, 78, 0, index as u8 + 1),
                data_dir: home.path().join(format!("n{}/data", index + 1)),
            })
            .collect();
        for (node, network) in nodes.iter().zip(&networks) {
            let fd = format!("/proc/{}/fd/{}", std::process::id(), network.as_raw_fd());
            join(node.index, &fd);
            inside(network.as_fd(), || {
                ip(&format!("addr add {}/24 dev eth0", node.ip));
                ip("link set lo up");
                ip("link set eth0 up");
            });
        }
        let children = nodes.iter().map(|_| Mutex::new(None)).collect();
        let spec = ClusterSpec { founders: nodes.len(), nodes, clients: CLIENT };
        TestCluster {
            networks,
            switch: None,
            children,
            script,
            home,
            changes: Mutex::default(),
            notes: Mutex::default(),
            primaries: None,
            joined: AtomicUsize::new(spec.founders),
            refusals: AtomicUsize::new(0),
            deaths_expected: Mutex::default(),
            spec,
        }
    }

    /// Starts every node.
    pub(crate) fn started(nodes: usize, script: &'static str) -> Self {
        let cluster = TestCluster::new(nodes, script);
        (0..nodes).for_each(|node| cluster.spawn(node));
        cluster
    }

    /// Makes so many of the nodes, the last ones, join later.
    pub(crate) fn joining(mut self, nodes: usize) -> Self {
        self.spec.founders -= nodes;
        self.joined = AtomicUsize::new(self.spec.founders);
        self
    }

    pub(crate) fn spawn(&self, node: usize) {
        let mut child = self.children[node].lock().expect("not poisoned");
        if child.as_mut().is_some_and(|c| matches!(c.try_wait(), Ok(None))) {
            return;
        }
        std::fs::create_dir_all(&self.spec.nodes[node].data_dir).expect("a directory");
        let log = |stream| {
            let file =
                std::fs::OpenOptions::new().create(true).append(true).open(self.log_file(node, stream));
            file.expect("a log file")
        };
        let launch = self.launch(node).expect("a launch");
        *child = Some(inside(self.network(node), || {
            // The first child of a thread that has done this is process 1 of the new namespace.
            unshare(CloneFlags::CLONE_NEWPID).expect("unshare");
            let mut program = Command::new("/bin/sh");
            program.args(["-c", INIT, "init"]).arg(&launch.program).args(&launch.args);
            program.envs(launch.env.iter().cloned());
            program.current_dir(self.home.path().join(&self.spec.nodes[node].id));
            program.stdin(Stdio::null()).stdout(log("stdout")).stderr(log("stderr"));
            program.spawn().expect("the node starts")
        }));
    }

    /// The processes of the node, except zombies; none while it is down.
    pub(crate) fn pids(&self, node: usize) -> Vec<i32> {
        let namespace = |pid: i32| std::fs::metadata(format!("/proc/{pid}/ns/pid")).ok().map(|m| m.ino());
        let Some(wanted) = self.init_pid(node).and_then(namespace) else {
            return Vec::new();
        };
        std::fs::read_dir("/proc")
            .expect("/proc")
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter(|&pid| namespace(pid) == Some(wanted) && stat(pid).is_some_and(|s| s.0 != 'Z'))
            .collect()
    }

    /// Those of the node's processes that are `sleep`, which do not come and go.
    pub(crate) fn sleepers(&self, node: usize) -> Vec<i32> {
        let name = |pid: i32| std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        self.pids(node).into_iter().filter(|&pid| name(pid) == "sleep\n").collect()
    }

    /// Processor time each of the node's live processes, but its idle init, has used, in ticks.
    pub(crate) fn usage(&self, node: usize) -> BTreeMap<i32, u64> {
        let init = self.init_pid(node);
        let ticks = |pid| Some((pid, stat(pid)?.1));
        self.pids(node).into_iter().filter(|&pid| Some(pid) != init).filter_map(ticks).collect()
    }

    /// Whether any process of the node stands still.
    pub(crate) fn any_stopped(&self, node: usize) -> bool {
        self.pids(node).into_iter().filter_map(stat).any(|s| s.0 == 'T')
    }

    /// A socket of the node.
    pub(crate) fn socket(&self, node: usize) -> UdpSocket {
        let ip = self.spec.nodes[node].ip;
        inside(self.network(node), || UdpSocket::bind((ip, 0)).expect("a socket"))
    }
}

/// State and processor time of a process.
fn stat(pid: i32) -> Option<(char, u64)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    Some((fields[0].chars().next()?, fields[11].parse::<u64>().ok()? + fields[12].parse::<u64>().ok()?))
}

fn new_network() -> OwnedFd {
    let make = || {
        unshare(CloneFlags::CLONE_NEWNET).expect("unshare");
        std::fs::File::open("/proc/thread-self/ns/net").expect("its file").into()
    };
    std::thread::spawn(make).join().expect("no panic")
}

/// Whether a datagram sent by one socket reaches the other within a tenth of a second.
pub(crate) fn arrives(from: &UdpSocket, to: &UdpSocket) -> bool {
    static SENT: AtomicU64 = AtomicU64::new(0);
    let sent = u128::from(SENT.fetch_add(1, Ordering::Relaxed)).to_be_bytes();
    if from.send_to(&sent, to.local_addr().expect("bound")).is_err() {
        return false;
    }
    to.set_read_timeout(Some(Duration::from_millis(100))).expect("settable");
    let mut received = [0; 16];
    // One that was late for an earlier question is not the answer to this one.
    while let Ok(length) = to.recv(&mut received) {
        if received[..length] == sent {
            return true;
        }
    }
    false
}

impl Cluster for TestCluster {
    fn spec(&self) -> &ClusterSpec {
        &self.spec
    }

    fn init_pid(&self, node: usize) -> Option<i32> {
        let mut child = self.children[node].lock().expect("not poisoned");
        let child = child.as_mut()?;
        matches!(child.try_wait(), Ok(None)).then(|| child.id() as i32)
    }

    fn network(&self, node: usize) -> BorrowedFd<'_> {
        self.networks[node].as_fd()
    }

    fn fabric(&self) -> &dyn Fabric {
        self
    }

    fn launch(&self, node: usize) -> Result<Launch, String> {
        let args = vec!["-c".to_owned(), self.script.to_owned()];
        let mut launch = Launch { program: "/bin/sh".into(), args, env: Vec::new() };
        for (_, change) in self.changes.lock().expect("not poisoned").iter().filter(|(key, _)| key.0 == node)
        {
            launch.change(change);
        }
        Ok(launch)
    }

    fn change_launch(&self, node: usize, owner: &'static str, change: LaunchChange) {
        self.changes.lock().expect("not poisoned").insert((node, owner), change);
    }

    fn log_file(&self, node: usize, stream: &str) -> PathBuf {
        self.home.path().join(&self.spec.nodes[node].id).join(format!("{stream}.log"))
    }

    fn note(&self, f: &'static str, value: Value) {
        self.notes.lock().expect("not poisoned").push((f, value));
    }

    fn last_acknowledged(&self) -> Option<usize> {
        None
    }

    fn expect_death(&self, node: usize) {
        self.deaths_expected.lock().expect("not poisoned").push(node);
    }

    fn expect_deaths(&self, node: usize) {
        self.expect_death(node);
    }

    fn gone(&self, node: usize) -> BoxFuture<'_, ()> {
        Box::pin(async move { until("the node is gone", || self.init_pid(node).is_none()).await })
    }

    fn start(&self, node: usize) -> BoxFuture<'_, Result<(), String>> {
        self.spawn(node);
        Box::pin(async { Ok(()) })
    }

    fn primaries(&self) -> BoxFuture<'_, Option<Vec<usize>>> {
        Box::pin(async { self.primaries.clone() })
    }

    fn ready(&self, node: usize) -> BoxFuture<'_, bool> {
        Box::pin(async move { self.init_pid(node).is_some() })
    }

    fn joined(&self) -> usize {
        self.joined.load(Ordering::Relaxed)
    }

    fn start_next(&self) -> BoxFuture<'_, Result<usize, String>> {
        let node = self.joined();
        if node == self.spec.nodes.len() {
            return Box::pin(async { Err("all nodes have joined".to_owned()) });
        }
        self.joined.store(node + 1, Ordering::Relaxed);
        self.spawn(node);
        Box::pin(async move { Ok(node) })
    }

    fn announce(&self, node: usize) -> BoxFuture<'_, Result<(), String>> {
        let refuse = |left: usize| left.checked_sub(1);
        let refused = self.refusals.fetch_update(Ordering::Relaxed, Ordering::Relaxed, refuse).is_ok();
        let answer = if refused { Err("no majority".to_owned()) } else { Ok(()) };
        assert!(self.init_pid(node).is_some(), "only a node that runs is announced");
        Box::pin(async move { answer })
    }
}

/// A link is cut by a route to nowhere at the sender: it then gets an error when it sends.
impl Fabric for TestCluster {
    fn cut(&self, from: usize, to: usize) -> Result<(), String> {
        let to = self.spec.nodes[to].ip;
        inside(self.network(from), || {
            ip(&format!("route replace blackhole {to}/32"));
        });
        Ok(())
    }

    fn mend(&self, from: usize, to: usize) -> Result<(), String> {
        let route = format!("blackhole {}/32", self.spec.nodes[to].ip);
        inside(self.network(from), || {
            // Fails if there is none, which is fine.
            let deleted = Command::new("ip").args(["route", "del"]).args(route.split(' ')).output();
            deleted.map(drop).map_err(|e| e.to_string())
        })
    }

    fn set(&self, owner: &'static str, from: End, to: End, rule: LinkRule) -> Result<(), String> {
        let switch = self.switch.as_ref().ok_or("this cluster has no switch")?;
        let mut rules = switch.rules.lock().expect("not poisoned");
        rules.insert((owner, from, to), (rule, Instant::now()));
        Ok(())
    }

    fn clear(&self, owner: &'static str) -> Result<(), String> {
        if let Some(switch) = &self.switch {
            switch.rules.lock().expect("not poisoned").retain(|key, _| key.0 != owner);
        }
        Ok(())
    }

    fn counters(&self, from: End, to: End) -> Option<LinkCounters> {
        let counters = self.switch.as_ref()?.counters.lock().expect("not poisoned");
        Some(counters.get(&(from, to)).copied().unwrap_or_default())
    }
}
