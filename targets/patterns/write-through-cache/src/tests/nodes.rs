//! Whole nodes on loopback: the contract, and what it means that one of them is gone.

use std::ops::Deref;
use std::time::Duration;

use ordeal_kit::testing::{Nodes, PATIENCE};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::*;

/// A database and two caches in this process.
struct TestCluster {
    nodes: Nodes,
    lease_ms: u64,
    bug: Option<&'static str>,
}

impl Deref for TestCluster {
    type Target = Nodes;

    fn deref(&self) -> &Nodes {
        &self.nodes
    }
}

impl TestCluster {
    async fn new(lease_ms: u64, bug: Option<&'static str>) -> Self {
        let mut cluster = TestCluster { nodes: Nodes::new(3), lease_ms, bug };
        for node in 0..3 {
            cluster.start(node).await;
        }
        cluster
    }

    async fn start(&mut self, node: usize) {
        let args = Args {
            node: self.nodes.args(node, self.bug),
            lease_ms: self.lease_ms,
            drift_percent: 5,
            request_timeout_ms: 10_000,
        };
        self.nodes.start(node, |server| serve(server, args)).await;
    }

    async fn put(&self, node: usize, request: &str, home: u32) -> (StatusCode, Value) {
        let body = json!({ "request_id": request, "home": home, "away": 0, "event": "goal" });
        self.ask(Method::PUT, node, "/matches/m1/score", body).await
    }

    /// Reads until a copy answers.
    async fn hit(&self, node: usize) -> Value {
        let until = std::time::Instant::now() + PATIENCE;
        while std::time::Instant::now() < until {
            let (_, read) = self.get(node, "/matches/m1").await;
            if read["hit"] == true {
                return read;
            }
            tokio::task::yield_now().await;
        }
        panic!("there was no hit in time")
    }
}

#[tokio::test]
async fn a_score_is_seen_everywhere_and_answered_from_copies() {
    let cluster = TestCluster::new(60_000, None).await;
    let (_, nothing) = cluster.get(1, "/matches/m1").await;
    assert_eq!((&nothing["sequence"], &nothing["score"]), (&json!(0), &Value::Null));
    for (node, home) in [(1, 1), (2, 2), (0, 3)] {
        let (status, written) = cluster.put(node, &format!("r{home}"), home).await;
        assert_eq!(status, StatusCode::OK, "{written}");
        assert_eq!(written["sequence"], home);
        for reader in 0..3 {
            let (_, read) = cluster.get(reader, "/matches/m1").await;
            assert_eq!((&read["sequence"], &read["score"]["home"]), (&json!(home), &json!(home)));
        }
        for cache in 1..3 {
            assert_eq!(cluster.hit(cache).await["sequence"], home);
        }
        assert_eq!(cluster.get(1, "/matches/m1?from=database").await.1["hit"], false);
    }
    let (_, stream) = cluster.get(2, "/matches/m1/events?from=2").await;
    let numbers: Vec<_> =
        stream["events"].as_array().unwrap().iter().map(|e| e["sequence"].clone()).collect();
    assert_eq!((numbers, &stream["next"]), (vec![json!(2), json!(3)], &Value::Null));
}

#[tokio::test]
async fn a_retry_has_one_effect_and_another_score_none() {
    let cluster = TestCluster::new(60_000, None).await;
    for node in [1, 2, 0] {
        let (status, written) = cluster.put(node, "r1", 1).await;
        assert_eq!((status, &written["sequence"]), (StatusCode::OK, &json!(1)));
        let (status, refused) = cluster.put(node, "r1", 2).await;
        assert_eq!((status, &refused["definite"]), (StatusCode::CONFLICT, &json!(true)));
    }
}

#[tokio::test]
async fn what_is_no_goal_is_refused() {
    let cluster = TestCluster::new(60_000, None).await;
    let long = "x".repeat(1_001);
    for body in [
        json!({ "request_id": "r", "home": -1, "away": 0, "event": "goal" }),
        json!({ "request_id": "r", "home": 1, "away": 0 }),
        json!({ "request_id": "r", "home": 1, "away": 0, "event": "" }),
        json!({ "request_id": "r", "home": 1, "away": 0, "event": long }),
        json!({ "request_id": "r", "home": 9_999_999, "away": 0, "event": "goal" }),
    ] {
        let (status, refused) = cluster.ask(Method::PUT, 1, "/matches/m1/score", body.clone()).await;
        assert_eq!((status, &refused["definite"]), (StatusCode::BAD_REQUEST, &json!(true)), "{body}");
    }
    assert_eq!(cluster.get(1, "/matches/m1?from=elsewhere").await.0, StatusCode::BAD_REQUEST);
    let ask = json!({ "cache": 9, "session": null });
    assert_eq!(cluster.ask(Method::POST, 0, messages::LEASE, ask).await.0, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn without_the_database_a_cache_serves_copies_until_its_lease_runs_out() {
    let mut cluster = TestCluster::new(500, None).await;
    cluster.put(1, "r1", 1).await;
    cluster.hit(1).await;
    cluster.nodes.stop(0).await;
    let until = std::time::Instant::now() + PATIENCE;
    let refused = loop {
        let (status, read) = cluster.get(1, "/matches/m1").await;
        if status != StatusCode::OK {
            break (status, read);
        }
        assert_eq!(read["hit"], true);
        assert!(std::time::Instant::now() < until, "it serves for ever");
    };
    assert_eq!((refused.0, &refused.1["definite"]), (StatusCode::SERVICE_UNAVAILABLE, &json!(true)));
    let (status, refused) = cluster.put(1, "r2", 2).await;
    assert_eq!((status, &refused["definite"]), (StatusCode::SERVICE_UNAVAILABLE, &json!(true)));
    cluster.start(0).await;
    assert_eq!(cluster.hit(1).await["sequence"], 1);
    assert_eq!(cluster.put(1, "r2", 2).await.1["sequence"], 2);
}

#[tokio::test]
async fn a_write_waits_for_the_lease_of_a_cache_that_is_gone() {
    for (bug, waits) in [(None, true), (Some("silent-cache-given-up"), false)] {
        let mut cluster = TestCluster::new(600_000, bug).await;
        cluster.put(1, "r1", 1).await;
        cluster.hit(2).await;
        cluster.nodes.stop(2).await;
        let bound = if waits { Duration::from_millis(300) } else { PATIENCE };
        let written = tokio::time::timeout(bound, cluster.put(1, "r2", 2)).await;
        assert_eq!(written.is_err(), waits);
    }
}
