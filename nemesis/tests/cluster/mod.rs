//! A tiny cluster of shell scripts, in namespaces of its own, for tests of what only a kernel can show.
//!
//! The test starts itself again under `unshare`: in there it is process 1 and has a network of its own, so
//! that nothing it does can touch the machine, and nothing of it outlives it.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns, unshare};
use ordeal_core::{BoxFuture, Cluster, ClusterSpec, Fabric, NodeSpec};

const INSIDE: &str = "ORDEAL_NEMESIS_TEST_INSIDE";
pub(crate) const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 78, 0, 254);
/// The longest wait for anything in a test.
pub(crate) const BOUND: Duration = Duration::from_secs(10);

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

/// Waits for a condition.
pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < BOUND, "waited {BOUND:?} for: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Does something in a network namespace.
fn inside<T: Send>(network: BorrowedFd<'_>, act: impl FnOnce() -> T + Send) -> T {
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
    children: Vec<Mutex<Option<Child>>>,
    script: &'static str,
    /// What [`Cluster::primaries`] answers.
    pub(crate) primaries: Option<Vec<usize>>,
    /// The nodes of whose death the cluster was told.
    pub(crate) deaths_expected: Mutex<Vec<usize>>,
}

impl TestCluster {
    /// Builds the networks and starts a shell with this script in each node.
    pub(crate) fn new(nodes: usize, script: &'static str) -> Self {
        ip("link add br0 type bridge");
        ip(&format!("addr add {CLIENT}/24 dev br0"));
        ip("link set br0 up");
        let networks: Vec<OwnedFd> = (0..nodes).map(|_| new_network()).collect();
        let nodes: Vec<NodeSpec> = (0..nodes)
            .map(|index| NodeSpec {
                index,
                id: format!("n{}", index + 1),
                ip: Ipv4Addr::new(10, 78, 0, index as u8 + 1),
                data_dir: "/".into(),
            })
            .collect();
        for (node, network) in nodes.iter().zip(&networks) {
            let fd = format!("/proc/{}/fd/{}", std::process::id(), network.as_raw_fd());
            ip(&format!("link add v{} type veth peer name eth0 netns {fd}", node.index));
            ip(&format!("link set v{} master br0 up", node.index));
            inside(network.as_fd(), || {
                ip(&format!("addr add {}/24 dev eth0", node.ip));
                ip("link set lo up");
                ip("link set eth0 up");
            });
        }
        let children = nodes.iter().map(|_| Mutex::new(None)).collect();
        let spec = ClusterSpec { nodes };
        let deaths_expected = Mutex::default();
        let cluster = TestCluster { spec, networks, children, script, primaries: None, deaths_expected };
        for node in 0..cluster.networks.len() {
            cluster.spawn(node);
        }
        cluster
    }

    fn spawn(&self, node: usize) {
        let mut child = self.children[node].lock().expect("not poisoned");
        if child.as_mut().is_some_and(|c| matches!(c.try_wait(), Ok(None))) {
            return;
        }
        *child = Some(inside(self.network(node), || {
            // The first child of a thread that has done this is process 1 of the new namespace.
            unshare(CloneFlags::CLONE_NEWPID).expect("unshare");
            let mut shell = Command::new("sh");
            shell.args(["-c", self.script]).stdin(Stdio::null()).stdout(Stdio::null());
            shell.spawn().expect("sh starts")
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

    /// Processor time each of the node's live processes has used, in ticks.
    pub(crate) fn usage(&self, node: usize) -> BTreeMap<i32, u64> {
        let ticks = |pid| Some((pid, stat(pid)?.1));
        self.pids(node).into_iter().filter_map(ticks).collect()
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
    let start = Instant::now();
    let sent = start.elapsed().as_nanos().to_be_bytes();
    if from.send_to(&sent, to.local_addr().expect("bound")).is_err() {
        return false;
    }
    to.set_read_timeout(Some(Duration::from_millis(100))).expect("settable");
    let mut received = [0; 16];
    to.recv(&mut received).is_ok_and(|n| received[..n] == sent)
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

    fn expect_death(&self, node: usize) {
        self.deaths_expected.lock().expect("not poisoned").push(node);
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
}
