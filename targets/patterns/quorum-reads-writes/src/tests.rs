//! Whole nodes on loopback: the contract, what two and three lost nodes mean, and what each bug does.

use std::ops::Deref;
use std::path::Path;

use ordeal_kit::Id;
use ordeal_kit::testing::{Nodes, PATIENCE, answer};
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::*;
use crate::protocol::{Cell, Update, Version};

/// Five nodes in this process.
struct TestCluster {
    nodes: Nodes,
    args: Vec<Args>,
}

impl Deref for TestCluster {
    type Target = Nodes;

    fn deref(&self) -> &Nodes {
        &self.nodes
    }
}

impl TestCluster {
    /// Nodes that are not running yet.
    async fn new(bug: Option<&str>) -> Self {
        let nodes = Nodes::new(5);
        let args = |node| Args {
            node: nodes.args(node, bug),
            read_quorum: None,
            write_quorum: None,
            quorum_timeout_ms: 5_000,
        };
        TestCluster { args: (0..5).map(args).collect(), nodes }
    }

    async fn with_all(bug: Option<&str>) -> Self {
        let mut cluster = Self::new(bug).await;
        cluster.start([0, 1, 2, 3, 4]).await;
        cluster
    }

    async fn start(&mut self, nodes: impl IntoIterator<Item = usize>) {
        for node in nodes {
            let args = self.args[node].clone();
            let plan = Plan::new(&args).unwrap();
            self.nodes.start(node, |server| serve(server, args, plan)).await;
            self.ready([node]).await;
        }
    }

    async fn stop(&mut self, nodes: impl IntoIterator<Item = usize>) {
        for node in nodes {
            self.nodes.stop(node).await;
        }
    }

    fn store_options(&self, node: usize) -> StoreOptions {
        StoreOptions {
            node: self.args[node].node.id.clone(),
            order: protocol::VersionOrder::Total,
            lazy_sync: false,
        }
    }

    /// Puts an update into the store of a node that is not running: a write that got no further.
    async fn plant(&self, node: usize, update: Update) {
        let store = Store::open(&self.args[node].node.data_dir, self.store_options(node)).unwrap();
        store.update(update).await.unwrap();
    }

    async fn append(&self, node: usize, request_id: &str) -> (StatusCode, Value) {
        let body = json!({"request_id": request_id, "kind": "lab", "text": format!("of {request_id}")});
        answer(self.http().post(self.url(node, "/patients/p1/entries")).json(&body)).await
    }

    async fn put(&self, node: usize, request_id: &str, text: &str) -> (StatusCode, Value) {
        let body = json!({"request_id": request_id, "text": text});
        answer(self.http().put(self.url(node, "/patients/p1/summary")).json(&body)).await
    }

    async fn entries(&self, node: usize) -> Value {
        let (status, body) = self.get(node, "/patients/p1/entries").await;
        assert_eq!(status, StatusCode::OK, "{body}");
        body["entries"].clone()
    }

    async fn summary(&self, node: usize) -> Value {
        let (status, body) = self.get(node, "/patients/p1/summary").await;
        assert_eq!(status, StatusCode::OK, "{body}");
        body["text"].clone()
    }
}

fn id(text: &str) -> Id {
    text.parse().unwrap()
}

fn half_written_summary() -> Update {
    let version = Version { counter: 1, node: "n1".to_owned() };
    let (request_id, text) = (id("r-half"), "half".to_owned());
    let cell = Cell { version, request_id, text };
    let patient = id("p1");
    Update::Summary { patient, cell }
}

fn half_written_entry() -> Update {
    let entry = protocol::Entry { kind: protocol::Kind::Lab, text: String::new() };
    Update::Entries { patient: id("p1"), entries: protocol::Entries::from([(id("e-half"), entry)]) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_clinic_serves_the_contract() {
    let cluster = TestCluster::with_all(None).await;
    assert_eq!(cluster.get(2, "/health").await.1, json!({"id": "n3", "ready": true}));
    assert_eq!(cluster.entries(0).await, json!([]));
    assert_eq!(
        cluster.get(4, "/patients/p1/summary").await,
        (StatusCode::OK, json!({"text": null, "version": null}))
    );
    assert_eq!(cluster.append(0, "r-2").await, (StatusCode::OK, json!({"entry": "r-2"})));
    assert_eq!(cluster.append(3, "r-1").await.0, StatusCode::OK);
    assert_eq!(cluster.append(1, "r-1").await.0, StatusCode::OK, "a retry elsewhere");
    for node in 0..5 {
        assert_eq!(cluster.entries(node).await, json!(["r-1", "r-2"]));
    }
    let (_, full) = cluster.get(4, "/patients/p1/entries?full=true").await;
    assert_eq!(full["entries"][0], json!({"entry": "r-1", "kind": "lab", "text": "of r-1"}));

    let (status, first) = cluster.put(0, "s-1", "one").await;
    assert_eq!((status, &first), (StatusCode::OK, &json!({"version": {"counter": 1, "node": "n1"}})));
    assert_eq!(cluster.summary(4).await, "one");
    let (_, second) = cluster.put(4, "s-2", "two").await;
    assert_eq!(second["version"], json!({"counter": 2, "node": "n5"}));
    // Retries, here and elsewhere, keep their version and undo nothing.
    assert_eq!(cluster.put(0, "s-1", "one").await.1, first);
    assert_eq!(cluster.put(2, "s-1", "one").await.1, first);
    assert_eq!(cluster.summary(1).await, "two");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_requests_are_refused_with_a_reason() {
    let mut cluster = TestCluster::new(None).await;
    cluster.start([0]).await;
    let http = cluster.http();
    let (entries, summary) = (cluster.url(0, "/patients/p1/entries"), cluster.url(0, "/patients/p1/summary"));
    let long = json!({"request_id": "r", "text": "x".repeat(routes::BODY_BYTES_MAX)}).to_string();
    let cases = [
        (http.post(&entries).body("{"), 400, "EOF"),
        (http.post(&entries).body(r#"{"kind": "lab", "text": ""}"#), 400, "request_id"),
        (http.post(&entries).body(r#"{"request_id": "", "kind": "lab", "text": ""}"#), 400, "1 to 128 bytes"),
        (http.post(&entries).body(r#"{"request_id": "r", "kind": "x", "text": ""}"#), 400, "prescription"),
        (http.put(&summary).body(r#"{"request_id": "r", "text": 3}"#), 400, "string"),
        (http.put(&summary).body(r#"{"request_id": "r", "text": "", "more": 1}"#), 400, "more"),
        (http.put(&summary).body(long), 413, "too long"),
        (http.get(cluster.url(0, "/patients/a%20b/summary")), 400, "not ' '"),
        (http.get(cluster.url(0, "/patients/p1/entries?full=maybe")), 400, "full"),
        (http.get(cluster.url(0, "/patients")), 404, "path"),
        (http.delete(&summary), 405, "method"),
    ];
    for (request, status, reason) in cases {
        let (got, body) = answer(request).await;
        assert_eq!(got.as_u16(), status, "{body}");
        assert!(body["error"].as_str().unwrap().contains(reason), "{body} does not say {reason}");
        assert_eq!(body["definite"], true);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_id_cannot_be_used_for_something_else() {
    let cluster = TestCluster::with_all(None).await;
    assert_eq!(cluster.put(0, "s-1", "one").await.0, StatusCode::OK);
    assert_eq!(cluster.append(0, "r-1").await.0, StatusCode::OK);
    for node in [0, 3] {
        let (status, body) = cluster.put(node, "s-1", "other").await;
        assert_eq!((status, &body["definite"]), (StatusCode::CONFLICT, &json!(true)));
    }
    let other = json!({"request_id": "r-1", "kind": "history", "text": ""});
    let post = cluster.http().post(cluster.url(0, "/patients/p1/entries")).json(&other);
    assert_eq!(answer(post).await.0, StatusCode::CONFLICT);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_down_are_survived_and_three_are_refused() {
    let mut cluster = TestCluster::with_all(None).await;
    cluster.stop([3, 4]).await;
    assert_eq!(cluster.append(0, "r-1").await.0, StatusCode::OK);
    assert_eq!(cluster.put(1, "s-1", "one").await.0, StatusCode::OK);
    assert_eq!((cluster.entries(2).await, cluster.summary(2).await), (json!(["r-1"]), json!("one")));

    cluster.stop([2]).await;
    for path in ["/patients/p1/entries", "/patients/p1/summary"] {
        let (status, body) = cluster.get(0, path).await;
        assert_eq!((status, &body["definite"]), (StatusCode::SERVICE_UNAVAILABLE, &json!(true)), "{body}");
    }
    let (status, body) = cluster.put(0, "s-2", "two").await;
    assert_eq!((status, &body["definite"]), (StatusCode::SERVICE_UNAVAILABLE, &json!(true)));
    // By now the node knows whom it cannot reach, so nothing is stored before the refusal.
    let (status, body) = cluster.append(0, "r-2").await;
    assert_eq!((status, &body["definite"]), (StatusCode::SERVICE_UNAVAILABLE, &json!(true)));

    // The two that missed everything are brought up to date by being asked.
    cluster.start([3, 4]).await;
    cluster.stop([0]).await;
    assert_eq!((cluster.entries(4).await, cluster.summary(4).await), (json!(["r-1"]), json!("one")));
    cluster.stop([1]).await;
    cluster.start([2]).await;
    assert_eq!((cluster.entries(3).await, cluster.summary(3).await), (json!(["r-1"]), json!("one")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_append_that_loses_its_quorum_half_way_is_not_definite() {
    let mut cluster = TestCluster::new(None).await;
    cluster.start([0]).await;
    // Nothing was asked of the others yet, so the node finds out only after its own store has the entry.
    let (status, body) = cluster.append(0, "r-1").await;
    assert_eq!((status, &body["definite"]), (StatusCode::GATEWAY_TIMEOUT, &json!(false)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stale_replicas_are_repaired_by_reads() {
    let mut cluster = TestCluster::new(None).await;
    for node in 0..4 {
        cluster.plant(node, half_written_summary()).await;
        cluster.plant(node, half_written_entry()).await;
    }
    cluster.start([0, 1, 2, 3, 4]).await;
    let query = json!({"patient": "p1", "request_id": null});
    let offer = json!({"patient": "p1", "entries": {}, "digest": {"entries": 0, "sums": [0, 0]}});
    let has = async |path: &str, body: &Value| {
        let (_, held) = answer(cluster.http().post(cluster.url(4, path)).json(body)).await;
        held.to_string().contains("-half")
    };
    let repaired = async {
        while !(has(replicas::QUERY, &query).await && has(replicas::OFFER, &offer).await) {
            cluster.summary(0).await;
            cluster.entries(0).await;
        }
    };
    tokio::time::timeout(PATIENCE, repaired).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_clients_lose_nothing_and_reads_only_grow() {
    let cluster = Arc::new(TestCluster::with_all(None).await);
    let mut writers = tokio::task::JoinSet::new();
    for node in 0..5 {
        let cluster = Arc::clone(&cluster);
        writers.spawn(async move {
            for n in 0..10 {
                assert_eq!(cluster.append(node, &format!("e-{node}-{n}")).await.0, StatusCode::OK);
                assert_eq!(cluster.put(node, &format!("s-{node}-{n}"), "x").await.0, StatusCode::OK);
            }
        });
    }
    let mut seen = 0;
    for turn in 0_usize.. {
        let now = cluster.entries(turn % 5).await.as_array().unwrap().len();
        assert!(now >= seen, "{now} after {seen}");
        seen = now;
        if seen == 50 {
            break;
        }
    }
    writers.join_all().await;
    let (_, body) = cluster.get(0, "/patients/p1/summary").await;
    assert!(body["version"]["counter"].as_u64().unwrap() >= 10, "{body}");
}

#[test]
fn arguments_that_break_the_promise_are_refused() {
    let args = |id: &str, read, write, bug: Option<&str>| Args {
        node: NodeArgs {
            id: id.to_owned(),
            listen: "127.0.0.1:1".parse().unwrap(),
            peers: (1..=5).map(|n| format!("n{n}=127.0.0.1:{n}").parse().unwrap()).collect(),
            data_dir: Path::new("nowhere").to_owned(),
            bug: bug.map(|name| name.parse().unwrap()),
        },
        read_quorum: read,
        write_quorum: write,
        quorum_timeout_ms: 1_000,
    };
    let refusal = |args: &Args| Plan::new(args).unwrap_err().to_string();
    assert!(Plan::new(&args("n1", None, None, None)).is_ok());
    assert!(refusal(&args("n1", Some(2), Some(3), None)).contains("2 + 3 is not more than 5"));
    assert!(refusal(&args("n1", Some(4), Some(2), None)).contains("2 * 2 is not more than 5"));
    assert!(refusal(&args("n9", None, None, None)).contains("not among"));
    let broken = Plan::new(&args("n1", None, None, Some("r-plus-w"))).unwrap();
    assert_eq!((broken.quorums.read, broken.quorums.write), (2, 3));
    for (name, _) in BUGS {
        assert!(Plan::new(&args("n1", None, None, Some(name))).is_ok(), "{name}");
    }
}

/// Every path, method and status code of the contract is this node's.
#[test]
fn the_contract_names_what_the_node_serves() {
    let contract = include_str!("../../../../workloads/src/patients/openapi.yaml");
    let paths: Vec<&str> = contract.lines().filter_map(|line| line.strip_prefix("  /")).collect();
    assert_eq!(paths, ["patients/{id}/entries:", "patients/{id}/summary:", "health:"]);
    for status in ["200", "400", "409", "413", "429", "500", "503", "504"] {
        assert!(contract.contains(&format!("\"{status}\":")), "{status} is not in the contract");
    }
    for kind in ["history", "lab", "prescription"] {
        let parsed: Result<protocol::Kind, _> = serde_json::from_value(kind.into());
        assert!(contract.contains(kind) && parsed.is_ok());
    }
}

mod bugs;
