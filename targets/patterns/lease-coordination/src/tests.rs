//! Whole nodes on loopback: the contract, a takeover, and what each bug does where that can be staged.

use std::ops::Deref;
use std::time::Duration;

use ordeal_kit::testing::Nodes;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::*;

/// One coordinator and three price nodes in this process.
struct TestCluster {
    nodes: Nodes,
}

impl Deref for TestCluster {
    type Target = Nodes;

    fn deref(&self) -> &Nodes {
        &self.nodes
    }
}

impl TestCluster {
    async fn start(bug: Option<&str>, lease_ms: u64) -> Self {
        let mut nodes = Nodes::new(4);
        for node in 0..4 {
            let args = Args {
                node: nodes.args(node, bug),
                raft: RaftArgs { heartbeat_ms: 50, snapshot_every: 1_000, request_timeout_ms: 2_000 },
                coordinators: 1,
                lease_ms,
                drift_percent: 5,
                staleness_ms: 2_000,
            };
            nodes.start(node, |server| serve(server, args)).await;
        }
        nodes.ready(0..4).await;
        TestCluster { nodes }
    }

    /// Makes a node the holder of `s1`, and answers with the token.
    async fn acquire(&self, node: usize) -> u64 {
        let (status, grant) = self.ask(Method::POST, node, "/leases/s1", Value::Null).await;
        assert_eq!((status, &grant["holder"]), (StatusCode::OK, &json!(format!("n{}", node + 1))), "{grant}");
        grant["token"].as_u64().unwrap()
    }

    async fn update(&self, node: usize, token: u64, price: u64) -> StatusCode {
        let body = json!({"request_id": format!("u{price}"), "price": price, "token": token});
        self.ask(Method::PUT, node, "/prices/s1", body).await.0
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_node_writes_and_all_nodes_read() {
    let cluster = TestCluster::start(None, 20_000).await;
    assert_eq!(cluster.get(0, "/leases/s1").await.1, json!({"holder": null, "token": null}));
    let token = cluster.acquire(1).await;
    assert_eq!(cluster.acquire(1).await, token, "asking again changes nothing");
    assert_eq!(cluster.ask(Method::POST, 2, "/leases/s1", Value::Null).await.0, StatusCode::CONFLICT);
    assert_eq!(cluster.get(0, "/leases/s1").await.1, json!({"holder": "n2", "token": token}));
    assert_eq!(cluster.get(1, "/prices/s1").await.1, json!({"token": token, "price": null}));

    assert_eq!(cluster.update(1, token, 100).await, StatusCode::OK);
    assert_eq!(cluster.update(1, token, 100).await, StatusCode::OK, "a retry");
    assert_eq!(cluster.update(2, token, 200).await, StatusCode::MISDIRECTED_REQUEST);
    assert_eq!(cluster.update(1, token + 1, 300).await, StatusCode::CONFLICT, "never granted");
    assert_eq!(cluster.update(1, token, 400).await, StatusCode::OK);
    let quote = json!({"token": token, "price": 400});
    assert_eq!(cluster.get(1, "/prices/s1?consistency=strong").await.1, quote);
    // Elsewhere it is passed on, once the node has heard who holds it; a local read needs a copy.
    assert_eq!(cluster.until(2, "/prices/s1", |_| true).await, quote);
    cluster.until(3, "/prices/s1?consistency=local", |found| *found == quote).await;
    let (_, feed) = cluster.get(1, "/audit/s1?from=1").await;
    let entry = json!({"position": 1, "token": token, "price": 400, "request_id": "u400"});
    assert_eq!(feed, json!({"entries": [entry]}));

    let lease = json!({"token": token});
    assert_eq!(cluster.ask(Method::PUT, 1, "/leases/s1", lease.clone()).await.0, StatusCode::OK);
    assert_eq!(cluster.ask(Method::PUT, 2, "/leases/s1", lease.clone()).await.0, StatusCode::CONFLICT);
    assert_eq!(cluster.ask(Method::DELETE, 1, "/leases/s1", lease).await.0, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_malformed_or_for_others_is_refused_with_a_reason() {
    let cluster = TestCluster::start(None, 20_000).await;
    for (method, node, path, body, status) in [
        (Method::PUT, 1, "/prices/s1", json!({"price": 1, "token": 1}), 400),
        (Method::PUT, 1, "/prices/s1", json!({"request_id": "r", "price": -1, "token": 1}), 400),
        (Method::PUT, 1, "/leases/s1", json!({"token": "x"}), 400),
        (Method::GET, 1, "/prices/s1?consistency=none", Value::Null, 400),
        (Method::GET, 1, "/leases/a b", Value::Null, 400),
        (Method::PUT, 1, "/prices/s1", json!({"request_id": "x".repeat(5_000)}), 413),
        (Method::PUT, 0, "/prices/s1", json!({}), 421),
        (Method::POST, 0, "/leases/s1", Value::Null, 421),
        (Method::GET, 1, "/nowhere", Value::Null, 404),
    ] {
        let (found, body) = cluster.ask(method, node, path, body).await;
        assert_eq!((found.as_u16(), &body["definite"]), (status, &json!(true)), "{path}: {body}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_node_takes_over_with_a_newer_token_and_the_newest_price() {
    let mut cluster = TestCluster::start(None, 1_000).await;
    let token = cluster.acquire(1).await;
    assert_eq!(cluster.update(1, token, 100).await, StatusCode::OK);
    cluster.nodes.stop(1).await;
    let lease = cluster.until(0, "/leases/s1", |lease| lease["token"].as_u64() > Some(token)).await;
    let holder = if lease["holder"] == "n3" { 2 } else { 3 };
    let quote = cluster.until(holder, "/prices/s1", |_| true).await;
    assert_eq!(quote["price"], 100);
    let newer = cluster.acquire(holder).await;
    assert_eq!(cluster.update(holder, token, 200).await, StatusCode::CONFLICT, "the token is over");
    assert_eq!(cluster.update(holder, newer, 100).await, StatusCode::OK, "a retry at the new holder");
    let (_, feed) = cluster.get(holder, "/audit/s1").await;
    assert_eq!(feed["entries"].as_array().unwrap().len(), 1, "{feed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_coordinators_a_holder_stops_unless_it_does_not_look_at_the_time() {
    for (bug, stops) in [(None, true), (Some("holder-serves-after-expiry"), false)] {
        let mut cluster = TestCluster::start(bug, 600).await;
        let token = cluster.acquire(1).await;
        cluster.nodes.stop(0).await;
        let asked = std::time::Instant::now();
        let mut last = StatusCode::OK;
        while asked.elapsed() < Duration::from_millis(2_000) && last == StatusCode::OK {
            last = cluster.get(1, "/prices/s1").await.0;
        }
        assert_eq!(last != StatusCode::OK, stops, "{bug:?}");
        assert_eq!(cluster.update(1, token, 7).await != StatusCode::OK, stops, "{bug:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_that_runs_is_not_granted_unless_it_is_granted_early() {
    for (bug, granted) in [(None, false), (Some("granted-before-the-old-one-ended"), true)] {
        let cluster = TestCluster::start(bug, 20_000).await;
        cluster.acquire(1).await;
        let (status, _) = cluster.ask(Method::POST, 2, "/leases/s1", Value::Null).await;
        assert_eq!(status == StatusCode::OK, granted, "{bug:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_is_over_is_refused_unless_tokens_are_not_checked() {
    for (bug, taken) in [(None, false), (Some("token-not-checked"), true)] {
        let cluster = TestCluster::start(bug, 20_000).await;
        let old = cluster.acquire(1).await;
        cluster.ask(Method::DELETE, 1, "/leases/s1", json!({"token": old})).await;
        let lease = cluster.until(0, "/leases/s1", |lease| lease["token"].as_u64() > Some(old)).await;
        let holder = usize::from(lease["holder"].as_str().unwrap().as_bytes()[1] - b'1');
        cluster.acquire(holder).await;
        assert_eq!(cluster.update(holder, old, 5).await == StatusCode::OK, taken, "{bug:?}");
    }
}

/// Every path, method and status code of the contract is this node's.
#[test]
fn the_contract_names_what_the_node_serves() {
    let contract = include_str!("../../../../workloads/src/stocks/openapi.yaml");
    let paths: Vec<&str> = contract.lines().filter_map(|line| line.strip_prefix("  /")).collect();
    assert_eq!(paths, ["leases/{symbol}:", "prices/{symbol}:", "audit/{symbol}:", "health:"]);
    for status in ["200", "400", "409", "413", "421", "429", "500", "503", "504"] {
        assert!(contract.contains(&format!("\"{status}\":")), "{status} is not in the contract");
    }
}
