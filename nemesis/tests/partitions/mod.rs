//! Partitions of every shape and variant against real networks.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ordeal_core::{Cluster, Fault, FaultStep, Machine, Probe};
use ordeal_nemesis::{Arsenal, find, machine};
use serde_json::{Value, json};

use crate::cluster::{CLIENT, TestCluster, arrives, inside, sandboxed, say};

const IDLE: &str = "exec sleep 1000";

fn build(machine: &Machine) -> Box<dyn Fault> {
    let arsenal = Arsenal { machine: machine.clone(), ..Arsenal::default() };
    (find("partition").expect("registered").build)(&Arc::new(arsenal))
}

async fn inject(fault: &dyn Fault, cluster: &TestCluster, args: &Value) -> Result<(Value, Probe), String> {
    let step = FaultStep { at_ms: 0, for_ms: 1_200, fault: "partition".to_owned(), args: args.clone() };
    let start = Instant::now();
    let installed = fault.inject(cluster, &step).await?;
    let injected = start.elapsed();
    let start = Instant::now();
    let probe = fault.probe(cluster).await;
    say(&format!("  {args}: inject {injected:.1?}, probe {:.1?}", start.elapsed()));
    say(&format!("    {installed} seen {}", probe.seen));
    Ok((installed, probe))
}

async fn heal(fault: &dyn Fault, cluster: &TestCluster) -> Probe {
    let start = Instant::now();
    let probe = fault.heal(cluster).await.expect("healed");
    say(&format!("  heal {:.1?}: {} {}", start.elapsed(), probe.proved, probe.seen));
    probe
}

/// The sockets of the nodes, and last the clients'.
fn sockets(cluster: &TestCluster) -> Vec<UdpSocket> {
    let mut sockets: Vec<UdpSocket> =
        (0..cluster.spec().nodes.len()).map(|node| cluster.socket(node)).collect();
    sockets.push(UdpSocket::bind((CLIENT, 0)).expect("a socket"));
    sockets
}

/// The links that do not carry a datagram of our own, as the fault names links.
fn dead_links(sockets: &[UdpSocket]) -> Vec<Value> {
    let name = |end: usize| if end + 1 == sockets.len() { json!("clients") } else { json!(end) };
    let pairs = (0..sockets.len()).flat_map(|from| (0..sockets.len()).map(move |to| (from, to)));
    let dead = pairs.filter(|&(from, to)| from != to && !arrives(&sockets[from], &sockets[to]));
    dead.map(|(from, to)| json!([name(from), name(to)])).collect()
}

fn shapes() -> Vec<Value> {
    vec![
        json!({"shape": "halves", "left": [0, 1]}),
        json!({"shape": "minority", "left": [3, 4]}),
        json!({"shape": "majority", "left": [0, 2, 4]}),
        json!({"shape": "minority-third", "left": [1]}),
        json!({"shape": "sides", "sides": [[0, 1], [2], [3, 4]]}),
        json!({"shape": "one", "node": 2}),
        json!({"shape": "majority-ring", "order": [3, 1, 0, 4, 2]}),
        json!({"shape": "bridge", "node": 0, "left": [1, 2]}),
        json!({"shape": "one-way", "from": [0], "to": [1, 2, 3, 4]}),
        json!({"shape": "primary"}),
        json!({"shape": "cut", "pairs": [[0, 1], [4, 2]]}),
    ]
}

/// Each shape as it is, and one way if it goes both ways.
fn directed(shapes: Vec<Value>) -> Vec<Value> {
    let ways = |shape: Value| {
        let symmetric = !["one-way", "cut"].contains(&shape["shape"].as_str().unwrap_or_default());
        let mut ways = vec![shape];
        for way in ["in", "out"].iter().filter(|_| symmetric) {
            let mut one_way = ways[0].clone();
            one_way["one_way"] = json!(way);
            ways.push(one_way);
        }
        ways
    };
    shapes.into_iter().flat_map(ways).collect()
}

fn with(mut args: Value, field: &str, value: Value) -> Value {
    args[field] = value;
    args
}

/// Injects shape after shape, and compares what the probe says with datagrams of our own.
async fn bite_and_heal(cluster: &mut TestCluster, machine: &Machine, mechanism: &str, all: Vec<Value>) {
    cluster.primaries = Some(vec![3]);
    let fault = build(machine);
    assert!(!fault.probe(cluster).await.proved, "nothing is cut yet");
    assert!(heal(&*fault, cluster).await.proved, "healing needs no injection");
    let sockets = sockets(cluster);
    for args in all {
        let (installed, probe) = inject(&*fault, cluster, &args).await.expect("injected");
        assert!(probe.proved, "{args}: {}", probe.seen);
        assert_eq!(installed["mechanism"], mechanism);
        assert_eq!(probe.seen["blocked"], installed["cut"]);
        if args["shape"] == "primary" {
            assert_eq!(installed["primaries"], json!([3]));
        }
        assert_eq!(args["style"].is_string(), installed["steps"].is_array(), "{installed}");
        let mut dead = dead_links(&sockets);
        let mut cut = installed["cut"].as_array().expect("links").clone();
        dead.sort_by_key(Value::to_string);
        cut.sort_by_key(Value::to_string);
        assert_eq!(dead, cut, "{args}");
        if args["style"].is_string() || args["clients"].is_boolean() {
            assert!(heal(&*fault, cluster).await.proved, "{args}");
            assert_eq!(dead_links(&sockets), Vec::<Value>::new(), "{args}");
        }
    }
    for _ in 0..2 {
        assert!(heal(&*fault, cluster).await.proved);
        assert!(dead_links(&sockets).is_empty());
    }
    assert!(!fault.probe(cluster).await.proved, "nothing is cut any more");

    // During an election nobody is primary; the fault still bites.
    cluster.primaries = Some(Vec::new());
    let (_, probe) = inject(&*fault, cluster, &json!({"shape": "primary"})).await.expect("someone is taken");
    assert!(probe.proved);
    assert!(heal(&*fault, cluster).await.proved);
}

/// The machine, if it has iptables.
fn with_iptables() -> Option<Machine> {
    let machine = machine();
    if machine.iptables_restore.is_none() {
        say("  skipped, iptables-restore is not installed here");
    }
    machine.iptables_restore.is_some().then_some(machine)
}

/// Those that come in steps.
fn in_steps() -> Vec<Value> {
    let swizzle = with(json!({"shape": "halves", "left": [0, 1]}), "style", json!("swizzle"));
    vec![
        with(with(swizzle.clone(), "turns", json!([4, 1, 0, 2, 3])), "back", json!([2, 0, 1, 4, 3])),
        with(swizzle, "one_way", json!("in")),
        with(json!({"shape": "majority-ring", "order": [3, 1, 0, 4, 2]}), "style", json!("swizzle")),
        with(json!({"shape": "primary"}), "style", json!("flap")),
        with(json!({"shape": "cut", "pairs": [[0, 1]]}), "style", json!("flap")),
    ]
}

#[test]
fn by_iptables_they_bite_and_heal() {
    sandboxed("partitions::by_iptables_they_bite_and_heal", async {
        let Some(machine) = with_iptables() else { return };
        let mut cluster = TestCluster::started(5, IDLE);
        let mut all = directed(shapes());
        all.extend(in_steps());
        let sided = directed(shapes()).into_iter().filter(|args| args["shape"] != "cut").step_by(2);
        all.extend(sided.map(|args| with(args, "clients", json!(true))));
        bite_and_heal(&mut cluster, &machine, "iptables", all).await;
    });
}

#[test]
fn by_the_fabric_they_bite_and_heal() {
    sandboxed("partitions::by_the_fabric_they_bite_and_heal", async {
        let mut cluster = TestCluster::started(5, IDLE);
        let all = directed(shapes()).into_iter().chain(in_steps()).collect();
        bite_and_heal(&mut cluster, &Machine::default(), "built-in", all).await;

        let fault = build(&Machine::default());
        for (field, why) in [("clients", "only be cut off by a switch"), ("reject", "not installed")] {
            let args = with(json!({"shape": "one", "node": 0}), field, json!(true));
            let error = inject(&*fault, &cluster, &args).await.unwrap_err();
            assert!(error.contains(why), "{error}");
            assert!(heal(&*fault, &cluster).await.proved, "what was cut before the error is mended");
        }
    });
}

#[test]
fn a_switch_cuts_clients_off_without_iptables() {
    sandboxed("partitions::a_switch_cuts_clients_off_without_iptables", async {
        let mut cluster = TestCluster::switched(5, IDLE);
        let all = ["in", "out"].map(|way| with(json!({"shape": "one", "node": 1}), "one_way", json!(way)));
        let all = all.into_iter().chain(in_steps().into_iter().take(1)).chain([shapes().swap_remove(4)]);
        let all = all.map(|args| with(args, "clients", json!(true))).collect();
        bite_and_heal(&mut cluster, &Machine::default(), "built-in", all).await;
    });
}

/// A connection from one end to another: both sockets. The clients are `None`.
fn connect(cluster: &TestCluster, from: Option<usize>, to: Option<usize>) -> (TcpStream, TcpStream) {
    let listener = listen(cluster, to);
    let address = listener.local_addr().expect("bound");
    let near = dial(cluster, from, address, Duration::from_secs(2)).expect("connected");
    (near, listener.accept().expect("a connection").0)
}

fn at<T: Send>(cluster: &TestCluster, end: Option<usize>, act: impl FnOnce() -> T + Send) -> T {
    match end {
        Some(node) => inside(cluster.network(node).as_fd(), act),
        None => act(),
    }
}

fn listen(cluster: &TestCluster, end: Option<usize>) -> TcpListener {
    let ip = end.map_or(CLIENT, |node| cluster.spec().nodes[node].ip);
    at(cluster, end, || TcpListener::bind((ip, 0)).expect("a listener"))
}

fn dial(
    cluster: &TestCluster,
    end: Option<usize>,
    to: SocketAddr,
    timeout: Duration,
) -> std::io::Result<TcpStream> {
    at(cluster, end, || TcpStream::connect_timeout(&to, timeout))
}

/// What becomes of a connection over which something is sent: the error, and after how long.
fn send_over(mut stream: &TcpStream) -> (Option<std::io::ErrorKind>, Duration) {
    let start = Instant::now();
    stream.set_read_timeout(Some(Duration::from_millis(500))).expect("settable");
    let error = stream.write_all(b"anything").and_then(|()| stream.read(&mut [0; 8])).err();
    (error.map(|e| e.kind()), start.elapsed())
}

#[test]
fn a_rejecting_partition_resets_connections_and_refuses_new_ones() {
    sandboxed("partitions::a_rejecting_partition_resets_connections_and_refuses_new_ones", async {
        use std::io::ErrorKind::{ConnectionRefused, ConnectionReset, WouldBlock};
        let Some(machine) = with_iptables() else { return };
        let cluster = TestCluster::started(4, IDLE);
        let fault = build(&machine);
        let one = json!({"shape": "one", "node": 0, "clients": true, "reject": true});
        // Each link over which packets are rejected.
        let (zero, other, client) = (Some(0), Some(1), None);
        for (way, rejected) in [
            (None, vec![(zero, other), (other, zero), (client, zero), (zero, client)]),
            (Some("in"), vec![(other, zero), (client, zero)]),
            (Some("out"), vec![(zero, other), (zero, client)]),
        ] {
            let args = way.map_or(one.clone(), |way| with(one.clone(), "one_way", json!(way)));
            let before: Vec<_> = rejected.iter().map(|&(from, to)| connect(&cluster, from, to)).collect();
            let bystanders = connect(&cluster, Some(2), other);
            let listeners: Vec<_> = rejected.iter().map(|&(_, to)| listen(&cluster, to)).collect();
            let (_, probe) = inject(&*fault, &cluster, &args).await.expect("injected");
            assert!(probe.proved, "{args}: {}", probe.seen);
            assert!(!probe.seen["connections"]["refused"].as_array().expect("links").is_empty());
            for (((from, to), (near, _far)), listener) in rejected.iter().zip(&before).zip(&listeners) {
                let (error, after) = send_over(near);
                assert_eq!(error, Some(ConnectionReset), "{args}: {from:?} to {to:?}");
                assert!(after < Duration::from_millis(200), "at once, not after {after:?}");
                let start = Instant::now();
                let address = listener.local_addr().expect("bound");
                let error = dial(&cluster, *from, address, Duration::from_secs(2)).expect_err("refused");
                assert_eq!(error.kind(), ConnectionRefused, "{args}: {from:?} to {to:?}");
                assert!(start.elapsed() < Duration::from_millis(200), "at once");
            }
            assert_eq!(send_over(&bystanders.0).0, Some(WouldBlock), "nothing comes back, and no error");
            assert!(heal(&*fault, &cluster).await.proved);
            rejected.iter().for_each(|&(from, to)| _ = connect(&cluster, from, to));
        }

        // Without rejecting, the same connection merely hears nothing.
        let (near, _far) = connect(&cluster, other, zero);
        inject(&*fault, &cluster, &json!({"shape": "one", "node": 0})).await.expect("injected");
        assert_eq!(send_over(&near).0, Some(WouldBlock));
        assert!(heal(&*fault, &cluster).await.proved);
    });
}
