use std::collections::HashSet;
use std::net::Ipv4Addr;

use ordeal_core::{
    Ask, ClusterSpec, Event, EventKind, History, Key, Next, NodeSpec, Op, Outcome, Plan, Process, Verdict,
};
use serde_json::{Value, json};

use super::*;

fn config(nodes: usize) -> Config {
    Config { nodes, ordeal: PathBuf::from("/opt/ordeal"), ..Config::default() }
}

fn cluster(nodes: usize) -> ClusterSpec {
    let node = |index: usize| NodeSpec {
        index,
        id: format!("n{}", index + 1),
        ip: Ipv4Addr::new(10, 78, 0, index as u8 + 1),
        data_dir: PathBuf::from(format!("/run/n{}", index + 1)),
    };
    ClusterSpec {
        nodes: (0..nodes).map(node).collect(),
        founders: nodes,
        clients: Ipv4Addr::new(10, 78, 0, 254),
    }
}

fn refusal(entry: &Entry, config: &Config) -> String {
    match entry.configure(config) {
        Err(e) => e.to_string(),
        Ok(_) => panic!("{} accepted {config:?}", entry.name),
    }
}

#[test]
fn the_registry_is_sound() {
    let names: HashSet<_> = TARGETS.iter().map(|t| t.name).collect();
    assert_eq!(names.len(), TARGETS.len());
    for entry in TARGETS {
        assert!(ordeal_workloads::find(entry.default_workload).is_some(), "{}", entry.name);
        assert!(entry.nodes.contains(&entry.default_nodes));
        for bug in entry.bugs {
            assert!(!bug.about.is_empty() && !bug.anomalies.is_empty() && !bug.faults.is_empty());
        }
        let Ok(target) = entry.configure(&config(entry.default_nodes)) else {
            continue; // not installed here
        };
        assert_eq!(target.name(), entry.name);
        assert_eq!(target.bugs(), entry.bugs);
        assert!(target.workloads().contains(&entry.default_workload));
        let node = &cluster(1).nodes[0];
        for workload in target.workloads() {
            assert!(target.client(workload, node).is_ok());
        }
    }
}

#[test]
fn every_workload_has_a_default_target() {
    let default = |workload| default_target(workload).map(|t| t.name);
    assert_eq!(default("patients"), Some("quorum-reads-writes"));
    assert_eq!(default("register"), Some("etcd"));
    assert_eq!(default("stocks"), Some("lease-coordination"));
    assert_eq!(default("inventory"), Some("version-vectors"));
    assert_eq!(default("trades"), Some("request-waiting-list"));
    assert_eq!(default("accounts"), Some("fixed-partitions"));
    assert_eq!(default("orders"), Some("temporal-decoupling"));
    for workload in ordeal_workloads::WORKLOADS {
        assert!(default(workload.name).is_some(), "{}", workload.name);
    }
    assert_eq!(default("no-such-workload"), None);
}

#[test]
fn what_a_target_does_not_take_is_refused_by_naming_what_it_does() {
    let quorum = find("quorum-reads-writes").unwrap();
    let memory = find("memory").unwrap();
    let bug = |name: &str| Config { bug: Some(name.to_owned()), ..config(3) };
    let option = |name: &str, value: &str| Config {
        options: BTreeMap::from([(name.to_owned(), value.to_owned())]),
        ..config(3)
    };
    assert!(refusal(quorum, &bug("w-2")).contains("w-1, r-plus-w"));
    assert!(refusal(quorum, &option("quorum", "2")).contains("read-quorum, write-quorum"));
    assert!(refusal(quorum, &option("read-quorum", "4")).contains("1 to 3"));
    assert!(refusal(quorum, &option("write-quorum", "all")).contains("1 to 3"));
    assert!(refusal(quorum, &option("write-quorum", "1")).contains("must overlap"));
    assert!(refusal(quorum, &option("read-quorum", "1")).contains("must overlap"));
    assert!(refusal(quorum, &config(0)).contains("1 to 9 nodes"));
    assert!(refusal(memory, &option("binary", "x")).contains("it has none"));
    assert!(refusal(memory, &bug("w-1")).contains("stale-read"));
    assert!(find("no-such-target").is_none());
}

#[test]
fn nodes_join_only_where_they_are_taken_in_and_have_room() {
    let joining = |nodes, joining| Config { joining, ..config(nodes) };
    let quorum = find("quorum-reads-writes").unwrap();
    assert!(refusal(quorum, &joining(3, 1)).contains("takes no nodes in"));
    for entry in TARGETS {
        let most = *entry.nodes.end();
        assert!(refusal(entry, &joining(most, 1)).contains("nodes, not"), "{}", entry.name);
        let Some(usual) = entry.joining else { continue };
        let target = entry.configure(&joining(entry.default_nodes, usual)).unwrap();
        assert!(target.membership().is_some(), "{}", entry.name);
    }
}

#[test]
fn a_workload_that_is_not_served_is_refused() {
    let target = find("quorum-reads-writes").unwrap().configure(&config(5)).unwrap();
    let refused = target.client("register", &cluster(5).nodes[0]).err().unwrap();
    assert!(refused.to_string().contains("it serves patients"), "{refused}");
}

#[test]
fn every_node_understands_how_it_is_launched() {
    for entry in TARGETS.iter().filter(|t| t.node_command().is_some()) {
        let cluster = cluster(entry.default_nodes);
        for bug in std::iter::once(None).chain(entry.bugs.iter().map(|b| Some(b.name.to_owned()))) {
            let config = Config { bug, ..config(entry.default_nodes) };
            let target = entry.configure(&config).unwrap();
            for node in &cluster.nodes {
                let launch = target.launch(node, &cluster).unwrap().unwrap();
                assert_eq!(launch.program, PathBuf::from("/opt/ordeal"));
                assert_eq!(launch.args[..2], ["node", entry.name]);
                let parsed = entry.node_command().unwrap().try_get_matches_from(&launch.args[2..]);
                assert!(parsed.is_ok(), "{}: {}", entry.name, parsed.err().unwrap());
            }
        }
    }
}

#[test]
fn a_node_is_launched_with_what_all_nodes_take_and_with_its_own_flags() {
    let cluster = cluster(5);
    let target = find("quorum-reads-writes").unwrap().configure(&config(5)).unwrap();
    let launch = target.launch(&cluster.nodes[1], &cluster).unwrap().unwrap();
    let flag = |name: &str| {
        let at = launch.args.iter().position(|a| a == name).unwrap();
        launch.args[at + 1].as_str()
    };
    assert_eq!((flag("--id"), flag("--data-dir")), ("n2", "/run/n2"));
    assert_eq!(flag("--listen"), "10.78.0.2:8080");
    assert!(flag("--peers").starts_with("n1=10.78.0.1:8080,n2=10.78.0.2:8080,"));
    assert_eq!((flag("--read-quorum"), flag("--write-quorum")), ("3", "3"));
}

#[test]
fn every_bug_of_every_node_has_a_row() {
    for entry in TARGETS {
        if let Kind::Reference(reference) = &entry.kind {
            let rows: Vec<_> = entry.bugs.iter().map(|b| (b.name, b.about)).collect();
            assert_eq!(rows, reference.known_bugs, "{}", entry.name);
        }
    }
}

/// A node that says of itself that it leads, or that it does not.
async fn node_that_says(leads: bool) -> std::net::SocketAddr {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 1024]).await.unwrap();
        let body = json!({ "leads": leads, "term": 3 }).to_string();
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all((head + &body).as_bytes()).await.unwrap();
    });
    address
}

#[tokio::test]
async fn a_node_says_itself_whether_it_leads() {
    assert!(reference::leads(node_that_says(true).await, "/raft/status").await);
    assert!(!reference::leads(node_that_says(false).await, "/raft/status").await);
    assert!(!reference::leads("127.0.0.1:1".parse().unwrap(), "/raft/status").await);
}

#[test]
fn a_node_that_is_misused_says_so() {
    let node = find("quorum-reads-writes").unwrap();
    let error = node.run_node(vec!["--no-such-flag".into()]).unwrap().unwrap_err();
    assert!(error.downcast_ref::<clap::Error>().is_some(), "{error}");
}

/// What one client of the memory target sees in a hundred-odd operations of the register workload, and
/// the anomalies that the workload's judges find in it.
async fn audit_memory(bug: Option<&str>) -> Vec<String> {
    let plan = Plan {
        bug: bug.map(str::to_owned),
        keys: 2,
        op_timeout_ms: 1000,
        ready_timeout_ms: 1000,
        seed: 1,
        ..Plan::nothing("register", "memory")
    };
    let config = Config { bug: plan.bug.clone(), ..config(1) };
    let target = find("memory").unwrap().configure(&config).unwrap();
    let mut client = target.client("register", &cluster(1).nodes[0]).unwrap();
    let workload = (ordeal_workloads::find("register").unwrap().build)();
    let mut load = workload.generator(&plan);
    let mut history = History::default();
    for _ in 0..120 {
        let ask = Ask { process: 0, thread: 0, node: 0 };
        let Next::Op(op) = load.next(ask) else { break };
        let outcome = client.invoke(&op).await;
        let mut record = |kind, value: &Value| {
            let index = history.events.len() as u64;
            history.events.push(Event {
                index,
                time: index,
                process: Process::Client(0),
                kind,
                f: op.f.clone(),
                value: value.clone(),
                key: op.key.clone(),
                node: None,
                error: None,
            });
        };
        record(EventKind::Invoke, &op.value);
        match &outcome {
            Outcome::Ok(value) => record(EventKind::Ok, value),
            Outcome::Fail(_) => record(EventKind::Fail, &op.value),
            Outcome::Info(why) => panic!("memory is never in doubt: {why}"),
        }
        load.observe(history.events.last().unwrap());
    }
    let findings = workload.checkers(&plan).into_iter().map(|c| c.check(&history));
    findings
        .filter(|finding| finding.verdict == Verdict::Invalid)
        .flat_map(|finding| finding.anomalies)
        .map(|anomaly| anomaly.name)
        .collect()
}

#[tokio::test]
async fn the_judges_of_the_register_workload_tell_right_from_wrong() {
    assert!(audit_memory(None).await.is_empty());
    for bug in find("memory").unwrap().bugs {
        let found = audit_memory(Some(bug.name)).await;
        assert!(found.iter().any(|a| bug.anomalies.contains(&a.as_str())), "{}: {found:?}", bug.name);
    }
}

/// Stops the nodes of a test when it ends.
struct Nodes(Vec<tokio::task::JoinHandle<anyhow::Result<()>>>);

impl Drop for Nodes {
    fn drop(&mut self) {
        self.0.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_reference_nodes_serve_the_workload_from_every_node() {
    let dir = tempfile::tempdir().unwrap();
    let [.., high, low] = std::process::id().to_be_bytes();
    let mut cluster = cluster(3);
    for node in &mut cluster.nodes {
        // An address of 127.0.0.0/8 for each, so that the pattern's own port is free.
        node.ip = Ipv4Addr::new(127, 90 + node.index as u8, high, low);
        node.data_dir = dir.path().join(&node.id);
        std::fs::create_dir(&node.data_dir).unwrap();
    }
    let entry = find("quorum-reads-writes").unwrap();
    let target = entry.configure(&config(3)).unwrap();
    assert!(!target.ready(&cluster.nodes[0]).await, "nothing is running yet");
    let nodes = cluster.nodes.iter().map(|node| {
        let launch = target.launch(node, &cluster).unwrap().unwrap();
        let matches = entry.node_command().unwrap().try_get_matches_from(&launch.args[2..]).unwrap();
        let args = clap::FromArgMatches::from_arg_matches(&matches).unwrap();
        tokio::spawn(ordeal_quorum_reads_writes::run(args))
    });
    let _nodes = Nodes(nodes.collect());
    let begun = std::time::Instant::now();
    for node in &cluster.nodes {
        while !target.ready(node).await {
            assert!(begun.elapsed().as_secs() < 30, "{} did not get ready", node.id);
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }

    let workload = (ordeal_workloads::find("patients").unwrap().build)();
    let record = |f, value| Op::new(f, Key::Text("p0".to_owned()), value);
    for (n, node) in cluster.nodes.iter().enumerate() {
        let mut client = target.client(workload.name(), node).unwrap();
        let appended = client.invoke(&record("append-entry", json!(format!("e{n}")))).await;
        assert_eq!(appended, Outcome::Ok(json!(format!("e{n}"))));
        let written = client.invoke(&record("write-summary", json!(format!("s{n}")))).await;
        assert_eq!(written, Outcome::Ok(json!(format!("s{n}"))));
    }
    for node in &cluster.nodes {
        let mut client = target.client(workload.name(), node).unwrap();
        let entries = client.invoke(&record("read-entries", Value::Null)).await;
        assert_eq!(entries, Outcome::Ok(json!(["e0", "e1", "e2"])));
        let summary = client.invoke(&record("read-summary", Value::Null)).await;
        assert_eq!(summary, Outcome::Ok(json!("s2")));
    }
}
