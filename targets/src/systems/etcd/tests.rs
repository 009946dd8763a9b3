//! The adapter against a real etcd of one node, where one is installed, and its tables without.

use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use ordeal_core::Op;
use ordeal_workloads::http::{Failure, Reply};
use ordeal_workloads::register::RegisterOp;
use serde_json::{Value, json};

use super::*;

fn config(options: &[(&str, &str)]) -> Config {
    Config {
        nodes: 1,
        options: options.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect(),
        ..Config::default()
    }
}

/// A cluster of one node in `dir`, on a loopback address that no other test process uses: etcd's ports
/// are fixed, but 127.0.0.0/8 has many addresses.
fn cluster(dir: &Path) -> ClusterSpec {
    let [.., high, low] = std::process::id().to_be_bytes();
    ClusterSpec {
        nodes: vec![NodeSpec {
            index: 0,
            id: "n1".to_owned(),
            ip: Ipv4Addr::new(127, 83, high, low),
            data_dir: dir.to_owned(),
        }],
        founders: 1,
        clients: Ipv4Addr::LOCALHOST,
    }
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn start(etcd: &Etcd, cluster: &ClusterSpec) -> Running {
    let launch = etcd.launch(&cluster.nodes[0], cluster).unwrap().unwrap();
    let child = Command::new(launch.program)
        .args(launch.args)
        .env_clear()
        .envs(launch.env)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    Running(child.unwrap())
}

async fn wait_ready(etcd: &Etcd, cluster: &ClusterSpec) {
    let begun = Instant::now();
    while !etcd.ready(&cluster.nodes[0]).await {
        assert!(begun.elapsed() < Duration::from_secs(30), "etcd did not get ready");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn ask(client: &mut Box<dyn Client>, op: RegisterOp) -> Outcome {
    client.invoke(&Op::from(op)).await
}

#[tokio::test]
async fn registers_count_their_versions() {
    let Ok(etcd) = Etcd::new(&config(&[("txn-guards", "3")])) else {
        println!("etcd is not installed: nothing tested here");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let cluster = cluster(dir.path());
    let node = &cluster.nodes[0];
    assert!(!etcd.ready(node).await, "nothing is running yet");
    assert!(etcd.primaries(&cluster).await.is_empty());
    let mut client = etcd.client("register", node).unwrap();
    let refused = ask(&mut client, RegisterOp::Write { key: 1, value: 9 }).await;
    assert!(matches!(refused, Outcome::Fail(_)), "{refused:?}");

    let running = start(&etcd, &cluster);
    wait_ready(&etcd, &cluster).await;
    assert_eq!(etcd.primaries(&cluster).await, [0]);
    let done = |version: u64, value: Value| Outcome::Ok(json!([version, value]));
    let read = || RegisterOp::Read { key: 1 };
    let cas = |from, to| RegisterOp::Cas { key: 1, from, to };
    assert_eq!(ask(&mut client, read()).await, done(0, Value::Null));
    let absent = ask(&mut client, cas(10, 11)).await;
    assert!(matches!(absent, Outcome::Fail(_)), "{absent:?}");
    assert_eq!(ask(&mut client, RegisterOp::Write { key: 1, value: 10 }).await, done(1, json!(10)));
    assert_eq!(ask(&mut client, cas(10, 11)).await, done(2, json!(11)));
    let stale = ask(&mut client, cas(10, 12)).await;
    assert!(matches!(stale, Outcome::Fail(_)), "{stale:?}");
    assert_eq!(ask(&mut client, read()).await, done(2, json!(11)));
    assert_eq!(ask(&mut client, RegisterOp::Read { key: 2 }).await, done(0, Value::Null));

    let lazy = Etcd::new(&config(&[("read-mode", "serializable")])).unwrap();
    let mut lazy = lazy.client("register", node).unwrap();
    assert_eq!(ask(&mut lazy, read()).await, done(2, json!(11)));

    // Killed and started again on what it left, as the kill fault does it.
    drop(running);
    let lost = ask(&mut client, read()).await;
    assert!(matches!(lost, Outcome::Fail(_)), "{lost:?}");
    let _running = start(&etcd, &cluster);
    wait_ready(&etcd, &cluster).await;
    assert_eq!(ask(&mut client, read()).await, done(2, json!(11)));
    assert_eq!(ask(&mut client, RegisterOp::Write { key: 1, value: 12 }).await, done(3, json!(12)));
}

#[test]
fn options_are_checked() {
    let refusal = |options| match Etcd::new(&config(options)) {
        Err(e) => e.to_string(),
        Ok(_) => panic!("{options:?} was accepted"),
    };
    let missing = refusal(&[("binary", "/nonexistent/etcd")]);
    assert!(missing.contains("/nonexistent/etcd is not installed") && missing.contains("apt-get install"));
    // These are read before the program is looked for.
    assert!(refusal(&[("read-mode", "fast")]).contains("linearizable or serializable"));
    assert!(refusal(&[("txn-guards", "128")]).contains("0 to 127"));
    assert!(refusal(&[("txn-guards", "many")]).contains("0 to 127"));
}

#[test]
fn only_what_was_never_proposed_is_certainly_not_done() {
    let judged = |status: u16, body: &'static str| {
        let body = body.as_bytes().into();
        api::judge_reply(Ok(Reply { status, body })).map(|_| ())
    };
    for (status, body) in [
        (400, r#"{"error":"x","message":"etcdserver: key is not provided","code":3}"#),
        (429, r#"{"error":"x","message":"etcdserver: too many requests","code":8}"#),
        (500, r#"{"error":"x","message":"raft proposal dropped","code":2}"#),
        (501, r#"{"error":"x","message":"Not Implemented","code":12}"#),
    ] {
        assert!(matches!(judged(status, body), Err(Failure::NotDone(_))), "{body}");
    }
    for (status, body) in [
        (429, r#"{"error":"x","message":"etcdserver: mvcc: database space exceeded","code":8}"#),
        (408, r#"{"error":"x","message":"context deadline exceeded","code":4}"#),
        (503, r#"{"error":"x","message":"etcdserver: request timed out","code":14}"#),
        (503, r#"{"error":"x","message":"etcdserver: no leader","code":14}"#),
        (500, r#"{"error":"x","message":"transport is closing","code":2}"#),
        (404, "404 page not found"),
    ] {
        assert!(matches!(judged(status, body), Err(Failure::Unknown(_))), "{body}");
    }
    assert!(judged(200, "{}").is_ok());
}

#[test]
fn answers_are_read_as_the_gateway_writes_them() {
    let range = |body| serde_json::from_str::<api::RangeReply>(body);
    let absent = range(r#"{"header":{"revision":"1"}}"#).unwrap();
    assert_eq!(absent.versioned(), json!([0, null]));
    let present = range(r#"{"header":{},"kvs":[{"key":"aw==","version":"3","value":"MTA="}],"count":"1"}"#);
    assert_eq!(present.unwrap().versioned(), json!([3, 10]));
    let foreign = range(r#"{"header":{},"kvs":[{"key":"aw==","version":"3","value":"eHl6"}]}"#);
    assert_eq!(foreign.unwrap().versioned(), json!([3, "xyz"]));
    assert!(range("{}").is_err(), "an answer without a header is no answer");

    let leader = |leader| format!(r#"{{"header":{{"member_id":"7"}},"leader":"{leader}"}}"#);
    assert!(api::is_leader(leader("7").as_bytes()));
    assert!(!api::is_leader(leader("8").as_bytes()));
    assert!(!api::is_leader(br#"{"header":{"member_id":"7"}}"#), "no leader is known");
    assert!(api::is_healthy(br#"{"health":"true","reason":""}"#));
    assert!(!api::is_healthy(br#"{"health":"false"}"#));
}
