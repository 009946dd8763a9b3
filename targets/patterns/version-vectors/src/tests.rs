//! Whole nodes on loopback: the contract, what being cut off and restarted means, and what each bug does.

use std::ops::Deref;

use ordeal_kit::testing::{Nodes, PATIENCE, answer};
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::*;

/// Three nodes in this process.
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
    async fn new(bug: Option<&'static str>) -> Self {
        TestCluster { nodes: Nodes::new(3), bug }
    }

    fn args(&self, node: usize) -> Args {
        Args {
            node: self.nodes.args(node, self.bug),
            priority: vec!["p=n1".parse().unwrap()],
            exchange_ms: 10,
        }
    }

    async fn start(&mut self, nodes: impl IntoIterator<Item = usize>) {
        for node in nodes {
            let args = self.args(node);
            let own = place(&args).unwrap();
            self.nodes.start(node, |server| serve(server, args, own)).await;
            self.ready([node]).await;
        }
    }

    async fn stop(&mut self, nodes: impl IntoIterator<Item = usize>) {
        for node in nodes {
            self.nodes.stop(node).await;
        }
    }

    async fn get(&self, node: usize, path: &str) -> Value {
        let (status, body) = self.nodes.get(node, path).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        body
    }

    async fn move_by(&self, node: usize, sku: &str, request_id: &str, delta: i64) -> (StatusCode, Value) {
        let body = json!({"request_id": request_id, "delta": delta});
        answer(self.http().post(self.url(node, &format!("/stock/{sku}/movements"))).json(&body)).await
    }

    async fn count(&self, node: usize, sku: &str, request_id: &str, level: i64) -> (StatusCode, Value) {
        let body = json!({"request_id": request_id, "level": level});
        answer(self.http().put(self.url(node, &format!("/stock/{sku}/count"))).json(&body)).await
    }

    /// Waits until the node shows this vector for the SKU, and answers with all that it shows then.
    async fn settled(&self, node: usize, sku: &str, vector: &Value) -> Value {
        let begun = std::time::Instant::now();
        loop {
            let stock = self.get(node, &format!("/stock/{sku}")).await;
            if stock["vector"] == *vector {
                return stock;
            }
            assert!(begun.elapsed() < PATIENCE, "{stock}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn warehouses_go_on_alone_and_agree_when_they_meet() {
    let mut cluster = TestCluster::new(None).await;
    cluster.start([0]).await;
    let done = cluster.move_by(0, "p1", "r1", 10).await;
    let first = json!({"warehouse": "n1", "number": 1, "vector": {"n1": 1}, "level": 10});
    assert_eq!(done, (StatusCode::OK, first.clone()));
    assert_eq!(cluster.move_by(0, "p1", "r1", 10).await.1, first, "a retry");
    assert_eq!(cluster.move_by(0, "p1", "r1", 11).await.0, StatusCode::CONFLICT);
    assert_eq!(cluster.count(0, "p1", "r2", 7).await.1["level"], 7);
    cluster.stop([0]).await;
    cluster.start([1]).await;
    assert_eq!(cluster.count(1, "p1", "r3", 3).await.1["vector"], json!({"n2": 1}));
    assert_eq!(cluster.move_by(1, "p1", "r4", -1).await.1["level"], 2);
    cluster.start([0, 2]).await;
    let vector = json!({"n1": 2, "n2": 2});
    let mut shown = Vec::new();
    for node in 0..3 {
        shown.push(cluster.settled(node, "p1", &vector).await);
    }
    assert_eq!(shown[0]["level"], 6, "n1 has the priority: 7 - 1");
    assert_eq!(shown[0]["rule"], json!({"kind": "priority", "warehouse": "n1"}));
    assert_eq!(shown[0]["siblings"].as_array().unwrap().len(), 2);
    assert!(shown.iter().all(|stock| *stock == shown[0]));
    let takes = json!([{"warehouse": "n1", "number": 2}, {"warehouse": "n2", "number": 1}]);
    let conflicts = cluster.get(0, "/conflicts").await;
    assert_eq!((&conflicts["conflicts"][0]["sku"], &conflicts["next"]), (&json!("p1"), &Value::Null));
    let mut pair = conflicts["conflicts"][0]["stock_takes"].as_array().unwrap().clone();
    pair.sort_by_key(ToString::to_string);
    let mut expected = takes.as_array().unwrap().clone();
    expected.sort_by_key(ToString::to_string);
    assert_eq!(pair, expected);
    assert_eq!(cluster.get(0, "/conflicts?from=1").await["conflicts"], json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_forgets_nothing() {
    let mut cluster = TestCluster::new(None).await;
    cluster.start([0]).await;
    let done = cluster.move_by(0, "m0", "r1", 5).await;
    cluster.stop([0]).await;
    cluster.start([0]).await;
    assert_eq!(cluster.move_by(0, "m0", "r1", 5).await, done);
    assert_eq!(cluster.move_by(0, "m0", "r2", 5).await.1["number"], 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_requests_are_refused_with_a_reason() {
    let mut cluster = TestCluster::new(None).await;
    cluster.start([0]).await;
    let http = cluster.http();
    let (moves, count) = (cluster.url(0, "/stock/m0/movements"), cluster.url(0, "/stock/m0/count"));
    let long = "x".repeat(routes::BODY_BYTES_MAX + 1);
    let unsound = json!({"seen": {"m0": {"n1": -1}}}).to_string();
    let cases = [
        (http.post(&moves).body("{"), 400, "EOF"),
        (http.post(&moves).body(r#"{"delta": 1}"#), 400, "request_id"),
        (http.post(&moves).body(r#"{"request_id": "r", "delta": 1.5}"#), 400, "i64"),
        (http.post(&moves).body(r#"{"request_id": "r", "delta": 1000000001}"#), 400, "at most"),
        (http.put(&count).body(r#"{"request_id": "r", "level": -1}"#), 400, "from 0 to"),
        (http.post(cluster.url(0, "/stock/a%2Fb/movements")).body("{}"), 400, "made of"),
        (http.post(&moves).body(long), 413, "too long"),
        (http.post(cluster.url(0, exchange::PULL)).body(unsound), 400, "u64"),
        (http.get(cluster.url(0, "/conflicts?from=x")), 400, "invalid digit"),
        (http.get(&moves), 405, "method"),
        (http.get(cluster.url(0, "/stock")), 404, "no such path"),
    ];
    for (request, status, reason) in cases {
        let (found, body) = answer(request).await;
        assert_eq!((found.as_u16(), &body["definite"]), (status, &json!(true)), "{body}");
        assert!(body["error"].as_str().unwrap().contains(reason), "{body}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_majority_is_needed_only_under_the_bug() {
    let mut cluster = TestCluster::new(Some("majority-needed")).await;
    cluster.start([0]).await;
    let begun = std::time::Instant::now();
    let mut n = 0;
    // Every peer is thought to be well until it was asked.
    loop {
        n += 1;
        let (status, body) = cluster.move_by(0, "m0", &format!("r{n}"), 1).await;
        if status == StatusCode::SERVICE_UNAVAILABLE {
            assert_eq!(body["definite"], true);
            break;
        }
        assert!(begun.elapsed() < PATIENCE);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_its_bug_a_node_forgets_its_numbers_or_its_requests() {
    let mut cluster = TestCluster::new(Some("counter-reused-after-restart")).await;
    cluster.start([0]).await;
    cluster.move_by(0, "m0", "r1", 5).await;
    cluster.stop([0]).await;
    cluster.start([0]).await;
    assert_eq!(cluster.move_by(0, "m0", "r2", 5).await.1["number"], 1);
    let mut cluster = TestCluster::new(Some("retry-applied-twice")).await;
    cluster.start([0]).await;
    cluster.move_by(0, "m0", "r1", 5).await;
    assert_eq!(cluster.move_by(0, "m0", "r1", 5).await.1["level"], 10);
}

#[tokio::test]
async fn arguments_that_contradict_each_other_are_refused() {
    let cluster = TestCluster::new(None).await;
    let mut args = cluster.args(0);
    assert_eq!(place(&args).unwrap(), 0);
    args.priority = vec!["p=n9".parse().unwrap()];
    assert!(place(&args).unwrap_err().to_string().contains("n9 is not among"));
    assert!(BUGS.iter().all(|(name, _)| name.parse::<Bug>().is_ok()));
}

/// Every path and status code of the contract is this node's.
#[test]
fn the_contract_names_what_the_node_serves() {
    let contract = include_str!("../../../../workloads/src/inventory/openapi.yaml");
    let paths: Vec<&str> = contract.lines().filter_map(|line| line.strip_prefix("  /")).collect();
    assert_eq!(
        paths,
        ["stock/{sku}:", "stock/{sku}/movements:", "stock/{sku}/count:", "conflicts:", "health:"]
    );
    for status in ["200", "400", "409", "413", "429", "500", "503"] {
        assert!(contract.contains(&format!("\"{status}\":")), "{status} is not in the contract");
    }
}
