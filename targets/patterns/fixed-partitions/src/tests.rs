//! Whole nodes on loopback, three founders and two that join: the contract, from any node.

use std::ops::Deref;

use ordeal_kit::testing::{Nodes, PATIENCE};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::*;

const FOUNDERS: usize = 3;
const NODES: usize = 5;
/// Two in a partition, and one in each of three others.
const ACCOUNTS: [&str; 6] = ["a0", "a1", "a2", "a3", "a8", "a9"];

struct TestCluster {
    nodes: Nodes,
    bug: Option<&'static str>,
}

impl Deref for TestCluster {
    type Target = Nodes;

    fn deref(&self) -> &Nodes {
        &self.nodes
    }
}

impl TestCluster {
    /// The founders, ready, and the accounts, open.
    async fn start(bug: Option<&'static str>) -> Self {
        let mut cluster = TestCluster { nodes: Nodes::new(NODES), bug };
        for node in 0..FOUNDERS {
            cluster.start_node(node).await;
        }
        cluster.nodes.ready(0..FOUNDERS).await;
        cluster
            .until(0, "/partitions", |map| map["partitions"].as_array().is_some_and(|all| all.len() == 8))
            .await;
        for (n, id) in ACCOUNTS.iter().enumerate() {
            let opened = cluster.until_done(
                n % FOUNDERS,
                "/accounts",
                json!({ "request_id": "o", "id": id, "balance": 100 }),
            );
            assert_eq!(opened.await, json!({ "id": id, "balance": 100, "version": 1 }));
        }
        cluster
    }

    async fn start_node(&mut self, node: usize) {
        let raft = RaftArgs { heartbeat_ms: 200, snapshot_every: 10, request_timeout_ms: 10_000 };
        let args =
            Args { node: self.nodes.args(node, self.bug), raft, partitions: 8, founders: Some(FOUNDERS) };
        self.nodes.start(node, |server| serve(server, args)).await;
    }

    async fn post(&self, node: usize, path: &str, body: &Value) -> (StatusCode, Value) {
        self.ask(Method::POST, node, path, body.clone()).await
    }

    /// Asks again until it is done: whoever asks has a request id.
    async fn until_done(&self, node: usize, path: &str, body: Value) -> Value {
        loop {
            let (status, answer) = self.post(node, path, &body).await;
            match status {
                StatusCode::OK => return answer,
                StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {}
                _ => panic!("{path} {body}: {status} {answer}"),
            }
        }
    }

    async fn join(&self, asked: usize, node: usize) {
        let id = format!("n{}", node + 1);
        self.until_done(asked, "/nodes", json!({ "request_id": format!("join-{id}"), "id": id })).await;
    }

    /// The map once it has these counts, seen at this node.
    async fn balanced(&self, node: usize, counts: &[usize]) -> Value {
        let path = format!("/partitions?ids={}", ACCOUNTS.join(","));
        self.until(node, &path, |map| {
            let count = |n: usize| {
                let id = format!("n{}", n + 1);
                map["partitions"].as_array().unwrap().iter().filter(|p| p["node"] == json!(id)).count()
            };
            counts.iter().enumerate().all(|(n, &wanted)| count(n) == wanted)
        })
        .await
    }

    async fn snapshot(&self, node: usize) -> Value {
        self.until(node, &format!("/balances?ids={}", ACCOUNTS.join(",")), |_| true).await["balances"].clone()
    }
}

fn order(request: &str, from: &str, to: &str, amount: i64) -> Value {
    json!({ "request_id": request, "from": from, "to": to, "amount": amount })
}

fn total(snapshot: &Value) -> i64 {
    snapshot.as_object().unwrap().values().map(|account| account["balance"].as_i64().unwrap()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn any_node_takes_any_request_and_a_retry_has_no_second_effect() {
    let cluster = TestCluster::start(None).await;
    let mut made = 0;
    for (n, from) in ACCOUNTS.iter().enumerate() {
        for to in ACCOUNTS.iter().filter(|to| *to != from) {
            let request = order(&format!("t{made}"), from, to, 1);
            let first = cluster.until_done(n % FOUNDERS, "/transfers", request.clone()).await;
            assert_eq!((&first["from"]["id"], &first["to"]["id"]), (&json!(from), &json!(to)));
            assert_eq!(cluster.until_done((n + 1) % FOUNDERS, "/transfers", request).await, first);
            made += 1;
        }
    }
    for node in 0..FOUNDERS {
        let snapshot = cluster.snapshot(node).await;
        assert_eq!(total(&snapshot), 600);
        for id in ACCOUNTS {
            let account = json!({ "id": id, "balance": 100, "version": 11 });
            assert_eq!(
                (&snapshot[id], &cluster.get(node, &format!("/accounts/{id}")).await.1),
                (&account, &account)
            );
        }
    }
    let too_much = cluster.post(0, "/transfers", &order("t", "a0", "a1", 101)).await;
    assert_eq!((too_much.0, &too_much.1["definite"]), (StatusCode::CONFLICT, &json!(true)));
    let nobody = cluster.post(1, "/transfers", &order("t", "a0", "nobody", 1)).await;
    assert_eq!((nobody.0, &nobody.1["definite"]), (StatusCode::NOT_FOUND, &json!(true)));
    let otherwise = cluster.post(2, "/transfers", &order("t0", "a0", "a1", 2)).await;
    assert_eq!(otherwise.0, StatusCode::CONFLICT);
    assert_eq!(cluster.get(0, "/accounts/nobody").await.0, StatusCode::NOT_FOUND);
    assert_eq!(cluster.get(0, "/balances?ids=nobody").await.1, json!({ "balances": { "nobody": null } }));
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_join_take_their_share_and_nothing_else_moves() {
    let mut cluster = TestCluster::start(None).await;
    let before = cluster.balanced(0, &[3, 3, 2]).await;
    let made = cluster.until_done(0, "/transfers", order("t1", "a0", "a1", 10)).await;
    for (node, counts) in [(3, vec![2, 2, 2, 2]), (4, vec![2, 2, 2, 1, 1])] {
        cluster.start_node(node).await;
        cluster.ready([node]).await;
        cluster.join(node, node).await;
        cluster.join(1, node).await;
        for asked in 0..=node {
            let mut sorted = counts.clone();
            sorted.sort_unstable();
            let map = cluster
                .until(asked, "/partitions", |map| {
                    let all = map["partitions"].as_array().unwrap();
                    let name = |n: usize| json!(format!("n{}", n + 1));
                    let mut has: Vec<usize> =
                        (0..=node).map(|n| all.iter().filter(|p| p["node"] == name(n)).count()).collect();
                    has.sort_unstable();
                    has == sorted
                })
                .await;
            assert_eq!(map["nodes"].as_array().unwrap().len(), node + 1);
        }
    }
    let path = format!("/partitions?ids={}", ACCOUNTS.join(","));
    let after = cluster.get(4, &path).await.1;
    assert_eq!(before["accounts"], after["accounts"]);
    let epochs: u64 =
        after["partitions"].as_array().unwrap().iter().map(|p| p["epoch"].as_u64().unwrap()).sum();
    assert_eq!(epochs, 8 + 2 + 1, "two moved to the first, one to the second");
    for node in 0..NODES {
        assert_eq!(total(&cluster.snapshot(node).await), 600);
        assert_eq!(cluster.until_done(node, "/transfers", order("t1", "a0", "a1", 10)).await, made);
    }
    let unknown = cluster.post(0, "/nodes", &json!({ "request_id": "j", "id": "n9" })).await;
    assert_eq!((unknown.0, &unknown.1["definite"]), (StatusCode::NOT_FOUND, &json!(true)));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_drained_for_a_node_that_does_not_answer() {
    let mut cluster = TestCluster::start(None).await;
    let (asked, mut asks) = tokio::sync::mpsc::unbounded_channel();
    let refuses = axum::Router::new().fallback(move || {
        let _ = asked.send(());
        async { StatusCode::SERVICE_UNAVAILABLE }
    });
    cluster.nodes.start(3, |server| server.run(refuses, std::future::pending())).await;
    cluster.join(0, 3).await;
    for _ in 0..4 {
        tokio::time::timeout(PATIENCE, asks.recv()).await.unwrap().unwrap();
    }
    for node in 0..FOUNDERS {
        cluster.nodes.stop(node).await;
        let args: NodeArgs<Bug> = cluster.nodes.args(node, None);
        let look = |rows: &mut dyn rows::Rows| {
            assert!(ownership::all(rows)?.values().all(|own| own.attempt == 0), "{}", args.id);
            Ok(())
        };
        drop(Store::open(&args.data_dir, &args.id, false, look).unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_there_after_all_nodes_were_stopped() {
    let mut cluster = TestCluster::start(None).await;
    let made = cluster.until_done(1, "/transfers", order("t1", "a0", "a1", 10)).await;
    for node in 0..FOUNDERS {
        cluster.nodes.stop(node).await;
    }
    for node in 0..FOUNDERS {
        cluster.start_node(node).await;
    }
    cluster.ready(0..FOUNDERS).await;
    assert_eq!(cluster.until_done(2, "/transfers", order("t1", "a0", "a1", 10)).await, made);
    let snapshot = cluster.snapshot(0).await;
    assert_eq!((&snapshot["a0"], &snapshot["a1"], total(&snapshot)), (&made["from"], &made["to"], 600));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_malformed_is_refused_with_a_reason() {
    let cluster = TestCluster::start(None).await;
    let cases = [
        (Method::POST, "/accounts", json!({ "request_id": "o", "id": "b1", "balance": -1 })),
        (Method::POST, "/accounts", json!({ "id": "b1", "balance": 1 })),
        (Method::POST, "/transfers", order("t", "a0", "a0", 1)),
        (Method::POST, "/transfers", order("t", "a0", "a1", 0)),
        (Method::POST, "/nodes", json!({ "id": "n4" })),
        (Method::GET, "/balances", Value::Null),
        (Method::GET, "/balances?ids=a%2Fb", Value::Null),
        (Method::GET, "/partitions?accounts=a0", Value::Null),
    ];
    for (method, path, body) in cases {
        let (status, answer) = cluster.ask(method, 1, path, body).await;
        assert_eq!(
            (status, &answer["definite"]),
            (StatusCode::BAD_REQUEST, &json!(true)),
            "{path}: {answer}"
        );
    }
    let other = json!({ "request_id": "o", "id": "a0", "balance": 5 });
    assert_eq!(cluster.post(1, "/accounts", &other).await.0, StatusCode::CONFLICT);
    let long = json!({ "request_id": "x".repeat(routes::BODY_BYTES_MAX), "id": "b1", "balance": 1 });
    assert_eq!(cluster.post(0, "/accounts", &long).await.0, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(cluster.get(0, "/nowhere").await.0, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_bug_all_partitions_are_dealt_out_anew() {
    let mut cluster = TestCluster::start(Some("all-partitions-moved")).await;
    cluster.start_node(3).await;
    cluster.join(0, 3).await;
    let map = cluster.balanced(0, &[2, 2, 2, 2]).await;
    let moved = map["partitions"].as_array().unwrap().iter().filter(|p| p["epoch"] != json!(1)).count();
    assert_eq!(moved, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_bug_an_account_changes_its_partition_when_a_node_joins() {
    let mut cluster = TestCluster::start(Some("routing-by-node-count")).await;
    let path = format!("/partitions?ids={}", ACCOUNTS.join(","));
    let before = cluster.get(0, &path).await.1;
    cluster.start_node(3).await;
    cluster.join(0, 3).await;
    assert_ne!(cluster.balanced(0, &[2, 2, 2, 2]).await["accounts"], before["accounts"]);
}
