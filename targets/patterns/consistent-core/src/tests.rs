//! Whole nodes on loopback, a core of three and three data nodes: the contract, from any node.

use std::ops::Deref;

use ordeal_kit::testing::Nodes;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::*;

const NODES: usize = 6;

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
    /// All nodes, ready.
    async fn start(bug: Option<&str>) -> Self {
        let mut nodes = Nodes::new(NODES);
        for node in 0..NODES {
            let raft = RaftArgs { heartbeat_ms: 200, snapshot_every: 100, request_timeout_ms: 10_000 };
            let args = Args { node: nodes.args(node, bug), raft, core: 3, lease_ms: 500 };
            nodes.start(node, |server| serve(server, args)).await;
        }
        nodes.ready(0..NODES).await;
        TestCluster { nodes }
    }

    async fn post(&self, node: usize, path: &str, body: Value) -> (StatusCode, Value) {
        self.ask(Method::POST, node, path, body).await
    }

    async fn put(&self, node: usize, policy: &str, holder: &str) -> Value {
        let body = json!({ "request_id": holder, "holder": holder, "premium": 100 });
        let (status, body) = self.ask(Method::PUT, node, &format!("/policies/{policy}"), body).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        body
    }

    async fn confirm(&self, node: usize, department: &str, verdict: &str) -> (StatusCode, Value) {
        let request_id = format!("{department}-{verdict}");
        let body = json!({ "request_id": request_id, "department": department, "verdict": verdict });
        self.post(node, "/claims/c1/confirmations", body).await
    }

    async fn adjust(&self, node: usize, id: &str, policies: &[&str]) -> (StatusCode, Value) {
        let body = json!({ "request_id": id, "amount": 7, "policies": policies });
        self.post(node, "/premium-adjustments", body).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn any_node_takes_any_request() {
    let cluster = TestCluster::start(None).await;
    for (n, policy) in ["p0", "p1", "p2", "p3", "p4", "p5"].into_iter().enumerate() {
        let put = cluster.put(n, policy, &format!("h{n}")).await;
        let version = put["version"].as_u64().unwrap();
        assert_eq!(put["policy"], json!({ "holder": format!("h{n}"), "premium": 100, "changed": version }));
        for node in 0..NODES {
            assert_eq!(cluster.get(node, &format!("/policies/{policy}")).await.1["policy"], put["policy"]);
            let copy = format!("/policies/{policy}?from=data&version={version}");
            let (status, copy) = cluster.get(node, &copy).await;
            assert_eq!((status, &copy["policy"]), (StatusCode::OK, &put["policy"]));
            assert!(copy["version"].as_u64().unwrap() >= version);
        }
    }
    let claim = json!({ "request_id": "r1", "claim": "c1", "policy": "p1", "amount": 5 });
    assert_eq!(cluster.post(4, "/claims", claim.clone()).await.1["status"], "submitted");
    assert_eq!(cluster.post(1, "/claims", claim).await.1["status"], "submitted", "a retry");
    assert_eq!(cluster.confirm(3, "finance", "approve").await.1["status"], "submitted");
    assert_eq!(cluster.confirm(0, "approval", "reject").await.1["status"], "submitted");
    assert_eq!(cluster.confirm(5, "policyholder", "approve").await.1["status"], "approved");
    let (status, refused) = cluster.confirm(2, "finance", "reject").await;
    assert_eq!((status, &refused["definite"]), (StatusCode::CONFLICT, &json!(true)));
    for node in 0..NODES {
        assert_eq!(cluster.get(node, "/claims/c1").await.1["status"], "approved");
        assert_eq!(cluster.get(node, "/claims/c2").await.0, StatusCode::NOT_FOUND);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_adjustment_has_one_effect_however_often_and_wherever_it_is_asked_for() {
    let cluster = TestCluster::start(None).await;
    let policies = ["p1", "p2", "p3", "p4", "p5"];
    for policy in policies {
        cluster.put(0, policy, "h").await;
    }
    let (status, first) = cluster.adjust(3, "a1", &policies).await;
    assert_eq!((status, &first["premiums"]["p3"]), (StatusCode::OK, &json!(107)));
    for node in 0..NODES {
        assert_eq!(cluster.adjust(node, "a1", &policies).await.1, first);
    }
    // All nodes at once: one waits for the other.
    let ids: Vec<String> = (0..NODES).map(|node| format!("b{node}")).collect();
    let mut asked = Vec::new();
    for (node, id) in ids.iter().enumerate() {
        asked.push(cluster.adjust(node, id, &policies[..3]));
    }
    for (status, body) in futures(asked).await {
        assert_eq!(status, StatusCode::OK, "{body}");
    }
    let premium = async |policy: &str| {
        cluster.get(5, &format!("/policies/{policy}")).await.1["policy"]["premium"].clone()
    };
    assert_eq!((premium("p1").await, premium("p5").await), (json!(107 + 7 * NODES), json!(107)));
    let (status, absent) = cluster.adjust(1, "a2", &["p1", "p9"]).await;
    assert_eq!((status, &absent["definite"]), (StatusCode::NOT_FOUND, &json!(true)));
    assert_eq!(cluster.adjust(1, "a3", &["p1", "p1"]).await.0, StatusCode::BAD_REQUEST);
    assert_eq!(premium("p1").await, json!(107 + 7 * NODES));
}

/// Waits for all, which run at once.
async fn futures<T>(all: Vec<impl Future<Output = T>>) -> Vec<T> {
    let mut all: Vec<_> = all.into_iter().map(Box::pin).collect();
    let mut done: Vec<Option<T>> = all.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, done) in all.iter_mut().zip(&mut done).filter(|(_, done)| done.is_none()) {
            if let std::task::Poll::Ready(value) = future.as_mut().poll(context) {
                *done = Some(value);
            }
        }
        match done.iter().all(Option::is_some) {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
    done.into_iter().flatten().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_is_found_while_one_of_its_homes_is_down() {
    let mut cluster = TestCluster::start(None).await;
    let version = cluster.put(0, "p1", "h1").await["version"].clone();
    let document = |id: &str, version: &Value| json!({ "request_id": id, "version": version, "text": "t" });
    for node in 0..NODES {
        let id = format!("d{node}");
        let (status, added) = cluster.post(node, "/policies/p1/documents", document(&id, &version)).await;
        assert_eq!((status, &added["document"]), (StatusCode::OK, &json!(id)), "{added}");
        assert_eq!(added["terms"]["policy"]["holder"], "h1");
    }
    let other = json!({ "request_id": "d1", "version": version, "text": "other" });
    assert_eq!(cluster.post(2, "/policies/p1/documents", other).await.0, StatusCode::CONFLICT);
    let (status, absent) = cluster.post(2, "/policies/p9/documents", document("d9", &version)).await;
    assert_eq!((status, &absent["definite"]), (StatusCode::NOT_FOUND, &json!(true)));
    // Nobody has reached this version.
    let (status, ahead) = cluster.post(3, "/policies/p1/documents", document("d9", &json!(10_000))).await;
    assert_eq!((status, &ahead["definite"]), (StatusCode::SERVICE_UNAVAILABLE, &json!(true)));
    cluster.nodes.stop(4).await;
    for node in [0, 2, 3, 5] {
        let (status, list) = cluster.get(node, "/policies/p1/documents").await;
        assert_eq!(status, StatusCode::OK, "{list}");
        let names: Vec<&Value> =
            list["documents"].as_array().unwrap().iter().map(|d| &d["document"]).collect();
        assert_eq!(names, ["d0", "d1", "d2", "d3", "d4", "d5"]);
        assert_eq!(cluster.get(node, "/policies/p1/documents/d2").await.1["text"], "t");
        assert_eq!(cluster.get(node, "/policies/p1/documents/d7").await.0, StatusCode::NOT_FOUND);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_malformed_is_refused_with_a_reason() {
    let cluster = TestCluster::start(None).await;
    let cases = [
        (Method::PUT, "/policies/p1", json!({ "request_id": "r", "holder": "h", "premium": -1 })),
        (Method::PUT, "/policies/a%2Fb", json!({ "request_id": "r", "holder": "h", "premium": 1 })),
        (Method::POST, "/claims", json!({ "claim": "c1" })),
        (
            Method::POST,
            "/claims/c1/confirmations",
            json!({ "request_id": "r", "department": "legal", "verdict": "approve" }),
        ),
        (Method::POST, "/premium-adjustments", json!({ "request_id": "r", "amount": 5, "policies": [] })),
    ];
    for (method, path, body) in cases {
        for node in [0, 4] {
            let (status, answer) = cluster.ask(method.clone(), node, path, body.clone()).await;
            assert_eq!(
                (status, &answer["definite"]),
                (StatusCode::BAD_REQUEST, &json!(true)),
                "{path}: {answer}"
            );
        }
    }
    let long = "x".repeat(routes::BODY_BYTES_MAX);
    let body = json!({ "request_id": "r", "version": 0, "text": long });
    assert_eq!(cluster.post(0, "/policies/p1/documents", body).await.0, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(cluster.get(0, "/nowhere").await.0, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_majority_the_core_refuses_and_data_nodes_say_what_they_have() {
    let mut cluster = TestCluster::start(None).await;
    let put = cluster.put(0, "p1", "h1").await;
    let version = put["version"].as_u64().unwrap();
    let copy = async |cluster: &TestCluster, version: u64| {
        cluster.get(3, &format!("/policies/p1?from=data&version={version}")).await
    };
    assert_eq!(copy(&cluster, version).await.0, StatusCode::OK);
    for node in 0..3 {
        cluster.nodes.stop(node).await;
    }
    let (status, body) = cluster.get(3, "/policies/p1").await;
    assert_eq!((status, &body["definite"]), (StatusCode::SERVICE_UNAVAILABLE, &json!(true)));
    let (status, body) = cluster.adjust(4, "a1", &["p1"]).await;
    assert_eq!((status, &body["definite"]), (StatusCode::SERVICE_UNAVAILABLE, &json!(true)));
    assert_eq!(copy(&cluster, version).await.1["policy"], put["policy"]);
    assert_eq!(copy(&cluster, version + 1).await.0, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_bug_one_vote_approves() {
    let cluster = TestCluster::start(Some("one-vote-suffices")).await;
    cluster.put(0, "p1", "h1").await;
    let claim = json!({ "request_id": "r1", "claim": "c1", "policy": "p1", "amount": 5 });
    cluster.post(4, "/claims", claim).await;
    assert_eq!(cluster.confirm(3, "finance", "approve").await.1["status"], "approved");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_bug_a_data_node_answers_for_a_version_it_has_not_reached() {
    let cluster = TestCluster::start(Some("epoch-ignored")).await;
    let (status, body) = cluster.get(3, "/policies/p1?from=data&version=1000").await;
    assert_eq!((status, &body["node"]), (StatusCode::OK, &json!("n4")));
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_bug_an_adjustment_that_is_asked_for_again_is_made_again() {
    let cluster = TestCluster::start(Some("adjusted-again")).await;
    cluster.put(0, "p1", "h").await;
    for expected in [107, 114] {
        assert_eq!(cluster.adjust(1, "a1", &["p1"]).await.1["premiums"]["p1"], expected);
    }
}
