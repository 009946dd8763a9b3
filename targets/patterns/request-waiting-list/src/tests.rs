//! Whole nodes on loopback: the contract, what lost and restarted nodes mean, and what bugs do.

use std::ops::Deref;

use ordeal_kit::testing::{Nodes, PATIENCE, answer};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::*;

const NODES: usize = 5;

/// Nodes in this process.
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
    /// Nodes that are not running yet.
    fn new(bug: Option<&'static str>) -> Self {
        TestCluster { nodes: Nodes::new(NODES), bug }
    }

    async fn with_all(bug: Option<&'static str>) -> Self {
        let mut cluster = Self::new(bug);
        cluster.start(0..NODES).await;
        cluster
    }

    async fn start(&mut self, nodes: impl IntoIterator<Item = usize>) {
        for node in nodes {
            let args = Args { node: self.nodes.args(node, self.bug), expiry_ms: 400 };
            // Requests that the node before it still carried through hold its store.
            let begun = Instant::now();
            while Store::open(&args.node.data_dir, &args.node.id, None).is_err() {
                assert!(begun.elapsed() < PATIENCE, "the store is still open");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            let place = Place::new(&args).unwrap();
            self.nodes.start(node, |server| serve(server, args, place)).await;
            self.ready([node]).await;
        }
    }

    async fn stop(&mut self, nodes: impl IntoIterator<Item = usize>) {
        for node in nodes {
            self.nodes.stop(node).await;
        }
    }

    async fn submit(&self, node: usize, trade: &str, price: u64) -> (StatusCode, Value) {
        let body = json!({"correlation_id": trade, "price": price, "volume": 10, "counterparty": "p"});
        self.ask(Method::POST, node, "/trades", body).await
    }

    async fn settle(&self, node: usize, trade: &str) -> (StatusCode, Value) {
        self.ask(Method::POST, node, &format!("/trades/{trade}/settlement"), None).await
    }

    async fn status(&self, node: usize, trade: &str) -> Value {
        let (status, body) = self.get(node, &format!("/trades/{trade}")).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        body["status"].clone()
    }

    /// Waits until the node itself has this status for the trade.
    async fn local(&self, node: usize, trade: &str, status: &str) {
        let begun = Instant::now();
        loop {
            let (_, body) = self.get(node, &format!("/trades/{trade}?from=local")).await;
            if body["status"] == status {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{body} is not {status}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn bookings(&self, node: usize) -> Vec<Value> {
        self.get(node, "/ledger").await.1["bookings"].as_array().unwrap().clone()
    }
}

fn trade(name: &str, status: &str, price: u64) -> Value {
    let details = json!({"price": price, "volume": 10, "counterparty": "p"});
    json!({"correlation_id": name, "status": status, "details": details})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_node_serves_the_contract() {
    let cluster = TestCluster::with_all(None).await;
    let health = json!({"id": "n3", "ready": true, "role": "clearing"});
    assert_eq!(cluster.get(2, "/health").await.1, health);
    let none = json!({"correlation_id": "t1", "status": "none", "details": null});
    assert_eq!(cluster.get(0, "/trades/t1").await, (StatusCode::OK, none));
    assert_eq!(cluster.settle(0, "t1").await.0, StatusCode::CONFLICT, "it is not confirmed");

    let confirmed = (StatusCode::OK, trade("t1", "confirmed", 7));
    assert_eq!(cluster.submit(0, "t1", 7).await, confirmed);
    assert_eq!(cluster.submit(3, "t1", 7).await, confirmed, "a retry elsewhere");
    let (status, body) = cluster.submit(4, "t1", 8).await;
    assert_eq!((status, &body["definite"]), (StatusCode::CONFLICT, &json!(true)));
    for node in 0..NODES {
        assert_eq!(cluster.get(node, "/trades/t1").await, confirmed);
    }
    let settled = (StatusCode::OK, trade("t1", "settled", 7));
    assert_eq!(cluster.settle(1, "t1").await, settled);
    assert_eq!(cluster.settle(4, "t1").await, settled, "again");
    for node in 0..NODES {
        assert_eq!(cluster.get(node, "/trades/t1").await, settled);
        cluster.local(node, "t1", "settled").await;
        let booking = json!({"correlation_id": "t1", "counterparty": "p", "volume": 10, "position": 10});
        assert_eq!(cluster.bookings(node).await, [booking]);
        let copies = cluster.get(node, "/copies").await.1;
        assert_eq!((&copies["next"], &copies["copies"][0]["correlation_id"]), (&Value::Null, &json!("t1")));
        assert_eq!(copies["copies"][0]["settlement_confirmed"], node >= 3);
        let mut own = cluster.get(node, "/trades/t1?from=local").await.1;
        let role = own.as_object_mut().and_then(|own| own.remove("role"));
        assert_eq!((own, role), (copies["copies"][0].clone(), Some(copies["role"].clone())));
    }
    assert_eq!(cluster.get(0, "/waiting-list").await.1, json!({"expiry_ms": 400, "pending": []}));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_requests_are_refused_with_a_reason() {
    let mut cluster = TestCluster::new(None);
    cluster.start([0]).await;
    let http = cluster.http();
    let trades = cluster.url(0, "/trades");
    let body = |price: u64| json!({"correlation_id": "t", "price": price, "volume": 1, "counterparty": "p"});
    let long = "x".repeat(routes::BODY_BYTES_MAX + 1);
    let cases = [
        (http.post(&trades).body("{"), 400, "EOF"),
        (http.post(&trades).body("{}"), 400, "correlation_id"),
        (http.post(&trades).json(&body(0)), 400, "from 1 to"),
        (http.post(&trades).json(&body(trade::AMOUNT_MAX + 1)), 400, "from 1 to"),
        (http.post(&trades).body(long), 413, "too long"),
        (http.get(cluster.url(0, "/trades/a%20b")), 400, "not ' '"),
        (http.get(cluster.url(0, "/trades/t?from=elsewhere")), 400, "elsewhere"),
        (http.get(cluster.url(0, "/settlements")), 404, "path"),
        (http.delete(&trades), 405, "method"),
    ];
    for (request, status, reason) in cases {
        let (got, body) = answer(request).await;
        assert_eq!(got.as_u16(), status, "{body}");
        assert!(body["error"].as_str().unwrap().contains(reason), "{body} does not say {reason}");
        assert_eq!(body["definite"], true);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_may_be_down_and_what_was_confirmed_stays() {
    let mut cluster = TestCluster::new(None);
    cluster.start(0..3).await;
    assert_eq!(cluster.submit(0, "t1", 7).await, (StatusCode::OK, trade("t1", "confirmed", 7)));
    // Both settlement nodes are away: accepted, and done once they are there.
    assert_eq!(cluster.settle(0, "t1").await, (StatusCode::ACCEPTED, trade("t1", "pending", 7)));
    assert_eq!(cluster.status(1, "t1").await, "confirmed");
    cluster.stop([0, 1]).await;
    for path in ["/trades/t1", "/trades/t2"] {
        let (status, body) = cluster.get(2, path).await;
        assert_eq!((status, &body["definite"]), (StatusCode::SERVICE_UNAVAILABLE, &json!(true)));
    }
    // Of the three that voted one is here, and two that have never heard of it.
    cluster.start([3, 4]).await;
    assert_eq!(cluster.status(3, "t1").await, "confirmed");
    cluster.start([0]).await;
    cluster.local(2, "t1", "settled").await;
    assert_eq!(cluster.status(4, "t1").await, "settled");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_accepted_is_finished_after_a_restart_unless_the_list_is_lost() {
    for bug in [None, Some("list-lost")] {
        let mut cluster = TestCluster::new(bug);
        cluster.start([0, 1]).await;
        assert_eq!(cluster.submit(0, "t1", 7).await, (StatusCode::ACCEPTED, trade("t1", "pending", 7)));
        cluster.stop([0, 1]).await;
        cluster.start([2, 3, 4]).await;
        cluster.start([0]).await;
        if bug.is_none() {
            cluster.local(4, "t1", "confirmed").await;
            assert_eq!(cluster.bookings(4).await.len(), 1);
        } else {
            // Another trade goes the whole way meanwhile.
            assert_eq!(cluster.submit(0, "t2", 7).await.0, StatusCode::OK);
            cluster.local(4, "t2", "confirmed").await;
            assert_eq!(cluster.get(4, "/trades/t1?from=local").await.1["status"], "none");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_details_at_the_same_time_are_decided_once() {
    let cluster = Arc::new(TestCluster::with_all(None).await);
    let mut asked = JoinSet::new();
    for n in 0..12 {
        for node in 0..NODES {
            let cluster = Arc::clone(&cluster);
            asked.spawn(async move { (n, cluster.submit(node, &format!("t{n}"), 1 + node as u64).await) });
        }
    }
    let mut told = vec![Vec::new(); 12];
    for (n, (status, body)) in asked.join_all().await {
        match status {
            StatusCode::OK | StatusCode::ACCEPTED => told[n].push(body),
            _ => assert_eq!((status, &body["definite"]), (StatusCode::CONFLICT, &json!(true))),
        }
    }
    for (n, told) in told.iter().enumerate() {
        let confirmed = told.iter().filter(|answer| answer["status"] == "confirmed").count();
        assert!(confirmed <= 1, "{told:?}");
        let decided =
            if told.iter().any(|answer| answer["status"] == "rejected") { "rejected" } else { "confirmed" };
        assert_eq!(cluster.status(n % NODES, &format!("t{n}")).await, decided, "{told:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bugs_answer_alone_what_takes_a_majority() {
    let cases = [
        (None, 202, "pending"),
        (Some("first-confirmation"), 200, "confirmed"),
        (Some("counted-twice"), 200, "confirmed"),
        (Some("expiry-confirms"), 200, "confirmed"),
        (Some("expiry-rejects"), 200, "rejected"),
    ];
    for (bug, code, status) in cases {
        let mut cluster = TestCluster::new(bug);
        cluster.start([0]).await;
        let (got, body) = cluster.submit(0, "t1", 7).await;
        assert_eq!((got.as_u16(), &body["status"]), (code, &json!(status)), "{bug:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bugs_execute_a_trade_again() {
    for (bug, times) in [(None, 1), (Some("retry-executes-twice"), 2)] {
        let cluster = TestCluster::with_all(bug).await;
        for _ in 0..2 {
            assert_eq!(cluster.submit(0, "t1", 7).await.0, StatusCode::OK);
        }
        let bookings = cluster.bookings(0).await;
        assert_eq!(bookings.len(), times, "{bug:?}");
        assert_eq!(bookings[times - 1]["position"], 10 * times);
    }
    let cluster = TestCluster::with_all(Some("callback-runs-twice")).await;
    assert_eq!(cluster.submit(0, "t1", 7).await.0, StatusCode::OK);
    let begun = Instant::now();
    while cluster.bookings(0).await.len() < 2 {
        assert!(begun.elapsed() < PATIENCE, "nobody else told this node");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[test]
fn too_few_nodes_for_all_roles_are_refused() {
    let args = |nodes: usize| Args {
        node: NodeArgs {
            id: "n1".to_owned(),
            listen: "127.0.0.1:1".parse().unwrap(),
            peers: (1..=nodes).map(|n| format!("n{n}=127.0.0.1:{n}").parse().unwrap()).collect(),
            data_dir: "nowhere".into(),
            bug: None,
        },
        expiry_ms: 400,
    };
    assert!(Place::new(&args(2)).unwrap_err().to_string().contains("3 nodes at least"));
    assert_eq!(Place::new(&args(3)).unwrap().roles, roles(3));
}

/// Every path and status code of the contract is this node's.
#[test]
fn the_contract_names_what_the_node_serves() {
    let contract = include_str!("../../../../workloads/src/trades/openapi.yaml");
    let paths: Vec<&str> = contract.lines().filter_map(|line| line.strip_prefix("  /")).collect();
    let served = [
        "trades:",
        "trades/{id}:",
        "trades/{id}/settlement:",
        "waiting-list:",
        "copies:",
        "ledger:",
        "health:",
    ];
    assert_eq!(paths, served);
    for status in ["200", "202", "400", "409", "413", "429", "500", "503", "504"] {
        assert!(contract.contains(&format!("\"{status}\":")), "{status} is not in the contract");
    }
    for word in ["none", "pending", "confirmed", "rejected", "settled", "trading", "clearing", "settlement"] {
        assert!(contract.contains(word));
    }
}
