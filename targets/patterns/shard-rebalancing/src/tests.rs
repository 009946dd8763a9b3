//! Whole nodes on loopback, three metadata nodes and three data nodes, the last of which joins: the contract, and a move.

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

fn path(customer: &str) -> String {
    format!("/customers/{customer}")
}

impl TestCluster {
    /// All nodes but the one that joins, ready. Data nodes can serve so much.
    async fn start(capacity: u64, bug: Option<&str>) -> Self {
        let mut cluster = TestCluster { nodes: Nodes::new(NODES) };
        for node in 0..NODES - 1 {
            cluster.begin(node, capacity, bug).await;
        }
        cluster.nodes.ready(0..NODES - 1).await;
        cluster
    }

    async fn begin(&mut self, node: usize, capacity: u64, bug: Option<&str>) {
        let raft = RaftArgs { heartbeat_ms: 200, snapshot_every: 10, request_timeout_ms: 10_000 };
        let regions = ["r1", "r2"].map(|region| region.parse().unwrap()).to_vec();
        let node_args = self.nodes.args(node, bug);
        let args = Args { node: node_args, raft, founders: Some(NODES - 1), regions, capacity };
        self.nodes.start(node, |server| serve(server, args)).await;
    }

    /// Until somebody serves the customer; redirects are followed.
    async fn put(&self, node: usize, customer: &str, request: &str, cost: u64) -> Value {
        let body = json!({"request_id": request, "plan": request, "cost": cost});
        loop {
            let (status, answer) = self.ask(Method::PUT, node, &path(customer), body.clone()).await;
            if status == StatusCode::OK {
                return answer;
            }
            // It moves, or the node that sent the request on goes by an older routing.
            let passing =
                [StatusCode::SERVICE_UNAVAILABLE, StatusCode::MISDIRECTED_REQUEST].contains(&status);
            assert!(passing && answer["definite"] == true, "{status} {answer}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn calls(&self, node: usize, customer: &str) -> (Vec<String>, String) {
        let found = self.until(node, &path(customer), |_| true).await;
        let calls = found["calls"].as_array().unwrap().iter();
        (calls.map(|call| call["id"].as_str().unwrap().to_owned()).collect(), found["node"].to_string())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn any_node_takes_any_request_or_says_who_does() {
    let cluster = TestCluster::start(1_000_000, None).await;
    let mut owners = std::collections::BTreeSet::new();
    for customer in ["r1/a", "r2/b"] {
        for node in 0..NODES - 1 {
            let done = cluster.put(node, customer, &format!("c{node}"), 10).await;
            let spent = -10 * (node as i64 + 1);
            assert_eq!((&done["version"], &done["balance"]), (&json!(node + 1), &json!(spent)));
            owners.insert(done["node"].to_string());
        }
        let again = cluster.put(1, customer, "c0", 10).await;
        assert_eq!(again["version"], 1, "a retry has one effect");
        let reused = json!({"request_id": "c0", "plan": "c0", "cost": 11});
        let (status, refused) = cluster.ask(Method::PUT, 4, &path(customer), reused).await;
        assert_eq!((status, &refused["definite"]), (StatusCode::CONFLICT, &json!(true)));
        assert_eq!(cluster.calls(0, customer).await.0, ["c0", "c1", "c2", "c3", "c4"]);
    }
    assert_eq!(owners.len(), 2);
    for node in 0..NODES - 1 {
        let (status, routing) = cluster.get(node, "/routing").await;
        assert_eq!(
            (status, &routing["epoch"], &routing["nodes"]),
            (StatusCode::OK, &json!(1), &json!(["n4", "n5"]))
        );
        let held = |load: &Value| {
            load["nodes"].as_array().unwrap().iter().all(|node| node["shards"][0]["customers"] == 1)
        };
        assert_eq!(cluster.until(node, "/load", held).await["nodes"][0]["capacity"], 1_000_000);
    }
    // An epoch that is not the owner's is refused.
    let owner = if cluster.calls(0, "r1/a").await.1.contains("n4") { 3 } else { 4 };
    let (status, refused) = cluster.get(owner, "/customers/r1/a?epoch=0").await;
    assert_eq!((status, &refused["definite"]), (StatusCode::MISDIRECTED_REQUEST, &json!(true)));
    assert_eq!(cluster.get(owner, "/customers/r1/a?epoch=9").await.0, StatusCode::SERVICE_UNAVAILABLE);
    let malformed = [
        (Method::PUT, "/customers/r1/a", json!({"request_id": "r", "plan": "p", "cost": -1})),
        (Method::PUT, "/customers/r1/a", json!({"plan": "p", "cost": 1})),
        (Method::POST, "/nodes", json!({"request_id": "r", "id": "n1"})),
        (Method::POST, "/nodes", json!({"request_id": "r", "id": "n9"})),
    ];
    for (method, path, body) in malformed {
        for node in [0, owner] {
            let (status, refused) = cluster.ask(method.clone(), node, path, body.clone()).await;
            assert_eq!(
                (status, &refused["definite"]),
                (StatusCode::BAD_REQUEST, &json!(true)),
                "{path} {refused}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn load_moves_to_a_node_that_joins_and_nothing_is_lost() {
    let mut cluster = TestCluster::start(10, None).await;
    cluster.begin(NODES - 1, 10, None).await;
    cluster.nodes.ready([NODES - 1]).await;
    let join = json!({"request_id": "j", "id": "n6"});
    // A data node passes it on.
    for node in [3, 0] {
        let (status, routing) = cluster.ask(Method::POST, node, "/nodes", join.clone()).await;
        assert_eq!((status, &routing["nodes"]), (StatusCode::OK, &json!(["n4", "n5", "n6"])));
    }
    let customers: Vec<String> = (0..8).map(|n| format!("r1/c{n}")).collect();
    let mut expected = Vec::new();
    let mut served = std::collections::BTreeSet::new();
    let begun = std::time::Instant::now();
    for n in 0.. {
        let request = format!("c{n}");
        for (m, customer) in customers.iter().enumerate() {
            served.insert(cluster.put((n + m) % NODES, customer, &request, 1).await["node"].to_string());
        }
        expected.push(request);
        if served.len() == 3 {
            break;
        }
        assert!(begun.elapsed() < ordeal_kit::testing::PATIENCE, "{served:?}");
    }
    // What was done before a move is known after it.
    for customer in &customers {
        assert_eq!(cluster.put(0, customer, "c0", 1).await["version"], 1);
        for node in 0..NODES {
            assert_eq!(cluster.calls(node, customer).await.0, expected);
        }
    }
    let (_, routing) = cluster.get(5, "/routing").await;
    assert!(routing["moves"].as_u64().unwrap() >= 2 && routing["epoch"].as_u64().unwrap() > 3, "{routing}");
}

/// Every path and status code of the contract is this node's.
#[test]
fn the_contract_names_what_the_node_serves() {
    let contract = include_str!("../../../../workloads/src/telecom/openapi.yaml");
    let paths: Vec<&str> = contract.lines().filter_map(|line| line.strip_prefix("  /")).collect();
    assert_eq!(paths, ["customers/{region}/{id}:", "routing:", "nodes:", "load:", "health:"]);
    for status in ["200", "307", "400", "409", "413", "421", "429", "500", "503", "504"] {
        assert!(contract.contains(&format!("\"{status}\":")), "{status} is not in the contract");
    }
    for state in
        [held::State::Owned, held::State::Frozen, held::State::Incoming { taken: 0, behind: 0, whole: true }]
    {
        assert!(contract.contains(state.name().unwrap()));
    }
}
